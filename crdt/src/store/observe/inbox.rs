//! What waits for an observer: the changed documents that its query may show or have shown, each at its newest, or the
//! word that so much changed that it has to start over.

use super::budget::Held;
use super::by_id::{ById, OfDocument};
use super::condition::Condition;
use crate::id::DocumentId;
use crate::limits::{
    OBSERVED_SECONDS_MAX, OBSERVER_BYTES_MAX, OBSERVER_DOCUMENTS_MAX, OBSERVER_ENTRY_BYTES,
};
use crate::value::Value;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::Duration;
use tokio::sync::Notify;

/// Bounds of one live query.
#[derive(Clone, Copy)]
pub(super) struct ObserverLimits {
    /// Changed documents that wait.
    pub(super) documents: usize,
    /// Bytes of those.
    pub(super) bytes: usize,
    /// Longest that an evaluation over a whole collection takes.
    pub(super) evaluation: Duration,
}

impl Default for ObserverLimits {
    fn default() -> Self {
        Self {
            documents: OBSERVER_DOCUMENTS_MAX,
            bytes: OBSERVER_BYTES_MAX,
            evaluation: Duration::from_secs(OBSERVED_SECONDS_MAX),
        }
    }
}

/// What waits for one observer.
pub(super) struct Inbox {
    pub(super) condition: Arc<Condition>,
    /// Whether changed documents are kept; else every change means to start over.
    by_document: bool,
    /// Whether changes are told that the query doesn't show either.
    hears_all: AtomicBool,
    ended: AtomicBool,
    limits: ObserverLimits,
    waiting: Mutex<Place>,
    arrived: Notify,
}

struct Place {
    waiting: Waiting,
    /// Bytes of the changes.
    bytes: usize,
    /// For the places of the changes; they themselves are shared.
    held: Held,
}

/// What the observer has to do.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Look at the documents that changed; none at all is nothing to do.
    Changes(ChangedSet),
    /// Start over from the current state.
    Everything,
}

/// A document as the newest commit that waits made it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) sequence: u64,
    pub(super) id: DocumentId,
    /// Its value, `None` when it is deleted.
    pub(super) after: Option<Arc<Value>>,
    pub(super) held: Held,
}

/// Changes of documents, one of each.
#[derive(Debug, Default)]
pub(super) struct ChangedSet(BTreeSet<ById<Change>>);

impl OfDocument for Change {
    fn id(&self) -> &DocumentId {
        &self.id
    }
}

impl Inbox {
    /// An inbox that says to start over, as the first result does.
    pub(super) fn new(
        condition: Arc<Condition>,
        by_document: bool,
        limits: ObserverLimits,
        held: Held,
    ) -> Self {
        Self {
            condition,
            by_document,
            hears_all: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            limits,
            waiting: Mutex::new(Place {
                waiting: Waiting::Everything,
                bytes: 0,
                held,
            }),
            arrived: Notify::new(),
        }
    }

    /// Waits until there is something to do, or the query has ended.
    pub(super) async fn arrival(&self) {
        while self.waiting.lock().waiting.is_nothing() && !self.has_ended() {
            self.arrived.notified().await;
        }
    }

    /// Takes what there is to do.
    pub(super) fn take(&self) -> Waiting {
        let mut place = self.waiting.lock();
        place.bytes = 0;
        place.held.resize(0);
        std::mem::take(&mut place.waiting)
    }

    /// Ends the query: nothing more is told.
    pub(super) fn end(&self) {
        self.ended.store(true, atomic::Ordering::Release);
        self.arrived.notify_one();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(atomic::Ordering::Acquire)
    }

    /// Whether it says to start over.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self.waiting.lock().waiting, Waiting::Everything)
    }

    /// What waits, without taking it.
    #[cfg(test)]
    pub(super) fn peek(&self) -> parking_lot::MappedMutexGuard<'_, Waiting> {
        MutexGuard::map(self.waiting.lock(), |place| &mut place.waiting)
    }

    /// Says whether any change of the collection is to be told from now on, also of what the query doesn't show.
    pub(super) fn hear_all(&self, all: bool) {
        self.hears_all.store(all, atomic::Ordering::Relaxed);
    }

    /// Whether any change of the collection is to be told.
    pub(super) fn hears_all(&self) -> bool {
        self.hears_all.load(atomic::Ordering::Relaxed)
    }

    /// Tells of changed documents.
    pub(super) fn put(&self, changes: &[Arc<Change>]) {
        if changes.is_empty() {
            return;
        }
        let mut place = self.waiting.lock();
        if !self.by_document || !place.add(changes, &self.limits) {
            place.start_over();
        }
        self.wake(place);
    }

    /// Tells to start over.
    pub(super) fn put_everything(&self) {
        let mut place = self.waiting.lock();
        place.start_over();
        self.wake(place);
    }

    fn wake(&self, place: MutexGuard<'_, Place>) {
        drop(place);
        self.arrived.notify_one();
    }
}

impl Place {
    /// `false` when there is no room, or the observer has to start over anyway.
    fn add(&mut self, changes: &[Arc<Change>], limits: &ObserverLimits) -> bool {
        let Waiting::Changes(waiting) = &mut self.waiting else {
            return false;
        };
        for change in changes {
            self.bytes += change.held.bytes();
            if let Some(earlier) = waiting.0.replace(ById(Arc::clone(change))) {
                self.bytes -= earlier.0.held.bytes();
            }
        }
        let documents = waiting.0.len();
        documents <= limits.documents
            && self.bytes <= limits.bytes
            && self.held.resize(documents * OBSERVER_ENTRY_BYTES)
    }

    fn start_over(&mut self) {
        self.waiting = Waiting::Everything;
        self.bytes = 0;
        self.held.resize(0);
    }
}

impl Waiting {
    fn is_nothing(&self) -> bool {
        matches!(self, Waiting::Changes(changes) if changes.0.is_empty())
    }
}

/// Nothing.
impl Default for Waiting {
    fn default() -> Self {
        Waiting::Changes(ChangedSet::default())
    }
}

impl ChangedSet {
    /// The changes, ascending by document.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Change>> {
        self.0.iter().map(|change| &change.0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

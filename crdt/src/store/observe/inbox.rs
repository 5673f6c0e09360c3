//! What waits for an observer: the newest value of each document that changed, or the word that so much changed that it
//! has to start over.

use crate::id::DocumentId;
use crate::limits::{OBSERVER_BYTES_MAX, OBSERVER_DOCUMENTS_MAX, OBSERVERS_MAX};
use crate::query::Select;
use crate::store::commit::{Commit, Committed};
use crate::store::error::StoreError;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// The inboxes of a store's live queries.
#[derive(Default)]
pub(in crate::store) struct Observers(Mutex<Vec<Weak<Inbox>>>);

impl Observers {
    pub(super) fn register(&self, inbox: &Arc<Inbox>) -> Result<(), StoreError> {
        let mut inboxes = lock(&self.0);
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        if inboxes.len() >= OBSERVERS_MAX {
            return Err(StoreError::TooManyObservers);
        }
        inboxes.push(Arc::downgrade(inbox));
        Ok(())
    }

    /// Tells every live query of a commit; they hear of commits in their order.
    pub(in crate::store) fn tell(&self, commit: &Commit) {
        for inbox in lock(&self.0).iter().filter_map(Weak::upgrade) {
            inbox.put(commit);
        }
    }
}

/// How much may wait for an observer.
#[derive(Clone, Copy)]
pub(super) struct InboxLimits {
    pub(super) documents: usize,
    pub(super) bytes: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            documents: OBSERVER_DOCUMENTS_MAX,
            bytes: OBSERVER_BYTES_MAX,
        }
    }
}

/// What waits for one observer.
pub(super) struct Inbox {
    collection: String,
    /// Whether changed documents are kept; else every change means to start over.
    by_document: bool,
    limits: InboxLimits,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

/// What the observer has to do.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Look at the documents that changed; none at all is nothing to do.
    Changes(Changes),
    /// Start over from the current state.
    Everything,
}

/// The documents that changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) documents: BTreeMap<DocumentId, Change>,
    bytes: usize,
}

/// The newest value of a document.
#[derive(Debug)]
pub(super) struct Change {
    /// Of the commit that made it.
    pub(super) sequence: u64,
    /// `None` when it is deleted.
    pub(super) value: Option<Arc<Value>>,
    bytes: usize,
}

impl Inbox {
    /// An inbox that says to start over, as the first result does.
    pub(super) fn new(select: &Select, limits: InboxLimits) -> Self {
        Self {
            collection: select.collection().to_owned(),
            by_document: select.is_incremental(),
            limits,
            waiting: Mutex::new(Waiting::Everything),
            arrived: Notify::new(),
        }
    }

    /// Waits until there is something to do. What was taken has left the inbox only once this returns.
    pub(super) async fn take(&self) -> Waiting {
        loop {
            let taken = std::mem::take(&mut *lock(&self.waiting));
            if !taken.is_nothing() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// What waits, without taking it.
    #[cfg(test)]
    pub(super) fn peek(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    fn put(&self, commit: &Commit) {
        let own = |document: &&Committed| *document.collection == *self.collection;
        let mut own = commit.documents.iter().filter(own).peekable();
        if own.peek().is_none() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        for document in own {
            let Waiting::Changes(changes) = &mut *waiting else {
                break;
            };
            changes.put(commit.sequence, document);
            if !self.by_document || changes.exceed(self.limits) {
                *waiting = Waiting::Everything;
            }
        }
        drop(waiting);
        self.arrived.notify_one();
    }
}

impl Changes {
    fn put(&mut self, sequence: u64, document: &Committed) {
        let value = document.after.clone();
        let bytes =
            document.id.as_bytes().len() + value.as_ref().map_or(0, |value| value.held_bytes());
        let change = Change {
            sequence,
            value,
            bytes,
        };
        self.bytes += bytes;
        if let Some(before) = self.documents.insert(document.id.clone(), change) {
            self.bytes -= before.bytes;
        }
    }

    fn exceed(&self, limits: InboxLimits) -> bool {
        self.documents.len() > limits.documents || self.bytes > limits.bytes
    }
}

impl Waiting {
    fn is_nothing(&self) -> bool {
        matches!(self, Waiting::Changes(changes) if changes.documents.is_empty())
    }
}

/// Nothing.
impl Default for Waiting {
    fn default() -> Self {
        Waiting::Changes(Changes::default())
    }
}

/// Nothing that is kept behind these locks is ever half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

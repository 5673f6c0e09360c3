//! What waits for an observer: the changed documents of each commit, or the word that so much changed that it has to
//! start over.

use super::budget::{Budget, Held};
use crate::id::DocumentId;
use crate::limits::{
    OBSERVED_BYTES_TOTAL_MAX, OBSERVER_BYTES_MAX, OBSERVER_BYTES_TOTAL_MAX, OBSERVER_DOCUMENTS_MAX,
    OBSERVERS_MAX, OBSERVERS_WORKING_MAX,
};
use crate::query::Select;
use crate::store::commit::Commit;
use crate::store::error::StoreError;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The live queries of a store, and what they share.
pub(in crate::store) struct Observers {
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    /// For the rows that were told.
    pub(super) shown: Arc<Budget>,
    /// For the changes that wait.
    pub(super) waiting: Arc<Budget>,
    working: Arc<Semaphore>,
}

impl Default for Observers {
    fn default() -> Self {
        Self {
            inboxes: Mutex::default(),
            shown: Budget::new(OBSERVED_BYTES_TOTAL_MAX),
            waiting: Budget::new(OBSERVER_BYTES_TOTAL_MAX),
            working: Arc::new(Semaphore::new(OBSERVERS_WORKING_MAX)),
        }
    }
}

impl Observers {
    pub(super) fn register(&self, inbox: &Arc<Inbox>) -> Result<(), StoreError> {
        let mut inboxes = lock(&self.inboxes);
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        if inboxes.len() >= OBSERVERS_MAX {
            return Err(StoreError::TooManyObservers);
        }
        inboxes.push(Arc::downgrade(inbox));
        Ok(())
    }

    /// Waits until the live query may evaluate; it may for as long as it keeps what this returns.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.working).acquire_owned().await.ok()
    }

    /// Tells every live query of a commit; they hear of commits in their order. The writer waits for this, so what a
    /// commit changed is gathered once and shared.
    pub(in crate::store) fn tell(&self, commit: &Commit) {
        let mut news: BTreeMap<Arc<str>, Waiting> = BTreeMap::new();
        for inbox in lock(&self.inboxes).iter().filter_map(Weak::upgrade) {
            let collection = Arc::clone(&inbox.collection);
            let gather = || self.gather(commit, &inbox.collection);
            inbox.put(news.entry(collection).or_insert_with(gather));
        }
    }

    /// What a commit changed in a collection.
    fn gather(&self, commit: &Commit, collection: &str) -> Waiting {
        let mut batch = Batch {
            sequence: commit.sequence,
            documents: Vec::new(),
            held: Held::nothing(&self.waiting),
        };
        let mut bytes = 0;
        let own = commit.documents.iter();
        for document in own.filter(|document| *document.collection == *collection) {
            let (id, value) = (document.id.clone(), document.after.clone());
            bytes += id.as_bytes().len() + value.as_ref().map_or(0, |value| value.held_bytes());
            batch.documents.push((id, value));
            if batch.documents.len() > OBSERVER_DOCUMENTS_MAX || bytes > OBSERVER_BYTES_MAX {
                return Waiting::Everything;
            }
        }
        if batch.documents.is_empty() {
            return Waiting::default();
        }
        match batch.held.resize(bytes) {
            true => Waiting::Changes(vec![Arc::new(batch)]),
            false => Waiting::Everything,
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
    collection: Arc<str>,
    /// Whether changed documents are kept; else every change means to start over.
    by_document: bool,
    limits: InboxLimits,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

/// What the observer has to do.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Look at the documents that changed, oldest commit first; none at all is nothing to do.
    Changes(Vec<Arc<Batch>>),
    /// Start over from the current state.
    Everything,
}

/// The documents of one collection that a commit changed.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) sequence: u64,
    /// Their values, `None` for those that are deleted.
    pub(super) documents: Vec<(DocumentId, Option<Arc<Value>>)>,
    held: Held,
}

impl Inbox {
    /// An inbox that says to start over, as the first result does.
    pub(super) fn new(select: &Select, limits: InboxLimits) -> Self {
        Self {
            collection: select.collection().into(),
            by_document: select.is_incremental(),
            limits,
            waiting: Mutex::new(Waiting::Everything),
            arrived: Notify::new(),
        }
    }

    /// Waits until there is something to do.
    pub(super) async fn arrival(&self) {
        while lock(&self.waiting).is_nothing() {
            self.arrived.notified().await;
        }
    }

    /// Takes what there is to do.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut *lock(&self.waiting))
    }

    /// What waits, without taking it.
    #[cfg(test)]
    pub(super) fn peek(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    fn put(&self, news: &Waiting) {
        if news.is_nothing() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        match (&mut *waiting, news) {
            (Waiting::Changes(changes), Waiting::Changes(new)) if self.by_document => {
                changes.extend(new.iter().cloned());
                if self.exceeded_by(changes) {
                    *waiting = Waiting::Everything;
                }
            }
            _ => *waiting = Waiting::Everything,
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    fn exceeded_by(&self, changes: &[Arc<Batch>]) -> bool {
        let documents: usize = changes.iter().map(|batch| batch.documents.len()).sum();
        let bytes: usize = changes.iter().map(|batch| batch.held.bytes()).sum();
        documents > self.limits.documents || bytes > self.limits.bytes
    }
}

impl Waiting {
    fn is_nothing(&self) -> bool {
        matches!(self, Waiting::Changes(changes) if changes.is_empty())
    }
}

/// Nothing.
impl Default for Waiting {
    fn default() -> Self {
        Waiting::Changes(Vec::new())
    }
}

/// Nothing that is kept behind these locks is ever half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

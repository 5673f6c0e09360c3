//! Hands commits from the writer to the observers. The writer only puts a commit into a queue; a thread of the store
//! takes what has gathered there, tests each changed document against all conditions of its collection, and tells the
//! queries that it concerns. When the queue is full, all start over.

use super::budget::{Budget, Held};
use super::condition::Condition;
use super::inbox::{Change, Inbox, ObserverLimits};
use crate::id::DocumentId;
use crate::limits::{
    OBSERVED_BYTES_TOTAL_MAX, OBSERVED_ROW_BYTES, OBSERVER_BYTES_TOTAL_MAX, OBSERVER_DOCUMENTS_MAX,
    OBSERVER_REST_US, OBSERVER_TEST_MS_MAX, OBSERVERS_MAX, OBSERVERS_WORKING_MAX, UNTOLD_BYTES_MAX,
};
use crate::query::Select;
use crate::store::commit::Commit;
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::value::Value;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The live queries of a store, and what they share.
pub(in crate::store) struct Observers {
    desk: Arc<Desk>,
    /// For the rows that were told.
    pub(super) shown: Arc<Budget>,
    /// For the changes that wait.
    pub(super) waiting: Arc<Budget>,
    /// Turns to take in changed documents, and to read whole collections: the one shall not wait for the other.
    turns: [Arc<Semaphore>; 2],
}

/// Where the writer leaves commits, and the thread takes them.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// Those of one condition stand side by side.
    inboxes: Vec<Weak<Inbox>>,
    untold: Untold,
    thread: Thread,
}

/// Commits of which nobody has heard.
#[derive(Default)]
struct Untold {
    commits: Vec<Arc<Commit>>,
    documents: usize,
    bytes: usize,
    /// There were too many; they are told as a whole.
    overflowed: bool,
}

#[derive(Default, PartialEq)]
enum Thread {
    #[default]
    None,
    Working,
    Waiting,
    /// The store is closed.
    Ending,
}

impl Default for Observers {
    fn default() -> Self {
        let turns = || Arc::new(Semaphore::new(OBSERVERS_WORKING_MAX));
        Self {
            desk: Arc::default(),
            shown: Budget::new(OBSERVED_BYTES_TOTAL_MAX),
            waiting: Budget::new(OBSERVER_BYTES_TOTAL_MAX),
            turns: [turns(), turns()],
        }
    }
}

impl Observers {
    /// The inbox of a new live query, which hears of all commits that are told from now on.
    pub(super) fn register(
        &self,
        select: &Select,
        by_document: bool,
        limits: ObserverLimits,
    ) -> Result<Arc<Inbox>, StoreError> {
        let mut state = self.desk.state.lock();
        state.forget_ended();
        if state.inboxes.len() >= OBSERVERS_MAX {
            return Err(StoreError::TooManyObservers);
        }
        if state.thread == Thread::None {
            let (desk, waiting) = (Arc::clone(&self.desk), Arc::clone(&self.waiting));
            let thread = std::thread::Builder::new().name("live queries".to_owned());
            let started = thread.spawn(move || desk.work(&waiting));
            started.map_err(StoreError::Thread)?;
            state.thread = Thread::Working;
        }
        let mut upgraded = state.inboxes.iter().map(Weak::upgrade);
        let alike =
            upgraded.rposition(|inbox| inbox.is_some_and(|inbox| inbox.condition.equals(select)));
        let like = alike.and_then(|index| state.inboxes[index].upgrade());
        let condition = match like {
            Some(inbox) => Arc::clone(&inbox.condition),
            None => Arc::new(Condition::of(select)),
        };
        let held = Held::nothing(&self.waiting);
        let inbox = Arc::new(Inbox::new(condition, by_document, limits, held));
        let place = alike.map_or(state.inboxes.len(), |index| index + 1);
        state.inboxes.insert(place, Arc::downgrade(&inbox));
        Ok(inbox)
    }

    /// Waits until the live query may evaluate, over changed documents or a whole collection; it may for as long as it
    /// keeps what this returns.
    pub(super) async fn turn(&self, whole: bool) -> Option<OwnedSemaphorePermit> {
        let turns = &self.turns[usize::from(whole)];
        Arc::clone(turns).acquire_owned().await.ok()
    }

    /// Takes a commit to be told; they are told in the order of these calls. The writer waits for this, so it costs the
    /// same however many live queries there are.
    pub(in crate::store) fn tell(&self, commit: &Arc<Commit>) {
        let mut state = self.desk.state.lock();
        if state.inboxes.is_empty() {
            return;
        }
        state.untold.add(commit);
        if state.thread == Thread::Waiting {
            state.thread = Thread::Working;
            drop(state);
            self.desk.arrived.notify_one();
        }
    }

    /// The live queries.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.desk.state.lock().inboxes.len()
    }

    /// Waits until all commits are told.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        loop {
            let state = self.desk.state.lock();
            if state.thread == Thread::Waiting && state.untold.is_nothing() {
                return;
            }
            drop(state);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        self.desk.state.lock().thread = Thread::Ending;
        self.desk.arrived.notify_one();
    }
}

impl State {
    fn forget_ended(&mut self) {
        let goes_on = |inbox: Arc<Inbox>| !inbox.has_ended();
        let inboxes = &mut self.inboxes;
        inboxes.retain(|inbox| inbox.upgrade().is_some_and(goes_on));
    }
}

impl Untold {
    fn is_nothing(&self) -> bool {
        self.commits.is_empty() && !self.overflowed
    }

    fn add(&mut self, commit: &Arc<Commit>) {
        if self.overflowed {
            return;
        }
        self.documents += commit.documents.len();
        self.bytes += commit.held_bytes();
        self.commits.push(Arc::clone(commit));
        if self.documents > OBSERVER_DOCUMENTS_MAX || self.bytes > UNTOLD_BYTES_MAX {
            *self = Self {
                overflowed: true,
                ..Self::default()
            };
        }
    }
}

impl Desk {
    /// Tells commits as they come, until the store is closed.
    fn work(&self, budget: &Arc<Budget>) {
        while let Some((untold, inboxes)) = self.take() {
            if untold.overflowed {
                inboxes.iter().for_each(|inbox| inbox.put_everything());
                rest(inboxes.len());
                continue;
            }
            let mut told = 0;
            let groups =
                inboxes.chunk_by(|one, other| Arc::ptr_eq(&one.condition, &other.condition));
            let mut collections = BTreeMap::new();
            for group in groups {
                let collection = &*group[0].condition.collection;
                let changes = collections.entry(collection);
                told += contained(group, || {
                    changes
                        .or_insert_with(|| Changes::gather(&untold.commits, collection, budget))
                        .tell(group)
                });
            }
            drop(collections);
            drop((untold, inboxes)); // what they hold is needed no longer
            rest(told);
        }
    }

    /// Waits for commits. They were told before the queries that are given with them are looked up, so none is missed
    /// by a query that began meanwhile.
    fn take(&self) -> Option<(Untold, Vec<Arc<Inbox>>)> {
        let mut state = self.state.lock();
        while state.untold.is_nothing() && state.thread != Thread::Ending {
            state.thread = Thread::Waiting;
            self.arrived.wait(&mut state);
        }
        if state.thread == Thread::Ending {
            return None;
        }
        state.forget_ended();
        let inboxes = state.inboxes.iter().filter_map(Weak::upgrade).collect();
        Some((std::mem::take(&mut state.untold), inboxes))
    }
}

/// Tells queries of one condition. A panic, which only a fault of this program causes, ends these queries and no others.
pub(super) fn contained(group: &[Arc<Inbox>], tell: impl FnOnce() -> usize) -> usize {
    catch_unwind(AssertUnwindSafe(tell)).unwrap_or_else(|_| {
        tracing::error!("telling live queries panicked; they end");
        group.iter().for_each(|inbox| inbox.end());
        0
    })
}

/// What commits changed in a collection.
struct Changes<'a> {
    /// Of each document all values that it went through: a query may have read any of them.
    values: Vec<Vec<&'a Value>>,
    /// Each document as it is now; `None` when there is no room to keep them.
    changes: Option<Vec<Arc<Change>>>,
}

/// What commits made of one document.
#[derive(Default)]
struct History<'a> {
    values: Vec<&'a Value>,
    /// The newest commit's, and what it left.
    sequence: u64,
    after: Option<Arc<Value>>,
}

impl<'a> Changes<'a> {
    fn gather(commits: &'a [Arc<Commit>], collection: &str, budget: &Arc<Budget>) -> Self {
        let mut documents: BTreeMap<&DocumentId, History<'_>> = BTreeMap::new();
        for commit in commits {
            let own = commit.documents.iter();
            for document in own.filter(|document| *document.collection == *collection) {
                let history = documents.entry(&document.id).or_insert_with(|| History {
                    values: document.before.as_deref().into_iter().collect(),
                    ..History::default()
                });
                history.values.extend(document.after.as_deref());
                history.sequence = commit.sequence;
                history.after.clone_from(&document.after);
            }
        }
        let mut values = Vec::with_capacity(documents.len());
        let changes = documents.into_iter().map(|(id, history)| {
            let (sequence, after) = (history.sequence, history.after);
            values.push(history.values);
            let mut held = Held::nothing(budget);
            let value = after.as_ref().map_or(0, |value| value.held_bytes());
            let fits = held.resize(OBSERVED_ROW_BYTES + id.as_bytes().len() + value);
            let id = id.clone();
            fits.then(|| {
                Arc::new(Change {
                    sequence,
                    id,
                    after,
                    held,
                })
            })
        });
        let changes = changes.collect();
        Self { values, changes }
    }

    /// Tells queries of one condition what concerns them, and how many of them it does.
    fn tell(&self, group: &[Arc<Inbox>]) -> usize {
        let Some(changes) = &self.changes else {
            group.iter().for_each(|inbox| inbox.put_everything());
            return group.len();
        };
        let values: Vec<&[&Value]> = self.values.iter().map(|values| &values[..]).collect();
        let deadline = Deadline::after(Duration::from_millis(OBSERVER_TEST_MS_MAX));
        let concerns = group[0].condition.concerns(&values, &deadline);
        let concerning = changes.iter().zip(concerns);
        let concerning: Vec<Arc<Change>> = concerning
            .filter(|(_, concerns)| *concerns)
            .map(|(change, _)| Arc::clone(change))
            .collect();
        for inbox in group {
            inbox.put(match inbox.hears_all() {
                true => changes,
                false => &concerning,
            });
        }
        match concerning.is_empty() {
            true => 0,
            false => group.len(),
        }
    }
}

/// Gives so many live queries time to take in what they were told: what is written meanwhile is told together, so that a
/// busy writer and many live queries don't take each other's processors.
fn rest(told: usize) {
    std::thread::sleep(Duration::from_micros(OBSERVER_REST_US) * told as u32);
}

//! Group commit: concurrent writers share the syncs of the write-ahead log.
//!
//! A writer queues what it has written and leaves the writer's lock, then waits. Whoever finds nobody syncing syncs for all
//! that is queued by then, publishes it in order, and wakes the others; meanwhile the next ones queue up.

use super::commit::Commit;
use super::error::StoreError;
use super::view::View;
use crate::limits::COMMITS_UNSYNCED_MAX;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::thread::{self, Thread};

/// What is written, and not yet known to be durable.
pub(super) struct Pending {
    pub(super) view: View,
    /// `None` where only the catalog has changed, which is no commit of documents.
    pub(super) commit: Option<Commit>,
}

/// What has been written, and how much of it is published.
pub(super) struct Group {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many writes were queued so far: the number of the newest.
    queued: u64,
    /// The number of the newest published one.
    published: u64,
    /// In the order in which they were written.
    pending: VecDeque<Pending>,
    /// Who sleeps until its commit is published. Each is woken for itself: all at once would queue up for this state.
    waiting: VecDeque<Waiting>,
    lead: Lead,
    /// Syncs begun so far.
    syncs: u64,
    /// The last sync that failed, and why.
    failure: Option<(u64, rocksdb::Error)>,
}

/// Whether somebody syncs for all.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Lead {
    #[default]
    Nobody,
    /// Somebody was woken to do it.
    Called,
    Syncing,
}

struct Waiting {
    number: u64,
    thread: Thread,
}

/// What a writer waits for.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    /// How many writes were queued when it was given, the writer's own the last of them.
    number: u64,
    /// Syncs begun by then, none of which covers it.
    syncs: u64,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
        }
    }

    /// Syncs begun so far.
    pub(super) fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Whether more may be written; they can't pile up but where syncs fail and writes don't.
    pub(super) fn check_room(&self) -> Result<(), StoreError> {
        match self.state.lock().pending.len() {
            ..COMMITS_UNSYNCED_MAX => Ok(()),
            _ => Err(StoreError::TooManyUnsynced),
        }
    }

    /// Queues what was just written. The caller has the writer, so that the queue is in the order of the log.
    pub(super) fn push(&self, pending: Pending) {
        let mut state = self.state.lock();
        state.pending.push_back(pending);
        state.queued += 1;
    }

    /// For what was queued last.
    pub(super) fn newest(&self) -> Ticket {
        let state = self.state.lock();
        Ticket {
            number: state.queued,
            syncs: state.syncs,
        }
    }

    /// Wakes a thread that is to [`wait`](Self::wait) with this ticket, when it has got what it waits for or is to lead.
    pub(super) fn enlist(&self, ticket: Ticket, thread: &Thread) {
        let mut state = self.state.lock();
        if state.outcome(ticket).is_some() {
            drop(state);
            return thread.unpark();
        }
        state.waiting.push_back(Waiting {
            number: ticket.number,
            thread: thread.clone(),
        });
    }

    /// To be called by whoever has enlisted others and does not wait itself: one of them is to lead, unless somebody does.
    pub(super) fn hand_over(&self) {
        hand_over(self.state.lock());
    }

    /// Returns once everything up to the ticket's write is durable and published. After a failed sync what is queued stays so,
    /// and is published with the next one that succeeds.
    pub(super) fn wait(
        &self,
        ticket: Ticket,
        sync: impl Fn() -> Result<(), rocksdb::Error>,
        publish: impl Fn(Pending),
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = state.outcome(ticket) {
                hand_over(state); // to those whom this thread has enlisted, if all is done but theirs
                return outcome;
            }
            if state.lead == Lead::Syncing {
                state.waiting.push_back(Waiting {
                    number: ticket.number,
                    thread: thread::current(),
                });
                MutexGuard::unlocked(&mut state, thread::park);
            } else {
                Leader::new(state).lead(&sync, &publish);
                state = self.state.lock();
            }
        }
    }
}

/// Wakes one who waits to lead the others, unless somebody leads.
fn hand_over(mut state: MutexGuard<'_, State>) {
    if state.lead == Lead::Nobody
        && let Some(next) = state.waiting.pop_front()
    {
        state.lead = Lead::Called;
        drop(state);
        next.thread.unpark();
    }
}

impl State {
    /// What became of a write; `None` while that is open.
    fn outcome(&self, ticket: Ticket) -> Option<Result<(), StoreError>> {
        if self.published >= ticket.number {
            return Some(Ok(()));
        }
        match &self.failure {
            Some((failed, error)) if *failed > ticket.syncs => {
                Some(Err(StoreError::NotDurable(error.clone())))
            }
            _ => None,
        }
    }
}

/// Whoever syncs for all. Should it panic, another one can lead.
struct Leader<'a>(MutexGuard<'a, State>);

impl<'a> Leader<'a> {
    fn new(mut state: MutexGuard<'a, State>) -> Self {
        state.lead = Lead::Syncing;
        state.syncs += 1;
        Self(state)
    }

    fn lead(mut self, sync: impl Fn() -> Result<(), rocksdb::Error>, publish: impl Fn(Pending)) {
        let state = &mut self.0;
        let queued = state.pending.len();
        let synced = MutexGuard::unlocked(state, sync);
        if let Err(error) = synced {
            state.failure = Some((state.syncs, error));
            return;
        }
        for _ in 0..queued {
            let Some(pending) = state.pending.pop_front() else {
                return;
            };
            // Durable whatever becomes of telling: a panic there must not leave others waiting for it.
            state.published += 1;
            MutexGuard::unlocked(state, || publish(pending));
        }
    }
}

impl Drop for Leader<'_> {
    /// Wakes one that leads the others, and those who have what they waited for.
    fn drop(&mut self) {
        let state = &mut *self.0;
        let failed = matches!(state.failure, Some((sync, _)) if sync == state.syncs);
        let published = state.published;
        let (woken, mut others): (VecDeque<_>, VecDeque<_>) = state
            .waiting
            .drain(..)
            .partition(|waiting| failed || waiting.number <= published);
        let next = others.pop_front();
        state.lead = match next {
            Some(_) => Lead::Called,
            None => Lead::Nobody,
        };
        state.waiting = others;
        MutexGuard::unlocked(&mut self.0, || {
            let woken = next.iter().chain(&woken);
            woken.for_each(|waiting| waiting.thread.unpark());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::commit::Origin;
    use sedge_identity::{AppId, DeviceKey};
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    fn pending(view: &View, sequence: u64) -> Pending {
        let commit = Commit {
            sequence,
            origin: Origin::Local,
            documents: Vec::new(),
            unsealed: 0,
        };
        Pending {
            view: view.clone(),
            commit: Some(commit),
        }
    }

    fn sequence(pending: &Pending) -> Option<u64> {
        pending.commit.as_ref().map(|commit| commit.sequence)
    }

    fn store(path: &Path) -> Store {
        let device = DeviceKey::from_seed([1; 32]).public();
        Store::open(path, &AppId::new("demo").unwrap(), &device).unwrap()
    }

    fn failure(path: &Path) -> rocksdb::Error {
        let nowhere = path.join("nowhere/nothing");
        let opened = rocksdb::DB::open(&rocksdb::Options::default(), nowhere);
        opened.map(drop).unwrap_err()
    }

    /// Goal: after a failed sync nothing is published and whoever waited hears of it; with the next one that succeeds all is,
    /// in order. A leader that panics leaves the lead to others.
    #[test]
    fn a_failed_sync_publishes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (store, failure) = (store(folder.path()), failure(folder.path()));
        let published = RefCell::new(Vec::new());
        let publish = |pending: Pending| published.borrow_mut().extend(sequence(&pending));
        let (fails, succeeds) = (|| Err(failure.clone()), || Ok(()));

        let group = Group::new();
        group.push(pending(&store.view(), 2));
        for _ in 0..2 {
            let refused = group.wait(group.newest(), fails, publish);
            assert!(matches!(refused, Err(StoreError::NotDurable(_))));
        }
        assert!(published.borrow().is_empty());
        group.push(pending(&store.view(), 3));
        group.push(pending(&store.view(), 5));
        group.wait(group.newest(), succeeds, publish).unwrap();
        assert_eq!(*published.borrow(), [2, 3, 5]);
        group.wait(group.newest(), fails, publish).unwrap(); // there is nothing left to sync

        group.push(pending(&store.view(), 6));
        let ticket = group.newest();
        let panics = || group.wait(ticket, || panic!(), publish);
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        group.wait(ticket, succeeds, publish).unwrap();
        assert_eq!(*published.borrow(), [2, 3, 5, 6]);
    }

    /// Goal: of many writers whose syncs fail now and then none sleeps forever, none is told of a success before its commit
    /// is published, and everything is published once, in order.
    #[test]
    fn writers_at_once_all_return() {
        const WRITERS: u64 = 8;
        const COMMITS: u64 = 50;
        let folder = tempfile::tempdir().unwrap();
        let (store, failure) = (store(folder.path()), failure(folder.path()));
        let (group, view) = (Group::new(), store.view());
        let (newest, syncs) = (Mutex::new(0), AtomicU64::new(0));
        let published = Mutex::new(Vec::new());
        let publish = |pending: Pending| published.lock().extend(sequence(&pending));
        let sync = || match syncs.fetch_add(1, Ordering::Relaxed) % 5 {
            4 => Err(failure.clone()),
            _ => {
                thread::sleep(Duration::from_micros(100));
                Ok(())
            }
        };
        let write = || {
            let mut newest = newest.lock();
            *newest += 1;
            group.push(pending(&view, *newest));
            let (own, ticket) = (*newest, group.newest());
            drop(newest);
            match group.wait(ticket, sync, publish) {
                Ok(()) => assert!(published.lock().contains(&own)),
                Err(error) => assert!(matches!(error, StoreError::NotDurable(_))),
            }
        };
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| (0..COMMITS).for_each(|_| write()));
            }
        });
        let all = WRITERS * COMMITS;
        group.wait(group.newest(), || Ok(()), publish).unwrap();
        assert_eq!(*published.lock(), (1..=all).collect::<Vec<_>>());
    }

    /// Goal: what can't be synced does not pile up without bound.
    #[test]
    fn what_waits_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (group, view) = (Group::new(), store(folder.path()).view());
        for sequence in 1..=COMMITS_UNSYNCED_MAX as u64 {
            group.check_room().unwrap();
            group.push(pending(&view, sequence));
        }
        let refused = group.check_room();
        assert!(matches!(refused, Err(StoreError::TooManyUnsynced)));
    }
}

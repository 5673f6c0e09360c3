//! Group commit: concurrent writers share the syncs of the write-ahead log.
//!
//! A writer queues what it has written and leaves the writer's lock, then waits. Whoever finds nobody syncing syncs for
//! all that is queued by then, publishes it in order, and wakes the others.

use super::commit::Commit;
use super::error::StoreError;
use super::view::View;
use crate::limits::COMMITS_UNSYNCED_MAX;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;

/// What is written, and not yet known to be durable.
pub(super) struct Pending {
    pub(super) view: View,
    /// `None` where only the catalog has changed, which is no commit of documents.
    pub(super) commit: Option<Commit>,
}

/// What has been written, and how much of it is published.
pub(super) struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// How many writes were queued so far: the number of the newest.
    queued: u64,
    /// The number of the newest published one.
    published: u64,
    /// In the order in which they were written.
    pending: VecDeque<Pending>,
    syncing: bool,
    /// Syncs begun so far.
    syncs: u64,
    /// The last sync that failed, and why.
    failure: Option<(u64, rocksdb::Error)>,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                queued: 0,
                published: 0,
                pending: VecDeque::new(),
                syncing: false,
                syncs: 0,
                failure: None,
            }),
            changed: Condvar::new(),
        }
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

    /// The number of what was queued last.
    pub(super) fn newest(&self) -> u64 {
        self.state.lock().queued
    }

    /// Returns once everything up to the `number`th write is durable and published. After a failed sync what is queued stays so,
    /// and is published with the next one that succeeds.
    pub(super) fn wait(
        &self,
        number: u64,
        sync: impl Fn() -> Result<(), rocksdb::Error>,
        publish: impl Fn(Pending),
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let joined = state.syncs;
        loop {
            if state.published >= number {
                return Ok(());
            }
            match &state.failure {
                Some((failed, error)) if *failed > joined => {
                    return Err(StoreError::NotDurable(error.clone()));
                }
                _ if state.syncing => self.changed.wait(&mut state),
                _ => {
                    Leader::new(self, state).lead(&sync, &publish);
                    state = self.state.lock();
                }
            }
        }
    }
}

/// Whoever syncs for all. Should it panic, another one can lead.
struct Leader<'a> {
    group: &'a Group,
    state: MutexGuard<'a, State>,
}

impl<'a> Leader<'a> {
    fn new(group: &'a Group, mut state: MutexGuard<'a, State>) -> Self {
        state.syncing = true;
        state.syncs += 1;
        Self { group, state }
    }

    fn lead(mut self, sync: impl Fn() -> Result<(), rocksdb::Error>, publish: impl Fn(Pending)) {
        let state = &mut self.state;
        let queued = state.pending.len();
        let synced = MutexGuard::unlocked(state, sync);
        if let Err(error) = synced {
            state.failure = Some((state.syncs, error));
            return;
        }
        for pending in (0..queued)
            .map_while(|_| state.pending.pop_front())
            .collect::<Vec<_>>()
        {
            MutexGuard::unlocked(state, || publish(pending));
            state.published += 1;
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.state.syncing = false;
        self.group.changed.notify_all();
    }
}

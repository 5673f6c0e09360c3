//! What may leave the device: commits are told to peers once the own changes up to them are sealed.

use super::super::commit::{Commit, Origin};
use super::super::{Inner, Store};
use crate::limits::{COMMITS_QUEUED_MAX, COMMITS_UNSEALED_BYTES_MAX, COMMITS_UNSEALED_MAX};
use parking_lot::{Condvar, Mutex};
use sedge_identity::SEAL_CHANGES_MAX;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Commits whose changes may leave the device.
#[derive(Clone, Debug)]
pub struct Released {
    /// Up to where the feed may be told.
    pub sequence: u64,
    /// Where the commits come from.
    pub origin: Origin,
    /// The commits, in order; none where too many had to wait.
    pub commits: Vec<Arc<Commit>>,
}

/// Between the commits of a store and its peers.
pub(in crate::store) struct Release {
    gate: Mutex<Gate>,
    woken: Condvar,
    released: broadcast::Sender<Arc<Released>>,
}

struct Gate {
    sealed_to: u64,
    published: u64,
    /// Published documents with own changes beyond that.
    unsealed: usize,
    /// Published commits beyond that.
    waiting: VecDeque<Arc<Commit>>,
    waiting_bytes: usize,
    /// Some of those are not among `waiting`.
    overflowed: bool,
    /// Whether anybody is there to hear of changes.
    has_audience: bool,
    /// The sealer waits for something to seal. While it seals or rests, new changes need not wake it.
    is_idle: bool,
    woken: bool,
    stopped: bool,
    /// Why the sealer's last round has failed.
    failure: Option<String>,
}

impl Release {
    pub(in crate::store) fn new(sealed_to: u64, published: u64) -> Self {
        let is_sealed = sealed_to >= published;
        Self {
            gate: Mutex::new(Gate {
                sealed_to,
                published,
                unsealed: if is_sealed { 0 } else { SEAL_CHANGES_MAX },
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                overflowed: !is_sealed,
                has_audience: false,
                is_idle: false,
                woken: false,
                stopped: false,
                failure: None,
            }),
            woken: Condvar::new(),
            released: broadcast::channel(COMMITS_QUEUED_MAX).0,
        }
    }

    /// Up to where in the feed all own changes are sealed.
    pub(in crate::store) fn sealed_to(&self) -> u64 {
        self.gate.lock().sealed_to
    }

    /// A commit has become visible.
    pub(in crate::store) fn publish(&self, commit: &Arc<Commit>) {
        let mut gate = self.gate.lock();
        let was_sealed = gate.sealed_to >= gate.published;
        gate.published = commit.sequence;
        if was_sealed && commit.unsealed == 0 && gate.waiting.is_empty() && !gate.overflowed {
            gate.sealed_to = gate.sealed_to.max(commit.sequence);
            self.tell(gate.sealed_to, vec![Arc::clone(commit)]);
            return;
        }
        gate.wait(commit);
        if was_sealed && commit.unsealed == 0 {
            self.advance(&mut gate, commit.sequence);
            return;
        }
        gate.unsealed += commit.unsealed;
        if gate.is_idle && gate.is_due() {
            self.woken.notify_all();
        }
    }

    /// All own changes up to there are sealed.
    pub(in crate::store) fn sealed(&self, sealed_to: u64, documents: usize) {
        let mut gate = self.gate.lock();
        gate.unsealed = match sealed_to >= gate.published {
            true => 0,
            false => gate.unsealed.saturating_sub(documents),
        };
        self.advance(&mut gate, sealed_to);
    }

    /// Notes how the sealer's last round has ended; `true` if the one before did not end like that.
    pub(in crate::store) fn set_failure(&self, failure: Option<String>) -> bool {
        let mut gate = self.gate.lock();
        let is_new = gate.failure != failure;
        gate.failure = failure;
        is_new
    }

    /// Why nothing is sealed at present.
    pub(in crate::store) fn failure(&self) -> Option<String> {
        self.gate.lock().failure.clone()
    }

    fn advance(&self, gate: &mut Gate, sealed_to: u64) {
        gate.sealed_to = gate.sealed_to.max(sealed_to);
        let mut own = Vec::new();
        let may_leave = |commit: &Arc<Commit>| commit.sequence <= sealed_to;
        while gate.waiting.front().is_some_and(may_leave) {
            let Some(commit) = gate.waiting.pop_front() else {
                break;
            };
            gate.waiting_bytes -= commit.held_bytes();
            match commit.origin {
                Origin::Local => own.push(commit),
                Origin::Remote(_) => self.tell(gate.sealed_to, vec![commit]),
            }
        }
        let overflowed = gate.overflowed && gate.waiting.is_empty();
        gate.overflowed &= !overflowed;
        if overflowed {
            own.clear();
        }
        if overflowed || !own.is_empty() {
            self.tell(gate.sealed_to, own);
        }
    }

    fn tell(&self, sequence: u64, commits: Vec<Arc<Commit>>) {
        let released = Released {
            sequence,
            origin: match commits.first() {
                Some(commit) => commit.origin.clone(),
                None => Origin::Local,
            },
            commits,
        };
        if self.released.send(Arc::new(released)).is_err() {
            tracing::trace!("nobody hears of what may leave the device");
        }
    }

    /// Ends the sealer's rest: what kept it from sealing may have changed.
    pub(in crate::store) fn wake(&self) {
        self.gate.lock().woken = true;
        self.woken.notify_all();
    }

    /// Ends the sealer's waiting for good.
    pub(in crate::store) fn stop(&self) {
        self.gate.lock().stopped = true;
        self.wake();
    }

    /// Returns when there is something to seal; `false` when the sealer is to end.
    pub(in crate::store) fn wait_for_work(&self) -> bool {
        let mut gate = self.gate.lock();
        gate.is_idle = true;
        while !gate.stopped && !gate.is_due() {
            self.woken.wait(&mut gate);
        }
        gate.is_idle = false;
        !gate.stopped
    }

    /// Returns after a while, or when woken.
    pub(in crate::store) fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut gate = self.gate.lock();
        while !gate.woken && !self.woken.wait_until(&mut gate, until).timed_out() {}
        gate.woken = false;
    }
}

impl Gate {
    /// While nobody hears of changes, only whole batches are sealed.
    fn is_due(&self) -> bool {
        let least = if self.has_audience {
            1
        } else {
            SEAL_CHANGES_MAX
        };
        self.unsealed >= least
    }

    fn wait(&mut self, commit: &Arc<Commit>) {
        self.waiting_bytes += commit.held_bytes();
        self.waiting.push_back(Arc::clone(commit));
        while self.waiting.len() > COMMITS_UNSEALED_MAX
            || self.waiting_bytes > COMMITS_UNSEALED_BYTES_MAX
        {
            let Some(commit) = self.waiting.pop_front() else {
                return;
            };
            self.waiting_bytes -= commit.held_bytes();
            self.overflowed = true;
        }
    }
}

impl Store {
    /// Every commit from now on once it may leave the device, in order, but that several local ones may come as one. A
    /// receiver that lags more than [`COMMITS_QUEUED_MAX`] is told so by its channel.
    pub fn released(&self) -> broadcast::Receiver<Arc<Released>> {
        self.0.release.released.subscribe()
    }

    /// Says whether anybody is there to hear of changes. While nobody is, changes are sealed in whole batches only.
    pub fn set_audience(&self, has_audience: bool) {
        let release = &self.0.release;
        release.gate.lock().has_audience = has_audience;
        release.woken.notify_all();
    }
}

impl Inner {
    pub(in crate::store) fn has_unsealed(&self) -> bool {
        let gate = self.release.gate.lock();
        gate.sealed_to < gate.published
    }
}

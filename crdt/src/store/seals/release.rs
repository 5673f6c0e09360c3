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
    /// The newest published commit with own changes. Those behind it need nothing sealed.
    own_to: u64,
    /// Published commits beyond what is sealed.
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
                own_to: if is_sealed { 0 } else { published },
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
        gate.published = commit.sequence;
        if commit.unsealed > 0 {
            gate.own_to = commit.sequence;
        }
        let is_sealed = gate.is_sealed();
        if is_sealed && gate.waiting.is_empty() && !gate.overflowed {
            gate.sealed_to = gate.sealed_to.max(commit.sequence);
            self.tell(gate.sealed_to, vec![Arc::clone(commit)]);
            return;
        }
        gate.wait(commit);
        if is_sealed {
            self.advance(&mut gate, commit.sequence);
        } else if gate.is_idle && gate.is_due() {
            self.woken.notify_all();
        }
    }

    /// All own changes up to there are sealed. What others' commits have brought since needs no more.
    pub(in crate::store) fn sealed(&self, sealed_to: u64) {
        let mut gate = self.gate.lock();
        let reached = match sealed_to >= gate.own_to {
            true => sealed_to.max(gate.published),
            false => sealed_to,
        };
        self.advance(&mut gate, reached);
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
                Origin::Remote(_) => {
                    if !own.is_empty() {
                        self.tell(gate.sealed_to, std::mem::take(&mut own));
                    }
                    self.tell(gate.sealed_to, vec![commit]);
                }
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
    fn is_sealed(&self) -> bool {
        self.sealed_to >= self.own_to
    }

    /// While nobody hears of changes, only what may fill a batch is sealed.
    fn is_due(&self) -> bool {
        let beyond = self.own_to.saturating_sub(self.sealed_to);
        beyond > 0 && (self.has_audience || beyond >= SEAL_CHANGES_MAX as u64)
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
        !self.release.gate.lock().is_sealed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(sequence: u64, is_own: bool) -> Arc<Commit> {
        let origin = match is_own {
            true => Origin::Local,
            false => Origin::Remote([1].into()),
        };
        Arc::new(Commit {
            sequence,
            origin,
            documents: Vec::new(),
            unsealed: usize::from(is_own),
        })
    }

    /// Goal: others' commits are told at once but behind an own one that is not sealed, and then with it: also those that came
    /// after the sealer had looked. None waits for the next own one.
    #[test]
    fn what_others_wrote_waits_for_nothing_but_unsealed_changes() {
        let release = Release::new(0, 0);
        let mut released = release.released.subscribe();
        let mut told = || {
            let told = std::iter::from_fn(|| released.try_recv().ok());
            let told =
                told.flat_map(|it| it.commits.iter().map(|it| it.sequence).collect::<Vec<_>>());
            told.collect::<Vec<_>>()
        };
        release.publish(&commit(1, false));
        assert_eq!(told(), [1]);
        release.publish(&commit(2, true));
        release.publish(&commit(3, false));
        assert!(told().is_empty());
        release.sealed(2);
        assert_eq!((told(), release.sealed_to()), (vec![2, 3], 3));
        release.publish(&commit(4, false));
        assert_eq!(told(), [4]);
        release.publish(&commit(5, true));
        release.publish(&commit(6, true));
        release.publish(&commit(7, false));
        release.sealed(5);
        assert_eq!((told(), release.sealed_to()), (vec![5], 5));
        release.sealed(8); // the sealer sees what is not published yet
        release.publish(&commit(8, true));
        assert_eq!((told(), release.sealed_to()), (vec![6, 7, 8], 8));
    }

    /// Goal: there is work while anything of an own commit is left, alone as soon as it may fill a batch.
    #[test]
    fn work_is_left_until_the_last_own_commit_is_sealed() {
        let batch = SEAL_CHANGES_MAX as u64;
        let release = Release::new(0, 1_200);
        let is_due = |release: &Release| release.gate.lock().is_due();
        assert!(is_due(&release));
        for sealed_to in [512, 1_024, 1_200 - batch] {
            release.sealed(sealed_to);
            assert!(is_due(&release));
        }
        release.sealed(1_200 - batch + 1);
        assert!(!is_due(&release));
        release.gate.lock().has_audience = true;
        assert!(is_due(&release));
        release.sealed(1_200);
        assert!(!is_due(&release));
    }
}

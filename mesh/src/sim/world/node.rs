//! A peer: its core, its store, and what is lost with its process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::Topics;
use crate::{
    memory::{Checkpoint, MemoryReplica},
    proto::{Core, CoreConfig, Effect, Millis},
    replica::{Commit, DocumentKey, FeedId, FeedPosition, Interest, Replica, Sequence},
};

/// A peer of a world.
pub struct Node {
    /// Its store.
    pub replica: Arc<MemoryReplica>,
    /// Its protocol.
    pub core: Core,
    /// What it wants.
    pub interest: Interest,
    /// How far its clock is ahead of the world's, in milliseconds.
    pub skew_ms: u64,
    /// How long it takes to read a frame, in milliseconds.
    pub read_ms: u64,
    pub(super) compare_from: u64,
    commits: Arc<Mutex<VecDeque<Commit>>>,
    /// Writes that are not synced yet.
    pub(super) unsynced: VecDeque<Vec<(DocumentKey, Bytes)>>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// When the store is done with what it was asked.
    pub(super) store_free_at: u64,
    pub(super) requests: u64,
    /// When it reads on.
    pub(super) reads_at: u64,
    /// Tells what belongs to this run of the process from what an earlier one left behind.
    pub(super) life: u64,
    pub(super) up: bool,
    feeds: u8,
}

impl Node {
    pub(super) fn new(index: usize, interest: Interest, compare_from: u64) -> Self {
        let replica = Arc::new(MemoryReplica::new(FeedId([index as u8 + 1; 16])));
        let commits = Arc::new(Mutex::new(VecDeque::new()));
        let sink = commits.clone();
        let lock = |it: &Arc<Mutex<VecDeque<Commit>>>, commit| {
            it.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_back(commit);
        };
        replica.observe(move |commit| lock(&sink, commit));
        replica.keep_arrivals();
        let (core, _) = new_core(&replica, &interest, compare_from);
        Self {
            replica,
            core,
            interest,
            skew_ms: 0,
            read_ms: 0,
            compare_from,
            commits,
            unsynced: VecDeque::new(),
            checkpoint: None,
            store_free_at: 0,
            requests: 0,
            reads_at: 0,
            life: 0,
            up: true,
            feeds: 0,
        }
    }

    /// A new core for a new process; the topics that it subscribes to first.
    pub(super) fn begin(&mut self) -> Topics {
        let (core, topics) = new_core(&self.replica, &self.interest, self.compare_from);
        self.core = core;
        topics
    }

    /// What the store has committed since the last call.
    pub(super) fn take_commits(&self) -> VecDeque<Commit> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut commits)
    }

    /// The process is gone, and what it had to do with it.
    pub(super) fn end(&mut self) {
        (self.up, self.requests) = (false, 0);
        self.life += 1;
        self.take_commits();
    }

    /// The id of the next feed of this store.
    pub(super) fn next_feed(&mut self, index: usize) -> FeedId {
        self.feeds = self.feeds.wrapping_add(1);
        let mut id = [index as u8 + 1; 16];
        id[15] = self.feeds;
        id[14] = 0xff;
        FeedId(id)
    }

    /// The time by its own clock.
    pub(super) fn clock(&self, now: u64) -> Millis {
        Millis(now + self.skew_ms)
    }
}

/// A core over a replica, and the topics it subscribes to first. (The reference replica never fails.)
fn new_core(replica: &MemoryReplica, interest: &Interest, compare_from: u64) -> (Core, Topics) {
    let nothing = |_| FeedPosition {
        id: FeedId([0; 16]),
        last: Sequence(0),
    };
    let feed = replica.feed().unwrap_or_else(nothing);
    let collections = replica.collections().unwrap_or_default();
    let mut config = CoreConfig::new(feed, collections, interest.clone(), [7; 32]);
    config.compare_from = compare_from;
    let (core, effects) = Core::new(config);
    let topics = effects.into_iter().filter_map(|effect| match effect {
        Effect::Subscribe(collection) => Some(collection),
        _ => None,
    });
    (core, topics.collect())
}

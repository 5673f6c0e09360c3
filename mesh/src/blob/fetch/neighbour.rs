//! What a fetch knows of a neighbour.

use std::collections::VecDeque;

use crate::{
    blob::ChunkSet,
    limits::{
        FETCH_ANSWER_TIMEOUT_MS, FETCH_ASK_AGAIN_MS, FETCH_CHUNKS_PER_PEER_FIRST,
        FETCH_CHUNKS_PER_PEER_MAX, FETCH_RETRY_FIRST_MS, FETCH_RETRY_MAX_MS,
    },
    proto::Millis,
};

/// What a neighbour was asked and has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Held,
    Chunk(u64),
}

#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) is_connected: bool,
    /// It lied, or broke the protocol: it is asked for nothing of this blob any more.
    pub(super) is_banned: bool,
    /// What it has, as far as it told, and when it did.
    told: Option<(ChunkSet, Millis)>,
    /// In the order of the requests.
    owed: VecDeque<Owed>,
    /// How many chunks it may owe.
    window: usize,
    /// Since when its next answer is awaited.
    awaited_since: Millis,
    failures: u32,
    /// Not asked before then.
    retry_at: Millis,
}

impl Neighbour {
    pub(super) fn new() -> Self {
        Self {
            is_connected: true,
            is_banned: false,
            told: None,
            owed: VecDeque::new(),
            window: FETCH_CHUNKS_PER_PEER_FIRST,
            awaited_since: Millis(0),
            failures: 0,
            retry_at: Millis(0),
        }
    }

    pub(super) fn on_disconnected(&mut self) {
        self.is_connected = false;
        self.begin_anew();
    }

    pub(super) fn on_failed(&mut self, now: Millis) {
        self.begin_anew();
        let pause = FETCH_RETRY_FIRST_MS << self.failures.min(16);
        self.retry_at = now + pause.min(FETCH_RETRY_MAX_MS);
        self.failures = self.failures.saturating_add(1);
    }

    /// It is asked first what it has: on a new stream nothing is known to it.
    fn begin_anew(&mut self) {
        self.told = None;
        self.window = FETCH_CHUNKS_PER_PEER_FIRST;
    }

    pub(super) fn tells(&mut self, held: ChunkSet, now: Millis) {
        self.told = Some((held, now));
    }

    /// It lacks a chunk that it told to have. Not to be asked at once again what it has: it would tell the same.
    pub(super) fn lacks(&mut self, index: u64, now: Millis) {
        if let Some((held, at)) = &mut self.told {
            held.remove(index);
            *at = now;
        }
    }

    pub(super) fn gives(&mut self) {
        self.failures = 0;
        self.window = (self.window + 1).min(FETCH_CHUNKS_PER_PEER_MAX);
    }

    pub(super) fn asked(&mut self, owed: Owed, now: Millis) {
        if self.owed.is_empty() {
            self.awaited_since = now;
        }
        self.owed.push_back(owed);
    }

    /// It has answered; to what.
    pub(super) fn answered(&mut self, now: Millis) -> Option<Owed> {
        self.awaited_since = now;
        self.owed.pop_front()
    }

    pub(super) fn forget_owed(&mut self) -> Vec<Owed> {
        self.owed.drain(..).collect()
    }

    pub(super) fn is_usable(&self, now: Millis) -> bool {
        self.is_connected && !self.is_banned && self.retry_at <= now
    }

    /// The chunks it has, as far as it told.
    pub(super) fn held(&self) -> Option<&ChunkSet> {
        self.told.as_ref().map(|(held, _)| held)
    }

    /// Whether it was asked for the first time what it has.
    pub(super) fn is_being_asked(&self) -> bool {
        self.told.is_none() && !self.owed.is_empty()
    }

    /// How often it failed since it last gave a chunk.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn chunks_owed(&self) -> usize {
        let is_chunk = |owed: &&Owed| matches!(owed, Owed::Chunk(_));
        self.owed.iter().filter(is_chunk).count()
    }

    pub(super) fn may_owe_more(&self) -> bool {
        self.chunks_owed() < self.window
    }

    /// When to ask it what it has: at once, later because it lacks something that it may be fetching, or not at all.
    pub(super) fn ask_at(&self, now: Millis) -> Option<Millis> {
        if !self.is_connected || self.is_banned || !self.owed.is_empty() {
            return None;
        }
        match &self.told {
            None => Some(self.retry_at.max(now)),
            Some((held, _)) if held.is_full() => None,
            Some((_, at)) => Some(self.retry_at.max(*at + FETCH_ASK_AGAIN_MS)),
        }
    }

    /// When it has taken too long to answer.
    pub(super) fn overdue_at(&self) -> Option<Millis> {
        let awaited = !self.owed.is_empty();
        awaited.then(|| self.awaited_since + FETCH_ANSWER_TIMEOUT_MS)
    }

    /// When it may be asked again after a failure.
    pub(super) fn retry_at(&self) -> Option<Millis> {
        (self.is_connected && !self.is_banned).then_some(self.retry_at)
    }
}

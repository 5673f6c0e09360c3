//! One fetch: which neighbour is asked for which chunk, and what becomes of it. Lowest chunks first, a few from each neighbour
//! that has them; what one does not give in time, another is asked for. A chunk is asked for twice only at the end, when no
//! other is left to ask for.

mod neighbour;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use neighbour::{Neighbour, Owed};

use super::{Blob, BlobAnswer, BlobRequest, Chunk, ChunkSet, Taken, chunk_bytes};
use crate::{
    limits::{FETCH_NEIGHBOURS_MAX, FETCH_REPEATS_MAX},
    proto::Millis,
    replica::PeerKey,
};

/// What happens to a fetch.
#[derive(Clone, Debug)]
pub enum FetchEvent {
    /// A peer can be asked.
    Connected(PeerKey),
    /// A peer can't be asked any more; what it owes does not come.
    Disconnected(PeerKey),
    /// A peer's next answer. Answers come in the order of the requests.
    Answered(PeerKey, BlobAnswer),
    /// A peer could not be asked, or its stream ended; what it owes does not come.
    Failed(PeerKey),
    /// What the store did with a chunk, or why it failed.
    Checked(u64, Result<Taken, String>),
    /// The chunks that are here, as [`FetchEffect::Look`] wants to know.
    Here(ChunkSet),
    /// It is the time that [`Fetch::wake_at`] named.
    Tick,
}

/// What a fetch wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEffect {
    /// Send a request, over a stream to this peer that is opened if there is none.
    Send(PeerKey, BlobRequest),
    /// Give up the stream to a peer.
    Close(PeerKey),
    /// Keep this peer away for a while: it broke the protocol, or gave what the blob does not have there.
    Ban(PeerKey, &'static str),
    /// Hand a chunk to the store.
    Check(u64, Chunk),
    /// Ask the store which chunks are here.
    Look,
    /// There is more of it.
    Progress(FetchProgress),
    /// It has ended; nothing more is wanted.
    End(Result<(), FetchFailure>),
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchProgress {
    /// Bytes that are here, those that were here before included.
    pub bytes: u64,
    /// Bytes in all.
    pub of: u64,
    /// From how many neighbours chunks came.
    pub peers: usize,
}

/// Why a fetch ended without the whole blob. What came of it stays, and another fetch goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchFailure {
    /// No neighbour has what is missing.
    #[error("{}", nobody(*.neighbours, *.missing, *.chunks))]
    NobodyHasIt {
        /// Neighbours that are connected.
        neighbours: usize,
        /// Chunks that are missing.
        missing: u64,
        /// Chunks in all.
        chunks: u64,
    },
    /// The store failed.
    #[error("{reason}")]
    Store {
        /// Why.
        reason: String,
    },
}

fn nobody(neighbours: usize, missing: u64, chunks: u64) -> String {
    let part = match missing < chunks {
        true => format!("the {missing} of its {chunks} pieces that are missing"),
        false => "it".to_owned(),
    };
    match neighbours {
        0 => "no neighbour is connected to fetch it from".to_owned(),
        1 => format!("the one connected neighbour does not have {part}"),
        _ => format!("none of the {neighbours} connected neighbours has {part}"),
    }
}

/// The fetch of one blob.
#[derive(Debug)]
pub struct Fetch {
    blob: Blob,
    /// How long it waits for somebody who has what is missing, in milliseconds.
    wait_ms: u64,
    here: ChunkSet,
    /// Chunks that are neither here nor asked for nor with the store.
    free: ChunkSet,
    asked: BTreeMap<u64, Asked>,
    /// Chunks that the store is looking at, and who gave them.
    checking: BTreeMap<u64, PeerKey>,
    neighbours: BTreeMap<PeerKey, Neighbour>,
    givers: BTreeSet<PeerKey>,
    bytes: u64,
    /// When the last chunk came, or the fetch began.
    grown_at: Millis,
    repeats: u32,
    ended: bool,
}

/// Who was asked for a chunk, and when first.
#[derive(Debug)]
struct Asked {
    peers: Vec<PeerKey>,
    at: Millis,
}

impl Fetch {
    /// Begins a fetch of what is not `here`. It waits for so long for somebody who has what is missing. What it is told
    /// first is who is connected, then a [`Tick`](FetchEvent::Tick).
    pub fn new(blob: Blob, here: ChunkSet, wait_ms: u64, now: Millis) -> (Self, Vec<FetchEffect>) {
        let mut fetch = Self {
            blob,
            wait_ms,
            free: here.complement(),
            here,
            asked: BTreeMap::new(),
            checking: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            givers: BTreeSet::new(),
            bytes: 0,
            grown_at: now,
            repeats: 0,
            ended: false,
        };
        let mut effects = Vec::new();
        fetch.count(&mut effects);
        if fetch.here.is_full() {
            fetch.end(Ok(()), &mut effects);
        }
        (fetch, effects)
    }

    /// Takes an event and says what is to be done. After the end nothing is.
    pub fn handle(&mut self, event: FetchEvent, now: Millis) -> Vec<FetchEffect> {
        let mut effects = Vec::new();
        if self.ended {
            return effects;
        }
        match event {
            FetchEvent::Connected(peer) => self.on_connected(peer),
            FetchEvent::Disconnected(peer) => {
                self.release(&peer);
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.on_disconnected();
                }
            }
            FetchEvent::Failed(peer) => self.on_failed(&peer, now),
            FetchEvent::Answered(peer, answer) => {
                self.on_answer(&peer, answer, now, &mut effects);
            }
            FetchEvent::Checked(index, outcome) => {
                self.on_checked(index, outcome, now, &mut effects);
            }
            FetchEvent::Here(here) => self.on_here(here, &mut effects),
            FetchEvent::Tick => {}
        }
        if !self.ended {
            self.expire(now, &mut effects);
            self.schedule(now, &mut effects);
            self.give_up_if_due(now, &mut effects);
        }
        effects
    }

    fn on_connected(&mut self, peer: PeerKey) {
        if let Some(known) = self.neighbours.get_mut(&peer) {
            known.is_connected = true;
            return;
        }
        if self.neighbours.len() >= FETCH_NEIGHBOURS_MAX {
            // One that left makes room, but not one that lied: it would be trusted again.
            let gone = |(_, it): &(&PeerKey, &Neighbour)| !it.is_connected && !it.is_banned;
            let Some(gone) = self
                .neighbours
                .iter()
                .find(gone)
                .map(|(peer, _)| peer.clone())
            else {
                return;
            };
            self.neighbours.remove(&gone);
        }
        self.neighbours.insert(peer, Neighbour::new());
    }

    fn on_failed(&mut self, peer: &PeerKey, now: Millis) {
        self.release(peer);
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.on_failed(now);
        }
    }

    fn on_answer(
        &mut self,
        peer: &PeerKey,
        answer: BlobAnswer,
        now: Millis,
        effects: &mut Vec<FetchEffect>,
    ) {
        let Some(neighbour) = self.neighbours.get_mut(peer) else {
            return;
        };
        if neighbour.is_banned {
            return;
        }
        let Some(owed) = neighbour.answered(now) else {
            return self.ban(peer, "it answered what was not asked", effects);
        };
        match (owed, answer) {
            (Owed::Held, BlobAnswer::Held(bytes)) => {
                match ChunkSet::decode(&bytes, self.blob.chunks()) {
                    Some(held) => neighbour.tells(held, now),
                    None => self.ban(peer, "its list of chunks is none", effects),
                }
            }
            (Owed::Held, BlobAnswer::NotHere) => {
                neighbour.tells(ChunkSet::none(self.blob.chunks()), now);
                // Others may need the stream more, until it is asked again.
                effects.push(FetchEffect::Close(peer.clone()));
            }
            (Owed::Chunk(index), BlobAnswer::NotHere) => {
                neighbour.lacks(index, now);
                self.release_chunk(index, peer);
            }
            (Owed::Chunk(index), BlobAnswer::Chunk(given, chunk)) if given == index => {
                neighbour.gives();
                self.on_chunk(index, chunk, peer, effects);
            }
            (Owed::Held | Owed::Chunk(_), _) => {
                self.release_owed(owed, peer);
                self.ban(peer, "it gave another answer than was asked for", effects);
            }
        }
    }

    fn on_chunk(
        &mut self,
        index: u64,
        chunk: Chunk,
        peer: &PeerKey,
        effects: &mut Vec<FetchEffect>,
    ) {
        self.release_chunk(index, peer);
        // Another one was quicker.
        if self.here.has(index) || self.checking.contains_key(&index) {
            return;
        }
        self.free.remove(index);
        self.checking.insert(index, peer.clone());
        effects.push(FetchEffect::Check(index, chunk));
    }

    fn on_checked(
        &mut self,
        index: u64,
        outcome: Result<Taken, String>,
        now: Millis,
        effects: &mut Vec<FetchEffect>,
    ) {
        let Some(peer) = self.checking.remove(&index) else {
            return;
        };
        match outcome {
            Ok(Taken::Kept) => {
                self.keep(index, peer, now, effects);
                if self.here.is_full() {
                    // Not whole though all came: something of it was removed meanwhile.
                    effects.push(FetchEffect::Look);
                }
            }
            Ok(Taken::Whole) => {
                self.keep(index, peer, now, effects);
                self.end(Ok(()), effects);
            }
            Ok(Taken::Wrong { .. }) => {
                if !self.asked.contains_key(&index) {
                    self.free.add(index);
                }
                self.ban(
                    &peer,
                    "it gave a chunk that is not the attachment's",
                    effects,
                );
            }
            Err(reason) => self.end(Err(FetchFailure::Store { reason }), effects),
        }
    }

    fn keep(&mut self, index: u64, peer: PeerKey, now: Millis, effects: &mut Vec<FetchEffect>) {
        self.here.add(index);
        self.asked.remove(&index);
        self.givers.insert(peer);
        self.grown_at = now;
        self.count(effects);
    }

    fn on_here(&mut self, here: ChunkSet, effects: &mut Vec<FetchEffect>) {
        if here.is_full() {
            return self.end(Ok(()), effects);
        }
        self.repeats += 1;
        if self.repeats > FETCH_REPEATS_MAX {
            let reason = "pieces that came are removed again and again; is `sedge attachment collect` running?";
            let reason = reason.to_owned();
            return self.end(Err(FetchFailure::Store { reason }), effects);
        }
        self.free = here.complement();
        self.here = here;
        for index in self.asked.keys().chain(self.checking.keys()) {
            self.free.remove(*index);
        }
        self.count(effects);
    }

    /// Counts the bytes that are here, and tells.
    fn count(&mut self, effects: &mut Vec<FetchEffect>) {
        let chunks = self.blob.chunks();
        // All chunks but the last have the same length.
        let last = chunks.saturating_sub(1);
        let before = self.here.count() - u64::from(self.here.has(last));
        self.bytes = before * chunk_bytes(u64::MAX, 0);
        if self.here.has(last) {
            self.bytes += chunk_bytes(self.blob.len, last);
        }
        effects.push(FetchEffect::Progress(FetchProgress {
            bytes: self.bytes,
            of: self.blob.len,
            peers: self.givers.len(),
        }));
    }

    /// Asks this peer for nothing any more.
    fn ban(&mut self, peer: &PeerKey, why: &'static str, effects: &mut Vec<FetchEffect>) {
        self.release(peer);
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.is_banned = true;
        }
        effects.push(FetchEffect::Close(peer.clone()));
        effects.push(FetchEffect::Ban(peer.clone(), why));
    }

    /// What the peer owes is no longer expected of it.
    fn release(&mut self, peer: &PeerKey) {
        let owed = self.neighbours.get_mut(peer).map(Neighbour::forget_owed);
        for owed in owed.into_iter().flatten() {
            self.release_owed(owed, peer);
        }
    }

    fn release_owed(&mut self, owed: Owed, peer: &PeerKey) {
        match owed {
            Owed::Held => {}
            Owed::Chunk(index) => self.release_chunk(index, peer),
        }
    }

    fn release_chunk(&mut self, index: u64, peer: &PeerKey) {
        let Some(asked) = self.asked.get_mut(&index) else {
            return;
        };
        asked.peers.retain(|other| other != peer);
        if asked.peers.is_empty() {
            self.asked.remove(&index);
            if !self.here.has(index) && !self.checking.contains_key(&index) {
                self.free.add(index);
            }
        }
    }

    fn end(&mut self, outcome: Result<(), FetchFailure>, effects: &mut Vec<FetchEffect>) {
        self.ended = true;
        effects.push(FetchEffect::End(outcome));
    }
}

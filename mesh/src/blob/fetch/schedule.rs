//! Whom to ask for what now, when to look again, and when to give up.

use super::neighbour::{Neighbour, Owed};
use super::{Asked, Fetch, FetchEffect, FetchFailure};
use crate::{
    blob::BlobRequest,
    limits::{FETCH_CHUNKS_MAX, FETCH_DOUBLE_AFTER_MS, FETCH_STALLED_MS},
    proto::Millis,
    replica::PeerKey,
};

impl Fetch {
    /// When to hand in a [`Tick`](super::FetchEvent::Tick), unless something else happens before.
    pub fn wake_at(&self, now: Millis) -> Option<Millis> {
        if self.ended {
            return None;
        }
        let neighbours = self.neighbours.values();
        let theirs =
            neighbours.flat_map(|it| [it.ask_at(now), it.overdue_at(), it.retry_at()].into_iter());
        let doubles = self.asked.values().filter(|_| self.free.is_empty());
        let doubles = doubles.map(|asked| Some(asked.at + FETCH_DOUBLE_AFTER_MS));
        let own = [self.wait_ms, self.wait_ms + FETCH_STALLED_MS];
        let own = own.into_iter().map(|after| Some(self.grown_at + after));
        let times = theirs.chain(doubles).chain(own).flatten();
        // What was due has been seen to by the last event.
        times.filter(|at| *at > now).min()
    }

    /// Gives up the streams of neighbours that owe an answer for too long.
    pub(super) fn expire(&mut self, now: Millis, effects: &mut Vec<FetchEffect>) {
        let late = |it: &Neighbour| it.overdue_at().is_some_and(|at| at <= now);
        let late = self.neighbours.iter().filter(|(_, it)| late(it));
        for peer in late.map(|(peer, _)| peer.clone()).collect::<Vec<_>>() {
            effects.push(FetchEffect::Close(peer.clone()));
            self.on_failed(&peer, now);
        }
    }

    /// Ends when nothing came for so long and nothing is to be hoped for, or hope alone has lasted too long.
    pub(super) fn give_up_if_due(&mut self, now: Millis, effects: &mut Vec<FetchEffect>) {
        let waited = now >= self.grown_at + self.wait_ms;
        let stalled = now >= self.grown_at + self.wait_ms + FETCH_STALLED_MS;
        let hope =
            !self.asked.is_empty() || self.neighbours.values().any(Neighbour::is_being_asked);
        // What the store is looking at came; it says in a moment whether it is right.
        if self.checking.is_empty() && waited && (stalled || !hope) {
            let neighbours = self.neighbours.values().filter(|it| it.is_connected);
            let failure = FetchFailure::NobodyHasIt {
                neighbours: neighbours.count(),
                missing: self.here.complement().count(),
                chunks: self.blob.chunks(),
            };
            self.end(Err(failure), effects);
        }
    }

    /// Asks whom there is something to ask.
    pub(super) fn schedule(&mut self, now: Millis, effects: &mut Vec<FetchEffect>) {
        // One chunk for each in turn, so that all neighbours share what there is to give.
        while self.owed() < FETCH_CHUNKS_MAX && self.deal(now, effects) {}
        if self.free.is_empty() {
            self.double(now, effects);
        }
        for (peer, neighbour) in &mut self.neighbours {
            if neighbour.ask_at(now).is_some_and(|at| at <= now) {
                neighbour.asked(Owed::Held, now);
                let ask = BlobRequest::Ask(self.blob);
                effects.push(FetchEffect::Send(peer.clone(), ask));
            }
        }
    }

    /// Chunks that are asked for or with the store.
    fn owed(&self) -> usize {
        let owed = self.neighbours.values().map(Neighbour::chunks_owed);
        owed.sum::<usize>() + self.checking.len()
    }

    /// Asks each neighbour for one more chunk; whether any was.
    fn deal(&mut self, now: Millis, effects: &mut Vec<FetchEffect>) -> bool {
        let mut room = FETCH_CHUNKS_MAX.saturating_sub(self.owed());
        let mut dealt = false;
        let mut neighbours: Vec<_> = self.neighbours.iter_mut().collect();
        // Those that promise and fail come last, else a few of them could keep a chunk from ever being given.
        neighbours.sort_by_key(|(_, it)| it.failures());
        for (peer, neighbour) in neighbours {
            if room == 0 || !neighbour.is_usable(now) || !neighbour.may_owe_more() {
                continue;
            }
            let held = neighbour.held();
            let Some(index) = held.and_then(|held| self.free.first_common(held)) else {
                continue;
            };
            self.free.remove(index);
            let peers = vec![peer.clone()];
            self.asked.insert(index, Asked { peers, at: now });
            neighbour.asked(Owed::Chunk(index), now);
            effects.push(FetchEffect::Send(peer.clone(), BlobRequest::Get(index)));
            room -= 1;
            dealt = true;
        }
        dealt
    }

    /// Asks those who have nothing to do for the last chunks, where another one takes long.
    fn double(&mut self, now: Millis, effects: &mut Vec<FetchEffect>) {
        let mut room = FETCH_CHUNKS_MAX.saturating_sub(self.owed());
        let checking = &self.checking;
        let late = |(index, asked): &(&u64, &mut Asked)| {
            let is_late = asked.peers.len() == 1 && asked.at + FETCH_DOUBLE_AFTER_MS <= now;
            is_late && !checking.contains_key(index)
        };
        for (index, asked) in self.asked.iter_mut().filter(late) {
            if room == 0 {
                return;
            }
            let is_free = |peer: &PeerKey, it: &Neighbour| {
                let has = it.held().is_some_and(|held| held.has(*index));
                has && it.is_usable(now) && it.may_owe_more() && !asked.peers.contains(peer)
            };
            let free = self
                .neighbours
                .iter_mut()
                .filter(|(peer, it)| is_free(peer, it));
            let Some((peer, neighbour)) =
                free.min_by_key(|(_, it)| (it.failures(), it.chunks_owed()))
            else {
                continue;
            };
            neighbour.asked(Owed::Chunk(*index), now);
            asked.peers.push(peer.clone());
            effects.push(FetchEffect::Send(peer.clone(), BlobRequest::Get(*index)));
            room -= 1;
        }
    }
}

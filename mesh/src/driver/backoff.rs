//! Pauses: how long to wait before trying again, and which misbehaving peers are kept away for how long.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use tokio::time::Instant;

use crate::limits::{
    BACKOFF_FIRST_MS, BACKOFF_MAX_MS, BACKOFFS_MAX, REDIAL_FIRST_MS, REDIAL_MAX_MS,
};

/// Time for the close code to reach a peer before its connections are cut.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection or stream that lasts this long is a success; one that ends sooner counts as a failed attempt.
pub(super) const LASTING: Duration = Duration::from_secs(10);

/// The pause after a number of failures in a row: doubling, and spread by ± 25 % so that peers that lost
/// each other at one moment do not all come back at one moment. The spread comes from a hash of `salt`.
pub(super) fn redial_pause(failures: u32, salt: &[u8]) -> Duration {
    let base_ms = REDIAL_FIRST_MS
        .saturating_mul(1 << failures.min(16))
        .min(REDIAL_MAX_MS);
    let hash = blake3::Hasher::new()
        .update(salt)
        .update(&failures.to_le_bytes())
        .finalize();
    let spread = u64::from(hash.as_bytes()[0]);
    Duration::from_millis((base_ms * 3 / 4 + base_ms * spread / 512).min(REDIAL_MAX_MS))
}

/// The peers that broke the protocol lately.
#[derive(Debug, Default)]
pub(super) struct Backoffs {
    peers: HashMap<PeerId, Backoff>,
}

#[derive(Debug)]
struct Backoff {
    strikes: u32,
    /// When its connections are cut.
    from: Instant,
    /// When it may come back.
    until: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Farewell,
    Blocked,
    /// It may come back; its strikes are remembered for a while.
    Over,
}

/// What to do about a peer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Block(PeerId),
    Unblock(PeerId),
}

impl Backoffs {
    /// A peer broke the protocol. Returns for how long it is kept away, and which peer (if any) lost its
    /// place for it and must be let in again.
    pub fn strike(&mut self, peer: PeerId, now: Instant) -> (Duration, Option<Step>) {
        let displaced = if self.peers.len() >= BACKOFFS_MAX && !self.peers.contains_key(&peer) {
            let first = self.peers.iter().min_by_key(|(_, backoff)| backoff.until);
            let first = first.map(|(peer, _)| *peer);
            first.and_then(|first| {
                self.peers.remove(&first)?;
                Some(Step::Unblock(first))
            })
        } else {
            None
        };
        let strikes = self.peers.get(&peer).map_or(0, |backoff| backoff.strikes);
        let pause =
            Duration::from_millis((BACKOFF_FIRST_MS << strikes.min(16)).min(BACKOFF_MAX_MS));
        let (from, stage) = (now + FAREWELL, Stage::Farewell);
        self.peers.insert(
            peer,
            Backoff {
                strikes: strikes + 1,
                from,
                until: now + pause,
                stage,
            },
        );
        (pause, displaced)
    }

    /// Whether a peer is to be kept away.
    pub fn holds(&self, peer: &PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|backoff| backoff.stage != Stage::Over)
    }

    /// When there is something to do next.
    pub fn next(&self) -> Option<Instant> {
        self.peers.values().map(Backoff::next).min()
    }

    /// What is to be done by now.
    pub fn due(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        self.peers.retain(|peer, backoff| {
            if backoff.stage == Stage::Farewell && backoff.from <= now {
                backoff.stage = Stage::Blocked;
                steps.push(Step::Block(*peer));
            }
            if backoff.stage == Stage::Blocked && backoff.until <= now {
                backoff.stage = Stage::Over;
                steps.push(Step::Unblock(*peer));
            }
            backoff.stage != Stage::Over || backoff.next() > now
        });
        steps
    }
}

impl Backoff {
    fn next(&self) -> Instant {
        match self.stage {
            Stage::Farewell => self.from,
            Stage::Blocked => self.until,
            Stage::Over => self.until + Duration::from_millis(BACKOFF_MAX_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: strikes double the pause, steps come in order, and strikes are forgotten in the end.
    #[test]
    fn a_peer_is_blocked_let_in_and_forgotten() {
        let (peer, start) = (PeerId::random(), Instant::now());
        let mut backoffs = Backoffs::default();
        assert_eq!(
            backoffs.strike(peer, start).0,
            Duration::from_millis(BACKOFF_FIRST_MS)
        );
        assert!(backoffs.holds(&peer));
        assert_eq!(backoffs.due(start), []);
        assert_eq!(backoffs.due(start + FAREWELL), [Step::Block(peer)]);
        let over = start + Duration::from_millis(BACKOFF_FIRST_MS);
        assert_eq!(backoffs.due(over), [Step::Unblock(peer)]);
        assert!(!backoffs.holds(&peer));
        assert_eq!(
            backoffs.strike(peer, over).0,
            Duration::from_millis(2 * BACKOFF_FIRST_MS)
        );
        let later = over + Duration::from_millis(2 * BACKOFF_MAX_MS);
        assert_eq!(
            backoffs.due(later),
            [Step::Block(peer), Step::Unblock(peer)]
        );
        assert_eq!(backoffs.next(), None);
    }

    /// Goal: the map is bounded, and who loses its place is let in again.
    #[test]
    fn the_number_of_backoffs_is_bounded() {
        let (first, start) = (PeerId::random(), Instant::now());
        let mut backoffs = Backoffs::default();
        assert_eq!(backoffs.strike(first, start).1, None);
        for _ in 1..BACKOFFS_MAX {
            assert_eq!(backoffs.strike(PeerId::random(), start + FAREWELL).1, None);
        }
        assert_eq!(
            backoffs.strike(PeerId::random(), start + FAREWELL).1,
            Some(Step::Unblock(first))
        );
        assert_eq!(backoffs.peers.len(), BACKOFFS_MAX);
    }

    /// Goal: pauses grow from 0.2 s to 30 s, spread by a quarter to each side.
    #[test]
    fn pauses_grow_within_their_bounds() {
        for failures in 0..40 {
            let base_ms = (REDIAL_FIRST_MS << failures.min(16)).min(REDIAL_MAX_MS);
            let pause_ms = redial_pause(failures, b"salt").as_millis() as u64;
            assert!(
                (base_ms * 3 / 4..=base_ms * 5 / 4).contains(&pause_ms),
                "{failures}: {pause_ms}"
            );
            assert!(pause_ms <= REDIAL_MAX_MS);
        }
    }
}

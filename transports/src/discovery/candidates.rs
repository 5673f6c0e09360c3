//! The peers found on the local network and when to dial them: bounded, without IO. Times are ms on any clock that does
//! not go back.

use std::collections::{HashMap, HashSet};

use libp2p::{Multiaddr, PeerId};

use crate::limits::{
    DISCOVERED_ADDRESSES_MAX, DISCOVERED_PEERS_MAX, DISCOVERY_BACKOFF_MAX_MS,
    DISCOVERY_BACKOFF_MIN_MS, DISCOVERY_DIALS_MAX, DISCOVERY_STABLE_MS, DISCOVERY_YIELD_MS,
};

/// The peers found on the local network.
#[derive(Debug)]
pub(crate) struct Candidates {
    local: PeerId,
    peers: HashMap<PeerId, Candidate>,
    /// Every connected peer, found here or not; as many as the swarm has connections.
    connected: HashSet<PeerId>,
}

#[derive(Debug)]
struct Candidate {
    addresses: Vec<Multiaddr>,
    state: State,
    /// Dials that failed since the last connection that lasted.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { until_ms: u64 },
    Dialling,
    Connected { since_ms: u64 },
}

impl Candidates {
    /// Nobody found yet, by the peer `local`.
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local,
            peers: HashMap::new(),
            connected: HashSet::new(),
        }
    }

    /// `peer` was found at `address`. A new address of a known peer shortens its pause, but never below the least one.
    pub(crate) fn discovered(&mut self, peer: PeerId, address: Multiaddr, now_ms: u64) {
        if peer == self.local {
            return;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            if known.addresses.len() < DISCOVERED_ADDRESSES_MAX
                && !known.addresses.contains(&address)
            {
                known.addresses.push(address);
                if let State::Waiting { until_ms } = &mut known.state {
                    *until_ms = (*until_ms).min(now_ms + DISCOVERY_BACKOFF_MIN_MS);
                }
            }
            return;
        }
        if self.peers.len() >= DISCOVERED_PEERS_MAX && !self.make_room() {
            return;
        }
        let pause_ms = if self.local < peer {
            0
        } else {
            DISCOVERY_YIELD_MS
        };
        let state = if self.connected.contains(&peer) {
            State::Connected { since_ms: now_ms }
        } else {
            State::Waiting {
                until_ms: now_ms + pause_ms,
            }
        };
        self.peers.insert(
            peer,
            Candidate {
                addresses: vec![address],
                state,
                failures: 0,
            },
        );
    }

    /// `peer` is not at `address` any more. A peer without an address is forgotten unless something is under way.
    pub(crate) fn expired(&mut self, peer: &PeerId, address: &Multiaddr) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        known.addresses.retain(|known| known != address);
        if known.addresses.is_empty() && matches!(known.state, State::Waiting { .. }) {
            self.peers.remove(peer);
        }
    }

    /// `peer` is connected, whoever dialled.
    pub(crate) fn connected(&mut self, peer: &PeerId, now_ms: u64) {
        self.connected.insert(*peer);
        if let Some(known) = self.peers.get_mut(peer)
            && !matches!(known.state, State::Connected { .. })
        {
            known.state = State::Connected { since_ms: now_ms };
        }
    }

    /// The last connection to `peer` has ended.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now_ms: u64) {
        self.connected.remove(peer);
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if let State::Connected { since_ms } = known.state
            && now_ms.saturating_sub(since_ms) >= DISCOVERY_STABLE_MS
        {
            known.failures = 0;
        }
        self.pause(peer, now_ms);
    }

    /// The dial to `peer` failed, or it refused us, or we it. Of no account while it has another connection.
    pub(crate) fn failed(&mut self, peer: &PeerId, now_ms: u64) {
        if !self.connected.contains(peer) {
            self.pause(peer, now_ms);
        }
    }

    fn pause(&mut self, peer: &PeerId, now_ms: u64) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let pause_ms = DISCOVERY_BACKOFF_MIN_MS
            .checked_shl(known.failures)
            .map_or(DISCOVERY_BACKOFF_MAX_MS, |pause_ms| {
                pause_ms.min(DISCOVERY_BACKOFF_MAX_MS)
            });
        // Beyond 16 doublings the pause has long reached its greatest, and the shift stays in range.
        known.failures = (known.failures + 1).min(16);
        known.state = State::Waiting {
            until_ms: now_ms + pause_ms,
        };
        if known.addresses.is_empty() {
            self.peers.remove(peer);
        }
    }

    /// The dial to `peer` was not needed, because it was connected or being dialled already.
    pub(crate) fn not_needed(&mut self, peer: &PeerId, now_ms: u64) {
        if let Some(known) = self.peers.get_mut(peer)
            && known.state == State::Dialling
        {
            known.state = State::Waiting {
                until_ms: now_ms + DISCOVERY_STABLE_MS,
            };
        }
    }

    /// The next peer to dial now, which then counts as being dialled.
    pub(crate) fn next_dial(&mut self, now_ms: u64) -> Option<(PeerId, Vec<Multiaddr>)> {
        if self.dials() >= DISCOVERY_DIALS_MAX {
            return None;
        }
        let due = self
            .peers
            .iter_mut()
            .filter_map(|(peer, known)| match known.state {
                State::Waiting { until_ms } if until_ms <= now_ms => Some((until_ms, *peer, known)),
                State::Waiting { .. } | State::Dialling | State::Connected { .. } => None,
            });
        let (_, peer, known) = due.min_by_key(|(until_ms, peer, _)| (*until_ms, *peer))?;
        known.state = State::Dialling;
        Some((peer, known.addresses.clone()))
    }

    /// When [`Self::next_dial`] is to be asked again, unless something happens before.
    pub(crate) fn wake_ms(&self) -> Option<u64> {
        if self.dials() >= DISCOVERY_DIALS_MAX {
            return None;
        }
        let pauses = self.peers.values().filter_map(|known| match known.state {
            State::Waiting { until_ms } => Some(until_ms),
            State::Dialling | State::Connected { .. } => None,
        });
        pauses.min()
    }

    fn dials(&self) -> usize {
        self.peers
            .values()
            .filter(|known| known.state == State::Dialling)
            .count()
    }

    /// Forgets the peer that failed most often, if one has failed and nothing is under way with it.
    fn make_room(&mut self) -> bool {
        let failed = self.peers.iter().filter(|(_, known)| {
            known.failures > 0 && matches!(known.state, State::Waiting { .. })
        });
        let worst = failed
            .max_by_key(|(peer, known)| (known.failures, **peer))
            .map(|(peer, _)| *peer);
        worst.is_some_and(|peer| self.peers.remove(&peer).is_some())
    }
}

#[cfg(test)]
mod tests {
    use sedge_identity::DeviceKey;

    use super::*;

    /// Peers in the order of their ids.
    fn peers(count: usize) -> Vec<PeerId> {
        let mut peers: Vec<_> = (0..count)
            .map(|number| {
                let mut seed = [0; 32];
                seed[..8].copy_from_slice(&number.to_le_bytes());
                DeviceKey::from_seed(seed).peer_id()
            })
            .collect();
        peers.sort();
        peers
    }

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    /// Goal: of two peers that find each other, the one with the lesser id dials at once and the other waits.
    #[test]
    fn one_of_two_dials_first() {
        let two = peers(2);
        let mut lesser = Candidates::new(two[0]);
        lesser.discovered(two[1], address(1), 0);
        assert_eq!(lesser.next_dial(0), Some((two[1], vec![address(1)])));
        let mut greater = Candidates::new(two[1]);
        greater.discovered(two[0], address(1), 0);
        assert_eq!(greater.next_dial(DISCOVERY_YIELD_MS - 1), None);
        assert_eq!(greater.wake_ms(), Some(DISCOVERY_YIELD_MS));
        greater.connected(&two[0], 10);
        assert_eq!(
            (greater.next_dial(DISCOVERY_YIELD_MS), greater.wake_ms()),
            (None, None)
        );
    }

    /// Goal: a peer that refuses is dialled ever more seldom, a dozen times in the first hour, and still found in the end.
    #[test]
    fn refusals_are_backed_off() {
        let two = peers(2);
        let mut candidates = Candidates::new(two[0]);
        candidates.discovered(two[1], address(1), 0);
        let mut dials = Vec::new();
        for now_ms in (0..4 * 3_600_000).step_by(100) {
            if candidates.next_dial(now_ms).is_some() {
                dials.push(now_ms);
                candidates.failed(&two[1], now_ms);
            }
        }
        assert!(
            dials.iter().filter(|at| **at < 3_600_000).count() <= 12,
            "{dials:?}"
        );
        let pauses: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..3], [5_000, 10_000, 20_000]);
        assert_eq!(pauses.last(), Some(&DISCOVERY_BACKOFF_MAX_MS));
    }

    /// Goal: a lasting connection clears the record, a short one counts as a failure.
    #[test]
    fn only_lasting_connections_clear_the_record() {
        let two = peers(2);
        let mut candidates = Candidates::new(two[0]);
        candidates.discovered(two[1], address(1), 0);
        let mut now_ms = 0;
        for pause_ms in [5_000, 10_000, 20_000] {
            assert!(candidates.next_dial(now_ms).is_some());
            candidates.connected(&two[1], now_ms);
            candidates.disconnected(&two[1], now_ms);
            assert_eq!(candidates.wake_ms(), Some(now_ms + pause_ms));
            now_ms += pause_ms;
        }
        candidates.connected(&two[1], now_ms);
        now_ms += DISCOVERY_STABLE_MS;
        candidates.disconnected(&two[1], now_ms);
        assert_eq!(
            candidates.wake_ms(),
            Some(now_ms + DISCOVERY_BACKOFF_MIN_MS)
        );
    }

    /// Goal: peers, addresses and dials are bounded, and peers that fail give way to new ones.
    #[test]
    fn everything_is_bounded() {
        let many = peers(DISCOVERED_PEERS_MAX + 3);
        let mut candidates = Candidates::new(many[0]);
        for peer in &many[1..=DISCOVERED_PEERS_MAX + 1] {
            candidates.discovered(*peer, address(1), 0);
        }
        assert_eq!(candidates.peers.len(), DISCOVERED_PEERS_MAX);
        let dialled: Vec<_> = std::iter::from_fn(|| candidates.next_dial(0)).collect();
        assert_eq!(dialled.len(), DISCOVERY_DIALS_MAX);
        assert_eq!(candidates.wake_ms(), None);
        let failed = dialled[0].0;
        candidates.failed(&failed, 0);
        let newcomer = many[DISCOVERED_PEERS_MAX + 2];
        for port in 0..2 * DISCOVERED_ADDRESSES_MAX {
            candidates.discovered(newcomer, address(port), 0);
        }
        assert!(!candidates.peers.contains_key(&failed));
        assert_eq!(
            candidates.peers[&newcomer].addresses.len(),
            DISCOVERED_ADDRESSES_MAX
        );
        assert_eq!(candidates.peers.len(), DISCOVERED_PEERS_MAX);
    }

    /// Goal: a peer whose addresses have expired is forgotten, but not while it is dialled or connected.
    #[test]
    fn expired_peers_are_forgotten() {
        let two = peers(2);
        let mut candidates = Candidates::new(two[0]);
        candidates.discovered(two[1], address(1), 0);
        candidates.expired(&two[1], &address(1));
        assert!(candidates.peers.is_empty());
        candidates.discovered(two[1], address(1), 0);
        assert!(candidates.next_dial(0).is_some());
        candidates.expired(&two[1], &address(1));
        assert_eq!(candidates.peers.len(), 1);
        candidates.failed(&two[1], 0);
        assert!(candidates.peers.is_empty());
        candidates.discovered(two[0], address(1), 0);
        assert!(candidates.peers.is_empty(), "never dials itself");
    }

    /// Goal: a peer that moved to another address is tried there soon, however long its pause was.
    #[test]
    fn a_new_address_shortens_the_pause() {
        let two = peers(2);
        let mut candidates = Candidates::new(two[0]);
        candidates.discovered(two[1], address(1), 0);
        for _ in 0..10 {
            candidates.failed(&two[1], 0);
        }
        candidates.discovered(two[1], address(1), 100);
        assert_eq!(candidates.wake_ms(), Some(DISCOVERY_BACKOFF_MAX_MS));
        candidates.discovered(two[1], address(2), 100);
        assert_eq!(candidates.wake_ms(), Some(100 + DISCOVERY_BACKOFF_MIN_MS));
    }
}

//! Static peers: each is dialled until it is connected, and again whenever it is lost.

use std::time::Duration;

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::{ConnectionId, dial_opts::DialOpts},
};
use tokio::time::Instant;

use super::backoff::{LASTING, redial_pause};

/// The static peers of this node.
#[derive(Debug)]
pub(super) struct StaticPeers {
    local: PeerId,
    peers: Vec<StaticPeer>,
}

#[derive(Debug)]
struct StaticPeer {
    address: Multiaddr,
    /// Who must answer, when the address says so.
    expected: Option<PeerId>,
    /// Who answered last.
    met: Option<PeerId>,
    failures: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be dialled at a time.
    Waiting(Instant),
    Dialling(ConnectionId),
    Connected {
        peer: PeerId,
        since: Instant,
    },
}

impl StaticPeers {
    pub fn new(local: PeerId, addresses: Vec<Multiaddr>, now: Instant) -> Self {
        let peers = addresses.into_iter().map(|address| {
            let expected = match address.iter().last() {
                Some(Protocol::P2p(peer)) => Some(peer),
                _ => None,
            };
            StaticPeer {
                address,
                expected,
                met: None,
                failures: 0,
                state: State::Waiting(now),
            }
        });
        Self {
            local,
            peers: peers.collect(),
        }
    }

    /// When to dial next.
    pub fn next(&self) -> Option<Instant> {
        let times = self.peers.iter().filter_map(|peer| match peer.state {
            State::Waiting(at) => Some(at),
            State::Dialling(_) | State::Connected { .. } => None,
        });
        times.min()
    }

    /// The dials that are due, leaving out peers that are connected by some other way.
    pub fn due(&mut self, now: Instant, is_connected: impl Fn(&PeerId) -> bool) -> Vec<DialOpts> {
        let mut dials = Vec::new();
        for it in &mut self.peers {
            if !matches!(it.state, State::Waiting(at) if at <= now) {
                continue;
            }
            if let Some(peer) = it.expected.or(it.met).filter(&is_connected) {
                it.state = State::Connected { peer, since: now };
                continue;
            }
            let dial = match it.expected {
                Some(peer) => DialOpts::peer_id(peer)
                    .addresses(vec![it.address.clone()])
                    .build(),
                None => DialOpts::unknown_peer_id()
                    .address(it.address.clone())
                    .build(),
            };
            it.state = State::Dialling(dial.connection_id());
            dials.push(dial);
        }
        dials
    }

    pub fn on_connected(&mut self, connection: ConnectionId, peer: PeerId, now: Instant) {
        for it in &mut self.peers {
            if matches!(it.state, State::Dialling(own) if own == connection) {
                it.met = Some(peer);
                it.state = State::Connected { peer, since: now };
            }
        }
    }

    /// A dial failed. Returns the address and the pause when it was one of ours, and whether it is the
    /// first failure in a row.
    pub fn on_failed(
        &mut self,
        connection: ConnectionId,
        now: Instant,
    ) -> Option<(Multiaddr, Duration, bool)> {
        let local = self.local;
        let it = self
            .peers
            .iter_mut()
            .find(|it| matches!(it.state, State::Dialling(own) if own == connection))?;
        let pause = it.retry(&local, now);
        Some((it.address.clone(), pause, it.failures == 1))
    }

    /// What made dials fail may be over: whoever is waited for is dialled at once.
    pub fn hurry(&mut self, now: Instant) {
        for it in &mut self.peers {
            if let State::Waiting(at) = &mut it.state {
                *at = now.min(*at);
                it.failures = 0;
            }
        }
    }

    /// The last connection to a peer is gone.
    pub fn on_lost(&mut self, lost: &PeerId, now: Instant) {
        let local = self.local;
        for it in &mut self.peers {
            if let State::Connected { peer, since } = it.state
                && peer == *lost
            {
                if now.duration_since(since) >= LASTING {
                    it.failures = 0;
                }
                it.retry(&local, now);
            }
        }
    }
}

impl StaticPeer {
    fn retry(&mut self, local: &PeerId, now: Instant) -> Duration {
        let salt = [local.to_bytes(), self.address.to_vec()].concat();
        let pause = redial_pause(self.failures, &salt);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a static peer is dialled for ever, with growing pauses, and at once after a lasting connection.
    #[test]
    fn a_static_peer_is_dialled_for_ever() {
        let (start, peer) = (Instant::now(), PeerId::random());
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut peers = StaticPeers::new(PeerId::random(), vec![address], start);
        let mut now = start;
        for attempt in 0..50 {
            let dials = peers.due(now, |_| false);
            assert_eq!((dials.len(), peers.next()), (1, None));
            let (_, pause, first) = peers.on_failed(dials[0].connection_id(), now).unwrap();
            assert_eq!(first, attempt == 0);
            assert!(pause <= Duration::from_secs(30));
            now += pause;
        }
        let dials = peers.due(now, |_| false);
        peers.on_connected(dials[0].connection_id(), peer, now);
        now += LASTING;
        peers.on_lost(&peer, now);
        assert!(peers.next().unwrap() - now < Duration::from_millis(300));
        now += Duration::from_secs(1);
        assert_eq!(
            peers.due(now, |other| *other == peer).len(),
            0,
            "it has come back by itself"
        );
        peers.on_lost(&peer, now);
        assert!(peers.next().is_some());
    }

    /// Goal: a dialer is connected before it hears that it is refused; such connections are no successes, so the pauses grow.
    #[test]
    fn connections_that_do_not_last_are_failures() {
        let (start, peer) = (Instant::now(), PeerId::random());
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut peers = StaticPeers::new(PeerId::random(), vec![address], start);
        let (mut now, mut pauses) = (start, Vec::new());
        for _ in 0..10 {
            let dials = peers.due(now, |_| false);
            peers.on_connected(dials[0].connection_id(), peer, now);
            now += Duration::from_millis(20);
            peers.on_lost(&peer, now);
            let next = peers.next().unwrap();
            pauses.push(next - now);
            now = next;
        }
        assert!(pauses[9] > Duration::from_secs(20), "{pauses:?}");
        assert!(now - start > Duration::from_secs(60), "{pauses:?}");
    }
}

//! What the swarm reports, and the life of connections and sync streams. Of two connected peers the one
//! with the lower peer id opens the one sync stream between them, and opens it again when it is lost.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libp2p::{
    PeerId, Stream,
    core::ConnectedPoint,
    gossipsub::{self, MessageAcceptance},
    ping,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
};
use tokio::time::Instant;

use super::{
    Direction,
    backoff::{LASTING, Step, redial_pause},
    behaviour::BehaviourEvent,
    names::{chain, short},
    run::{Driver, Neighbour, Opened},
    stream::{FromStream, SYNC_PROTOCOL, StreamHandle, StreamId},
};
use crate::{
    limits::STREAM_OPEN_TIMEOUT_MS,
    proto::{Event, FloodId},
    replica::PeerKey,
};

impl<B> Driver<B>
where
    B: NetworkBehaviour + Send + 'static,
    B::ToSwarm: std::fmt::Debug + Send + 'static,
{
    pub fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent<B>>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                let reason = cause.map_or_else(|| "closed".to_owned(), |cause| chain(&cause));
                self.on_disconnected(peer_id, connection_id, num_established, &reason);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                self.on_dial_failed(connection_id, &chain(&error));
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => {
                tracing::debug!(address = %send_back_addr, error = %chain(&error), "an incoming connection failed");
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.listening(|addresses| addresses.push(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening(|addresses| addresses.retain(|other| *other != address));
            }
            SwarmEvent::ListenerClosed {
                addresses: closed,
                reason,
                ..
            } => {
                if let Err(error) = reason {
                    tracing::error!(addresses = ?closed, %error, "no longer listening");
                }
                self.listening(|addresses| addresses.retain(|address| !closed.contains(address)));
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::debug!(%error, "a listener reports an error")
            }
            event => tracing::trace!(?event, "swarm"),
        }
    }

    fn listening(&self, change: impl FnOnce(&mut Vec<libp2p::Multiaddr>)) {
        change(
            &mut self
                .shared
                .listening
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent<B>) {
        match event {
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => {
                let Ok(id) = <[u8; 32]>::try_from(message_id.0.as_slice()).map(FloodId) else {
                    return;
                };
                match self.topics.get(&message.topic).cloned() {
                    Some(collection) => self.feed(Event::Flooded {
                        source: PeerKey::from(propagation_source),
                        id,
                        collection,
                        payload: message.data.into(),
                    }),
                    None => {
                        self.swarm.behaviour_mut().report(
                            &propagation_source,
                            id,
                            MessageAcceptance::Ignore,
                        );
                    }
                }
            }
            BehaviourEvent::Gossip(gossipsub::Event::SlowPeer { peer_id, .. }) => {
                tracing::debug!(peer = %short(&peer_id), "gossip drops messages to a slow peer; the offers bring them");
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(error),
            }) => {
                if !matches!(error, ping::Failure::Unsupported)
                    && self.swarm.close_connection(connection)
                {
                    tracing::debug!(peer = %short(&peer), %error, "a connection does not answer and is closed");
                }
            }
            event => tracing::trace!(?event, "behaviour"),
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        self.statics.on_connected(connection, peer, now);
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let address = endpoint.get_remote_address().clone();
        let opens = self.local.to_bytes() < peer.to_bytes() && !self.backoffs.holds(&peer);
        let neighbour = self.peers.entry(peer).or_insert_with(|| {
            tracing::info!(peer = %short(&peer), %address, ?direction, "peer connected");
            Neighbour {
                connections: Vec::new(),
                since: wall_clock(),
                stream: None,
                opening: None,
                open_at: opens.then_some(now),
                failures: 0,
                opened_at: None,
                traffic: Arc::default(),
            }
        });
        neighbour.connections.push((connection, address, direction));
        self.judge_connected(&peer, now);
        self.status_changed();
    }

    fn on_disconnected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        remaining: u32,
        reason: &str,
    ) {
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            neighbour
                .connections
                .retain(|(own, _, _)| *own != connection);
        }
        if remaining == 0 {
            tracing::info!(peer = %short(&peer), reason, "peer disconnected");
            self.peers.remove(&peer);
            self.statics.on_lost(&peer, Instant::now());
            self.feed(Event::Disconnected(PeerKey::from(peer)));
        }
        self.status_changed();
    }

    fn on_dial_failed(&mut self, connection: ConnectionId, error: &str) {
        match self.statics.on_failed(connection, Instant::now()) {
            Some((address, pause, true)) => {
                tracing::info!(%address, error, pause_ms = pause.as_millis(), "cannot reach a static peer, trying on");
            }
            Some((address, pause, false)) => {
                tracing::debug!(%address, error, pause_ms = pause.as_millis(), "cannot reach a static peer");
            }
            None => tracing::debug!(error, "a dial failed"),
        }
    }

    /// Dials, opens streams, and blocks or unblocks peers, where it is time.
    pub fn on_network_deadline(&mut self, now: Instant) {
        for step in self.backoffs.due(now) {
            self.step(step);
        }
        let peers = &self.peers;
        for dial in self.statics.due(now, |peer| peers.contains_key(peer)) {
            let connection = dial.connection_id();
            if let Err(error) = self.swarm.dial(dial) {
                self.on_dial_failed(connection, &chain(&error));
            }
        }
        let due = self
            .peers
            .iter()
            .filter(|(_, it)| it.open_at.is_some_and(|at| at <= now));
        for peer in due.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.open_stream(peer);
        }
    }

    pub fn step(&mut self, step: Step) {
        let blocked = &mut self.swarm.behaviour_mut().blocked;
        match step {
            Step::Block(peer) => blocked.block_peer(peer),
            Step::Unblock(peer) => blocked.unblock_peer(peer),
        };
    }

    fn open_stream(&mut self, peer: PeerId) {
        let Some(neighbour) = self.peers.get_mut(&peer) else {
            return;
        };
        neighbour.open_at = None;
        if neighbour.opening.is_some() || neighbour.stream.is_some() {
            return;
        }
        let attempt = self.next_opening;
        self.next_opening += 1;
        neighbour.opening = Some(attempt);
        let (mut control, opened) = (self.control.clone(), self.opened_in.clone());
        tokio::spawn(async move {
            let limit = Duration::from_millis(STREAM_OPEN_TIMEOUT_MS);
            let stream = match tokio::time::timeout(limit, control.open_stream(peer, SYNC_PROTOCOL))
                .await
            {
                Ok(Ok(stream)) => Some(stream),
                Ok(Err(error)) => {
                    tracing::debug!(peer = %short(&peer), error = %chain(&error), "no sync stream");
                    None
                }
                Err(_) => None,
            };
            // When the main task has ended, nobody needs the stream.
            let opening = Opened {
                peer,
                attempt,
                stream,
            };
            opened.send(opening).await.ok();
        });
    }

    pub fn on_opened(&mut self, opened: Opened) {
        let peer = opened.peer;
        let Some(neighbour) = self.peers.get_mut(&peer) else {
            return;
        };
        if !neighbour.takes(opened.attempt) {
            return;
        }
        match opened.stream {
            Some(stream) => self.start_stream(peer, stream),
            None => self.open_again(&peer),
        }
    }

    pub fn on_incoming_stream(&mut self, peer: PeerId, stream: Stream) {
        if self.local.to_bytes() < peer.to_bytes() {
            tracing::debug!(peer = %short(&peer), "the peer opened a sync stream that is ours to open");
            return;
        }
        let Some(neighbour) = self.peers.get_mut(&peer) else {
            return;
        };
        if neighbour.may_open(Instant::now()) {
            self.start_stream(peer, stream);
        } else {
            tracing::debug!(peer = %short(&peer), "the peer opens sync streams too quickly; one is dropped");
        }
    }

    fn start_stream(&mut self, peer: PeerId, stream: Stream) {
        if self.backoffs.holds(&peer) {
            return;
        }
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            let (traffic, inputs) = (Arc::clone(&neighbour.traffic), self.inputs_in.clone());
            let handle = StreamHandle::start(id, peer, stream, traffic, inputs);
            // An earlier stream is dropped: the peer would not have opened another had it not lost it.
            neighbour.stream = Some((handle, Instant::now()));
            self.feed(Event::Connected(PeerKey::from(peer)));
            self.show_if_renewed(&peer);
        }
    }

    pub fn on_input(&mut self, peer: PeerId, id: StreamId, input: FromStream) {
        let current = self
            .peers
            .get(&peer)
            .and_then(|neighbour| neighbour.stream.as_ref());
        if current.is_none_or(|(stream, _)| stream.id != id) {
            return;
        }
        match input {
            FromStream::Message(message) => {
                self.feed(Event::Received(PeerKey::from(peer), message))
            }
            FromStream::Undecodable(code) => {
                self.feed(Event::Undecodable(PeerKey::from(peer), code))
            }
            FromStream::Ended => {
                self.drop_stream(&peer);
                self.feed(Event::Disconnected(PeerKey::from(peer)));
            }
        }
    }

    /// Lets go of a peer's stream and, where that is on us, plans the next.
    pub fn drop_stream(&mut self, peer: &PeerId) {
        let Some(neighbour) = self.peers.get_mut(peer) else {
            return;
        };
        if let Some((_, since)) = neighbour.stream.take() {
            if since.elapsed() >= LASTING {
                neighbour.failures = 0;
            }
            self.open_again(peer);
        }
    }

    fn open_again(&mut self, peer: &PeerId) {
        if self.local.to_bytes() > peer.to_bytes() || self.backoffs.holds(peer) {
            return;
        }
        if let Some(neighbour) = self.peers.get_mut(peer) {
            let pause = redial_pause(neighbour.failures, &peer.to_bytes());
            neighbour.failures = neighbour.failures.saturating_add(1);
            neighbour.open_at = Some(Instant::now() + pause);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "shown to people, decides nothing"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

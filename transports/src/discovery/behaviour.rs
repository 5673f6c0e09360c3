//! The swarm's side of discovery: feeds mDNS and the swarm's events to [`Candidates`] and dials what it says.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    mdns,
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};
use tokio::time::{Instant, Sleep};

use super::candidates::Candidates;

/// What the transports bring to a node's swarm: it finds peers on the local network and has the swarm dial them. It
/// speaks no protocol on connections and emits no events.
pub struct Behaviour {
    /// None where discovery is switched off or not possible.
    mdns: Option<mdns::tokio::Behaviour>,
    candidates: Candidates,
    start: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("discovery", &self.mdns.is_some())
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

impl Behaviour {
    /// The behaviour of the peer `local`. With `discovery` it announces this device on the local network and dials those
    /// that it finds; a device on which that is not possible says so in the log and does without.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(local: PeerId, discovery: bool) -> Self {
        let mdns = discovery.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), local));
        let mdns = mdns.and_then(|mdns| {
            mdns.inspect_err(|error| {
                tracing::warn!(
                    "peers on the local network can't be found, give their addresses: {error}"
                );
            })
            .ok()
        });
        Self {
            mdns,
            candidates: Candidates::new(local),
            start: Instant::now(),
            alarm: None,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes in what mDNS has found or lost.
    fn poll_mdns(&mut self, cx: &mut Context<'_>) {
        let now_ms = self.now_ms();
        let Some(mdns) = &mut self.mdns else { return };
        // Ends, because mDNS hands over at most what it has received by now.
        while let Poll::Ready(event) = mdns.poll(cx) {
            match event {
                ToSwarm::GenerateEvent(mdns::Event::Discovered(found)) => {
                    for (peer, address) in found {
                        self.candidates.discovered(peer, address, now_ms);
                    }
                }
                ToSwarm::GenerateEvent(mdns::Event::Expired(lost)) => {
                    for (peer, address) in lost {
                        self.candidates.expired(&peer, &address);
                    }
                }
                // It also offers each address to the other behaviours; strangers' addresses are not for them.
                _ => {}
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let now_ms = self.now_ms();
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, .. }) => {
                self.candidates.connected(&peer_id, now_ms);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                remaining_established: 0,
                ..
            }) => self.candidates.disconnected(&peer_id, now_ms),
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                error,
                ..
            }) => match error {
                DialError::DialPeerConditionFalse(_) => self.candidates.not_needed(&peer, now_ms),
                _ => self.candidates.failed(&peer, now_ms),
            },
            _ => {}
        }
        if let Some(mdns) = &mut self.mdns {
            mdns.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.poll_mdns(cx);
        // Each round either dials, sleeps, or finds that an alarm has gone off, after which a dial is due.
        loop {
            if let Some((peer, addresses)) = self.candidates.next_dial(self.now_ms()) {
                tracing::debug!(%peer, ?addresses, "dialling a peer found on the local network");
                let opts = DialOpts::peer_id(peer)
                    .addresses(addresses)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .build();
                return Poll::Ready(ToSwarm::Dial { opts });
            }
            let Some(wake_ms) = self.candidates.wake_ms() else {
                self.alarm = None;
                return Poll::Pending;
            };
            let wake = self.start + Duration::from_millis(wake_ms);
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
            if alarm.deadline() != wake {
                alarm.as_mut().reset(wake);
            }
            std::task::ready!(alarm.as_mut().poll(cx));
        }
    }
}

#[cfg(test)]
mod tests;

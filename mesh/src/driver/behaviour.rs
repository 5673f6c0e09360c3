//! The swarm's behaviours: limits and blocks first, so that the others never see what these deny.

use std::time::Duration;

use libp2p::{
    PeerId, allow_block_list, connection_limits,
    gossipsub::{self, AllowAllSubscriptionFilter, IdentityTransform, MaxCountSubscriptionFilter},
    ping,
    swarm::NetworkBehaviour,
};

use super::MeshError;
use crate::{
    limits::{
        COLLECTIONS_MAX, CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_MAX, FLOODS_WAITING_MAX,
        GOSSIP_QUEUE_MESSAGES_MAX, GOSSIP_TRANSMIT_BYTES_MAX,
    },
    proto::FloodId,
};

/// How often a connection is checked. Three missed checks of a dead link are noticed within a minute.
const PING_INTERVAL: Duration = Duration::from_secs(15);

type Gossip =
    gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour<B: NetworkBehaviour> {
    limits: connection_limits::Behaviour,
    pub blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub gossip: Gossip,
    pub streams: libp2p_stream::Behaviour,
    ping: ping::Behaviour,
    /// What the node adds: discovery, relay.
    others: B,
}

impl<B: NetworkBehaviour> Behaviour<B> {
    pub fn new(connections_max: u32, others: B) -> Result<Self, MeshError> {
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
            .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX))
            .with_max_established(Some(connections_max))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            blocked: allow_block_list::Behaviour::default(),
            gossip: gossip()?,
            streams: libp2p_stream::Behaviour::new(),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
            others,
        })
    }

    pub fn report(
        &mut self,
        source: &PeerId,
        id: FloodId,
        acceptance: gossipsub::MessageAcceptance,
    ) -> bool {
        self.gossip.report_message_validation_result(
            &gossipsub::MessageId::new(&id.0),
            source,
            acceptance,
        )
    }
}

/// Gossip for a mesh of few neighbours: a small degree, quick repair, and no authorship of its own, since
/// what it carries is verified by itself.
fn gossip() -> Result<Gossip, MeshError> {
    let settings = |reason: String| MeshError::Settings {
        part: "gossipsub",
        reason,
    };
    let config = gossipsub::ConfigBuilder::default()
        .mesh_n_low(3)
        .mesh_n(4)
        .mesh_n_high(6)
        .mesh_outbound_min(1)
        .gossip_lazy(3)
        .heartbeat_initial_delay(Duration::from_millis(100))
        .heartbeat_interval(Duration::from_millis(700))
        .history_length(5)
        .history_gossip(3)
        .flood_publish(false)
        .validate_messages()
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .message_id_fn(|message: &gossipsub::Message| {
            gossipsub::MessageId::new(&FloodId::of(&message.data).0)
        })
        .max_transmit_size(GOSSIP_TRANSMIT_BYTES_MAX)
        .connection_handler_queue_len(GOSSIP_QUEUE_MESSAGES_MAX)
        .max_publish_messages(FLOODS_WAITING_MAX)
        .build()
        .map_err(|error| settings(error.to_string()))?;
    // Without it a neighbour's subscriptions, which gossipsub remembers, have no bound.
    let subscriptions = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: COLLECTIONS_MAX,
        max_subscriptions_per_request: COLLECTIONS_MAX,
    };
    let authenticity = gossipsub::MessageAuthenticity::Anonymous;
    Gossip::new_with_subscription_filter(authenticity, config, subscriptions)
        .map_err(|reason| settings(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use libp2p::{
        Swarm, Transport,
        core::{transport::MemoryTransport, upgrade::Version},
        identity::Keypair,
        noise,
        swarm::{Config, SwarmEvent, dummy},
        yamux,
    };

    use super::*;

    fn swarm<B: NetworkBehaviour>(number: u8, behaviour: B) -> Swarm<B> {
        let key = Keypair::ed25519_from_bytes([number; 32]).unwrap();
        let transport = MemoryTransport::default()
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
        let config = Config::with_tokio_executor();
        Swarm::new(transport, behaviour, key.public().to_peer_id(), config)
    }

    fn topic(number: usize) -> gossipsub::IdentTopic {
        gossipsub::IdentTopic::new(number.to_string())
    }

    /// Goal: a neighbour that subscribes to ever new topics is not remembered with all of them.
    #[tokio::test]
    async fn a_neighbours_subscriptions_are_bounded() {
        let mut victim = swarm(1, Behaviour::new(8, dummy::Behaviour).unwrap());
        let mut neighbour = swarm(2, gossip().unwrap());
        let subscribe = |neighbour: &mut Swarm<Gossip>, number| {
            neighbour.behaviour_mut().subscribe(&topic(number)).unwrap();
        };
        (0..COLLECTIONS_MAX - 1).for_each(|number| subscribe(&mut neighbour, number));
        victim.listen_on("/memory/0".parse().unwrap()).unwrap();
        let mut subscriptions = 0;
        let run = async {
            loop {
                tokio::select! {
                    event = victim.select_next_some() => match event {
                        SwarmEvent::NewListenAddr { address, .. } => neighbour.dial(address).unwrap(),
                        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })) => {
                            subscriptions += 1;
                            if subscriptions == COLLECTIONS_MAX - 1 {
                                (0..3).for_each(|more| subscribe(&mut neighbour, COLLECTIONS_MAX - 1 + more));
                            }
                        }
                        _ => {}
                    },
                    _ = neighbour.select_next_some() => {}
                }
            }
        };
        // Longer than a heartbeat, after which whatever was said has arrived.
        tokio::time::timeout(Duration::from_secs(2), run).await.ok();
        assert_eq!(subscriptions, COLLECTIONS_MAX);
    }
}

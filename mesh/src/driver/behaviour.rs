//! The swarm's behaviours: limits and blocks first, so that the others never see what these deny.

use std::time::Duration;

use libp2p::{
    PeerId, allow_block_list, connection_limits, gossipsub, ping, swarm::NetworkBehaviour,
};

use super::MeshError;
use crate::{
    limits::{
        CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_MAX, FLOODS_WAITING_MAX,
        GOSSIP_QUEUE_MESSAGES_MAX, GOSSIP_TRANSMIT_BYTES_MAX,
    },
    proto::FloodId,
};

/// How often a connection is checked. Three missed checks of a dead link are noticed within a minute.
const PING_INTERVAL: Duration = Duration::from_secs(15);

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour<B: NetworkBehaviour> {
    limits: connection_limits::Behaviour,
    pub blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub gossip: gossipsub::Behaviour,
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
fn gossip() -> Result<gossipsub::Behaviour, MeshError> {
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
    gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, config)
        .map_err(|reason| settings(reason.to_owned()))
}

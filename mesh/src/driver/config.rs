//! What a node says about its part in the mesh.

use libp2p::Multiaddr;

use super::MeshError;
use crate::{
    limits::{CONNECTIONS_MAX, STATIC_PEERS_MAX},
    replica::Interest,
};

/// Settings of a mesh.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// The app; it is part of every gossip topic's name.
    pub app: String,
    /// Addresses to listen on; port 0 lets the system choose. None: this peer only dials.
    pub listen: Vec<Multiaddr>,
    /// Static peers, with or without `/p2p/<peer id>` at the end; they are dialled for ever.
    pub peers: Vec<Multiaddr>,
    /// The collections this peer wants to hold.
    pub interest: Interest,
    /// Most established connections.
    pub connections_max: u32,
}

impl MeshConfig {
    /// Settings of a peer that wants everything, listens nowhere and dials nobody.
    pub fn new(app: impl Into<String>) -> Self {
        Self {
            app: app.into(),
            listen: Vec::new(),
            peers: Vec::new(),
            interest: Interest::Everything,
            connections_max: CONNECTIONS_MAX,
        }
    }

    pub(super) fn check(&self) -> Result<(), MeshError> {
        if self.app.is_empty() {
            return Err(MeshError::NoApp);
        }
        if self.peers.len() > STATIC_PEERS_MAX {
            return Err(MeshError::TooManyPeers {
                given: self.peers.len(),
                most: STATIC_PEERS_MAX,
            });
        }
        Ok(())
    }
}

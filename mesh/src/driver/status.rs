//! What the mesh tells about its neighbours.

use std::time::SystemTime;

use libp2p::{Multiaddr, PeerId};

use crate::proto::SyncStatus;

/// Which side dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The neighbour dialled this peer.
    Inbound,
    /// This peer dialled the neighbour.
    Outbound,
}

/// A connected neighbour.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its peer id.
    pub peer: PeerId,
    /// The address of its oldest connection.
    pub address: Multiaddr,
    /// Who dialled that connection.
    pub direction: Direction,
    /// The name in its certificate, where admission keeps one.
    pub name: Option<String>,
    /// When it connected, by this machine's clock.
    pub connected_since: SystemTime,
    /// The state of synchronisation, once the sync stream is open and greeted.
    pub sync: Option<SyncStatus>,
    /// Bytes that were sent to it on sync streams since then.
    pub sent_bytes: u64,
    /// Bytes that came from it on sync streams since then.
    pub received_bytes: u64,
}

//! Finds peers on the local network and has the swarm dial them.
//!
//! mDNS tells of every libp2p node nearby, also of other apps and of other software. Whether a node belongs to the mesh
//! shows at admission only, so [`candidates`] decides when to dial whom without going at a stranger in a loop.

mod behaviour;
mod candidates;

pub use self::behaviour::Behaviour;

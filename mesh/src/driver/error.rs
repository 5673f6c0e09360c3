//! Why a mesh could not be started.

use libp2p::Multiaddr;

use crate::replica::ReplicaError;

/// Why a mesh could not be started.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; is the port taken by another process? choose another address"
    )]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// The system's or transport's reason.
        reason: String,
    },
    /// The app id is empty.
    #[error("the mesh has no app id; set one")]
    NoApp,
    /// Too many static peers.
    #[error(
        "{given} static peers are configured, the limit is {most}; remove some (peers of peers need no entry)"
    )]
    TooManyPeers {
        /// How many are configured.
        given: usize,
        /// The limit.
        most: usize,
    },
    /// The store could not say where its feed stands.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// A part of libp2p refused its settings.
    #[error(
        "libp2p refused the settings of {part}: {reason}; this is a defect of this version, please report it"
    )]
    Settings {
        /// Which part.
        part: &'static str,
        /// Its reason.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The mesh ended while it was starting.
    #[error("the mesh ended while it was starting; see the log")]
    Ended,
}

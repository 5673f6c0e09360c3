//! Runs a core over libp2p: one task owns the swarm and the core, one blocking worker makes the calls to
//! the store in order, and each sync stream has a task that frames and unframes messages.

mod backoff;
mod behaviour;
mod blobs;
mod certificates;
mod config;
mod effects;
mod error;
mod handle;
mod names;
mod network;
mod run;
mod statics;
mod status;
mod stream;
mod worker;

pub use blobs::{FetchError, Fetcher, Fetching};
pub use config::MeshConfig;
pub use error::MeshError;
pub use handle::{Mesh, MeshHandle};
pub use status::{Direction, PeerStatus};

//! The simulator: the cores of many peers on simulated links in virtual time, with all that goes wrong between them. A seed
//! repeats a run exactly, down to the hash of its trace. What it takes for right is in [`Broken`].
//!
//! [`World`] is the machinery: peers, links, events.

mod broken;
mod gossip;
mod ledger;
mod link;
mod random;
mod trace;
mod world;

pub use broken::Broken;
pub use ledger::Counts;
pub use link::LinkConfig;
pub use random::Random;
pub use trace::TraceHash;
pub use world::{Loss, Node, PEERS_MAX, World};

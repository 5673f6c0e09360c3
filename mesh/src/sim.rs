//! The simulator: the cores of many peers on simulated links in virtual time, with all that goes wrong between them. A seed
//! repeats a run exactly, down to the hash of its trace. What it takes for right is in [`Broken`].
//!
//! A [`Scenario`] says what a mesh is like, a [`Plan`] what happens in it; [`run`] runs a plan in a [`World`], which is the
//! machinery, and judges what came of it. docs/simulation.md describes what is modelled.

mod broken;
mod gossip;
mod ledger;
mod link;
mod oracle;
mod plan;
mod random;
mod report;
mod run;
mod scenario;
mod trace;
mod world;

pub use broken::Broken;
pub use ledger::Counts;
pub use link::LinkConfig;
pub use plan::{Deed, Plan, What};
pub use random::Random;
pub use report::{Report, Spread};
pub use run::{Outcome, Shortened, run, shorten, simulate};
pub use scenario::{Scenario, ScenarioError, Topology};
pub use trace::TraceHash;
pub use world::{Loss, Node, PEERS_MAX, World};

#[cfg(test)]
mod tests;

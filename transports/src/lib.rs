//! How peers reach each other: libp2p transports on which only certified peers get through, and discovery on the local
//! network.
//!
//! A node takes two things from here: [`transport`], and [`Behaviour`] for its swarm. Whoever the swarm sees connected
//! has been admitted: its certificate is in the registry that was handed to [`transport`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admission;
#[cfg(test)]
#[path = "../tests/common/device.rs"]
mod device;
#[cfg(feature = "libp2p")]
mod discovery;
mod limits;
#[cfg(feature = "libp2p")]
mod stack;

pub use admission::{
    Admission, AdmissionError, Exchange, KnownChains, MESSAGE_LENGTH_BYTES, Role, Step,
    message_bytes,
};
#[cfg(feature = "libp2p")]
pub use discovery::Behaviour;
pub use limits::*;
#[cfg(feature = "libp2p")]
pub use stack::{AdmissionLimits, TransportError, transport, transport_with};

//! Admission: two peers show each other their certificates on the first substream of a connection, before the swarm
//! hears of it.
//!
//! [`exchange`] is the conversation as a state machine without IO, [`wire`] its bytes, [`known`] the chains that need not be
//! sent again; `driver` runs it over a multiplexed connection. `pending`, `prompt` and `quota` bound what strangers can take before they are admitted.

#[cfg(feature = "libp2p")]
pub(crate) mod driver;
mod error;
mod exchange;
#[cfg(feature = "libp2p")]
pub(crate) mod gate;
mod known;
#[cfg(feature = "libp2p")]
mod log;
#[cfg(feature = "libp2p")]
pub(crate) mod pending;
#[cfg(feature = "libp2p")]
pub(crate) mod prompt;
#[cfg(feature = "libp2p")]
pub(crate) mod quota;
mod wire;

pub use self::{
    error::AdmissionError,
    exchange::{Admission, Exchange, Role, Step},
    known::KnownChains,
    wire::{MESSAGE_LENGTH_BYTES, message_bytes},
};

//! The sync protocol without IO: no socket, clock, thread or generator. [`Core::handle`] takes an event
//! and the time and returns effects; whoever drives it executes them and hands their results back as
//! events.
//!
//! Completeness comes from the feed: every neighbour is offered everything, in order, and acknowledges
//! what it has made durable. Gossip only makes it quick: whatever it loses is found by the next offer.
#![warn(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod codec;
mod compare;
mod comparing;
mod core;
mod event;
mod flood;
mod follow;
mod frame;
mod inbox;
mod message;
mod offer;
mod parts;
mod request;
mod session;
mod topic;

pub use self::core::{Core, CoreConfig};
pub use compare::{Content, Described, Differs, Divergence, Fingerprint, Found, Nonce, Root};
pub use event::{Effect, Event, FloodId, Millis, Note, Timer, Verdict};
pub use frame::{DecodeError, decode_frame, encode_frame};
pub use message::{Changes, CloseCode, Comparison, Hello, Message, Piece, Wanted};
pub use request::{Answer, Request, RequestId, execute};
pub use session::SyncStatus;
pub use topic::topic_name;

#[cfg(test)]
mod tests;

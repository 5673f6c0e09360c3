//! Sedge's sync protocol: how peers flood new changes to each other and reconcile what they missed.
//!
//! [`Core`] is the protocol without IO: events and the time go in, effects come out. [`Replica`] is what a
//! store must offer, with [`MemoryReplica`] as the reference. `Mesh` (feature `libp2p`) drives a core over
//! a libp2p transport. The wire is specified in `docs/protocol.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "libp2p")]
mod driver;
pub mod limits;
mod memory;
mod proto;
mod replica;

#[cfg(feature = "libp2p")]
pub use driver::{Direction, Mesh, MeshConfig, MeshError, MeshHandle, PeerStatus};
pub use memory::MemoryReplica;
pub use proto::{
    Answer, Changes, CloseCode, Core, CoreConfig, DecodeError, Effect, Event, FloodId, Hello,
    Message, Millis, Note, Piece, Request, RequestId, SyncStatus, Timer, Verdict, Wanted,
    decode_frame, encode_frame, execute, topic_name,
};
pub use replica::{
    Answered, Bundle, ChangeHash, ChangesLimits, CollectionName, Commit, Cursor, Delta, DeltaPart,
    DocumentKey, FeedId, FeedPage, FeedPosition, IngestOutcome, Interest, Missing, NameError,
    NamedCertificate, Offered, Origin, PageLimits, PartLimits, PeerKey, Replica, ReplicaError,
    Sequence, collect_deltas, evidence_bytes, fits_flood,
};

//! Sedge's sync protocol: how peers flood new changes to each other and reconcile what they missed.
//!
//! [`Core`] is the protocol without IO: events and the time go in, effects come out. [`Replica`] is what a
//! store must offer, with [`MemoryReplica`] as the reference. `Mesh` (feature `libp2p`) drives a core over
//! a libp2p transport. The wire is specified in `docs/protocol.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blob;
#[cfg(feature = "libp2p")]
mod driver;
pub mod limits;
mod memory;
mod proto;
mod replica;
pub mod sim;

pub use blob::{
    Blob, BlobAnswer, BlobRequest, Blobs, Chunk, ChunkSet, Fetch, FetchEffect, FetchEvent,
    FetchFailure, FetchProgress, MemoryBlobs, Taken,
};
#[cfg(feature = "libp2p")]
pub use driver::{
    Direction, FetchError, Fetcher, Fetching, Mesh, MeshConfig, MeshError, MeshHandle, PeerStatus,
};
pub use memory::{Checkpoint, MemoryReplica};
pub use proto::{
    Answer, Changes, CloseCode, Comparison, Content, Core, CoreConfig, DecodeError, Described,
    Differs, Divergence, Effect, Event, Fingerprint, FloodId, Found, Hello, Message, Millis, Nonce,
    Note, Piece, Request, RequestId, Root, SyncStatus, Timer, Verdict, Wanted, decode_frame,
    encode_frame, execute, topic_name,
};
pub use replica::{
    Answered, Bundle, ChangeHash, ChangesLimits, CollectionName, Commit, Cursor, Delta, DeltaPart,
    DocumentKey, FeedId, FeedPage, FeedPosition, IngestOutcome, Interest, Item, Missing, NameError,
    NamedCertificate, Offered, Origin, PLACE_DIGITS, PageLimits, PartLimits, PeerKey, Prefix,
    Range, Replica, ReplicaError, Sequence, Summary, collect_deltas, evidence_bytes, fits_flood,
};

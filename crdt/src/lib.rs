//! Sedge's document store: documents (Automerge), the query language, and the store that keeps them (RocksDB).
//!
//! Without the `rocksdb` feature only the cores remain: values, documents and queries, which know no disk.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blob;
mod document;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod id;
pub mod limits;
pub mod query;
mod random;
#[cfg(any(test, feature = "fuzz", feature = "rocksdb"))]
mod record;
mod rights;
mod seal;
mod spread;
#[cfg(feature = "rocksdb")]
mod store;
mod time;
mod value;
mod wire;

pub use blob::{
    AttachmentError, BLOB_CHUNK_BYTES, BlobId, BlobIdError, BlobRef, ChunkProof, ProofError,
    attachments_of, check_metadata, chunk_bytes, chunk_count, chunk_offset, proof_hashes,
};
pub use document::{
    ChunkError, Delta, DeltaError, Document, DocumentError, IllFormed, Ingested, NotAccepted,
};
pub use id::{DocumentId, IdError};
pub use random::{RandomError, random};
pub use rights::{
    Access, Denied, Direction, RightsError, TriedRule, check_permissions, permissions_from_json,
    permissions_to_json,
};
pub use seal::{Evidence, EvidenceError, Sealed, SealedChange};
#[cfg(feature = "rocksdb")]
#[doc(hidden)]
pub use store::measure_upkeep;
#[cfg(feature = "rocksdb")]
pub use store::{
    Arrival, Arrived, Arriving, Attachments, BlobError, BlobReader, BlobStat, Bundle, Bundled,
    Check, Checkpoint, CheckpointError, Collected, CollectionStatus, Commit, Committed, Contents,
    Copied, Deadline, DeltaPart, Digest, Durability, Feed, FeedCursor, FeedEntry, FeedLimits,
    FeedPage, Flood, Imported, ItemEntry, LogEntry, LogPage, Misfit, Move, Node, Observation,
    Origin, Outcome, Released, Replication, Row, Since, Store, StoreError, StoreOptions, Summary,
    Transacted, Transaction, Update, View, Withheld,
};
pub use value::{Attachment, DEPTH_MAX, DecodeError, JsonError, Value, parse_json};

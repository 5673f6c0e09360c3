//! Sedge's document store: documents (Automerge), the query language, and the store that keeps them (RocksDB).
//!
//! Without the `rocksdb` feature only the cores remain: values, documents and queries, which know no disk.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod document;
mod id;
pub mod limits;
pub mod query;
mod random;
#[cfg(feature = "rocksdb")]
mod store;
mod time;
mod value;

pub use document::{ChunkError, Delta, DeltaError, Document, DocumentError, Ingested};
pub use id::{DocumentId, IdError};
pub use random::{RandomError, random};
#[cfg(feature = "rocksdb")]
pub use store::{
    Arrival, Arrived, Check, CollectionStatus, Commit, Committed, Contents, Deadline, DeltaPart,
    Digest, Durability, Feed, FeedEntry, FeedLimits, FeedPage, Imported, Observation, Origin,
    Outcome, Row, Store, StoreError, StoreOptions, Transacted, Transaction, Update, View,
};
pub use value::{Attachment, DEPTH_MAX, DecodeError, JsonError, Value, parse_json};

//! What a store must offer for its blobs to travel. The mesh knows of a blob how it is cut into chunks, and nothing of how a
//! chunk is proven. The calls are synchronous; the driver makes them on blocking threads.

use bytes::Bytes;
use sedge_identity::hex;
use std::fmt;

use super::ChunkSet;
use crate::{
    limits::{BLOB_BYTES_MAX, BLOB_CHUNK_BYTES},
    replica::ReplicaError,
};

/// A blob: the hash of its bytes, and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob {
    /// Its name.
    pub id: [u8; 32],
    /// How many bytes it has, at most [`BLOB_BYTES_MAX`].
    pub len: u64,
}

impl Blob {
    /// Whether there may be a blob so long.
    pub fn is_allowed(&self) -> bool {
        self.len <= BLOB_BYTES_MAX
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> u64 {
        chunk_count(self.len)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", hex(&self.id), self.len)
    }
}

/// How many chunks a blob of this length has: at least one, which is empty when the blob is.
fn chunk_count(len: u64) -> u64 {
    len.div_ceil(BLOB_CHUNK_BYTES as u64).max(1)
}

/// How many bytes a chunk of a blob of this length has; 0 when the blob has no such chunk.
pub fn chunk_bytes(len: u64, index: u64) -> u64 {
    let before = index.saturating_mul(BLOB_CHUNK_BYTES as u64);
    len.saturating_sub(before).min(BLOB_CHUNK_BYTES as u64)
}

/// A chunk with what proves it, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes.
    pub bytes: Bytes,
    /// The hashes on its way to the blob's name; only stores look inside.
    pub proof: Bytes,
}

/// What a store did with a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept, or was here already, and others are missing.
    Kept,
    /// With it the blob is whole, and durable.
    Whole,
    /// It is not what the blob has there.
    Wrong {
        /// What is wrong.
        reason: String,
    },
}

/// A store's blobs, as the mesh sees them.
pub trait Blobs: Send + Sync + 'static {
    /// The chunks of a blob that are here: all of them exactly when it is whole, none when nothing is known of it.
    ///
    /// # Errors
    /// The store fails, or has a blob of this name with another length.
    fn held(&self, blob: Blob) -> Result<ChunkSet, ReplicaError>;

    /// A chunk that is here; `None` when it is not. What is given out is proven: a damaged chunk is an error.
    ///
    /// # Errors
    /// As [`held`](Self::held); also when the chunk is damaged.
    fn chunk(&self, blob: Blob, index: u64) -> Result<Option<Chunk>, ReplicaError>;

    /// Takes in a chunk, from whomever.
    ///
    /// # Errors
    /// As [`held`](Self::held). A chunk that is not the blob's is no error, but [`Taken::Wrong`].
    fn accept(&self, blob: Blob, index: u64, chunk: &Chunk) -> Result<Taken, ReplicaError>;
}

//! Attachments as content: what names a blob, how its chunks hang together, and the token that a document holds.
//!
//! A blob is named by the plain BLAKE3 hash of its bytes. BLAKE3 is a hash tree, so each chunk of 64 KiB can be checked
//! against that name by the hashes on its way to the root (`tree`), without the rest of the blob. Nothing here knows a
//! disk; `store/blobs` keeps the bytes.

mod token;
#[cfg_attr(
    not(any(test, feature = "rocksdb")),
    allow(dead_code, reason = "the store builds and reads trees")
)]
mod tree;

use sedge_identity::{hex, parse_hex};
use std::fmt;
use std::str::FromStr;

pub use token::{AttachmentError, attachments_of, check_metadata};
pub use tree::{
    BLOB_CHUNK_BYTES, ChunkProof, ProofError, chunk_bytes, chunk_count, chunk_offset, proof_hashes,
};
#[cfg(feature = "rocksdb")]
pub(crate) use tree::{Builder, Known, Node, verify};

/// A blob's name: the BLAKE3 hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 32]);

impl BlobId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// A blob as a token names it. What the length says is believed once the blob's last chunk is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef {
    /// Its name.
    pub id: BlobId,
    /// How many bytes it has.
    pub len: u64,
}

/// 64 hexadecimal digits.
impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no attachment id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no attachment id; one has 64 digits 0-9 a-f, as `sedge attachment list` shows it"
)]
pub struct BlobIdError(String);

impl FromStr for BlobId {
    type Err = BlobIdError;

    fn from_str(text: &str) -> Result<Self, BlobIdError> {
        let bytes = parse_hex(text).ok_or_else(|| BlobIdError(text.chars().take(80).collect()))?;
        Ok(Self(bytes))
    }
}

//! The wire form of a delta, as `crdt/proto/document.proto` has it, so that targets can look into one and generators
//! make one; and the checksum of a change chunk, which a mutated chunk has to be given to be looked at further.

use prost::Message;
use sha2::{Digest, Sha256};

/// A delta.
#[derive(Clone, PartialEq, Message)]
pub struct WireDelta {
    /// Maps that the changes need.
    #[prost(message, repeated, tag = "1")]
    pub births: Vec<WireBirth>,
    /// Automerge change chunks.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub changes: Vec<Vec<u8>>,
}

/// Where a map that is to be born lies.
#[derive(Clone, PartialEq, Message)]
pub struct WireBirth {
    /// The map it lies in: 0 is the root, n the n-th of the delta's births.
    #[prost(uint32, tag = "1")]
    pub parent: u32,
    /// Its key there.
    #[prost(string, tag = "2")]
    pub key: String,
}

/// Where a chunk's checksum stands: behind the four bytes that every chunk begins with.
const CHECKSUM: std::ops::Range<usize> = 4..8;

/// The chunk with the checksum that its type and content have (Automerge binary format, "Chunk"). Right for plain
/// chunks; that of a compressed one is over its inflated content.
pub fn with_checksum(mut chunk: Vec<u8>) -> Vec<u8> {
    if chunk.len() > CHECKSUM.end {
        let hash = Sha256::digest(&chunk[CHECKSUM.end..]);
        chunk[CHECKSUM].copy_from_slice(&hash[..CHECKSUM.len()]);
    }
    chunk
}

//! BLAKE3's hash tree over chunks of 64 KiB (BLAKE3 paper, section 2.1; the chunk groups are those of Bao).
//!
//! The leaves are chunks, each the subtree of BLAKE3's own blocks of 1 KiB beneath it; a parent holds the chaining
//! values of its two children, of which the left one has the largest power of two of leaves that leaves one over. Parents
//! are numbered in post-order, which is the order in which they become known while a blob streams by.

use super::BlobId;
use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use std::convert::Infallible;

/// Bytes of a chunk, all but perhaps the last of a blob: the unit that is verified, stored as present, and transferred.
pub const BLOB_CHUNK_BYTES: usize = 64 << 10;

/// Most hashes on the way from a chunk to the root: a blob has less than 2^64 bytes.
const PROOF_HASHES_MAX: usize = 48;

type ChainingValue = [u8; 32];

/// How many chunks a blob of this length has: at least one, which is empty when the blob is.
pub fn chunk_count(len: u64) -> u64 {
    len.div_ceil(BLOB_CHUNK_BYTES as u64).max(1)
}

/// Where a chunk begins, in bytes.
pub fn chunk_offset(index: u64) -> u64 {
    index.saturating_mul(BLOB_CHUNK_BYTES as u64)
}

/// How many bytes a chunk of a blob of this length has; `None` when the blob has no such chunk.
pub fn chunk_bytes(len: u64, index: u64) -> Option<usize> {
    let left = len.saturating_sub(chunk_offset(index));
    (index < chunk_count(len)).then(|| left.min(BLOB_CHUNK_BYTES as u64) as usize)
}

/// How many hashes the proof of a chunk has; `None` when the blob has no such chunk.
pub fn proof_hashes(len: u64, index: u64) -> Option<usize> {
    (index < chunk_count(len)).then(|| path(len, index).len())
}

/// Why a chunk is not taken for one of its blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The blob ends before it.
    #[error("a blob of {len} bytes has no chunk {index}")]
    NoSuchChunk {
        /// The blob's length, in bytes.
        len: u64,
        /// The chunk asked about, from 0.
        index: u64,
    },
    /// Its length is not that of the chunk.
    #[error("chunk {index} has {expected} bytes, not {found}")]
    Length {
        /// The chunk, from 0.
        index: u64,
        /// How many bytes it has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// The proof's bytes are not as many hashes as there are between chunk and root.
    #[error("a proof of {expected} hashes is needed, not of {found} bytes")]
    ProofLength {
        /// Hashes of 32 bytes.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// Bytes, place or proof are not those of a blob of this id and length.
    #[error("chunk {index} is not what attachment {id} has there")]
    Mismatch {
        /// The blob.
        id: BlobId,
        /// The chunk, from 0.
        index: u64,
    },
}

/// The hashes beside the way from a chunk to the root, the chunk's own neighbour first. On the wire 32 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkProof(Vec<ChainingValue>);

impl ChunkProof {
    /// The proof of a chunk of content that is in memory; `None` when it has no such chunk.
    pub fn of(content: &[u8], index: u64) -> Option<Self> {
        let len = content.len() as u64;
        chunk_bytes(len, index)?;
        let (mut builder, mut nodes) = (Builder::default(), Vec::new());
        let mut keep = |node| {
            nodes.push(node);
            Ok::<_, Infallible>(())
        };
        for chunk in content.chunks(BLOB_CHUNK_BYTES) {
            let Ok(()) = builder.push(chunk, &mut keep);
        }
        let Ok(id) = builder.finish(&mut keep);
        let stored = |node| nodes.get(node as usize).copied().ok_or(());
        let known = Known::read(id, len, index, stored).ok()??;
        Some(known.proof)
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Reads what [`encode`](Self::encode) wrote, as the proof of that chunk of a blob of that length.
    ///
    /// # Errors
    /// The blob has no such chunk, or its proof another length.
    pub fn decode(bytes: &[u8], len: u64, index: u64) -> Result<Self, ProofError> {
        let expected = proof_hashes(len, index).ok_or(ProofError::NoSuchChunk { len, index })?;
        match bytes.as_chunks::<32>() {
            (hashes, []) if hashes.len() == expected => Ok(Self(hashes.to_vec())),
            _ => Err(ProofError::ProofLength {
                expected,
                found: bytes.len(),
            }),
        }
    }

    /// Checks a chunk against its blob's name. That the blob has this length is only sure once its last chunk fits too.
    ///
    /// # Errors
    /// It is not that chunk of a blob of this id and length.
    pub fn check(&self, id: BlobId, len: u64, index: u64, bytes: &[u8]) -> Result<(), ProofError> {
        verify(id, len, index, bytes, self).map(drop)
    }
}

/// A parent: the chaining values of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    left: ChainingValue,
    right: ChainingValue,
}

impl Node {
    pub(crate) const BYTES: usize = 64;

    pub(crate) fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.left);
        bytes[32..].copy_from_slice(&self.right);
        bytes
    }

    pub(crate) fn read(bytes: &[u8; Self::BYTES]) -> Self {
        let (mut left, mut right) = ([0; 32], [0; 32]);
        left.copy_from_slice(&bytes[..32]);
        right.copy_from_slice(&bytes[32..]);
        Self { left, right }
    }

    fn hash(&self, is_root: bool) -> ChainingValue {
        match is_root {
            true => *merge_subtrees_root(&self.left, &self.right, Mode::Hash).as_bytes(),
            false => merge_subtrees_non_root(&self.left, &self.right, Mode::Hash),
        }
    }
}

/// A parent on the way from the root to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The parent's number in post-order.
    pub(crate) node: u64,
    /// Whether the way goes on to its left child.
    is_left: bool,
}

/// The parents above a chunk, the root first. The blob has the chunk.
pub(crate) fn path(len: u64, index: u64) -> Vec<Step> {
    let (mut first, mut leaves) = (0u64, chunk_count(len));
    let mut path = Vec::new();
    while leaves > 1 && path.len() < PROOF_HASHES_MAX {
        let left = 1 << (leaves - 1).ilog2();
        // Before this subtree are the parents of the full subtrees that the leaves before it make up; in it, its own
        // parent is the last.
        let node = first - u64::from(first.count_ones()) + leaves - 2;
        let is_left = index < first + left;
        path.push(Step { node, is_left });
        if is_left {
            leaves = left;
        } else {
            first += left;
            leaves -= left;
        }
    }
    path
}

/// Checks a chunk as it comes from outside; gives the parents above it, which then hold as well.
pub(crate) fn verify(
    id: BlobId,
    len: u64,
    index: u64,
    bytes: &[u8],
    proof: &ChunkProof,
) -> Result<Vec<(u64, Node)>, ProofError> {
    let expected = chunk_bytes(len, index).ok_or(ProofError::NoSuchChunk { len, index })?;
    if bytes.len() != expected {
        return Err(ProofError::Length {
            index,
            expected,
            found: bytes.len(),
        });
    }
    let path = path(len, index);
    if proof.0.len() != path.len() {
        return Err(ProofError::ProofLength {
            expected: path.len(),
            found: proof.0.len() * 32,
        });
    }
    let mut hash = leaf(index, bytes, path.is_empty());
    let mut nodes = Vec::with_capacity(path.len());
    let upwards = path.iter().enumerate().rev();
    for ((depth, step), sibling) in upwards.zip(&proof.0) {
        let (left, right) = match step.is_left {
            true => (hash, *sibling),
            false => (*sibling, hash),
        };
        let node = Node { left, right };
        hash = node.hash(depth == 0);
        nodes.push((step.node, node));
    }
    match hash == id.0 {
        true => Ok(nodes),
        false => Err(ProofError::Mismatch { id, index }),
    }
}

/// What stored parents say about a chunk: its proof, and the hash it must have.
pub(crate) struct Known {
    pub(crate) proof: ChunkProof,
    index: u64,
    hash: ChainingValue,
}

impl Known {
    /// Walks from the root to a chunk that the blob has; `None` when a parent is not what its own parent says.
    pub(crate) fn read<E>(
        id: BlobId,
        len: u64,
        index: u64,
        mut stored: impl FnMut(u64) -> Result<Node, E>,
    ) -> Result<Option<Self>, E> {
        let mut hash = id.0;
        let mut siblings = Vec::new();
        for (depth, step) in path(len, index).into_iter().enumerate() {
            let node = stored(step.node)?;
            if node.hash(depth == 0) != hash {
                return Ok(None);
            }
            let (own, sibling) = match step.is_left {
                true => (node.left, node.right),
                false => (node.right, node.left),
            };
            hash = own;
            siblings.push(sibling);
        }
        siblings.reverse();
        Ok(Some(Self {
            proof: ChunkProof(siblings),
            index,
            hash,
        }))
    }

    /// Whether these bytes are the chunk.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        let is_root = self.proof.0.is_empty();
        (is_root || !bytes.is_empty()) && leaf(self.index, bytes, is_root) == self.hash
    }
}

/// Hashes a blob chunk by chunk as it streams by, and tells each parent in post-order.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    leaves: u64,
    /// The full subtrees that the leaves so far make up, the largest first: at most one for each bit of their number.
    subtrees: Vec<ChainingValue>,
    /// The name of the blob if it has but one chunk.
    only: Option<BlobId>,
}

impl Builder {
    /// Takes the next chunk. All but the last have [`BLOB_CHUNK_BYTES`], and only an only one is empty.
    pub(crate) fn push<E>(
        &mut self,
        bytes: &[u8],
        parent: &mut impl FnMut(Node) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.leaves == 0 {
            self.only = Some(BlobId::of(bytes));
        }
        // Not before: the parent of all leaves is the root, which is hashed in another way.
        while self.subtrees.len() as u64 > u64::from(self.leaves.count_ones()) {
            self.merge(parent)?;
        }
        if !bytes.is_empty() {
            self.subtrees.push(leaf(self.leaves, bytes, false));
        }
        self.leaves += 1;
        Ok(())
    }

    /// The name of all that was taken.
    pub(crate) fn finish<E>(
        mut self,
        parent: &mut impl FnMut(Node) -> Result<(), E>,
    ) -> Result<BlobId, E> {
        while self.subtrees.len() > 2 {
            self.merge(parent)?;
        }
        match self.subtrees[..] {
            [left, right] => {
                let node = Node { left, right };
                parent(node)?;
                Ok(BlobId(node.hash(true)))
            }
            _ => Ok(self.only.unwrap_or_else(|| BlobId::of(&[]))),
        }
    }

    fn merge<E>(&mut self, parent: &mut impl FnMut(Node) -> Result<(), E>) -> Result<(), E> {
        if let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.pop()) {
            let node = Node { left, right };
            self.subtrees.push(node.hash(false));
            parent(node)?;
        }
        Ok(())
    }
}

/// The hash of a chunk as its parent, or its blob's name if it is the only one, has it.
fn leaf(index: u64, bytes: &[u8], is_root: bool) -> ChainingValue {
    if is_root {
        return *blake3::hash(bytes).as_bytes();
    }
    let mut hasher = Hasher::new();
    hasher
        .set_input_offset(chunk_offset(index))
        .update(bytes)
        .finalize_non_root()
}

#[cfg(test)]
mod tests;

//! The reference store of blobs, in memory: small, and proven by a tree of its own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{Blob, Blobs, Chunk, ChunkSet, Taken};
use crate::{limits::BLOB_CHUNK_BYTES, replica::ReplicaError};

type Hash = [u8; 32];

/// Blobs in memory. A blob's name here is the root of a binary tree over its chunks, not the hash of its bytes.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<Blob, BTreeMap<u64, Chunk>>>);

impl MemoryBlobs {
    /// The blob of this content, and its chunks.
    pub fn cut(content: &[u8]) -> (Blob, Vec<Chunk>) {
        let mut pieces: Vec<&[u8]> = content.chunks(BLOB_CHUNK_BYTES).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let mut level: Vec<Hash> = pieces.iter().map(|piece| leaf(piece)).collect();
        level.resize(level.len().next_power_of_two(), leaf(&[]));
        let mut levels = vec![level];
        while let Some([one, two, rest @ ..]) = levels.last().map(Vec::as_slice) {
            let mut above = vec![parent(one, two)];
            above.extend(
                rest.as_chunks::<2>()
                    .0
                    .iter()
                    .map(|[one, two]| parent(one, two)),
            );
            levels.push(above);
        }
        let root = levels.pop().and_then(|top| top.first().copied());
        let id = root.unwrap_or_default();
        let chunk = |(index, piece): (usize, &&[u8])| {
            let beside = |(height, level): (usize, &Vec<Hash>)| {
                level.get(index >> height ^ 1).copied().unwrap_or_default()
            };
            let proof: Vec<Hash> = levels.iter().enumerate().map(beside).collect();
            Chunk {
                bytes: Bytes::copy_from_slice(piece),
                proof: proof.concat().into(),
            }
        };
        let chunks = pieces.iter().enumerate().map(chunk).collect();
        let len = content.len() as u64;
        (Blob { id, len }, chunks)
    }

    /// Keeps some chunks of this content; all of them make it whole.
    pub fn keep(&self, content: &[u8], keeps: impl Fn(u64) -> bool) -> Blob {
        let (blob, chunks) = Self::cut(content);
        let chunks = (0..).zip(chunks).filter(|(index, _)| keeps(*index));
        self.lock().entry(blob).or_default().extend(chunks);
        blob
    }

    /// The bytes of a blob that is whole.
    pub fn content(&self, blob: Blob) -> Option<Vec<u8>> {
        let blobs = self.lock();
        let chunks = blobs.get(&blob)?;
        let whole = chunks.len() as u64 == blob.chunks();
        whole.then(|| {
            chunks
                .values()
                .flat_map(|chunk| chunk.bytes.to_vec())
                .collect()
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Blob, BTreeMap<u64, Chunk>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for MemoryBlobs {
    fn held(&self, blob: Blob) -> Result<ChunkSet, ReplicaError> {
        let mut held = ChunkSet::none(blob.chunks());
        if let Some(chunks) = self.lock().get(&blob) {
            chunks.keys().for_each(|index| held.add(*index));
        }
        Ok(held)
    }

    fn chunk(&self, blob: Blob, index: u64) -> Result<Option<Chunk>, ReplicaError> {
        let blobs = self.lock();
        Ok(blobs
            .get(&blob)
            .and_then(|chunks| chunks.get(&index))
            .cloned())
    }

    fn accept(&self, blob: Blob, index: u64, chunk: &Chunk) -> Result<Taken, ReplicaError> {
        let fits = index < blob.chunks()
            && chunk.bytes.len() as u64 == super::chunk_bytes(blob.len, index);
        if !fits || root_of(index, chunk) != Some(blob.id) {
            let reason = format!("chunk {index} is not the blob's");
            return Ok(Taken::Wrong { reason });
        }
        let mut blobs = self.lock();
        let chunks = blobs.entry(blob).or_default();
        chunks.insert(index, chunk.clone());
        Ok(match chunks.len() as u64 == blob.chunks() {
            true => Taken::Whole,
            false => Taken::Kept,
        })
    }
}

/// The root that a chunk and its proof lead to.
fn root_of(index: u64, chunk: &Chunk) -> Option<Hash> {
    let (beside, []) = chunk.proof.as_chunks::<32>() else {
        return None;
    };
    let mut hash = leaf(&chunk.bytes);
    for (height, other) in beside.iter().enumerate() {
        hash = match index >> height & 1 {
            0 => parent(&hash, other),
            _ => parent(other, &hash),
        };
    }
    Some(hash)
}

fn leaf(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

fn parent(one: &Hash, two: &Hash) -> Hash {
    *blake3::Hasher::new_derive_key("sedge memory blobs 1")
        .update(one)
        .update(two)
        .finalize()
        .as_bytes()
}

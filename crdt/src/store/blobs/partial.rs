//! Blobs that come in by chunks, in any order and from several peers.
//!
//! A chunk is verified before it is written, and counts as here only once it is synced: the list of chunks that are here
//! is written after each sync, so it never says too much.

use super::error::BlobError;
use super::files::{Folder, open_readable, open_writable};
use super::read::Source;
use super::{Blobs, check_len};
use crate::blob::{BlobRef, ChunkProof, Node, chunk_count, chunk_offset, verify};
use crate::limits::{PARTIAL_BLOBS_OPEN_MAX, PARTIAL_CHUNKS_UNSYNCED_MAX};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::iter;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Partial blobs whose files are open.
#[derive(Default)]
pub(super) struct Partials(Mutex<BTreeMap<BlobRef, Arc<Mutex<Partial>>>>);

impl Blobs {
    pub(super) fn missing(&self, blob: BlobRef) -> Result<Vec<Range<u64>>, BlobError> {
        let chunks = chunk_count(blob.len);
        if self.is_whole(blob)? {
            return Ok(Vec::new());
        }
        let Some(partial) = self.partial(blob, false)? else {
            return Ok(iter::once(0..chunks).collect());
        };
        let mut partial = partial.lock();
        // A crash came between the last chunk and its place.
        if partial.have.is_full() && !self.is_whole(blob)? {
            self.finish(&mut partial)?;
        }
        Ok(partial.have.gaps())
    }

    pub(super) fn put_chunk(
        &self,
        blob: BlobRef,
        index: u64,
        bytes: &[u8],
        proof: &ChunkProof,
    ) -> Result<bool, BlobError> {
        if self.is_whole(blob)? {
            return Ok(true);
        }
        let nodes = verify(blob.id, blob.len, index, bytes, proof)?;
        let Some(partial) = self.partial(blob, true)? else {
            return Ok(false);
        };
        let mut partial = partial.lock();
        if self.is_whole(blob)? {
            return Ok(true); // by a chunk that came at the same time
        }
        partial.write(index, bytes, &nodes)?;
        if !partial.have.is_full() {
            return Ok(false);
        }
        self.finish(&mut partial)?;
        Ok(true)
    }

    /// Puts a blob of which all chunks are here in its place.
    fn finish(&self, partial: &mut Partial) -> Result<(), BlobError> {
        let blob = partial.source.blob;
        partial.sync()?;
        let _placing = self.placing.lock();
        self.folder.place(&partial.source.files, blob.id)?;
        self.close(blob);
        self.folder.remove_partial(blob)?;
        Ok(())
    }

    pub(super) fn chunk_with_proof(
        &self,
        blob: BlobRef,
        index: u64,
    ) -> Result<Option<(Vec<u8>, ChunkProof)>, BlobError> {
        if self.is_whole(blob)? {
            return self.reader(blob.id)?.chunk_with_proof(index).map(Some);
        }
        let Some(partial) = self.partial(blob, false)? else {
            return Ok(None);
        };
        let partial = partial.lock();
        match partial.have.has(index) {
            true => partial.source.chunk(index).map(Some),
            false => Ok(None),
        }
    }

    /// Forgets the open files of a partial blob.
    pub(super) fn close(&self, blob: BlobRef) {
        self.partials.0.lock().remove(&blob);
    }

    /// Whether the blob is here as a whole, with this length.
    fn is_whole(&self, blob: BlobRef) -> Result<bool, BlobError> {
        check_len(blob.len)?;
        match self.folder.whole_len(blob.id)? {
            Some(found) if found != blob.len => Err(BlobError::OtherLength {
                id: blob.id,
                found,
                asked: blob.len,
            }),
            found => Ok(found.is_some()),
        }
    }

    /// What is here of a blob; `None` when nothing is, unless it is to be made.
    fn partial(&self, blob: BlobRef, make: bool) -> Result<Option<Arc<Mutex<Partial>>>, BlobError> {
        let mut open = self.partials.0.lock();
        if let Some(partial) = open.get(&blob) {
            return Ok(Some(Arc::clone(partial)));
        }
        if !make && !self.folder.have(blob).exists() {
            return Ok(None);
        }
        if open.len() >= PARTIAL_BLOBS_OPEN_MAX {
            let idle = open
                .iter()
                .find(|(_, partial)| Arc::strong_count(partial) == 1);
            if let Some((idle, partial)) = idle.map(|(blob, partial)| (*blob, Arc::clone(partial)))
            {
                partial.lock().sync()?;
                open.remove(&idle);
            }
        }
        let partial = Arc::new(Mutex::new(Partial::open(&self.folder, blob)?));
        open.insert(blob, Arc::clone(&partial));
        Ok(Some(partial))
    }
}

struct Partial {
    source: Source,
    have: Chunks,
    have_file: File,
    /// Chunks written since the last sync.
    unsynced: u32,
}

impl Partial {
    fn open(folder: &Folder, blob: BlobRef) -> Result<Self, BlobError> {
        let (files, have) = (folder.partial(blob), folder.have(blob));
        let chunks = chunk_count(blob.len);
        let lost = !files.data.exists() || (chunks > 1 && !files.tree.exists());
        if lost {
            folder.remove_partial(blob)?; // what was moved away before a crash, or never got to the disk
        }
        let mut bits = vec![0; chunks.div_ceil(8) as usize];
        if let Some(file) = open_readable(&have)? {
            // A shorter list leaves the rest as not here.
            let found = file.metadata().map_err(BlobError::io(&have))?.len();
            let known = bits.len().min(found as usize);
            let read = file.read_exact_at(&mut bits[..known], 0);
            read.map_err(BlobError::io(&have))?;
        }
        let tree = match chunks {
            1 => None,
            _ => Some(open_writable(&files.tree)?),
        };
        Ok(Self {
            source: Source {
                blob,
                data: open_writable(&files.data)?,
                tree,
                files,
            },
            have: Chunks::new(bits, chunks),
            have_file: open_writable(&have)?,
            unsynced: 0,
        })
    }

    /// Writes a verified chunk and the parents above it.
    fn write(&mut self, index: u64, bytes: &[u8], nodes: &[(u64, Node)]) -> Result<(), BlobError> {
        if self.have.has(index) {
            return Ok(());
        }
        let Source {
            data, tree, files, ..
        } = &self.source;
        let written = data.write_all_at(bytes, chunk_offset(index));
        written.map_err(BlobError::io(&files.data))?;
        for (number, node) in nodes {
            if let Some(tree) = tree {
                let written = tree.write_all_at(&node.bytes(), number * Node::BYTES as u64);
                written.map_err(BlobError::io(&files.tree))?;
            }
        }
        self.have.add(index);
        self.unsynced += 1;
        match self.unsynced {
            PARTIAL_CHUNKS_UNSYNCED_MAX.. => self.sync(),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), BlobError> {
        let files = &self.source.files;
        self.source
            .data
            .sync_data()
            .map_err(BlobError::io(&files.data))?;
        if let Some(tree) = &self.source.tree {
            tree.sync_data().map_err(BlobError::io(&files.tree))?;
        }
        let written = self.have_file.write_all_at(&self.have.bits, 0);
        written.map_err(BlobError::io(&files.data))?;
        self.unsynced = 0;
        Ok(())
    }
}

/// So that no more than a power loss takes is fetched again.
impl Drop for Partial {
    fn drop(&mut self) {
        if self.unsynced > 0
            && let Err(error) = self.sync()
        {
            tracing::warn!(%error, "chunks of an attachment have to be fetched again");
        }
    }
}

/// A set of chunks.
struct Chunks {
    bits: Vec<u8>,
    chunks: u64,
    count: u64,
}

impl Chunks {
    fn new(mut bits: Vec<u8>, chunks: u64) -> Self {
        if let (Some(last), 1..) = (bits.last_mut(), chunks % 8) {
            *last &= (1 << (chunks % 8)) - 1;
        }
        let count = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        Self {
            bits,
            chunks,
            count,
        }
    }

    fn has(&self, index: u64) -> bool {
        let byte = self.bits.get((index / 8) as usize);
        byte.is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    fn add(&mut self, index: u64) {
        if !self.has(index)
            && let Some(byte) = self.bits.get_mut((index / 8) as usize)
        {
            *byte |= 1 << (index % 8);
            self.count += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.count == self.chunks
    }

    fn gaps(&self) -> Vec<Range<u64>> {
        let mut gaps: Vec<Range<u64>> = Vec::new();
        for index in (0..self.chunks).filter(|index| !self.has(*index)) {
            match gaps.last_mut() {
                Some(gap) if gap.end == index => gap.end += 1,
                _ => gaps.push(index..index + 1),
            }
        }
        gaps
    }
}

//! Giving out a blob's bytes, each chunk checked against the blob's name before any of it is seen.

use super::Blobs;
use super::error::BlobError;
use super::files::{Files, open_readable};
use crate::blob::{
    BLOB_CHUNK_BYTES, BlobId, BlobRef, ChunkProof, Known, Node, ProofError, chunk_bytes,
    chunk_offset,
};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

impl Blobs {
    pub(super) fn reader(&self, id: BlobId) -> Result<BlobReader, BlobError> {
        let files = self.folder.whole(id);
        let data = open_readable(&files.data)?.ok_or(BlobError::NotHere(id))?;
        let len = data.metadata().map_err(BlobError::io(&files.data))?.len();
        Ok(BlobReader {
            source: Source {
                blob: BlobRef { id, len },
                data,
                tree: open_readable(&files.tree)?,
                files,
            },
            position: 0,
            chunk: None,
        })
    }
}

/// The open files of a blob, or of a part of one.
pub(super) struct Source {
    pub(super) blob: BlobRef,
    pub(super) data: File,
    /// None for a blob of a single chunk.
    pub(super) tree: Option<File>,
    pub(super) files: Files,
}

impl Source {
    /// A chunk that is here, and its proof.
    pub(super) fn chunk(&self, index: u64) -> Result<(Vec<u8>, ChunkProof), BlobError> {
        let BlobRef { id, len } = self.blob;
        let bytes = chunk_bytes(len, index).ok_or(ProofError::NoSuchChunk { len, index })?;
        let known = Known::read(id, len, index, |node| self.node(node))?;
        let known = known.ok_or_else(|| self.damaged("its hash tree".to_owned()))?;
        let mut chunk = vec![0; bytes];
        self.read_at(&self.data, &mut chunk, chunk_offset(index))?;
        match known.is(&chunk) {
            true => Ok((chunk, known.proof)),
            false => Err(self.damaged(format!("chunk {index} of its bytes"))),
        }
    }

    fn node(&self, number: u64) -> Result<Node, BlobError> {
        let mut node = [0; Node::BYTES];
        let file = self.tree.as_ref();
        let file = file.ok_or_else(|| self.damaged("its missing hash tree".to_owned()))?;
        self.read_at(file, &mut node, number * Node::BYTES as u64)?;
        Ok(Node::read(&node))
    }

    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> Result<(), BlobError> {
        match file.read_exact_at(bytes, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.damaged("its shortened file".to_owned()))
            }
            read => read.map_err(BlobError::io(&self.files.data)),
        }
    }

    fn damaged(&self, what: String) -> BlobError {
        BlobError::Damaged {
            id: self.blob.id,
            what,
        }
    }
}

/// The bytes of a blob. It goes on when the blob is removed meanwhile. An error in reading carries a [`BlobError`].
pub struct BlobReader {
    source: Source,
    position: u64,
    /// The chunk that was read last.
    chunk: Option<(u64, Vec<u8>)>,
}

impl BlobReader {
    /// The blob's name.
    pub fn id(&self) -> BlobId {
        self.source.blob.id
    }

    /// How many bytes the blob has.
    pub fn len(&self) -> u64 {
        self.source.blob.len
    }

    /// Whether the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the next byte is read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// A chunk, and what proves it to another store.
    pub(super) fn chunk_with_proof(&self, index: u64) -> Result<(Vec<u8>, ChunkProof), BlobError> {
        self.source.chunk(index)
    }

    /// The verified bytes from here to the end of their chunk; none at the end of the blob.
    ///
    /// # Errors
    /// The chunk is damaged, or the disk fails.
    pub fn rest_of_chunk(&mut self) -> Result<&[u8], BlobError> {
        let index = self.position / BLOB_CHUNK_BYTES as u64;
        // An empty blob is one empty chunk, which is verified like any other.
        if self.position >= self.len() && !self.is_empty() {
            return Ok(&[]);
        }
        let chunk = match self.chunk.take() {
            Some((held, chunk)) if held == index => chunk,
            _ => self.source.chunk(index)?.0,
        };
        let from = (self.position - chunk_offset(index)) as usize;
        let (_, chunk) = self.chunk.insert((index, chunk));
        Ok(chunk.get(from..).unwrap_or_default())
    }

    /// Passes over bytes, as after [`rest_of_chunk`](Self::rest_of_chunk).
    pub fn consume(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(bytes as u64);
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.rest_of_chunk().map_err(io::Error::other)?;
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let before_start = || io::Error::new(ErrorKind::InvalidInput, "before the first byte");
        self.position = position.ok_or_else(before_start)?;
        Ok(self.position)
    }
}

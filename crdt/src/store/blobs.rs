//! Attachments: their bytes in files beside the database, and in the database who names them.
//!
//! | in `blobs/` of the store's folder | what |
//! |---|---|
//! | `whole/HH/HEX` | a blob's bytes, as they are; `HEX` is its id, `HH` the id's first byte |
//! | `whole/HH/HEX.tree` | its hash tree: each parent's two chaining values (64 B), in post-order; none for a single chunk |
//! | `partial/HEX.LEN`, `….tree`, `….have` | the same of a blob that is being fetched, and a bit for each chunk that is here |
//! | `new/` | drafts of uploads; emptied at every open |
//!
//! A blob is here when its file stands in `whole`, where it gets by a rename once it is whole and synced. The family
//! `attachments` counts the documents that name a blob, in the same write batch as the documents (`references`); what none
//! names is removed after a while (`collect`).

mod collect;
mod copy;
mod error;
mod files;
mod partial;
mod put;
mod read;
mod references;

use super::{Inner, Store};
use crate::blob::{BlobId, BlobRef, ChunkProof, check_metadata};
use crate::limits::{ATTACHMENTS_LISTED_MAX, BLOB_BYTES_MAX};
use crate::store::StoreError;
use crate::value::Attachment;
use files::Folder;
use parking_lot::{Mutex, RwLock};
use partial::Partials;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

pub use collect::Collected;
pub use error::BlobError;
pub use read::BlobReader;
pub(super) use references::{NameSum, add_counts, count_references};

/// The blobs of a store.
pub(super) struct Blobs {
    folder: Folder,
    /// Held while a blob comes into its place or leaves it.
    placing: Mutex<()>,
    /// Held by a collection while it removes, and shared by those who must find all that documents name.
    leaving: RwLock<()>,
    partials: Partials,
}

impl Blobs {
    /// Opens the folder of blobs in a store's folder; what unfinished uploads left is removed.
    pub(super) fn open(store: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            folder: Folder::open(store)?,
            placing: Mutex::default(),
            leaving: RwLock::default(),
            partials: Partials::default(),
        })
    }
}

/// What is known of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its name.
    pub id: BlobId,
    /// How many bytes it has.
    pub len: u64,
    /// How many documents name it.
    pub documents: u64,
}

/// The attachments of a store; see [`Store::attachments`].
#[derive(Clone, Copy)]
pub struct Attachments<'a>(&'a Inner);

impl Store {
    /// The bytes behind the tokens that documents hold.
    pub fn attachments(&self) -> Attachments<'_> {
        Attachments(&self.0)
    }
}

impl Attachments<'_> {
    /// Takes in bytes until the reader ends, one chunk at a time, and gives the token for a document. Durable on return;
    /// bytes that are here already take no more room. Unless a document names it, it goes again with a later
    /// [`collect`](Self::collect).
    ///
    /// # Errors
    /// The reader fails, there are more than [`BLOB_BYTES_MAX`] bytes, the metadata is too large, or the disk fails: then
    /// nothing is kept.
    pub fn put(
        &self,
        content: impl Read,
        metadata: BTreeMap<String, String>,
    ) -> Result<Attachment, StoreError> {
        check_metadata(&metadata).map_err(BlobError::from)?;
        let BlobRef { id, len } = self.0.blobs.put(content)?;
        Ok(Attachment::new(id, len, metadata).map_err(BlobError::from)?)
    }

    /// The bytes of a blob that is here.
    ///
    /// # Errors
    /// It is not here, or the disk fails.
    pub fn get(&self, id: BlobId) -> Result<BlobReader, StoreError> {
        Ok(self.0.blobs.reader(id)?)
    }

    /// What is known of a blob; `None` when it is not here as a whole.
    ///
    /// # Errors
    /// The disk or the database fails.
    pub fn stat(&self, id: BlobId) -> Result<Option<BlobStat>, StoreError> {
        let Some(len) = self.0.blobs.folder.whole_len(id)? else {
            return Ok(None);
        };
        let documents = references::documents(&self.0.database, id)?;
        Ok(Some(BlobStat { id, len, documents }))
    }

    /// Blobs that are here as a whole, ascending by id, at most [`ATTACHMENTS_LISTED_MAX`] of those behind `after`.
    ///
    /// # Errors
    /// The disk or the database fails.
    pub fn list(&self, after: Option<BlobId>) -> Result<Vec<BlobStat>, StoreError> {
        let mut page = Vec::new();
        for shard in after.map_or(0, |id| id.0[0])..=u8::MAX {
            for id in self.0.blobs.folder.shard(shard)? {
                if after.is_some_and(|after| id <= after) {
                    continue;
                }
                page.extend(self.stat(id)?); // none when it was removed meanwhile
                if page.len() == ATTACHMENTS_LISTED_MAX {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// Blobs that documents name and that are not here as a whole, ascending, at most [`ATTACHMENTS_LISTED_MAX`] of those
    /// behind `after`.
    ///
    /// # Errors
    /// The disk or the database fails.
    pub fn wanted(&self, after: Option<BlobRef>) -> Result<Vec<BlobRef>, StoreError> {
        let folder = &self.0.blobs.folder;
        references::wanted(&self.0.database, after, |id| Ok(folder.whole_len(id)?))
    }

    /// The blob of this name as most documents name it; `None` when none does. Where they tell different lengths, only fetching
    /// it shows which is right.
    ///
    /// # Errors
    /// The database fails.
    pub fn named(&self, id: BlobId) -> Result<Option<BlobRef>, StoreError> {
        references::named(&self.0.database, id)
    }

    /// Removes the bytes of a blob, whether documents name it or not; `false` when they were not here.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&self, id: BlobId) -> Result<bool, StoreError> {
        let _placing = self.0.blobs.placing.lock();
        Ok(self.0.blobs.folder.remove_whole(id)?.is_some())
    }

    /// The chunks of a blob that are not here, as ranges of their indexes.
    ///
    /// # Errors
    /// The blob is here with another length, is longer than may be, or the disk fails.
    pub fn missing(&self, blob: BlobRef) -> Result<Vec<Range<u64>>, StoreError> {
        Ok(self.0.blobs.missing(blob)?)
    }

    /// Takes in one chunk of a blob, from whomever; `true` once the blob is whole, and then durable. Earlier chunks
    /// outlive a restart, but for the last few.
    ///
    /// # Errors
    /// It is not that chunk of a blob of this id and length; it is here with another length; the disk fails.
    pub fn put_chunk(
        &self,
        blob: BlobRef,
        index: u64,
        bytes: &[u8],
        proof: &ChunkProof,
    ) -> Result<bool, StoreError> {
        Ok(self.0.blobs.put_chunk(blob, index, bytes, proof)?)
    }

    /// A chunk of a blob that is here, wholly or in part, with what proves it to another store; `None` when this chunk
    /// is not here.
    ///
    /// # Errors
    /// The blob has no such chunk, is here with another length, is damaged, or the disk fails.
    pub fn chunk_with_proof(
        &self,
        blob: BlobRef,
        index: u64,
    ) -> Result<Option<(Vec<u8>, ChunkProof)>, StoreError> {
        Ok(self.0.blobs.chunk_with_proof(blob, index)?)
    }
}

/// Refuses a length that no blob may have.
fn check_len(len: u64) -> Result<(), BlobError> {
    match len {
        0..=BLOB_BYTES_MAX => Ok(()),
        _ => Err(crate::blob::AttachmentError::TooLong.into()),
    }
}

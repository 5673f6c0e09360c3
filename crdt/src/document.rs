//! One document: an Automerge document whose root map holds the fields.
//!
//! `_id` is the document's key, not a field, so nothing can change it. Local writes become one change per write
//! (`write`), remote ones arrive as deltas (`delta`) that are measured (`chunk`), held against their ancestry (`wellformed`)
//! and tried (`ingest`) first, and what both lead to is the visible value (`visible`). Maps are born deterministically
//! (`birth`).

mod acceptance;
mod at;
mod before;
mod birth;
mod chunk;
mod delta;
mod equivocation;
mod first;
mod forked;
mod history;
mod ingest;
mod scalar;
mod visible;
mod wellformed;
mod write;

use crate::id::DocumentId;
#[cfg(feature = "rocksdb")]
use crate::seal::Proof;
use crate::value::Value;
use automerge::{Automerge, Change, ChangeHash};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use acceptance::NotAccepted;
pub(crate) use acceptance::{Grounds, covered};
pub use chunk::ChunkError;
pub(crate) use delta::{DEVICE_ACTOR_BYTES, heads_after};
pub use delta::{Delta, DeltaError};
pub(crate) use forked::{Aside, Here, Resolved};
pub(crate) use history::{History, Moment};
pub(crate) use ingest::Decoded;
pub use ingest::Ingested;
pub use wellformed::IllFormed;
pub(crate) use write::{Author, Written, create};

/// Root key that a DELETE sets. While it is there the document has no visible value.
const TOMBSTONE: &str = "\u{0}deleted";

/// Key that makes an empty map visible: a map without live keys doesn't exist for readers.
const EMPTY_MAP: &str = "\u{0}empty";

/// First character of the keys that this crate keeps for itself; fields can't begin with it.
pub(crate) const RESERVED_KEY_PREFIX: char = '\u{0}';

/// What goes wrong with a document's own bytes or changes.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The stored record does not load.
    #[error("the stored document can't be read: {0}")]
    Load(String),
    /// Automerge refuses a change.
    #[error("a change can't be applied: {0}")]
    Apply(String),
    /// Automerge failed on it (a panic, contained).
    #[error("a change made the document decoder fail; it is refused")]
    Panicked,
}

/// A loaded document.
#[derive(Default)]
pub struct Document {
    automerge: Automerge,
}

impl Document {
    /// Loads the chunks of a stored record (a snapshot and the changes behind it, or changes only).
    ///
    /// # Errors
    /// [`DocumentError::Load`] when the bytes are damaged.
    pub fn load(record: &[u8]) -> Result<Self, DocumentError> {
        let automerge = contained(|| Automerge::load(record))?
            .map_err(|error| DocumentError::Load(error.to_string()))?;
        Ok(Self { automerge })
    }

    /// The whole history as one compact chunk; `None` when that chunk would not load as this document.
    pub fn compact(&self, id: &DocumentId) -> Option<Vec<u8>> {
        let is_this = |chunk: &Vec<u8>| {
            let loaded = Self::load(chunk);
            loaded.is_ok_and(|again| {
                again.heads() == self.heads() && again.value(id) == self.value(id)
            })
        };
        contained(|| Some(self.automerge.save()).filter(is_this)).unwrap_or(None)
    }

    /// The hashes of the newest changes, ascending.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.automerge.get_heads()
    }

    /// Whether the change is part of this document's history.
    pub fn has(&self, hash: &ChangeHash) -> bool {
        self.automerge.get_change_meta_by_hash(hash).is_some()
    }

    /// The hash of the change that a proof is of.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn proven_by(&self, proof: &Proof) -> Option<ChangeHash> {
        let mut changes = self.automerge.get_changes_meta(&[]).into_iter();
        let change = changes.find(|it| proof.is_of(it.actor.to_bytes(), it.seq, &it.hash));
        change.map(|change| change.hash)
    }

    /// What readers see, `_id` included, with a record of conflicts beside it; `None` for a deleted document.
    pub fn value(&self, id: &DocumentId) -> Option<Value> {
        visible::document_value(&self.automerge, id)
    }

    /// The greatest operation counter of the history; 0 when it is empty.
    fn max_op(&self) -> u64 {
        let of = |hash| self.automerge.get_change_meta_by_hash(hash);
        let heads = self.automerge.get_heads();
        let counters = heads.iter().filter_map(of).map(|change| change.max_op);
        counters.max().unwrap_or(0)
    }

    /// Applies changes whose dependencies are here or among them.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), DocumentError> {
        let automerge = &mut self.automerge;
        contained(|| automerge.apply_changes(changes))?
            .map_err(|error| DocumentError::Apply(error.to_string()))
    }
}

/// Runs automerge on bytes that may be hostile; a panic becomes an error. The document it happened to must be dropped.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T, DocumentError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| DocumentError::Panicked)
}

#[cfg(test)]
mod tests;

//! A document as it is before changes are put behind its record.
//!
//! Most of what it takes to load a small document is one pass of automerge over its operations, whatever their number. So a
//! record of a few changes is only decoded, which suffices to check others against them, and all are applied at once. One
//! that begins with a snapshot is loaded, and the others are applied to what it gives. Both is what a later load of the
//! record does: it decodes the snapshot, and applies all that follows.

use super::delta::heads_after;
use super::wellformed::Ancestry;
use super::{Document, DocumentError, chunk, contained};
use crate::limits::TAIL_CHUNKS_MAX;
use automerge::{Change, ChangeHash};
use std::borrow::Cow;

pub(super) enum Before {
    /// The changes of a short record without a snapshot, in their order; none when nothing of the document is here.
    Changes(Vec<Change>),
    Loaded(Box<Document>),
}

impl Before {
    /// # Errors
    /// [`DocumentError::Load`] when the bytes are damaged.
    pub(super) fn of(record: &[u8]) -> Result<Self, DocumentError> {
        match changes(record) {
            Some(changes) => Ok(Self::Changes(changes)),
            None => Document::load(record).map(Self::loaded),
        }
    }

    pub(super) fn loaded(document: Document) -> Self {
        Self::Loaded(Box::new(document))
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Changes(changes) if changes.is_empty())
    }

    pub(super) fn has(&self, hash: &ChangeHash) -> bool {
        match self {
            Self::Changes(changes) => changes.iter().any(|change| change.hash() == *hash),
            Self::Loaded(document) => document.has(hash),
        }
    }

    /// All of them, in an order in which they apply.
    pub(super) fn into_changes(self) -> Vec<Change> {
        match self {
            Self::Changes(changes) => changes,
            Self::Loaded(document) => document.automerge.get_changes(&[]),
        }
    }

    pub(super) fn ancestry(&self) -> Ancestry<'_> {
        match self {
            Self::Changes(changes) => {
                let mut ancestry = Ancestry::default();
                for change in changes {
                    ancestry.add(Cow::Borrowed(change));
                }
                ancestry
            }
            Self::Loaded(document) => Ancestry::of_document(&document.automerge),
        }
    }

    /// The document with well-formed changes that build on these, births included.
    ///
    /// # Errors
    /// Automerge does not take all of them, or could not give them out again.
    pub(super) fn with(self, changes: &[Change]) -> Result<Document, DocumentError> {
        let (mut document, before, new) = match self {
            Self::Changes(before) => {
                let heads = heads_after(Vec::new(), &before);
                (
                    Document::default(),
                    heads,
                    [before, changes.to_vec()].concat(),
                )
            }
            Self::Loaded(document) => {
                let heads = document.heads();
                (*document, heads, changes.to_vec())
            }
        };
        document.apply(new)?;
        // What builds on nothing that is here automerge leaves out without an error.
        if document.heads() != heads_after(before.clone(), changes) {
            return Err(DocumentError::Load("changes would be lost".to_owned()));
        }
        // What is kept is also sent on, and for that automerge makes the changes anew from their operations.
        let remade = contained(|| document.automerge.get_changes(&before))?;
        if !remade.iter().all(|change| document.has(&change.hash())) {
            return Err(DocumentError::Load("changes would be altered".to_owned()));
        }
        Ok(document)
    }
}

/// The changes of a record that consists of a few, each undamaged and behind what it builds on.
fn changes(record: &[u8]) -> Option<Vec<Change>> {
    let chunks = chunk::changes(record, TAIL_CHUNKS_MAX)?;
    let mut changes: Vec<Change> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let change = contained(|| Change::try_from(chunk)).ok()?.ok()?;
        let is_whole = chunk.get(4..8) == change.hash().0.get(..4);
        let is_here = |dep: &ChangeHash| changes.iter().any(|earlier| earlier.hash() == *dep);
        if !is_whole || !change.deps().iter().all(is_here) {
            return None;
        }
        changes.push(change);
    }
    Some(changes)
}

//! A document in which changes of a copied device's stores meet: what counts of it, and what is set aside.
//!
//! What counts is decided anew (`equivocation`) with each change that arrives in such a document, and the document is made anew
//! from that. What does not count is kept beside it as evidence, and is exchanged like the rest.

use super::equivocation::{Fork, Node, rebuild, resolve};
use super::{DEVICE_ACTOR_BYTES, Document, DocumentError, contained, heads_after};
use crate::id::DocumentId;
use automerge::{Change, ChangeHash};
use std::collections::{BTreeMap, HashSet};

/// A document as a store holds it.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    /// Its record: what counts.
    pub(crate) record: &'a [u8],
    /// What does not.
    pub(crate) aside: &'a Aside,
    /// The key of the device behind an actor.
    pub(crate) device_of: &'a dyn Fn(&[u8; DEVICE_ACTOR_BYTES]) -> [u8; 32],
}

#[cfg(any(test, feature = "fuzz"))]
impl<'a> Here<'a> {
    /// One of which nothing is set aside, where each actor is a device.
    pub(crate) fn assumed(record: &'a [u8]) -> Self {
        Self {
            record,
            aside: const {
                &Aside {
                    changes: Vec::new(),
                    numbers: BTreeMap::new(),
                }
            },
            device_of: &|actor| {
                let mut device = [0; 32];
                device[..DEVICE_ACTOR_BYTES].copy_from_slice(actor);
                device
            },
        }
    }
}

/// The accepted changes of a document that are not in its record: those that do not count for now, and births that only they
/// need. Each stands behind what it builds on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Aside {
    changes: Vec<Change>,
    numbers: BTreeMap<ChangeHash, usize>,
}

/// What counts of a document, found out anew.
pub(crate) struct Resolved {
    /// The record of what counts.
    pub(crate) record: Vec<u8>,
    /// The chunks that the record consists of, if it could not be compacted.
    pub(crate) chunks: u32,
    pub(crate) aside: Aside,
    pub(crate) forks: Vec<Fork>,
}

impl Aside {
    fn new(changes: Vec<Change>) -> Self {
        let numbers = (0..).zip(&changes);
        let numbers = numbers.map(|(number, change)| (change.hash(), number));
        Self {
            numbers: numbers.collect(),
            changes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    pub(crate) fn has(&self, hash: &ChangeHash) -> bool {
        self.numbers.contains_key(hash)
    }

    pub(super) fn get(&self, hash: &ChangeHash) -> Option<&Change> {
        self.changes.get(*self.numbers.get(hash)?)
    }

    /// Whether changes of this actor are among them. That is so of each that has made two with one number.
    pub(crate) fn has_of(&self, actor: &[u8]) -> bool {
        self.iter()
            .any(|change| change.actor_id().to_bytes() == actor)
    }

    /// The newest changes of a document with these heads and what is set aside beside it, ascending.
    pub(crate) fn heads_with(&self, heads: Vec<ChangeHash>) -> Vec<ChangeHash> {
        heads_after(heads, &self.changes)
    }

    /// The chunks, each behind its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for change in self.iter() {
            let chunk = change.raw_bytes();
            bytes.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
            bytes.extend_from_slice(chunk);
        }
        bytes
    }

    /// # Errors
    /// The bytes are no such record.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, DocumentError> {
        let damaged = || DocumentError::Load("what is set aside is damaged".to_owned());
        let mut changes = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
            let (chunk, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
            let change = contained(|| Change::try_from(chunk))?.map_err(|_| damaged())?;
            if chunk.get(4..8) != change.hash().0.get(..4) {
                return Err(damaged());
            }
            changes.push(change);
            bytes = rest;
        }
        Ok(Self::new(changes))
    }
}

/// The document of what counts of all accepted changes, each of which stands behind what it builds on.
///
/// # Errors
/// Automerge does not load it.
pub(super) fn resolved(
    id: &DocumentId,
    mut all: Vec<Change>,
    here: Here<'_>,
) -> Result<(Document, Resolved), DocumentError> {
    let mut hashes = HashSet::with_capacity(all.len());
    all.retain(|change| hashes.insert(change.hash()));
    let nodes: Vec<Node> = all.iter().filter_map(Node::of).collect();
    let resolution = resolve(&nodes, here.device_of);
    let document = rebuild(all.clone(), &resolution.aside)?;
    all.retain(|change| !document.has(&change.hash()));
    let (record, chunks) = match document.compact(id) {
        Some(compact) => (compact, 0),
        None => {
            let changes = document.automerge.get_changes(&[]);
            let chunks = changes.iter().map(Change::raw_bytes);
            let count = u32::try_from(changes.len()).unwrap_or(u32::MAX);
            (chunks.collect::<Vec<_>>().concat(), count)
        }
    };
    let resolved = Resolved {
        record,
        chunks,
        aside: Aside::new(all),
        forks: resolution.forks,
    };
    Ok((document, resolved))
}

impl Document {
    /// The changes, those set aside among them, that are not among these and what they build on.
    pub(super) fn changes_beyond(&self, known: &[ChangeHash], aside: &Aside) -> Vec<Change> {
        if aside.is_empty() {
            return self.automerge.get_changes(known);
        }
        let mut all = self.automerge.get_changes(&[]);
        all.extend(aside.iter().filter(|it| !self.has(&it.hash())).cloned());
        let mut theirs: HashSet<ChangeHash> = known.iter().copied().collect();
        for change in all.iter().rev() {
            if theirs.contains(&change.hash()) {
                theirs.extend(change.deps());
            }
        }
        all.retain(|change| !theirs.contains(&change.hash()));
        all
    }
}

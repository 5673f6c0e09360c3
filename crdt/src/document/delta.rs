//! What travels of one document: authored changes, and births as paths.

use super::birth::{BIRTH_ACTOR_BYTES, Path, is_birth};
use super::chunk::ChunkError;
use super::{Document, DocumentError, Written, contained};
use crate::limits::{DELTA_BIRTHS_MAX, DELTA_CHANGES_MAX};
use crate::value::DEPTH_MAX;
use automerge::{Change, ChangeHash, ReadDoc};
use prost::Message;
use std::collections::{BTreeSet, HashMap};

/// The generated wire types.
mod wire {
    include!(concat!(env!("OUT_DIR"), "/sedge.document.v1.rs"));
}

/// Bytes of a device's actor id.
pub(crate) const DEVICE_ACTOR_BYTES: usize = 16;

/// Bytes that one change, or one key of a birth's path, may take beside itself: tags and lengths.
const PART_BYTES: usize = 8;

/// Changes of one document on their way between two stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Paths of the maps that the changes need.
    pub(super) births: Vec<Path>,
    /// Change chunks.
    pub(super) changes: Vec<Vec<u8>>,
}

/// Why a delta from outside is refused. Nothing of it is stored then.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Not the wire format.
    #[error("the delta can't be decoded: {0}")]
    Wire(#[from] prost::DecodeError),
    /// More births or changes than allowed, or a path that is empty or too deep.
    #[error("the delta has too many or malformed parts ({births} births, {changes} changes)")]
    Shape {
        /// Births named.
        births: usize,
        /// Changes carried.
        changes: usize,
    },
    /// A change's chunk is out of bounds.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A change is damaged.
    #[error("a change can't be decoded: {0}")]
    Change(String),
    /// A change whose actor is no device.
    #[error("a change names an actor of {0} bytes; devices have {DEVICE_ACTOR_BYTES}")]
    Actor(usize),
    /// The document refused it.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Delta {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let births = self.births.iter().cloned();
        wire::Delta {
            births: births.map(|keys| wire::Path { keys }).collect(),
            changes: self.changes.clone(),
        }
        .encode_to_vec()
    }

    /// Reads bytes from outside.
    ///
    /// # Errors
    /// Damaged bytes, or more parts than a document may have.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        let wire = wire::Delta::decode(bytes)?;
        let births: Vec<Path> = wire.births.into_iter().map(|path| path.keys).collect();
        let paths_fit = births
            .iter()
            .all(|path| (1..=DEPTH_MAX).contains(&path.len()));
        if births.len() > DELTA_BIRTHS_MAX || wire.changes.len() > DELTA_CHANGES_MAX || !paths_fit {
            return Err(DeltaError::Shape {
                births: births.len(),
                changes: wire.changes.len(),
            });
        }
        Ok(Self {
            births,
            changes: wire.changes,
        })
    }

    /// Adds what a later write on the same document made.
    pub(crate) fn extend(&mut self, later: Delta) {
        self.births.extend(later.births);
        self.changes.extend(later.changes);
    }

    /// The bytes of its parts, without encoding them; what travels has a few more.
    pub fn bytes(&self) -> usize {
        let keys = self.births.iter().flatten().map(String::len);
        keys.sum::<usize>() + self.changes.iter().map(Vec::len).sum::<usize>()
    }

    /// How many authored changes it carries.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }
}

#[cfg(test)]
impl Delta {
    /// A delta as a hostile peer would make it.
    pub(crate) fn push_change_for_test(&mut self, chunk: Vec<u8>) {
        self.changes.push(chunk);
    }
}

impl From<&Written> for Delta {
    fn from(written: &Written) -> Self {
        Self {
            births: written
                .births
                .iter()
                .map(|(path, _)| path.clone())
                .collect(),
            changes: vec![written.change.clone().bytes().into_owned()],
        }
    }
}

/// A part of what a store lacks of a document, closed under dependencies.
pub(crate) struct Part {
    pub(crate) delta: Delta,
    /// `None` when nothing is left; else the heads that the store has once it has taken this part in.
    pub(crate) more_after: Option<Vec<ChangeHash>>,
}

impl Document {
    /// What a store that has `have` (and everything before) lacks of this document, as far as it fits `bytes_max` and
    /// one delta may go. The first change always fits.
    ///
    /// # Errors
    /// Automerge can't give the changes out.
    pub(crate) fn delta(
        &self,
        have: &[ChangeHash],
        bytes_max: usize,
    ) -> Result<Part, DocumentError> {
        contained(|| self.part(have, bytes_max))
    }

    fn part(&self, have: &[ChangeHash], bytes_max: usize) -> Part {
        let known: Vec<ChangeHash> = have.iter().filter(|hash| self.has(hash)).copied().collect();
        let (births, authored): (Vec<Change>, Vec<Change>) = self
            .automerge
            .get_changes(&known)
            .into_iter()
            .partition(|change| is_birth(change.actor_id()));
        let births = births.into_iter().map(|birth| (birth.hash(), birth));
        let mut births: HashMap<ChangeHash, Change> = births.collect();
        let (mut delta, mut bytes, mut taken) = (Delta::default(), 0, Vec::new());
        let mut more = false;
        for mut change in authored {
            let needed = take_births(&mut births, &change);
            let paths: Vec<Path> = needed.iter().map(|birth| self.birth_path(birth)).collect();
            let chunk = change.bytes().into_owned();
            bytes += chunk.len() + paths.iter().map(path_bytes).sum::<usize>() + PART_BYTES;
            let fits = bytes <= bytes_max
                && delta.changes.len() < DELTA_CHANGES_MAX
                && delta.births.len() + paths.len() <= DELTA_BIRTHS_MAX;
            if !fits && !delta.changes.is_empty() {
                more = true;
                break;
            }
            delta.births.extend(paths);
            delta.changes.push(chunk);
            taken.extend(needed);
            taken.push(change);
        }
        delta.births.sort_unstable();
        let more_after = more.then(|| heads_after(known, &taken));
        Part { delta, more_after }
    }

    fn birth_path(&self, birth: &Change) -> Path {
        let mut path = Path::new();
        let mut at = Some(birth.clone());
        while let Some(birth) = at {
            for operation in birth.decode().operations {
                if let automerge::legacy::Key::Map(key) = operation.key {
                    path.push(key.to_string());
                }
            }
            let parent = birth.deps().first();
            at = parent.and_then(|hash| self.automerge.get_change_by_hash(hash));
        }
        path.reverse();
        path
    }
}

fn path_bytes(path: &Path) -> usize {
    path.iter().map(|key| key.len() + PART_BYTES).sum()
}

/// Takes out of `births` those that a change builds on.
fn take_births(births: &mut HashMap<ChangeHash, Change>, change: &Change) -> Vec<Change> {
    let mut taken = Vec::new();
    let mut open = change.deps().to_vec();
    while let Some(hash) = open.pop() {
        if let Some(birth) = births.remove(&hash) {
            open.extend(birth.deps());
            taken.push(birth);
        }
    }
    taken
}

/// The heads of a history that had `heads`, with these changes.
pub(super) fn heads_after(heads: Vec<ChangeHash>, changes: &[Change]) -> Vec<ChangeHash> {
    let mut heads: BTreeSet<ChangeHash> = heads.into_iter().collect();
    heads.extend(changes.iter().map(Change::hash));
    for dependency in changes.iter().flat_map(|change| change.deps()) {
        heads.remove(dependency);
    }
    heads.into_iter().collect()
}

// A birth is recognised by the length of its actor id alone.
const _: () = assert!(BIRTH_ACTOR_BYTES != DEVICE_ACTOR_BYTES);

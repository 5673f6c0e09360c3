//! What travels of one document: authored changes, and births as paths.

use super::birth::{BIRTH_ACTOR_BYTES, Births, Path, is_birth};
use super::chunk::{self, ChunkError};
use super::{Document, DocumentError, Written, contained};
use crate::id::DocumentId;
use crate::limits::{DELTA_BIRTHS_MAX, DELTA_CHANGES_MAX};
use crate::value::DEPTH_MAX;
use automerge::{Change, ChangeHash, ReadDoc};
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The generated wire types.
mod wire {
    include!(concat!(env!("OUT_DIR"), "/sedge.document.v1.rs"));
}

/// Bytes of a device's actor id.
pub(crate) const DEVICE_ACTOR_BYTES: usize = 16;

/// Changes of one document on their way between two stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Paths of the maps that the changes need.
    births: Vec<Path>,
    /// Change chunks.
    changes: Vec<Vec<u8>>,
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

/// What became of a delta.
pub(crate) struct Ingested {
    /// The changes that are new here, births first, in the order they were applied.
    pub(crate) changes: Vec<Change>,
    /// The same as a delta for others.
    pub(crate) delta: Delta,
    /// Whether changes were left out because what they depend on is not here.
    pub(crate) incomplete: bool,
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

impl Document {
    /// What a store that has `have` (and everything before) lacks of this document.
    pub(crate) fn delta(&self, have: &[ChangeHash]) -> Delta {
        let known: Vec<ChangeHash> = have.iter().filter(|hash| self.has(hash)).copied().collect();
        let mut delta = Delta::default();
        for mut change in self.automerge.get_changes(&known) {
            if is_birth(change.actor_id()) {
                delta.births.push(self.birth_path(change));
            } else {
                delta.changes.push(change.bytes().into_owned());
            }
        }
        delta
    }

    fn birth_path(&self, birth: Change) -> Path {
        let mut path = Path::new();
        let mut at = Some(birth);
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

    /// Applies what is new of a delta. After an error the document must be dropped.
    pub(crate) fn ingest(
        &mut self,
        collection: &str,
        id: &DocumentId,
        delta: &Delta,
    ) -> Result<Ingested, DeltaError> {
        let authored = self.unknown(delta)?;
        let births = self.births_of(collection, id, delta);
        let total = authored.len();
        let born: HashSet<ChangeHash> = births.iter().map(Change::hash).collect();
        let ready = self.in_order(authored, born);
        let incomplete = ready.len() < total;
        if ready.is_empty() {
            return Ok(Ingested {
                changes: Vec::new(), // births count only as ancestors of an authored change
                delta: Delta::default(),
                incomplete,
            });
        }
        let authored = ready
            .iter()
            .map(|change| change.clone().bytes().into_owned());
        let new = Delta {
            births: delta.births.clone(),
            changes: authored.collect(),
        };
        let changes: Vec<Change> = births.into_iter().chain(ready).collect();
        self.apply(changes.clone())?;
        Ok(Ingested {
            changes,
            delta: new,
            incomplete,
        })
    }

    /// The delta's authored changes that are not here yet, measured and decoded.
    fn unknown(&self, delta: &Delta) -> Result<Vec<Change>, DeltaError> {
        let mut unknown = Vec::new();
        let mut hashes = HashSet::new();
        for bytes in &delta.changes {
            chunk::check(bytes)?;
            let change = contained(|| Change::from_bytes(bytes.clone()))?
                .map_err(|error| DeltaError::Change(error.to_string()))?;
            // `from_bytes` doesn't look at the checksum, but a record that holds a wrong one never loads again.
            if bytes.get(4..8) != Some(&change.hash().0[..4]) {
                return Err(DeltaError::Change("wrong checksum".to_owned()));
            }
            match change.actor_id().to_bytes().len() {
                DEVICE_ACTOR_BYTES => {}
                length => return Err(DeltaError::Actor(length)),
            }
            if !self.has(&change.hash()) && hashes.insert(change.hash()) {
                unknown.push(change);
            }
        }
        Ok(unknown)
    }

    /// The births that the delta needs and the document lacks, parents first.
    fn births_of(&self, collection: &str, id: &DocumentId, delta: &Delta) -> Vec<Change> {
        let mut births = Births::of(collection, id);
        let paths: BTreeSet<&[String]> = delta
            .births
            .iter()
            .flat_map(|path| (1..=path.len()).map(|end| &path[..end]))
            .collect();
        let births = paths.into_iter().filter_map(|path| births.at(path));
        births
            .map(|birth| birth.change)
            .filter(|birth| !self.has(&birth.hash()))
            .collect()
    }

    /// The changes whose dependencies are all here, `born`, or before them, in such an order.
    fn in_order(&self, changes: Vec<Change>, mut known: HashSet<ChangeHash>) -> Vec<Change> {
        let mut waiting: HashMap<ChangeHash, Vec<Change>> = HashMap::new();
        let mut ready = Vec::with_capacity(changes.len());
        for change in changes {
            let mut released = vec![change];
            while let Some(change) = released.pop() {
                let lacks = |dep: &&ChangeHash| !known.contains(*dep) && !self.has(dep);
                if let Some(dep) = change.deps().iter().find(lacks) {
                    waiting.entry(*dep).or_default().push(change);
                } else {
                    let hash = change.hash();
                    known.insert(hash);
                    ready.push(change);
                    released.extend(waiting.remove(&hash).unwrap_or_default());
                }
            }
        }
        ready
    }
}

// A birth is recognised by the length of its actor id alone.
const _: () = assert!(BIRTH_ACTOR_BYTES != DEVICE_ACTOR_BYTES);

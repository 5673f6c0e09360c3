//! What travels of one document: authored changes, and births by the places of their maps.

mod part;

use super::birth::BIRTH_ACTOR_BYTES;
use super::chunk::{self, ChunkError, Measured};
use super::{DocumentError, NotAccepted};
use crate::limits::{
    CHUNK_BYTES_MAX, DELTA_BIRTH_BYTES_MAX, DELTA_BIRTHS_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX,
    DELTA_INFLATED_BYTES_MAX, DELTA_OPS_MAX, DELTA_PROOFS_MAX, FIELD_NAME_BYTES_MAX,
    PLAIN_BYTES_MAX,
};
use crate::value::DEPTH_MAX;
use crate::wire;
use automerge::legacy::Key;
use automerge::{Change, ChangeHash};
use prost::Message;
use std::collections::{BTreeSet, HashMap};

#[cfg(test)]
pub(super) use part::PartLimits;

/// Bytes of a device's actor id.
pub(crate) const DEVICE_ACTOR_BYTES: usize = 16;

/// Bytes that one change, or one birth's key, may take beside itself: tags, lengths and the number of a parent.
const PART_BYTES: usize = 16;

/// Changes of one document on their way between two stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The maps that the changes need, parents first.
    pub(super) births: Vec<Place>,
    /// Change chunks.
    pub(super) changes: Vec<Vec<u8>>,
}

/// Where a map that is to be born lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the delta's births it lies in; `None` for the root.
    pub(super) parent: Option<usize>,
    pub(super) key: String,
}

/// Why a delta from outside is refused. Nothing of it is stored then.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Not the wire format.
    #[error("the delta can't be decoded: {0}")]
    Wire(#[from] prost::DecodeError),
    /// Not the one encoding of what it says.
    #[error("the delta is encoded in another way than it is to be")]
    Encoding,
    /// More births or changes than allowed.
    #[error(
        "the delta has {births} births and {changes} changes; at most {DELTA_BIRTHS_MAX} and {DELTA_CHANGES_MAX} \
             are allowed"
    )]
    Shape {
        /// Births named.
        births: usize,
        /// Changes carried.
        changes: usize,
    },
    /// A birth lies in none of those before it, or too deep.
    #[error("a birth of the delta lies in no earlier one, or deeper than {DEPTH_MAX} levels")]
    Place,
    /// A birth's key, or all of them together, are too long.
    #[error(
        "the keys of the delta's births are too long: one has at most {FIELD_NAME_BYTES_MAX} bytes, all at most \
             {DELTA_BIRTH_BYTES_MAX}"
    )]
    Keys,
    /// All changes together have more than [`DELTA_OPS_MAX`] operations.
    #[error("the delta's changes have more than {DELTA_OPS_MAX} operations")]
    Operations,
    /// All changes together have more than [`DELTA_INFLATED_BYTES_MAX`] once inflated.
    #[error("the delta's changes inflate to more than {DELTA_INFLATED_BYTES_MAX} bytes")]
    Inflated,
    /// A change's chunk is out of bounds.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A change is damaged.
    #[error("a change can't be decoded: {0}")]
    Change(String),
    /// Proofs that name no change of the delta, or too many of them.
    #[error("the delta's proofs name what is not there, or are more than {DELTA_PROOFS_MAX}")]
    Proofs,
    /// A change whose actor is no device.
    #[error("a change names an actor of {0} bytes; devices have {DEVICE_ACTOR_BYTES}")]
    Actor(usize),
    /// A change that no store accepts.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// The document refused it.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Delta {
    pub(super) fn of(births: Named, changes: Vec<Vec<u8>>) -> Self {
        Self {
            births: births.places,
            changes,
        }
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    pub(crate) fn to_wire(&self) -> wire::Delta {
        let births = self.births.iter().map(|place| wire::Birth {
            parent: place.parent.map_or(0, |parent| parent as u32 + 1),
            key: place.key.clone(),
        });
        wire::Delta {
            births: births.collect(),
            changes: self.changes.clone(),
        }
    }

    /// Reads bytes from outside.
    ///
    /// # Errors
    /// Damaged bytes, or more or other parts than a delta may have.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        Self::from_wire(wire::Delta::decode(bytes)?)
    }

    pub(crate) fn from_wire(wire: wire::Delta) -> Result<Self, DeltaError> {
        let births = wire.births.into_iter().map(|birth| Place {
            parent: (birth.parent as usize).checked_sub(1),
            key: birth.key,
        });
        let delta = Self {
            births: births.collect(),
            changes: wire.changes,
        };
        delta.check_births()?;
        Ok(delta)
    }

    /// Checks that any store would take it, as far as its size and that of its parts goes.
    pub(crate) fn check(&self) -> Result<(), DeltaError> {
        self.check_births()?;
        self.check_changes()
    }

    fn check_births(&self) -> Result<(), DeltaError> {
        if self.births.len() > DELTA_BIRTHS_MAX || self.changes.len() > DELTA_CHANGES_MAX {
            return Err(DeltaError::Shape {
                births: self.births.len(),
                changes: self.changes.len(),
            });
        }
        let mut depths = Vec::with_capacity(self.births.len());
        for place in &self.births {
            let parent = place.parent.map_or(Some(&0), |parent| depths.get(parent));
            let depth = parent.ok_or(DeltaError::Place)? + 1;
            if depth > DEPTH_MAX {
                return Err(DeltaError::Place);
            }
            depths.push(depth);
        }
        let keys = self.births.iter().map(|place| place.key.len());
        if keys.clone().any(|bytes| bytes > FIELD_NAME_BYTES_MAX)
            || keys.sum::<usize>() > DELTA_BIRTH_BYTES_MAX
        {
            return Err(DeltaError::Keys);
        }
        Ok(())
    }

    /// Measures the changes.
    fn check_changes(&self) -> Result<(), DeltaError> {
        let mut size = Size::default();
        for bytes in &self.changes {
            size.add(&chunk::measure(bytes)?)?;
        }
        Ok(())
    }

    /// What its changes inflate to at most, without looking into them.
    pub(crate) fn inflated_bytes_max(&self) -> usize {
        let chunks = self.changes.iter();
        let bytes: usize = chunks.map(|chunk| chunk::inflated_bytes_max(chunk)).sum();
        bytes.min(DELTA_INFLATED_BYTES_MAX)
    }

    /// Adds what a later write on the same document made.
    pub(crate) fn extend(&mut self, later: Delta) {
        let before = self.births.len();
        let births = later.births.into_iter().map(|place| Place {
            parent: place.parent.map(|parent| before + parent),
            key: place.key,
        });
        self.births.extend(births);
        self.changes.extend(later.changes);
    }

    /// The bytes of its parts, without encoding them; what travels has a few more.
    pub fn bytes(&self) -> usize {
        let keys = self.births.iter().map(|place| place.key.len());
        keys.sum::<usize>() + self.changes.iter().map(Vec::len).sum::<usize>()
    }

    /// The chunks of its authored changes, as they travel.
    pub fn chunks(&self) -> &[Vec<u8>] {
        &self.changes
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

/// What a delta's changes take once they are decoded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    operations: u64,
    pub(super) inflated_bytes: usize,
}

impl Size {
    /// Adds a change.
    ///
    /// # Errors
    /// No store takes in so much at once.
    pub(super) fn add(&mut self, change: &Measured<'_>) -> Result<(), DeltaError> {
        self.operations += change.operations;
        self.inflated_bytes += change.plain.len();
        if self.operations > DELTA_OPS_MAX {
            return Err(DeltaError::Operations);
        }
        if self.inflated_bytes > DELTA_INFLATED_BYTES_MAX {
            return Err(DeltaError::Inflated);
        }
        Ok(())
    }
}

/// Births on their way into a delta: each once, behind the one of the map that it lies in.
#[derive(Default)]
pub(super) struct Named {
    places: Vec<Place>,
    key_bytes: usize,
    numbers: HashMap<ChangeHash, usize>,
}

impl Named {
    /// Names a birth, and those above it that aren't named yet, which `find` finds.
    pub(super) fn add(&mut self, birth: &Change, find: impl Fn(&ChangeHash) -> Option<Change>) {
        let mut unnamed = Vec::new();
        let mut next = Some(birth.clone());
        while let Some(birth) = next.filter(|it| !self.numbers.contains_key(&it.hash())) {
            next = birth.deps().first().and_then(&find);
            unnamed.push(birth);
        }
        for birth in unnamed.into_iter().rev() {
            let parent = birth.deps().first();
            let parent = parent.and_then(|hash| self.numbers.get(hash)).copied();
            let operation = birth.decode().operations.into_iter().next();
            if let Some(Key::Map(key)) = operation.map(|operation| operation.key) {
                self.numbers.insert(birth.hash(), self.places.len());
                self.key_bytes += key.len();
                let key = key.to_string();
                self.places.push(Place { parent, key });
            }
        }
    }

    fn fit(&self) -> bool {
        self.places.len() <= DELTA_BIRTHS_MAX && self.key_bytes <= DELTA_BIRTH_BYTES_MAX
    }

    /// About what they take in the delta; never less.
    fn bytes(&self) -> usize {
        self.key_bytes + self.places.len() * PART_BYTES
    }
}

/// A change as it travels. Automerge deflates from 256 bytes on, which takes longer than all else that is done with a change of
/// that size, and saves an eighth of it.
pub(super) fn sent(change: &mut Change) -> Vec<u8> {
    match change.raw_bytes() {
        plain if plain.len() <= PLAIN_BYTES_MAX => plain.to_vec(),
        _ => change.bytes().into_owned(),
    }
}

/// The heads of a history that had `heads`, with these changes.
pub(crate) fn heads_after<'c>(
    heads: Vec<ChangeHash>,
    changes: impl IntoIterator<Item = &'c Change> + Clone,
) -> Vec<ChangeHash> {
    let mut heads: BTreeSet<ChangeHash> = heads.into_iter().collect();
    heads.extend(changes.clone().into_iter().map(Change::hash));
    for dependency in changes.into_iter().flat_map(|change| change.deps()) {
        heads.remove(dependency);
    }
    heads.into_iter().collect()
}

// A birth is recognised by the length of its actor id alone.
const _: () = assert!(BIRTH_ACTOR_BYTES != DEVICE_ACTOR_BYTES);

// The delta of a single change can always be carried.
const _: () = assert!(
    CHUNK_BYTES_MAX + DELTA_BIRTH_BYTES_MAX + (DELTA_BIRTHS_MAX + 1) * PART_BYTES
        <= DELTA_BYTES_MAX
);

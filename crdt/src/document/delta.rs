//! What travels of one document: authored changes, and births by the places of their maps.

use super::acceptance::covered;
use super::birth::{BIRTH_ACTOR_BYTES, is_birth};
use super::chunk::{self, ChunkError, Measured};
use super::{Aside, Document, DocumentError, NotAccepted, contained};
use crate::limits::{
    CHANGE_OPS_MAX, CHUNK_BYTES_MAX, DELTA_BIRTH_BYTES_MAX, DELTA_BIRTHS_MAX, DELTA_BYTES_MAX,
    DELTA_CHANGES_MAX, DELTA_INFLATED_BYTES_MAX, DELTA_OPS_MAX, DELTA_PROOFS_MAX,
    FIELD_NAME_BYTES_MAX, PLAIN_BYTES_MAX,
};
use crate::seal::{Proof, Proofs, SealedChange};
use crate::value::DEPTH_MAX;
use crate::wire;
use automerge::legacy::Key;
use automerge::{Change, ChangeHash, ReadDoc};
use prost::Message;
use std::collections::{BTreeSet, HashMap};

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

/// A part of what a store lacks of a document, closed under dependencies, with what proves all of it.
pub(crate) struct Part {
    pub(crate) delta: Delta,
    /// The proofs of its changes, each with the number and hash of the change that it is of.
    pub(crate) proofs: Vec<(u32, ChangeHash, Proof)>,
    /// `None` when nothing is left; else the heads that the store has once it has taken this part in.
    pub(crate) more_after: Option<Vec<ChangeHash>>,
}

/// How much one part may hold.
#[derive(Clone, Copy)]
pub(super) struct PartLimits {
    /// Bytes beyond which a part is cut where all of it is proven.
    pub(super) bytes: usize,
    /// Operations that no part has more of.
    pub(super) operations: u64,
    /// Bytes of inflated changes that no part has more of.
    pub(super) inflated_bytes: usize,
}

/// A part while it is gathered.
#[derive(Default)]
struct Gathered {
    named: Named,
    chunks: Vec<Vec<u8>>,
    /// The changes with the births that they need.
    taken: Vec<Change>,
    proofs: Vec<(u32, ChangeHash, Proof)>,
    bytes: usize,
    operations: u64,
    inflated_bytes: usize,
}

impl Document {
    /// What a store that has `have` (and everything before) lacks of what is proven of this document and of what is set aside
    /// beside it, as far as it fits `bytes_max` and one delta may go. The first change fits with all that is needed to prove it. `None` when even that is
    /// more than any store takes at once.
    ///
    /// # Errors
    /// Automerge can't give the changes out.
    pub(crate) fn delta(
        &self,
        have: &[ChangeHash],
        bytes_max: usize,
        proofs: &Proofs,
        aside: &Aside,
    ) -> Result<Option<Part>, DocumentError> {
        let limits = PartLimits {
            bytes: bytes_max,
            operations: DELTA_OPS_MAX,
            inflated_bytes: DELTA_INFLATED_BYTES_MAX,
        };
        contained(|| self.part(have, limits, proofs, aside))
    }

    pub(super) fn part(
        &self,
        have: &[ChangeHash],
        limits: PartLimits,
        proofs: &Proofs,
        aside: &Aside,
    ) -> Option<Part> {
        let is_here = |hash: &&ChangeHash| self.has(hash) || aside.has(hash);
        let known: Vec<ChangeHash> = have.iter().filter(is_here).copied().collect();
        let (mut births, authored) = self.lacking(&known, aside);
        let proofs = by_change(&authored, proofs);
        let (mut gathered, mut looked_at, mut more) = (Gathered::default(), 0, false);
        for (number, change) in covered_of(authored, &proofs).into_iter().enumerate() {
            let proven = gathered.proofs.len();
            self.gather(&mut gathered, &mut births, change, &proofs, aside);
            if gathered.fits(limits) {
                continue;
            }
            // What is proven before it goes without it; if nothing is, it goes with as much as proves it.
            if std::mem::replace(&mut looked_at, proven) != proven {
                let before = self.before(number, &known, &proofs, aside);
                if let Some(before) = before {
                    (gathered, more) = (before, true);
                    break;
                }
            }
            if !gathered.can_be_taken(limits) {
                return None;
            }
        }
        Some(Part {
            delta: Delta::of(gathered.named, gathered.chunks),
            proofs: gathered.proofs,
            more_after: more.then(|| heads_after(known, &gathered.taken)),
        })
    }

    /// What is proven of the first changes that are lacking, by proofs of these alone. `None` when nothing is.
    fn before(
        &self,
        count: usize,
        known: &[ChangeHash],
        proofs: &HashMap<ChangeHash, &Proof>,
        aside: &Aside,
    ) -> Option<Gathered> {
        let (mut births, authored) = self.lacking(known, aside);
        let mut changes = covered_of(authored, proofs);
        changes.truncate(count);
        let mut gathered = Gathered::default();
        for change in covered_of(changes, proofs) {
            self.gather(&mut gathered, &mut births, change, proofs, aside);
        }
        (!gathered.chunks.is_empty()).then_some(gathered)
    }

    /// The births, and the authored changes in an order in which they apply, that a store lacks which has `known`.
    fn lacking(
        &self,
        known: &[ChangeHash],
        aside: &Aside,
    ) -> (HashMap<ChangeHash, Change>, Vec<Change>) {
        let (births, authored): (Vec<Change>, Vec<Change>) = self
            .changes_beyond(known, aside)
            .into_iter()
            .partition(|change| is_birth(change.actor_id()));
        let births = births.into_iter().map(|birth| (birth.hash(), birth));
        (births.collect(), authored)
    }

    fn gather(
        &self,
        gathered: &mut Gathered,
        births: &mut HashMap<ChangeHash, Change>,
        change: Change,
        proofs: &HashMap<ChangeHash, &Proof>,
        aside: &Aside,
    ) {
        let needed = take_births(births, &change);
        let proof = proofs.get(&change.hash()).map(|proof| Proof::clone(proof));
        gathered.add(change, needed, proof, |hash| {
            let found = self.automerge.get_change_by_hash(hash);
            found.or_else(|| aside.get(hash).cloned())
        });
    }
}

/// Those of the changes that are covered, with what they build on, by proofs of changes among them.
fn covered_of(changes: Vec<Change>, proofs: &HashMap<ChangeHash, &Proof>) -> Vec<Change> {
    let covered = covered(changes.iter(), proofs.keys().copied());
    let changes = changes.into_iter().zip(covered);
    let changes = changes.filter_map(|(change, covered)| covered.then_some(change));
    changes.collect()
}

impl Gathered {
    fn add(
        &mut self,
        mut change: Change,
        births: Vec<Change>,
        proof: Option<Proof>,
        find: impl Fn(&ChangeHash) -> Option<Change>,
    ) {
        for birth in &births {
            self.named.add(birth, &find);
        }
        let chunk = sent(&mut change);
        self.inflated_bytes += change.raw_bytes().len();
        self.bytes += chunk.len() + PART_BYTES;
        // One that breaks the bound counts as if it met it; whoever gets it refuses it.
        let measured = chunk::measure(&chunk);
        self.operations += measured.map_or(CHANGE_OPS_MAX, |measured| measured.operations);
        if let Some(proof) = proof {
            self.bytes += SealedChange::BYTES;
            let number = self.chunks.len() as u32;
            self.proofs.push((number, change.hash(), proof));
        }
        self.chunks.push(chunk);
        self.taken.extend(births);
        self.taken.push(change);
    }

    /// Whether it is as small as it is meant to be.
    fn fits(&self, limits: PartLimits) -> bool {
        self.bytes + self.named.bytes() <= limits.bytes && self.can_be_taken(limits)
    }

    /// Whether a store takes so much at once.
    fn can_be_taken(&self, limits: PartLimits) -> bool {
        self.operations <= limits.operations
            && self.inflated_bytes <= limits.inflated_bytes
            && self.chunks.len() <= DELTA_CHANGES_MAX
            && self.proofs.len() <= DELTA_PROOFS_MAX
            && self.named.fit()
            && (self.chunks.len() == 1 || self.bytes + self.named.bytes() <= DELTA_BYTES_MAX)
    }
}

/// The proofs of these changes.
fn by_change<'p>(changes: &[Change], proofs: &'p Proofs) -> HashMap<ChangeHash, &'p Proof> {
    let mut by_number: HashMap<(&[u8], u64), Vec<&Proof>> = HashMap::new();
    for proof in proofs.iter() {
        let number = (&proof.actor.0[..], proof.seq);
        by_number.entry(number).or_default().push(proof);
    }
    let found = changes.iter().filter_map(|change| {
        let (actor, seq, hash) = (change.actor_id().to_bytes(), change.seq(), change.hash());
        let proofs = by_number.get(&(actor, seq))?;
        let proof = proofs.iter().find(|proof| proof.is_of(actor, seq, &hash))?;
        Some((hash, *proof))
    });
    found.collect()
}

/// A change as it travels. Automerge deflates from 256 bytes on, which takes longer than all else that is done with a change of
/// that size, and saves an eighth of it.
pub(super) fn sent(change: &mut Change) -> Vec<u8> {
    match change.raw_bytes() {
        plain if plain.len() <= PLAIN_BYTES_MAX => plain.to_vec(),
        _ => change.bytes().into_owned(),
    }
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

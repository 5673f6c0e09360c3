//! What a store is given of a document: as much as it takes at once, with what proves all of it.

use super::{Delta, Named, PART_BYTES, heads_after, sent};
use crate::document::acceptance::covered;
use crate::document::birth::is_birth;
use crate::document::{Aside, Document, DocumentError, chunk, contained};
use crate::limits::{
    CHANGE_OPS_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX, DELTA_INFLATED_BYTES_MAX, DELTA_OPS_MAX,
    DELTA_PROOFS_MAX,
};
use crate::seal::{Proof, Proofs, SealedChange};
use automerge::{Change, ChangeHash, ReadDoc};
use std::collections::HashMap;

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
pub(in crate::document) struct PartLimits {
    /// Bytes beyond which a part is cut where all of it is proven.
    pub(in crate::document) bytes: usize,
    /// Operations that no part has more of.
    pub(in crate::document) operations: u64,
    /// Bytes of inflated changes that no part has more of.
    pub(in crate::document) inflated_bytes: usize,
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

    pub(in crate::document) fn part(
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

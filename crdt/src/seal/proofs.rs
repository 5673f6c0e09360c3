//! The proofs that a store keeps beside a document: which seals cover its changes.
//!
//! A seal covers a change and all that its actor made before it on the way there. So of two proofs of one actor the later
//! one proves what the earlier one does, and the earlier may be dropped. That is sound where nothing else tells the two
//! apart:
//! - The earlier change is in the ancestry of the later one: else the later seal says nothing of it. An actor's changes in
//!   a document are one chain, unless two devices write under one actor; of such an actor no proof is dropped.
//! - Both seals were made under one certificate, so its rights and its root are the same: whatever becomes of the set of
//!   roots, the two stay valid or fall together. Each was valid at its own time, which is past and can't change. A cut looks
//!   at changes, not at seals.
//! - Whoever has the earlier change but not the later one has a proof of its own, since changes are taken in with what proves
//!   them. To whoever has neither both are sent together.
//!
//! A history that is too large to be sent at once is cut where all before the cut is proven by what lies before it. What one
//! device made builds on what others made, so it is not enough that the proofs of each lie close together. Therefore, each
//! time when a document has grown by [`PROOF_BYTES_MAX`], all proofs that it has are closed: they prove all that is there,
//! and stay.

use crate::limits::PROOF_BYTES_MAX;
#[cfg(feature = "rocksdb")]
use crate::record::OwnChange;
use automerge::ChangeHash;
use sedge_identity::{ActorName, MerkleHash, SealName};

/// Bytes of the hash by which a proof names its change: enough to tell two changes of one actor and number apart.
const CHANGE_BYTES: usize = 8;

/// The bytes of a proof that stays.
const CLOSED: u32 = u32::MAX;

/// Where a change of the document stands in a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Who made the change.
    pub(crate) actor: ActorName,
    /// Its number among that actor's.
    pub(crate) seq: u64,
    /// The beginning of its hash.
    change: [u8; CHANGE_BYTES],
    pub(crate) seal: SealName,
    /// Which of the seal's leaves is the change's.
    pub(crate) index: u16,
    /// Bytes of the changes that it proves and no other proof does; [`CLOSED`] once no other may stand for it.
    bytes: u32,
    /// The way from the leaf to the root; empty where the store knows all leaves of the seal.
    pub(crate) path: Vec<MerkleHash>,
}

/// All that is kept beside one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proofs(Vec<Proof>);

impl Proof {
    pub(crate) fn new(
        (actor, seq, change): (ActorName, u64, &ChangeHash),
        (seal, index): (SealName, u16),
        bytes: usize,
        path: Vec<MerkleHash>,
    ) -> Self {
        Self {
            actor,
            seq,
            change: beginning(change),
            seal,
            index,
            bytes: u32::try_from(bytes).unwrap_or(CLOSED - 1),
            path,
        }
    }

    /// Whether it is of this change.
    pub(crate) fn is_of(&self, actor: &[u8], seq: u64, change: &ChangeHash) -> bool {
        self.seq == seq && self.actor.0 == actor && self.change == beginning(change)
    }

    /// Its change, if that is one of a store's own incarnation: as it is to be sealed again.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn own_change(&self, incarnation: u32, hash: ChangeHash) -> OwnChange {
        OwnChange {
            incarnation,
            seq: self.seq,
            hash,
            bytes: self.bytes,
        }
    }

    /// Whether it proves what another one does, if both are under one certificate and the actor's changes are one chain, and
    /// what it then stands for is no more than one proof is to.
    fn stands_for(&self, other: &Self) -> bool {
        let bytes = u64::from(self.bytes) + u64::from(other.bytes);
        let is_open = self.bytes != CLOSED && other.bytes != CLOSED;
        is_open && self.actor == other.actor && self.seq >= other.seq && bytes <= PROOF_BYTES_MAX
    }
}

impl Proofs {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Proof> {
        self.0.iter()
    }

    /// Those that `is_kept` says it of, and the others.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn split(self, is_kept: impl FnMut(&Proof) -> bool) -> (Self, Self) {
        let (kept, others) = self.0.into_iter().partition(is_kept);
        (Self(kept), Self(others))
    }

    /// To be called before the proofs of so many bytes of new changes are added. Closes those that are there when with these
    /// the document would have grown by more than [`PROOF_BYTES_MAX`] since they were closed last.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        let open = self.0.iter().filter(|it| it.bytes != CLOSED);
        let grown: u64 = open.map(|it| u64::from(it.bytes)).sum();
        if grown + bytes as u64 > PROOF_BYTES_MAX {
            self.0.iter_mut().for_each(|it| it.bytes = CLOSED);
        }
    }

    /// Adds a proof unless one that is there stands for it, and takes out those that it stands for, which are given back.
    /// `is_alike` says of the seal of another proof of the same actor whether it may stand for this one and this one for
    /// it: whether its certificate is the same, and the actor's changes are one chain. `None` when the proof isn't
    /// needed.
    pub(crate) fn add<E>(
        &mut self,
        mut proof: Proof,
        mut is_alike: impl FnMut(&SealName) -> Result<bool, E>,
    ) -> Result<Option<Vec<Proof>>, E> {
        for other in &self.0 {
            // Under another certificate it may hold where that one does not.
            if other.is_same_change(&proof) && (other.seal == proof.seal || is_alike(&other.seal)?)
            {
                return Ok(None);
            }
        }
        let mut taken = Vec::new();
        let mut kept = Vec::with_capacity(self.0.len() + 1);
        for other in &mut self.0 {
            if other.stands_for(&proof) && is_alike(&other.seal)? {
                other.bytes += proof.bytes;
                return Ok(None);
            }
        }
        for other in &self.0 {
            if proof.stands_for(other) && is_alike(&other.seal)? {
                proof.bytes += other.bytes;
                taken.push(other.clone());
            } else {
                kept.push(other.clone());
            }
        }
        kept.push(proof);
        self.0 = kept;
        Ok(Some(taken))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for proof in &self.0 {
            bytes.extend_from_slice(&proof.actor.0);
            bytes.extend_from_slice(&proof.seq.to_le_bytes());
            bytes.extend_from_slice(&proof.change);
            bytes.extend_from_slice(&proof.seal.0);
            bytes.extend_from_slice(&proof.index.to_le_bytes());
            bytes.extend_from_slice(&proof.bytes.to_le_bytes());
            bytes.push(proof.path.len() as u8);
            bytes.extend(proof.path.iter().flat_map(|hash| hash.0));
        }
        bytes
    }

    /// `None` when the bytes are no such record.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut proofs = Vec::new();
        while !bytes.is_empty() {
            let (actor, rest) = bytes.split_first_chunk::<16>()?;
            let (seq, rest) = rest.split_first_chunk::<8>()?;
            let (change, rest) = rest.split_first_chunk::<CHANGE_BYTES>()?;
            let (seal, rest) = rest.split_first_chunk::<16>()?;
            let (index, rest) = rest.split_first_chunk::<2>()?;
            let (of_changes, rest) = rest.split_first_chunk::<4>()?;
            let (hashes, rest) = rest.split_first()?;
            let (path, rest) = rest.split_at_checked(32 * usize::from(*hashes))?;
            let path = path.as_chunks::<32>().0;
            proofs.push(Proof {
                actor: ActorName(*actor),
                seq: u64::from_le_bytes(*seq),
                change: *change,
                seal: SealName(*seal),
                index: u16::from_le_bytes(*index),
                bytes: u32::from_le_bytes(*of_changes),
                path: path.iter().map(|hash| MerkleHash(*hash)).collect(),
            });
            bytes = rest;
        }
        Some(Self(proofs))
    }
}

impl Proof {
    fn is_same_change(&self, other: &Self) -> bool {
        (self.actor, self.seq, self.change) == (other.actor, other.seq, other.change)
    }
}

fn beginning(change: &ChangeHash) -> [u8; CHANGE_BYTES] {
    let mut beginning = [0; CHANGE_BYTES];
    for (to, from) in beginning.iter_mut().zip(change.0) {
        *to = from;
    }
    beginning
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn proof(actor: u8, seq: u64, seal: u8) -> Proof {
        let change = ChangeHash([seq as u8 ^ actor; 32]);
        let path = vec![MerkleHash([seal; 32]); usize::from(seal % 3)];
        let place = (SealName([seal; 16]), seal.into());
        Proof::new((ActorName([actor; 16]), seq, &change), place, 1 << 16, path)
    }

    proptest! {
        /// Goal: a record reads back, and nothing cut does.
        #[test]
        fn records_round_trip(parts in prop::collection::vec((0u8..4, 0u64..1000, any::<u8>()), 0..9), cut in any::<prop::sample::Index>()) {
            let proofs = Proofs(parts.into_iter().map(|(actor, seq, seal)| proof(actor, seq, seal)).collect());
            let bytes = proofs.encode();
            prop_assert_eq!(Proofs::decode(&bytes), Some(proofs.clone()));
            if !bytes.is_empty() {
                let read = Proofs::decode(&bytes[..cut.index(bytes.len())]);
                prop_assert!(read.is_none_or(|read| read.0.len() < proofs.0.len() && proofs.0.starts_with(&read.0)));
            }
        }

        /// Goal: whatever proofs of chains of changes come, what is kept proves each change that any of them proved, under the
        /// same certificate, and none stands for more than it may.
        #[test]
        fn what_is_dropped_is_covered(
            parts in prop::collection::vec((0u8..3, 1u64..1000, 0u8..2), 1..60),
        ) {
            let certificate = |seal: &SealName| seal.0[0] % 2;
            let mut kept = Proofs::default();
            let mut all = Vec::new();
            for (number, (actor, seq, issued)) in parts.into_iter().enumerate() {
                let new = proof(actor, seq, 2 * number as u8 + issued);
                let own = certificate(&new.seal);
                let same = |seal: &SealName| Ok::<_, Infallible>(certificate(seal) == own);
                kept.add(new.clone(), same).unwrap();
                all.push(new);
            }
            for proof in &all {
                let is_covered = kept.iter().any(|it| {
                    it.actor == proof.actor && it.seq >= proof.seq && certificate(&it.seal) == certificate(&proof.seal)
                });
                prop_assert!(is_covered, "{proof:?}");
            }
            prop_assert!(kept.iter().all(|it| all.iter().any(|one| one.is_same_change(it))));
            prop_assert!(kept.iter().all(|it| u64::from(it.bytes) <= PROOF_BYTES_MAX));
        }
    }

    /// Goal: what was there when the document had grown stays provable by proofs that stay, and no proof is absorbed across.
    #[test]
    fn proofs_are_closed_when_a_document_has_grown() {
        let bytes = PROOF_BYTES_MAX as usize / 16;
        let mut kept = Proofs::default();
        for seq in 1..=40 {
            for actor in [1, 2] {
                kept.make_room(bytes);
                let is_alike = |_: &SealName| Ok::<_, Infallible>(true);
                let mut new = proof(actor, seq, seq as u8);
                new.bytes = bytes as u32;
                kept.add(new, is_alike).unwrap();
            }
        }
        let mut seqs: Vec<(u64, u8)> = kept.iter().map(|it| (it.seq, it.actor.0[0])).collect();
        seqs.sort_unstable();
        let closed = [8, 16, 24, 32, 40].map(|seq| [(seq, 1), (seq, 2)]);
        assert_eq!(seqs, closed.concat());
    }
}

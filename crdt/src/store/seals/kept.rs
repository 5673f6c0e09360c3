//! The seals that are kept, each as long as a proof of some document names it.

use super::super::database::{Batch, damaged};
use super::super::error::StoreError;
use super::super::reads::Reads;
use super::super::schema::{PROOFS, SEALS};
use crate::seal::{Proof, Proofs};
use sedge_identity::{CertificateName, MerkleHash, Seal, SealName};
use std::collections::BTreeMap;

/// A seal as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct KeptSeal {
    /// Proofs that name it.
    uses: u32,
    /// The number of the collection that it was made for.
    pub(in crate::store) collection: u32,
    pub(in crate::store) seal: Seal,
    /// All leaves of its tree, or none.
    pub(in crate::store) leaves: Vec<MerkleHash>,
}

/// A seal that proves something, whether it is kept already or not.
#[derive(Clone, Copy)]
pub(in crate::store) struct GivenSeal<'a> {
    pub(in crate::store) collection: u32,
    pub(in crate::store) seal: &'a Seal,
    /// All leaves of its tree, or none.
    pub(in crate::store) leaves: &'a [MerkleHash],
}

impl KeptSeal {
    pub(in crate::store) fn new(collection: u32, seal: Seal, leaves: Vec<MerkleHash>) -> Self {
        Self {
            uses: 0,
            collection,
            seal,
            leaves,
        }
    }

    pub(in crate::store) fn given(&self) -> GivenSeal<'_> {
        GivenSeal {
            collection: self.collection,
            seal: &self.seal,
            leaves: &self.leaves,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.uses.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.collection.to_le_bytes());
        bytes.extend_from_slice(&self.seal.to_bytes());
        bytes.extend(self.leaves.iter().flat_map(|leaf| leaf.0));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (uses, rest) = bytes.split_first_chunk::<4>()?;
        let (collection, rest) = rest.split_first_chunk::<4>()?;
        let (seal, leaves) = rest.split_at_checked(Seal::BYTES)?;
        let seal = Seal::decode(seal).ok()?;
        let (leaves, []) = leaves.as_chunks::<32>() else {
            return None;
        };
        let is_whole = leaves.is_empty() || leaves.len() == usize::from(seal.count());
        is_whole.then(|| Self {
            uses: u32::from_le_bytes(*uses),
            collection: u32::from_le_bytes(*collection),
            seal,
            leaves: leaves.iter().map(|leaf| MerkleHash(*leaf)).collect(),
        })
    }
}

impl Reads<'_> {
    pub(in crate::store) fn seal(self, name: &SealName) -> Result<Option<KeptSeal>, StoreError> {
        let bytes = self.get(SEALS, &name.0)?;
        let read = |bytes: Vec<u8>| KeptSeal::read(&bytes).ok_or_else(|| damaged(SEALS.as_bytes()));
        bytes.map(read).transpose()
    }

    /// The proofs beside the document under a key.
    pub(in crate::store) fn proofs(self, key: &[u8]) -> Result<Proofs, StoreError> {
        let bytes = self.get(PROOFS, key)?.unwrap_or_default();
        Proofs::decode(&bytes).ok_or_else(|| damaged(PROOFS.as_bytes()))
    }
}

/// The seals that a batch adds, uses more or uses less.
#[derive(Default)]
pub(in crate::store) struct StagedSeals(BTreeMap<SealName, KeptSeal>);

impl StagedSeals {
    fn find(
        &mut self,
        name: &SealName,
        reads: Reads<'_>,
    ) -> Result<Option<&mut KeptSeal>, StoreError> {
        if !self.0.contains_key(name) {
            let Some(kept) = reads.seal(name)? else {
                return Ok(None);
            };
            self.0.insert(*name, kept);
        }
        Ok(self.0.get_mut(name))
    }

    /// The certificate under which a seal was made.
    pub(in crate::store) fn certificate_of(
        &self,
        seal: &SealName,
        reads: Reads<'_>,
    ) -> Result<Option<CertificateName>, StoreError> {
        let kept = match self.0.get(seal) {
            Some(kept) => Some(kept.seal.certificate()),
            None => reads.seal(seal)?.map(|kept| kept.seal.certificate()),
        };
        Ok(kept)
    }

    /// Adds a proof to those of a document, with its seal, unless another one stands for it. `is_one_chain` says that its
    /// actor's changes in the document are one chain.
    pub(in crate::store) fn add(
        &mut self,
        proofs: &mut Proofs,
        mut proof: Proof,
        given: GivenSeal<'_>,
        is_one_chain: bool,
        reads: Reads<'_>,
    ) -> Result<(), StoreError> {
        let name = proof.seal;
        let kept = self.find(&name, reads)?;
        if !given.leaves.is_empty() || kept.is_some_and(|kept| !kept.leaves.is_empty()) {
            proof.path.clear();
        }
        let certificate = given.seal.certificate();
        let replaced = proofs.add(proof, |other| {
            let other = match is_one_chain {
                true => self.find(other, reads)?,
                false => None,
            };
            Ok::<_, StoreError>(other.is_some_and(|it| it.seal.certificate() == certificate))
        })?;
        let Some(replaced) = replaced else {
            return Ok(());
        };
        let kept = self.0.entry(name).or_insert_with(|| {
            KeptSeal::new(given.collection, given.seal.clone(), given.leaves.to_vec())
        });
        kept.uses += 1;
        if kept.leaves.is_empty() {
            kept.leaves = given.leaves.to_vec();
        }
        for proof in &replaced {
            self.release(proof, reads)?;
        }
        Ok(())
    }

    /// The document goes, and its proofs with it.
    pub(in crate::store) fn remove(
        &mut self,
        proofs: &Proofs,
        reads: Reads<'_>,
    ) -> Result<(), StoreError> {
        proofs
            .iter()
            .try_for_each(|proof| self.release(proof, reads))
    }

    fn release(&mut self, proof: &Proof, reads: Reads<'_>) -> Result<(), StoreError> {
        if let Some(kept) = self.find(&proof.seal, reads)? {
            kept.uses = kept.uses.saturating_sub(1);
        }
        Ok(())
    }

    /// Those that nothing names any more go.
    pub(in crate::store) fn write(&mut self, batch: &mut Batch<'_>) {
        for (name, kept) in std::mem::take(&mut self.0) {
            match kept.uses {
                0 => batch.delete(SEALS, &name.0),
                _ => batch.put(SEALS, &name.0, kept.bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedge_identity::{AppId, CertificateName, DeviceKey, Incarnation, SealTerms};

    /// Goal: a record reads back, and one that is cut anywhere does not.
    #[test]
    fn records_round_trip() {
        let terms = SealTerms {
            app: &AppId::new("demo").unwrap(),
            collection: "cars",
            certificate: CertificateName::from_bytes([7; 32]),
            incarnation: Incarnation([1; 8]),
            time_ms: 5,
        };
        let leaves = vec![MerkleHash([3; 32]), MerkleHash([4; 32])];
        let seal = Seal::sign(&DeviceKey::from_seed([1; 32]), terms, &leaves).unwrap();
        for leaves in [leaves, Vec::new()] {
            let kept = KeptSeal::new(9, seal.clone(), leaves);
            let bytes = kept.bytes();
            assert_eq!(KeptSeal::read(&bytes), Some(kept.clone()));
            for end in 0..bytes.len() {
                let read = KeptSeal::read(&bytes[..end]);
                assert!(read.is_none_or(|read| read.leaves.is_empty() && !kept.leaves.is_empty()));
            }
        }
    }
}

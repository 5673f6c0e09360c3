//! Giving others what they lack, with what proves it.

use super::super::Store;
use super::super::commit::Committed;
use super::super::error::StoreError;
use super::super::schema::DocumentKey;
use super::super::seals::authority::chain_bytes;
use super::super::seals::kept::KeptSeal;
use super::super::seals::release::Released;
use super::super::source::Source;
use super::super::view::View;
use super::DeltaPart;
use crate::document::{Delta, covered};
use crate::id::DocumentId;
use crate::seal::{Evidence, Proof, Sealed, SealedChange, leaf};
use automerge::{Change, ChangeHash};
use sedge_identity::{
    CertificateName, MerkleHash, SEAL_CHANGES_MAX, Seal, SealName, prove, prove_from_paths,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Documents for another store, which are gathered until they are [finished](Self::finish): what of a seal has to go with them
/// depends on all of them.
pub struct Bundle {
    view: View,
    named: BTreeMap<SealName, Named>,
    /// The certificates that those seals name: chains.
    certificates: BTreeMap<CertificateName, Vec<u8>>,
}

/// What a seal or a certificate takes on the wire beside itself.
const EVIDENCE_BYTES: usize = 64;

/// Hashes on the way from a leaf to the root of the largest tree.
const PATH_HASHES_MAX: usize = SEAL_CHANGES_MAX.ilog2() as usize;

/// A seal that goes with the documents.
struct Named {
    kept: KeptSeal,
    /// The leaves of the documents: index, hash and way to the root.
    leaves: BTreeMap<u16, (MerkleHash, Vec<MerkleHash>)>,
}

/// What a bundle does not have yet of what proves a document.
#[derive(Default)]
struct Missing {
    seals: BTreeMap<SealName, KeptSeal>,
    certificates: BTreeMap<CertificateName, Vec<u8>>,
    /// About what they take on the wire with the document's ways to their roots; never less.
    bytes: usize,
}

/// What proves the documents of a finished bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundled {
    /// The certificates that the seals name, by their names: chains, as [`Store::ingest`] takes them.
    pub certificates: Vec<([u8; 32], Vec<u8>)>,
    /// Each an encoded [`Evidence`].
    pub seals: Vec<Vec<u8>>,
}

/// What was released of one collection, for whoever is subscribed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flood {
    /// The collection's name.
    pub collection: Arc<str>,
    /// The documents' ids in canonical form, each with an encoded [`Sealed`].
    pub documents: Vec<(Vec<u8>, Vec<u8>)>,
    /// The seals that prove them.
    pub seals: Vec<Vec<u8>>,
}

impl Store {
    /// Begins to gather documents for another store.
    pub fn bundle(&self) -> Bundle {
        Bundle {
            view: self.0.newest_view(),
            named: BTreeMap::new(),
            certificates: BTreeMap::new(),
        }
    }

    /// The changes of what was released, by collection; none at all where those of a document are not proven, or no more
    /// by proofs of changes among them: then the feed leads to them.
    ///
    /// # Errors
    /// The database fails.
    pub fn flood(&self, released: &Released) -> Result<Vec<Flood>, StoreError> {
        let mut deltas: BTreeMap<Arc<str>, BTreeMap<DocumentId, Delta>> = BTreeMap::new();
        for committed in released.commits.iter().flat_map(|commit| &commit.documents) {
            let Committed {
                collection,
                id,
                delta,
                ..
            } = committed;
            if delta.changes() > 0 {
                let documents = deltas.entry(Arc::clone(collection)).or_default();
                let earlier = documents.entry(id.clone()).or_default();
                earlier.extend(delta.clone());
            }
        }
        let mut floods = Vec::new();
        for (collection, deltas) in deltas {
            let mut bundle = self.bundle();
            let mut documents = Vec::with_capacity(deltas.len());
            for (id, delta) in deltas {
                let Some(sealed) = bundle.seal(&collection, &id, delta)? else {
                    return Ok(Vec::new());
                };
                documents.push((id.as_bytes().to_vec(), sealed.encode()));
            }
            floods.push(Flood {
                collection,
                documents,
                seals: bundle.finish()?.seals,
            });
        }
        Ok(floods)
    }
}

impl Bundle {
    /// Adds the proven changes of a document that are not in the ancestry of `have`, or the first of them if all would take
    /// more than `bytes_max`. `None` when there are none, or when even the first with what is needed to prove it is more
    /// than a store takes at once. Given back without being added when `fits` refuses its bytes, and those of what proves it.
    ///
    /// # Errors
    /// The database fails, or the stored document is damaged.
    pub fn add(
        &mut self,
        collection: &str,
        id: &[u8],
        have: &[[u8; 32]],
        bytes_max: usize,
        fits: impl FnOnce(usize, usize) -> bool,
    ) -> Result<Option<DeltaPart>, StoreError> {
        let Some(key) = self.view.key(collection, id) else {
            return Ok(None);
        };
        let have: Vec<ChangeHash> = have.iter().map(|hash| ChangeHash(*hash)).collect();
        let proofs = self.view.reads().proofs(&key.bytes())?;
        let aside = self.view.reads().aside(&key)?;
        let document = self.view.load(&key)?;
        let part = document.delta(&have, bytes_max, &proofs, &aside);
        let part = part.map_err(|error| StoreError::damaged_document(&key.id, &error))?;
        let Some(part) = part.filter(|part| part.delta.changes() > 0) else {
            return Ok(None);
        };
        let proofs = part.proofs.iter().map(|(number, _, proof)| SealedChange {
            change: *number,
            seal: proof.seal,
            index: proof.index,
        });
        let sealed = Sealed {
            delta: part.delta,
            proofs: proofs.collect(),
        };
        let delta = sealed.encode();
        let missing = self.missing(part.proofs.iter().map(|(_, _, proof)| proof))?;
        if fits(delta.len(), missing.bytes) {
            self.extend(missing);
            for (_, change, proof) in &part.proofs {
                self.name(proof, leaf(&key.id, change));
            }
        }
        let heads = |heads: Vec<ChangeHash>| heads.iter().map(|head| head.0).collect();
        Ok(Some(DeltaPart {
            delta,
            more_after: part.more_after.map(heads),
        }))
    }

    /// Changes that were committed, with the proofs of them; `None` when these do not prove all. What was released may have
    /// been written over since: then its later changes are not sealed yet, or a later proof stands for the one it had.
    fn seal(
        &mut self,
        collection: &str,
        id: &DocumentId,
        delta: Delta,
    ) -> Result<Option<Sealed>, StoreError> {
        let beside = match self.view.catalog().number(collection) {
            Some(collection) => {
                let id = id.clone();
                let key = DocumentKey { collection, id };
                self.view.reads().proofs(&key.bytes())?
            }
            None => Default::default(),
        };
        let changes = delta.chunks().iter();
        let changes = changes.map(|chunk| Change::from_bytes(chunk.clone()));
        let Ok(changes) = changes.collect::<Result<Vec<Change>, _>>() else {
            return Ok(None);
        };
        let mut places = Vec::new();
        let mut named = Vec::new();
        for (number, change) in (0..).zip(&changes) {
            let (actor, seq, hash) = (change.actor_id().to_bytes(), change.seq(), change.hash());
            if let Some(proof) = beside.iter().find(|it| it.is_of(actor, seq, &hash)) {
                places.push((number, leaf(id, &hash), proof));
                named.push(hash);
            }
        }
        if covered(changes.iter(), named.into_iter()).contains(&false) {
            return Ok(None);
        }
        let missing = self.missing(places.iter().map(|(_, _, proof)| *proof))?;
        self.extend(missing);
        let proofs = places.into_iter().map(|(change, leaf, proof)| {
            self.name(proof, leaf);
            SealedChange {
                change,
                seal: proof.seal,
                index: proof.index,
            }
        });
        let proofs = proofs.collect();
        Ok(Some(Sealed { delta, proofs }))
    }

    /// What has to go with a document that has these proofs, beside what goes already.
    fn missing<'p>(&self, proofs: impl Iterator<Item = &'p Proof>) -> Result<Missing, StoreError> {
        let reads = self.view.reads();
        let mut missing = Missing::default();
        for proof in proofs {
            missing.bytes += PATH_HASHES_MAX * size_of::<MerkleHash>();
            if self.named.contains_key(&proof.seal) || missing.seals.contains_key(&proof.seal) {
                continue;
            }
            let kept = reads.seal(&proof.seal)?.ok_or_else(damaged_seals)?;
            let name = kept.seal.certificate();
            missing.bytes += Seal::BYTES + EVIDENCE_BYTES;
            missing.seals.insert(proof.seal, kept);
            if self.certificates.contains_key(&name) || missing.certificates.contains_key(&name) {
                continue;
            }
            let chain = reads.certificate(&name)?.ok_or_else(damaged_seals)?;
            let chain = chain_bytes(&chain);
            missing.bytes += chain.len() + EVIDENCE_BYTES;
            missing.certificates.insert(name, chain);
        }
        Ok(missing)
    }

    fn extend(&mut self, missing: Missing) {
        self.certificates.extend(missing.certificates);
        let named = missing.seals.into_iter().map(|(name, kept)| {
            let leaves = BTreeMap::new();
            (name, Named { kept, leaves })
        });
        self.named.extend(named);
    }

    /// A change with this leaf goes with its seal.
    fn name(&mut self, proof: &Proof, leaf: MerkleHash) {
        if let Some(named) = self.named.get_mut(&proof.seal) {
            named.leaves.insert(proof.index, (leaf, proof.path.clone()));
        }
    }

    /// What proves the documents.
    ///
    /// # Errors
    /// The seals in the database are damaged.
    pub fn finish(self) -> Result<Bundled, StoreError> {
        let seals = self.named.into_values().map(Named::evidence);
        let certificates = self.certificates.into_iter();
        Ok(Bundled {
            certificates: certificates
                .map(|(name, chain)| (*name.as_bytes(), chain))
                .collect(),
            seals: seals.collect::<Result<_, _>>()?,
        })
    }
}

impl Named {
    fn evidence(self) -> Result<Vec<u8>, StoreError> {
        let KeptSeal { seal, leaves, .. } = self.kept;
        let rest = match leaves.as_slice() {
            [] => {
                let known = self.leaves.iter();
                let known = known.map(|(index, (leaf, path))| (*index, *leaf, path.as_slice()));
                let known: Vec<_> = known.collect();
                prove_from_paths(seal.count(), &known).ok_or_else(damaged_seals)?
            }
            leaves => prove(leaves, &self.leaves.into_keys().collect::<Vec<_>>()),
        };
        Ok(Evidence { seal, rest }.encode())
    }
}

fn damaged_seals() -> StoreError {
    StoreError::Damaged {
        what: "the seals".to_owned(),
        reason: "one that a document names is missing, or does not fit it".to_owned(),
    }
}

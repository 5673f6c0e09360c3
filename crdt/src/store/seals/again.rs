//! What this device has sealed under a root that it no longer trusts, as one that a wrong secret leads to: others refuse it, so
//! it is sealed again.

use super::super::Inner;
use super::super::commit::Origin;
use super::super::database::damaged;
use super::super::error::StoreError;
use super::super::incarnation::Incarnation;
use super::super::schema::{META, META_INCARNATIONS, META_TRUSTED, PROOFS};
use super::super::source::Source;
use super::super::transaction::Transaction;
use super::authority::Own;
use super::kept::StagedSeals;
use crate::limits::SEAL_DOCUMENTS_MAX;
use crate::record::{DocumentKey, SET_ASIDE};
use crate::seal::{Proof, Proofs};
use automerge::ChangeHash;
use sedge_identity::{ActorName, SealName};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What no longer proves anything of this device's changes.
#[derive(Default)]
struct Lost {
    /// The numbers of the store's incarnations.
    incarnations: HashMap<[u8; 16], u32>,
    seals: BTreeSet<SealName>,
}

impl Inner {
    /// Where other roots are trusted than before: has those own changes sealed again that only seals under others prove. To be
    /// called while no round of sealing runs.
    pub(in crate::store) fn seal_again(&self, own: &Own) -> Result<(), StoreError> {
        let trusted = roots(own);
        if self.database.get(META, META_TRUSTED)?.as_deref() == Some(&trusted) {
            return Ok(());
        }
        let (keys, lost) = self.lost(own)?;
        for keys in keys.chunks(SEAL_DOCUMENTS_MAX) {
            let mut transaction = self.transaction();
            for key in keys {
                transaction.unprove(key, &lost)?;
            }
            transaction.commit(Origin::Local)?;
        }
        if !keys.is_empty() {
            tracing::warn!(
                documents = keys.len(),
                "documents that this device had sealed under an issuer that it no longer trusts are sealed again"
            );
        }
        let mut batch = self.database.batch();
        batch.put(META, META_TRUSTED, trusted);
        batch.write_unsynced()
    }

    /// The documents with changes that are to be sealed again, and the seals that do not count.
    fn lost(&self, own: &Own) -> Result<(Vec<DocumentKey>, Lost), StoreError> {
        let (mut keys, mut lost) = (Vec::new(), Lost::default());
        lost.incarnations = self.incarnations()?;
        let (reads, staged) = (self.database.newest(), StagedSeals::default());
        let mut judged: BTreeMap<SealName, bool> = BTreeMap::new();
        for entry in reads.entries_from(PROOFS, &[])? {
            let (key, proofs) = entry?;
            let proofs = Proofs::decode(&proofs).ok_or_else(|| damaged(PROOFS.as_bytes()))?;
            let mut is_lost = false;
            for Proof { seal, actor, .. } in proofs.iter() {
                if !lost.incarnations.contains_key(&actor.0) {
                    continue;
                }
                let counts = match judged.get(seal) {
                    Some(counts) => *counts,
                    None => match staged.certificate_of(seal, reads)? {
                        Some(name) => self.certified(own, &name)?.is_some(),
                        None => false,
                    },
                };
                judged.insert(*seal, counts);
                if !counts {
                    lost.seals.insert(*seal);
                    is_lost = true;
                }
            }
            keys.extend(DocumentKey::stored(&key).filter(|_| is_lost));
        }
        Ok((keys, lost))
    }

    /// The numbers of the incarnations that this store has had, by their actors.
    fn incarnations(&self) -> Result<HashMap<[u8; 16], u32>, StoreError> {
        let mut incarnations = HashMap::new();
        let entries = self
            .database
            .newest()
            .entries_from(META, META_INCARNATIONS)?;
        for entry in entries {
            let (key, name) = entry?;
            let Some(number) = key.strip_prefix(META_INCARNATIONS) else {
                break;
            };
            let number = number.try_into().map_err(|_| damaged(META_INCARNATIONS))?;
            let actor = ActorName::of(&self.device, Incarnation::read_name(&name)?);
            incarnations.insert(actor.0, u32::from_le_bytes(number));
        }
        Ok(incarnations)
    }
}

impl Transaction<'_> {
    /// Takes away proofs of own changes that do not count, and has these changes sealed again.
    fn unprove(&mut self, key: &DocumentKey, lost: &Lost) -> Result<(), StoreError> {
        let mut entry = match self.entry(key) {
            Err(StoreError::Damaged { .. }) => return Ok(()), // told where its changes are asked for
            entry => entry?,
        };
        let Ok(document) = entry.load() else {
            return Ok(()); // as above
        };
        let is_kept = |proof: &Proof| !lost.seals.contains(&proof.seal);
        let (kept, gone) = self.reads().proofs(&key.bytes())?.split(is_kept);
        let again = gone.iter().filter_map(|proof| {
            let incarnation = lost.incarnations.get(&proof.actor.0)?;
            Some(proof.own_change(*incarnation, document.proven_by(proof)?))
        });
        let again: Vec<_> = again.collect();
        let is_unsealed = self.is_unsealed(&entry);
        let state = entry.change_state();
        if !is_unsealed {
            state.known = state.heads.clone();
            state.earlier.clear();
            state.unsealed_bytes = 0;
        }
        let is_again = |hash: &ChangeHash| again.iter().any(|change| change.hash == *hash);
        state.known.retain(|head| !is_again(head));
        state.earlier.retain(|change| !is_again(&change.hash));
        state.earlier.extend(&again);
        let mut seals = std::mem::take(&mut self.seals);
        seals.remove(&gone, self.store().database.newest())?;
        self.seals = seals;
        entry.proofs = Some(kept);
        entry.wrote = entry.state.own_sequence != SET_ASIDE;
        entry.encoded = entry.visible.as_ref().map(|value| value.encode()); // it is stored again as it is
        self.stage_entry(key.clone(), entry);
        Ok(())
    }
}

/// Names the roots that are trusted.
fn roots(own: &Own) -> [u8; 32] {
    let trust = own.identity.trust();
    let mut roots: Vec<String> = trust.roots().map(|root| root.to_string()).collect();
    roots.sort_unstable();
    *blake3::hash(roots.join(" ").as_bytes()).as_bytes()
}

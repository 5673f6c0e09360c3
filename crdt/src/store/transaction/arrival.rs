//! What others have written: a document's changes become part of what the transaction stages, with what proves them.

use super::super::aside::Devices;
use super::super::entry::{Entry, Grown};
use super::super::error::StoreError;
use super::super::history::authored_times;
use super::super::schema::{DocumentKey, DocumentState};
use super::super::seals::kept::GivenSeal;
use super::{Transaction, load};
use crate::document::{Decoded, Document, Grounds, Here, Ingested, heads_after};
use crate::id::DocumentId;
use crate::seal::Proofs;
use crate::value::Value;
use automerge::ActorId;
use sedge_identity::{MerkleHash, Seal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The seals that came with a delta.
pub(in crate::store) struct ArrivingSeals<'a> {
    pub(in crate::store) grounds: Grounds<'a>,
    pub(in crate::store) seals: &'a [Seal],
    /// For each seal its leaves, if all are known.
    pub(in crate::store) leaves: &'a [Option<Vec<MerkleHash>>],
}

impl ArrivingSeals<'_> {
    fn given(&self, seal: usize, collection: u32) -> Option<GivenSeal<'_>> {
        let leaves = self.leaves.get(seal).and_then(Option::as_deref);
        Some(GivenSeal {
            collection,
            seal: self.seals.get(seal)?,
            leaves: leaves.unwrap_or_default(),
        })
    }
}

/// What became of a delta from another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Taken {
    /// Something of it was new.
    pub(in crate::store) applied: bool,
    /// Changes were left out because what they depend on is not here.
    pub(in crate::store) incomplete: bool,
    /// Why something was left out that never counts, if that is so.
    pub(in crate::store) refused: Option<String>,
}

impl Transaction<'_> {
    /// Takes what is new and accepted of a delta from another store. After an error the document is as it was.
    pub(in crate::store) fn ingest(
        &mut self,
        collection: &str,
        id: &DocumentId,
        delta: Decoded,
        sealed: &ArrivingSeals<'_>,
    ) -> Result<Taken, StoreError> {
        let key = DocumentKey {
            collection: match self.catalog.number(collection) {
                Some(number) => number,
                None => Arc::make_mut(&mut self.catalog).number_of_arrival(collection)?,
            },
            id: id.clone(),
        };
        let mut entry = self.entry(&key)?;
        let grounds = Some(sealed.grounds);
        let aside = self.aside(&key, &entry)?;
        let devices = Devices::new(self, &key, &entry, sealed);
        let here = Here {
            record: entry.record(),
            aside: &aside,
            device_of: &|actor| devices.key_of(actor),
        };
        let ingested = Document::ingest(here, collection, id, delta, grounds);
        let forked = devices.into_known()?;
        let mut ingested = match ingested {
            Ok(ingested) => ingested,
            Err(error) => {
                load(&key.id, &entry)?; // a damaged record of our own is nobody else's fault
                return Err(error.into());
            }
        };
        let taken = Taken {
            applied: !ingested.changes.is_empty(),
            incomplete: ingested.incomplete,
            refused: ingested.refused.take().map(|reason| reason.to_string()),
        };
        if taken.applied {
            self.prove(&key, &mut entry, &ingested, sealed)?;
            self.renew_if_copied(&key, &ingested.changes)?;
            let document = ingested.document.take();
            let resolved = ingested.resolved.take();
            let grown = self.arrived(&entry, ingested);
            // It moves to the end of the feed, with own changes that are to be sealed there.
            entry.wrote |= self.is_to_be_sealed(&entry);
            match resolved {
                None => self.grow(key, entry, grown, document.as_ref()),
                Some(resolved) => self.resolve(key, entry, grown, resolved, &forked)?,
            }
        }
        Ok(taken)
    }

    /// What a document becomes with what arrived of it.
    fn arrived(&self, entry: &Entry, ingested: Ingested) -> Grown {
        let chunks = ingested.changes.iter();
        // Own changes can come back from others; none of their numbers may be used again.
        let own = chunks
            .clone()
            .filter(|change| *change.actor_id() == self.writer.actor);
        let incarnation = self.incarnation();
        let own_seq = own.map(|change| change.seq()).max().unwrap_or(0);
        let (own_seq, incarnation) = match own_seq > entry.state.own_seq_in(incarnation) {
            true => (own_seq, incarnation),
            false => (entry.state.own_seq, entry.state.incarnation),
        };
        let known = match self.is_unsealed(entry) {
            true => heads_after(entry.state.known.clone(), &ingested.changes),
            false => Vec::new(),
        };
        Grown {
            encoded: ingested.value.as_ref().map(Value::encode),
            visible: ingested.value,
            state: DocumentState {
                own_seq,
                incarnation,
                times: entry.state.times.with(authored_times(&ingested.changes)),
                known,
                heads: ingested.heads,
                ..entry.state.clone()
            },
            chunks: chunks.map(|change| change.raw_bytes().to_vec()).collect(),
            delta: ingested.delta,
        }
    }

    /// Keeps with a document what proves the changes that arrived of it.
    fn prove(
        &mut self,
        key: &DocumentKey,
        entry: &mut Entry,
        ingested: &Ingested,
        sealed: &ArrivingSeals<'_>,
    ) -> Result<(), StoreError> {
        let reads = self.store.database.newest();
        let mut proofs = match entry.proofs.take() {
            Some(proofs) => proofs,
            None if entry.is_new() => Proofs::default(),
            None => reads.proofs(&key.bytes())?,
        };
        let mut by_hash = BTreeMap::new();
        let mut bytes: BTreeMap<&ActorId, usize> = BTreeMap::new();
        for change in &ingested.changes {
            by_hash.insert(change.hash(), change);
            *bytes.entry(change.actor_id()).or_default() += change.raw_bytes().len();
        }
        proofs.make_room(bytes.values().sum());
        for proven in sealed.grounds.proven {
            let change = by_hash.get(&proven.change);
            let seal = sealed.given(proven.seal, key.collection);
            let (Some(change), Some(seal)) = (change, seal) else {
                continue;
            };
            let bytes = bytes.get(change.actor_id()).copied().unwrap_or(0);
            let proof = proven.proof(change.seq(), bytes);
            let resolved = ingested.resolved.as_ref();
            let is_one_chain =
                !resolved.is_some_and(|it| it.aside.has_of(change.actor_id().to_bytes()));
            self.seals
                .add(&mut proofs, proof, seal, is_one_chain, reads)?;
        }
        entry.proofs = Some(proofs);
        Ok(())
    }
}

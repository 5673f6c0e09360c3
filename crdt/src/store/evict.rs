//! EVICT: removing documents from this store alone.
//!
//! Nothing of the document stays, so the mesh would bring it straight back where it is subscribed, and what only this store
//! has would be lost, above all what is not sealed, which can't have left it: both are refused. What this store has written
//! in it counts from a new incarnation on, so that no later change gets the name of one that others have.

use super::Store;
use super::database::Batch;
use super::error::StoreError;
use super::schema::{
    ASIDE, CURSOR_KEY_BYTES, CURSORS, DOCUMENTS, DocumentKey, DocumentState, FEED, META,
    META_EVICTED, META_SET_ASIDE, PROOFS, STATES, VALUES,
};
use super::transaction::Transaction;
use crate::id::DocumentId;
use crate::record::SET_ASIDE;
use std::sync::Arc;

/// What the store asks whoever replicates it before it evicts a document.
pub trait Replication: Send + Sync {
    /// Whether documents of the collection are taken in from other stores.
    fn takes_in(&self, collection: &str) -> bool;

    /// Up to where another store is known to hold all that this store's [feed](Store::feed) leads to.
    fn delivered(&self) -> u64;
}

impl Store {
    /// Says who replicates this store from now on; `None` for nobody. Then nothing is taken in, and nothing is known to be
    /// delivered.
    pub fn set_replication(&self, replication: Option<Arc<dyn Replication>>) {
        *self.0.replication.write() = replication;
    }
}

impl Transaction<'_> {
    /// Removes a visible document from this store alone; `false` when there is none.
    pub(super) fn evict(&mut self, collection: &str, id: &DocumentId) -> Result<bool, StoreError> {
        let Some(number) = self.catalog.number(collection) else {
            return Ok(false);
        };
        let key = DocumentKey {
            collection: number,
            id: id.clone(),
        };
        let mut entry = self.entry(&key)?;
        if entry.visible.is_none() {
            return Ok(false);
        }
        if self.staged.contains_key(&key) {
            return Err(refused(id, "it was changed in this transaction"));
        }
        let replication = self.store().replication.read().clone();
        let replication = replication.as_deref();
        if let Some(reason) = self.refusal(replication, collection, &entry.state) {
            return Err(refused(id, &reason));
        }
        if entry.state.own_seq_in(self.writer().incarnation.number) > 0 && self.renewed.is_none() {
            self.renewed = Some(self.writer().incarnation.next()?);
        }
        entry.evict();
        self.evicts = true;
        self.stage_entry(key, entry);
        Ok(true)
    }

    /// Why a document may not be evicted.
    fn refusal(
        &self,
        replication: Option<&dyn Replication>,
        collection: &str,
        state: &DocumentState,
    ) -> Option<String> {
        if replication.is_some_and(|replication| replication.takes_in(collection)) {
            return Some(format!(
                "collection {collection:?} is subscribed, so it would come straight back; leave the collection out of what \
                 this peer subscribes to (--subscribe)"
            ));
        }
        if state.own_sequence == SET_ASIDE {
            return Some(
                "this device's certificate does not let it write the document, so its changes in it can't be delivered and \
                 nobody else has them; install a certificate that does, and evict once they are delivered"
                    .to_owned(),
            );
        }
        if state.is_unsealed(self.writer().sealed_to) {
            return Some(
                "changes of this device in it are not sealed yet, so they can't have been delivered; `sedge status` tells if \
                 something keeps this peer from sealing"
                    .to_owned(),
            );
        }
        let delivered = replication.map_or(0, Replication::delivered);
        (state.own_seq > 0 && state.sequence > delivered).then(|| {
            "changes of this device in it are not known to be delivered; let this peer synchronise with one that holds all \
             collections first, and evict while they are connected. A peer that has refused or lost one of this peer's \
             documents counts for none that were changed later"
                .to_owned()
        })
    }

    /// Refuses to write what this transaction has evicted: its new incarnation holds from the next one on.
    pub(super) fn check_not_evicted(&self, key: &DocumentKey) -> Result<(), StoreError> {
        match self.staged.get(key) {
            Some(entry) if entry.is_evicted() => Err(StoreError::Document(format!(
                "{} was evicted in this transaction; write it in another one",
                key.id
            ))),
            _ => Ok(()),
        }
    }

    /// Notes evictions in the batch of the commit `sequence`, and the new incarnation that they need.
    pub(super) fn store_evictions(&self, batch: &mut Batch<'_>, sequence: u64) {
        if self.evicts {
            batch.put(META, META_EVICTED, sequence.to_le_bytes());
            // Behind a cursor nothing is offered again; what was evicted has to be, once it is wanted again.
            batch.delete_range(CURSORS, &[], &[u8::MAX; CURSOR_KEY_BYTES + 1]);
        }
        if let Some(incarnation) = self.renewed {
            incarnation.store(batch);
        }
        self.store_forks(batch);
    }
}

/// Removes all there is of a document.
pub(super) fn remove(batch: &mut Batch<'_>, key: &[u8], sequence: u64) {
    for family in [DOCUMENTS, VALUES, STATES, PROOFS, ASIDE] {
        batch.delete(family, key);
    }
    batch.delete(META, &[META_SET_ASIDE, key].concat());
    batch.delete(FEED, &sequence.to_be_bytes());
}

fn refused(id: &DocumentId, reason: &str) -> StoreError {
    StoreError::NotEvictable {
        id: id.to_string(),
        reason: reason.to_owned(),
    }
}

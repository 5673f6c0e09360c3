//! How a transaction ends: in one batch, which it leaves to the group to be synced and published.

use super::super::blobs;
use super::super::catalog::Catalog;
use super::super::commit::{Commit, Committed, Origin};
use super::super::database::{Batch, Database};
use super::super::digest::Digest;
use super::super::entry::{Entry, RecordWrite};
use super::super::error::StoreError;
use super::super::evict;
use super::super::group::{Pending, Ticket};
use super::super::log::{Log, Stamp};
use super::super::reconcile::Changed;
use super::super::schema::{
    ASIDE, DOCUMENTS, FEED, META, META_CLOCK, META_SEALED, META_SET_ASIDE, PROOFS, STATES, VALUES,
};
use super::super::seals::sealer::sealed_bytes;
use super::super::view::View;
use super::Transaction;
use crate::record::SET_ASIDE;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Transaction<'_> {
    /// Makes everything durable, then visible. Returns the transaction's id: the newest sequence.
    pub(in crate::store) fn commit(mut self, origin: Origin) -> Result<u64, StoreError> {
        let (sequence, ticket) = self.finish(origin)?;
        self.end(ticket)?;
        Ok(sequence)
    }

    /// Gives the writer back, once others were served, and waits for what was written.
    fn end(self, ticket: Ticket) -> Result<(), StoreError> {
        let store = self.store;
        store.serve(self.into_writer());
        store.settle(ticket)
    }

    /// Writes everything, and tells the transaction's id with the ticket to wait for until it is durable and visible.
    pub(in crate::store) fn finish(&mut self, origin: Origin) -> Result<(u64, Ticket), StoreError> {
        if self.failed {
            return Err(StoreError::TransactionFailed);
        }
        if !self.order.is_empty() {
            self.store.group.check_room()?;
            self.stage(origin)?;
        }
        // What was found to be there already may still wait for its sync, too.
        Ok((self.writer.sequence, self.store.group.newest()))
    }

    /// Changes the catalog, and what belongs to it in the same batch; no document. It is durable and visible on return
    /// if `is_shown` says so of what `change` gave, else with what is written next. After an error of `change` nothing
    /// has happened.
    pub(in crate::store) fn alter<T>(
        mut self,
        change: impl FnOnce(&mut Catalog, &mut Batch<'_>) -> Result<T, StoreError>,
        is_shown: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        let store = self.store;
        store.group.check_room()?;
        let mut batch = store.database.batch();
        let done = change(Arc::make_mut(&mut self.catalog), &mut batch)?;
        batch.write_unsynced()?;
        self.writer.catalog = Arc::clone(&self.catalog);
        if is_shown(&done) {
            self.queue(None);
            let ticket = store.group.newest();
            self.end(ticket)?;
        }
        Ok(done)
    }

    /// Writes the batch and queues the commit. After an error nothing has happened.
    fn stage(&mut self, origin: Origin) -> Result<(), StoreError> {
        let time_ms = match origin {
            Origin::Local => self.time_ms,
            Origin::Remote(_) => self.writer.time_ms,
        };
        let is_local = origin == Origin::Local;
        let stamp = Stamp {
            time_ms: self.store.now_ms().max(self.time_ms),
            is_local,
        };
        let unsealed = self.staged.values().filter(|entry| entry.wrote).count();
        let (sequence, sealed_to, log, documents) = self.write(time_ms, stamp)?;
        let writer = &mut *self.writer;
        writer.sealed_to = sealed_to;
        writer.sequence = sequence;
        if !is_local {
            writer.arrived = sequence;
        }
        if unsealed > 0 {
            writer.own_to = sequence;
        }
        writer.log = log;
        writer.time_ms = time_ms;
        writer.catalog = Arc::clone(&self.catalog);
        if let Some(incarnation) = self.renewed {
            writer.incarnation = incarnation;
            writer.actor = incarnation.actor(&self.store.device);
        }
        if let Some(feed) = self.forks.feed {
            *self.store.feed.write() = feed;
        }
        self.queue(Some(Commit {
            sequence,
            origin,
            documents,
            unsealed,
        }));
        Ok(())
    }

    /// Queues what the writer has just written to be published.
    fn queue(&self, commit: Option<Commit>) {
        let view = View::new(
            &self.store.database,
            Arc::clone(&self.catalog),
            self.writer.sequence,
            self.writer.actor.clone(),
        );
        self.store.group.push(Pending { view, commit });
    }

    fn write(
        &mut self,
        time_ms: i64,
        stamp: Stamp,
    ) -> Result<(u64, u64, Log, Vec<Committed>), StoreError> {
        let database: &Database = &self.store.database;
        let reads = database.newest();
        let catalog = Arc::make_mut(&mut self.catalog);
        let mut batch = database.batch();
        // Where nothing waits to be sealed, what others have sealed doesn't either.
        let all_sealed = self.writer.sealed_to >= self.writer.sequence
            && !self.staged.values().any(|entry| entry.wrote);
        let mut sequence = self.writer.sequence;
        let mut log = self.writer.log;
        log.trim(database, sequence, &mut batch)?;
        let mut documents = Vec::with_capacity(self.order.len());
        let mut touched = BTreeSet::new();
        let mut sums = Changed::new(&self.store.app);
        for key in std::mem::take(&mut self.order) {
            let Some(mut entry) = self.staged.remove(&key) else {
                continue;
            };
            sequence += 1;
            let bytes = key.bytes();
            match entry.is_evicted() {
                true => {
                    self.seals.remove(&reads.proofs(&bytes)?, reads)?;
                    evict::remove(&mut batch, &bytes, entry.state.sequence);
                }
                false => put(&mut batch, &bytes, &mut entry, sequence),
            }
            let heads = entry.sealed_heads(self.writer.sealed_to);
            sums.document(&entry.collection, &key, heads, &mut batch);
            let (before, after) = (entry.before.as_ref(), entry.visible.as_ref());
            blobs::count_references(&mut batch, before, after);
            catalog.indexes.follow(&key, before, after, &mut batch);
            let seen = entry.visible_bytes();
            let [before, after] = seen.each_ref().map(Option::as_deref);
            if !entry.is_evicted() && entry.delta.changes() > 0 {
                log.append(&mut batch, sequence, stamp, &bytes, before, after);
            }
            let digest = |value| Digest::of_encoded(&key.id, value);
            catalog.count(&entry.collection, before.map(digest), after.map(digest));
            drop(seen);
            touched.insert(Arc::clone(&entry.collection));
            documents.push(Committed {
                collection: entry.collection,
                id: key.id,
                before: entry.before.map(Arc::new),
                after: entry.visible.map(Arc::new),
                delta: entry.delta,
            });
        }
        // A collection that only refused documents named is none.
        let known = &self.writer.catalog;
        catalog.retain(|name| known.number(name).is_some() || touched.contains(name));
        for name in touched {
            catalog.store(&name, &mut batch);
        }
        catalog.indexes.store_changed(&mut batch);
        log.store(&mut batch, sequence);
        let clock = [sequence.to_le_bytes(), time_ms.to_le_bytes()];
        batch.put(META, META_CLOCK, clock.concat());
        self.store_evictions(&mut batch, sequence);
        self.seals.write(&mut batch);
        sums.write(&mut batch);
        let sealed_to = match all_sealed {
            true => sequence,
            false => self.writer.sealed_to,
        };
        if all_sealed {
            batch.put(META, META_SEALED, sealed_bytes(sequence, reads.sealed()?.1));
        }
        batch.write_unsynced()?;
        self.store.sums.add(&sums);
        Ok((sequence, sealed_to, log, documents))
    }
}

/// Puts all there is of a document into the batch.
fn put(batch: &mut Batch<'_>, key: &[u8], entry: &mut Entry, sequence: u64) {
    match entry.write() {
        RecordWrite::Put(record) => batch.put(DOCUMENTS, key, record),
        RecordWrite::Append(tail) => batch.append(DOCUMENTS, key, tail),
    }
    match &entry.encoded {
        Some(value) => batch.put(VALUES, key, value),
        None => batch.delete(VALUES, key),
    }
    // The feed keeps a document's latest entry only: it leads to all that a follower lacks.
    let earlier = std::mem::replace(&mut entry.state.sequence, sequence);
    if earlier > 0 {
        batch.delete(FEED, &earlier.to_be_bytes());
    }
    if entry.wrote {
        if entry.state.own_sequence == SET_ASIDE {
            batch.delete(META, &[META_SET_ASIDE, key].concat());
        }
        entry.state.own_sequence = sequence;
    }
    batch.put(STATES, key, entry.state.bytes());
    if let Some(proofs) = &entry.proofs {
        batch.put(PROOFS, key, proofs.encode());
    }
    if let Some(aside) = &entry.aside {
        batch.put(ASIDE, key, aside.encode());
    }
    batch.put(FEED, &sequence.to_be_bytes(), key);
}

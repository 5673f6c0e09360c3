//! Writes that become visible and durable together.
//!
//! A transaction holds the writer. What it changes is staged in memory, seen by its own later reads, and turned into
//! one batch by [`commit`](Transaction::commit), which leaves the writer to the next one while the batch is synced;
//! dropped without it, nothing has happened.

use super::blobs;
use super::catalog::{Catalog, Digest};
use super::check::{check_bytes, check_delta, check_key, check_value};
use super::clock::now_ms;
use super::commit::{Commit, Committed, Origin};
use super::database::{Batch, Database};
use super::deadline::Deadline;
use super::entry::{Entry, Grown, RecordWrite};
use super::error::StoreError;
use super::evict;
use super::group::Pending;
use super::history::authored_times;
use super::incarnation::Incarnation;
use super::log::Log;
use super::schema::{
    DOCUMENTS, DocumentKey, DocumentState, FEED, META, META_CLOCK, STATES, VALUES,
};
use super::source::Source;
use super::view::View;
use super::{Inner, Writer};
use crate::document::{Author, Delta, Document, DocumentError, Written, create};
use crate::id::DocumentId;
use crate::limits::{DOCUMENT_BYTES_WARN, TRANSACTION_BYTES_MAX};
use crate::query::Edit;
use crate::value::Value;
use parking_lot::MutexGuard;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Several statements that become visible and durable together, or not at all. It sees what it has staged itself, and
/// holds up other writers until it ends.
pub struct Transaction<'a> {
    store: &'a Inner,
    writer: MutexGuard<'a, Writer>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) staged: BTreeMap<DocumentKey, Entry>,
    /// The staged documents in the order in which they were first changed: feed order.
    order: Vec<DocumentKey>,
    /// Memory that the staged documents take.
    staged_bytes: usize,
    /// The time of this transaction's changes, in milliseconds since 1970.
    time_ms: i64,
    pub(super) deadline: Deadline,
    /// A statement ended half-way, so that nothing may be committed.
    pub(super) failed: bool,
    pub(super) warnings: Vec<String>,
    /// Whether it removes documents from this store alone.
    pub(super) evicts: bool,
    /// The incarnation that begins with its commit, if one does.
    pub(super) renewed: Option<Incarnation>,
}

/// What became of a delta from another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Something of it was new.
    pub(super) applied: bool,
    /// Changes were left out because what they depend on is not here.
    pub(super) incomplete: bool,
}

impl Inner {
    /// Waits until no other transaction writes.
    pub(super) fn transaction(&self) -> Transaction<'_> {
        self.begin(self.writer.lock(), Deadline::after(Duration::MAX))
    }

    /// As [`transaction`](Self::transaction), as long as the call may wait.
    pub(super) fn transaction_within(
        &self,
        deadline: &Deadline,
    ) -> Result<Transaction<'_>, StoreError> {
        let writer = self.writer.try_lock_for(deadline.remaining());
        deadline.check()?;
        let writer = writer.ok_or_else(|| deadline.timed_out())?;
        Ok(self.begin(writer, deadline.clone()))
    }

    fn begin<'a>(&'a self, writer: MutexGuard<'a, Writer>, deadline: Deadline) -> Transaction<'a> {
        Transaction {
            store: self,
            catalog: Arc::clone(&writer.catalog),
            staged: BTreeMap::new(),
            order: Vec::new(),
            staged_bytes: 0,
            time_ms: now_ms().max(writer.time_ms),
            deadline,
            failed: false,
            warnings: Vec::new(),
            evicts: false,
            renewed: None,
            writer,
        }
    }
}

impl Transaction<'_> {
    /// The visible value as this transaction sees it.
    pub(super) fn visible(
        &self,
        collection: &str,
        id: &DocumentId,
    ) -> Result<Option<Value>, StoreError> {
        let Some(collection) = self.catalog.number(collection) else {
            return Ok(None);
        };
        let id = id.clone();
        self.value(&DocumentKey { collection, id })
    }

    /// The newest commit, which may not be published yet.
    pub(super) fn newest_sequence(&self) -> u64 {
        self.writer.sequence
    }

    pub(super) fn store(&self) -> &Inner {
        self.store
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    fn incarnation(&self) -> u32 {
        self.writer.incarnation.number
    }

    /// Makes the document's visible value equal to `value`; `false` when it already is.
    pub(super) fn put(
        &mut self,
        collection: &str,
        id: &DocumentId,
        value: &Value,
    ) -> Result<bool, StoreError> {
        let Value::Map(fields) = value else {
            return Err(StoreError::Document(format!(
                "it is of type {}, not a map",
                value.type_name()
            )));
        };
        check_value(value, 0)?;
        let mut fields = fields.clone();
        fields.insert("_id".to_owned(), id.to_value());
        let visible = Value::Map(fields);
        let encoded = visible.encode();
        check_bytes(id, encoded.len())?;
        let Value::Map(mut fields) = visible else {
            return Ok(false);
        };
        fields.remove("_id");
        let key = self.key(collection, id)?;
        let entry = self.entry(&key)?;
        if !entry.is_new() {
            return self.modify(key, entry, |document, author| {
                document.replace(collection, id, author, &fields)
            });
        }
        let written = create(collection, id, self.author(&entry.state), &fields)?;
        fields.insert("_id".to_owned(), id.to_value());
        check_delta(&written.delta)?;
        let heads = vec![written.change.hash()];
        let visible = Some((Value::Map(fields), encoded));
        let grown = grown(&entry.state, self.incarnation(), written, heads, visible);
        self.check_size(&key.id, grown.encoded.as_deref())?;
        self.grow(key, entry, grown, None);
        self.check_room().map(|()| true)
    }

    /// Carries out edits on a document; `false` when they change nothing.
    pub(super) fn edit(
        &mut self,
        collection: &str,
        id: &DocumentId,
        edits: &[Edit],
    ) -> Result<bool, StoreError> {
        for edit in edits {
            edit.path.iter().try_for_each(|key| check_key(key))?;
            if let Some(value) = edit.value() {
                check_value(value, edit.path.len())?;
            }
        }
        let wanted = edits.iter().filter_map(Edit::value);
        check_bytes(id, wanted.map(|value| value.encode().len()).sum())?;
        let key = self.key(collection, id)?;
        let entry = self.entry(&key)?;
        self.modify(key, entry, |document, author| {
            document.edit(collection, id, author, edits)
        })
    }

    /// Deletes a visible document; `false` when there is none.
    pub(super) fn delete(&mut self, collection: &str, id: &DocumentId) -> Result<bool, StoreError> {
        let key = self.key(collection, id)?;
        let entry = self.entry(&key)?;
        if entry.visible.is_none() {
            return Ok(false);
        }
        self.modify(key, entry, |document, author| {
            document.delete(collection, id, author)
        })
    }

    /// Takes what is new of a delta from another store. After an error the document is as it was.
    pub(super) fn ingest(
        &mut self,
        collection: &str,
        id: &DocumentId,
        delta: Delta,
    ) -> Result<Taken, StoreError> {
        let key = DocumentKey {
            collection: match self.catalog.number(collection) {
                Some(number) => number,
                None => Arc::make_mut(&mut self.catalog).number_of_arrival(collection)?,
            },
            id: id.clone(),
        };
        let entry = self.entry(&key)?;
        let ingested = match Document::ingest(entry.record(), collection, id, &delta) {
            Ok(ingested) => ingested,
            Err(error) => {
                load(&key.id, &entry)?; // a damaged record of our own is nobody else's fault
                return Err(error.into());
            }
        };
        let taken = Taken {
            applied: !ingested.changes.is_empty(),
            incomplete: ingested.incomplete,
        };
        if taken.applied {
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
            let grown = Grown {
                encoded: ingested.value.as_ref().map(Value::encode),
                visible: ingested.value,
                state: DocumentState {
                    own_seq,
                    incarnation,
                    times: entry.state.times.with(authored_times(&ingested.changes)),
                    heads: ingested.document.heads(),
                    ..entry.state.clone()
                },
                chunks: chunks.map(|change| change.raw_bytes().to_vec()).collect(),
                delta: ingested.delta,
            };
            self.grow(key, entry, grown, Some(&ingested.document));
        }
        Ok(taken)
    }

    /// Makes everything durable, then visible. Returns the transaction's id: the newest sequence.
    pub(super) fn commit(mut self, origin: Origin) -> Result<u64, StoreError> {
        if self.failed {
            return Err(StoreError::TransactionFailed);
        }
        if !self.order.is_empty() {
            self.store.group.check_room()?;
            self.stage(origin)?;
        }
        // What was found to be there already may still wait for its sync, too.
        let (store, sequence) = (self.store, self.writer.sequence);
        let number = store.group.newest();
        drop(self);
        store.settle(number)?;
        Ok(sequence)
    }

    /// Changes the catalog, and what belongs to it in the same batch; no document. It is durable and visible on return
    /// if `is_shown` says so of what `change` gave, else with what is written next. After an error of `change` nothing
    /// has happened.
    pub(super) fn alter<T>(
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
            let number = store.group.newest();
            drop(self);
            store.settle(number)?;
        }
        Ok(done)
    }

    /// Writes the batch and queues the commit. After an error nothing has happened.
    fn stage(&mut self, origin: Origin) -> Result<(), StoreError> {
        let time_ms = match origin {
            Origin::Local => self.time_ms,
            Origin::Remote(_) => self.writer.time_ms,
        };
        let (sequence, log, documents) = self.write(time_ms)?;
        let writer = &mut *self.writer;
        writer.sequence = sequence;
        writer.log = log;
        writer.time_ms = time_ms;
        writer.catalog = Arc::clone(&self.catalog);
        if let Some(incarnation) = self.renewed {
            writer.incarnation = incarnation;
            writer.actor = incarnation.actor(&self.store.device);
        }
        self.queue(Some(Commit {
            sequence,
            origin,
            documents,
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

    fn write(&mut self, time_ms: i64) -> Result<(u64, Log, Vec<Committed>), StoreError> {
        let database: &Database = &self.store.database;
        let catalog = Arc::make_mut(&mut self.catalog);
        let mut batch = database.batch();
        let mut sequence = self.writer.sequence;
        let mut log = self.writer.log;
        log.trim(database, sequence, &mut batch)?;
        let mut documents = Vec::with_capacity(self.order.len());
        let mut touched = BTreeSet::new();
        for key in std::mem::take(&mut self.order) {
            let Some(mut entry) = self.staged.remove(&key) else {
                continue;
            };
            sequence += 1;
            let bytes = key.bytes();
            match entry.is_evicted() {
                true => evict::remove(&mut batch, &bytes, entry.state.sequence),
                false => put(&mut batch, &bytes, &mut entry, sequence),
            }
            let (before, after) = (entry.before.as_ref(), entry.visible.as_ref());
            blobs::count_references(&mut batch, before, after);
            catalog.indexes.follow(&key, before, after, &mut batch);
            let seen = entry.visible_bytes();
            let [before, after] = seen.each_ref().map(Option::as_deref);
            if !entry.is_evicted() {
                log.append(&mut batch, sequence, &bytes, before, after);
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
        batch.write_unsynced()?;
        Ok((sequence, log, documents))
    }

    /// A document with its state; `None` when nothing has ever been written under the id.
    pub(super) fn stored_document(
        &mut self,
        collection: &str,
        id: &DocumentId,
    ) -> Result<Option<(Document, DocumentState)>, StoreError> {
        let key = self.key(collection, id)?;
        let entry = self.entry(&key)?;
        match entry.is_new() {
            true => Ok(None),
            false => Ok(Some((load(id, &entry)?, entry.state))),
        }
    }

    fn key(&mut self, collection: &str, id: &DocumentId) -> Result<DocumentKey, StoreError> {
        Ok(DocumentKey {
            collection: match self.catalog.number(collection) {
                Some(number) => number,
                None => Arc::make_mut(&mut self.catalog).number_or_new(collection)?,
            },
            id: id.clone(),
        })
    }

    fn author(&self, state: &DocumentState) -> Author {
        Author {
            actor: self.writer.actor.clone(),
            seq: state.own_seq_in(self.incarnation()) + 1,
            time_ms: self.time_ms,
        }
    }

    pub(super) fn entry(&self, key: &DocumentKey) -> Result<Entry, StoreError> {
        self.check_not_evicted(key)?;
        if let Some(entry) = self.staged.get(key) {
            return Ok(entry.clone());
        }
        let reads = self.reads();
        let collection = self.catalog.name(key.collection).unwrap_or_default();
        let Some(state) = reads.state(key)? else {
            return Ok(Entry::stored(
                collection,
                None,
                DocumentState::default(),
                Vec::new(),
            ));
        };
        let record = reads.record(key)?.unwrap_or_default();
        Ok(Entry::stored(collection, reads.value(key)?, state, record))
    }

    fn modify(
        &mut self,
        key: DocumentKey,
        entry: Entry,
        write: impl FnOnce(&mut Document, Author) -> Result<Option<Written>, DocumentError>,
    ) -> Result<bool, StoreError> {
        let mut document = load(&key.id, &entry)?;
        let Some(written) = write(&mut document, self.author(&entry.state))? else {
            return Ok(false);
        };
        check_delta(&written.delta)?;
        let visible = document.value(&key.id);
        let visible = visible.map(|value| {
            let encoded = value.encode();
            (value, encoded)
        });
        let grown = grown(
            &entry.state,
            self.incarnation(),
            written,
            document.heads(),
            visible,
        );
        self.check_size(&key.id, grown.encoded.as_deref())?;
        self.grow(key, entry, grown, Some(&document));
        self.check_room().map(|()| true)
    }

    fn grow(
        &mut self,
        key: DocumentKey,
        mut entry: Entry,
        grown: Grown,
        document: Option<&Document>,
    ) {
        entry.grow(grown);
        if let Some(document) = document {
            entry.compact_if_due(&key.id, document);
        }
        self.stage_entry(key, entry);
    }

    pub(super) fn stage_entry(&mut self, key: DocumentKey, entry: Entry) {
        self.staged_bytes += entry.held_bytes();
        match self.staged.insert(key.clone(), entry) {
            Some(earlier) => self.staged_bytes -= earlier.held_bytes(),
            None => self.order.push(key),
        }
    }

    fn check_room(&self) -> Result<(), StoreError> {
        match self.staged_bytes {
            TRANSACTION_BYTES_MAX.. if self.order.len() > 1 => Err(StoreError::TransactionTooLarge),
            _ => Ok(()),
        }
    }

    /// Bounds what this device writes; what merging makes of it elsewhere is never refused.
    fn check_size(&mut self, id: &DocumentId, encoded: Option<&[u8]>) -> Result<(), StoreError> {
        let bytes = encoded.map_or(0, <[u8]>::len);
        check_bytes(id, bytes)?;
        if bytes > DOCUMENT_BYTES_WARN {
            self.warnings.push(format!(
                "document {id} has {bytes} bytes; above {DOCUMENT_BYTES_WARN} every edit and merge gets slow"
            ));
        }
        Ok(())
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
    batch.put(STATES, key, entry.state.bytes());
    batch.put(FEED, &sequence.to_be_bytes(), key);
}

fn load(id: &DocumentId, entry: &Entry) -> Result<Document, StoreError> {
    let loaded = entry.load();
    loaded.map_err(|error| StoreError::damaged_document(id, &error))
}

fn grown(
    state: &DocumentState,
    incarnation: u32,
    written: Written,
    heads: Vec<automerge::ChangeHash>,
    visible: Option<(Value, Vec<u8>)>,
) -> Grown {
    let changes = written.births.iter().chain([&written.change]);
    let (visible, encoded) = visible.unzip();
    Grown {
        visible,
        encoded,
        state: DocumentState {
            own_seq: written.change.seq(),
            incarnation,
            times: state.times.with([written.change.timestamp()]),
            heads,
            ..state.clone()
        },
        chunks: changes.map(|change| change.raw_bytes().to_vec()).collect(),
        delta: written.delta,
    }
}

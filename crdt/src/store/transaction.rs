//! Writes that become visible and durable together.
//!
//! A transaction holds the writer. What it changes is staged in memory, seen by its own later reads, and turned into
//! one batch by its [`commit`], which leaves the writer to the next one while the batch is synced; dropped without it,
//! nothing has happened.

mod arrival;
mod commit;

use super::Inner;
use super::aside::Forks;
use super::catalog::Catalog;
use super::check::{check_bytes, check_delta, check_key, check_value};
use super::deadline::Deadline;
use super::entry::{Entry, Grown};
use super::error::StoreError;
use super::incarnation::Incarnation;
use super::schema::{DocumentKey, DocumentState};
use super::seals::kept::StagedSeals;
use super::source::Source;
use super::writer::{Writer, WriterGuard};
use crate::document::{Author, Document, DocumentError, Written, create, heads_after};
use crate::id::DocumentId;
use crate::limits::{DOCUMENT_BYTES_WARN, PROOF_BYTES_MAX, TRANSACTION_BYTES_MAX};
use crate::query::Edit;
use crate::record::SET_ASIDE;
use crate::value::Value;
use automerge::ChangeHash;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use arrival::{ArrivingSeals, Taken};

/// Several statements that become visible and durable together, or not at all. It sees what it has staged itself, and
/// holds up other writers until it ends.
pub struct Transaction<'a> {
    store: &'a Inner,
    writer: WriterGuard<'a>,
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
    /// What proves the staged documents' changes.
    pub(super) seals: StagedSeals,
    /// Who was found to write from two stores.
    pub(super) forks: Forks,
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
        let writer = self.writer.lock_for(deadline.remaining());
        deadline.check()?;
        let writer = writer.ok_or_else(|| deadline.timed_out())?;
        Ok(self.begin(writer, deadline.clone()))
    }

    pub(super) fn begin<'a>(
        &'a self,
        writer: WriterGuard<'a>,
        deadline: Deadline,
    ) -> Transaction<'a> {
        Transaction {
            store: self,
            catalog: Arc::clone(&writer.catalog),
            staged: BTreeMap::new(),
            order: Vec::new(),
            staged_bytes: 0,
            time_ms: self.now_ms().max(writer.time_ms),
            deadline,
            failed: false,
            warnings: Vec::new(),
            evicts: false,
            renewed: None,
            seals: StagedSeals::default(),
            forks: Forks::default(),
            writer,
        }
    }
}

impl<'a> Transaction<'a> {
    /// Ends it, for the next one.
    pub(super) fn into_writer(self) -> WriterGuard<'a> {
        self.writer
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
        value: Value,
    ) -> Result<bool, StoreError> {
        let (key, entry) = self.find(collection, id)?;
        self.put_over(collection, key, entry, value)
    }

    /// A document as it is now, which there need not be.
    pub(super) fn find(
        &mut self,
        collection: &str,
        id: &DocumentId,
    ) -> Result<(DocumentKey, Entry), StoreError> {
        let key = self.key(collection, id)?;
        let entry = self.entry(&key)?;
        Ok((key, entry))
    }

    /// As [`put`](Self::put), for a document that was just found.
    pub(super) fn put_over(
        &mut self,
        collection: &str,
        key: DocumentKey,
        mut entry: Entry,
        value: Value,
    ) -> Result<bool, StoreError> {
        check_value(&value, 0)?;
        let kind = value.type_name();
        let Value::Map(mut fields) = value else {
            return Err(StoreError::Document(format!(
                "it is of type {kind}, not a map"
            )));
        };
        let id = &key.id.clone();
        fields.insert("_id".to_owned(), id.to_value());
        let visible = Value::Map(fields);
        let encoded = visible.encode();
        check_bytes(id, encoded.len())?;
        let Value::Map(mut fields) = visible else {
            return Ok(false);
        };
        fields.remove("_id");
        if !entry.is_new() {
            return self.modify(key, entry, |document, author| {
                document.replace(collection, id, author, &fields)
            });
        }
        self.check_permitted(&key)?;
        let author = self.author(&entry.state);
        let (written, mut fields) = create(collection, id, author, fields)?;
        fields.insert("_id".to_owned(), id.to_value());
        check_delta(&written.delta)?;
        let heads = vec![written.change.hash()];
        let visible = Some((Value::Map(fields), encoded));
        let grown = self.grown(&entry, written, heads, visible);
        self.check_size(&key.id, grown.encoded.as_deref())?;
        entry.wrote = true;
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
        let (key, entry) = self.find(collection, id)?;
        self.modify(key, entry, |document, author| {
            document.edit(collection, id, author, edits)
        })
    }

    /// Deletes a visible document; `false` when there is none.
    pub(super) fn delete(&mut self, collection: &str, id: &DocumentId) -> Result<bool, StoreError> {
        let (key, entry) = self.find(collection, id)?;
        if entry.visible.is_none() {
            return Ok(false);
        }
        self.modify(key, entry, |document, author| {
            document.delete(collection, id, author)
        })
    }

    /// Has own changes of a document sealed that were set aside.
    pub(super) fn touch(&mut self, key: DocumentKey) -> Result<(), StoreError> {
        let mut entry = self.entry(&key)?;
        if entry.state.own_sequence == SET_ASIDE {
            entry.encoded = entry.visible.as_ref().map(Value::encode); // it is stored again as it is
            entry.wrote = true;
            self.stage_entry(key, entry);
        }
        Ok(())
    }

    pub(super) fn is_unsealed(&self, entry: &Entry) -> bool {
        entry.wrote || entry.state.is_unsealed(self.writer.sealed_to)
    }

    /// Whether the sealer has not come to own changes of a document yet.
    fn is_to_be_sealed(&self, entry: &Entry) -> bool {
        self.is_unsealed(entry) && entry.state.own_sequence != SET_ASIDE
    }

    /// A document with its state; `None` when nothing has ever been written under the id.
    pub(super) fn stored_document(
        &mut self,
        collection: &str,
        id: &DocumentId,
    ) -> Result<Option<(Document, DocumentState)>, StoreError> {
        let (_, entry) = self.find(collection, id)?;
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
        mut entry: Entry,
        write: impl FnOnce(&mut Document, Author) -> Result<Option<Written>, DocumentError>,
    ) -> Result<bool, StoreError> {
        let mut document = load(&key.id, &entry)?;
        let Some(written) = write(&mut document, self.author(&entry.state))? else {
            return Ok(false);
        };
        self.check_permitted(&key)?;
        check_delta(&written.delta)?;
        let visible = document.value(&key.id);
        let visible = visible.map(|value| {
            let encoded = value.encode();
            (value, encoded)
        });
        // What is set aside has heads of its own, which stay.
        let before = entry.state.heads.clone();
        let heads = heads_after(before, written.births.iter().chain([&written.change]));
        let grown = self.grown(&entry, written, heads, visible);
        self.check_size(&key.id, grown.encoded.as_deref())?;
        entry.wrote = true;
        self.grow(key, entry, grown, Some(&document));
        self.check_room().map(|()| true)
    }

    /// What a document becomes with a change of this device.
    fn grown(
        &self,
        entry: &Entry,
        written: Written,
        heads: Vec<ChangeHash>,
        visible: Option<(Value, Vec<u8>)>,
    ) -> Grown {
        let state = &entry.state;
        let bytes = u32::try_from(written.change.raw_bytes().len()).unwrap_or(u32::MAX);
        let (known, mut earlier, mut unsealed_bytes) = match self.is_unsealed(entry) {
            true => (
                state.known.clone(),
                state.earlier.clone(),
                state.unsealed_bytes,
            ),
            false => (state.heads.clone(), Vec::new(), 0),
        };
        unsealed_bytes = unsealed_bytes.saturating_add(bytes);
        let is_own_proof =
            state.incarnation != self.incarnation() || u64::from(unsealed_bytes) > PROOF_BYTES_MAX;
        if is_own_proof && self.is_unsealed(entry) {
            earlier.extend(state.unsealed_head());
            unsealed_bytes = bytes;
        }
        let changes = written.births.iter().chain([&written.change]);
        let (visible, encoded) = visible.unzip();
        Grown {
            visible,
            encoded,
            state: DocumentState {
                own_seq: written.change.seq(),
                incarnation: self.incarnation(),
                times: state.times.with([written.change.timestamp()]),
                unsealed_bytes,
                known,
                earlier,
                heads,
                ..state.clone()
            },
            chunks: changes.map(|change| change.raw_bytes().to_vec()).collect(),
            delta: written.delta,
        }
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

fn load(id: &DocumentId, entry: &Entry) -> Result<Document, StoreError> {
    let loaded = entry.load();
    loaded.map_err(|error| StoreError::damaged_document(id, &error))
}

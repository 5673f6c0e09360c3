//! Entries follow the documents, in the same batch.

use super::definition::{Index, Indexes, State};
use crate::query::plan::key::IndexKey;
use crate::store::database::Batch;
use crate::store::schema::{DocumentKey, ENTRIES, EntryKey};
use crate::value::Value;

impl Indexes {
    /// Notes that a document's visible value goes from one to the other.
    pub(in crate::store) fn follow(
        &mut self,
        key: &DocumentKey,
        before: Option<&Value>,
        after: Option<&Value>,
        batch: &mut Batch<'_>,
    ) {
        for index in &mut self.all {
            if index.covers(key) {
                index.follow(key.id.as_bytes(), before, after, batch);
            }
        }
    }
}

impl Index {
    /// Whether it has an entry of a visible document of this key. Those that building has not reached get theirs when it
    /// does.
    pub(super) fn covers(&self, key: &DocumentKey) -> bool {
        self.definition.collection == key.collection
            && match &self.state {
                State::Building { up_to } => key.id.as_bytes() <= up_to.as_slice(),
                State::Ready => true,
                State::Dropped => false,
            }
    }

    fn follow(
        &mut self,
        id: &[u8],
        before: Option<&Value>,
        after: Option<&Value>,
        batch: &mut Batch<'_>,
    ) {
        let fields = &self.definition.fields;
        let key = |value: Option<&Value>| value.map(|value| IndexKey::of_document(fields, value));
        let (before, after) = (key(before), key(after));
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.documents = self.documents.saturating_sub(1);
            self.truncated = self
                .truncated
                .saturating_sub(u64::from(before.is_truncated));
            self.is_changed |= before.is_truncated || self.state != State::Ready;
            batch.delete(
                ENTRIES,
                &EntryKey::bytes(self.definition.number, &before.bytes, id),
            );
        }
        if let Some(after) = after {
            self.insert(&after, id, batch);
            self.is_changed |= after.is_truncated || self.state != State::Ready;
        }
    }

    /// Adds a document's entry.
    pub(super) fn insert(&mut self, key: &IndexKey, id: &[u8], batch: &mut Batch<'_>) {
        self.documents += 1;
        self.truncated += u64::from(key.is_truncated);
        let (key, value) = self.entry(key, id);
        batch.put(ENTRIES, &key, value);
    }

    /// The entry of a document: its key and its value.
    pub(super) fn entry(&self, key: &IndexKey, id: &[u8]) -> (Vec<u8>, [u8; 2]) {
        let length = (key.bytes.len() as u16).to_le_bytes();
        let key = EntryKey::bytes(self.definition.number, &key.bytes, id);
        (key, length)
    }
}

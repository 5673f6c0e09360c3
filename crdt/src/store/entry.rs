//! One document as a transaction sees and leaves it.

use super::schema::DocumentState;
use crate::document::{Aside, Delta, Document, DocumentError, Resolved};
use crate::id::DocumentId;
use crate::limits::TAIL_CHUNKS_MAX;
use crate::seal::Proofs;
use crate::value::Value;
use automerge::ChangeHash;
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) collection: Arc<str>,
    /// The visible value before the transaction.
    pub(super) before: Option<Value>,
    /// The visible value now.
    pub(super) visible: Option<Value>,
    /// The same in binary form, once the transaction has changed it.
    pub(super) encoded: Option<Vec<u8>>,
    pub(super) state: DocumentState,
    /// Its state in the database, once the transaction has changed it.
    stored_state: Option<DocumentState>,
    /// Automerge chunks, of which the first `stored` bytes are in the database already.
    record: Vec<u8>,
    stored: usize,
    /// The changes this transaction made.
    pub(super) delta: Delta,
    evicted: bool,
    /// This device has made changes in it that are to be sealed.
    pub(super) wrote: bool,
    /// Where they were looked at: what proves its changes.
    pub(super) proofs: Option<Proofs>,
    /// Once the transaction has changed it: what is set aside of its changes.
    pub(super) aside: Option<Arc<Aside>>,
}

/// What a write did to a document.
pub(super) struct Grown {
    pub(super) visible: Option<Value>,
    /// The same in binary form.
    pub(super) encoded: Option<Vec<u8>>,
    pub(super) state: DocumentState,
    /// The new chunks in the order in which they apply.
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) delta: Delta,
}

/// How a record gets into the database.
pub(super) enum RecordWrite<'a> {
    /// The whole of it.
    Put(&'a [u8]),
    /// What is new, behind what is there.
    Append(&'a [u8]),
}

impl Entry {
    pub(super) fn stored(
        collection: Arc<str>,
        visible: Option<Value>,
        state: DocumentState,
        record: Vec<u8>,
    ) -> Self {
        Self {
            collection,
            before: visible.clone(),
            visible,
            encoded: None,
            state,
            stored_state: None,
            stored: record.len(),
            record,
            delta: Delta::default(),
            evicted: false,
            wrote: false,
            proofs: None,
            aside: None,
        }
    }

    /// Nothing of it is to remain.
    pub(super) fn evict(&mut self) {
        self.visible = None;
        self.encoded = None;
        self.evicted = true;
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted
    }

    /// Whether nothing has ever been written under this id.
    pub(super) fn is_new(&self) -> bool {
        self.record.is_empty()
    }

    /// The chunks as they are or will be in the database.
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    pub(super) fn load(&self) -> Result<Document, DocumentError> {
        Document::load(&self.record)
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let values = [&self.before, &self.visible].into_iter().flatten();
        size_of::<Self>()
            + values.map(Value::held_bytes).sum::<usize>()
            + self.encoded.as_ref().map_or(0, Vec::len)
            + size_of_val(self.state.heads.as_slice())
            + self.record.len()
            + self.delta.bytes()
    }

    /// What readers see before and after, in binary form: without what the store notes beside the fields.
    pub(super) fn visible_bytes(&self) -> [Option<Cow<'_, [u8]>>; 2] {
        let encode = |value: &Value| Cow::Owned(value.as_visible().encode());
        let after = self.visible.as_ref().zip(self.encoded.as_deref());
        let after = after.map(|(value, encoded)| match value.conflicts() {
            Some(_) => encode(value),
            None => Cow::Borrowed(encoded),
        });
        [self.before.as_ref().map(encode), after]
    }

    /// The heads of what may leave the device, before and after. While an entry is staged nothing gets sealed, and what it
    /// adds of this device's own is not: the same place in the feed holds for both.
    pub(super) fn sealed_heads(&self, sealed_to: u64) -> [&[ChangeHash]; 2] {
        let before = self.stored_state.as_ref().unwrap_or(&self.state);
        let after = match self.evicted {
            true => &[],
            false => self.state.sealed_heads(sealed_to),
        };
        [before.sealed_heads(sealed_to), after]
    }

    /// The state to be changed, without a change of the document.
    pub(super) fn change_state(&mut self) -> &mut DocumentState {
        self.stored_state.get_or_insert_with(|| self.state.clone());
        &mut self.state
    }

    pub(super) fn grow(&mut self, grown: Grown) {
        self.visible = grown.visible;
        self.encoded = grown.encoded;
        let before = std::mem::replace(&mut self.state, grown.state);
        self.stored_state.get_or_insert(before);
        self.state.tail_chunks += grown.chunks.len() as u32;
        for chunk in &grown.chunks {
            self.record.extend_from_slice(chunk);
        }
        self.delta.extend(grown.delta);
    }

    /// Replaces the record by what counts.
    pub(super) fn resolve(&mut self, resolved: Resolved) {
        self.record = resolved.record;
        self.stored = 0;
        self.state.tail_chunks = resolved.chunks;
        self.aside = Some(Arc::new(resolved.aside));
    }

    /// Replaces many chunks by one when enough have gathered, and when that one loads again.
    pub(super) fn compact_if_due(&mut self, id: &DocumentId, document: &Document) {
        if self.state.tail_chunks as usize > TAIL_CHUNKS_MAX
            && let Some(compact) = document.compact(id)
        {
            self.record = compact;
            self.stored = 0;
            self.state.tail_chunks = 0;
        }
    }

    pub(super) fn write(&self) -> RecordWrite<'_> {
        match self.stored {
            0 => RecordWrite::Put(&self.record),
            stored => RecordWrite::Append(&self.record[stored..]),
        }
    }
}

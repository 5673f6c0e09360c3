//! Reading the documents that an index leads to, many at once.

use super::entries::{Costs, add};
use crate::id::DocumentId;
use crate::limits::{INDEX_READ_BYTES_MAX, INDEX_READ_DOCUMENTS_MAX};
use crate::query::{Filter, Work};
use crate::store::database::{damaged, decode};
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::store::reads::Reads;
use crate::store::schema::{DocumentKey, VALUES};
use crate::value::{Encoded, Value};
use rocksdb::DBPinnableSlice;

/// A document with its id.
type Item = Result<(DocumentId, Value), StoreError>;

/// Keys of documents in `values`.
pub(super) type Keys<'a> = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>> + 'a>;

/// A key and what is stored under it.
type Stored<'a> = (Vec<u8>, Option<DBPinnableSlice<'a>>);

/// How documents are read.
pub(super) struct Way<'a> {
    pub(super) reads: Reads<'a>,
    /// Whether the keys ascend.
    pub(super) is_sorted: bool,
    /// Tests documents before they are decoded, where that spares decoding some.
    pub(super) filter: Option<&'a Filter>,
    /// Documents that may be read; rather than more, the index is given up.
    pub(super) most: u64,
    pub(super) deadline: &'a Deadline,
    pub(super) costs: &'a Costs,
}

/// Reads documents by their keys, many at once, and decodes them one by one.
pub(super) struct Reading<'a> {
    keys: Keys<'a>,
    way: Way<'a>,
    read: std::vec::IntoIter<Stored<'a>>,
    /// Documents read so far.
    documents: u64,
    /// How many are read at once.
    at_once: usize,
    /// Bytes of the largest so far.
    largest: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(keys: Keys<'a>, way: Way<'a>) -> Self {
        Self {
            keys,
            way,
            read: Vec::new().into_iter(),
            documents: 0,
            at_once: 1,
            largest: 1,
        }
    }

    /// Reads the next documents; `false` when there are none.
    fn read_on(&mut self) -> Result<bool, StoreError> {
        self.way.deadline.check()?;
        let room = usize::try_from(self.way.most - self.documents).unwrap_or(usize::MAX);
        let keys = self.keys.by_ref().take(self.at_once.min(room).max(1));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Ok(false);
        }
        if room == 0 {
            self.way.costs.given_up_after.set(Some(self.documents));
            return Ok(false);
        }
        let Way {
            reads, is_sorted, ..
        } = self.way;
        let values = reads.get_many(VALUES, &keys, is_sorted)?;
        let bytes = values.iter().flatten().map(|value| value.len());
        self.largest = bytes.fold(self.largest, usize::max);
        let most = (INDEX_READ_BYTES_MAX / self.largest).clamp(1, INDEX_READ_DOCUMENTS_MAX);
        self.at_once = (2 * self.at_once).min(most);
        self.documents += keys.len() as u64;
        add(&self.way.costs.documents, keys.len());
        let read: Vec<_> = keys.into_iter().zip(values).collect();
        self.read = read.into_iter();
        Ok(true)
    }

    /// The document, unless it is refused.
    fn document(
        &self,
        (key, value): Stored<'_>,
    ) -> Result<Option<(DocumentId, Value)>, StoreError> {
        let value = value.ok_or_else(|| damaged(&key))?;
        if let Some(filter) = self.way.filter {
            let matches = |work: &Work<'_>| filter.matches_encoded(Encoded::new(&value), work);
            if !self.way.deadline.evaluate(matches)? {
                return Ok(None);
            }
        }
        let key = DocumentKey::stored(&key).ok_or_else(|| damaged(&key))?;
        let value = decode(&key, &value)?;
        Ok(Some((key.id, value)))
    }
}

impl Iterator for Reading<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            while let Some(stored) = self.read.next() {
                if let Some(document) = self.document(stored).transpose() {
                    return Some(document);
                }
            }
            match self.read_on() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

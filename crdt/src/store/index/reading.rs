//! Reading the documents that an index leads to, many at once.

use super::entries::{Costs, add};
use crate::id::DocumentId;
use crate::query::{Filter, Work};
use crate::store::database::{damaged, decode};
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::store::reads::Reads;
use crate::store::schema::{DocumentKey, VALUES};
use crate::value::{Encoded, Value};

/// Documents read at once, at first and at most, as they may be large ones; and the bytes of their values, where these can
/// be foreseen.
pub(super) const READ_FIRST: usize = 16;
const READ_MAX: usize = 16;
const READ_BYTES: usize = 1 << 20;
/// A document with its id.
type Item = Result<(DocumentId, Value), StoreError>;

/// Keys of documents in `values`.
pub(super) type Keys<'a> = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>> + 'a>;

/// Reads documents by their keys, many at once.
pub(super) struct Reading<'a> {
    pub(super) keys: Keys<'a>,
    pub(super) reads: Reads<'a>,
    pub(super) is_sorted: bool,
    /// Tests documents before they are decoded, where that spares decoding some.
    pub(super) filter: Option<&'a Filter>,
    pub(super) deadline: &'a Deadline,
    pub(super) costs: &'a Costs,
    pub(super) at_once: usize,
    pub(super) read: std::vec::IntoIter<Item>,
}

impl Reading<'_> {
    /// Reads the next documents; `false` when there are none.
    fn read_on(&mut self) -> Result<bool, StoreError> {
        self.deadline.check()?;
        let keys = self.keys.by_ref().take(self.at_once);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Ok(false);
        }
        let values = self.reads.get_many(VALUES, &keys, self.is_sorted)?;
        let (mut read, mut largest) = (Vec::with_capacity(keys.len()), 1);
        for (key, value) in keys.iter().zip(&values) {
            let value = value.as_ref().ok_or_else(|| damaged(key))?;
            largest = largest.max(value.len());
            read.extend(self.document(key, value).transpose());
        }
        add(&self.costs.documents, values.len());
        let most = (READ_BYTES / largest).clamp(1, READ_MAX);
        self.at_once = (2 * self.at_once).min(most);
        self.read = read.into_iter();
        Ok(true)
    }

    fn document(
        &self,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<(DocumentId, Value)>, StoreError> {
        if let Some(filter) = self.filter {
            let matches = |work: &Work<'_>| filter.matches_encoded(Encoded::new(value), work);
            if !self.deadline.evaluate(matches)? {
                return Ok(None);
            }
        }
        let key = DocumentKey::stored(key).ok_or_else(|| damaged(key))?;
        let value = decode(&key, value)?;
        Ok(Some((key.id, value)))
    }
}

impl Iterator for Reading<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(document) = self.read.next() {
                return Some(document);
            }
            match self.read_on() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

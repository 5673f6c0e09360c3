//! Reading a collection from one end to the other.

use super::database::{damaged, decode};
use super::error::StoreError;
use super::schema::DocumentKey;
use crate::id::DocumentId;
use crate::value::{Encoded, Value};
use rocksdb::DBRawIterator;

/// The documents of a collection that a test keeps, ascending by id. The test sees the key and the value as they are stored,
/// and only what it keeps is decoded.
pub(super) struct Scan<'a, F> {
    entries: DBRawIterator<'a>,
    collection: [u8; 4],
    keep: F,
    ended: bool,
}

impl<'a, F> Scan<'a, F>
where
    F: FnMut(&[u8], Encoded<'_>) -> Result<bool, StoreError>,
{
    /// Scans a collection by an iterator over the family of values.
    pub(super) fn new(mut entries: DBRawIterator<'a>, collection: u32, keep: F) -> Self {
        let collection = collection.to_be_bytes();
        entries.seek(collection);
        Self {
            entries,
            collection,
            keep,
            ended: false,
        }
    }
}

impl<F> Iterator for Scan<'_, F>
where
    F: FnMut(&[u8], Encoded<'_>) -> Result<bool, StoreError>,
{
    type Item = Result<(DocumentId, Value), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let item = self.entries.item();
            let Some((key, value)) = item.filter(|(key, _)| key.starts_with(&self.collection))
            else {
                self.ended = true;
                return self.entries.status().err().map(|error| Err(error.into()));
            };
            let kept = match (self.keep)(key, Encoded::new(value)) {
                Ok(false) => None,
                Ok(true) => Some(read(key, value)),
                // A document that can't be read at all is the better reason.
                Err(error) => Some(read(key, value).and(Err(error))),
            };
            self.entries.next();
            if kept.is_some() {
                return kept;
            }
        }
        None
    }
}

fn read(key: &[u8], value: &[u8]) -> Result<(DocumentId, Value), StoreError> {
    let key = DocumentKey::read(key).ok_or_else(|| damaged(key))?;
    let value = decode(&key, value)?;
    Ok((key.id, value))
}

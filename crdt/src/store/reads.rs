//! Reading the database: as it is at this moment, or as a snapshot holds it.

use super::database::{Database, Entry, damaged, decode};
use super::error::StoreError;
use super::scan::Scan;
use super::schema::{
    DOCUMENTS, DocumentKey, DocumentState, META, META_CLOCK, META_SEALED, STATES, VALUES,
};
use super::seals::sealer::read_sealed;
use crate::value::{Encoded, Value};
use rocksdb::{DBPinnableSlice, DBRawIterator, Direction, IteratorMode, ReadOptions, Snapshot};

/// Where reads go. The writer reads what is newest, durable or not; everybody else reads a snapshot.
#[derive(Clone, Copy)]
pub(super) struct Reads<'a> {
    database: &'a Database,
    snapshot: Option<&'a Snapshot<'a>>,
}

impl<'a> Reads<'a> {
    pub(super) fn newest(database: &'a Database) -> Self {
        Self {
            database,
            snapshot: None,
        }
    }

    /// The same database as it is at this moment.
    pub(super) fn newest_of(self) -> Self {
        Self::newest(self.database)
    }

    pub(super) fn at(database: &'a Database, snapshot: &'a Snapshot<'a>) -> Self {
        Self {
            database,
            snapshot: Some(snapshot),
        }
    }

    /// The newest sequence and the time of the newest own change in ms; zeros for a new store.
    pub(super) fn clock(self) -> Result<(u64, i64), StoreError> {
        let Some(bytes) = self.get(META, META_CLOCK)? else {
            return Ok((0, 0));
        };
        let [sequence, time] = bytes.as_chunks::<8>().0 else {
            return Err(damaged(META_CLOCK));
        };
        Ok((u64::from_le_bytes(*sequence), i64::from_le_bytes(*time)))
    }

    /// Up to where in the feed own changes are sealed, and the time of the last seal in ms; zeros before the first.
    pub(super) fn sealed(self) -> Result<(u64, u64), StoreError> {
        match self.get(META, META_SEALED)? {
            Some(bytes) => read_sealed(&bytes).ok_or_else(|| damaged(META_SEALED)),
            None => Ok((0, 0)),
        }
    }

    pub(super) fn record(self, key: &DocumentKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(DOCUMENTS, &key.bytes())
    }

    pub(super) fn value(self, key: &DocumentKey) -> Result<Option<Value>, StoreError> {
        let bytes = self.get(VALUES, &key.bytes())?;
        bytes.map(|bytes| decode(key, &bytes)).transpose()
    }

    pub(super) fn state(self, key: &DocumentKey) -> Result<Option<DocumentState>, StoreError> {
        let bytes = self.get(STATES, &key.bytes())?;
        let read = |bytes: Vec<u8>| {
            DocumentState::read(&bytes).ok_or_else(|| StoreError::Damaged {
                what: format!("the state of document {}", key.id),
                reason: "unexpected length".to_owned(),
            })
        };
        bytes.map(read).transpose()
    }

    /// The documents of a collection that `keep` keeps, ascending by id. It is given each one's key and value.
    pub(super) fn scan<F>(self, collection: u32, keep: F) -> Result<Scan<'a, F>, StoreError>
    where
        F: FnMut(&[u8], Encoded<'_>) -> Result<bool, StoreError>,
    {
        Ok(Scan::new(self.raw(VALUES)?, collection, keep))
    }

    /// An iterator over a family.
    pub(super) fn raw(self, family: &'static str) -> Result<DBRawIterator<'a>, StoreError> {
        let family = self.database.family(family)?;
        let rocks = &self.database.rocks;
        Ok(rocks.raw_iterator_cf_opt(family, self.options()))
    }

    /// What a family has under each of the keys, in their order.
    pub(super) fn get_many(
        self,
        family: &'static str,
        keys: &[Vec<u8>],
        is_sorted: bool,
    ) -> Result<Vec<Option<DBPinnableSlice<'a>>>, StoreError> {
        let family = self.database.family(family)?;
        let (rocks, options) = (&self.database.rocks, self.options());
        let found = rocks.batched_multi_get_cf_opt(family, keys, is_sorted, &options);
        Ok(found.into_iter().collect::<Result<_, _>>()?)
    }

    /// Entries of a family from `start` on, ascending.
    pub(super) fn entries_from(
        self,
        family: &'static str,
        start: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry, StoreError>> + use<'a>, StoreError> {
        let family = self.database.family(family)?;
        let mode = IteratorMode::From(start, Direction::Forward);
        let rocks = &self.database.rocks;
        let iterator = rocks.iterator_cf_opt(family, self.options(), mode);
        Ok(iterator.map(|entry| entry.map_err(StoreError::from)))
    }

    /// Entries of a family whose keys begin so, ascending.
    pub(super) fn entries_under(
        self,
        family: &'static str,
        prefix: [u8; 4],
    ) -> Result<impl Iterator<Item = Result<Entry, StoreError>> + use<'a>, StoreError> {
        let entries = self.entries_from(family, &prefix)?;
        Ok(entries.take_while(move |entry| match entry {
            Ok((key, _)) => key.starts_with(&prefix),
            Err(_) => true,
        }))
    }

    pub(super) fn get(
        self,
        family: &'static str,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let family = self.database.family(family)?;
        Ok(self
            .database
            .rocks
            .get_cf_opt(family, key, &self.options())?)
    }

    fn options(self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }
}

//! Whether the entries of a closed store's indexes are those that its documents ask for.
//!
//! Both are added up, each in one pass in its own order, so that neither is looked up for the other. Only where the sums
//! differ is it found out which entry is wrong.

use super::definition::{Index, State};
use crate::query::plan::key::IndexKey;
use crate::store::catalog::Catalog;
use crate::store::database::{Database, damaged, decode};
use crate::store::error::StoreError;
use crate::store::schema::{DocumentKey, ENTRIES, EntryKey, VALUES};
use crate::value::Value;
use std::collections::BTreeMap;

/// Compares the entries of all indexes with the documents.
pub(in crate::store) struct EntryCheck<'a> {
    /// By their numbers.
    indexes: BTreeMap<u32, Checked<'a>>,
}

struct Checked<'a> {
    index: &'a Index,
    catalog: &'a Catalog,
    /// What the documents ask for.
    asked: Sum,
    /// Cut keys among it.
    truncated: u64,
    /// What is there.
    found: Sum,
}

/// Hashes of entries, added up: equal sums come of equal entries, in whatever order.
#[derive(Default, PartialEq, Eq)]
struct Sum(u128);

impl Sum {
    fn add(&mut self, (key, value): (&[u8], &[u8])) {
        let hash = blake3::hash(&[key, value].concat());
        let half = hash.as_bytes().first_chunk().copied();
        self.0 = self.0.wrapping_add(half.map_or(0, u128::from_le_bytes));
    }
}

impl<'a> EntryCheck<'a> {
    pub(in crate::store) fn new(catalog: &'a Catalog) -> Self {
        let checked = |index: &'a Index| {
            let checked = Checked {
                index,
                catalog,
                asked: Sum::default(),
                truncated: 0,
                found: Sum::default(),
            };
            (index.definition.number, checked)
        };
        Self {
            indexes: catalog.indexes.all.iter().map(checked).collect(),
        }
    }

    /// Adds the entries that a document asks for.
    pub(in crate::store) fn add(&mut self, key: &DocumentKey, value: &Value) {
        for checked in self.indexes.values_mut() {
            if checked.index.covers(key) {
                let fields = checked.index.key(value);
                let (entry, length) = checked.index.entry(&fields, key.id.as_bytes());
                checked.asked.add((&entry, &length));
                checked.truncated += u64::from(fields.is_truncated);
            }
        }
    }

    /// Reads the entries, once all documents are added.
    ///
    /// # Errors
    /// An index has another entry than it is asked for, or lacks one.
    pub(in crate::store) fn finish(&mut self, database: &Database) -> Result<(), StoreError> {
        for entry in database.newest().entries_from(ENTRIES, &[])? {
            let (key, value) = entry?;
            let number = key.first_chunk().map(|number| u32::from_be_bytes(*number));
            let checked = number.and_then(|number| self.indexes.get_mut(&number));
            let checked = checked.ok_or_else(|| damaged(&key))?;
            checked.found.add((&key, &value));
        }
        // Nobody keeps up the entries of a dropped one.
        let kept = self.indexes.values();
        kept.filter(|checked| checked.index.state != State::Dropped)
            .try_for_each(|checked| checked.compare(database))
    }
}

impl Checked<'_> {
    fn compare(&self, database: &Database) -> Result<(), StoreError> {
        if self.found != self.asked {
            self.check_entries(database)?;
            self.check_documents(database)?;
        }
        match self.index.truncated == self.truncated {
            true => Ok(()),
            false => Err(self.wrong(&format!(
                "it is said to have {} cut keys, and has {}",
                self.index.truncated, self.truncated
            ))),
        }
    }

    /// Looks for an entry that no document asks for.
    fn check_entries(&self, database: &Database) -> Result<(), StoreError> {
        let collection = self.index.definition.collection.to_be_bytes();
        let prefix = self.index.definition.number.to_be_bytes();
        for entry in database.newest().entries_under(ENTRIES, prefix)? {
            let (bytes, length) = entry?;
            let id = EntryKey::read(&bytes, &length).map(|entry| entry.id);
            let key = id.and_then(|id| DocumentKey::read(&[&collection[..], id].concat()));
            let Some(key) = key else {
                return Err(self.wrong("an entry in it can't be read"));
            };
            let value = database.newest().value(&key)?;
            let asked = value.filter(|_| self.index.covers(&key)).map(|value| {
                let fields = self.index.key(&value);
                self.index.entry(&fields, key.id.as_bytes())
            });
            if asked.is_none_or(|asked| (&*asked.0, &asked.1[..]) != (&*bytes, &*length)) {
                return Err(self.wrong(&format!(
                    "an entry in it leads to document {} by what is not its value",
                    key.id
                )));
            }
        }
        Ok(())
    }

    /// Looks for a document that lacks its entry.
    fn check_documents(&self, database: &Database) -> Result<(), StoreError> {
        let collection = self.index.definition.collection.to_be_bytes();
        for document in database.newest().entries_under(VALUES, collection)? {
            let (bytes, value) = document?;
            let key = DocumentKey::read(&bytes).ok_or_else(|| damaged(&bytes))?;
            let fields = self.index.key(&decode(&key, &value)?);
            let (entry, _) = self.index.entry(&fields, key.id.as_bytes());
            if self.index.covers(&key) && database.get(ENTRIES, &entry)?.is_none() {
                return Err(self.wrong(&format!("it has no entry of document {}", key.id)));
            }
        }
        Ok(())
    }

    fn wrong(&self, reason: &str) -> StoreError {
        let definition = &self.index.definition;
        let collection = self.catalog.name(definition.collection);
        StoreError::Damaged {
            what: format!(
                "index {} of collection {}",
                definition.name,
                collection.as_deref().unwrap_or("?")
            ),
            reason: format!(
                "{reason}; in the store that was copied, DROP INDEX and CREATE INDEX make it anew"
            ),
        }
    }
}

impl Index {
    /// The fields of a document as they stand in its entry.
    fn key(&self, value: &Value) -> IndexKey {
        IndexKey::of_document(&self.definition.fields, value)
    }
}

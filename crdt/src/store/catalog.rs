//! The collections of a store and their running totals.
//!
//! A collection's digest covers the visible value of every document: the sum, modulo 2^256, of the BLAKE3 hashes of
//! (id, value). Adding and subtracting keeps it current with each commit, in the same write batch.

use super::database::{Batch, Database};
use super::digest::Digest;
use super::error::StoreError;
use super::index::Indexes;
use super::schema::COLLECTIONS;
use crate::limits::{COLLECTIONS_HELD_MAX, COLLECTIONS_MAX};
use crate::query::check_writable_collection_name;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a collection holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Visible documents.
    pub documents: u64,
    /// Over the visible value of every document.
    pub digest: Digest,
}

/// All collections, as of one commit.
#[derive(Clone, Default)]
pub(super) struct Catalog {
    by_name: BTreeMap<Arc<str>, Collection>,
    pub(super) indexes: Indexes,
}

#[derive(Clone, Copy)]
struct Collection {
    number: u32,
    documents: u64,
    digest: Digest,
}

impl Catalog {
    pub(super) fn load(database: &Database) -> Result<Self, StoreError> {
        let mut catalog = Self::default();
        for entry in database.newest().entries_from(COLLECTIONS, &[])? {
            let (name, bytes) = entry?;
            let name = String::from_utf8_lossy(&name).into_owned();
            let collection = Collection::read(&bytes).ok_or_else(|| StoreError::Damaged {
                what: format!("the entry of collection {name:?}"),
                reason: "unexpected length".to_owned(),
            })?;
            catalog.by_name.insert(name.into(), collection);
        }
        catalog.indexes = Indexes::load(database)?;
        Ok(catalog)
    }

    /// The number of a collection that exists.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).map(|collection| collection.number)
    }

    /// The number of a collection that is written to here, a new one if need be.
    pub(super) fn number_or_new(&mut self, name: &str) -> Result<u32, StoreError> {
        if self.number(name).is_none() && self.by_name.len() >= COLLECTIONS_MAX {
            return Err(StoreError::CollectionName(format!(
                "collection {name:?} would be one more than the {COLLECTIONS_MAX} that may be made here"
            )));
        }
        self.number_of_arrival(name)
    }

    /// The same for a collection that another store may have made.
    pub(super) fn number_of_arrival(&mut self, name: &str) -> Result<u32, StoreError> {
        if let Some(number) = self.number(name) {
            return Ok(number);
        }
        check_writable_collection_name(name).map_err(StoreError::CollectionName)?;
        if self.by_name.len() >= COLLECTIONS_HELD_MAX {
            return Err(StoreError::TooManyCollections(name.to_owned()));
        }
        let numbers = self.by_name.values().map(|collection| collection.number);
        let number = numbers.max().map_or(0, |greatest| greatest + 1);
        let collection = Collection {
            number,
            documents: 0,
            digest: Digest::default(),
        };
        self.by_name.insert(name.into(), collection);
        Ok(number)
    }

    pub(super) fn name(&self, number: u32) -> Option<Arc<str>> {
        let mut collections = self.by_name.iter();
        let found = collections.find(|(_, collection)| collection.number == number);
        found.map(|(name, _)| Arc::clone(name))
    }

    /// How many visible documents a collection has.
    pub(super) fn documents(&self, name: &str) -> u64 {
        self.by_name
            .get(name)
            .map_or(0, |collection| collection.documents)
    }

    /// Notes that a document went from one visible value to another, by their digests.
    pub(super) fn count(&mut self, name: &str, before: Option<Digest>, after: Option<Digest>) {
        if let Some(collection) = self.by_name.get_mut(name) {
            if let Some(digest) = before {
                collection.documents = collection.documents.saturating_sub(1);
                collection.digest = collection.digest.minus(digest);
            }
            if let Some(digest) = after {
                collection.documents += 1;
                collection.digest = collection.digest.plus(digest);
            }
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Arc<str>) -> bool) {
        self.by_name.retain(|name, _| keep(name));
    }

    pub(super) fn store(&self, name: &str, batch: &mut Batch<'_>) {
        if let Some(collection) = self.by_name.get(name) {
            batch.put(COLLECTIONS, name.as_bytes(), collection.bytes());
        }
    }

    pub(super) fn status(&self) -> Vec<CollectionStatus> {
        self.by_name
            .iter()
            .map(|(name, collection)| CollectionStatus {
                name: Arc::clone(name),
                documents: collection.documents,
                digest: collection.digest,
            })
            .collect()
    }

    pub(super) fn unknown(&self, name: &str) -> StoreError {
        StoreError::UnknownCollection {
            name: name.to_owned(),
            known: self.by_name.keys().map(|name| name.to_string()).collect(),
        }
    }
}

impl Collection {
    fn bytes(&self) -> Vec<u8> {
        let (number, documents) = (self.number.to_le_bytes(), self.documents.to_le_bytes());
        [&number[..], &documents, &self.digest.to_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        let (documents, sum) = rest.split_first_chunk::<8>()?;
        Some(Self {
            number: u32::from_le_bytes(*number),
            documents: u64::from_le_bytes(*documents),
            digest: Digest::from_bytes(sum.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(collections: usize) -> Catalog {
        let mut catalog = Catalog::default();
        for number in 0..collections {
            let collection = Collection {
                number: number as u32,
                documents: 0,
                digest: Digest::default(),
            };
            catalog
                .by_name
                .insert(format!("c{number}").into(), collection);
        }
        catalog
    }

    /// Goal: a store that has made as many collections as it may still takes those of other stores, up to a bound of
    /// their own with an error of its own; what is there stays writable.
    #[test]
    fn collections_of_other_stores_have_a_bound_of_their_own() {
        let mut catalog = full(COLLECTIONS_MAX);
        assert!(matches!(
            catalog.number_or_new("new"),
            Err(StoreError::CollectionName(_))
        ));
        let number = catalog.number_of_arrival("new").unwrap();
        assert_eq!(number as usize, COLLECTIONS_MAX);
        assert_eq!(catalog.number_or_new("new").unwrap(), number);
        let mut catalog = full(COLLECTIONS_HELD_MAX);
        let refused = catalog.number_of_arrival("new").unwrap_err();
        assert!(matches!(refused, StoreError::TooManyCollections(_)));
        assert!(refused.to_string().contains("--subscribe"), "{refused}");
        assert_eq!(catalog.number_of_arrival("c7").unwrap(), 7);
    }
}

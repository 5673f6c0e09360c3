//! What indexes there are, and how far they are built.

use crate::limits::{INDEXES_MAX, INDEXES_PER_COLLECTION_MAX};
use crate::query::{CreateIndex, IndexField};
use crate::store::database::{Batch, Database, damaged, fixed};
use crate::store::error::StoreError;
use crate::store::schema::{INDEXES, META, META_INDEXES};
use std::sync::Arc;

/// All indexes of a store, as of one commit.
#[derive(Clone, Default)]
pub(in crate::store) struct Indexes {
    pub(super) all: Vec<Index>,
    /// The number of the next index. Numbers are never used again: entries of a dropped index may still be there.
    next: u32,
}

#[derive(Clone)]
pub(super) struct Index {
    pub(super) definition: Arc<Definition>,
    pub(super) state: State,
    /// Documents that have an entry; counted only while it is built.
    pub(super) documents: u64,
    /// Entries whose key was cut.
    pub(super) truncated: u64,
    /// Whether the record on disk is of an earlier state.
    pub(super) is_changed: bool,
}

/// What never changes of an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) number: u32,
    pub(super) collection: u32,
    pub(super) name: String,
    pub(super) fields: Vec<IndexField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The documents up to this id, in canonical form, have their entries.
    Building {
        up_to: Vec<u8>,
    },
    Ready,
    /// Nobody uses it any more; its entries are to be removed.
    Dropped,
}

const BUILDING: u8 = 0;
const READY: u8 = 1;
const DROPPED: u8 = 2;

impl Indexes {
    pub(in crate::store) fn load(database: &Database) -> Result<Self, StoreError> {
        let next = match database.get(META, META_INDEXES)? {
            Some(bytes) => u32::from_le_bytes(fixed(META_INDEXES, &bytes)?),
            None => 0,
        };
        let mut all = Vec::new();
        for entry in database.newest().entries_from(INDEXES, &[])? {
            let (key, bytes) = entry?;
            let number = <[u8; 4]>::try_from(&*key).map(u32::from_be_bytes);
            let index = number.ok().and_then(|number| Index::read(number, &bytes));
            all.push(index.ok_or_else(|| damaged(INDEXES.as_bytes()))?);
        }
        Ok(Self { all, next })
    }

    /// The indexes of a collection that were not dropped.
    pub(super) fn of(&self, collection: u32) -> impl Iterator<Item = &Index> {
        self.all.iter().filter(move |index| {
            index.definition.collection == collection && index.state != State::Dropped
        })
    }

    pub(super) fn named(&self, collection: u32, name: &str) -> Option<&Index> {
        self.of(collection)
            .find(|index| index.definition.name == name)
    }

    /// Whether there is something to build or to remove.
    pub(in crate::store) fn has_work(&self) -> bool {
        self.all.iter().any(|index| index.state != State::Ready)
    }

    /// Adds an index that is still to be built.
    pub(super) fn add(
        &mut self,
        collection: u32,
        create: &CreateIndex,
        batch: &mut Batch<'_>,
    ) -> Result<(), StoreError> {
        let (here, all) = (self.of(collection).count(), self.all.len());
        if here >= INDEXES_PER_COLLECTION_MAX || all >= INDEXES_MAX {
            return Err(StoreError::TooManyIndexes(create.collection.clone()));
        }
        let mut index = Index {
            definition: Arc::new(Definition {
                number: self.next,
                collection,
                name: create.name.clone(),
                fields: create.fields.clone(),
            }),
            state: State::Building { up_to: Vec::new() },
            documents: 0,
            truncated: 0,
            is_changed: true,
        };
        self.next += 1;
        batch.put(META, META_INDEXES, self.next.to_le_bytes());
        index.store_if_changed(batch);
        self.all.push(index);
        Ok(())
    }

    /// Marks an index as dropped; `false` if there is none.
    pub(super) fn mark_dropped(
        &mut self,
        collection: u32,
        name: &str,
        batch: &mut Batch<'_>,
    ) -> bool {
        let mut all = self.all.iter_mut();
        let found = all.find(|index| {
            let definition = &index.definition;
            definition.collection == collection
                && definition.name == name
                && index.state != State::Dropped
        });
        let Some(index) = found else { return false };
        index.state = State::Dropped;
        index.is_changed = true;
        index.store_if_changed(batch);
        true
    }

    /// Writes the records that a commit has changed.
    pub(in crate::store) fn store_changed(&mut self, batch: &mut Batch<'_>) {
        self.all
            .iter_mut()
            .for_each(|index| index.store_if_changed(batch));
    }
}

impl Index {
    pub(super) fn store_if_changed(&mut self, batch: &mut Batch<'_>) {
        if std::mem::take(&mut self.is_changed) {
            batch.put(INDEXES, &self.definition.number.to_be_bytes(), self.bytes());
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let (state, up_to) = match &self.state {
            State::Building { up_to } => (BUILDING, up_to.as_slice()),
            State::Ready => (READY, &[][..]),
            State::Dropped => (DROPPED, &[][..]),
        };
        let definition = &self.definition;
        let mut bytes = definition.collection.to_le_bytes().to_vec();
        bytes.push(state);
        bytes.extend(self.documents.to_le_bytes());
        bytes.extend(self.truncated.to_le_bytes());
        let mut text = |text: &[u8]| {
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text);
        };
        text(up_to);
        text(definition.name.as_bytes());
        for field in &definition.fields {
            text(&[u8::from(field.descending), field.path.len() as u8]);
            field.path.iter().for_each(|name| text(name.as_bytes()));
        }
        bytes
    }

    /// `None` when the bytes are no such record.
    pub(super) fn read(number: u32, bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let collection = u32::from_le_bytes(rest.fixed()?);
        let [state] = rest.fixed()?;
        let documents = u64::from_le_bytes(rest.fixed()?);
        let truncated = u64::from_le_bytes(rest.fixed()?);
        let up_to = rest.text()?.to_vec();
        let name = rest.string()?;
        let mut fields = Vec::new();
        while !rest.0.is_empty() {
            let [descending, names] = rest.text()? else {
                return None;
            };
            fields.push(IndexField {
                path: (0..*names).map(|_| rest.string()).collect::<Option<_>>()?,
                descending: *descending == 1,
            });
        }
        Some(Self {
            definition: Arc::new(Definition {
                number,
                collection,
                name,
                fields,
            }),
            state: match state {
                BUILDING => State::Building { up_to },
                READY => State::Ready,
                DROPPED => State::Dropped,
                _ => return None,
            },
            documents,
            truncated,
            is_changed: false,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_le_bytes(self.fixed()?);
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(text)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            "[a-z\"]{0,9}".prop_map(|id| State::Building {
                up_to: id.into_bytes()
            }),
            Just(State::Ready),
            Just(State::Dropped),
        ]
    }

    proptest! {
        /// Goal: a record says after reopening what it said before, and a truncated one is refused or says less.
        #[test]
        fn records_round_trip(
            state in state(),
            numbers in any::<(u32, u32, u64, u64)>(),
            name in ".{1,9}",
            paths in prop::collection::vec((prop::collection::vec(".{0,5}", 1..4), any::<bool>()), 1..4),
        ) {
            let fields = paths.into_iter().map(|(path, descending)| IndexField { path, descending });
            let (number, collection, documents, truncated) = numbers;
            let definition = Definition { number, collection, name, fields: fields.collect() };
            let index = Index { definition: Arc::new(definition), state, documents, truncated, is_changed: false };
            let bytes = index.bytes();
            let read = Index::read(number, &bytes).unwrap();
            prop_assert_eq!(&read.definition, &index.definition);
            prop_assert_eq!(&read.state, &index.state);
            prop_assert_eq!((read.documents, read.truncated), (documents, truncated));
            for end in 0..bytes.len() {
                let cut = Index::read(number, &bytes[..end]);
                prop_assert!(cut.is_none_or(|cut| cut.definition.fields.len() < index.definition.fields.len()));
            }
        }
    }
}

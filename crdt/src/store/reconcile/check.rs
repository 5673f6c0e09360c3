//! Whether the items and summaries of a closed store are those of its documents.

use super::item::DocumentName;
use super::upkeep::item_key;
use super::{Node, SUMS_DEPTH, Summary};
use crate::store::backup::disagreement;
use crate::store::catalog::Catalog;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::schema::{DocumentKey, DocumentState, ITEMS, META_APP, SumKey};
use std::collections::BTreeMap;

/// Compares what is kept with what the documents give.
pub(in crate::store) struct SumCheck {
    app: String,
    sealed_to: u64,
    /// Documents that have an item.
    items: u64,
    /// Of those documents.
    sums: BTreeMap<SumKey, Summary>,
}

impl SumCheck {
    pub(in crate::store) fn new(database: &Database) -> Result<Self, StoreError> {
        Ok(Self {
            app: String::from_utf8_lossy(&database.meta(META_APP)?).into_owned(),
            sealed_to: database.newest().sealed()?.0,
            items: 0,
            sums: BTreeMap::new(),
        })
    }

    /// Adds a document, and compares its item.
    pub(in crate::store) fn document(
        &mut self,
        database: &Database,
        collection: &str,
        key: &DocumentKey,
        state: &DocumentState,
    ) -> Result<(), StoreError> {
        let name = DocumentName {
            app: &self.app,
            collection,
            id: &key.id,
        };
        let Some(item) = name.item(state.sealed_heads(self.sealed_to)) else {
            return Ok(());
        };
        let place = name.place();
        let found = database.get(ITEMS, &item_key(key.collection, place, &key.id))?;
        if found.as_deref() != Some(&item) {
            return Err(StoreError::Damaged {
                what: format!("document {}", key.id),
                reason: "the item by which peers compare it is missing, or not of its changes"
                    .to_owned(),
            });
        }
        self.items += 1;
        let sum = Node::around(place, SUMS_DEPTH).and_then(|node| node.sum_key(key.collection));
        if let Some(sum) = sum {
            let sum = self.sums.entry(sum).or_default();
            *sum = sum.with(item);
        }
        Ok(())
    }

    /// Compares the rest, once all documents are added.
    pub(in crate::store) fn finish(
        &mut self,
        database: &Database,
        catalog: &Catalog,
    ) -> Result<(), StoreError> {
        let reads = database.newest();
        let mut items = reads.entries_from(ITEMS, &[])?;
        let items: u64 = items.try_fold(0, |count, entry| entry.map(|_| count + 1))?;
        if items != self.items {
            return Err(disagreement(format!(
                "it has {items} items by which peers compare documents, and {} documents that have one",
                self.items
            )));
        }
        let wrong = |key: SumKey, found: Summary, asked: Summary| {
            let name = catalog.name(key.collection).unwrap_or_default();
            disagreement(format!(
                "the sum {:03x} of collection {name} is of {} documents, and is to be of {} others",
                key.node,
                found.count.cast_signed(),
                asked.count
            ))
        };
        let first = SumKey {
            collection: 0,
            node: 0,
        };
        for entry in reads.sums_from(first)? {
            let (key, found) = entry?;
            let asked = self.sums.remove(&key).unwrap_or_default();
            if found != asked {
                return Err(wrong(key, found, asked));
            }
        }
        match self.sums.pop_first() {
            Some((key, asked)) => Err(wrong(key, Summary::default(), asked)),
            None => Ok(()),
        }
    }
}

//! Items and sums anew from the documents, for when stores find unequal sums over equal contents.

use super::item::DocumentName;
use super::upkeep::item_key;
use super::{Node, SUMS_DEPTH, Summary};
use crate::store::Store;
use crate::store::database::{Batch, Database, damaged};
use crate::store::error::StoreError;
use crate::store::schema::{DocumentKey, DocumentState, ITEMS, STATES, SUMS, SumKey};
use std::collections::BTreeMap;

/// Wrong items that are put right in one batch.
const ITEMS_IN_BATCH_MAX: u64 = 1_000;

/// What is compared with what the documents give, and put right.
struct Recomputing<'a> {
    database: &'a Database,
    app: &'a str,
    collection: &'a str,
    number: u32,
    node: Node,
    sealed_to: u64,
    batch: Batch<'a>,
    /// Of the documents.
    sums: BTreeMap<SumKey, Summary>,
    wrong: u64,
}

impl Store {
    /// Puts right what the database keeps of a node of a collection, or of the one at depth 3 that it is in, where that is
    /// not what the documents give. How many items and sums were wrong: none, but for a fault of the program or the disk.
    ///
    /// The states of all documents of the collection are read, and nobody writes meanwhile.
    ///
    /// # Errors
    /// The database fails, or a document's state is damaged.
    pub fn recompute(&self, collection: &str, node: Node) -> Result<u64, StoreError> {
        let store = &self.0;
        let writer = store.writer.lock();
        let done = match writer.catalog.number(collection) {
            None => Ok(0),
            Some(number) => {
                let recomputing = Recomputing {
                    database: &store.database,
                    app: store.app.as_str(),
                    collection,
                    number,
                    node: Node::around(*node.places().start(), node.depth().min(SUMS_DEPTH))
                        .unwrap_or(Node::ROOT),
                    sealed_to: writer.sealed_to,
                    batch: store.database.batch(),
                    sums: BTreeMap::new(),
                    wrong: 0,
                };
                let done = recomputing.run();
                done.and_then(|wrong| {
                    store.sums.reload(&store.database, number)?;
                    Ok(wrong)
                })
            }
        };
        store.serve(writer);
        store.group.hand_over();
        done
    }
}

impl Recomputing<'_> {
    fn run(mut self) -> Result<u64, StoreError> {
        self.documents()?;
        self.flush()?; // then all items can be read
        self.items()?;
        self.sums()?;
        self.flush()?;
        if self.wrong > 0 {
            tracing::warn!(
                collection = self.collection,
                wrong = self.wrong,
                "what peers compare was not what the documents give, and is put right"
            );
        }
        Ok(self.wrong)
    }

    /// Compares each document's item, and adds up those that are to be.
    fn documents(&mut self) -> Result<(), StoreError> {
        let reads = self.database.newest();
        for entry in reads.entries_under(STATES, self.number.to_be_bytes())? {
            let (key, state) = entry?;
            let key = DocumentKey::stored(&key).ok_or_else(|| damaged(&key))?;
            let name = self.name(&key);
            let place = name.place();
            if !self.node.contains(place) {
                continue;
            }
            let state = DocumentState::read(&state).ok_or_else(|| damaged(&key.bytes()))?;
            let Some(item) = name.item(state.sealed_heads(self.sealed_to)) else {
                continue;
            };
            let there = item_key(self.number, place, &key.id);
            if reads.get(ITEMS, &there)?.as_deref() != Some(&item) {
                self.batch.put(ITEMS, &there, item);
                self.count_wrong()?;
            }
            if let Some(sum) = self.sum_key(Node::around(place, SUMS_DEPTH)) {
                let sum = self.sums.entry(sum).or_default();
                *sum = sum.with(item);
            }
        }
        Ok(())
    }

    /// Removes items that no document has.
    fn items(&mut self) -> Result<(), StoreError> {
        let reads = self.database.newest();
        for entry in reads.items(self.number, self.node, None)? {
            let entry = entry?;
            let key = DocumentKey {
                collection: self.number,
                id: entry.id,
            };
            let state = reads.state(&key)?.unwrap_or_default();
            let has_item = !state.sealed_heads(self.sealed_to).is_empty();
            if !has_item || self.name(&key).place() != entry.place {
                let there = item_key(self.number, entry.place, &key.id);
                self.batch.delete(ITEMS, &there);
                self.count_wrong()?;
            }
        }
        Ok(())
    }

    fn sums(&mut self) -> Result<(), StoreError> {
        let nodes = self.node.places();
        let [first, last] =
            [nodes.start(), nodes.end()].map(|place| Node::around(*place, SUMS_DEPTH));
        let [Some(first), Some(last)] = [first, last] else {
            return Ok(());
        };
        for bits in first.bits()..=last.bits() {
            let Some(key) = self.sum_key(Node::new(SUMS_DEPTH, bits)) else {
                continue;
            };
            let asked = self.sums.remove(&key).unwrap_or_default();
            let found = self.database.newest().sum(key);
            if found.ok() != Some(asked) {
                self.batch.put(SUMS, &key.bytes(), asked.bytes());
                self.wrong += 1;
            }
        }
        Ok(())
    }

    fn name<'k>(&self, key: &'k DocumentKey) -> DocumentName<'k>
    where
        Self: 'k,
    {
        DocumentName {
            app: self.app,
            collection: self.collection,
            id: &key.id,
        }
    }

    fn sum_key(&self, node: Option<Node>) -> Option<SumKey> {
        node?.sum_key(self.number)
    }

    /// The items may go before the sums: what changes either later takes the other as the documents say.
    fn count_wrong(&mut self) -> Result<(), StoreError> {
        self.wrong += 1;
        match self.wrong.is_multiple_of(ITEMS_IN_BATCH_MAX) {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        std::mem::replace(&mut self.batch, self.database.batch()).write_unsynced()
    }
}

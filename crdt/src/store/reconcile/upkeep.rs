//! Items and summaries change in the batch that changes what they stand for.

use super::item::DocumentName;
use super::{Node, SUMS_DEPTH, Summary};
use crate::id::DocumentId;
use crate::store::database::{Batch, Database};
use crate::store::error::StoreError;
use crate::store::schema::{DocumentKey, ITEMS, ItemKey, SUMS, SumKey};
use automerge::ChangeHash;
use parking_lot::RwLock;
use sedge_identity::AppId;
use std::collections::{BTreeMap, HashMap};

/// The summaries above [`SUMS_DEPTH`] of all collections by their numbers: at most 273 for each, and none for nodes without
/// items. They agree with what was written last.
pub(in crate::store) struct Upper(RwLock<Summaries>);

type Summaries = HashMap<(u32, Node), Summary>;

/// What a batch changes of the summaries in the database.
pub(in crate::store) struct Changed<'a> {
    app: &'a AppId,
    by_key: BTreeMap<SumKey, Summary>,
}

impl Upper {
    /// Adds up what the database has.
    pub(in crate::store) fn load(database: &Database) -> Result<Self, StoreError> {
        let first = SumKey {
            collection: 0,
            node: 0,
        };
        let mut summaries = Summaries::new();
        for entry in database.newest().sums_from(first)? {
            let (key, sum) = entry?;
            add(&mut summaries, key, sum);
        }
        Ok(Self(RwLock::new(summaries)))
    }

    /// The same of one collection, by whoever has the writer.
    pub(super) fn reload(&self, database: &Database, collection: u32) -> Result<(), StoreError> {
        let sums = database.newest().sums_from(SumKey {
            collection,
            node: 0,
        })?;
        let sums =
            sums.take_while(|sum| !matches!(sum, Ok((key, _)) if key.collection != collection));
        let sums = sums.collect::<Result<Vec<_>, _>>()?;
        let mut summaries = self.0.write();
        summaries.retain(|(of, _), _| *of != collection);
        for (key, sum) in sums {
            add(&mut summaries, key, sum);
        }
        Ok(())
    }

    /// To be called once a batch with these changes is written, by whoever has the writer.
    pub(in crate::store) fn add(&self, changed: &Changed<'_>) {
        if changed.by_key.is_empty() {
            return;
        }
        let mut summaries = self.0.write();
        for (key, sum) in &changed.by_key {
            add(&mut summaries, *key, *sum);
        }
    }

    /// The summaries of nodes of a collection, all of one moment.
    pub(super) fn of<const N: usize>(&self, collection: u32, nodes: [Node; N]) -> [Summary; N] {
        let summaries = self.0.read();
        let of = |node| summaries.get(&(collection, node)).copied();
        nodes.map(|node| of(node).unwrap_or_default())
    }
}

/// Adds to the summaries of all nodes above one at [`SUMS_DEPTH`].
fn add(summaries: &mut Summaries, key: SumKey, sum: Summary) {
    let mut bits = u64::from(key.node);
    for depth in (0..SUMS_DEPTH).rev() {
        bits /= super::FANOUT as u64;
        let Some(node) = Node::new(depth, bits) else {
            continue;
        };
        let there = summaries.entry((key.collection, node)).or_default();
        *there = there.plus(sum);
        if *there == Summary::default() {
            summaries.remove(&(key.collection, node));
        }
    }
}

impl<'a> Changed<'a> {
    pub(in crate::store) fn new(app: &'a AppId) -> Self {
        Self {
            app,
            by_key: BTreeMap::new(),
        }
    }

    /// A document goes from some sealed heads to others; its item goes with that.
    pub(in crate::store) fn document(
        &mut self,
        collection: &str,
        key: &DocumentKey,
        [before, after]: [&[ChangeHash]; 2],
        batch: &mut Batch<'_>,
    ) {
        if before == after {
            return;
        }
        let name = DocumentName {
            app: self.app.as_str(),
            collection,
            id: &key.id,
        };
        let place = name.place();
        let sum = Node::around(place, SUMS_DEPTH).and_then(|node| node.sum_key(key.collection));
        let Some(sum) = sum else { return };
        let sum = self.by_key.entry(sum).or_default();
        if let Some(item) = name.item(before) {
            *sum = sum.without(item);
        }
        let there = item_key(key.collection, place, &key.id);
        match name.item(after) {
            Some(item) => {
                *sum = sum.with(item);
                batch.put(ITEMS, &there, item);
            }
            None => batch.delete(ITEMS, &there),
        }
    }

    pub(in crate::store) fn write(&self, batch: &mut Batch<'_>) {
        for (key, sum) in &self.by_key {
            batch.append(SUMS, &key.bytes(), &sum.bytes());
        }
    }
}

pub(super) fn item_key(collection: u32, place: u64, id: &DocumentId) -> Vec<u8> {
    let id = id.as_bytes();
    ItemKey {
        collection,
        place,
        id,
    }
    .bytes()
}

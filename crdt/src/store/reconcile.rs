//! What two stores compare to find out which documents they do not share ("range-based set reconciliation", Meyer, SRDS
//! 2023), without walking what they do share.
//!
//! A document with changes that may leave the device is an *item*: a hash of its name and its sealed heads, which name all of
//! its changes through the hash graph. Its *place* is a hash of its name alone, so that it stays where it is however often it
//! changes. A *node* is all places that begin alike, and its *summary* the number and the sum of the items in it. Stores with
//! equal summaries have, but for a collision, the same changes; of unequal ones the children are compared, down to where
//! there are few enough items to be told one by one.
//!
//! Items, and summaries of the nodes at depth [`SUMS_DEPTH`], are kept in the database, in the batch that changes them
//! (`upkeep`). Above that depth summaries are in memory, below it they are added up when they are asked for: of a million
//! documents a node there has 244.

mod check;
mod item;
mod measure;
mod node;
mod recompute;
mod summary;
mod upkeep;

use super::Store;
use super::database::damaged;
use super::error::StoreError;
use super::reads::Reads;
use super::schema::{DocumentKey, ITEMS, ItemKey, SUMS, SumKey};
use super::source::Source;
use crate::id::DocumentId;
use item::{DocumentName, Item};
use node::FANOUT;
use std::iter;

pub(super) use check::SumCheck;
#[doc(hidden)]
pub use measure::measure_upkeep;
pub use node::Node;
pub use summary::Summary;
pub(super) use summary::add_summaries;
pub(super) use upkeep::{Changed, Upper};

/// How deep the nodes are whose summaries are in the database: 4,096 to a collection. Each merge into one is a write that
/// every new document pays, each item below one a read of whoever goes deeper.
const SUMS_DEPTH: u8 = 3;

/// A document as others compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemEntry {
    /// Where it is: a hash of its name.
    pub place: u64,
    /// A hash of its name and its sealed heads.
    pub item: [u8; 32],
    /// The document.
    pub id: DocumentId,
}

impl Store {
    /// How many items a node of a collection has, and their sum. Nothing is in a collection that isn't here.
    ///
    /// # Errors
    /// The database fails.
    pub fn summary(&self, collection: &str, node: Node) -> Result<Summary, StoreError> {
        let Some(number) = self.number_of(collection) else {
            return Ok(Summary::default());
        };
        let reads = self.0.database.newest();
        if node.depth() < SUMS_DEPTH {
            let [sum] = self.0.sums.of(number, [node]);
            return Ok(sum);
        }
        match node.sum_key(number) {
            Some(key) => reads.sum(key),
            None => reads
                .items(number, node, None)?
                .try_fold(Summary::default(), |sum, entry| Ok(sum.with(entry?.item))),
        }
    }

    /// The summaries of a node's children, in order; of a node at depth 16, which has none, zeros.
    ///
    /// # Errors
    /// The database fails.
    pub fn summaries_below(
        &self,
        collection: &str,
        node: Node,
    ) -> Result<[Summary; FANOUT], StoreError> {
        let mut below = [Summary::default(); FANOUT];
        let (Some(number), Some(children)) = (self.number_of(collection), node.children()) else {
            return Ok(below);
        };
        if node.depth() + 1 < SUMS_DEPTH {
            return Ok(self.0.sums.of(number, children));
        }
        let reads = self.0.database.newest();
        match children.map(|child| child.sum_key(number)) {
            [Some(first), ..] => {
                for entry in reads.sums_from(first)?.take(FANOUT) {
                    let (key, sum) = entry?;
                    let child = children
                        .iter()
                        .position(|it| it.sum_key(number) == Some(key));
                    let Some(child) = child else { break };
                    below[child] = sum;
                }
            }
            [None, ..] => {
                for entry in reads.items(number, node, None)? {
                    let entry = entry?;
                    let child = children.iter().position(|it| it.contains(entry.place));
                    if let Some(child) = child {
                        below[child] = below[child].with(entry.item);
                    }
                }
            }
        }
        Ok(below)
    }

    /// The items in a node of a collection behind `after`, at most so many, by place and then id.
    ///
    /// # Errors
    /// The database fails.
    pub fn items(
        &self,
        collection: &str,
        node: Node,
        after: Option<(u64, &DocumentId)>,
        most: usize,
    ) -> Result<Vec<ItemEntry>, StoreError> {
        let Some(number) = self.number_of(collection) else {
            return Ok(Vec::new());
        };
        let items = self.0.database.newest().items(number, node, after)?;
        items.take(most).collect()
    }

    /// The place of a document, whether it is here or not.
    pub fn place(&self, collection: &str, id: &DocumentId) -> u64 {
        let app = self.0.app.as_str();
        DocumentName {
            app,
            collection,
            id,
        }
        .place()
    }

    /// The heads of a document's changes as far as they may leave the device, ascending; none of a document that isn't here.
    /// They are what its item stands for.
    ///
    /// # Errors
    /// The database fails, or the document's state is damaged.
    pub fn sealed_heads(
        &self,
        collection: &str,
        id: &DocumentId,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let Some(collection) = self.number_of(collection) else {
            return Ok(Vec::new());
        };
        let id = id.clone();
        let snapshot = self.0.database.snapshot();
        let reads = Reads::at(&self.0.database, &snapshot);
        let state = reads.state(&DocumentKey { collection, id })?;
        let (sealed_to, _) = reads.sealed()?;
        let state = state.unwrap_or_default();
        let heads = state.sealed_heads(sealed_to).iter();
        Ok(heads.map(|head| head.0).collect())
    }

    fn number_of(&self, collection: &str) -> Option<u32> {
        self.view().catalog().number(collection)
    }
}

impl Node {
    /// Where the database has its summary, if it does.
    fn sum_key(self, collection: u32) -> Option<SumKey> {
        let node = (self.depth() == SUMS_DEPTH).then_some(self.bits())?;
        Some(SumKey {
            collection,
            node: u16::try_from(node).ok()?,
        })
    }
}

impl<'a> Reads<'a> {
    fn sum(self, key: SumKey) -> Result<Summary, StoreError> {
        let bytes = self.get(SUMS, &key.bytes())?;
        let read = |bytes: Vec<u8>| Summary::read(&bytes).ok_or_else(|| damaged(SUMS.as_bytes()));
        Ok(bytes.map(read).transpose()?.unwrap_or_default())
    }

    /// The summaries in the database from a node on, ascending; those of other collections follow.
    fn sums_from(
        self,
        key: SumKey,
    ) -> Result<impl Iterator<Item = Result<(SumKey, Summary), StoreError>> + use<'a>, StoreError>
    {
        let entries = self.entries_from(SUMS, &key.bytes())?;
        Ok(entries.map(|entry| {
            let (key, value) = entry?;
            let read = SumKey::read(&key).zip(Summary::read(&value));
            read.ok_or_else(|| damaged(SUMS.as_bytes()))
        }))
    }

    /// The items in a node of a collection behind a document, ascending.
    fn items(
        self,
        collection: u32,
        node: Node,
        after: Option<(u64, &DocumentId)>,
    ) -> Result<impl Iterator<Item = Result<ItemEntry, StoreError>> + use<'a>, StoreError> {
        let first = ItemKey {
            collection,
            place: *node.places().start(),
            id: &[],
        };
        let behind = after.map(|(place, id)| {
            let id = id.as_bytes();
            let mut key = ItemKey { place, id, ..first }.bytes();
            key.push(0); // the least key behind it
            key
        });
        let start = behind.into_iter().chain([first.bytes()]).max();
        let mut entries = self.entries_from(ITEMS, &start.unwrap_or_default())?;
        let last = *node.places().end();
        Ok(iter::from_fn(move || {
            let read = |(key, item): (Box<[u8]>, Box<[u8]>)| {
                let key = ItemKey::read(&key).ok_or_else(|| damaged(ITEMS.as_bytes()))?;
                if key.collection != collection || key.place > last {
                    return Ok(None);
                }
                Ok(Some(ItemEntry {
                    place: key.place,
                    item: Item::try_from(&*item).map_err(|_| damaged(ITEMS.as_bytes()))?,
                    id: DocumentId::stored(key.id),
                }))
            };
            entries.next()?.and_then(read).transpose()
        }))
    }
}

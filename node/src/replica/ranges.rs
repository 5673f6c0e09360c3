//! What the store holds of a range, as the mesh compares it.

use super::{StoreReplica, failed, unnameable};
use bytes::Bytes;
use sedge_crdt::{DocumentId, Node, StoreError, Summary as StoreSummary};
use sedge_mesh::{ChangeHash, DocumentKey, Item, Offered, Range, ReplicaError, Summary};

/// The same range by the store's names; every prefix is a node.
fn node(range: &Range) -> Node {
    Node::new(range.prefix.depth(), range.prefix.bits()).unwrap_or(Node::ROOT)
}

fn summary(summary: StoreSummary) -> Summary {
    Summary {
        count: summary.count,
        sum: summary.sum,
    }
}

/// The id of a document that the store itself has named, or may have.
fn id(document: &DocumentKey) -> Option<DocumentId> {
    DocumentId::from_canonical(document.id()).ok()
}

impl StoreReplica {
    pub(super) fn summary_of(&self, range: &Range) -> Result<Summary, ReplicaError> {
        let found = self.store.summary(range.collection.as_str(), node(range));
        found.map(summary).map_err(failed("sum up its documents"))
    }

    pub(super) fn summaries_of(
        &self,
        range: &Range,
        span: u8,
    ) -> Result<Vec<Summary>, ReplicaError> {
        let collection = range.collection.as_str();
        let mut parents = vec![node(range)];
        for _ in 1..span {
            let children = parents.iter().filter_map(|node| node.children());
            parents = children.flatten().collect();
        }
        let below = |node: Node| self.store.summaries_below(collection, node);
        let found = parents.into_iter().map(below);
        let found: Result<Vec<_>, StoreError> = found.collect();
        let found = found.map_err(failed("sum up its documents"))?;
        Ok(found.into_iter().flatten().map(summary).collect())
    }

    pub(super) fn items_of(
        &self,
        range: &Range,
        after: Option<&DocumentKey>,
        most: usize,
    ) -> Result<Vec<(DocumentKey, Item)>, ReplicaError> {
        let collection = range.collection.as_str();
        let after = after.and_then(id);
        let after = after
            .as_ref()
            .map(|id| (self.store.place(collection, id), id));
        let items = self.store.items(collection, node(range), after, most);
        let items = items.map_err(failed("read its documents"))?;
        let items = items.into_iter().map(|entry| {
            let id = Bytes::copy_from_slice(entry.id.as_bytes());
            let document = DocumentKey::new(range.collection.clone(), id)?;
            Ok((document, Item(entry.item)))
        });
        items.collect::<Result<_, _>>().map_err(unnameable)
    }

    pub(super) fn offered_of(
        &self,
        document: &DocumentKey,
    ) -> Result<Option<Offered>, ReplicaError> {
        let Some(id) = id(document) else {
            return Ok(None);
        };
        let heads = self.store.sealed_heads(document.collection.as_str(), &id);
        let heads = self.unless_damaged(document, heads.map(Some));
        let heads = heads
            .map_err(failed("read its documents"))?
            .unwrap_or_default();
        Ok((!heads.is_empty()).then(|| Offered {
            document: document.clone(),
            heads: heads.into_iter().map(ChangeHash).collect(),
        }))
    }
}

//! What a commit tells its subscribers.

use crate::document::Delta;
use crate::id::DocumentId;
use crate::value::Value;
use std::sync::Arc;

/// Where a commit's changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A write on this device.
    Local,
    /// Another store; the bytes mean something to whoever handed the changes in, nothing here.
    Remote(Arc<[u8]>),
}

/// One durable commit.
#[derive(Debug)]
pub struct Commit {
    /// The sequence of its last document, which is also the transaction's id.
    pub sequence: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// The documents it changed, one entry each, in feed order.
    pub documents: Vec<Committed>,
    /// How many of them have own changes that are to be sealed before they leave the device.
    pub unsealed: usize,
}

/// One document of a commit.
#[derive(Debug)]
pub struct Committed {
    /// The collection's name.
    pub collection: Arc<str>,
    /// The document.
    pub id: DocumentId,
    /// The visible value before; `None` when there was no visible document.
    pub before: Option<Arc<Value>>,
    /// The visible value after; `None` when it is deleted.
    pub after: Option<Arc<Value>>,
    /// The changes that are new, ready to be flooded.
    pub delta: Delta,
}

impl Commit {
    /// About how much memory it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let value =
            |value: &Option<Arc<Value>>| value.as_ref().map_or(0, |value| value.held_bytes());
        let documents = self.documents.iter().map(|document| {
            let values = value(&document.before) + value(&document.after);
            size_of::<Committed>() + document.id.as_bytes().len() + values + document.delta.bytes()
        });
        documents.sum()
    }
}

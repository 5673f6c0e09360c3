//! What a live query keeps of each document, found and sorted by the document's id, which it holds itself.

use crate::id::DocumentId;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

/// Something that is kept once for each document.
pub(super) trait OfDocument {
    fn id(&self) -> &DocumentId;
}

/// Equal to whatever is of the same document.
#[derive(Debug)]
pub(super) struct ById<T>(pub(super) Arc<T>);

impl<T: OfDocument> Borrow<DocumentId> for ById<T> {
    fn borrow(&self) -> &DocumentId {
        self.0.id()
    }
}

impl<T: OfDocument> Ord for ById<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id().cmp(other.0.id())
    }
}

impl<T: OfDocument> PartialOrd for ById<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: OfDocument> PartialEq for ById<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: OfDocument> Eq for ById<T> {}

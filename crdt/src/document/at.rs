//! Reading a document as it is, or as it was.

use automerge::iter::{ListRange, MapRange};
use automerge::{Automerge, AutomergeError, ChangeHash, ObjId, ReadDoc, Value};
use std::ops::RangeFull;

/// What the visible value is read from; the names are those of [`ReadDoc`].
pub(super) trait Reading {
    fn get_all(&self, object: &ObjId, key: &str)
    -> Result<Vec<(Value<'_>, ObjId)>, AutomergeError>;
    fn map_range<'a>(&'a self, map: &ObjId, all: RangeFull) -> MapRange<'a>;
    fn list_range<'a>(&'a self, list: &ObjId, all: RangeFull) -> ListRange<'a>;
    fn text(&self, text: &ObjId) -> Result<String, AutomergeError>;
}

/// As it is.
impl Reading for Automerge {
    fn get_all(
        &self,
        object: &ObjId,
        key: &str,
    ) -> Result<Vec<(Value<'_>, ObjId)>, AutomergeError> {
        ReadDoc::get_all(self, object, key)
    }

    fn map_range<'a>(&'a self, map: &ObjId, all: RangeFull) -> MapRange<'a> {
        ReadDoc::map_range(self, map, all)
    }

    fn list_range<'a>(&'a self, list: &ObjId, all: RangeFull) -> ListRange<'a> {
        ReadDoc::list_range(self, list, all)
    }

    fn text(&self, text: &ObjId) -> Result<String, AutomergeError> {
        ReadDoc::text(self, text)
    }
}

/// As it was when these changes were its newest. What reads a few fields is much faster than building the document
/// anew from its history, what reads all of them is slower.
pub(super) struct At<'a> {
    pub(super) automerge: &'a Automerge,
    pub(super) heads: &'a [ChangeHash],
}

impl Reading for At<'_> {
    fn get_all(
        &self,
        object: &ObjId,
        key: &str,
    ) -> Result<Vec<(Value<'_>, ObjId)>, AutomergeError> {
        self.automerge.get_all_at(object, key, self.heads)
    }

    fn map_range<'a>(&'a self, map: &ObjId, all: RangeFull) -> MapRange<'a> {
        self.automerge.map_range_at(map, all, self.heads)
    }

    fn list_range<'a>(&'a self, list: &ObjId, all: RangeFull) -> ListRange<'a> {
        self.automerge.list_range_at(list, all, self.heads)
    }

    fn text(&self, text: &ObjId) -> Result<String, AutomergeError> {
        self.automerge.text_at(text, self.heads)
    }
}

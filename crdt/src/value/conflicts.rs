//! What concurrent writes left in the fields of a document, beside the values that readers see.
//!
//! Queries read materialised values only, so a document with conflicts carries a record of them: a member of its root that is
//! named as no field can be. It goes wherever the document's value goes inside the store, so that a filter may ask for it,
//! and is taken out of what leaves it: rows, exports and digests.

use super::{DecodeError, Encoded, Value};
use std::borrow::Cow;

/// The name of the record's member.
const RECORD: &str = "\u{0}conflicts";

/// All values of one field that has more than one, the visible one first.
pub(crate) struct Conflict {
    pub(crate) path: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Value {
    /// Puts a document's conflicts beside its fields.
    pub(crate) fn with_conflicts(mut self, conflicts: Vec<Conflict>) -> Value {
        if let Value::Map(fields) = &mut self
            && !conflicts.is_empty()
        {
            let record = conflicts.into_iter().map(|conflict| {
                let path = conflict.path.into_iter().map(Value::String).collect();
                // As bytes a value nests no deeper here than in its place.
                let values = conflict.values.iter();
                let values = values.map(|value| Value::Bytes(value.encode()));
                Value::List([Value::List(path)].into_iter().chain(values).collect())
            });
            fields.insert(RECORD.to_owned(), Value::List(record.collect()));
        }
        self
    }

    /// The document as its readers see it: its fields alone, without what the store notes beside them.
    #[must_use]
    pub fn visible(mut self) -> Value {
        if let Value::Map(fields) = &mut self {
            fields.remove(RECORD);
        }
        self
    }

    /// As [`visible`](Self::visible), of a borrowed document.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn as_visible(&self) -> Cow<'_, Value> {
        match self.get(RECORD) {
            Some(_) => Cow::Owned(self.clone().visible()),
            None => Cow::Borrowed(self),
        }
    }

    /// The record of conflicts of a document, if it has any.
    pub(crate) fn conflicts(&self) -> Option<Cow<'_, Value>> {
        self.get(RECORD).map(Cow::Borrowed)
    }

    /// The values of all fields of a document that have several.
    pub(crate) fn conflicting(&self) -> impl Iterator<Item = Value> {
        let entries = self.get(RECORD).map_or(&[][..], items).iter();
        entries.flat_map(items).filter_map(|value| match value {
            Value::Bytes(bytes) => Value::decode(bytes).ok(),
            _ => None,
        })
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

impl Encoded<'_> {
    /// The record of conflicts of a document, if it has any.
    pub(crate) fn conflicts(self) -> Result<Option<Value>, DecodeError> {
        self.member(RECORD)?.map(Encoded::value).transpose()
    }
}

/// All values of the field at `path`, by the record of its document; `None` when it has one at most.
pub(crate) fn values_at(record: &Value, path: &[&str]) -> Result<Option<Vec<Value>>, DecodeError> {
    let Value::List(entries) = record else {
        return Ok(None);
    };
    for entry in entries {
        let Value::List(parts) = entry else { continue };
        let Some((Value::List(names), values)) = parts.split_first() else {
            continue;
        };
        if names
            .iter()
            .map(Value::as_str)
            .eq(path.iter().copied().map(Some))
        {
            let values = values.iter().filter_map(|value| match value {
                Value::Bytes(bytes) => Some(Value::decode(bytes)),
                _ => None,
            });
            return values.collect::<Result<_, _>>().map(Some);
        }
    }
    Ok(None)
}

//! Readers of stored bytes that nothing outside this crate uses, for the fuzz targets. No part of the library.

use crate::id::DocumentId;
use crate::query::{Filter, QueryError, Work};
use crate::record::{DocumentKey, DocumentState};
use crate::value::{DecodeError, Encoded, Plain, Value};

/// The collection's number and the id in a document's key, and the key that these two have.
pub fn document_key(bytes: &[u8]) -> Option<(u32, DocumentId, Vec<u8>)> {
    let key = DocumentKey::read(bytes)?;
    let written = key.bytes();
    Some((key.collection, key.id, written))
}

/// A document's record of state, written again.
pub fn document_state(bytes: &[u8]) -> Option<Vec<u8>> {
    DocumentState::read(bytes).map(|state| state.bytes())
}

/// A value that is read where it lies, as scans do.
#[derive(Clone, Copy, Debug)]
pub struct InPlace<'a>(Encoded<'a>);

impl<'a> InPlace<'a> {
    /// The value that begins with these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Encoded::new(bytes))
    }

    /// The member of a map.
    ///
    /// # Errors
    /// What has to be read for it is no value.
    pub fn member(self, key: &str) -> Result<Option<Self>, DecodeError> {
        Ok(self.0.member(key)?.map(Self))
    }

    /// The item of a list.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn item(self, index: usize) -> Result<Option<Self>, DecodeError> {
        Ok(self.0.item(index)?.map(Self))
    }

    /// Whether it is `value`, if both are strings or both ints; `None` where in-place comparison leaves it to decoding.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn is_plainly(self, value: &Value) -> Result<Option<bool>, DecodeError> {
        Ok(match (self.0.plain()?, value) {
            (Some(Plain::Text(bytes)), Value::String(text)) => Some(bytes == text.as_bytes()),
            (Some(Plain::Int(found)), Value::Int(number)) => Some(found == *number),
            (Some(_), _) => Some(false),
            (None, _) => None,
        })
    }

    /// The value, decoded.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn value(self) -> Result<Value, DecodeError> {
        self.0.value()
    }

    /// The record of a document's conflicts.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn conflicts(self) -> Result<Option<Value>, DecodeError> {
        self.0.conflicts()
    }
}

/// Whether a stored document satisfies a condition, as scans ask: most of it is never decoded.
///
/// # Errors
/// As [`Filter::matches`].
pub fn matches_stored(
    filter: &Filter,
    document: &[u8],
    work: &Work<'_>,
) -> Result<bool, QueryError> {
    filter.matches_encoded(Encoded::new(document), work)
}

/// The record of a decoded document's conflicts.
pub fn conflicts(document: &Value) -> Option<Value> {
    document.conflicts().map(|record| record.into_owned())
}

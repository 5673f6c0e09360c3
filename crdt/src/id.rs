//! Document ids: a string or a JSON object, as canonical bytes.

use crate::limits::DOCUMENT_ID_BYTES_MAX;
use crate::value::{Value, parse_json};
use std::fmt;

/// The largest integer every JSON implementation agrees on; RFC 8785 writes numbers as doubles.
const EXACT_INT_MAX: u64 = 1 << 53;

/// A document's immutable `_id` in canonical form: the RFC 8785 (JSON Canonicalization Scheme) text of the value.
/// Ordered by those bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(Box<[u8]>);

/// Why a value can't be a document id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Neither a string nor an object.
    #[error("_id must be a string or an object, not {0}")]
    Type(&'static str),
    /// An empty string or object identifies nothing.
    #[error("_id must not be empty")]
    Empty,
    /// Longer than [`DOCUMENT_ID_BYTES_MAX`].
    #[error("_id is {0} bytes long in canonical form; at most {DOCUMENT_ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A number that other implementations would round.
    #[error(
        "_id holds the integer {0}, which JSON numbers can't carry exactly; write it as a string"
    )]
    Inexact(i64),
    /// A member that is not of JSON's own types.
    #[error("_id holds a value of type {0}; an id is made of what JSON has types for")]
    Member(&'static str),
    /// Bytes from outside that are not a canonical id.
    #[error("not a document id in canonical form")]
    NotCanonical,
}

impl DocumentId {
    /// The id that `value` stands for.
    ///
    /// # Errors
    /// The value is of another type, empty, too long, or holds a number that would be rounded.
    pub fn new(value: &Value) -> Result<Self, IdError> {
        match value {
            Value::String(text) if text.is_empty() => return Err(IdError::Empty),
            Value::Map(map) if map.is_empty() => return Err(IdError::Empty),
            Value::String(_) | Value::Map(_) => check_parts(value)?,
            other => return Err(IdError::Type(other.type_name())),
        }
        let canonical = serde_jcs::to_vec(value).map_err(|_| IdError::NotCanonical)?;
        if canonical.len() > DOCUMENT_ID_BYTES_MAX {
            return Err(IdError::TooLong(canonical.len()));
        }
        Ok(Self(canonical.into()))
    }

    /// A fresh, time-ordered id (UUID version 7, RFC 9562) for a document inserted without one.
    pub fn generate() -> Self {
        let text = uuid::Uuid::now_v7().to_string();
        Self(format!("\"{text}\"").into_bytes().into())
    }

    /// Reads the canonical bytes of an id that comes from outside.
    ///
    /// # Errors
    /// [`IdError::NotCanonical`] unless the bytes are exactly what [`as_bytes`](Self::as_bytes) gives for some id.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, IdError> {
        if bytes.len() > DOCUMENT_ID_BYTES_MAX {
            return Err(IdError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| IdError::NotCanonical)?;
        let value = parse_json(text).map_err(|_| IdError::NotCanonical)?;
        let id = Self::new(&value)?;
        if &*id.0 == bytes {
            Ok(id)
        } else {
            Err(IdError::NotCanonical)
        }
    }

    /// An id from canonical bytes that were checked when they were stored.
    pub(crate) fn stored(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The canonical bytes, at most [`DOCUMENT_ID_BYTES_MAX`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as the value of the `_id` field.
    pub fn to_value(&self) -> Value {
        std::str::from_utf8(&self.0)
            .ok()
            .and_then(|text| parse_json(text).ok())
            .unwrap_or(Value::Null)
    }
}

/// The canonical text, a string id in quotes.
impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

fn check_parts(value: &Value) -> Result<(), IdError> {
    match value {
        Value::Int(number) if number.unsigned_abs() > EXACT_INT_MAX => {
            Err(IdError::Inexact(*number))
        }
        Value::List(items) => items.iter().try_for_each(check_parts),
        Value::Map(map) => map.values().try_for_each(check_parts),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => Ok(()),
        Value::Bytes(_)
        | Value::Timestamp(_)
        | Value::Counter(_)
        | Value::Text(_)
        | Value::Attachment(_) => Err(IdError::Member(value.type_name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Result<DocumentId, IdError> {
        DocumentId::new(&parse_json(json).unwrap())
    }

    /// Goal: one document has one id, however its object is written.
    #[test]
    fn composite_ids_are_canonical() {
        let one = id(r#"{"loc":"x","n":1}"#).unwrap();
        assert_eq!(one, id(r#"{ "n": 1, "loc": "x" }"#).unwrap());
        assert_eq!(one.as_bytes(), br#"{"loc":"x","n":1}"#);
        assert_eq!(DocumentId::from_canonical(one.as_bytes()), Ok(one));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!(id("5"), Err(IdError::Type("int")));
        assert_eq!(id("\"\""), Err(IdError::Empty));
        assert_eq!(id("{}"), Err(IdError::Empty));
        assert!(matches!(
            id(&format!("\"{}\"", "a".repeat(600))),
            Err(IdError::TooLong(602))
        ));
        assert_eq!(
            id(r#"{"n":9007199254740993}"#),
            Err(IdError::Inexact(9_007_199_254_740_993))
        );
        assert_eq!(
            id(r#"{"n":{"$counter":1}}"#),
            Err(IdError::Member("counter"))
        );
        for bytes in [&b"{\"b\":1, \"a\":1}"[..], b"abc", b"\"a", b"\xff", b""] {
            assert!(DocumentId::from_canonical(bytes).is_err());
        }
    }
}

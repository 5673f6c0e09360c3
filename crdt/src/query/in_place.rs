//! What a scan looks at in a document as the store keeps it: only what a condition names is read, and a comparison with a
//! constant decodes nothing.

use super::ast::Segment;
use crate::value::{DecodeError, Encoded, Plain, Value};
use std::cmp::Ordering;

/// What stands at `path`.
pub(super) fn decoded(
    document: Encoded<'_>,
    path: &[Segment],
) -> Result<Option<Value>, DecodeError> {
    reach(document, path)?.map(Encoded::value).transpose()
}

/// How the field at `path` stands to a constant, where both are strings or both ints, as in most conditions. `None` leaves
/// it to the decoded values, and what is damaged to those who decode it.
pub(super) fn order(document: Encoded<'_>, path: &[Segment], constant: &Value) -> Option<Ordering> {
    match (reach(document, path).ok()??.plain().ok()??, constant) {
        (Plain::Text(text), Value::String(constant)) => Some(text.cmp(constant.as_bytes())),
        (Plain::Int(number), Value::Int(constant)) => Some(number.cmp(constant)),
        _ => None,
    }
}

fn reach<'a>(document: Encoded<'a>, path: &[Segment]) -> Result<Option<Encoded<'a>>, DecodeError> {
    let mut at = document;
    for segment in path {
        let next = match segment {
            Segment::Name(name) => at.member(name)?,
            Segment::Index(index) => at.item(*index)?,
        };
        match next {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

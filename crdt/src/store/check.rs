//! What a document that this device writes may consist of.

use super::error::StoreError;
use crate::document::{Delta, RESERVED_KEY_PREFIX};
use crate::id::DocumentId;
use crate::limits::{COUNTER_MAX, DOCUMENT_BYTES_MAX, FIELD_NAME_BYTES_MAX};
use crate::value::{DEPTH_MAX, Value};

/// Checks the size of what a document is to consist of. Values too large are refused before a change is made of them.
pub(super) fn check_bytes(id: &DocumentId, bytes: usize) -> Result<(), StoreError> {
    match bytes {
        ..=DOCUMENT_BYTES_MAX => Ok(()),
        _ => Err(StoreError::Document(format!(
            "{id} would have {bytes} bytes; at most {DOCUMENT_BYTES_MAX} are allowed. Split it, or keep large parts \
             elsewhere"
        ))),
    }
}

/// What no other store would take must not be acknowledged here.
pub(super) fn check_delta(delta: &Delta) -> Result<(), StoreError> {
    delta
        .check()
        .map_err(|error| StoreError::Document(format!("{error}; write it in several steps")))
}

pub(super) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.starts_with(RESERVED_KEY_PREFIX) {
        return Err(StoreError::Document(
            "a field name begins with U+0000, which is kept for the store itself".to_owned(),
        ));
    }
    if key.len() > FIELD_NAME_BYTES_MAX {
        return Err(StoreError::Document(format!(
            "a field name has {} bytes; at most {FIELD_NAME_BYTES_MAX} are allowed",
            key.len()
        )));
    }
    Ok(())
}

/// Checks a value that is to stand so many levels below its document's root.
pub(super) fn check_value(value: &Value, depth: usize) -> Result<(), StoreError> {
    if !value.fits(DEPTH_MAX.saturating_sub(depth)) {
        return Err(StoreError::Document(format!(
            "it nests deeper than {DEPTH_MAX} levels"
        )));
    }
    check_members(value)
}

/// Names, and what no decoder would take.
fn check_members(value: &Value) -> Result<(), StoreError> {
    match value {
        Value::List(items) => items.iter().try_for_each(check_members),
        Value::Counter(number) if number.unsigned_abs() > COUNTER_MAX => Err(StoreError::Document(
            format!("the counter {number} is more than {COUNTER_MAX} away from 0"),
        )),
        Value::Attachment(attachment) if attachment.len > i64::MAX.unsigned_abs() => {
            Err(StoreError::Document(format!(
                "an attachment of {} bytes can't be; at most {} are",
                attachment.len,
                i64::MAX
            )))
        }
        Value::Map(members) => members.iter().try_for_each(|(key, member)| {
            check_key(key)?;
            check_members(member)
        }),
        Value::Float(number) if !number.is_finite() => Err(StoreError::Document(format!(
            "it holds the float {number}, and floats are finite; store null in its place"
        ))),
        _ => Ok(()),
    }
}

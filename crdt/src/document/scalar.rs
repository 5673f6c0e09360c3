//! Scalars of Automerge and values of ours, both ways.
//!
//! Automerge has no type for an attachment. Its token is a scalar all the same, so that it merges as a whole and costs one
//! operation: bytes that begin with a mark, behind which the token's binary form stands. (A map would merge member by member;
//! type codes that Automerge keeps for its future may come to mean something else.) Bytes that happen to begin with the
//! mark are put behind it in the same way.

use crate::value::{Value, without_sign_of_zero};
use automerge::{ScalarValue, ScalarValueRef};

const MARK: &[u8] = b"\0sedge\0";

/// The scalar that a value is written as; `None` for those made of several operations.
pub(super) fn scalar_of(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(truth) => ScalarValue::Boolean(*truth),
        Value::Int(number) => ScalarValue::Int(*number),
        Value::Float(number) => ScalarValue::F64(without_sign_of_zero(*number)),
        Value::String(text) => ScalarValue::Str(text.as_str().into()),
        Value::Timestamp(ms) => ScalarValue::Timestamp(*ms),
        Value::Counter(number) => ScalarValue::counter(*number),
        Value::Bytes(bytes) if !bytes.starts_with(MARK) => ScalarValue::Bytes(bytes.clone()),
        Value::Bytes(_) | Value::Attachment(_) => {
            ScalarValue::Bytes([MARK, &value.encode()].concat())
        }
        Value::Text(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

/// What readers see of a scalar that an operation puts.
pub(super) fn value_of_operand(scalar: &ScalarValue) -> Value {
    match scalar {
        ScalarValue::Str(text) => Value::String(text.to_string()), // copied once, as most are
        other => value_of_scalar(&other.clone().into()),
    }
}

/// What readers see of a scalar. Of what this version doesn't write a wide unsigned number is shown as the nearest float,
/// and what has no meaning here as null.
pub(super) fn value_of_scalar(scalar: &ScalarValueRef<'_>) -> Value {
    match scalar {
        ScalarValueRef::Null | ScalarValueRef::Unknown { .. } => Value::Null,
        ScalarValueRef::Boolean(truth) => Value::Bool(*truth),
        ScalarValueRef::Int(number) => Value::Int(*number),
        ScalarValueRef::Counter(number) => Value::Counter(*number),
        ScalarValueRef::Timestamp(ms) => Value::Timestamp(*ms),
        ScalarValueRef::Uint(number) => {
            i64::try_from(*number).map_or(Value::Float(*number as f64), Value::Int)
        }
        ScalarValueRef::F64(number) if number.is_finite() => {
            Value::Float(without_sign_of_zero(*number))
        }
        ScalarValueRef::F64(_) => Value::Null,
        ScalarValueRef::Str(text) => Value::String(text.to_string()),
        ScalarValueRef::Bytes(bytes) => behind_mark(bytes).unwrap_or(Value::Bytes(bytes.to_vec())),
    }
}

fn behind_mark(bytes: &[u8]) -> Option<Value> {
    match Value::decode(bytes.strip_prefix(MARK)?).ok()? {
        Value::Bytes(inner) if !inner.starts_with(MARK) => None,
        value @ (Value::Bytes(_) | Value::Attachment(_)) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::arbitrary;
    use proptest::prelude::*;

    fn again(value: &Value) -> Option<Value> {
        scalar_of(value).map(|scalar| value_of_scalar(&scalar.into()))
    }

    /// Goal: bytes that look like an attachment stay bytes.
    #[test]
    fn bytes_behind_the_mark_stay_bytes() {
        let mut bytes = MARK.to_vec();
        for _ in 0..3 {
            let value = Value::Bytes(bytes.clone());
            assert_eq!(again(&value), Some(value.clone()));
            bytes = [MARK, &value.encode()].concat();
        }
        let broken = [MARK, &[12, 1]].concat();
        let scalar = ScalarValue::Bytes(broken.clone());
        assert_eq!(value_of_scalar(&scalar.into()), Value::Bytes(broken));
    }

    proptest! {
        #[test]
        fn scalars_round_trip(value in arbitrary::value()) {
            if let Some(again) = again(&value) {
                prop_assert_eq!(again, value);
            }
        }
    }
}

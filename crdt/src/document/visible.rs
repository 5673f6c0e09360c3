//! From an Automerge document to the value that readers see.
//!
//! The visible value is ours to define, not Automerge's winner: a map with live keys wins over a scalar written
//! concurrently, an empty map is invisible unless it was written as `{}`, and a tombstone hides the document.

use super::birth::is_birth;
use super::{EMPTY_MAP, RESERVED_KEY_PREFIX, TOMBSTONE};
use crate::id::DocumentId;
use crate::value::{DEPTH_MAX, Value, without_sign_of_zero};
use automerge::iter::MapRangeItem;
use automerge::{Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValueRef, ValueRef};
use sedge_identity::hex;
use std::collections::BTreeMap;

/// The document's visible value with its `_id`; `None` when it is deleted.
pub(super) fn document_value(document: &Automerge, id: &DocumentId) -> Option<Value> {
    if !matches!(document.get(ROOT, TOMBSTONE), Ok(None)) {
        return None;
    }
    let mut fields = members(document, &ROOT, 0).unwrap_or_default();
    fields.insert("_id".to_owned(), id.to_value());
    Some(Value::Map(fields))
}

/// The visible value of one operation's result: a scalar, or the object that it made. `None` for a born map without
/// live keys.
pub(super) fn value_of(
    document: &Automerge,
    value: &ValueRef<'_>,
    id: &ObjId,
    depth: usize,
) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        ValueRef::Scalar(scalar) => Some(scalar_value(scalar)),
        ValueRef::Object(ObjType::Map | ObjType::Table) => match members(document, id, depth) {
            Some(members) => Some(Value::Map(members)),
            None if is_born(id) => None,
            None => Some(Value::Map(BTreeMap::new())),
        },
        ValueRef::Object(ObjType::List) => Some(Value::List(
            document
                .list_range(id, ..)
                .map(|item| {
                    value_of(document, &item.value, &item.id(), depth + 1).unwrap_or(Value::Null)
                })
                .collect(),
        )),
        ValueRef::Object(ObjType::Text) => document.text(id).ok().map(Value::String),
    }
}

/// The same value in the form in which ranges give it.
pub(super) fn by_reference(value: &automerge::Value<'_>) -> ValueRef<'static> {
    match value {
        automerge::Value::Object(kind) => ValueRef::Object(*kind),
        automerge::Value::Scalar(scalar) => ValueRef::Scalar(scalar.clone().into_owned().into()),
    }
}

/// Whether the object is a map made by a birth.
pub(super) fn is_born(id: &ObjId) -> bool {
    matches!(id, ObjId::Id(_, actor, _) if is_birth(actor))
}

/// The live members of a map; `None` when there are none and it wasn't written as `{}`.
fn members(document: &Automerge, map: &ObjId, depth: usize) -> Option<BTreeMap<String, Value>> {
    let mut live = BTreeMap::new();
    let mut written_empty = false;
    for item in document.map_range(map, ..) {
        if item.key.starts_with(RESERVED_KEY_PREFIX) {
            written_empty |= item.key == EMPTY_MAP;
        } else if let Some(value) = member(document, map, &item, depth + 1) {
            live.insert(item.key.into_owned(), value);
        }
    }
    (written_empty || !live.is_empty()).then_some(live)
}

/// The visible value under one key.
fn member(
    document: &Automerge,
    map: &ObjId,
    item: &MapRangeItem<'_>,
    depth: usize,
) -> Option<Value> {
    if !item.conflict {
        return value_of(document, &item.value, &item.id(), depth);
    }
    let all = document.get_all(map, item.key.as_ref()).unwrap_or_default();
    let born = all.iter().find(|(_, id)| is_born(id));
    // Automerge orders by operation id: the last of the others is its winner among them.
    let other = all.iter().rev().find(|(_, id)| !is_born(id));
    [born, other]
        .into_iter()
        .flatten()
        .find_map(|(value, id)| value_of(document, &by_reference(value), id, depth))
}

/// Types that this version doesn't write are shown as the nearest one that JSON has.
fn scalar_value(scalar: &ScalarValueRef<'_>) -> Value {
    match scalar {
        ScalarValueRef::Null | ScalarValueRef::Unknown { .. } => Value::Null,
        ScalarValueRef::Boolean(truth) => Value::Bool(*truth),
        ScalarValueRef::Int(number)
        | ScalarValueRef::Counter(number)
        | ScalarValueRef::Timestamp(number) => Value::Int(*number),
        ScalarValueRef::Uint(number) => {
            i64::try_from(*number).map_or(Value::Float(*number as f64), Value::Int)
        }
        ScalarValueRef::F64(number) if number.is_finite() => {
            Value::Float(without_sign_of_zero(*number))
        }
        ScalarValueRef::F64(_) => Value::Null,
        ScalarValueRef::Str(text) => Value::String(text.to_string()),
        ScalarValueRef::Bytes(bytes) => Value::String(hex(bytes).to_string()),
    }
}

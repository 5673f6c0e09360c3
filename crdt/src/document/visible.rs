//! From an Automerge document to the value that readers see.
//!
//! The visible value is ours to define, not Automerge's winner: a map with live keys wins over a scalar written
//! concurrently, an empty map is invisible unless it was written as `{}`, and a tombstone hides the document. What lost
//! is noted beside the value, for CONFLICTS.

use super::at::Reading;
use super::birth::is_birth;
use super::scalar::value_of_scalar;
use super::{EMPTY_MAP, RESERVED_KEY_PREFIX, TOMBSTONE};
use crate::id::DocumentId;
use crate::value::{Conflict, DEPTH_MAX, Value};
use automerge::iter::MapRangeItem;
use automerge::{ObjId, ObjType, ROOT, ValueRef};
use std::cell::Cell;
use std::collections::BTreeMap;

/// The document's visible value with its `_id` and the record of its conflicts; `None` when it is deleted.
pub(super) fn document_value(document: &impl Reading, id: &DocumentId) -> Option<Value> {
    if is_deleted(document) {
        return None;
    }
    let reader = Reader::new(document);
    let mut fields = Value::Map(reader.members(&ROOT, 0).unwrap_or_default());
    fields.cut(DEPTH_MAX);
    let mut conflicts = Vec::new();
    if reader.conflicted.get() {
        reader.conflicts(&ROOT, &mut Vec::new(), &mut conflicts);
    }
    if let Value::Map(fields) = &mut fields {
        fields.insert("_id".to_owned(), id.to_value());
    }
    Some(fields.with_conflicts(conflicts))
}

/// Whether a tombstone hides the document.
pub(super) fn is_deleted(document: &impl Reading) -> bool {
    let tombstones = document.get_all(&ROOT, TOMBSTONE);
    tombstones.map_or(true, |all| !all.is_empty())
}

/// The visible value of one field.
pub(super) fn field(document: &impl Reading, name: &str) -> Option<Value> {
    match name.starts_with(RESERVED_KEY_PREFIX) {
        true => None,
        false => Reader::new(document).winner(&ROOT, name, 1),
    }
}

/// The visible value of one operation's result: a scalar, or the object that it made. `None` for a born map without
/// live keys.
pub(super) fn value_of(document: &impl Reading, value: &ValueRef<'_>, id: &ObjId) -> Option<Value> {
    Reader::new(document).value_of(value, id, 0)
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

fn is_map(value: &ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Object(ObjType::Map | ObjType::Table))
}

/// One value that stands under a key, and the operation that put it there.
type Candidate = (ValueRef<'static>, ObjId);

struct Reader<'a, R> {
    document: &'a R,
    /// Whether a key with several values was met.
    conflicted: Cell<bool>,
}

impl<'a, R: Reading> Reader<'a, R> {
    fn new(document: &'a R) -> Self {
        Self {
            document,
            conflicted: Cell::new(false),
        }
    }

    fn value_of(&self, value: &ValueRef<'_>, id: &ObjId, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        match value {
            ValueRef::Scalar(scalar) => Some(value_of_scalar(scalar)),
            ValueRef::Object(ObjType::Map | ObjType::Table) => match self.members(id, depth) {
                Some(members) => Some(Value::Map(members)),
                None if is_born(id) => None,
                None => Some(Value::Map(BTreeMap::new())),
            },
            ValueRef::Object(ObjType::List) => {
                let items = self.document.list_range(id, ..);
                let items = items.map(|item| {
                    let shown = self.value_of(&item.value, &item.id(), depth + 1);
                    shown.unwrap_or(Value::Null)
                });
                Some(Value::List(items.collect()))
            }
            ValueRef::Object(ObjType::Text) => self.document.text(id).ok().map(Value::Text),
        }
    }

    /// The live members of a map; `None` when there are none and it wasn't written as `{}`.
    fn members(&self, map: &ObjId, depth: usize) -> Option<BTreeMap<String, Value>> {
        let mut live = BTreeMap::new();
        let mut written_empty = false;
        for item in self.document.map_range(map, ..) {
            if item.key.starts_with(RESERVED_KEY_PREFIX) {
                written_empty |= item.key == EMPTY_MAP;
            } else if let Some(value) = self.member(map, &item, depth + 1) {
                live.insert(item.key.into_owned(), value);
            }
        }
        (written_empty || !live.is_empty()).then_some(live)
    }

    /// The visible value under one key.
    fn member(&self, map: &ObjId, item: &MapRangeItem<'_>, depth: usize) -> Option<Value> {
        if !item.conflict {
            return self.value_of(&item.value, &item.id(), depth);
        }
        self.conflicted.set(true);
        self.winner(map, &item.key, depth)
    }

    /// The visible value among all that stand under one key.
    fn winner(&self, map: &ObjId, key: &str, depth: usize) -> Option<Value> {
        let candidates = self.candidates(map, key);
        let mut shown = candidates.iter();
        shown.find_map(|(value, id)| self.value_of(value, id, depth))
    }

    /// What stands under a key, in the order in which readers prefer it: the map born there, then the newest first.
    fn candidates(&self, map: &ObjId, key: &str) -> Vec<Candidate> {
        let all = self.document.get_all(map, key).unwrap_or_default();
        let all = all.into_iter().rev(); // Automerge orders by operation id: its winner is the last
        let (mut born, others): (Vec<Candidate>, Vec<Candidate>) = all
            .map(|(value, id)| (by_reference(&value), id))
            .partition(|(_, id)| is_born(id));
        born.extend(others);
        born
    }

    /// Notes the fields reached by keys that have several different values.
    fn conflicts(&self, map: &ObjId, path: &mut Vec<String>, found: &mut Vec<Conflict>) {
        if path.len() > DEPTH_MAX {
            return;
        }
        for item in self.document.map_range(map, ..) {
            if item.key.starts_with(RESERVED_KEY_PREFIX) {
                continue;
            }
            let depth = path.len() + 1;
            let mut map_there = is_map(&item.value).then(|| item.id());
            path.push(item.key.to_string());
            if item.conflict {
                let mut values: Vec<Value> = Vec::new();
                for (value, id) in self.candidates(map, &item.key) {
                    let Some(candidate) = self.value_of(&value, &id, depth) else {
                        continue;
                    };
                    if values.is_empty() {
                        map_there = is_map(&value).then_some(id);
                    }
                    if !values.contains(&candidate) {
                        values.push(candidate);
                    }
                }
                if values.len() > 1 {
                    found.push(Conflict {
                        path: path.clone(),
                        values,
                    });
                }
            }
            if let Some(map) = map_there {
                self.conflicts(&map, path, found);
            }
            path.pop();
        }
    }
}

//! From edits to the operations of one change.

use super::plan::Born;
use crate::document::EMPTY_MAP;
use crate::document::scalar::scalar_of;
use crate::document::visible::{by_reference, is_born, value_of};
use crate::query::{Action, Edit};
use crate::value::Value;
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use std::collections::{BTreeMap, HashMap};

/// A map that is written into.
#[derive(Clone)]
struct Map {
    object: ObjectId,
    /// The same object in the loaded document; `None` for one that this change makes.
    loaded: Option<ObjId>,
}

/// What a loaded document holds under one key.
#[derive(Default)]
pub(super) struct Seen {
    /// The map born there.
    born: Option<ObjId>,
    /// Everything else: operations that a write replaces, the one that readers see last.
    pub(super) others: Vec<(automerge::Value<'static>, ObjId)>,
}

impl Seen {
    fn predecessors(&self) -> Vec<OpId> {
        self.others.iter().filter_map(|(_, id)| op_id(id)).collect()
    }

    /// Takes out the ordinary map that readers see before the others.
    fn take_map(&mut self) -> Option<ObjId> {
        let is_map = |(value, _): &(automerge::Value<'_>, ObjId)| {
            matches!(value, automerge::Value::Object(ObjType::Map))
        };
        let at = self.others.iter().rposition(is_map)?;
        Some(self.others.remove(at).1)
    }
}

pub(super) fn op_id(id: &ObjId) -> Option<OpId> {
    match id {
        ObjId::Id(counter, actor, _) => Some(OpId::new(*counter, actor)),
        ObjId::Root => None,
    }
}

pub(super) struct Writer<'a> {
    pub(super) document: Option<&'a Automerge>,
    born: &'a Born,
    actor: ActorId,
    start_op: u64,
    pub(super) operations: Vec<Op>,
    /// The maps that edits have led into: one that this change makes is in no loaded document, and what stands beside a
    /// map is deleted once.
    entered: HashMap<(ObjectId, String), Map>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        document: Option<&'a Automerge>,
        born: &'a Born,
        actor: ActorId,
        start_op: u64,
    ) -> Self {
        Self {
            document,
            born,
            actor,
            start_op,
            operations: Vec::new(),
            entered: HashMap::new(),
        }
    }

    pub(super) fn edit(&mut self, edit: &Edit) {
        let mut map = Map {
            object: ObjectId::Root,
            loaded: self.document.map(|_| ROOT),
        };
        let Some((key, parents)) = edit.path.split_last() else {
            return;
        };
        for key in parents {
            if edit.value().is_none() && !self.has_map(&map, key) {
                return; // nothing there to unset or to increment
            }
            map = self.enter(&map, key);
        }
        match &edit.action {
            Action::Set(value) => self.set(&map, key, Some(value)),
            Action::Unset => self.set(&map, key, None),
            Action::Increment(by) => self.increment(&map, key, *by),
        }
    }

    /// Adds to the counter under `key`; of several that were made concurrently to each, so that whichever stays has it.
    fn increment(&mut self, map: &Map, key: &str, by: i64) {
        let mut seen = self.seen(map, key);
        seen.others.retain(|(value, _)| {
            matches!(value, automerge::Value::Scalar(scalar) if matches!(&**scalar, ScalarValue::Counter(_)))
        });
        if !seen.others.is_empty() {
            let key = Key::from(key);
            let object = map.object.clone();
            self.push(
                OpType::Increment(by),
                object,
                key,
                seen.predecessors(),
                false,
            );
        }
    }

    /// Makes `key` show `value`, or nothing.
    fn set(&mut self, map: &Map, key: &str, value: Option<&Value>) {
        if let Some(Value::Map(members)) = value {
            let child = self.enter(map, key);
            return self.fill(&child, members);
        }
        let mut seen = self.seen(map, key);
        if let Some(born) = &seen.born {
            let child = loaded_map(born);
            self.clear(&child);
        }
        match value {
            Some(value) if self.shows(&seen, value) => {}
            Some(value) if self.splice(&seen, value) => {
                // What was written concurrently with the list or text is replaced by it.
                let shown = seen.others.len() - 1;
                seen.others.truncate(shown);
                if !seen.others.is_empty() {
                    self.delete(map, key, &seen);
                }
            }
            Some(value) => self.put(
                map.object.clone(),
                Key::from(key),
                seen.predecessors(),
                value,
            ),
            None if seen.others.is_empty() => {}
            None => self.delete(map, key, &seen),
        }
    }

    fn fill(&mut self, map: &Map, members: &BTreeMap<String, Value>) {
        for key in self.keys(map) {
            let marks_empty = members.is_empty() && key == EMPTY_MAP;
            if !members.contains_key(&key) && !marks_empty {
                self.set(map, &key, None);
            }
        }
        for (key, member) in members {
            self.set(map, key, Some(member));
        }
        if members.is_empty() {
            self.set(map, EMPTY_MAP, Some(&Value::Bool(true)));
        }
    }

    /// Deletes the keys that a map has; the map itself stays, so what another device adds concurrently survives.
    fn clear(&mut self, map: &Map) {
        for key in self.keys(map) {
            self.set(map, &key, None);
        }
    }

    /// The map under `key`: the born one, else an ordinary one, made if need be. Anything else there is deleted.
    fn enter(&mut self, map: &Map, key: &str) -> Map {
        let place = (map.object.clone(), key.to_owned());
        if let Some(entered) = self.entered.get(&place) {
            return entered.clone();
        }
        let mut seen = self.seen(map, key);
        let born = self.born.get(&place);
        let child = match (seen.born.take(), born) {
            (Some(born), _) => Some(loaded_map(&born)),
            (None, Some(object)) => Some(new_map(object.clone())),
            (None, None) => seen.take_map().map(|id| loaded_map(&id)),
        };
        let child = match child {
            Some(child) => {
                if !seen.others.is_empty() {
                    self.delete(map, key, &seen);
                }
                child
            }
            None => {
                let key = Key::from(key);
                let make = OpType::Make(ObjType::Map);
                let object = self.push(make, map.object.clone(), key, seen.predecessors(), false);
                new_map(ObjectId::Id(object))
            }
        };
        self.entered.insert(place, child.clone());
        child
    }

    fn has_map(&self, map: &Map, key: &str) -> bool {
        let mut seen = self.seen(map, key);
        seen.born.is_some() || seen.take_map().is_some()
    }

    fn seen(&self, map: &Map, key: &str) -> Seen {
        let mut seen = Seen::default();
        if let (Some(document), Some(loaded)) = (self.document, &map.loaded) {
            for (value, id) in document.get_all(loaded, key).unwrap_or_default() {
                if is_born(&id) {
                    seen.born = Some(id);
                } else {
                    seen.others.push((value.to_owned(), id));
                }
            }
        }
        seen
    }

    fn keys(&self, map: &Map) -> Vec<String> {
        match (self.document, &map.loaded) {
            (Some(document), Some(loaded)) => document.keys(loaded).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a reader already sees exactly this value, with nothing concurrent beside it.
    fn shows(&self, seen: &Seen, wanted: &Value) -> bool {
        match (self.document, seen.others.as_slice()) {
            (Some(document), [(value, id)]) => {
                value_of(document, &by_reference(value), id).as_ref() == Some(wanted)
            }
            _ => false,
        }
    }

    fn delete(&mut self, map: &Map, key: &str, seen: &Seen) {
        let key = Key::from(key);
        let object = map.object.clone();
        self.push(OpType::Delete, object, key, seen.predecessors(), false);
    }

    pub(super) fn put(
        &mut self,
        object: ObjectId,
        key: Key,
        predecessors: Vec<OpId>,
        value: &Value,
    ) {
        let insert = !key.is_map_key();
        let made = self.push(action(value), object, key, predecessors, insert);
        let within = ObjectId::Id(made);
        match value {
            Value::List(items) => {
                let mut after = ElementId::Head;
                for item in items {
                    after = self.put_item(&within, after, item);
                }
            }
            Value::Text(text) => {
                let mut after = ElementId::Head;
                for character in text.chars() {
                    after = self.put_character(&within, after, character);
                }
            }
            Value::Map(members) => {
                for (key, member) in members {
                    let key = Key::from(key);
                    self.put(within.clone(), key, Vec::new(), member);
                }
            }
            _ => {}
        }
    }

    /// Puts an item behind another one of a list.
    pub(super) fn put_item(
        &mut self,
        list: &ObjectId,
        after: ElementId,
        item: &Value,
    ) -> ElementId {
        let element = self.next_op();
        self.put(list.clone(), after.into_key(), Vec::new(), item);
        ElementId::Id(element)
    }

    /// Puts a character behind another one of a text.
    pub(super) fn put_character(
        &mut self,
        text: &ObjectId,
        after: ElementId,
        character: char,
    ) -> ElementId {
        let character = OpType::Put(ScalarValue::Str(character.to_string().into()));
        let made = self.push(character, text.clone(), after.into_key(), Vec::new(), true);
        ElementId::Id(made)
    }

    fn next_op(&self) -> OpId {
        OpId::new(self.start_op + self.operations.len() as u64, &self.actor)
    }

    pub(super) fn push(
        &mut self,
        action: OpType,
        obj: ObjectId,
        key: Key,
        predecessors: Vec<OpId>,
        insert: bool,
    ) -> OpId {
        let id = self.next_op();
        self.operations.push(Op {
            action,
            obj,
            key,
            pred: predecessors.into(),
            insert,
        });
        id
    }
}

/// A map that the loaded document has.
fn loaded_map(id: &ObjId) -> Map {
    Map {
        object: op_id(id).map_or(ObjectId::Root, ObjectId::Id),
        loaded: Some(id.clone()),
    }
}

/// A map that the loaded document doesn't have.
fn new_map(object: ObjectId) -> Map {
    Map {
        object,
        loaded: None,
    }
}

fn action(value: &Value) -> OpType {
    let make = match value {
        Value::Map(_) => ObjType::Map,
        Value::Text(_) => ObjType::Text,
        _ => ObjType::List,
    };
    scalar_of(value).map_or(OpType::Make(make), OpType::Put)
}

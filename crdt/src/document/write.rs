//! From a wanted value to one change.
//!
//! A change is encoded from its operations (`ExpandedChange` → `Change`), never through Automerge's transactions:
//! those would name a map's birth as predecessor when something else is written under its key, and births are
//! forever. Only what differs from the document's state becomes an operation. A document's first change needs no
//! loaded document at all.

use super::birth::{Birth, Births, Path, is_birth};
use super::visible::{by_reference, is_born, value_of};
use super::{Document, DocumentError, EMPTY_MAP, TOMBSTONE};
use crate::id::DocumentId;
use crate::limits::BIRTHS_MAX;
use crate::query::Edit;
use crate::value::{Value, without_sign_of_zero};
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{
    ActorId, Automerge, Change, ChangeHash, ExpandedChange, ObjId, ObjType, ROOT, ReadDoc,
    ScalarValue,
};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// Who writes, and what its next change in this document is.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) actor: ActorId,
    /// 1 + the author's own changes in this document so far.
    pub(crate) seq: u64,
    /// The writer's clock in milliseconds since 1970, never below an earlier change's.
    pub(crate) time_ms: i64,
}

/// One local write.
pub(crate) struct Written {
    /// The births it needed, parents first.
    pub(crate) births: Vec<(Path, Change)>,
    /// The authored change; it depends on the births.
    pub(crate) change: Change,
}

/// The first change of a new document with these fields (without `_id`).
pub(crate) fn create(
    collection: &str,
    id: &DocumentId,
    author: Author,
    fields: &BTreeMap<String, Value>,
) -> Result<Written, DocumentError> {
    let edits: Vec<Edit> = fields.iter().map(|(key, value)| set(key, value)).collect();
    let plan = Plan::new(collection, id, None, &edits);
    // Of the births only those without a child birth are heads.
    let parents: BTreeSet<ChangeHash> = plan
        .new
        .iter()
        .flat_map(|(_, birth)| birth.deps().to_vec())
        .collect();
    let hashes = plan.new.iter().map(|(_, birth)| birth.hash());
    let deps = hashes.filter(|hash| !parents.contains(hash)).collect();
    plan.write(None, author, deps, &edits)
}

impl Document {
    /// Makes the visible value equal to `fields` (without `_id`) with one change; `None` when it already is.
    pub(crate) fn replace(
        &mut self,
        collection: &str,
        id: &DocumentId,
        author: Author,
        fields: &BTreeMap<String, Value>,
    ) -> Result<Option<Written>, DocumentError> {
        // What isn't wanted includes a tombstone, and fields that were written concurrently with it.
        let unwanted = self.automerge.keys(ROOT);
        let edits: Vec<Edit> = unwanted
            .filter(|key| !fields.contains_key(key))
            .map(unset)
            .chain(fields.iter().map(|(key, value)| set(key, value)))
            .collect();
        self.edit(collection, id, author, &edits)
    }

    /// Deletes what is there and hides the document behind a tombstone, also from concurrent updates.
    pub(crate) fn delete(
        &mut self,
        collection: &str,
        id: &DocumentId,
        author: Author,
    ) -> Result<Option<Written>, DocumentError> {
        let fields = self.automerge.keys(ROOT).filter(|key| key != TOMBSTONE);
        let mut edits: Vec<Edit> = fields.map(unset).collect();
        edits.push(set(TOMBSTONE, &Value::Bool(true)));
        self.edit(collection, id, author, &edits)
    }

    /// Carries out edits whose paths don't overlap with one change; `None` when they change nothing.
    pub(crate) fn edit(
        &mut self,
        collection: &str,
        id: &DocumentId,
        author: Author,
        edits: &[Edit],
    ) -> Result<Option<Written>, DocumentError> {
        let plan = Plan::new(collection, id, Some(self), edits);
        let births: Vec<Change> = plan.new.iter().map(|(_, birth)| birth.clone()).collect();
        if !births.is_empty() {
            self.apply(births)?;
        }
        let written = plan.write(Some(&self.automerge), author, self.heads(), edits)?;
        if written.change.is_empty() {
            return Ok(None);
        }
        self.apply(vec![written.change.clone()])?;
        Ok(Some(written))
    }

    fn births(&self) -> usize {
        let changes = self.automerge.get_changes_meta(&[]);
        let births = changes.iter().filter(|change| is_birth(&change.actor));
        births.count()
    }
}

fn set(key: &str, value: &Value) -> Edit {
    Edit {
        path: vec![key.to_owned()],
        value: Some(value.clone()),
    }
}

fn unset(key: String) -> Edit {
    Edit {
        path: vec![key],
        value: None,
    }
}

/// The maps that a write needs: those that are born already and those still to be born.
struct Plan {
    born: BTreeMap<Path, Birth>,
    new: Vec<(Path, Change)>,
    /// The greatest operation counter before the authored change.
    max_op: u64,
}

impl Plan {
    fn new(collection: &str, id: &DocumentId, document: Option<&Document>, edits: &[Edit]) -> Self {
        let mut births = Births::of(collection, id);
        let mut plan = Plan {
            born: BTreeMap::new(),
            new: Vec::new(),
            max_op: document.map_or(0, Document::max_op),
        };
        let mut room = None;
        for path in maps_needed(edits) {
            let Some(birth) = births.at(&path) else {
                continue;
            };
            if !document.is_some_and(|document| document.has(&birth.hash())) {
                let room = room.get_or_insert_with(|| {
                    BIRTHS_MAX.saturating_sub(document.map_or(0, Document::births))
                });
                let orphan = path.len() > 1 && !plan.born.contains_key(&path[..path.len() - 1]);
                if *room == 0 || orphan {
                    continue; // an ordinary object takes its place
                }
                *room -= 1;
                plan.max_op = plan.max_op.max(birth.op.counter());
                plan.new.push((path.clone(), birth.change.clone()));
            }
            plan.born.insert(path, birth);
        }
        plan
    }

    fn write(
        self,
        document: Option<&Automerge>,
        author: Author,
        mut deps: Vec<ChangeHash>,
        edits: &[Edit],
    ) -> Result<Written, DocumentError> {
        let start_op = NonZeroU64::MIN.saturating_add(self.max_op);
        let mut writer = Writer {
            document,
            born: &self.born,
            actor: author.actor.clone(),
            start_op: start_op.get(),
            operations: Vec::new(),
            entered: BTreeMap::new(),
        };
        edits.iter().for_each(|edit| writer.edit(edit));
        let operations = writer.operations;
        deps.sort_unstable();
        let change = Change::from(ExpandedChange {
            operations,
            actor_id: author.actor,
            hash: None,
            seq: author.seq,
            start_op,
            time: author.time_ms,
            message: None,
            deps,
            extra_bytes: Vec::new(),
            author: None,
        });
        Ok(Written {
            births: self.new,
            change,
        })
    }
}

/// Paths of all maps that the edits write into, reached by keys from the root; parents before children.
fn maps_needed(edits: &[Edit]) -> BTreeSet<Path> {
    fn within(value: &Value, path: &mut Path, paths: &mut BTreeSet<Path>) {
        if let Value::Map(members) = value {
            paths.insert(path.clone());
            for (key, member) in members {
                path.push(key.clone());
                within(member, path, paths);
                path.pop();
            }
        }
    }
    let mut paths = BTreeSet::new();
    for edit in edits {
        if let Some(value) = &edit.value {
            paths.extend((1..edit.path.len()).map(|end| edit.path[..end].to_vec()));
            within(value, &mut edit.path.clone(), &mut paths);
        }
    }
    paths
}

/// A map that is written into.
#[derive(Clone)]
struct Map {
    object: ObjectId,
    /// The same object in the loaded document; `None` for one that this change makes.
    loaded: Option<ObjId>,
    path: Path,
}

/// What a loaded document holds under one key.
#[derive(Default)]
struct Seen {
    /// The map born there.
    born: Option<ObjId>,
    /// Everything else: operations that a write replaces.
    others: Vec<(automerge::Value<'static>, ObjId)>,
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

fn op_id(id: &ObjId) -> Option<OpId> {
    match id {
        ObjId::Id(counter, actor, _) => Some(OpId::new(*counter, actor)),
        ObjId::Root => None,
    }
}

struct Writer<'a> {
    document: Option<&'a Automerge>,
    born: &'a BTreeMap<Path, Birth>,
    actor: ActorId,
    start_op: u64,
    operations: Vec<Op>,
    /// The maps that edits have led into: one that this change makes is in no loaded document, and what stands beside a
    /// map is deleted once.
    entered: BTreeMap<Path, Map>,
}

impl Writer<'_> {
    fn edit(&mut self, edit: &Edit) {
        let mut map = Map {
            object: ObjectId::Root,
            loaded: self.document.map(|_| ROOT),
            path: Vec::new(),
        };
        let Some((key, parents)) = edit.path.split_last() else {
            return;
        };
        for key in parents {
            if edit.value.is_none() && !self.has_map(&map, key) {
                return; // nothing there to unset
            }
            map = self.enter(&map, key);
        }
        self.set(&map, key, edit.value.as_ref());
    }

    /// Makes `key` show `value`, or nothing.
    fn set(&mut self, map: &Map, key: &str, value: Option<&Value>) {
        if let Some(Value::Map(members)) = value {
            let child = self.enter(map, key);
            return self.fill(&child, members);
        }
        let seen = self.seen(map, key);
        if let Some(born) = &seen.born {
            let child = self.loaded_map(map, key, born);
            self.clear(&child);
        }
        match value {
            Some(value) if self.shows(&seen, value) => {}
            Some(value) => self.put(
                map.object.clone(),
                Key::from(key.to_owned()),
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
        let path = joined(&map.path, key);
        if let Some(entered) = self.entered.get(&path) {
            return entered.clone();
        }
        let mut seen = self.seen(map, key);
        let birth = self.born.get(&path);
        let child = match (seen.born.take(), birth) {
            (Some(born), _) => Some(self.loaded_map(map, key, &born)),
            (None, Some(birth)) => Some(new_map(birth.object(), path.clone())),
            (None, None) => seen.take_map().map(|id| self.loaded_map(map, key, &id)),
        };
        let child = match child {
            Some(child) => {
                if !seen.others.is_empty() {
                    self.delete(map, key, &seen);
                }
                child
            }
            None => {
                let key = Key::from(key.to_owned());
                let make = OpType::Make(ObjType::Map);
                let object = self.push(make, map.object.clone(), key, seen.predecessors(), false);
                new_map(ObjectId::Id(object), path.clone())
            }
        };
        self.entered.insert(path, child.clone());
        child
    }

    fn has_map(&self, map: &Map, key: &str) -> bool {
        let mut seen = self.seen(map, key);
        seen.born.is_some() || seen.take_map().is_some()
    }

    fn loaded_map(&self, parent: &Map, key: &str, id: &ObjId) -> Map {
        Map {
            object: op_id(id).map_or(ObjectId::Root, ObjectId::Id),
            loaded: Some(id.clone()),
            path: joined(&parent.path, key),
        }
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
                value_of(document, &by_reference(value), id, 0).as_ref() == Some(wanted)
            }
            _ => false,
        }
    }

    fn delete(&mut self, map: &Map, key: &str, seen: &Seen) {
        let key = Key::from(key.to_owned());
        let object = map.object.clone();
        self.push(OpType::Delete, object, key, seen.predecessors(), false);
    }

    fn put(&mut self, object: ObjectId, key: Key, predecessors: Vec<OpId>, value: &Value) {
        let insert = !key.is_map_key();
        let made = self.push(action(value), object, key, predecessors, insert);
        let within = ObjectId::Id(made);
        match value {
            Value::List(items) => {
                let mut after = ElementId::Head;
                for item in items {
                    let element = self.next_op();
                    self.put(within.clone(), after.into_key(), Vec::new(), item);
                    after = ElementId::Id(element);
                }
            }
            Value::Map(members) => {
                for (key, member) in members {
                    let key = Key::from(key.clone());
                    self.put(within.clone(), key, Vec::new(), member);
                }
            }
            _ => {}
        }
    }

    fn next_op(&self) -> OpId {
        OpId::new(self.start_op + self.operations.len() as u64, &self.actor)
    }

    fn push(
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

/// A map that the loaded document doesn't have.
fn new_map(object: ObjectId, path: Path) -> Map {
    Map {
        object,
        loaded: None,
        path,
    }
}

fn joined(path: &[String], key: &str) -> Path {
    let mut joined = path.to_vec();
    joined.push(key.to_owned());
    joined
}

fn action(value: &Value) -> OpType {
    match value {
        Value::Null => OpType::Put(ScalarValue::Null),
        Value::Bool(truth) => OpType::Put(ScalarValue::Boolean(*truth)),
        Value::Int(number) => OpType::Put(ScalarValue::Int(*number)),
        Value::Float(number) => OpType::Put(ScalarValue::F64(without_sign_of_zero(*number))),
        Value::String(text) => OpType::Put(ScalarValue::Str(text.as_str().into())),
        Value::Map(_) => OpType::Make(ObjType::Map),
        Value::List(_) => OpType::Make(ObjType::List),
    }
}

//! A document as it was, and who changed which field when.
//!
//! A change counts as made at its own time or, where its author's clock was behind, at the latest time of what it builds
//! on. So the changes up to a moment are always a whole history of their own, and every device that holds the same
//! changes sees the same past. Births have no author and no time: they count with what builds on them.

mod effect;

use super::at::{At, Reading};
use super::birth::is_birth;
use super::{Document, DocumentError, TOMBSTONE, contained, visible};
use crate::id::DocumentId;
use crate::time;
use crate::value::Value;
use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Automerge, Change, ChangeHash};
use effect::Effect;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Changed fields up to which each is read by itself; with more the whole document is read.
const FIELDS_READ_MAX: usize = 64;

/// Where in a document's history to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After everything up to this time, in milliseconds since 1970.
    Time(i64),
    /// After these changes and all that they build on.
    Changes(Vec<ChangeHash>),
}

/// When a change counts as made.
#[derive(Clone, Copy)]
struct Placed {
    is_birth: bool,
    /// Milliseconds since 1970; of a birth the least there is.
    time_ms: i64,
    /// Changes that it builds on, one behind the other.
    depth: u32,
}

/// Places the changes of a document, which come in an order in which they apply.
fn placed<'a>(
    changes: impl IntoIterator<Item = (ChangeHash, &'a ActorId, i64, &'a [ChangeHash])>,
) -> HashMap<ChangeHash, Placed> {
    let mut placed: HashMap<ChangeHash, Placed> = HashMap::new();
    for (hash, actor, time_ms, deps) in changes {
        let is_birth = is_birth(actor);
        let mut own = Placed {
            is_birth,
            time_ms: if is_birth { i64::MIN } else { time_ms },
            depth: 0,
        };
        for dep in deps.iter().filter_map(|dep| placed.get(dep)) {
            own.time_ms = own.time_ms.max(dep.time_ms);
            own.depth = own.depth.max(dep.depth.saturating_add(1));
        }
        placed.insert(hash, own);
    }
    placed
}

impl Document {
    /// The first of these changes that is not an authored change of this document.
    pub(crate) fn lacks(&self, changes: &[ChangeHash]) -> Option<ChangeHash> {
        changes.iter().copied().find(|hash| {
            let change = self.automerge.get_change_meta_by_hash(hash);
            change.is_none_or(|change| is_birth(&change.actor))
        })
    }

    /// What readers saw at a moment; `None` when the document did not exist then, or was deleted. Takes time in
    /// proportion to the history.
    ///
    /// # Errors
    /// Automerge fails on the changes.
    pub(crate) fn value_at(
        &self,
        id: &DocumentId,
        moment: &Moment,
    ) -> Result<Option<Value>, DocumentError> {
        contained(|| {
            let included = self.included(moment);
            let changes = self.automerge.get_changes(&[]);
            let exists =
                |change: &Change| included.contains(&change.hash()) && !is_birth(change.actor_id());
            if !changes.iter().any(exists) {
                return Ok(None);
            }
            if included.len() == changes.len() {
                return Ok(self.value(id));
            }
            let mut past = Document::default();
            let then = changes.into_iter();
            past.apply(
                then.filter(|change| included.contains(&change.hash()))
                    .collect(),
            )?;
            Ok(past.value(id))
        })?
    }

    /// The changes up to a moment, among them all that each of them builds on.
    fn included(&self, moment: &Moment) -> HashSet<ChangeHash> {
        let changes = self.automerge.get_changes_meta(&[]);
        match moment {
            Moment::Time(time_ms) => {
                let facts = changes.iter().map(|change| {
                    let deps = change.deps.as_slice();
                    (change.hash, &*change.actor, change.timestamp, deps)
                });
                let placed = placed(facts).into_iter();
                let until = placed.filter(|(_, change)| change.time_ms <= *time_ms);
                until.map(|(hash, _)| hash).collect()
            }
            Moment::Changes(heads) => {
                let mut included: HashSet<ChangeHash> = heads.iter().copied().collect();
                // Whatever a change builds on comes before it.
                for change in changes.iter().rev() {
                    if included.contains(&change.hash) {
                        included.extend(&change.deps);
                    }
                }
                included
            }
        }
    }
}

/// The authored changes of a document, the earliest first; those of one time in the order of what builds on what, then of
/// their hashes.
pub(crate) struct History<'a> {
    automerge: &'a Automerge,
    id: &'a DocumentId,
    changes: Vec<Change>,
    authored: HashSet<ChangeHash>,
    /// The field in which each object lies that a change has made.
    fields: HashMap<ObjectId, String>,
}

impl<'a> History<'a> {
    /// Takes time in proportion to the history.
    ///
    /// # Errors
    /// Automerge fails on the document.
    pub(crate) fn of(document: &'a Document, id: &'a DocumentId) -> Result<Self, DocumentError> {
        contained(|| {
            let mut changes = document.automerge.get_changes(&[]);
            let mut fields = HashMap::new();
            for change in &changes {
                note_objects(change, &mut fields);
            }
            let facts = changes.iter().map(|change| {
                let (time_ms, deps) = (change.timestamp(), change.deps());
                (change.hash(), change.actor_id(), time_ms, deps)
            });
            let placed = placed(facts);
            changes.retain(|change| !is_birth(change.actor_id()));
            changes.sort_by_cached_key(|change| {
                let hash = change.hash();
                let place = placed.get(&hash);
                (place.map(|place| (place.time_ms, place.depth)), hash)
            });
            let authored = placed.iter().filter(|(_, change)| !change.is_birth);
            Self {
                automerge: &document.automerge,
                id,
                authored: authored.map(|(hash, _)| *hash).collect(),
                changes,
                fields,
            }
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// What the change of this number did, against what its author saw. `own` is the actor of this store, `author` tells whose
    /// seal proves the changes of an actor.
    ///
    /// # Errors
    /// Automerge fails on the document.
    pub(crate) fn row(
        &self,
        number: usize,
        own: &ActorId,
        author: impl Fn(&ActorId) -> Option<Value>,
    ) -> Result<Option<Value>, DocumentError> {
        let Some(change) = self.changes.get(number) else {
            return Ok(None);
        };
        let effect = contained(|| self.effect(change))?;
        let hash = Value::String(change.hash().to_string());
        let time_ms = change.timestamp();
        let mut row = BTreeMap::from([
            ("change", hash.clone()),
            ("heads", Value::List(vec![hash])),
            (
                "time",
                time::text(time_ms).map_or(Value::Int(time_ms), Value::String),
            ),
            ("actor", Value::String(change.actor_id().to_hex_string())),
            ("own", Value::Bool(change.actor_id() == own)),
            (
                "seq",
                i64::try_from(change.seq()).map_or(Value::Null, Value::Int),
            ),
            ("set", Value::Map(effect.set)),
            (
                "unset",
                Value::List(effect.unset.into_iter().map(Value::String).collect()),
            ),
        ]);
        if let Some(author) = author(change.actor_id()) {
            row.insert("author", author);
        }
        for (name, happened) in [("inserted", effect.inserted), ("deleted", effect.deleted)] {
            if happened {
                row.insert(name, Value::Bool(true));
            }
        }
        let row = row.into_iter();
        Ok(Some(Value::Map(
            row.map(|(name, value)| (name.to_owned(), value)).collect(),
        )))
    }

    fn effect(&self, change: &Change) -> Effect {
        let at = |heads| At {
            automerge: self.automerge,
            heads,
        };
        let hash = [change.hash()];
        let (before, after) = (at(change.deps()), at(&hash));
        let existed = change.deps().iter().any(|dep| self.authored.contains(dep));
        let was_there = existed && !visible::is_deleted(&before);
        let touched = self.touched(change);
        let is_there = match touched.contains(TOMBSTONE) || !existed {
            true => !visible::is_deleted(&after),
            false => was_there,
        };
        match (was_there, is_there) {
            (true, false) => Effect::deletion(),
            (false, false) => Effect::default(),
            (true, true) if touched.len() <= FIELDS_READ_MAX => {
                let read = |document: &At<'_>, name: &str| visible::field(document, name);
                let fields = touched.iter().map(String::as_str);
                let fields = fields.map(|name| (name, read(&before, name), read(&after, name)));
                Effect::of(&fields.collect::<Vec<_>>())
            }
            (_, true) => {
                let mut before = match was_there {
                    true => self.members(&before),
                    false => BTreeMap::new(),
                };
                let mut after = self.members(&after);
                let names: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
                let fields = names.iter().map(String::as_str);
                let fields = fields.map(|name| (name, before.remove(name), after.remove(name)));
                let mut effect = Effect::of(&fields.collect::<Vec<_>>());
                effect.inserted = !was_there;
                effect
            }
        }
    }

    /// All fields but `_id`.
    fn members(&self, document: &impl Reading) -> BTreeMap<String, Value> {
        match visible::document_value(document, self.id).map(Value::visible) {
            Some(Value::Map(mut fields)) => {
                fields.remove("_id");
                fields
            }
            _ => BTreeMap::new(),
        }
    }

    /// The root's keys under which a change has operations.
    fn touched(&self, change: &Change) -> BTreeSet<String> {
        let operations = change.decode().operations;
        let fields = operations
            .iter()
            .filter_map(|op| field_of(op, &self.fields));
        fields.map(str::to_owned).collect()
    }
}

/// Notes for each object that a change makes in which field it lies.
fn note_objects(change: &Change, fields: &mut HashMap<ObjectId, String>) {
    let change = change.decode();
    let first = change.start_op.get();
    for (op, counter) in change.operations.iter().zip(first..) {
        if let OpType::Make(_) = op.action
            && let Some(field) = field_of(op, fields)
        {
            let object = ObjectId::Id(OpId::new(counter, &change.actor_id));
            let field = field.to_owned();
            fields.insert(object, field);
        }
    }
}

fn field_of<'a>(op: &'a Op, fields: &'a HashMap<ObjectId, String>) -> Option<&'a str> {
    match (&op.obj, &op.key) {
        (ObjectId::Root, Key::Map(key)) => Some(key),
        (ObjectId::Root, Key::Seq(_)) => None,
        (object, _) => fields.get(object).map(String::as_str),
    }
}

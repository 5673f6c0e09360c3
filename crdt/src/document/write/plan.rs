//! Which maps a write needs, and which of them are to be born.

use super::writer::Writer;
use super::{Author, Written};
use crate::document::birth::{Birth, Births};
use crate::document::delta::{Delta, Named, sent};
use crate::document::{Document, DocumentError};
use crate::id::DocumentId;
use crate::limits::BIRTHS_MAX;
use crate::query::Edit;
use crate::value::Value;
use automerge::legacy::ObjectId;
use automerge::{Automerge, Change, ChangeHash, ExpandedChange, ReadDoc};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

/// Born maps by the map they lie in and their key there.
pub(super) type Born = HashMap<(ObjectId, String), ObjectId>;

/// The maps that a write needs: those that are born already and those still to be born.
pub(super) struct Plan {
    born: Born,
    /// The births to come, parents first.
    pub(super) new: Vec<Change>,
    /// The greatest operation counter before the authored change.
    max_op: u64,
}

impl Plan {
    pub(super) fn new(
        collection: &str,
        id: &DocumentId,
        document: Option<&Document>,
        edits: &[Edit],
    ) -> Self {
        let mut planner = Planner {
            births: Births::of(collection, id),
            document,
            room: None,
            plan: Plan {
                born: Born::new(),
                new: Vec::new(),
                max_op: document.map_or(0, Document::max_op),
            },
        };
        planner.add(None, &Maps::of(edits));
        planner.plan
    }

    pub(super) fn write(
        self,
        document: Option<&Automerge>,
        author: Author,
        mut deps: Vec<ChangeHash>,
        edits: &[Edit],
    ) -> Result<Written, DocumentError> {
        let start_op = NonZeroU64::MIN.saturating_add(self.max_op);
        let mut writer = Writer::new(document, &self.born, author.actor.clone(), start_op.get());
        edits.iter().for_each(|edit| writer.edit(edit));
        let operations = writer.operations;
        deps.sort_unstable();
        let mut change = Change::from(ExpandedChange {
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
        let mut named = Named::default();
        for birth in &self.new {
            named.add(birth, |hash| document?.get_change_by_hash(hash));
        }
        Ok(Written {
            births: self.new,
            delta: Delta::of(named, vec![sent(&mut change)]),
            change,
        })
    }
}

struct Planner<'a> {
    births: Births,
    document: Option<&'a Document>,
    /// How many more may be born; counted when the first is to be.
    room: Option<usize>,
    plan: Plan,
}

impl Planner<'_> {
    /// Plans the maps within a born one, or within the root.
    fn add(&mut self, parent: Option<&Birth>, maps: &Maps<'_>) {
        let object = parent.map_or(ObjectId::Root, Birth::object);
        for (key, within) in &maps.0 {
            let birth = self.births.under(parent, key);
            if self.is_born(&birth) {
                let place = (object.clone(), (*key).to_owned());
                self.plan.born.insert(place, birth.object());
                self.add(Some(&birth), within);
            } // else an ordinary object takes its place
        }
    }

    /// Whether this map is born already, or is now to be.
    fn is_born(&mut self, birth: &Birth) -> bool {
        let document = self.document;
        if document.is_some_and(|document| document.has(&birth.hash())) {
            return true;
        }
        let born = || document.map_or(0, Document::births);
        let room = self
            .room
            .get_or_insert_with(|| BIRTHS_MAX.saturating_sub(born()));
        let Some(left) = room.checked_sub(1) else {
            return false;
        };
        *room = left;
        self.plan.max_op = self.plan.max_op.max(birth.op.counter());
        self.plan.new.push(birth.change.clone());
        true
    }
}

/// The maps that edits write into and that are reached by keys alone: each by its key, with those within it.
#[derive(Default)]
struct Maps<'a>(BTreeMap<&'a str, Maps<'a>>);

impl<'a> Maps<'a> {
    fn of(edits: &'a [Edit]) -> Self {
        let mut root = Self::default();
        for edit in edits {
            if let (Some(value), Some((key, parents))) = (edit.value(), edit.path.split_last()) {
                let mut maps = &mut root;
                for parent in parents {
                    maps = maps.0.entry(parent).or_default();
                }
                maps.add(key, value);
            }
        }
        root
    }

    fn add(&mut self, key: &'a str, value: &'a Value) {
        if let Value::Map(members) = value {
            let within = self.0.entry(key).or_default();
            for (key, member) in members {
                within.add(key, member);
            }
        }
    }
}

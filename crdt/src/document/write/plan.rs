//! Which maps a write needs, and which of them are to be born.

use super::writer::Writer;
use super::{Author, Written};
use crate::document::birth::{Birth, Births, Path};
use crate::document::{Document, DocumentError};
use crate::id::DocumentId;
use crate::limits::BIRTHS_MAX;
use crate::query::Edit;
use crate::value::Value;
use automerge::{Automerge, Change, ChangeHash, ExpandedChange};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// The maps that a write needs: those that are born already and those still to be born.
pub(super) struct Plan {
    born: BTreeMap<Path, Birth>,
    pub(super) new: Vec<(Path, Change)>,
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

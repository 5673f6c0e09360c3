//! From a wanted value to one change.
//!
//! A change is encoded from its operations (`ExpandedChange` → `Change`), never through Automerge's transactions:
//! those would name a map's birth as predecessor when something else is written under its key, and births are
//! forever. Only what differs from the document's state becomes an operation. A document's first change needs no
//! loaded document at all.

mod plan;
mod splice;
mod writer;

use super::birth::is_birth;
use super::{Delta, Document, DocumentError, TOMBSTONE};
use crate::id::DocumentId;
use crate::query::{Action, Edit};
use crate::value::Value;
use automerge::{ActorId, Change, ChangeHash, ROOT, ReadDoc};
use plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

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
    /// The births that are new with it, parents first.
    pub(crate) births: Vec<Change>,
    /// The authored change; it depends on the births.
    pub(crate) change: Change,
    /// The same as a delta for others.
    pub(crate) delta: Delta,
}

/// The first change of a new document with these fields (without `_id`), which it gives back: a copy would take longer than
/// to find the operations.
pub(crate) fn create(
    collection: &str,
    id: &DocumentId,
    author: Author,
    fields: BTreeMap<String, Value>,
) -> Result<(Written, BTreeMap<String, Value>), DocumentError> {
    let edits = fields.into_iter().map(|(key, value)| set(key, value));
    let edits: Vec<Edit> = edits.collect();
    let plan = Plan::new(collection, id, None, &edits);
    // Of the births only those without a child birth are heads.
    let parents: BTreeSet<ChangeHash> = plan
        .new
        .iter()
        .flat_map(|birth| birth.deps().to_vec())
        .collect();
    let hashes = plan.new.iter().map(Change::hash);
    let deps = hashes.filter(|hash| !parents.contains(hash)).collect();
    let written = plan.write(None, author, deps, &edits)?;
    Ok((
        written,
        edits.into_iter().filter_map(Edit::into_field).collect(),
    ))
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
            .chain(
                fields
                    .iter()
                    .map(|(key, value)| set(key.clone(), value.clone())),
            )
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
        edits.push(set(TOMBSTONE.to_owned(), Value::Bool(true)));
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
        if !plan.new.is_empty() {
            self.apply(plan.new.clone())?;
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

fn set(key: String, value: Value) -> Edit {
    Edit {
        path: vec![key],
        action: Action::Set(value),
    }
}

fn unset(key: String) -> Edit {
    Edit {
        path: vec![key],
        action: Action::Unset,
    }
}

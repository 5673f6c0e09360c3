//! The rows of a live query whose rows are made of one document each, in their order, and how changed documents
//! change them.
//!
//! Without LIMIT all rows are known. With it only the first ones are, some more than are shown: a row that leaves is
//! followed by the next one, and only when too few are known has the collection to be read again.

use super::by_id::{ById, OfDocument};
use super::shown::Row;
use super::update::{Update, difference};
use crate::id::DocumentId;
use crate::limits::{OBSERVED_BYTES_MAX, OBSERVED_ROW_BYTES, OBSERVED_WINDOW_ROWS_MAX};
use crate::query::{Select, SortKeys};
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::value::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Rows known beyond those that are shown: as many again, within these bounds.
const SPARE_ROWS: (usize, usize) = (16, 1_000);

/// A document's row, and its place among others.
pub(super) struct Entry {
    id: DocumentId,
    keys: SortKeys,
    row: Row,
}

/// What becomes of a changed document: its row now, if it has one.
pub(super) type Changed = (DocumentId, Option<Arc<Entry>>);

/// Which rows are shown.
#[derive(Clone)]
pub(super) struct Window {
    select: Arc<Select>,
    /// Rows passed over.
    offset: usize,
    /// How many rows have to be known, if not all.
    needed: Option<usize>,
}

/// The rows that are known: the first of all, or all of them.
pub(super) struct List {
    entries: Vec<Arc<Entry>>,
    by_id: BTreeSet<ById<Entry>>,
    has_all: bool,
    bytes: usize,
}

impl OfDocument for Entry {
    fn id(&self) -> &DocumentId {
        &self.id
    }
}

/// How a list is going to change.
pub(super) struct Splice {
    /// Where the entries stand that go, ascending.
    gone: Vec<usize>,
    /// What comes, in its order.
    new: Vec<Arc<Entry>>,
    /// Bytes of all entries then.
    pub(super) bytes: usize,
    /// Bytes of the entries that go, which the update still shows.
    pub(super) gone_bytes: usize,
}

impl Entry {
    fn bytes(&self) -> usize {
        OBSERVED_ROW_BYTES + self.id.as_bytes().len() + self.keys.held_bytes() + self.row.len()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.row == other.row
    }
}

impl Window {
    /// The rows that a statement shows; `None` if they can't be held up to date by document.
    pub(super) fn new(select: &Arc<Select>) -> Option<Self> {
        let (limit, offset) = select.limit_and_offset().ok()?;
        let needed = limit.map(|limit| limit.saturating_add(offset));
        let fits = offset.max(needed.unwrap_or(0)) <= OBSERVED_WINDOW_ROWS_MAX;
        (select.is_by_document() && fits).then(|| Self {
            select: Arc::clone(select),
            offset,
            needed,
        })
    }

    /// The row of a document, if it is selected.
    pub(super) fn entry(
        &self,
        id: DocumentId,
        document: &Value,
        deadline: &Deadline,
    ) -> Result<Option<Arc<Entry>>, StoreError> {
        let row = deadline.evaluate(|work| self.select.sorted_row(document, work))?;
        Ok(row.map(|(keys, row)| {
            let row = Row::from(row);
            Arc::new(Entry { id, keys, row })
        }))
    }

    /// The list of documents that come in any order, or, `in_order`, as their rows are to be: then no more are taken than
    /// are needed.
    ///
    /// # Errors
    /// One of them has no row, or the rows get too large.
    pub(super) fn list(
        &self,
        documents: impl Iterator<Item = Value>,
        in_order: bool,
        deadline: &Deadline,
    ) -> Result<List, StoreError> {
        let (least, most) = SPARE_ROWS;
        let wanted = self
            .needed
            .map_or(usize::MAX, |needed| needed + needed.clamp(least, most));
        let mut list = List::default();
        for document in documents {
            let Some(entry) = self.entry(id_of(&document)?, &document, deadline)? else {
                continue;
            };
            if in_order && list.entries.len() >= wanted {
                list.has_all = false;
                break;
            }
            list.bytes += entry.bytes();
            list.entries.push(entry);
            let is_much = list.entries.len() >= wanted.saturating_mul(2);
            if is_much || list.bytes > OBSERVED_BYTES_MAX {
                self.cut(&mut list, wanted);
                if list.bytes > OBSERVED_BYTES_MAX {
                    self.cut(&mut list, self.needed.unwrap_or(usize::MAX));
                    check_bytes(list.bytes)?;
                }
            }
        }
        self.cut(&mut list, wanted);
        list.by_id = list.entries.iter().cloned().map(ById).collect();
        Ok(list)
    }

    /// Sorts the list and leaves so many rows of it.
    fn cut(&self, list: &mut List, rows: usize) {
        list.entries.sort_by(|left, right| self.order(left, right));
        let rest = rows.min(list.entries.len());
        for entry in list.entries.drain(rest..) {
            list.bytes -= entry.bytes();
            list.has_all = false;
        }
    }

    /// Rows of equal keys stand by their documents' ids, as a SELECT gives them.
    fn order(&self, left: &Entry, right: &Entry) -> Ordering {
        let by_keys = self.select.order(&left.keys, &right.keys);
        by_keys.then_with(|| left.id.cmp(&right.id))
    }

    /// Which entries of a list are shown.
    fn shown(&self, list: &List) -> Range<usize> {
        let end = self.needed.unwrap_or(usize::MAX).min(list.entries.len());
        self.offset.min(end)..end
    }

    fn shows_all(&self) -> bool {
        self.offset == 0 && self.needed.is_none()
    }

    /// What changed documents do to a list; `None` when rows would be shown that aren't known.
    pub(super) fn splice(&self, list: &List, changed: Vec<Changed>) -> Option<Splice> {
        let place = |entry: &Entry| {
            let is_before = |other: &Arc<Entry>| self.order(other, entry).is_lt();
            list.entries.partition_point(is_before)
        };
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let (mut bytes, mut gone_bytes) = (list.bytes, 0);
        for (id, entry) in changed {
            if let Some(ById(earlier)) = list.by_id.get(&id) {
                if entry.as_ref().is_some_and(|entry| entry.is_same(earlier))
                    && entry
                        .as_ref()
                        .is_some_and(|entry| self.order(entry, earlier).is_eq())
                {
                    continue;
                }
                gone.push(place(earlier));
                bytes -= earlier.bytes();
                gone_bytes += earlier.bytes();
            }
            // Behind the last that is known there may be others which aren't.
            let is_known = |entry: &Arc<Entry>| list.has_all || place(entry) < list.entries.len();
            if let Some(entry) = entry.filter(is_known) {
                bytes += entry.bytes();
                new.push(entry);
            }
        }
        let rows = list.entries.len() - gone.len() + new.len();
        let is_enough = list.has_all || self.needed.is_none_or(|needed| rows >= needed);
        gone.sort_unstable();
        new.sort_by(|left, right| self.order(left, right));
        is_enough.then_some(Splice {
            gone,
            new,
            bytes,
            gone_bytes,
        })
    }

    /// Changes a list, and says what that changes of what is shown.
    pub(super) fn change(&self, list: &mut List, splice: Splice) -> Update<Row> {
        let before = match self.shows_all() {
            true => Vec::new(),
            false => list.entries[self.shown(list)].to_vec(),
        };
        let (start, old, new) = list.change(splice, |left, right| self.order(left, right));
        if self.shows_all() {
            return differing(start, &old, &new);
        }
        let update = differing(0, &before, &list.entries[self.shown(list)]);
        if let Some(needed) = self.needed {
            let (least, most) = SPARE_ROWS;
            list.forget(needed + 2 * needed.clamp(least, most));
        }
        update
    }

    /// Puts another list in a list's place, and says what that changes of what is shown.
    pub(super) fn replace(&self, list: &mut List, new: List) -> Update<Row> {
        let before = std::mem::replace(list, new);
        let shown = &before.entries[self.shown(&before)];
        differing(0, shown, &list.entries[self.shown(list)])
    }

    /// The rows that are shown.
    pub(super) fn rows(&self, list: &List) -> Vec<Row> {
        let shown = list.entries[self.shown(list)].iter();
        shown.map(|entry| entry.row.clone()).collect()
    }
}

/// Nothing, which is all there is.
impl Default for List {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_id: BTreeSet::new(),
            has_all: true,
            bytes: 0,
        }
    }
}

impl List {
    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Carries out a splice. Gives the place from which on entries changed, and those between there and the last changed
    /// one, before and after.
    fn change(
        &mut self,
        splice: Splice,
        order: impl Fn(&Entry, &Entry) -> Ordering,
    ) -> (usize, Vec<Arc<Entry>>, Vec<Arc<Entry>>) {
        let place = |entry: &Arc<Entry>| {
            let entries = &self.entries;
            entries.partition_point(|other| order(other, entry).is_lt())
        };
        let (first, last) = (splice.new.first().map(place), splice.new.last().map(place));
        let start = splice.gone.first().copied().into_iter().chain(first).min();
        let start = start.unwrap_or(0);
        let end = splice
            .gone
            .last()
            .map(|at| at + 1)
            .into_iter()
            .chain(last)
            .max();
        let end = end.unwrap_or(0);
        let old = self.entries[start..end].to_vec();
        let mut gone = splice.gone.iter().map(|at| at - start).peekable();
        let mut coming = splice.new.iter().cloned().peekable();
        let mut new = Vec::with_capacity(old.len() + splice.new.len());
        for (at, entry) in old.iter().enumerate() {
            if gone.next_if_eq(&at).is_some() {
                self.by_id.remove(&entry.id);
                continue;
            }
            new.extend(std::iter::from_fn(|| {
                coming.next_if(|coming| order(coming, entry).is_lt())
            }));
            new.push(Arc::clone(entry));
        }
        new.extend(coming);
        self.by_id.extend(splice.new.into_iter().map(ById));
        self.entries.splice(start..end, new.iter().cloned());
        self.bytes = splice.bytes;
        (start, old, new)
    }

    /// Forgets what is known beyond so many rows.
    fn forget(&mut self, rows: usize) {
        let rest = rows.min(self.entries.len());
        for entry in self.entries.drain(rest..) {
            self.by_id.remove(&entry.id);
            self.bytes -= entry.bytes();
            self.has_all = false;
        }
    }
}

/// The id that a stored document says it has.
fn id_of(document: &Value) -> Result<DocumentId, StoreError> {
    let id = document.get("_id").unwrap_or(&Value::Null);
    Ok(DocumentId::new(id)?)
}

/// How shown entries differ that stand behind `start` others.
fn differing(start: usize, before: &[Arc<Entry>], after: &[Arc<Entry>]) -> Update<Row> {
    let same =
        |left: &Arc<Entry>, right: &Arc<Entry>| Arc::ptr_eq(left, right) || left.is_same(right);
    let (skipped, before, after) = trimmed(before, after, same);
    difference(start + skipped, &keyed(before), &keyed(after))
}

fn keyed(entries: &[Arc<Entry>]) -> Vec<(&DocumentId, &Row)> {
    let keyed = entries.iter().map(|entry| (&entry.id, &entry.row));
    keyed.collect()
}

/// Both lists without the rows that they begin and end with alike, and how many they begin with.
pub(super) fn trimmed<'a, T>(
    before: &'a [T],
    after: &'a [T],
    same: impl Fn(&T, &T) -> bool,
) -> (usize, &'a [T], &'a [T]) {
    let alike = |(left, right): &(&T, &T)| same(left, right);
    let first = before.iter().zip(after).take_while(alike).count();
    let (before, after) = (&before[first..], &after[first..]);
    let ends = before.iter().rev().zip(after.iter().rev());
    let last = ends.take_while(alike).count();
    (
        first,
        &before[..before.len() - last],
        &after[..after.len() - last],
    )
}

/// Checks what one live query keeps.
pub(super) fn check_bytes(bytes: usize) -> Result<(), StoreError> {
    match bytes {
        ..=OBSERVED_BYTES_MAX => Ok(()),
        _ => Err(StoreError::ObservedTooLarge),
    }
}

//! Walking the entries of an index, in either direction.

use crate::query::plan::Walk;
use crate::store::database::damaged;
use crate::store::error::StoreError;
use crate::store::reads::Reads;
use crate::store::schema::{ENTRIES, EntryKey};
use rocksdb::DBRawIterator;
use std::cell::Cell;
use std::ops::Range;

/// What finding documents has cost so far.
#[derive(Debug, Default)]
pub(in crate::store) struct Costs {
    /// Entries of indexes that were read.
    pub(super) entries: Cell<u64>,
    /// Documents that were read.
    pub(super) documents: Cell<u64>,
    /// How many documents were read in vain before the order of an index was given up, if it was.
    pub(super) given_up_after: Cell<Option<u64>>,
}

impl Costs {
    /// Whether the documents that an index gave in its order are not all: it was given up.
    pub(in crate::store) fn has_given_up(&self) -> bool {
        self.given_up_after.get().is_some()
    }

    pub(in crate::store) fn count_document(&self) {
        add(&self.documents, 1);
    }
}

pub(super) fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get() + count as u64);
}

/// The entries of some ranges of an index. Backward, the greatest fields come first, and entries of equal fields
/// ascending by id as ever.
pub(super) struct Entries<'a> {
    raw: DBRawIterator<'a>,
    ranges: std::vec::IntoIter<Range<Vec<u8>>>,
    /// What is left of the range that is walked; its beginning backward, its end forward.
    range: Range<Vec<u8>>,
    backward: bool,
    /// Backward, the fields that are walked.
    group: Option<Vec<u8>>,
    /// What is at the place can't be read.
    is_damaged: bool,
    costs: &'a Costs,
}

impl<'a> Entries<'a> {
    pub(super) fn new(
        reads: Reads<'a>,
        index: u32,
        ranges: &[Range<Vec<u8>>],
        walk: Walk,
        costs: &'a Costs,
    ) -> Result<Self, StoreError> {
        let number = index.to_be_bytes();
        let of_index = |bytes: &Vec<u8>| [&number[..], bytes].concat();
        let ranges: Vec<_> = ranges
            .iter()
            .map(|range| of_index(&range.start)..of_index(&range.end))
            .collect();
        let mut entries = Self {
            raw: reads.raw(ENTRIES)?,
            ranges: ranges.into_iter(),
            range: Vec::new()..Vec::new(),
            backward: walk == Walk::Backward,
            group: None,
            is_damaged: false,
            costs,
        };
        entries.next_range();
        Ok(entries)
    }

    /// Goes to the next range; `false` when there is none.
    fn next_range(&mut self) -> bool {
        let Some(range) = self.ranges.next() else {
            return false;
        };
        self.range = range;
        match self.backward {
            false => self.raw.seek(&self.range.start),
            true => self.group_below(&self.range.end.clone()),
        }
        true
    }

    /// Goes to the first entry of the greatest fields below a key.
    fn group_below(&mut self, key: &[u8]) {
        self.group = None;
        self.raw.seek_for_prev(key);
        if self.raw.key().is_some_and(|found| found == key) {
            self.raw.prev();
        }
        let below = self.raw.item();
        let Some((key, value)) = below.filter(|(key, _)| *key >= self.range.start.as_slice())
        else {
            return;
        };
        let group = EntryKey::read(key, value).map(|entry| entry.group.to_vec());
        self.is_damaged = group.is_none();
        if let Some(group) = group {
            self.raw.seek(&group);
            self.group = Some(group);
        }
    }

    /// Calls `take` with the next entry's id; `None` at the end.
    pub(super) fn next_id<T>(
        &mut self,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, StoreError>> {
        loop {
            let inside = self.raw.item().filter(|(key, _)| match &self.group {
                Some(group) => key.starts_with(group),
                None => !self.backward && *key < self.range.end.as_slice(),
            });
            if let Some((key, value)) = inside {
                let taken = EntryKey::read(key, value).map(|entry| take(entry.id));
                add(&self.costs.entries, 1);
                self.raw.next();
                return Some(taken.ok_or_else(|| damaged(ENTRIES.as_bytes())));
            }
            if let Err(error) = self.raw.status() {
                return Some(Err(error.into()));
            }
            if std::mem::take(&mut self.is_damaged) {
                return Some(Err(damaged(ENTRIES.as_bytes())));
            }
            match self.group.take() {
                Some(group) => self.group_below(&group),
                None if self.next_range() => {}
                None => return None,
            }
        }
    }
}

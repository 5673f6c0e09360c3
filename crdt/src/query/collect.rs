//! The rows of an answer as they come in: made distinct, kept in order, cut to LIMIT and OFFSET, within bounded memory.

use super::compare::{Ranked, total_with_missing};
use super::error::QueryError;
use super::held::{Held, held_bytes};
use crate::value::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What one row is sorted by; `None` is MISSING.
pub(super) type Keys = Vec<Option<Value>>;

/// Sorting less often than every so many rows makes the cost per row small; the memory for them is small too.
const SLACK_ROWS: usize = 1024;

/// Gathers rows until the answer is complete.
pub(super) struct Collector<'a> {
    held: &'a Held,
    distinct: Option<BTreeSet<Ranked>>,
    /// For each sort key whether it descends. Empty: rows stay as they come.
    descending: Vec<bool>,
    limit: usize,
    offset: usize,
    rows: Vec<(Keys, Value)>,
    /// Rows passed over for OFFSET; only where rows stay as they come.
    passed: usize,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        held: &'a Held,
        distinct: bool,
        descending: Vec<bool>,
        limit: usize,
        offset: usize,
    ) -> Self {
        Collector {
            held,
            distinct: distinct.then(BTreeSet::new),
            descending,
            limit,
            offset,
            rows: Vec::new(),
            passed: 0,
        }
    }

    /// Whether no further row can change the answer.
    pub(super) fn is_full(&self) -> bool {
        self.limit == 0 || (self.descending.is_empty() && self.rows.len() >= self.limit)
    }

    pub(super) fn push(&mut self, row: Value, keys: Keys) -> Result<(), QueryError> {
        if let Some(seen) = &mut self.distinct {
            if !seen.insert(Ranked(Some(row.clone()))) {
                return Ok(());
            }
            self.held.add(row.held_bytes())?;
        }
        if self.descending.is_empty() && self.passed < self.offset {
            self.passed += 1;
            return Ok(());
        }
        if self.is_full() {
            return Ok(());
        }
        let bytes = row_bytes(&keys, &row);
        if self.is_to_cut(bytes) {
            self.cut();
        }
        self.held.add(bytes)?;
        self.rows.push((keys, row));
        Ok(())
    }

    /// Whether the surplus is to go before a row of so many bytes comes: there is much of it, or no room for the row.
    fn is_to_cut(&self, bytes: usize) -> bool {
        let (rows, wanted) = (self.rows.len(), self.wanted());
        let is_much = rows >= wanted.saturating_mul(2).max(SLACK_ROWS);
        !self.descending.is_empty() && rows > wanted && (is_much || !self.held.has_room(bytes))
    }

    /// Keeps the best rows only.
    fn cut(&mut self) {
        self.sort();
        let kept = self.wanted().min(self.rows.len());
        for (keys, row) in self.rows.drain(kept..) {
            self.held.release(row_bytes(&keys, &row));
        }
    }

    /// The answer.
    pub(super) fn finish(mut self) -> Vec<Value> {
        if self.limit == 0 {
            return Vec::new();
        }
        let mut skipped = 0;
        if !self.descending.is_empty() {
            self.cut();
            skipped = self.offset;
        }
        let rows = self.rows.into_iter().skip(skipped);
        rows.map(|(_, row)| row).collect()
    }

    /// Rows that can be in the sorted answer, those OFFSET passes over included.
    fn wanted(&self) -> usize {
        self.limit.saturating_add(self.offset)
    }

    /// Stable, so that rows of equal keys stay as they came, also across several calls.
    fn sort(&mut self) {
        let descending = &self.descending;
        self.rows
            .sort_by(|(left, _), (right, _)| order(left, right, descending.iter().copied()));
    }
}

/// Which of two rows comes first by what they are sorted by.
pub(super) fn order(left: &Keys, right: &Keys, descending: impl Iterator<Item = bool>) -> Ordering {
    let keys = left.iter().zip(right).zip(descending);
    keys.map(|((left, right), descends)| {
        let order = total_with_missing(left.as_ref(), right.as_ref());
        if descends { order.reverse() } else { order }
    })
    .find(|order| order.is_ne())
    .unwrap_or(Ordering::Equal)
}

fn row_bytes(keys: &Keys, row: &Value) -> usize {
    held_bytes(keys) + row.held_bytes()
}

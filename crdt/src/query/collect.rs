//! The rows of an answer as they come in: made distinct, kept in order, cut to LIMIT and OFFSET, within bounded memory.

use super::compare::{Ranked, total_with_missing};
use super::error::QueryError;
use super::limits::ROWS_HELD_MAX;
use crate::value::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What one row is sorted by; `None` is MISSING.
pub(super) type Keys = Vec<Option<Value>>;

/// Sorting less often than every so many rows makes the cost per row small; the memory for them is small too.
const SLACK_ROWS: usize = 1024;

/// Gathers rows until the answer is complete.
pub(super) struct Collector {
    distinct: Option<BTreeSet<Ranked>>,
    /// For each sort key whether it descends. Empty: rows stay as they come.
    descending: Vec<bool>,
    limit: Option<usize>,
    offset: usize,
    rows: Vec<(Keys, Value)>,
    /// Rows passed over for OFFSET; only where rows stay as they come.
    passed: usize,
}

impl Collector {
    pub(super) fn new(
        distinct: bool,
        descending: Vec<bool>,
        limit: Option<usize>,
        offset: usize,
    ) -> Self {
        Collector {
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
        match self.limit {
            Some(0) => true,
            Some(limit) => self.descending.is_empty() && self.rows.len() >= limit,
            None => false,
        }
    }

    pub(super) fn push(&mut self, row: Value, keys: Keys) -> Result<(), QueryError> {
        if let Some(seen) = &mut self.distinct {
            if !seen.insert(Ranked(Some(row.clone()))) {
                return Ok(());
            }
            check_held(seen.len())?;
        }
        if self.descending.is_empty() && self.passed < self.offset {
            self.passed += 1;
            return Ok(());
        }
        if self.is_full() {
            return Ok(());
        }
        self.rows.push((keys, row));
        if !self.descending.is_empty()
            && self.rows.len() >= self.wanted().saturating_mul(2).max(SLACK_ROWS)
        {
            self.sort();
            self.rows.truncate(self.wanted());
        }
        check_held(self.rows.len())
    }

    /// The answer.
    pub(super) fn finish(mut self) -> Vec<Value> {
        if self.limit == Some(0) {
            return Vec::new();
        }
        let mut skipped = 0;
        if !self.descending.is_empty() {
            self.sort();
            self.rows.truncate(self.wanted());
            skipped = self.offset;
        }
        let rows = self.rows.into_iter().skip(skipped);
        rows.map(|(_, row)| row).collect()
    }

    /// Rows that can be in the sorted answer, those OFFSET passes over included.
    fn wanted(&self) -> usize {
        self.limit
            .map_or(usize::MAX, |limit| limit.saturating_add(self.offset))
    }

    /// Stable, so that rows of equal keys stay as they came, also across several calls.
    fn sort(&mut self) {
        let descending = &self.descending;
        self.rows.sort_by(|(left, _), (right, _)| {
            let keys = left.iter().zip(right).zip(descending);
            keys.map(|((left, right), descends)| {
                let order = total_with_missing(left.as_ref(), right.as_ref());
                if *descends { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
        });
    }
}

fn check_held(rows: usize) -> Result<(), QueryError> {
    if rows <= ROWS_HELD_MAX {
        return Ok(());
    }
    Err(QueryError::without_place(format!(
        "the answer has more than {ROWS_HELD_MAX} rows; ask for it in pages with LIMIT, or narrow it with WHERE"
    )))
}

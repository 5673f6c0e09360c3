//! SELECT, document by document: what a live query keeps of each to hold a sorted result up to date.

use super::collect::{Keys, order};
use super::error::QueryError;
use super::select::{Columns, Select, count, row, shown};
use super::work::Work;
use crate::query::eval::Scope;
use crate::value::Value;
use std::cmp::Ordering;

/// What a row is sorted by.
#[derive(Debug)]
pub(crate) struct SortKeys(Keys);

#[cfg(feature = "rocksdb")]
impl SortKeys {
    /// About how much memory they take beside their place, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.0[..] {
            [] => 0,
            keys => super::held::held_bytes(keys),
        }
    }
}

impl Select {
    /// Whether each row is made of one document: no aggregate, GROUP BY or DISTINCT.
    pub(crate) fn is_by_document(&self) -> bool {
        self.grouping.is_none() && !self.distinct
    }

    /// The numbers of LIMIT and OFFSET.
    ///
    /// # Errors
    /// One of them is none.
    pub(crate) fn limit_and_offset(&self) -> Result<(Option<usize>, usize), QueryError> {
        let offset = count(self.offset.as_ref())?.unwrap_or(0);
        Ok((count(self.limit.as_ref())?, offset))
    }

    /// The row that a document makes and what it is sorted by; `None` when the filter doesn't select it. Only of a
    /// statement [by document](Self::is_by_document).
    ///
    /// # Errors
    /// Evaluation failed or has to end.
    pub(crate) fn sorted_row(
        &self,
        document: &Value,
        work: &Work<'_>,
    ) -> Result<Option<(SortKeys, Value)>, QueryError> {
        let scope = Scope::document(document, work);
        if !self.filter.holds(scope)? {
            return Ok(None);
        }
        let row = match &self.columns {
            Columns::Everything => shown(document.clone()),
            Columns::Named(columns) => row(columns, scope)?,
        };
        let sorted = match &self.columns {
            Columns::Everything => document,
            Columns::Named(_) => &row,
        };
        let keys = self.keys(scope, sorted)?;
        Ok(Some((SortKeys(keys), row)))
    }

    /// Which of two rows comes first by their keys.
    pub(crate) fn order(&self, left: &SortKeys, right: &SortKeys) -> Ordering {
        let descending = self.order.iter().map(|key| key.descending);
        order(&left.0, &right.0, descending)
    }
}

//! Statements about the past: SELECT … AS OF, HISTORY OF and REVERT, as far as no document is needed.

use super::ast::{Expr, ExprKind};
use super::error::{Position, QueryError, excerpt};
use super::eval::Scope;
use super::filter::Filter;
use super::held::Held;
use super::limits::PAGE_ROWS_MAX;
use super::select::{Page, count};
use super::work::Work;
use crate::time;
use crate::value::Value;
use std::ops::Range;

/// Bytes of a change's hash.
const HASH_BYTES: usize = 32;

/// Where in the past a statement looks.
#[derive(Clone, Debug, PartialEq)]
pub struct PastPoint {
    pub(super) expr: Expr,
}

/// What such a place says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// A time, in milliseconds since 1970.
    Time(i64),
    /// So many milliseconds before now.
    Ago(i64),
    /// The hashes of changes of one document.
    Changes(Vec<[u8; HASH_BYTES]>),
}

impl PastPoint {
    /// What it says, in a statement with this filter.
    ///
    /// # Errors
    /// It is no point in the past, or names changes without saying of which one document.
    pub fn point(&self, filter: &Filter) -> Result<Point, QueryError> {
        let value = self.expr.built(Scope::nothing(&Work::default()))?;
        let point = match value.as_ref().and_then(point_of) {
            Some(point) => point,
            None => return Err(self.no_point(value.as_ref())),
        };
        match point {
            Point::Changes(_) if filter.document_id().is_none() => Err(self.at().error(
                "changes belong to one document; say which one with WHERE _id = …, or name a time",
            )),
            point => Ok(point),
        }
    }

    /// The error where only the present can be shown.
    pub fn not_live(&self) -> QueryError {
        self.at()
            .error("a live query shows the present; leave AS OF out")
    }

    /// The error for a change that the document doesn't have.
    pub fn unknown_change(&self, document: &str, change: &str) -> QueryError {
        self.at().error(format!(
            "document {document} has no change {change}; HISTORY OF {} FROM … shows its changes",
            excerpt(document)
        ))
    }

    fn at(&self) -> Position {
        self.expr.at
    }

    fn no_point(&self, found: Option<&Value>) -> QueryError {
        if let Some(reason) = found.and_then(Value::as_str).and_then(time::leap_second) {
            return self.at().error(reason);
        }
        let found = found.map_or("missing".to_owned(), |value| excerpt(&value.to_string()));
        self.at().error(format!(
            "expected a time such as '2026-11-23T12:00:00Z', '2026-11-23' or '-5 minutes', milliseconds since 1970, or \
             a list of changes as HISTORY OF shows them; found {found}"
        ))
    }

    /// Checks what says the same whatever the parameters are.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        let is_open = |kind: &ExprKind| matches!(kind, ExprKind::Parameter(_));
        if self.expr.find(&is_open).is_some() {
            return Ok(());
        }
        let value = self.expr.built(Scope::nothing(&Work::default()))?;
        match value.as_ref().and_then(point_of) {
            Some(_) => Ok(()),
            None => Err(self.no_point(value.as_ref())),
        }
    }
}

fn point_of(value: &Value) -> Option<Point> {
    match value {
        Value::Int(ms) => Some(Point::Time(*ms)),
        Value::String(text) => ago(text)
            .map(Point::Ago)
            .or_else(|| time::parse(text).map(Point::Time)),
        Value::List(changes) if !changes.is_empty() => {
            let hashes = changes.iter().map(|change| hash(change.as_str()?));
            hashes.collect::<Option<_>>().map(Point::Changes)
        }
        _ => None,
    }
}

/// The milliseconds of `-5 minutes`.
fn ago(text: &str) -> Option<i64> {
    let (number, unit) = text.strip_prefix('-')?.split_once(' ')?;
    let unit_ms = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => 1_000,
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => 86_400_000,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    i64::from(number).checked_mul(unit_ms)
}

fn hash(text: &str) -> Option<[u8; HASH_BYTES]> {
    let mut hash = [0; HASH_BYTES];
    let digits = text.as_bytes();
    if digits.len() != 2 * HASH_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// A HISTORY statement: the changes of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub(super) collection: String,
    pub(super) id: Expr,
    pub(super) newest_first: bool,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
}

impl History {
    /// The collection that is read.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The document's `_id`.
    ///
    /// # Errors
    /// The expression fails.
    pub fn document_id(&self) -> Result<Value, QueryError> {
        let id = self.id.built(Scope::nothing(&Work::default()))?;
        Ok(id.unwrap_or(Value::Null))
    }

    /// The answer: the rows of some of the document's changes, which are numbered from the earliest.
    ///
    /// # Errors
    /// A row can't be made, or they take more than [`HELD_BYTES_MAX`](super::limits::HELD_BYTES_MAX).
    pub fn page<E: From<QueryError>>(
        &self,
        changes: usize,
        mut row: impl FnMut(usize) -> Result<Option<Value>, E>,
    ) -> Result<Page, E> {
        let wanted = self.wanted(changes)?;
        let has_more = wanted.len() > PAGE_ROWS_MAX;
        let held = Held::default();
        let mut rows = Vec::new();
        for number in wanted.take(PAGE_ROWS_MAX) {
            let number = match self.newest_first {
                true => changes - 1 - number,
                false => number,
            };
            if let Some(row) = row(number)? {
                held.add(row.held_bytes())?;
                rows.push(row);
            }
        }
        Ok(Page { rows, has_more })
    }

    /// The places of the rows among all, from 0.
    fn wanted(&self, changes: usize) -> Result<Range<usize>, QueryError> {
        let first = count(self.offset.as_ref())?.unwrap_or(0).min(changes);
        let limit = count(self.limit.as_ref())?.unwrap_or(usize::MAX);
        Ok(first..first.saturating_add(limit).min(changes))
    }

    pub(super) fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        visit(&mut self.id);
        self.limit.iter_mut().for_each(&mut *visit);
        self.offset.iter_mut().for_each(&mut *visit);
    }

    pub(super) fn check(&self) -> Result<(), QueryError> {
        for bound in [&self.limit, &self.offset].into_iter().flatten() {
            if !matches!(bound.kind, ExprKind::Parameter(_)) {
                count(Some(bound))?;
            }
        }
        Ok(())
    }
}

/// A REVERT statement: documents get back the value that they had.
#[derive(Clone, Debug, PartialEq)]
pub struct Revert {
    pub(super) collection: String,
    pub(super) past: PastPoint,
    pub(super) filter: Filter,
}

impl Revert {
    /// The collection that is written.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Whose value documents get back.
    pub fn past(&self) -> &PastPoint {
        &self.past
    }

    /// The WHERE clause; it is about the documents as they were.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(super) fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        visit(&mut self.past.expr);
        self.filter.condition_mut().into_iter().for_each(visit);
    }

    pub(super) fn check(&self) -> Result<(), QueryError> {
        self.past.check()?;
        self.filter.check()
    }
}

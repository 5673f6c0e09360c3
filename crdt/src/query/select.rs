//! SELECT: which rows the documents of a collection make.

use super::aggregate::{Accumulator, AggregateCall};
use super::ast::{Expr, ExprKind};
use super::collect::{Collector, Keys};
use super::compare::Ranked;
use super::error::{Position, QueryError};
use super::eval::Scope;
use super::filter::Filter;
use super::held::{Held, held_bytes};
use super::history::PastPoint;
use super::limits::PAGE_ROWS_MAX;
use super::work::Work;
use crate::value::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A SELECT statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub(super) collection: String,
    pub(super) as_of: Option<PastPoint>,
    pub(super) filter: Filter,
    pub(super) distinct: bool,
    pub(super) columns: Columns,
    pub(super) grouping: Option<Grouping>,
    pub(super) order: Vec<SortKey>,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
}

/// The rows of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// At most [`PAGE_ROWS_MAX`] rows.
    pub rows: Vec<Value>,
    /// Whether the statement asks for rows beyond these, and there are some.
    pub has_more: bool,
}

/// What a row consists of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Columns {
    /// The document itself.
    Everything,
    Named(Vec<Column>),
}

impl Columns {
    pub(super) fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        if let Columns::Named(columns) = self {
            columns
                .iter_mut()
                .for_each(|column| visit(&mut column.expr));
        }
    }
}

/// One member of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) expr: Expr,
}

/// How documents are made into groups. Without keys, all of them are one group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grouping {
    pub(super) keys: Vec<Expr>,
    pub(super) aggregates: Vec<AggregateCall>,
    pub(super) having: Filter,
}

/// One expression of ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SortKey {
    pub(super) by: SortBy,
    pub(super) descending: bool,
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SortBy {
    /// The column of this name.
    Column(String),
    Expression(Expr),
}

impl Select {
    /// The collection that is read.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The point in the past that is read; without one it is the present.
    pub fn as_of(&self) -> Option<&PastPoint> {
        self.as_of.as_ref()
    }

    /// The WHERE clause.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The statement's answer over the documents of its collection: filtered, grouped, made distinct, ordered, limited
    /// and projected.
    ///
    /// Documents are taken one by one, no more of them than the answer needs. With ORDER BY and LIMIT only the best
    /// rows are held. Without ORDER BY, rows come in the order of the documents, groups in the order of their keys.
    ///
    /// # Errors
    /// Evaluation failed or has to end, a parameter has no value, or more would have to be held than
    /// [`HELD_BYTES_MAX`](crate::query::limits::HELD_BYTES_MAX).
    pub fn rows(
        &self,
        documents: impl IntoIterator<Item = Value>,
        work: &Work<'_>,
    ) -> Result<Vec<Value>, QueryError> {
        self.collect(documents, usize::MAX, work)
    }

    /// The first [`PAGE_ROWS_MAX`] of the [`rows`](Self::rows), and whether there are more. No more than these are held
    /// at once, twice as many where they are sorted.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn page(
        &self,
        documents: impl IntoIterator<Item = Value>,
        work: &Work<'_>,
    ) -> Result<Page, QueryError> {
        // One row more than the page holds tells whether there are more.
        let mut rows = self.collect(documents, PAGE_ROWS_MAX + 1, work)?;
        let has_more = rows.len() > PAGE_ROWS_MAX;
        rows.truncate(PAGE_ROWS_MAX);
        Ok(Page { rows, has_more })
    }

    fn collect(
        &self,
        documents: impl IntoIterator<Item = Value>,
        rows_max: usize,
        work: &Work<'_>,
    ) -> Result<Vec<Value>, QueryError> {
        let held = Held::default();
        let limit = count(self.limit.as_ref())?.unwrap_or(usize::MAX);
        let mut answer = Collector::new(
            &held,
            self.distinct,
            self.order.iter().map(|key| key.descending).collect(),
            limit.min(rows_max),
            count(self.offset.as_ref())?.unwrap_or(0),
        );
        let mut documents = documents.into_iter();
        if let Some(grouping) = &self.grouping {
            if !answer.is_full() {
                self.group(grouping, documents, work, &held, &mut answer)?;
            }
            return Ok(answer.finish());
        }
        while !answer.is_full() {
            let Some(document) = documents.next() else {
                break;
            };
            let scope = Scope::document(&document, work);
            if !self.filter.holds(scope)? {
                continue;
            }
            match &self.columns {
                Columns::Everything => {
                    let keys = self.keys(scope, &document)?;
                    answer.push(shown(document), keys)?;
                }
                Columns::Named(columns) => {
                    let row = row(columns, scope)?;
                    let keys = self.keys(scope, &row)?;
                    answer.push(row, keys)?;
                }
            }
        }
        Ok(answer.finish())
    }

    fn group(
        &self,
        grouping: &Grouping,
        documents: impl Iterator<Item = Value>,
        work: &Work<'_>,
        held: &Held,
        answer: &mut Collector<'_>,
    ) -> Result<(), QueryError> {
        let fresh = || grouping.aggregates.iter().map(Accumulator::new).collect();
        let mut groups: BTreeMap<Vec<Ranked>, Vec<Accumulator<'_>>> = BTreeMap::new();
        if grouping.keys.is_empty() {
            groups.insert(Vec::new(), fresh());
        }
        for document in documents {
            let scope = Scope::document(&document, work);
            if !self.filter.holds(scope)? {
                continue;
            }
            let keys = grouping
                .keys
                .iter()
                .map(|key| Ok(Ranked(key.value(scope)?.map(|value| value.into_owned()))))
                .collect::<Result<Vec<_>, QueryError>>()?;
            let accumulators = match groups.entry(keys) {
                Entry::Occupied(group) => group.into_mut(),
                Entry::Vacant(group) => {
                    let keys = held_bytes(group.key().iter().map(|key| &key.0));
                    held.add(keys + size_of::<Accumulator<'_>>() * grouping.aggregates.len())?;
                    group.insert(fresh())
                }
            };
            for accumulator in accumulators {
                accumulator.add(scope, held)?;
            }
        }
        let Columns::Named(columns) = &self.columns else {
            return Err(QueryError::without_place("groups have no * to select"));
        };
        for (keys, accumulators) in groups {
            let keys: Vec<Option<Value>> = keys.into_iter().map(|key| key.0).collect();
            let aggregates = accumulators
                .into_iter()
                .map(Accumulator::finish)
                .collect::<Result<Vec<_>, _>>()?;
            let scope = Scope::group(&keys, &aggregates, work);
            if answer.is_full() || !grouping.having.holds(scope)? {
                continue;
            }
            let row = row(columns, scope)?;
            let keys = self.keys(scope, &row)?;
            answer.push(row, keys)?;
        }
        Ok(())
    }

    /// What a row is sorted by.
    pub(super) fn keys(&self, scope: Scope<'_>, row: &Value) -> Result<Keys, QueryError> {
        self.order
            .iter()
            .map(|key| match &key.by {
                SortBy::Column(name) => Ok(row.get(name).cloned()),
                SortBy::Expression(expr) => Ok(expr.value(scope)?.map(|value| value.into_owned())),
            })
            .collect()
    }

    /// Visits every expression, so that parameters can be put in.
    pub(super) fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.columns.for_each_expr_mut(visit);
        if let Some(past) = &mut self.as_of {
            visit(&mut past.expr);
        }
        self.filter
            .condition_mut()
            .into_iter()
            .for_each(&mut *visit);
        if let Some(grouping) = &mut self.grouping {
            grouping.keys.iter_mut().for_each(&mut *visit);
            let calls = grouping.aggregates.iter_mut();
            calls
                .filter_map(|call| call.argument.as_mut())
                .for_each(&mut *visit);
            grouping
                .having
                .condition_mut()
                .into_iter()
                .for_each(&mut *visit);
        }
        for key in &mut self.order {
            if let SortBy::Expression(expr) = &mut key.by {
                visit(expr);
            }
        }
        self.limit.iter_mut().for_each(&mut *visit);
        self.offset.iter_mut().for_each(&mut *visit);
    }

    /// Checks what can only be checked once parameters have values.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        if let Some(past) = &self.as_of {
            past.check()?;
        }
        self.filter.check()?;
        if let Some(grouping) = &self.grouping {
            grouping.having.check()?;
        }
        check_bounds([&self.limit, &self.offset])
    }
}

/// Checks what LIMIT and OFFSET give, unless that is still a parameter.
pub(super) fn check_bounds<'a>(
    bounds: impl IntoIterator<Item = &'a Option<Expr>>,
) -> Result<(), QueryError> {
    let bounds = bounds.into_iter().flatten();
    for bound in bounds.filter(|bound| !matches!(bound.kind, ExprKind::Parameter(_))) {
        count(Some(bound))?;
    }
    Ok(())
}

/// A document as a row.
pub(super) fn shown(document: Value) -> Value {
    document.visible().plain()
}

/// The row that the columns make; missing values are left out.
pub(super) fn row(columns: &[Column], scope: Scope<'_>) -> Result<Value, QueryError> {
    let mut members = BTreeMap::new();
    for column in columns {
        if let Some(value) = column.expr.built(scope)? {
            members.insert(column.name.clone(), value.plain());
        }
    }
    Ok(Value::Map(members))
}

/// The number that LIMIT or OFFSET gives.
pub(super) fn count(bound: Option<&Expr>) -> Result<Option<usize>, QueryError> {
    let Some(bound) = bound else { return Ok(None) };
    match bound.value(Scope::nothing(&Work::default()))?.as_deref() {
        Some(Value::Int(number)) if *number >= 0 => {
            Ok(Some(usize::try_from(*number).unwrap_or(usize::MAX)))
        }
        Some(other) => Err(not_a_count(bound.at, &other.to_string())),
        None => Err(not_a_count(bound.at, "nothing")),
    }
}

fn not_a_count(at: Position, found: &str) -> QueryError {
    at.error(format!(
        "LIMIT and OFFSET take a whole number from 0, not {}",
        super::error::excerpt(found)
    ))
}

//! Which entries of an index a statement has to read: from its filter, its order and the fields of the indexes to
//! ranges of keys. Nothing here reads; the store chooses among the candidates by what they hold.
//!
//! A candidate's ranges have the key of every document that the filter keeps. They may have others', so each document
//! is tested all the same.

mod condition;
pub(crate) mod key;
mod span;

#[cfg(test)]
mod tests;

use super::ast::Expr;
use super::filter::Filter;
use super::limits::PAGE_ROWS_MAX;
use super::select::{Columns, Select, SortBy, count};
use crate::limits::INDEX_RANGES_MAX;
use condition::{Condition, conditions, names};
use key::ABOVE_ALL;
use span::Span;
use std::ops::Range;

/// One field of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexField {
    /// The names that lead to it from the document's root.
    pub path: Vec<String>,
    /// Whether its greatest values come first.
    pub descending: bool,
}

/// An index as planning sees it.
pub(crate) struct PlannedIndex<'a> {
    pub(crate) fields: &'a [IndexField],
    /// Whether its entries stand in the order of its fields' values: none of them was cut.
    pub(crate) is_ordered: bool,
}

/// What a statement wants of the documents beside that its filter keeps them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// What the documents are to be sorted by, and whether it descends; then by id.
    order: Vec<(Vec<String>, bool)>,
    /// How many documents are enough, if they come in this order.
    pub(crate) documents: Option<usize>,
}

impl Wanted {
    /// So many documents, ascending by id.
    pub(crate) fn first(limit: usize) -> Self {
        Self {
            order: Vec::new(),
            documents: (limit < usize::MAX).then_some(limit),
        }
    }
}

/// How the documents come that an index leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// In no order that is wanted: their ids have to be sorted.
    Unordered,
    /// As the entries stand.
    Forward,
    /// The greatest keys first, those of equal keys by id.
    Backward,
}

/// One way to find the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The index, by its place among those given.
    pub(crate) index: usize,
    /// Ranges of keys, ascending, without overlap.
    pub(crate) ranges: Vec<Range<Vec<u8>>>,
    pub(crate) walk: Walk,
    /// Whether this is the order of ORDER BY, so that nothing is left to sort.
    pub(crate) sorts: bool,
    /// Fields of the index that the filter bounds.
    pub(crate) fields_bound: usize,
    /// Whether it says something of the next field too, which would make more than [`INDEX_RANGES_MAX`] ranges.
    pub(crate) is_cut: bool,
    /// Whether the filter may refuse documents of the ranges.
    pub(crate) is_filtered: bool,
    /// What bounds the ranges, in words; empty when nothing does.
    pub(crate) text: String,
}

/// The ways that indexes offer, and those that offer none.
pub(crate) fn candidates(
    filter: &Filter,
    wanted: &Wanted,
    indexes: &[PlannedIndex<'_>],
) -> (Vec<Candidate>, Vec<Candidate>) {
    let (conditions, parts) = conditions(filter.condition());
    let all = indexes.iter().enumerate().map(|(place, index)| {
        let mut candidate = bounded(place, index, &conditions, parts);
        candidate.order_by(index, wanted, &conditions);
        candidate
    });
    all.partition(|candidate| candidate.fields_bound > 0 || candidate.sorts)
}

/// The ranges that conditions on the first fields of an index leave.
fn bounded(
    place: usize,
    index: &PlannedIndex<'_>,
    conditions: &[Condition],
    parts: usize,
) -> Candidate {
    let mut prefixes = vec![Vec::new()];
    let mut last: Option<Vec<Span>> = None;
    let (mut used, mut is_cut) = (Vec::new(), false);
    for field in index.fields {
        let found = conditions
            .iter()
            .find(|condition| condition.path == field.path);
        let Some(condition) = found else { break };
        let mut spans = condition.spans.spans.clone();
        if field.descending {
            spans = spans.iter().rev().map(Span::descending).collect();
        }
        if prefixes.len().saturating_mul(spans.len()) > INDEX_RANGES_MAX {
            is_cut = true;
            break;
        }
        used.push(condition);
        if !spans.iter().all(|span| span.is_point) {
            last = Some(spans);
            break;
        }
        let extended = prefixes.iter().flat_map(|prefix| {
            let points = spans.iter();
            points.map(move |span| [&prefix[..], &span.start].concat())
        });
        prefixes = extended.collect();
    }
    let ranges = prefixes.iter().flat_map(|prefix| match &last {
        Some(spans) => spans
            .iter()
            .map(|span| within(prefix, &span.start, &span.end))
            .collect(),
        None if prefix.is_empty() => vec![Vec::new()..vec![ABOVE_ALL]],
        None => vec![prefix.clone()..key::successor(prefix.clone())],
    });
    let texts: Vec<&str> = used
        .iter()
        .map(|condition| condition.text.as_str())
        .collect();
    let covered: usize = used
        .iter()
        .filter(|condition| condition.spans.is_exact)
        .map(|condition| condition.parts)
        .sum();
    Candidate {
        index: place,
        ranges: ranges.collect(),
        walk: Walk::Unordered,
        sorts: false,
        fields_bound: used.len(),
        is_cut,
        is_filtered: covered < parts,
        text: texts.join(" AND "),
    }
}

fn within(prefix: &[u8], start: &[u8], end: &[u8]) -> Range<Vec<u8>> {
    [prefix, start].concat()..[prefix, end].concat()
}

impl Candidate {
    /// Sees whether the entries stand in the order that is wanted. They do if its fields are exactly
    /// what is sorted by, fields of one value left out: with more of them, equal rows would not come by id.
    fn order_by(&mut self, index: &PlannedIndex<'_>, wanted: &Wanted, conditions: &[Condition]) {
        let is_single = |path: &[String]| {
            let mut conditions = conditions.iter();
            conditions.any(|condition| condition.path == path && condition.spans.is_single())
        };
        let mut fields = index.fields.iter().filter(|field| !is_single(&field.path));
        let mut keys = wanted.order.iter().filter(|(path, _)| !is_single(path));
        if !index.is_ordered || self.ranges.len() != 1 {
            return;
        }
        let mut walk = None;
        loop {
            match (fields.next(), keys.next()) {
                (None, None) => break,
                (Some(field), Some((path, descending))) if field.path == *path => {
                    let this = match field.descending == *descending {
                        true => Walk::Forward,
                        false => Walk::Backward,
                    };
                    if *walk.get_or_insert(this) != this {
                        return;
                    }
                }
                _ => return,
            }
        }
        self.walk = walk.unwrap_or(Walk::Forward);
        self.sorts = !wanted.order.is_empty();
    }
}

impl Select {
    /// The order in which documents are to come, and how many are enough.
    pub(crate) fn wanted(&self) -> Wanted {
        if self.grouping.is_some() || self.distinct {
            return Wanted::default();
        }
        let order: Option<Vec<_>> = self
            .order
            .iter()
            .map(|key| {
                let expr = match &key.by {
                    SortBy::Expression(expr) => expr,
                    SortBy::Column(name) => self.column(name)?,
                };
                Some((names(expr)?, key.descending))
            })
            .collect();
        let bound = |expr: &Option<Expr>| count(expr.as_ref()).ok().flatten();
        let rows = bound(&self.limit)
            .unwrap_or(PAGE_ROWS_MAX + 1)
            .min(PAGE_ROWS_MAX + 1);
        let rows = rows.saturating_add(bound(&self.offset).unwrap_or(0));
        match order {
            Some(order) => Wanted {
                order,
                documents: Some(rows),
            },
            None => Wanted::default(),
        }
    }

    fn column(&self, name: &str) -> Option<&Expr> {
        let Columns::Named(columns) = &self.columns else {
            return None;
        };
        let mut columns = columns.iter();
        columns
            .find(|column| column.name == name)
            .map(|column| &column.expr)
    }

    /// Whether it has an ORDER BY.
    pub(crate) fn is_sorted(&self) -> bool {
        !self.order.is_empty()
    }

    /// The same over documents that come in the order of its ORDER BY already.
    pub(crate) fn without_order(&self) -> Select {
        Select {
            order: Vec::new(),
            ..self.clone()
        }
    }
}

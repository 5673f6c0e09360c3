//! The grammar of SELECT, and what can be checked without any document.

use super::ast::{Expr, ExprKind, Segment};
use super::error::QueryError;
use super::expression::INFIX_WORDS;
use super::filter::Filter;
use super::lexer::Token;
use super::limits::KEYS_MAX;
use super::names::Access;
use super::parser::{Aggregates, Parser};
use super::select::{Column, Columns, Grouping, Select, SortBy, SortKey};
use std::collections::BTreeSet;

/// The clauses after FROM, in the order they are written in.
const CLAUSES: [&str; 7] = [
    "AS OF", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET",
];

/// What other SQL has after FROM and this language has not.
const NOT_SUPPORTED: [&str; 14] = [
    "CROSS",
    "EXCEPT",
    "FETCH",
    "FULL",
    "INNER",
    "INTERSECT",
    "JOIN",
    "LEFT",
    "NATURAL",
    "NULLS",
    "RETURNING",
    "RIGHT",
    "UNION",
    "WINDOW",
];

impl Parser<'_> {
    /// Everything after `SELECT`.
    pub(super) fn select(&mut self) -> Result<Select, QueryError> {
        let distinct = self.eat("DISTINCT");
        self.context = Aggregates::Allowed;
        let mut columns = self.columns()?;
        if !self.eat("FROM") {
            return Err(self.unexpected(
                "`,` or FROM (a column is renamed with AS)",
                &["FROM", "AS", "AND", "OR"],
            ));
        }
        let collection = self.collection(Access::Read)?;
        let as_of = self.as_of()?;
        let filter = self.condition()?;
        let group_by = self.group_by()?;
        let mut having = self.having()?;
        let order_at = self.at();
        let mut order = self.order_by(&columns)?;
        let limit = self.bound("LIMIT")?;
        let offset = self.bound("OFFSET")?;
        self.end_of_select()?;

        if distinct
            && let Columns::Named(_) = columns
            && order
                .iter()
                .any(|key| matches!(key.by, SortBy::Expression(_)))
        {
            return Err(order_at.error(
                "SELECT DISTINCT is ordered by its columns only; select what you order by and name it with AS",
            ));
        }
        let aggregates = std::mem::take(&mut self.aggregates);
        let is_grouped = group_by.is_some() || having.is_some() || !aggregates.is_empty();
        let grouping = is_grouped.then(|| group_by.unwrap_or_default());
        if let Some(keys) = &grouping {
            check_grouped(keys, &mut columns, &mut having, &mut order)?;
        }
        Ok(Select {
            collection,
            as_of,
            filter,
            distinct,
            columns,
            grouping: grouping.map(|keys| Grouping {
                keys,
                aggregates,
                having: Filter::new(having),
            }),
            order,
            limit,
            offset,
        })
    }

    pub(super) fn columns(&mut self) -> Result<Columns, QueryError> {
        if self.sees_symbol("*") {
            self.take();
            if self.sees_symbol(",") {
                return Err(self
                    .at()
                    .error("`*` is the whole document and stands alone; list the fields instead"));
            }
            return Ok(Columns::Everything);
        }
        let mut columns = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let start = self.offset();
            let expr = self.expression()?;
            let source = self.source_since(start);
            let name = if self.eat("AS") {
                self.name("the column's name")?
            } else {
                implied_name(&expr).unwrap_or(source)
            };
            if !names.insert(name.clone()) {
                return Err(expr.at.error(format!(
                    "two columns are named {name}; give one of them another name with AS"
                )));
            }
            columns.push(Column { name, expr });
            if !self.eat_symbol(",") {
                return Ok(Columns::Named(columns));
            }
        }
    }

    /// `[WHERE condition]`
    pub(super) fn condition(&mut self) -> Result<Filter, QueryError> {
        if !self.eat("WHERE") {
            return Ok(Filter::default());
        }
        let context = std::mem::replace(
            &mut self.context,
            Aggregates::Forbidden("in WHERE; conditions on groups stand in HAVING"),
        );
        let condition = self.expression()?;
        self.context = context;
        Ok(Filter::new(Some(condition)))
    }

    fn group_by(&mut self) -> Result<Option<Vec<Expr>>, QueryError> {
        if !self.sees_pair("GROUP", "BY") {
            return Ok(None);
        }
        self.take();
        self.take();
        self.context = Aggregates::Forbidden("in GROUP BY");
        let mut keys = Vec::new();
        loop {
            let key = self.expression()?;
            if keys.len() == KEYS_MAX {
                return Err(key
                    .at
                    .error(format!("GROUP BY takes at most {KEYS_MAX} expressions")));
            }
            if let ExprKind::Literal(_) = key.kind {
                return Err(key
                    .at
                    .error("GROUP BY a constant makes one group of everything; name a field"));
            }
            keys.push(key);
            if !self.eat_symbol(",") {
                self.context = Aggregates::Allowed;
                return Ok(Some(keys));
            }
        }
    }

    fn having(&mut self) -> Result<Option<Expr>, QueryError> {
        self.eat("HAVING").then(|| self.expression()).transpose()
    }

    fn order_by(&mut self, columns: &Columns) -> Result<Vec<SortKey>, QueryError> {
        let mut order = Vec::new();
        if !self.sees_pair("ORDER", "BY") {
            return Ok(order);
        }
        self.take();
        self.take();
        loop {
            let expr = self.expression()?;
            if order.len() == KEYS_MAX {
                return Err(expr
                    .at
                    .error(format!("ORDER BY takes at most {KEYS_MAX} expressions")));
            }
            if let ExprKind::Literal(_) = expr.kind {
                return Err(expr
                    .at
                    .error("ORDER BY a constant orders nothing; name a field or a column"));
            }
            let descending = self.eat("DESC");
            if !descending {
                self.eat("ASC");
            }
            order.push(SortKey {
                by: sort_by(expr, columns),
                descending,
            });
            if !self.eat_symbol(",") {
                return Ok(order);
            }
        }
    }

    /// `[LIMIT n]` or `[OFFSET n]`, where n is a number or a parameter.
    pub(super) fn bound(&mut self, keyword: &str) -> Result<Option<Expr>, QueryError> {
        if !self.eat(keyword) {
            return Ok(None);
        }
        match self.peek() {
            Token::Number(_) => self.number("").map(Some),
            Token::Symbol(":") => self.parameter().map(Some),
            _ => Err(self.unexpected(
                &format!("a whole number from 0 or a :parameter after {keyword}"),
                &[],
            )),
        }
    }

    /// The end, or an error that knows which clause was meant.
    fn end_of_select(&mut self) -> Result<(), QueryError> {
        if let Token::Word(word) = self.peek() {
            let word = word.to_ascii_uppercase();
            if NOT_SUPPORTED.contains(&word.as_str()) {
                return Err(self
                    .at()
                    .error(format!("{word} is not supported in SELECT")));
            }
            for pair in ["GROUP", "ORDER"] {
                if word == pair && !self.sees_pair(pair, "BY") {
                    self.take();
                    return Err(self.unexpected(&format!("BY after {pair}"), &["BY"]));
                }
            }
            if CLAUSES
                .iter()
                .any(|clause| clause.split(' ').next() == Some(&word))
            {
                return Err(self.at().error(format!(
                    "{word} stands twice or out of order; the order is {}",
                    CLAUSES.join(", ")
                )));
            }
        }
        let words = [
            &INFIX_WORDS[..],
            &[
                "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "ASC", "DESC",
            ],
        ];
        self.end("a clause or the end of the statement", &words.concat())
    }
}

/// The last name of a path names its column.
fn implied_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Path(path) => match path.last() {
            Some(Segment::Name(name)) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// A single name that is a column's orders by that column, as in SQL; all else by the document or group.
fn sort_by(expr: Expr, columns: &Columns) -> SortBy {
    let Columns::Named(columns) = columns else {
        return SortBy::Expression(expr);
    };
    let same = columns.iter().find(|column| match &expr.kind {
        ExprKind::Path(path) => matches!(&path[..], [Segment::Name(name)] if *name == column.name),
        _ => false,
    });
    match same.or_else(|| columns.iter().find(|column| column.expr == expr)) {
        Some(column) => SortBy::Column(column.name.clone()),
        None => SortBy::Expression(expr),
    }
}

/// Makes expressions over groups refer to the groups' keys, and refuses those that need a single document.
fn check_grouped(
    keys: &[Expr],
    columns: &mut Columns,
    having: &mut Option<Expr>,
    order: &mut [SortKey],
) -> Result<(), QueryError> {
    let Columns::Named(columns) = columns else {
        return Err(QueryError::without_place(
            "SELECT * has no meaning for groups; list the GROUP BY expressions and aggregates instead",
        ));
    };
    for column in columns {
        over_group(&mut column.expr, keys)?;
    }
    if let Some(expr) = having {
        over_group(expr, keys)?;
    }
    for key in order {
        if let SortBy::Expression(expr) = &mut key.by {
            over_group(expr, keys)?;
        }
    }
    Ok(())
}

fn over_group(expr: &mut Expr, keys: &[Expr]) -> Result<(), QueryError> {
    if let Some(index) = keys.iter().position(|key| key == expr) {
        expr.kind = ExprKind::GroupKey(index);
        return Ok(());
    }
    if let ExprKind::Path(_) = expr.kind {
        return Err(expr.at.error(
            "this field differs between the documents of a group; add it to GROUP BY or put it into an aggregate",
        ));
    }
    let mut outcome = Ok(());
    expr.kind.for_each_child_mut(&mut |child| {
        if outcome.is_ok() {
            outcome = over_group(child, keys);
        }
    });
    outcome
}

//! Makes a query that fails smaller, as long as it fails.

use super::tree::{Expr, Query, SortBy};

/// A smallest query found for which `fails` still holds.
pub(crate) fn shrink(mut query: Query, fails: &dyn Fn(&Query) -> bool) -> Query {
    while let Some(smaller) = smaller(&query).into_iter().find(fails) {
        query = smaller;
    }
    query
}

/// Queries with one thing less.
fn smaller(query: &Query) -> Vec<Query> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Query)| {
        let mut changed = query.clone();
        change(&mut changed);
        found.push(changed);
    };
    if query.filter.is_some() {
        with(&|it| it.filter = None);
    }
    if query.having.is_some() {
        with(&|it| it.having = None);
    }
    if query.limit.is_some() {
        with(&|it| it.limit = None);
    }
    if query.offset.is_some() {
        with(&|it| it.offset = None);
    }
    if query.distinct {
        with(&|it| it.distinct = false);
    }
    for index in 0..query.order.len() {
        with(&|it| drop(it.order.remove(index)));
    }
    let by_column = query
        .order
        .iter()
        .any(|sort| matches!(sort.by, SortBy::Column(_)));
    if query.columns.len() > 1 && !by_column {
        for index in 0..query.columns.len() {
            with(&|it| drop(it.columns.remove(index)));
        }
    }
    for part in query.filter.iter().flat_map(simpler) {
        with(&|it| it.filter = Some(part.clone()));
    }
    for part in query.having.iter().flat_map(simpler) {
        with(&|it| it.having = Some(part.clone()));
    }
    for index in 0..query.columns.len() {
        for part in simpler(&query.columns[index].expr) {
            if !query.grouped {
                with(&|it| it.columns[index].expr = part.clone());
            }
        }
    }
    found
}

/// Parts of an expression that are of its kind, and the same with a part made simpler.
fn simpler(expr: &Expr) -> Vec<Expr> {
    let parts = expr.parts().into_iter().cloned();
    let mut found: Vec<Expr> = parts.filter(|part| part.kind() == expr.kind()).collect();
    match expr {
        Expr::And(parts) | Expr::Or(parts) if parts.len() > 1 => {
            for index in 0..parts.len() {
                for part in simpler(&parts[index]) {
                    let mut parts = parts.clone();
                    parts[index] = part;
                    found.push(match expr {
                        Expr::And(_) => Expr::And(parts),
                        _ => Expr::Or(parts),
                    });
                }
            }
        }
        Expr::Not(operand) => {
            found.extend(simpler(operand).into_iter().map(|it| Expr::Not(it.into())))
        }
        _ => {}
    }
    found
}

//! Expressions as conditions. Logic is three-valued: null and missing make a comparison unknown, and so does asking for the
//! order of values of different types. IS NULL and IS MISSING always decide.

use super::{Scope, Source, Truth};
use crate::query::ast::{Absence, Comparison, Expr, ExprKind};
use crate::query::compare;
use crate::query::error::QueryError;
use crate::query::in_place;
use crate::query::like;
use crate::value::Value;
use std::cmp::Ordering;

impl Expr {
    /// The expression as a condition. Anything but true and false is unknown.
    pub(in crate::query) fn truth(&self, scope: Scope<'_>) -> Result<Truth, QueryError> {
        Ok(match &self.kind {
            ExprKind::Not(operand) => operand.truth(scope)?.map(|truth| !truth),
            ExprKind::And(parts) => decide(parts, scope, false)?,
            ExprKind::Or(parts) => decide(parts, scope, true)?,
            ExprKind::Compare(comparison, left, right) => match in_place(left, right, scope) {
                Some(order) => Some(comparison.holds(order)),
                None => {
                    let (left, right) = (left.or_null(scope)?, right.or_null(scope)?);
                    compare_values(*comparison, &left, &right)
                }
            },
            ExprKind::Is {
                operand,
                what,
                negated,
            } => {
                let value = operand.value(scope)?;
                let absent = match what {
                    Absence::Null => matches!(value.as_deref(), Some(Value::Null)),
                    Absence::Missing => value.is_none(),
                };
                Some(absent != *negated)
            }
            ExprKind::In {
                operand,
                list,
                negated,
            } => is_in(operand, list, scope)?.map(|found| found != *negated),
            ExprKind::InConstants {
                operand,
                constants,
                negated,
            } => constants
                .contain(&*operand.or_null(scope)?)
                .map(|found| found != *negated),
            ExprKind::Between {
                operand,
                low,
                high,
                negated,
            } => {
                let value = operand.or_null(scope)?;
                let above =
                    compare_values(Comparison::GreaterOrEqual, &value, &*low.or_null(scope)?);
                let below = compare_values(Comparison::LessOrEqual, &value, &*high.or_null(scope)?);
                both(above, below).map(|within| within != *negated)
            }
            ExprKind::Like {
                operand,
                pattern,
                escape,
                negated,
            } => match (&*operand.or_null(scope)?, &*pattern.or_null(scope)?) {
                (Value::String(text), Value::String(wanted)) => {
                    let found = like::matches(text, wanted, *escape, pattern.at, scope.work)?;
                    Some(found != *negated)
                }
                (_, Value::String(_)) => None,
                (_, other) => fixed(pattern, "LIKE takes a string", other)?,
            },
            _ => match self.value(scope)?.as_deref() {
                Some(Value::Bool(truth)) => Some(*truth),
                _ => None,
            },
        })
    }
}

/// The order of a stored field and a constant, if it can be told where the field lies. Where steps count, they are those of
/// decoded values.
fn in_place(left: &Expr, right: &Expr, scope: Scope<'_>) -> Option<Ordering> {
    if scope.work.is_metered() {
        return None;
    }
    match (scope.document, &left.kind, &right.kind) {
        (Source::Encoded(document), ExprKind::Path(path), ExprKind::Literal(constant)) => {
            in_place::order(document, path, constant)
        }
        _ => None,
    }
}

/// AND (`decisive` false) or OR (`decisive` true): one decisive part decides, else one unknown part leaves it open.
fn decide(parts: &[Expr], scope: Scope<'_>, decisive: bool) -> Result<Truth, QueryError> {
    let mut all = Some(!decisive);
    for part in parts {
        match part.truth(scope)? {
            Some(truth) if truth == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => all = None,
        }
    }
    Ok(all)
}

fn both(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn compare_values(comparison: Comparison, left: &Value, right: &Value) -> Truth {
    match comparison {
        Comparison::Equal => compare::equal(left, right),
        Comparison::NotEqual => compare::equal(left, right).map(|equal| !equal),
        _ => compare::order(left, right).map(|order| comparison.holds(order)),
    }
}

impl Comparison {
    /// Whether it holds of a left side that stands so to the right one.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Whether a value equals a member of a list: unknown if it equals none but could equal a null one.
fn is_in(operand: &Expr, list: &Expr, scope: Scope<'_>) -> Result<Truth, QueryError> {
    let value = operand.or_null(scope)?;
    let mut found = Some(false);
    let mut meet = |member: &Value| {
        match compare::equal(&value, member) {
            Some(true) => found = Some(true),
            None if found == Some(false) => found = None,
            _ => {}
        }
        found == Some(true)
    };
    // The members of a written list are met one by one, without building the list for every document.
    if let ExprKind::List(members) = &list.kind {
        // `IN (:p)` looks into a parameter that is a list, as `IN :p` does.
        if let [
            Expr {
                kind: ExprKind::Literal(value),
                ..
            },
        ] = members.as_slice()
            && let Value::List(members) = &**value
        {
            members.iter().any(meet);
            return Ok(found);
        }
        for member in members {
            if meet(&*member.or_null(scope)?) {
                break;
            }
        }
        return Ok(found);
    }
    match &*list.or_null(scope)? {
        Value::List(members) => {
            members.iter().any(meet);
            Ok(found)
        }
        other => fixed(list, "IN looks into a list", other),
    }
}

/// Unknown because of a value of an unfit type; but an error if the statement itself, not a document, says that value.
fn fixed(expr: &Expr, rule: &str, found: &Value) -> Result<Truth, QueryError> {
    match (&expr.kind, found) {
        (ExprKind::Literal(_), Value::Null) => Ok(None),
        (ExprKind::Literal(_), found) => Err(expr
            .at
            .error(format!("{rule}, and this is of type {}", found.type_name()))),
        _ => Ok(None),
    }
}

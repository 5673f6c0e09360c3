//! What an expression is worth for one document or group.
//!
//! Logic is three-valued: null and missing make a comparison unknown, and so does asking for the order of values of
//! different types. IS NULL and IS MISSING always decide, and a missing value is not null. Arithmetic on something that is not a number gives null, and so does division by zero; a result
//! that does not fit its type is an error.

use super::ast::{Absence, Arithmetic, Comparison, Expr, ExprKind, Segment};
use super::compare;
use super::error::{Position, QueryError};
use super::functions::{self, Function};
use super::in_place;
use super::like;
use super::work::Work;
use crate::value::{Encoded, Value, typed, values_at};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A value, or `None` for MISSING.
pub(super) type Datum<'a> = Option<Cow<'a, Value>>;

/// True, false, or `None` for unknown.
pub(super) type Truth = Option<bool>;

static NULL: Value = Value::Null;

/// What an expression can see.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    document: Source<'a>,
    keys: &'a [Option<Value>],
    aggregates: &'a [Value],
    work: &'a Work<'a>,
}

/// A document, decoded or as the store keeps it.
#[derive(Clone, Copy)]
enum Source<'a> {
    Value(&'a Value),
    Encoded(Encoded<'a>),
}

impl<'a> Scope<'a> {
    /// One document.
    pub(super) fn document(document: &'a Value, work: &'a Work<'a>) -> Self {
        Scope::of(Source::Value(document), work)
    }

    /// One document in binary form, of which only what is looked at gets decoded.
    pub(super) fn encoded(document: Encoded<'a>, work: &'a Work<'a>) -> Self {
        Scope::of(Source::Encoded(document), work)
    }

    fn of(document: Source<'a>, work: &'a Work<'a>) -> Self {
        work.begin();
        Scope {
            document,
            keys: &[],
            aggregates: &[],
            work,
        }
    }

    /// One group, by its GROUP BY values and the results of its aggregates.
    pub(super) fn group(
        keys: &'a [Option<Value>],
        aggregates: &'a [Value],
        work: &'a Work<'a>,
    ) -> Self {
        Scope {
            keys,
            aggregates,
            ..Scope::nothing(work)
        }
    }

    /// No document at all, as for the values of an INSERT.
    pub(super) fn nothing(work: &'a Work<'a>) -> Self {
        Scope::document(&NULL, work)
    }
}

/// What stands at `path` in a value.
pub(super) fn reach<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Name(name) => value.get(name),
        Segment::Index(index) => match value {
            Value::List(items) => items.get(*index),
            _ => None,
        },
    })
}

impl Expr {
    /// The expression's value.
    pub(super) fn value<'a>(&'a self, scope: Scope<'a>) -> Result<Datum<'a>, QueryError> {
        Ok(match &self.kind {
            ExprKind::Literal(value) => Some(Cow::Borrowed(value)),
            ExprKind::Parameter(name) => {
                return Err(self.at.error(format!(
                    "the parameter :{name} has no value; bind the statement first"
                )));
            }
            ExprKind::Path(path) => match scope.document {
                Source::Value(document) => reach(document, path).map(Cow::Borrowed),
                Source::Encoded(document) => in_place::decoded(document, path)
                    .map_err(|error| self.at.error(format!("a stored value is damaged: {error}")))?
                    .map(Cow::Owned),
            },
            ExprKind::GroupKey(index) => scope
                .keys
                .get(*index)
                .and_then(Option::as_ref)
                .map(Cow::Borrowed),
            ExprKind::Aggregate(index) => scope.aggregates.get(*index).map(Cow::Borrowed),
            ExprKind::Negate(operand) => Some(Cow::Owned(match &*operand.or_null(scope)? {
                Value::Int(number) => Value::Int(number.checked_neg().ok_or_else(|| {
                    self.at
                        .error(format!("-({number}) does not fit a 64-bit integer"))
                })?),
                Value::Float(number) => Value::Float(-number),
                _ => Value::Null,
            })),
            ExprKind::Arithmetic(operator, left, right) => Some(Cow::Owned(arithmetic(
                *operator,
                &*left.or_null(scope)?,
                &*right.or_null(scope)?,
                self.at,
            )?)),
            ExprKind::Concat(left, right) => {
                let (left, right) = (left.or_null(scope)?, right.or_null(scope)?);
                let bytes = left.held_bytes() + right.held_bytes();
                scope.work.build(bytes, self.at)?;
                Some(Cow::Owned(concat(&left, &right)))
            }
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            } => return self::case(operand.as_deref(), branches, otherwise.as_deref(), scope),
            ExprKind::Call(function, arguments) => {
                return self.call(*function, arguments, scope);
            }
            ExprKind::List(items) => Some(Cow::Owned(Value::List(
                items
                    .iter()
                    .map(|item| Ok(item.built(scope)?.unwrap_or(Value::Null)))
                    .collect::<Result<_, QueryError>>()?,
            ))),
            ExprKind::Map(members) => {
                let value = typed(members_of(members, scope)?);
                Some(Cow::Owned(value.map_err(|wrong| self.at.error(wrong))?))
            }
            ExprKind::PlainMap(members) => {
                Some(Cow::Owned(Value::Map(members_of(members, scope)?)))
            }
            ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Compare(..)
            | ExprKind::Is { .. }
            | ExprKind::In { .. }
            | ExprKind::InConstants { .. }
            | ExprKind::Between { .. }
            | ExprKind::Like { .. } => Some(Cow::Owned(
                self.truth(scope)?.map_or(Value::Null, Value::Bool),
            )),
        })
    }

    /// The expression as a condition. Anything but true and false is unknown.
    pub(super) fn truth(&self, scope: Scope<'_>) -> Result<Truth, QueryError> {
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

    /// The value as a part of something that is built; `None` for MISSING.
    pub(super) fn built(&self, scope: Scope<'_>) -> Result<Option<Value>, QueryError> {
        let value = self.value(scope)?;
        let bytes = value.as_deref().map_or(0, Value::held_bytes);
        scope.work.build(bytes, self.at)?;
        Ok(value.map(Cow::into_owned))
    }

    /// The value, with null in the place of MISSING: what operators work on. A counter is an integer to them, a text a
    /// string.
    pub(super) fn or_null<'a>(&'a self, scope: Scope<'a>) -> Result<Cow<'a, Value>, QueryError> {
        let value = self.value(scope)?.unwrap_or(Cow::Borrowed(&NULL));
        Ok(match &*value {
            Value::Counter(number) => Cow::Owned(Value::Int(*number)),
            Value::Text(_) => Cow::Owned(value.into_owned().plain()),
            _ => value,
        })
    }

    /// All values of a field, the visible one first.
    fn conflicts<'a>(&'a self, scope: Scope<'a>) -> Result<Datum<'a>, QueryError> {
        let ExprKind::Path(path) = &self.kind else {
            return Err(self.at.error("CONFLICTS takes a field of a document"));
        };
        let damaged = |error| self.at.error(format!("a stored value is damaged: {error}"));
        let record = match scope.document {
            Source::Value(document) => document.conflicts(),
            Source::Encoded(document) => document.conflicts().map_err(damaged)?.map(Cow::Owned),
        };
        let names = path.iter().filter_map(|segment| match segment {
            Segment::Name(name) => Some(name.as_str()),
            Segment::Index(_) => None,
        });
        let names: Vec<&str> = names.collect();
        let recorded = record.map(|record| values_at(&record, &names));
        let values = match recorded.transpose().map_err(damaged)?.flatten() {
            Some(values) => Some(values),
            None => self.value(scope)?.map(|value| vec![value.into_owned()]),
        };
        let value = values.map(Value::List);
        scope
            .work
            .build(value.as_ref().map_or(0, Value::held_bytes), self.at)?;
        Ok(value.map(Cow::Owned))
    }

    fn call<'a>(
        &'a self,
        function: Function,
        arguments: &'a [Expr],
        scope: Scope<'a>,
    ) -> Result<Datum<'a>, QueryError> {
        if let (Function::Conflicts, [field]) = (function, arguments) {
            return field.conflicts(scope);
        }
        if function == Function::Coalesce {
            for argument in arguments {
                let value = argument.or_null(scope)?;
                if *value != Value::Null {
                    return Ok(Some(value));
                }
            }
            return Ok(Some(Cow::Borrowed(&NULL)));
        }
        let values = arguments
            .iter()
            .map(|argument| argument.or_null(scope))
            .collect::<Result<Vec<_>, _>>()?;
        let values: Vec<&Value> = values.iter().map(|value| &**value).collect();
        let value = functions::call(function, &values, self.at)?;
        scope.work.build(value.held_bytes(), self.at)?;
        Ok(Some(Cow::Owned(value)))
    }
}

/// The members of a written map; those that are missing are left out.
fn members_of(
    members: &[(String, Expr)],
    scope: Scope<'_>,
) -> Result<BTreeMap<String, Value>, QueryError> {
    let members = members.iter().filter_map(|(name, member)| {
        let value = member.built(scope).transpose()?;
        Some(value.map(|value| (name.clone(), value)))
    });
    members.collect()
}

/// The order of a stored field and a constant, if it can be told where the field lies.
fn in_place(left: &Expr, right: &Expr, scope: Scope<'_>) -> Option<Ordering> {
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

fn case<'a>(
    operand: Option<&'a Expr>,
    branches: &'a [(Expr, Expr)],
    otherwise: Option<&'a Expr>,
    scope: Scope<'a>,
) -> Result<Datum<'a>, QueryError> {
    let subject = operand.map(|operand| operand.or_null(scope)).transpose()?;
    for (when, then) in branches {
        let taken = match &subject {
            Some(subject) => compare::equal(subject, &*when.or_null(scope)?),
            None => when.truth(scope)?,
        };
        if taken == Some(true) {
            return then.value(scope);
        }
    }
    otherwise.map_or(Ok(Some(Cow::Borrowed(&NULL))), |otherwise| {
        otherwise.value(scope)
    })
}

/// Strings as they are, numbers and bools as JSON writes them; null with anything else.
fn concat(left: &Value, right: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    match (text(left), text(right)) {
        (Some(left), Some(right)) => Value::String(left + &right),
        _ => Value::Null,
    }
}

/// A number as a float; integers beyond 2^53 are rounded to the nearest one.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn arithmetic(
    operator: Arithmetic,
    left: &Value,
    right: &Value,
    at: Position,
) -> Result<Value, QueryError> {
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        return on_integers(operator, *left, *right, at);
    }
    let (Some(a), Some(b)) = (as_float(left), as_float(right)) else {
        return Ok(Value::Null);
    };
    let result = match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Remainder if b == 0.0 => return Ok(Value::Null),
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => a % b,
    };
    if result.is_finite() {
        Ok(Value::Float(result))
    } else {
        Err(at.error(format!(
            "the result of {left} and {right} is too large for a float"
        )))
    }
}

/// A quotient is an integer where the division leaves no remainder, else a float.
fn on_integers(operator: Arithmetic, a: i64, b: i64, at: Position) -> Result<Value, QueryError> {
    let (sign, result) = match operator {
        Arithmetic::Add => ("+", a.checked_add(b)),
        Arithmetic::Subtract => ("-", a.checked_sub(b)),
        Arithmetic::Multiply => ("*", a.checked_mul(b)),
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => return Ok(Value::Null),
        Arithmetic::Remainder => ("%", Some(a.wrapping_rem(b))),
        Arithmetic::Divide if a.wrapping_rem(b) != 0 => {
            return Ok(Value::Float(a as f64 / b as f64));
        }
        Arithmetic::Divide => ("/", a.checked_div(b)),
    };
    result.map(Value::Int).ok_or_else(|| {
        at.error(format!(
            "{a} {sign} {b} does not fit a 64-bit integer; make one of them a float to lose digits instead"
        ))
    })
}

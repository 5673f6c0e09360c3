//! What an expression is worth for one document or group.
//!
//! A missing value is not null, but operators take it for null (`or_null`). As a condition, an expression is true, false or
//! unknown (`truth`).

mod arithmetic;
mod truth;

use super::ast::{Expr, ExprKind, Segment};
use super::compare;
use super::error::QueryError;
use super::functions::{self, Function};
use super::in_place;
use super::work::Work;
use crate::value::{Encoded, Value, typed, values_at};
use arithmetic::{arithmetic, concat};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

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
            ExprKind::Path(path) => {
                let value = self.field(path, scope.document)?;
                scope.work.look_at(value.as_deref(), self.at)?;
                value
            }
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

    fn field<'a>(&self, path: &[Segment], document: Source<'a>) -> Result<Datum<'a>, QueryError> {
        Ok(match document {
            Source::Value(document) => reach(document, path).map(Cow::Borrowed),
            Source::Encoded(document) => in_place::decoded(document, path)
                .map_err(|error| self.at.error(format!("a stored value is damaged: {error}")))?
                .map(Cow::Owned),
        })
    }

    /// The value as a part of something that is built; `None` for MISSING.
    pub(super) fn built(&self, scope: Scope<'_>) -> Result<Option<Value>, QueryError> {
        let value = self.value(scope)?;
        let bytes = value.as_deref().map_or(0, Value::held_bytes);
        scope.work.build(bytes, self.at)?;
        Ok(value.map(Cow::into_owned))
    }

    /// The same of an expression that is needed no more: a value that was given as a parameter is not copied once more.
    pub(super) fn into_built(self, scope: Scope<'_>) -> Result<Option<Value>, QueryError> {
        let ExprKind::Literal(value) = self.kind else {
            return self.built(scope);
        };
        scope.work.build(value.held_bytes(), self.at)?;
        Ok(Some(Arc::unwrap_or_clone(value)))
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
        scope.work.look_at(record.as_deref(), self.at)?;
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

//! The constants behind a long IN, sorted once when the statement is bound and then looked up for every document.

use super::ast::{Expr, ExprKind};
use super::compare::{Ranked, total_with_missing};
use super::eval::Truth;
use super::limits::IN_WALKED_MAX;
use crate::value::Value;

/// More than [`IN_WALKED_MAX`] constants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constants {
    /// Ascending; null is not among them.
    members: Vec<Ranked>,
    has_null: bool,
}

impl Constants {
    /// The members of a list that says nothing but constants, if there are so many that looking up pays.
    pub(super) fn of(list: &Expr) -> Option<Self> {
        let members = members(list)?;
        (members.len() > IN_WALKED_MAX).then(|| Self::sorted(&members))
    }

    fn sorted(members: &[&Value]) -> Self {
        let (nulls, members): (Vec<&Value>, Vec<&Value>) =
            members.iter().partition(|member| **member == &Value::Null);
        let mut members: Vec<Ranked> = members
            .into_iter()
            .map(|member| Ranked(Some(member.clone())))
            .collect();
        members.sort_unstable();
        members.dedup();
        Self {
            members,
            has_null: !nulls.is_empty(),
        }
    }

    /// The members, null left out.
    pub(super) fn members(&self) -> impl Iterator<Item = &Value> {
        self.members.iter().filter_map(|member| member.0.as_ref())
    }

    /// Whether a value equals a member: unknown if it is null, or equals none but could equal a null one.
    pub(super) fn contain(&self, value: &Value) -> Truth {
        if *value == Value::Null {
            return None;
        }
        match self
            .members
            .binary_search_by(|member| total_with_missing(member.0.as_ref(), Some(value)))
        {
            Ok(_) => Some(true),
            Err(_) if self.has_null => None,
            Err(_) => Some(false),
        }
    }
}

/// The members of a list behind IN, if they are constants.
pub(super) fn members(list: &Expr) -> Option<Vec<&Value>> {
    match &list.kind {
        ExprKind::Literal(value) => literal_list(value),
        ExprKind::List(members) => match members.as_slice() {
            // `IN (:p)` looks into a parameter that is a list, as `IN :p` does.
            [member] if literal(member).is_some_and(|value| matches!(value, Value::List(_))) => {
                literal_list(literal(member)?)
            }
            members => members.iter().map(literal).collect(),
        },
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

fn literal_list(value: &Value) -> Option<Vec<&Value>> {
    match value {
        Value::List(members) => Some(members.iter().collect()),
        _ => None,
    }
}

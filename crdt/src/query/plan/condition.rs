//! What a WHERE clause says about single fields: which values each may have in a document that is kept.

use super::span::Spans;
use crate::query::ast::{Absence, Comparison, Expr, ExprKind, Segment};
use crate::query::constants;
use crate::query::error::excerpt;
use crate::query::like;
use crate::query::path_text;
use crate::value::Value;
use std::borrow::Cow;

/// What all conditions on one field allow together.
pub(super) struct Condition {
    pub(super) path: Vec<String>,
    pub(super) spans: Spans,
    /// In words.
    pub(super) text: String,
    /// How many parts of the clause it stands for.
    pub(super) parts: usize,
}

/// The conditions that have to hold, and of how many parts the clause consists.
pub(super) fn conditions(clause: Option<&Expr>) -> (Vec<Condition>, usize) {
    let mut parts = Vec::new();
    if let Some(clause) = clause {
        flatten(clause, &mut parts);
    }
    let mut conditions: Vec<Condition> = Vec::new();
    for condition in parts.iter().filter_map(|part| condition(part)) {
        match conditions
            .iter_mut()
            .find(|other| other.path == condition.path)
        {
            None => conditions.push(condition),
            Some(other) => {
                other.spans = other.spans.clone().intersection(&condition.spans);
                other.text = format!("{} AND {}", other.text, condition.text);
                other.parts += 1;
            }
        }
    }
    (conditions, parts.len())
}

/// The parts of which each has to be true.
fn flatten<'a>(clause: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match &clause.kind {
        ExprKind::And(below) => below.iter().for_each(|part| flatten(part, parts)),
        _ => parts.push(clause),
    }
}

/// What one part says about a field, if that is all it says.
fn condition(part: &Expr) -> Option<Condition> {
    let (path, spans, said) = match &part.kind {
        ExprKind::Compare(comparison, left, right) => {
            let (path, comparison, value) = match (literal(right), literal(left)) {
                (Some(value), _) => (names(left)?, *comparison, value),
                (None, Some(value)) => (names(right)?, mirrored(*comparison), value),
                (None, None) => return None,
            };
            let said = format!("{} {}", sign(comparison), shown(value));
            (path, Spans::compared(comparison, value)?, said)
        }
        ExprKind::Is {
            operand,
            what,
            negated: false,
        } => match what {
            Absence::Null => (
                names(operand)?,
                Spans::of(Some(&Value::Null)),
                "IS NULL".into(),
            ),
            Absence::Missing => (names(operand)?, Spans::of(None), "IS MISSING".into()),
        },
        ExprKind::In {
            operand,
            list,
            negated: false,
        } => among(operand, constants::members(list)?)?,
        ExprKind::InConstants {
            operand,
            constants,
            negated: false,
        } => among(operand, constants.members().collect())?,
        ExprKind::Between {
            operand,
            low,
            high,
            negated: false,
        } => {
            let (low, high) = (literal(low)?, literal(high)?);
            let above = Spans::compared(Comparison::GreaterOrEqual, low)?;
            let below = Spans::compared(Comparison::LessOrEqual, high)?;
            let said = format!("BETWEEN {} AND {}", shown(low), shown(high));
            (names(operand)?, above.intersection(&below), said)
        }
        ExprKind::Like {
            operand,
            pattern,
            escape,
            negated: false,
        } => {
            let Value::String(pattern) = literal(pattern)? else {
                return None;
            };
            let path = names(operand)?;
            let prefix = like::prefix(pattern, *escape)?;
            let spans = match prefix.rest {
                like::Rest::Nothing => Spans::of(Some(&Value::String(prefix.text))),
                _ if prefix.text.is_empty() => return None,
                rest => Spans::strings_from(&prefix.text, rest == like::Rest::Anything),
            };
            (path, spans, format!("LIKE '{}'", excerpt(pattern)))
        }
        ExprKind::Path(_) => (
            names(part)?,
            Spans::of(Some(&Value::Bool(true))),
            "= true".into(),
        ),
        ExprKind::Not(operand) => {
            let spans = Spans::of(Some(&Value::Bool(false)));
            (names(operand)?, spans, "= false".into())
        }
        ExprKind::Or(parts) => return either(parts),
        _ => return None,
    };
    let text = format!("{} {said}", path_text(&path));
    Some(Condition {
        path,
        spans,
        text,
        parts: 1,
    })
}

/// Alternatives that are all about the same field.
fn either(parts: &[Expr]) -> Option<Condition> {
    let parts: Vec<Condition> = parts.iter().map(condition).collect::<Option<_>>()?;
    let path = parts.first()?.path.clone();
    if parts.iter().any(|part| part.path != path) {
        return None;
    }
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    let text = match texts.len() {
        ..=3 => format!("({})", texts.join(" OR ")),
        more => format!("({} OR … {more} alternatives)", texts[0]),
    };
    Some(Condition {
        path,
        text,
        spans: Spans::union(parts.into_iter().map(|part| part.spans)),
        parts: 1,
    })
}

fn among(operand: &Expr, members: Vec<&Value>) -> Option<(Vec<String>, Spans, String)> {
    let path = names(operand)?;
    let said = match members.as_slice() {
        [..] if members.len() > 3 => format!("IN ({} values)", members.len()),
        few => {
            let few: Vec<_> = few.iter().map(|value| shown(value)).collect();
            format!("IN ({})", few.join(", "))
        }
    };
    let spans = members
        .into_iter()
        .map(|value| Spans::compared(Comparison::Equal, value));
    Some((path, Spans::union(spans.flatten()), said))
}

fn literal(expr: &Expr) -> Option<&Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// The path of fields that an expression is, if it is one.
pub(super) fn names(expr: &Expr) -> Option<Vec<String>> {
    let ExprKind::Path(path) = &expr.kind else {
        return None;
    };
    let name = |segment: &Segment| match segment {
        Segment::Name(name) => Some(name.clone()),
        Segment::Index(_) => None,
    };
    path.iter().map(name).collect()
}

fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal | Comparison::NotEqual => comparison,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

/// A value as a plan shows it.
fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) | Value::Text(text) => format!("'{}'", excerpt(text)).into(),
        other => excerpt(&other.to_string()).into(),
    }
}

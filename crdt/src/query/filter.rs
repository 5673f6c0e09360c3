//! The condition of a statement: which documents it means.

use super::ast::{Comparison, Expr, ExprKind, Segment};
use super::error::QueryError;
use super::eval::Scope;
use super::work::Work;
use crate::value::{Encoded, Value};

/// A WHERE clause, or its absence, which every document satisfies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    condition: Option<Expr>,
}

impl Filter {
    pub(super) fn new(condition: Option<Expr>) -> Self {
        Filter { condition }
    }

    /// Whether the document satisfies the condition. Unknown is not satisfied.
    ///
    /// # Errors
    /// Evaluation failed, for instance in an integer overflow, or the work has to end.
    pub fn matches(&self, document: &Value, work: &Work<'_>) -> Result<bool, QueryError> {
        self.holds(Scope::document(document, work))
    }

    /// As [`matches`](Self::matches), of a document in binary form: most documents of a scan are never decoded.
    pub(crate) fn matches_encoded(
        &self,
        document: Encoded<'_>,
        work: &Work<'_>,
    ) -> Result<bool, QueryError> {
        self.holds(Scope::encoded(document, work))
    }

    pub(super) fn holds(&self, scope: Scope<'_>) -> Result<bool, QueryError> {
        match &self.condition {
            None => Ok(true),
            Some(condition) => Ok(condition.truth(scope)? == Some(true)),
        }
    }

    /// The one `_id` that matching documents can have, if the condition demands one: `_id = …` alone or joined to
    /// other conditions by AND. The document still has to be tested.
    pub fn document_id(&self) -> Option<&Value> {
        let condition = self.condition.as_ref()?;
        match &condition.kind {
            ExprKind::And(parts) => parts.iter().find_map(pinned_id),
            _ => pinned_id(condition),
        }
    }

    /// Whether there is no condition.
    pub fn is_everything(&self) -> bool {
        self.condition.is_none()
    }

    /// Whether every document satisfies it, as is plain to see: there is no condition, or it is `true`.
    pub(crate) fn is_always(&self) -> bool {
        let is_true = |condition: &Expr| match &condition.kind {
            ExprKind::Literal(value) => **value == Value::Bool(true),
            _ => false,
        };
        self.condition.as_ref().is_none_or(is_true)
    }

    pub(super) fn condition(&self) -> Option<&Expr> {
        self.condition.as_ref()
    }

    pub(super) fn condition_mut(&mut self) -> Option<&mut Expr> {
        self.condition.as_mut()
    }

    /// Refuses a condition that cannot be true or false whatever the document says.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        self.condition.as_ref().map_or(Ok(()), check_condition)
    }
}

fn pinned_id(condition: &Expr) -> Option<&Value> {
    let ExprKind::Compare(Comparison::Equal, left, right) = &condition.kind else {
        return None;
    };
    match (&left.kind, &right.kind) {
        (ExprKind::Path(path), ExprKind::Literal(id))
        | (ExprKind::Literal(id), ExprKind::Path(path))
            if is_id(path) =>
        {
            Some(id)
        }
        _ => None,
    }
}

fn is_id(path: &[Segment]) -> bool {
    matches!(path, [Segment::Name(name)] if name == "_id")
}

fn check_condition(expr: &Expr) -> Result<(), QueryError> {
    let found = match &expr.kind {
        ExprKind::And(parts) | ExprKind::Or(parts) => {
            return parts.iter().try_for_each(check_condition);
        }
        ExprKind::Not(operand) => return check_condition(operand),
        ExprKind::Literal(value) => match &**value {
            Value::Null | Value::Bool(_) => return Ok(()),
            other => other.type_name(),
        },
        ExprKind::Arithmetic(..) | ExprKind::Negate(_) => "number",
        ExprKind::Concat(..) => "string",
        ExprKind::List(_) => "list",
        ExprKind::PlainMap(_) => "map",
        _ => return Ok(()),
    };
    Err(expr.at.error(format!(
        "a condition is true or false, and this is of type {found}; compare it with something"
    )))
}

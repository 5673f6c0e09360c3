//! INSERT, UPDATE and DELETE: what a statement means to change, computed without changing anything.

use super::ast::{Expr, Segment};
use super::error::{Position, QueryError};
use super::eval::Scope;
use super::filter::Filter;
use super::work::Work;
use crate::value::{DEPTH_MAX, Value};

/// What INSERT does about a document whose `_id` exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The statement fails.
    #[default]
    Fail,
    /// The stored document stays.
    Nothing,
    /// The stored document is replaced by the inserted one.
    Update,
}

/// An INSERT statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub(super) collection: String,
    pub(super) documents: Vec<Expr>,
    pub(super) on_conflict: OnConflict,
}

/// An UPDATE statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub(super) collection: String,
    pub(super) filter: Filter,
    pub(super) assignments: Vec<Assignment>,
}

/// A DELETE statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    pub(super) collection: String,
    pub(super) filter: Filter,
}

/// One item of SET or, without an expression, of UNSET.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assignment {
    pub(super) path: Vec<String>,
    pub(super) at: Position,
    pub(super) expr: Option<Expr>,
}

/// One change to a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The names that lead to the field, from the document's root. Maps that are missing on the way are to be made.
    pub path: Vec<String>,
    /// The field's new value, or `None` to remove the field, which exists.
    pub value: Option<Value>,
}

impl Insert {
    /// The collection that is written.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The documents, all of them maps. A list of maps stands for its items.
    ///
    /// # Errors
    /// An expression failed or the work has to end; one gives something else than a map, or nests too deep to be stored.
    pub fn documents(&self, work: &Work<'_>) -> Result<Vec<Value>, QueryError> {
        let scope = Scope::nothing(work);
        let mut documents = Vec::with_capacity(self.documents.len());
        for expr in &self.documents {
            match expr.built(scope)? {
                Some(Value::List(items)) => {
                    for item in items {
                        documents.push(check_document(item, expr.at)?);
                    }
                }
                other => documents.push(check_document(other.unwrap_or(Value::Null), expr.at)?),
            }
        }
        Ok(documents)
    }

    /// What to do about documents whose `_id` exists.
    pub fn on_conflict(&self) -> OnConflict {
        self.on_conflict
    }
}

fn check_document(value: Value, at: Position) -> Result<Value, QueryError> {
    match &value {
        Value::Map(_) => check_depth(&value, DEPTH_MAX, at).map(|()| value),
        other => Err(at.error(format!(
            "a document is a map, and this is of type {}",
            other.type_name()
        ))),
    }
}

fn check_depth(value: &Value, levels: usize, at: Position) -> Result<(), QueryError> {
    if value.fits(levels) {
        return Ok(());
    }
    Err(at.error(format!(
        "the document would nest deeper than {DEPTH_MAX} levels"
    )))
}

impl Update {
    /// The collection that is written.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The WHERE clause.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What the statement changes in a document that matches. Every expression sees the document as it is before; one
    /// that is missing there removes its field. Paths do not overlap.
    ///
    /// # Errors
    /// An expression failed, the work has to end, or a path leads through a list.
    pub fn edits(&self, document: &Value, work: &Work<'_>) -> Result<Vec<Edit>, QueryError> {
        let scope = Scope::document(document, work);
        let mut edits = Vec::with_capacity(self.assignments.len());
        for assignment in &self.assignments {
            let exists = assignment.exists_in(document)?;
            let value = match &assignment.expr {
                Some(expr) => expr.built(scope)?,
                None => None,
            };
            if let Some(value) = &value {
                let levels = DEPTH_MAX.saturating_sub(assignment.path.len());
                check_depth(value, levels, assignment.at)?;
            }
            if value.is_some() || exists {
                edits.push(Edit {
                    path: assignment.path.clone(),
                    value,
                });
            }
        }
        Ok(edits)
    }
}

impl Assignment {
    fn exists_in(&self, document: &Value) -> Result<bool, QueryError> {
        let mut value = document;
        for (walked, name) in self.path.iter().enumerate() {
            if let Value::List(_) = value {
                return Err(self.at.error(format!(
                    "{} is a list here, and fields inside a list cannot be set; set the whole list",
                    self.path[..walked].join(".")
                )));
            }
            match value.get(name) {
                Some(member) => value = member,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Delete {
    /// The collection that is written.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The WHERE clause.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// The names of a path that has no index, or `None`.
pub(super) fn plain_names(path: &[Segment]) -> Option<Vec<String>> {
    path.iter()
        .map(|segment| match segment {
            Segment::Name(name) => Some(name.clone()),
            Segment::Index(_) => None,
        })
        .collect()
}

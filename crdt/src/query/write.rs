//! INSERT, UPDATE and DELETE: what a statement means to change, computed without changing anything.

use super::ast::{Expr, Segment};
use super::error::{Position, QueryError};
use super::eval::Scope;
use super::filter::Filter;
use super::returning::Returning;
use super::select::{check_bounds, count};
use super::work::Work;
use crate::limits::{COUNTER_MAX, INCREMENT_MAX};
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
    /// The inserted fields are set in the stored document, those of nested maps one by one; its other fields stay.
    Merge,
}

/// An INSERT statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub(super) collection: String,
    pub(super) documents: Vec<Expr>,
    pub(super) on_conflict: OnConflict,
    pub(super) returning: Option<Returning>,
}

/// An UPDATE statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub(super) collection: String,
    pub(super) targets: Targets,
    pub(super) assignments: Vec<Assignment>,
    pub(super) returning: Option<Returning>,
}

/// A DELETE statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    pub(super) collection: String,
    pub(super) targets: Targets,
    pub(super) returning: Option<Returning>,
}

/// The documents that a write means: those that its WHERE clause selects, no more than its LIMIT says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Targets {
    pub(super) filter: Filter,
    pub(super) limit: Option<Expr>,
}

/// One item of SET, UNSET or APPLY.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assignment {
    pub(super) path: Vec<String>,
    pub(super) at: Position,
    pub(super) operation: Operation,
}

/// What an assignment does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Set(Expr),
    Unset,
    Increment(Expr),
}

impl Operation {
    pub(super) fn expr_mut(&mut self) -> Option<&mut Expr> {
        match self {
            Operation::Set(expr) | Operation::Increment(expr) => Some(expr),
            Operation::Unset => None,
        }
    }
}

/// One change to a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The names that lead to the field, from the document's root. Maps that are missing on the way are to be made.
    pub path: Vec<String>,
    /// What becomes of the field.
    pub action: Action,
}

/// What an edit does to a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The field has this value from now on.
    Set(Value),
    /// The field, which exists, is removed.
    Unset,
    /// The field, a counter, grows by so much.
    Increment(i64),
}

impl Edit {
    /// The value that the field is set to.
    pub fn value(&self) -> Option<&Value> {
        match &self.action {
            Action::Set(value) => Some(value),
            Action::Unset | Action::Increment(_) => None,
        }
    }

    /// The field that is set, by the last name of its path, and its value.
    pub(crate) fn into_field(mut self) -> Option<(String, Value)> {
        match self.action {
            Action::Set(value) => Some((self.path.pop()?, value)),
            Action::Unset | Action::Increment(_) => None,
        }
    }
}

impl Insert {
    /// The collection that is written.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Takes out the documents, all of them maps. A list of maps stands for its items.
    ///
    /// # Errors
    /// An expression failed or the work has to end; one gives something else than a map, or nests too deep to be stored.
    pub fn take_documents(&mut self, work: &Work<'_>) -> Result<Vec<Value>, QueryError> {
        let scope = Scope::nothing(work);
        let mut documents = Vec::with_capacity(self.documents.len());
        for expr in std::mem::take(&mut self.documents) {
            let at = expr.at;
            match expr.into_built(scope)? {
                Some(Value::List(items)) => {
                    for item in items {
                        documents.push(check_document(item, at)?);
                    }
                }
                other => documents.push(check_document(other.unwrap_or(Value::Null), at)?),
            }
        }
        Ok(documents)
    }

    /// What to do about documents whose `_id` exists.
    pub fn on_conflict(&self) -> OnConflict {
        self.on_conflict
    }

    /// What each written document gives back.
    pub fn returning(&self) -> Option<&Returning> {
        self.returning.as_ref()
    }
}

/// What sets the fields of `document`, other than `_id`, in one that is there: nested maps field by field, all else as a
/// whole.
pub(crate) fn merge(document: &Value, into: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    let fields = document.as_map().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| *name != "_id") {
        merge_field(vec![name.clone()], value, into.get(name), &mut edits);
    }
    edits
}

fn merge_field(path: Vec<String>, value: &Value, there: Option<&Value>, edits: &mut Vec<Edit>) {
    let (Value::Map(members), Some(there @ Value::Map(_))) = (value, there) else {
        let action = Action::Set(value.clone());
        return edits.push(Edit { path, action });
    };
    for (name, member) in members {
        let path = [&path[..], std::slice::from_ref(name)].concat();
        merge_field(path, member, there.get(name), edits);
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
        &self.targets.filter
    }

    /// The most documents to change, those with the least ids; [`usize::MAX`] without LIMIT.
    ///
    /// # Errors
    /// LIMIT gives no whole number from 0.
    pub fn limit(&self) -> Result<usize, QueryError> {
        self.targets.limit()
    }

    /// What each changed document gives back, as it is then.
    pub fn returning(&self) -> Option<&Returning> {
        self.returning.as_ref()
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
            if let Some(action) = assignment.action(document, scope)? {
                edits.push(Edit {
                    path: assignment.path.clone(),
                    action,
                });
            }
        }
        Ok(edits)
    }
}

impl Assignment {
    /// What to do in a document; `None` when there is nothing to do.
    fn action(&self, document: &Value, scope: Scope<'_>) -> Result<Option<Action>, QueryError> {
        let found = self.find_in(document)?;
        let value = match &self.operation {
            Operation::Set(expr) => expr.built(scope)?,
            Operation::Unset => None,
            Operation::Increment(expr) => return self.increment(found, expr, scope),
        };
        if let Some(value) = &value {
            let levels = DEPTH_MAX.saturating_sub(self.path.len());
            check_depth(value, levels, self.at)?;
        }
        Ok(match value {
            Some(value) => Some(Action::Set(value)),
            None => found.map(|_| Action::Unset),
        })
    }

    fn increment(
        &self,
        found: Option<&Value>,
        expr: &Expr,
        scope: Scope<'_>,
    ) -> Result<Option<Action>, QueryError> {
        let name = self.path.join(".");
        let Some(Value::Counter(number)) = found else {
            let is = match found {
                Some(value) => format!("of type {}", value.type_name()),
                None => "missing".to_owned(),
            };
            return Err(self.at.error(format!(
                "{name} is {is} in a document, and only a counter can be incremented; make one with SET {name} = \
                 {{'$counter': 0}}, or leave the document out with WHERE"
            )));
        };
        let by = match &*expr.or_null(scope)? {
            Value::Int(by) if by.unsigned_abs() <= INCREMENT_MAX => *by,
            Value::Int(by) => {
                return Err(expr.at.error(format!(
                    "one increment is at most {INCREMENT_MAX} up or down, and this is {by}"
                )));
            }
            other => {
                return Err(expr.at.error(format!(
                    "INCREMENT BY takes a whole number, and this is of type {}",
                    other.type_name()
                )));
            }
        };
        let sum = number.saturating_add(by);
        if sum.unsigned_abs() > COUNTER_MAX {
            return Err(self.at.error(format!(
                "{name} would be {sum}; a counter is at most {COUNTER_MAX} away from 0"
            )));
        }
        Ok((by != 0).then_some(Action::Increment(by)))
    }

    /// The field's value in a document.
    fn find_in<'a>(&self, document: &'a Value) -> Result<Option<&'a Value>, QueryError> {
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
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

impl Delete {
    /// The collection that is written.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The WHERE clause.
    pub fn filter(&self) -> &Filter {
        &self.targets.filter
    }

    /// As [`Update::limit`].
    ///
    /// # Errors
    /// As [`Update::limit`].
    pub fn limit(&self) -> Result<usize, QueryError> {
        self.targets.limit()
    }

    /// What each removed document gives back, as it was before.
    pub fn returning(&self) -> Option<&Returning> {
        self.returning.as_ref()
    }
}

impl Targets {
    pub(super) fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.filter
            .condition_mut()
            .into_iter()
            .for_each(&mut *visit);
        self.limit.iter_mut().for_each(visit);
    }

    pub(super) fn check(&self) -> Result<(), QueryError> {
        self.filter.check()?;
        check_bounds([&self.limit])
    }

    fn limit(&self) -> Result<usize, QueryError> {
        Ok(count(self.limit.as_ref())?.unwrap_or(usize::MAX))
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

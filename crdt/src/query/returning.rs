//! RETURNING: the rows that a write gives back.

use super::ast::Expr;
use super::error::QueryError;
use super::eval::Scope;
use super::held::Held;
use super::limits::PAGE_ROWS_MAX;
use super::select::{Columns, Page, row, shown};
use super::work::Work;
use crate::value::Value;

/// A RETURNING clause: what each changed document gives back.
#[derive(Clone, Debug, PartialEq)]
pub struct Returning {
    pub(super) columns: Columns,
}

impl Returning {
    /// The row of one document. A column whose value is missing is left out.
    ///
    /// # Errors
    /// Evaluation failed or has to end.
    pub fn row(&self, document: &Value, work: &Work<'_>) -> Result<Value, QueryError> {
        match &self.columns {
            Columns::Everything => Ok(shown(document.clone())),
            Columns::Named(columns) => row(columns, Scope::document(document, work)),
        }
    }

    pub(super) fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.columns.for_each_expr_mut(visit);
    }
}

/// The rows that a write has given back so far.
#[derive(Default)]
pub struct Returned {
    rows: Vec<Value>,
    has_more: bool,
    held: Held,
}

impl Returned {
    /// Adds the row of a document that was changed. Beyond [`PAGE_ROWS_MAX`] rows it is only noted that there are more.
    ///
    /// # Errors
    /// As [`Returning::row`]; or the rows take more than [`HELD_BYTES_MAX`](crate::query::limits::HELD_BYTES_MAX).
    pub fn add(
        &mut self,
        returning: &Returning,
        document: &Value,
        work: &Work<'_>,
    ) -> Result<(), QueryError> {
        if self.rows.len() == PAGE_ROWS_MAX {
            self.has_more = true;
            return Ok(());
        }
        let row = returning.row(document, work)?;
        self.held.add(row.held_bytes())?;
        self.rows.push(row);
        Ok(())
    }

    /// The rows, and whether there would be more.
    pub fn page(self) -> Page {
        Page {
            rows: self.rows,
            has_more: self.has_more,
        }
    }
}

//! Statements: what the parser makes of a text, and what becomes of it when parameters are put in.

use super::Params;
use super::ast::Expr;
use super::error::QueryError;
use super::history::{History, Revert};
use super::parser::Parser;
use super::select::Select;
use super::write::{Delete, Insert, Update};
use std::collections::BTreeSet;

/// Statements other versions of the language may know, refused by name.
const NOT_SUPPORTED: [&str; 7] = [
    "ALTER", "CREATE", "DROP", "EXPLAIN", "REPLACE", "UPSERT", "WITH",
];

/// One parsed statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// Reads documents.
    Select(Select),
    /// Adds documents.
    Insert(Insert),
    /// Changes documents.
    Update(Update),
    /// Deletes documents.
    Delete(Delete),
    /// Removes documents from this store alone.
    Evict(Delete),
    /// Reads the changes of a document.
    History(History),
    /// Gives documents back the value that they had.
    Revert(Revert),
}

/// What a statement does, as results name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Reads documents.
    Select,
    /// Adds documents.
    Insert,
    /// Changes documents.
    Update,
    /// Deletes documents.
    Delete,
    /// Removes documents from this store alone.
    Evict,
    /// Reads the changes of a document.
    History,
    /// Gives documents back the value that they had.
    Revert,
}

impl StatementKind {
    /// The kind in lower case: `select`, `insert`, `update`, `delete`, `evict`, `history`, `revert`.
    pub fn as_str(self) -> &'static str {
        match self {
            StatementKind::Select => "select",
            StatementKind::Insert => "insert",
            StatementKind::Update => "update",
            StatementKind::Delete => "delete",
            StatementKind::Evict => "evict",
            StatementKind::History => "history",
            StatementKind::Revert => "revert",
        }
    }
}

impl Statement {
    /// Parses one statement; a `;` may end it.
    ///
    /// # Errors
    /// Says what is wrong at which line and column: anything the language does not have, a misspelt keyword or
    /// function, more than 64 KiB of text, expressions nested too deep, a second statement.
    pub fn parse(text: &str) -> Result<Statement, QueryError> {
        let mut parser = Parser::new(text)?;
        let statement = if parser.eat("SELECT") {
            Statement::Select(parser.select()?)
        } else if parser.eat("INSERT") {
            Statement::Insert(parser.insert()?)
        } else if parser.eat("UPDATE") {
            Statement::Update(parser.update()?)
        } else if parser.eat("DELETE") {
            Statement::Delete(parser.delete()?)
        } else if parser.eat("EVICT") {
            Statement::Evict(parser.delete()?)
        } else if parser.eat("HISTORY") {
            Statement::History(parser.history()?)
        } else if parser.eat("REVERT") {
            Statement::Revert(parser.revert()?)
        } else if let Some(word) = NOT_SUPPORTED.iter().find(|word| parser.sees(word)) {
            return Err(parser.at().error(format!(
                "{word} is not supported; statements are SELECT, INSERT, UPDATE, DELETE, EVICT, HISTORY and REVERT"
            )));
        } else {
            return Err(parser.unexpected(
                "SELECT, INSERT, UPDATE, DELETE, EVICT, HISTORY or REVERT",
                &[
                    "SELECT", "INSERT", "UPDATE", "DELETE", "EVICT", "HISTORY", "REVERT",
                ],
            ));
        };
        statement.check()?;
        Ok(statement)
    }

    /// The collection that is read or written.
    pub fn collection(&self) -> &str {
        match self {
            Statement::Select(select) => select.collection(),
            Statement::Insert(insert) => insert.collection(),
            Statement::Update(update) => update.collection(),
            Statement::Delete(delete) | Statement::Evict(delete) => delete.collection(),
            Statement::History(history) => history.collection(),
            Statement::Revert(revert) => revert.collection(),
        }
    }

    /// What the statement does.
    pub fn kind(&self) -> StatementKind {
        match self {
            Statement::Select(_) => StatementKind::Select,
            Statement::Insert(_) => StatementKind::Insert,
            Statement::Update(_) => StatementKind::Update,
            Statement::Delete(_) => StatementKind::Delete,
            Statement::Evict(_) => StatementKind::Evict,
            Statement::History(_) => StatementKind::History,
            Statement::Revert(_) => StatementKind::Revert,
        }
    }

    /// Puts values in the place of all parameters. A statement without any is bound to an empty map.
    ///
    /// # Errors
    /// A parameter of the statement has no value, a value has no parameter, or a value does not fit its place.
    pub fn bind(mut self, params: &Params) -> Result<Statement, QueryError> {
        let mut used = BTreeSet::new();
        let mut outcome = Ok(());
        self.for_each_expr_mut(&mut |expr| {
            if outcome.is_ok() {
                outcome = expr.bind(params, &mut used);
            }
        });
        outcome?;
        if let Some(unused) = params.keys().find(|name| !used.contains(*name)) {
            return Err(QueryError::without_place(format!(
                "the statement has no parameter :{unused}; remove its value or correct the name"
            )));
        }
        self.check()?;
        Ok(self)
    }

    fn for_each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        let returning = match self {
            Statement::Select(select) => return select.for_each_expr_mut(visit),
            Statement::Insert(insert) => {
                insert.documents.iter_mut().for_each(&mut *visit);
                &mut insert.returning
            }
            Statement::Update(update) => {
                let assignments = update.assignments.iter_mut();
                assignments
                    .filter_map(|assignment| assignment.operation.expr_mut())
                    .for_each(&mut *visit);
                update.targets.for_each_expr_mut(visit);
                &mut update.returning
            }
            Statement::Delete(delete) | Statement::Evict(delete) => {
                delete.targets.for_each_expr_mut(visit);
                &mut delete.returning
            }
            Statement::History(history) => return history.for_each_expr_mut(visit),
            Statement::Revert(revert) => return revert.for_each_expr_mut(visit),
        };
        if let Some(returning) = returning {
            returning.for_each_expr_mut(visit);
        }
    }

    /// Checks what depends on the values of literals, which parameters become when they are bound.
    fn check(&self) -> Result<(), QueryError> {
        match self {
            Statement::Select(select) => select.check(),
            Statement::Insert(_) => Ok(()),
            Statement::Update(update) => update.targets.check(),
            Statement::Delete(delete) | Statement::Evict(delete) => delete.targets.check(),
            Statement::History(history) => history.check(),
            Statement::Revert(revert) => revert.check(),
        }
    }
}

//! Statements: what the parser makes of a text, and what becomes of it when parameters are put in.

use super::Params;
use super::ast::Expr;
use super::error::QueryError;
use super::history::{History, Revert};
use super::index::{Explain, Schema};
use super::parser::Parser;
use super::select::Select;
use super::write::{Delete, Insert, Update};
use std::collections::BTreeSet;

/// Statements other versions of the language may know, refused by name.
const NOT_SUPPORTED: [&str; 4] = ["ALTER", "REPLACE", "UPSERT", "WITH"];

/// The statements, as messages name them.
const KNOWN: &str = "SELECT, INSERT, UPDATE, DELETE, EVICT, HISTORY, REVERT, CREATE INDEX, DROP INDEX, SHOW and EXPLAIN";

/// One parsed statement.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is parsed, bound and run"
)]
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
    /// Makes, removes or lists indexes, or lists collections.
    Schema(Schema),
    /// Says how another statement finds its documents.
    Explain(Explain),
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
    /// Makes an index.
    CreateIndex,
    /// Removes an index.
    DropIndex,
    /// Lists indexes or collections.
    Show,
    /// Says how another statement finds its documents.
    Explain,
}

impl StatementKind {
    /// The kind as answers name it: `select`, `insert`, `update`, `delete`, `evict`, `history`, `revert`, `createIndex`,
    /// `dropIndex`, `show`, `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            StatementKind::Select => "select",
            StatementKind::Insert => "insert",
            StatementKind::Update => "update",
            StatementKind::Delete => "delete",
            StatementKind::Evict => "evict",
            StatementKind::History => "history",
            StatementKind::Revert => "revert",
            StatementKind::CreateIndex => "createIndex",
            StatementKind::DropIndex => "dropIndex",
            StatementKind::Show => "show",
            StatementKind::Explain => "explain",
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
        let statement = Parser::new(text)?.statement()?;
        statement.check()?;
        Ok(statement)
    }

    /// The collection that is read or written; empty when the statement is about all of them.
    pub fn collection(&self) -> &str {
        match self {
            Statement::Select(select) => select.collection(),
            Statement::Insert(insert) => insert.collection(),
            Statement::Update(update) => update.collection(),
            Statement::Delete(delete) | Statement::Evict(delete) => delete.collection(),
            Statement::History(history) => history.collection(),
            Statement::Revert(revert) => revert.collection(),
            Statement::Schema(schema) => schema.collection(),
            Statement::Explain(explain) => explain.statement.collection(),
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
            Statement::Schema(Schema::CreateIndex(_)) => StatementKind::CreateIndex,
            Statement::Schema(Schema::DropIndex(_)) => StatementKind::DropIndex,
            Statement::Schema(Schema::ShowIndexes(_) | Schema::ShowCollections) => {
                StatementKind::Show
            }
            Statement::Explain(_) => StatementKind::Explain,
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
            Statement::Schema(_) => return,
            Statement::Explain(explain) => return explain.statement.for_each_expr_mut(visit),
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
            Statement::Schema(_) => Ok(()),
            Statement::Explain(explain) => explain.statement.check(),
        }
    }
}

impl Parser<'_> {
    /// One statement to the end of the text.
    pub(super) fn statement(&mut self) -> Result<Statement, QueryError> {
        Ok(if self.eat("SELECT") {
            Statement::Select(self.select()?)
        } else if self.eat("INSERT") {
            Statement::Insert(self.insert()?)
        } else if self.eat("UPDATE") {
            Statement::Update(self.update()?)
        } else if self.eat("DELETE") {
            Statement::Delete(self.delete()?)
        } else if self.eat("EVICT") {
            Statement::Evict(self.delete()?)
        } else if self.eat("HISTORY") {
            Statement::History(self.history()?)
        } else if self.eat("REVERT") {
            Statement::Revert(self.revert()?)
        } else if self.eat("CREATE") {
            Statement::Schema(self.create_index()?)
        } else if self.eat("DROP") {
            Statement::Schema(self.drop_index()?)
        } else if self.eat("SHOW") {
            Statement::Schema(self.show()?)
        } else if self.sees("EXPLAIN") {
            self.enter()?;
            self.take();
            let explain = self.explain()?;
            self.leave();
            Statement::Explain(explain)
        } else if let Some(word) = NOT_SUPPORTED.iter().find(|word| self.sees(word)) {
            return Err(self
                .at()
                .error(format!("{word} is not supported; statements are {KNOWN}")));
        } else {
            let words = [
                "SELECT", "INSERT", "UPDATE", "DELETE", "EVICT", "HISTORY", "REVERT", "CREATE",
                "DROP", "SHOW", "EXPLAIN",
            ];
            return Err(self.unexpected("a statement, such as SELECT or INSERT", &words));
        })
    }
}

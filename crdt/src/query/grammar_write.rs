//! The grammar of INSERT, UPDATE and DELETE, and what can be checked without any document.

use super::ast::ExprKind;
use super::error::QueryError;
use super::expression::INFIX_WORDS;
use super::names::Access;
use super::parser::{Aggregates, Parser};
use super::returning::Returning;
use super::write::{
    Assignment, Delete, Insert, OnConflict, Operation, Targets, Update, plain_names,
};

/// The clauses of UPDATE.
const CLAUSES: [&str; 3] = ["SET", "UNSET", "APPLY"];

impl Parser<'_> {
    /// Everything after `INSERT`.
    pub(super) fn insert(&mut self) -> Result<Insert, QueryError> {
        self.context = Aggregates::Forbidden("in INSERT");
        self.expect("INTO")?;
        let collection = self.collection(Access::Write)?;
        if !self.eat("DOCUMENTS") {
            return Err(self.unexpected(
                "DOCUMENTS, as in INSERT INTO cars DOCUMENTS (:car)",
                &["DOCUMENTS"],
            ));
        }
        let mut documents = Vec::new();
        loop {
            self.expect_symbol("(")?;
            let document = self.expression()?;
            if let Some(at) = document.find(&|kind| matches!(kind, ExprKind::Path(_))) {
                return Err(at.error(
                    "INSERT has no document to read a field from; strings are written 'text', parameters :name",
                ));
            }
            self.expect_symbol(")")?;
            documents.push(document);
            if !self.eat_symbol(",") {
                break;
            }
        }
        let on_conflict = self.on_conflict()?;
        let returning = self.returning()?;
        self.end(
            "ON ID CONFLICT, RETURNING or the end of the statement",
            &["ON", "RETURNING"],
        )?;
        Ok(Insert {
            collection,
            documents,
            on_conflict,
            returning,
        })
    }

    fn on_conflict(&mut self) -> Result<OnConflict, QueryError> {
        if !self.eat("ON") {
            return Ok(OnConflict::default());
        }
        for word in ["ID", "CONFLICT", "DO"] {
            self.expect(word)?;
        }
        let words = ["FAIL", "NOTHING", "UPDATE", "MERGE"];
        let actions = [
            OnConflict::Fail,
            OnConflict::Nothing,
            OnConflict::Update,
            OnConflict::Merge,
        ];
        for (word, action) in words.iter().zip(actions) {
            if self.eat(word) {
                return Ok(action);
            }
        }
        Err(self.unexpected("FAIL, NOTHING, UPDATE or MERGE after DO", &words))
    }

    /// Everything after `UPDATE`.
    pub(super) fn update(&mut self) -> Result<Update, QueryError> {
        self.context = Aggregates::Forbidden("in UPDATE");
        let collection = self.collection(Access::Write)?;
        let Some(mut clause) = self.clause() else {
            return Err(self.unexpected("SET, UNSET or APPLY", &CLAUSES));
        };
        let mut assignments = Vec::new();
        loop {
            assignments.push(self.assignment(clause)?);
            // The clauses may alternate, with or without a comma before them.
            let goes_on = self.eat_symbol(",");
            match self.clause() {
                Some(next) => clause = next,
                None if goes_on => {}
                None => break,
            }
        }
        check_overlap(&assignments)?;
        let targets = self.targets()?;
        let returning = self.returning()?;
        let words = ["WHERE", "LIMIT", "RETURNING"];
        let words = [&INFIX_WORDS[..], &words, &CLAUSES].concat();
        self.end("`,`, WHERE or the end of the statement", &words)?;
        Ok(Update {
            collection,
            targets,
            assignments,
            returning,
        })
    }

    /// The word that begins a clause of UPDATE.
    fn clause(&mut self) -> Option<&'static str> {
        CLAUSES.into_iter().find(|word| self.eat(word))
    }

    fn assignment(&mut self, clause: &str) -> Result<Assignment, QueryError> {
        let target = self.path()?;
        let ExprKind::Path(path) = &target.kind else {
            return Err(target.at.error("expected a field"));
        };
        let Some(path) = plain_names(path) else {
            return Err(target
                .at
                .error("an item of a list cannot be set alone; set the whole list"));
        };
        if path[0] == "_id" {
            return Err(target.at.error(
                "_id never changes; insert a document with the new _id and delete this one",
            ));
        }
        let operation = match clause {
            "SET" => {
                if !self.eat_symbol("=") {
                    return Err(self.unexpected("`=` after the field to set", &[]));
                }
                Operation::Set(self.expression()?)
            }
            "APPLY" => {
                self.expect("INCREMENT")?;
                self.expect("BY")?;
                Operation::Increment(self.expression()?)
            }
            _ => Operation::Unset,
        };
        Ok(Assignment {
            path,
            at: target.at,
            operation,
        })
    }

    /// Everything after `DELETE`.
    pub(super) fn delete(&mut self) -> Result<Delete, QueryError> {
        self.expect("FROM")?;
        let collection = self.collection(Access::Write)?;
        let targets = self.targets()?;
        let returning = self.returning()?;
        let words = [&INFIX_WORDS[..], &["WHERE", "LIMIT", "RETURNING"]].concat();
        self.end(
            "WHERE, LIMIT, RETURNING or the end of the statement",
            &words,
        )?;
        Ok(Delete {
            collection,
            targets,
            returning,
        })
    }

    /// `[WHERE condition] [LIMIT n]`
    fn targets(&mut self) -> Result<Targets, QueryError> {
        Ok(Targets {
            filter: self.condition()?,
            limit: self.bound("LIMIT")?,
        })
    }

    /// `[RETURNING * | expression [AS name], …]`
    fn returning(&mut self) -> Result<Option<Returning>, QueryError> {
        if !self.eat("RETURNING") {
            return Ok(None);
        }
        self.context = Aggregates::Forbidden("in RETURNING");
        let columns = self.columns()?;
        Ok(Some(Returning { columns }))
    }
}

/// Refuses two assignments of which one is to a part of the other: their order would decide.
fn check_overlap(assignments: &[Assignment]) -> Result<(), QueryError> {
    let mut sorted: Vec<&Assignment> = assignments.iter().collect();
    // Whatever begins with a path follows directly after it.
    sorted.sort_by(|left, right| left.path.cmp(&right.path));
    for pair in sorted.windows(2) {
        if let [outer, inner] = pair
            && inner.path.starts_with(&outer.path)
        {
            return Err(inner.at.error(format!(
                "{} is assigned more than once; keep one of the assignments",
                outer.path.join(".")
            )));
        }
    }
    Ok(())
}

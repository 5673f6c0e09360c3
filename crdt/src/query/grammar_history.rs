//! The grammar of the past: AS OF, HISTORY OF and REVERT.

use super::ast::{Expr, ExprKind};
use super::error::QueryError;
use super::expression::INFIX_WORDS;
use super::history::{History, PastPoint, Revert};
use super::names::Access;
use super::parser::{Aggregates, Parser};

impl Parser<'_> {
    /// `[AS OF point]`
    pub(super) fn as_of(&mut self) -> Result<Option<PastPoint>, QueryError> {
        if !self.eat("AS") {
            return Ok(None);
        }
        if !self.eat("OF") {
            return Err(self.unexpected(
                "OF, as in SELECT * FROM cars AS OF '-5 minutes' (a collection has no other name)",
                &["OF"],
            ));
        }
        self.past_point("in AS OF").map(Some)
    }

    /// Everything after `HISTORY`.
    pub(super) fn history(&mut self) -> Result<History, QueryError> {
        self.expect("OF")?;
        let id = self.constant("in HISTORY OF", "an _id")?;
        self.expect("FROM")?;
        let collection = self.collection(Access::Read)?;
        let newest_first = self.order_by_time()?;
        let limit = self.bound("LIMIT")?;
        let offset = self.bound("OFFSET")?;
        self.end(
            "ORDER BY time, LIMIT, OFFSET or the end of the statement",
            &["ORDER", "LIMIT", "OFFSET"],
        )?;
        Ok(History {
            collection,
            id,
            newest_first,
            limit,
            offset,
        })
    }

    /// `[ORDER BY time [ASC|DESC]]`; whether the newest change comes first.
    fn order_by_time(&mut self) -> Result<bool, QueryError> {
        if !self.eat("ORDER") {
            return Ok(false);
        }
        self.expect("BY")?;
        if !self.eat("time") {
            return Err(self.unexpected("time, by which changes are ordered", &["time"]));
        }
        let newest_first = self.eat("DESC");
        if !newest_first {
            self.eat("ASC");
        }
        Ok(newest_first)
    }

    /// Everything after `REVERT`.
    pub(super) fn revert(&mut self) -> Result<Revert, QueryError> {
        let collection = self.collection(Access::Write)?;
        if !self.eat("TO") {
            return Err(self.unexpected("TO, as in REVERT cars TO '-5 minutes'", &["TO"]));
        }
        let past = self.past_point("in REVERT")?;
        self.context = Aggregates::Forbidden("in REVERT");
        let filter = self.condition()?;
        let words = [&INFIX_WORDS[..], &["WHERE"]].concat();
        self.end("WHERE or the end of the statement", &words)?;
        Ok(Revert {
            collection,
            past,
            filter,
        })
    }

    fn past_point(&mut self, place: &'static str) -> Result<PastPoint, QueryError> {
        let expr = self.constant(place, "a point in the past")?;
        Ok(PastPoint { expr })
    }

    /// An expression that needs no document.
    fn constant(&mut self, place: &'static str, what: &str) -> Result<Expr, QueryError> {
        let context = std::mem::replace(&mut self.context, Aggregates::Forbidden(place));
        let expr = self.expression()?;
        self.context = context;
        match expr.find(&|kind| matches!(kind, ExprKind::Path(_))) {
            None => Ok(expr),
            Some(at) => Err(at.error(format!(
                "{what} reads no field; strings are written 'text', parameters :name"
            ))),
        }
    }
}

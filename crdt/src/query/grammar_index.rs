//! The grammar of CREATE INDEX, DROP INDEX, SHOW and EXPLAIN, and what can be checked without any document.

use super::ast::ExprKind;
use super::error::QueryError;
use super::index::{CreateIndex, DropIndex, Explain, Schema};
use super::names::Access;
use super::names::path_text;
use super::parser::Parser;
use super::plan::IndexField;
use super::statement::Statement;
use super::write::plain_names;
use crate::limits::{INDEX_FIELDS_MAX, INDEX_NAME_BYTES_MAX};

impl Parser<'_> {
    /// Everything after `CREATE`.
    pub(super) fn create_index(&mut self) -> Result<Schema, QueryError> {
        if self.sees("UNIQUE") {
            return Err(self.at().error(
                "UNIQUE is not supported: devices that write apart can't know of each other's values; make the value \
                 the _id",
            ));
        }
        if self.sees("COLLECTION") || self.sees("TABLE") {
            return Err(self
                .at()
                .error("a collection is made by the first INSERT; CREATE makes an INDEX"));
        }
        self.expect("INDEX")?;
        let if_not_exists = self.eat_all(&["IF", "NOT", "EXISTS"])?;
        let name = self.index_name()?;
        self.expect("ON")?;
        let collection = self.collection(Access::Write)?;
        let fields = self.index_fields()?;
        self.end("the end of the statement", &[])?;
        Ok(Schema::CreateIndex(CreateIndex {
            name,
            collection,
            fields,
            if_not_exists,
        }))
    }

    fn index_fields(&mut self) -> Result<Vec<IndexField>, QueryError> {
        self.expect_symbol("(")?;
        let mut fields: Vec<IndexField> = Vec::new();
        loop {
            let at = self.at();
            let path = self.path()?;
            let ExprKind::Path(path) = &path.kind else {
                return Err(at.error("expected a field"));
            };
            let Some(path) = plain_names(path) else {
                return Err(at.error("an index is over fields, not over single items of a list"));
            };
            if path == ["_id"] {
                return Err(at.error(
                    "_id needs no index: documents are found by it, and every index ends with it; leave it out",
                ));
            }
            if fields.iter().any(|field| field.path == path) {
                return Err(at.error(format!("{} stands twice in the index", path_text(&path))));
            }
            if fields.len() == INDEX_FIELDS_MAX {
                return Err(at.error(format!("an index has at most {INDEX_FIELDS_MAX} fields")));
            }
            let descending = self.eat("DESC");
            if !descending {
                self.eat("ASC");
            }
            fields.push(IndexField { path, descending });
            if !self.eat_symbol(",") {
                break;
            }
        }
        if !self.eat_symbol(")") {
            return Err(self.unexpected("`,` or `)` after a field", &["ASC", "DESC"]));
        }
        Ok(fields)
    }

    fn index_name(&mut self) -> Result<String, QueryError> {
        let at = self.at();
        let name = self.name("the index's name")?;
        if name.is_empty() || name.len() > INDEX_NAME_BYTES_MAX {
            return Err(at.error(format!(
                "an index's name has 1 to {INDEX_NAME_BYTES_MAX} bytes, this one has {}",
                name.len()
            )));
        }
        if name.chars().any(char::is_control) {
            return Err(at.error("the index's name contains a control character"));
        }
        Ok(name)
    }

    /// Takes all of the words if the first one is there and is not just a name.
    fn eat_all(&mut self, words: &[&str]) -> Result<bool, QueryError> {
        if !self.sees_pair(words[0], words[1]) {
            return Ok(false);
        }
        for word in words {
            self.expect(word)?;
        }
        Ok(true)
    }

    /// Everything after `DROP`.
    pub(super) fn drop_index(&mut self) -> Result<Schema, QueryError> {
        self.expect("INDEX")?;
        let if_exists = self.eat_all(&["IF", "EXISTS"])?;
        let name = self.index_name()?;
        if !self.eat("ON") {
            return Err(self.unexpected("ON and the collection, as in DROP INDEX i ON c", &["ON"]));
        }
        let collection = self.collection(Access::Write)?;
        self.end("the end of the statement", &[])?;
        Ok(Schema::DropIndex(DropIndex {
            name,
            collection,
            if_exists,
        }))
    }

    /// Everything after `SHOW`.
    pub(super) fn show(&mut self) -> Result<Schema, QueryError> {
        let shown = if self.eat("COLLECTIONS") {
            Schema::ShowCollections
        } else if self.eat("INDEXES") {
            let collection = self.eat("FROM").then(|| self.collection(Access::Read));
            Schema::ShowIndexes(collection.transpose()?)
        } else {
            return Err(self.unexpected("INDEXES or COLLECTIONS", &["INDEXES", "COLLECTIONS"]));
        };
        self.end("FROM or the end of the statement", &["FROM"])?;
        Ok(shown)
    }

    /// Everything after `EXPLAIN`.
    pub(super) fn explain(&mut self) -> Result<Explain, QueryError> {
        let at = self.at();
        let analyze = self.eat("ANALYZE");
        let explained = self.at();
        let statement = self.statement()?;
        match &statement {
            Statement::Select(_) => {}
            Statement::Update(_) | Statement::Delete(_) | Statement::Evict(_) if !analyze => {}
            Statement::Update(_) | Statement::Delete(_) | Statement::Evict(_) => {
                return Err(at.error(
                    "ANALYZE runs the statement, and this one writes; leave ANALYZE out, or explain a SELECT of the \
                     same WHERE",
                ));
            }
            Statement::Insert(_)
            | Statement::History(_)
            | Statement::Revert(_)
            | Statement::Schema(_)
            | Statement::Explain(_) => {
                return Err(explained.error(
                    "EXPLAIN shows how documents are found: it stands before SELECT, UPDATE, DELETE or EVICT",
                ));
            }
        }
        Ok(Explain {
            analyze,
            statement: Box::new(statement),
        })
    }
}

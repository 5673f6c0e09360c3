//! Statements: what they read comes from materialised values, what they write goes through one transaction.

use super::Store;
use super::commit::Origin;
use super::deadline::Deadline;
use super::error::StoreError;
use super::history::{Past, changes_of};
use super::index::{explain, show};
use super::source::Source;
use super::transaction::Transaction;
use crate::id::DocumentId;
use crate::limits::JOB_DOCUMENTS_MAX;
use crate::query::limits::PAGE_ROWS_MAX;
use crate::query::{
    Delete, Filter, Insert, OnConflict, Page, Params, Returned, Returning, Revert, Schema,
    Statement, StatementKind, Update, check_writable_collection_name, merge,
};
use crate::value::Value;
use std::collections::HashSet;

/// What a statement gave or did.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// For a SELECT the newest transaction it saw, for a write its own. Local to this store. Within a transaction of
    /// several statements always the newest one before it.
    pub transaction_id: u64,
    /// What kind of statement it was.
    pub kind: StatementKind,
    /// The rows of a SELECT, HISTORY, SHOW or EXPLAIN, or those that a write's RETURNING gives; the new index of a CREATE
    /// INDEX.
    pub items: Vec<Value>,
    /// The documents that a write changed.
    pub mutated: Vec<DocumentId>,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
}

/// What became of one imported document.
#[derive(Debug)]
pub enum Imported {
    /// It is new, or now has the imported value.
    Written,
    /// It had exactly this value already.
    Unchanged,
    /// It can't be stored.
    Rejected(StoreError),
}

impl Store {
    /// Runs one statement, within [`STATEMENT_SECONDS_MAX`](crate::limits::STATEMENT_SECONDS_MAX). A write is durable
    /// on return. Of a SELECT's rows no more are given than [`PAGE_ROWS_MAX`], with a warning if there are more.
    ///
    /// # Errors
    /// The statement is wrong or takes too long, or a document can't be stored: then nothing of the statement has
    /// happened.
    pub fn execute(&self, statement: &str, params: &Params) -> Result<Outcome, StoreError> {
        self.execute_within(&Deadline::default(), statement, params)
    }

    /// As [`execute`](Self::execute), within another deadline. What has begun to be committed is not stopped.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_within(
        &self,
        deadline: &Deadline,
        statement: &str,
        params: &Params,
    ) -> Result<Outcome, StoreError> {
        let statement = self.0.statements.parse(statement)?.bind(params)?;
        if let Some(outcome) = self.alter(&statement, deadline)? {
            return Ok(outcome);
        }
        let view = self.view();
        let write = match Task::of(statement, &view, deadline)? {
            Task::Read(statement) => return view.run(&statement, deadline),
            Task::Write(write) => write,
        };
        if write.documents() <= JOB_DOCUMENTS_MAX {
            let work = move |transaction: &mut Transaction<'_>| transaction.carry_out(write);
            return self.0.write(deadline, Box::new(work));
        }
        let mut transaction = self.0.transaction_within(deadline)?;
        let outcome = transaction.carry_out(write)?;
        deadline.check()?;
        Ok(Outcome {
            transaction_id: transaction.commit(Origin::Local)?,
            ..outcome
        })
    }

    /// Gives each document its imported value, new or not, in one transaction; one answer each, in order. A document
    /// that can't be stored does not hold up the others. Durable on return.
    ///
    /// # Errors
    /// The collection can't be written, it takes longer than a statement may or more memory than a transaction may, or
    /// the database fails: then nothing was imported.
    pub fn import(
        &self,
        collection: &str,
        documents: &[Value],
    ) -> Result<Vec<Imported>, StoreError> {
        self.import_within(&Deadline::default(), collection, documents)
    }

    /// As [`import`](Self::import), within another deadline. What has begun to be committed is not stopped.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub fn import_within(
        &self,
        deadline: &Deadline,
        collection: &str,
        documents: &[Value],
    ) -> Result<Vec<Imported>, StoreError> {
        check_writable_collection_name(collection).map_err(StoreError::CollectionName)?;
        let mut transaction = self.0.transaction_within(deadline)?;
        let mut answers = Vec::with_capacity(documents.len());
        for document in documents {
            deadline.check()?;
            let put =
                id_of(document).and_then(|id| transaction.put(collection, &id, document.clone()));
            answers.push(match put {
                Ok(true) => Imported::Written,
                Ok(false) => Imported::Unchanged,
                Err(error @ (StoreError::Database(_) | StoreError::TransactionTooLarge)) => {
                    return Err(error);
                }
                Err(error) => Imported::Rejected(error),
            });
        }
        transaction.commit(Origin::Local)?;
        Ok(answers)
    }
}

/// What is to be done for a statement.
enum Task {
    Read(Statement),
    Write(Write),
}

/// A write with the documents that it may mean. Finding them is the long part of it, and needs no writer.
enum Write {
    Insert(Insert, Vec<Value>),
    Update(Update, Vec<DocumentId>),
    Delete(Delete, Vec<DocumentId>),
    Evict(Delete, Vec<DocumentId>),
    Revert(Revert, Vec<DocumentId>),
}

impl Task {
    fn of(
        statement: Statement,
        source: &impl Source,
        deadline: &Deadline,
    ) -> Result<Self, StoreError> {
        let matching =
            |collection, filter, limit| source.matching(collection, filter, limit, deadline);
        Ok(Task::Write(match statement {
            Statement::Select(_)
            | Statement::History(_)
            | Statement::Schema(_)
            | Statement::Explain(_) => return Ok(Task::Read(statement)),
            Statement::Insert(mut insert) => {
                let documents = deadline.evaluate(|work| insert.take_documents(work))?;
                Write::Insert(insert, documents)
            }
            Statement::Update(update) => {
                let ids = matching(update.collection(), update.filter(), update.limit()?)?;
                Write::Update(update, ids)
            }
            Statement::Delete(delete) => {
                let ids = matching(delete.collection(), delete.filter(), delete.limit()?)?;
                Write::Delete(delete, ids)
            }
            Statement::Evict(evict) => {
                let ids = matching(evict.collection(), evict.filter(), evict.limit()?)?;
                Write::Evict(evict, ids)
            }
            Statement::Revert(revert) => {
                let past = Past::new(revert.past(), revert.filter(), deadline)?;
                let ids = past.to_revert(source, revert.collection())?;
                Write::Revert(revert, ids)
            }
        }))
    }
}

impl Write {
    fn kind(&self) -> StatementKind {
        match self {
            Write::Insert(..) => StatementKind::Insert,
            Write::Update(..) => StatementKind::Update,
            Write::Delete(..) => StatementKind::Delete,
            Write::Evict(..) => StatementKind::Evict,
            Write::Revert(..) => StatementKind::Revert,
        }
    }

    /// How many documents it changes at most.
    fn documents(&self) -> usize {
        match self {
            Write::Insert(_, documents) => documents.len(),
            Write::Update(_, ids)
            | Write::Delete(_, ids)
            | Write::Evict(_, ids)
            | Write::Revert(_, ids) => ids.len(),
        }
    }
}

/// The first page of the rows of a statement that reads. `newest` is the newest transaction in the source.
pub(super) fn read(
    source: &impl Source,
    statement: &Statement,
    newest: u64,
    deadline: &Deadline,
) -> Result<Outcome, StoreError> {
    let page = match statement {
        Statement::Select(select) => {
            source.select(select, deadline, |select, documents, work| {
                select.page(documents, work)
            })?
        }
        Statement::History(history) => changes_of(source, history, deadline)?,
        Statement::Schema(schema) => whole(show(source, schema)?),
        Statement::Explain(explained) => whole(vec![explain(source, explained, deadline)?]),
        _ => return Err(StoreError::ReadOnly),
    };
    Ok(Outcome {
        transaction_id: newest,
        kind: statement.kind(),
        items: page.rows,
        mutated: Vec::new(),
        warnings: page.has_more.then(more_rows).into_iter().collect(),
    })
}

fn whole(rows: Vec<Value>) -> Page {
    Page {
        rows,
        has_more: false,
    }
}

impl Transaction<'_> {
    /// Runs one statement on what the store holds and this transaction has staged.
    ///
    /// # Errors
    /// The statement is wrong, the transaction takes too long, or a document can't be stored. Then the whole transaction
    /// has failed: later statements and its commit are refused.
    pub fn execute(&mut self, statement: &str, params: &Params) -> Result<Outcome, StoreError> {
        if self.failed {
            return Err(StoreError::TransactionFailed);
        }
        self.failed = true; // also if it panics
        let outcome = self.run(statement, params)?;
        self.failed = false;
        Ok(outcome)
    }

    fn run(&mut self, statement: &str, params: &Params) -> Result<Outcome, StoreError> {
        let deadline = self.deadline.clone();
        deadline.check()?;
        let statement = self.store().statements.parse(statement)?.bind(params)?;
        if let Statement::Schema(Schema::CreateIndex(_) | Schema::DropIndex(_)) = &statement {
            return Err(StoreError::IndexInTransaction);
        }
        match Task::of(statement, self, &deadline)? {
            Task::Write(write) => self.carry_out(write),
            Task::Read(statement) => read(self, &statement, self.newest_sequence(), &deadline),
        }
    }

    /// Changes the documents that a write means.
    fn carry_out(&mut self, write: Write) -> Result<Outcome, StoreError> {
        let kind = write.kind();
        let (mutated, returned) = match write {
            Write::Insert(insert, documents) => {
                let (collection, returning) = (insert.collection(), insert.returning());
                let ids = self.insert_all(&insert, documents)?;
                self.each(collection, ids, returning, |_, id| {
                    Ok(Some(Changed { id, deleted: None }))
                })
            }
            Write::Update(update, ids) => {
                let (collection, returning) = (update.collection(), update.returning());
                self.each(collection, ids, returning, |this, id| {
                    this.update(&update, id)
                })
            }
            Write::Delete(delete, ids) => {
                let (collection, returning) = (delete.collection(), delete.returning());
                self.each(collection, ids, returning, |this, id| {
                    this.take_away(&delete, id, |this, id| this.delete(collection, id))
                })
            }
            Write::Evict(evict, ids) => {
                let (collection, returning) = (evict.collection(), evict.returning());
                self.each(collection, ids, returning, |this, id| {
                    this.take_away(&evict, id, |this, id| this.evict(collection, id))
                })
            }
            Write::Revert(revert, ids) => {
                let deadline = self.deadline.clone();
                let past = Past::new(revert.past(), revert.filter(), &deadline)?;
                let collection = revert.collection();
                self.each(collection, ids, None, |this, id| {
                    this.revert(collection, id, &past)
                })
            }
        }?;
        let mut warnings = std::mem::take(&mut self.warnings);
        let page = returned.page();
        warnings.extend(page.has_more.then(more_returned));
        Ok(Outcome {
            transaction_id: self.newest_sequence(),
            kind,
            items: page.rows,
            mutated,
            warnings,
        })
    }

    /// Changes one document for each item, which says which if it did.
    fn each<T>(
        &mut self,
        collection: &str,
        items: Vec<T>,
        returning: Option<&Returning>,
        mut change: impl FnMut(&mut Self, T) -> Result<Option<Changed>, StoreError>,
    ) -> Result<(Vec<DocumentId>, Returned), StoreError> {
        let mut mutated = Vec::new();
        let mut returned = Returned::default();
        for item in items {
            self.deadline.check()?;
            let Some(Changed { id, deleted }) = change(self, item)? else {
                continue;
            };
            if let Some(returning) = returning {
                let document = match deleted {
                    Some(document) => Some(document),
                    None => self.visible(collection, &id)?,
                };
                let document = document.unwrap_or(Value::Null);
                self.deadline
                    .evaluate(|work| returned.add(returning, &document, work))?;
            }
            mutated.push(id);
        }
        Ok((mutated, returned))
    }

    fn update(&mut self, update: &Update, id: DocumentId) -> Result<Option<Changed>, StoreError> {
        let collection = update.collection();
        let Some(document) = self.selected(collection, &id, update.filter())? else {
            return Ok(None);
        };
        let edits = self
            .deadline
            .evaluate(|work| update.edits(&document, work))?;
        let edited = self.edit(collection, &id, &edits)?;
        Ok(edited.then_some(Changed { id, deleted: None }))
    }

    /// Takes a document away, unless it has changed since it was found.
    fn take_away(
        &mut self,
        delete: &Delete,
        id: DocumentId,
        take: impl FnOnce(&mut Self, &DocumentId) -> Result<bool, StoreError>,
    ) -> Result<Option<Changed>, StoreError> {
        match self.selected(delete.collection(), &id, delete.filter())? {
            Some(document) if take(self, &id)? => {
                let deleted = Some(document);
                Ok(Some(Changed { id, deleted }))
            }
            _ => Ok(None),
        }
    }

    /// Inserts documents in their order. Gives back the ids of those that were written, each once.
    fn insert_all(
        &mut self,
        insert: &Insert,
        documents: Vec<Value>,
    ) -> Result<Vec<DocumentId>, StoreError> {
        let (mut written, mut seen) = (Vec::new(), HashSet::new());
        for document in documents {
            self.deadline.check()?;
            let id = self.insert(insert.collection(), document, insert.on_conflict())?;
            written.extend(id.filter(|id| seen.insert(id.clone())));
        }
        Ok(written)
    }

    fn insert(
        &mut self,
        collection: &str,
        document: Value,
        on_conflict: OnConflict,
    ) -> Result<Option<DocumentId>, StoreError> {
        let id = id_of(&document)?;
        let (key, entry) = self.find(collection, &id)?;
        let written = match (&entry.visible, on_conflict) {
            (Some(_), OnConflict::Fail) => return Err(StoreError::Exists(id.to_string())),
            (Some(_), OnConflict::Nothing) => false,
            (Some(there), OnConflict::Merge) => {
                self.edit(collection, &id, &merge(&document, there))?
            }
            _ => self.put_over(collection, key, entry, document)?,
        };
        Ok(written.then_some(id))
    }

    /// The document, if it is there and the filter selects it: it may have changed since it was found.
    fn selected(
        &self,
        collection: &str,
        id: &DocumentId,
        filter: &Filter,
    ) -> Result<Option<Value>, StoreError> {
        let deadline = &self.deadline;
        let document = self.visible(collection, id)?;
        let matches = |document: &Value| deadline.evaluate(|work| filter.matches(document, work));
        Ok(match document {
            Some(document) if matches(&document)? => Some(document),
            _ => None,
        })
    }
}

/// A document that a write changed.
pub(super) struct Changed {
    pub(super) id: DocumentId,
    /// What it was before it was deleted, which RETURNING shows then.
    pub(super) deleted: Option<Value>,
}

fn more_returned() -> String {
    format!(
        "RETURNING gives the first {PAGE_ROWS_MAX} of the changed documents; all of them are changed"
    )
}

fn more_rows() -> String {
    format!(
        "these are the first {PAGE_ROWS_MAX} rows, and there are more; ask for the others with LIMIT and OFFSET, or \
         export the collection"
    )
}

/// The document's `_id`, a fresh one when it has none.
fn id_of(document: &Value) -> Result<DocumentId, StoreError> {
    match document.get("_id") {
        Some(id) => Ok(DocumentId::new(id)?),
        None => Ok(DocumentId::generate()),
    }
}

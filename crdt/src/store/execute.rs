//! Statements: what they read comes from materialised values, what they write goes through one transaction.

use super::commit::Origin;
use super::deadline::Deadline;
use super::error::StoreError;
use super::transaction::Transaction;
use super::{Inner, Store};
use crate::id::DocumentId;
use crate::query::limits::PAGE_ROWS_MAX;
use crate::query::{
    Filter, OnConflict, Params, QueryError, Select, Statement, StatementKind, Work,
    check_writable_collection_name,
};
use crate::value::Value;

/// What a statement gave or did.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// For a SELECT the newest transaction it saw, for a write its own. Local to this store.
    pub transaction_id: u64,
    /// What kind of statement it was.
    pub kind: StatementKind,
    /// The rows of a SELECT.
    pub items: Vec<Value>,
    /// The documents that a write changed.
    pub mutated: Vec<DocumentId>,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
}

/// The documents that a SELECT walks.
type Documents<'a> = &'a mut dyn Iterator<Item = Value>;

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
        let statement = Statement::parse(statement)?.bind(params)?;
        let kind = statement.kind();
        match statement {
            Statement::Select(select) => {
                let transaction_id = self.transaction_id();
                let page = self
                    .0
                    .select(&select, deadline, |select, documents, work| {
                        select.page(documents, work)
                    })?;
                Ok(Outcome {
                    transaction_id,
                    kind,
                    items: page.rows,
                    mutated: Vec::new(),
                    warnings: page.has_more.then(more_rows).into_iter().collect(),
                })
            }
            Statement::Insert(insert) => {
                let documents = deadline.evaluate(|work| insert.documents(work))?;
                let (collection, on_conflict) = (insert.collection(), insert.on_conflict());
                self.write(kind, deadline, documents, |transaction, document| {
                    transaction.insert(collection, document, on_conflict)
                })
            }
            Statement::Update(update) => {
                let (collection, filter) = (update.collection(), update.filter());
                let ids = self.0.matching(collection, filter, deadline)?;
                self.write(kind, deadline, ids, |transaction, id| {
                    let Some(document) = transaction.selected(collection, &id, filter, deadline)?
                    else {
                        return Ok(None);
                    };
                    let edits = deadline.evaluate(|work| update.edits(&document, work))?;
                    Ok(transaction.edit(collection, &id, &edits)?.then_some(id))
                })
            }
            Statement::Delete(delete) => {
                let (collection, filter) = (delete.collection(), delete.filter());
                let ids = self.0.matching(collection, filter, deadline)?;
                self.write(kind, deadline, ids, |transaction, id| {
                    let document = transaction.selected(collection, &id, filter, deadline)?;
                    if document.is_none() {
                        return Ok(None);
                    }
                    Ok(transaction.delete(collection, &id)?.then_some(id))
                })
            }
        }
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
            let put = id_of(document).and_then(|id| transaction.put(collection, &id, document));
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

    /// Every visible document of a collection, ascending by id, as of now.
    ///
    /// # Errors
    /// There is no such collection, or the database fails.
    pub fn documents(
        &self,
        collection: &str,
    ) -> Result<impl Iterator<Item = Result<Value, StoreError>> + use<'_>, StoreError> {
        self.0.documents(collection)
    }

    /// Changes one document for each item, which says whose id if it did, in one transaction.
    fn write<T>(
        &self,
        kind: StatementKind,
        deadline: &Deadline,
        items: Vec<T>,
        mut change: impl FnMut(&mut Transaction<'_>, T) -> Result<Option<DocumentId>, StoreError>,
    ) -> Result<Outcome, StoreError> {
        let mut transaction = self.0.transaction_within(deadline)?;
        let mut mutated = Vec::new();
        for item in items {
            deadline.check()?;
            mutated.extend(change(&mut transaction, item)?);
        }
        deadline.check()?;
        let warnings = std::mem::take(&mut transaction.warnings);
        Ok(Outcome {
            transaction_id: transaction.commit(Origin::Local)?,
            kind,
            items: Vec::new(),
            mutated,
            warnings,
        })
    }
}

impl Inner {
    /// What `answer` makes of the documents that the statement may mean.
    pub(super) fn select<T>(
        &self,
        select: &Select,
        deadline: &Deadline,
        answer: impl FnOnce(&Select, Documents<'_>, &Work<'_>) -> Result<T, QueryError>,
    ) -> Result<T, StoreError> {
        if let Some(id) = select.filter().document_id() {
            let found = self.document(select.collection(), id)?;
            return deadline.evaluate(|work| answer(select, &mut found.into_iter(), work));
        }
        let mut failed = None;
        let documents = self.scan(select.collection(), select.filter(), deadline)?;
        let mut documents =
            documents.map_while(|document| document.map_err(|error| failed = Some(error)).ok());
        let answer = deadline.evaluate(|work| answer(select, &mut documents, work));
        match failed {
            Some(error) => Err(error),
            None => answer,
        }
    }

    fn documents(
        &self,
        collection: &str,
    ) -> Result<impl Iterator<Item = Result<Value, StoreError>> + use<'_>, StoreError> {
        let documents = self.database.scan(self.number(collection)?, |_| Ok(true))?;
        Ok(documents.map(|document| document.map(|(_, value)| value)))
    }

    /// The documents that a filter selects, while the call may go on.
    fn scan<'a>(
        &'a self,
        collection: &str,
        filter: &'a Filter,
        deadline: &'a Deadline,
    ) -> Result<impl Iterator<Item = Result<Value, StoreError>> + use<'a>, StoreError> {
        let number = self.number(collection)?;
        let documents = self.database.scan(number, deadline.over(filter))?;
        Ok(documents.map(|document| document.map(|(_, value)| value)))
    }

    fn number(&self, collection: &str) -> Result<u32, StoreError> {
        let catalog = self.catalog();
        let number = catalog.number(collection);
        number.ok_or_else(|| catalog.unknown(collection))
    }

    fn document(&self, collection: &str, id: &Value) -> Result<Option<Value>, StoreError> {
        let collection = self.number(collection)?;
        match DocumentId::new(id) {
            Ok(id) => self
                .database
                .value(&super::schema::DocumentKey { collection, id }),
            Err(_) => Ok(None), // what can't be an id is no document's
        }
    }

    /// The ids of the documents that a write's filter selects. The writer is not held meanwhile, so each has to be
    /// tested again under it.
    fn matching(
        &self,
        collection: &str,
        filter: &Filter,
        deadline: &Deadline,
    ) -> Result<Vec<DocumentId>, StoreError> {
        let number = self.number(collection)?;
        if let Some(id) = filter.document_id() {
            return Ok(DocumentId::new(id).into_iter().collect());
        }
        let documents = self.database.scan(number, deadline.over(filter))?;
        documents
            .map(|document| document.map(|(id, _)| id))
            .collect()
    }
}

impl Transaction<'_> {
    fn insert(
        &mut self,
        collection: &str,
        document: Value,
        on_conflict: OnConflict,
    ) -> Result<Option<DocumentId>, StoreError> {
        let id = id_of(&document)?;
        let exists = self.value(collection, &id)?.is_some();
        match on_conflict {
            OnConflict::Fail if exists => return Err(StoreError::Exists(id.to_string())),
            OnConflict::Nothing if exists => return Ok(None),
            OnConflict::Fail | OnConflict::Nothing | OnConflict::Update => {}
        }
        Ok(self.put(collection, &id, &document)?.then_some(id))
    }

    /// The document, if it is there and the filter selects it.
    fn selected(
        &mut self,
        collection: &str,
        id: &DocumentId,
        filter: &Filter,
        deadline: &Deadline,
    ) -> Result<Option<Value>, StoreError> {
        let document = self.value(collection, id)?;
        let matches = |document: &Value| deadline.evaluate(|work| filter.matches(document, work));
        Ok(match document {
            Some(document) if matches(&document)? => Some(document),
            _ => None,
        })
    }
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

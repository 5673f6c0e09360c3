//! Live queries: the first result, then what changes it.
//!
//! A plain SELECT (no ORDER BY, LIMIT, DISTINCT or aggregate) is kept up to date from the commits alone: only the
//! changed documents are tested. Any other is run again when its collection changes.

use super::Store;
use super::commit::Commit;
use super::error::StoreError;
use crate::id::DocumentId;
use crate::query::{Params, QueryError, Select, Statement};
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

/// A live query's result after something changed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// The whole result now.
    pub items: Vec<Value>,
    /// Rows that were not there before.
    pub inserted: Vec<Value>,
    /// Rows of documents that showed another row before.
    pub updated: Vec<Value>,
    /// Rows that are gone.
    pub deleted: Vec<Value>,
}

/// A running live query.
pub struct Observation {
    store: Store,
    select: Arc<Select>,
    commits: broadcast::Receiver<Arc<Commit>>,
    rows: Rows,
    started: bool,
}

/// The result so far.
enum Rows {
    /// By document, kept up to date one by one.
    ByDocument(BTreeMap<DocumentId, Value>),
    /// As the last run gave them.
    Whole(Vec<Value>),
}

impl Store {
    /// Starts a live query. The collection need not exist yet.
    ///
    /// # Errors
    /// The statement is wrong or no SELECT.
    pub fn observe(&self, statement: &str, params: &Params) -> Result<Observation, StoreError> {
        let Statement::Select(select) = Statement::parse(statement)?.bind(params)? else {
            return Err(StoreError::NotObservable);
        };
        let rows = if select.is_incremental() {
            Rows::ByDocument(BTreeMap::new())
        } else {
            Rows::Whole(Vec::new())
        };
        Ok(Observation {
            commits: self.commits(),
            store: self.clone(),
            select: Arc::new(select),
            rows,
            started: false,
        })
    }
}

impl Observation {
    /// The first result at once, then the next one that differs. Commits that come faster than this is called are
    /// taken together. It goes on until it is dropped, and keeps the store open till then; `None` would say that
    /// the store's commits have ended, which they do not before.
    ///
    /// # Errors
    /// The query fails on a document, or the database does.
    pub async fn next(&mut self) -> Option<Result<Update, StoreError>> {
        if !self.started {
            self.started = true;
            return Some(self.run().await);
        }
        loop {
            let commits = match self.commits.recv().await {
                Ok(commit) => self.pending(commit),
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return None,
            };
            let update = match (commits, &mut self.rows) {
                (Some(commits), Rows::ByDocument(rows)) => {
                    apply(&self.select, rows, &commits).map_err(StoreError::from)
                }
                (Some(commits), Rows::Whole(_)) if !concerned(&self.select, &commits) => continue,
                _ => self.run().await,
            };
            match update {
                Ok(update) if update.is_empty() => {}
                other => return Some(other),
            }
        }
    }

    /// The received commit and those already waiting behind it; `None` when some were missed.
    fn pending(&mut self, first: Arc<Commit>) -> Option<Vec<Arc<Commit>>> {
        let mut commits = vec![first];
        loop {
            match self.commits.try_recv() {
                Ok(commit) => commits.push(commit),
                Err(TryRecvError::Lagged(_)) => return None,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(commits),
            }
        }
    }

    /// Runs the query anew and tells what differs.
    async fn run(&mut self) -> Result<Update, StoreError> {
        let (store, select) = (self.store.clone(), Arc::clone(&self.select));
        let by_document = matches!(self.rows, Rows::ByDocument(_));
        let run = tokio::task::spawn_blocking(move || match by_document {
            true => by_documents(&store, &select).map(Rows::ByDocument),
            false => unless_unknown(store.0.select(&select)).map(Rows::Whole),
        });
        let rows = run.await.map_err(|error| StoreError::Damaged {
            what: "the query".to_owned(),
            reason: error.to_string(),
        })??;
        let update = difference(&self.rows, &rows);
        self.rows = rows;
        Ok(update)
    }
}

impl Update {
    fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.updated.is_empty() && self.deleted.is_empty()
    }
}

/// A collection that doesn't exist yet is empty to an observer.
fn unless_unknown(rows: Result<Vec<Value>, StoreError>) -> Result<Vec<Value>, StoreError> {
    match rows {
        Err(StoreError::UnknownCollection { .. }) => Ok(Vec::new()),
        rows => rows,
    }
}

fn by_documents(store: &Store, select: &Select) -> Result<BTreeMap<DocumentId, Value>, StoreError> {
    let documents = match store.documents(select.collection()) {
        Err(StoreError::UnknownCollection { .. }) => return Ok(BTreeMap::new()),
        documents => documents?,
    };
    let mut rows = BTreeMap::new();
    for document in documents {
        let document = document?;
        if select.filter().matches(&document)? {
            let id = DocumentId::new(document.get("_id").unwrap_or(&Value::Null))?;
            rows.insert(id, select.project(&document)?);
        }
    }
    Ok(rows)
}

fn concerned(select: &Select, commits: &[Arc<Commit>]) -> bool {
    let mut documents = commits.iter().flat_map(|commit| &commit.documents);
    documents.any(|document| *document.collection == *select.collection())
}

fn apply(
    select: &Select,
    rows: &mut BTreeMap<DocumentId, Value>,
    commits: &[Arc<Commit>],
) -> Result<Update, QueryError> {
    let mut update = Update::default();
    for document in commits.iter().flat_map(|commit| &commit.documents) {
        if *document.collection != *select.collection() {
            continue;
        }
        let row = match document.after.as_deref() {
            Some(value) if select.filter().matches(value)? => Some(select.project(value)?),
            _ => None,
        };
        let before = match &row {
            Some(row) => rows.insert(document.id.clone(), row.clone()),
            None => rows.remove(&document.id),
        };
        match (before, row) {
            (None, Some(row)) => update.inserted.push(row),
            (Some(before), None) => update.deleted.push(before),
            (Some(before), Some(row)) if before != row => update.updated.push(row),
            _ => {}
        }
    }
    if !update.is_empty() {
        update.items = rows.values().cloned().collect();
    }
    Ok(update)
}

fn difference(before: &Rows, after: &Rows) -> Update {
    match (before, after) {
        (Rows::ByDocument(before), Rows::ByDocument(after)) => {
            let mut update = Update {
                items: after.values().cloned().collect(),
                ..Update::default()
            };
            for (id, row) in after {
                match before.get(id) {
                    None => update.inserted.push(row.clone()),
                    Some(old) if old != row => update.updated.push(row.clone()),
                    Some(_) => {}
                }
            }
            let gone = before.iter().filter(|(id, _)| !after.contains_key(*id));
            update.deleted = gone.map(|(_, row)| row.clone()).collect();
            update
        }
        (before, after) => {
            let (before, after) = (before.rows(), after.rows());
            Update {
                inserted: without(&after, &before),
                updated: Vec::new(),
                deleted: without(&before, &after),
                items: after,
            }
        }
    }
}

impl Rows {
    fn rows(&self) -> Vec<Value> {
        match self {
            Rows::ByDocument(rows) => rows.values().cloned().collect(),
            Rows::Whole(rows) => rows.clone(),
        }
    }
}

/// The rows that are not among the others, counted as often as they occur.
fn without(rows: &[Value], others: &[Value]) -> Vec<Value> {
    let mut counts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for row in others {
        *counts.entry(row.encode()).or_default() += 1;
    }
    let mut rest = Vec::new();
    for row in rows {
        match counts.get_mut(&row.encode()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => rest.push(row.clone()),
        }
    }
    rest
}

//! What a live query has shown so far, and how it differs from what there is now.

use super::Update;
use super::inbox::{Changes, Waiting};
use crate::id::DocumentId;
use crate::limits::OBSERVED_BYTES_MAX;
use crate::query::Select;
use crate::store::Inner;
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The result as it was told last.
pub(super) struct Shown {
    select: Arc<Select>,
    rows: Rows,
    /// Whether it was told at all.
    told: bool,
}

/// A row in its binary form, which is canonical and much smaller than a value in memory.
type Row = Box<[u8]>;

enum Rows {
    ByDocument(Documents),
    /// As the last run gave them.
    Whole(Vec<Row>),
}

/// The rows of a plain SELECT.
#[derive(Default)]
struct Documents {
    rows: BTreeMap<DocumentId, Row>,
    /// Of ids and rows.
    bytes: usize,
    /// The newest commit that is in the state they were read from.
    sequence: u64,
}

impl Shown {
    pub(super) fn new(select: Select) -> Self {
        let rows = match select.is_incremental() {
            true => Rows::ByDocument(Documents::default()),
            false => Rows::Whole(Vec::new()),
        };
        Self {
            select: Arc::new(select),
            rows,
            told: false,
        }
    }

    /// Takes it over; what stays behind has told nothing.
    pub(super) fn take(&mut self) -> Self {
        let fresh = Self::new(Select::clone(&self.select));
        std::mem::replace(self, fresh)
    }

    /// Takes in what waits. `None` if the result is as it was. After an error it is as it was told last.
    pub(super) fn catch_up(
        &mut self,
        store: &Inner,
        waiting: Waiting,
        with_items: bool,
        deadline: &Deadline,
    ) -> Result<Option<Update>, StoreError> {
        let (mut update, reordered) = match (&mut self.rows, waiting) {
            (Rows::ByDocument(documents), Waiting::Changes(changes)) => {
                let rows = documents.changed(&self.select, changes, deadline)?;
                (documents.replace(rows)?, false)
            }
            (Rows::ByDocument(documents), Waiting::Everything) => {
                let (sequence, rows) = current(store, &self.select, deadline)?;
                let gone = documents.rows.keys().filter(|id| !rows.contains_key(*id));
                let gone: Vec<_> = gone.map(|id| (id.clone(), None)).collect();
                let rows = rows.into_iter().map(|(id, row)| (id, Some(row)));
                let update = documents.replace(rows.chain(gone).collect())?;
                documents.sequence = sequence;
                (update, false)
            }
            (Rows::Whole(before), _) => {
                let after = run(store, &self.select, deadline)?;
                let update = difference(before, &after)?;
                let reordered = *before != after;
                *before = after;
                (update, reordered)
            }
        };
        let is_first = !std::mem::replace(&mut self.told, true);
        if is_first {
            update = Update::default();
        } else if update.is_empty() && !(with_items && reordered) {
            return Ok(None);
        }
        if is_first || with_items {
            update.items = Some(self.rows.values()?);
        }
        Ok(Some(update))
    }
}

impl Documents {
    /// The rows that changed documents make now, `None` for those that make none.
    fn changed(
        &self,
        select: &Select,
        changes: Changes,
        deadline: &Deadline,
    ) -> Result<Vec<(DocumentId, Option<Row>)>, StoreError> {
        let documents = changes.documents.into_iter();
        let newer = documents.filter(|(_, change)| change.sequence > self.sequence);
        let rows = newer.map(|(id, change)| {
            deadline.check()?;
            let row = change.value.map(|value| row(select, &value, deadline));
            let row = row.transpose()?;
            Ok((id, row.flatten()))
        });
        rows.collect()
    }

    /// Puts rows in their places and tells what that changes; all of it or, when the rows get too large, nothing.
    fn replace(&mut self, rows: Vec<(DocumentId, Option<Row>)>) -> Result<Update, StoreError> {
        let mut bytes = self.bytes;
        for (id, row) in &rows {
            bytes += row.as_ref().map_or(0, |row| row_bytes(id, row));
            bytes -= self.rows.get(id).map_or(0, |row| row_bytes(id, row));
        }
        if bytes > OBSERVED_BYTES_MAX {
            return Err(StoreError::ObservedTooLarge);
        }
        self.bytes = bytes;
        let mut update = Update::default();
        for (id, row) in rows {
            let before = match &row {
                Some(row) => self.rows.insert(id, row.clone()),
                None => self.rows.remove(&id),
            };
            match (before, row) {
                (None, Some(row)) => update.inserted.push(value(&row)?),
                (Some(before), None) => update.deleted.push(value(&before)?),
                (Some(before), Some(row)) if before != row => update.updated.push(value(&row)?),
                _ => {}
            }
        }
        Ok(update)
    }
}

impl Rows {
    fn values(&self) -> Result<Vec<Value>, StoreError> {
        match self {
            Rows::ByDocument(documents) => documents.rows.values().map(value).collect(),
            Rows::Whole(rows) => rows.iter().map(value).collect(),
        }
    }
}

impl Update {
    fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.updated.is_empty() && self.deleted.is_empty()
    }
}

/// The rows of a plain SELECT now, and the newest commit in them. A collection that doesn't exist yet is empty.
fn current(
    store: &Inner,
    select: &Select,
    deadline: &Deadline,
) -> Result<(u64, BTreeMap<DocumentId, Row>), StoreError> {
    // The commit that makes the collection may not be published yet: no commit counts as seen.
    let Some(collection) = store.catalog().number(select.collection()) else {
        return Ok((0, BTreeMap::new()));
    };
    let snapshot = store.database.snapshot();
    let mut rows = BTreeMap::new();
    let mut bytes = 0;
    for document in snapshot.scan(collection, deadline.over(select.filter()))? {
        let (id, document) = document?;
        if let Some(row) = row(select, &document, deadline)? {
            bytes += row_bytes(&id, &row);
            if bytes > OBSERVED_BYTES_MAX {
                return Err(StoreError::ObservedTooLarge);
            }
            rows.insert(id, row);
        }
    }
    Ok((snapshot.sequence()?, rows))
}

/// The rows of any other SELECT now.
fn run(store: &Inner, select: &Select, deadline: &Deadline) -> Result<Vec<Row>, StoreError> {
    let rows = store.select(select, deadline, |select, documents, work| {
        select.rows(documents, work)
    });
    let rows = match rows {
        Err(StoreError::UnknownCollection { .. }) => return Ok(Vec::new()),
        rows => rows?,
    };
    let mut bytes = 0;
    let encoded = rows.into_iter().map(|row| {
        let row: Row = row.encode().into();
        bytes += row.len();
        match bytes {
            ..=OBSERVED_BYTES_MAX => Ok(row),
            _ => Err(StoreError::ObservedTooLarge),
        }
    });
    encoded.collect()
}

/// The row that a document makes, if it matches.
fn row(select: &Select, document: &Value, deadline: &Deadline) -> Result<Option<Row>, StoreError> {
    let row = deadline.evaluate(|work| {
        let matches = select.filter().matches(document, work)?;
        matches.then(|| select.project(document, work)).transpose()
    })?;
    Ok(row.map(|row| row.encode().into()))
}

fn row_bytes(id: &DocumentId, row: &Row) -> usize {
    id.as_bytes().len() + row.len()
}

fn value(row: &Row) -> Result<Value, StoreError> {
    Value::decode(row).map_err(|error| StoreError::Damaged {
        what: "a row of the live query".to_owned(),
        reason: error.to_string(),
    })
}

/// How rows that belong to no document differ.
fn difference(before: &[Row], after: &[Row]) -> Result<Update, StoreError> {
    Ok(Update {
        inserted: without(after, before)?,
        deleted: without(before, after)?,
        ..Update::default()
    })
}

/// The rows that are not among the others, counted as often as they occur.
fn without(rows: &[Row], others: &[Row]) -> Result<Vec<Value>, StoreError> {
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    for row in others {
        *counts.entry(&**row).or_default() += 1;
    }
    let is_other = |row: &&Row| match counts.get_mut(&***row) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    rows.iter().filter(is_other).map(value).collect()
}

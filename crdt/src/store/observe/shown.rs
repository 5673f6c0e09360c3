//! What a live query has shown so far, and how it differs from what there is now.

use super::Update;
use super::budget::{Budget, Held};
use super::inbox::{Batch, Waiting};
use crate::id::DocumentId;
use crate::limits::{OBSERVED_BYTES_MAX, OBSERVED_ROW_BYTES};
use crate::query::Select;
use crate::store::Inner;
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::store::source::Source;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The result as it was told last.
pub(super) struct Shown {
    select: Arc<Select>,
    rows: Rows,
    /// For the rows.
    held: Held,
    /// Whether it was told at all.
    told: bool,
}

/// A row in its binary form, which is canonical and much smaller than a value in memory. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(Arc<[u8]>);

impl Row {
    /// The row as a value.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn value(&self) -> Result<Value, StoreError> {
        Value::decode(&self.0).map_err(|error| StoreError::Damaged {
            what: "a row of the live query".to_owned(),
            reason: error.to_string(),
        })
    }

    /// The memory that it takes to keep it, in bytes.
    fn kept_bytes(&self) -> usize {
        OBSERVED_ROW_BYTES + self.0.len()
    }
}

impl From<Value> for Row {
    fn from(value: Value) -> Self {
        Self(value.encode().into())
    }
}

enum Rows {
    ByDocument(Documents),
    /// As the last run gave them.
    Whole(Vec<Row>),
}

/// The rows of a plain SELECT.
#[derive(Default)]
struct Documents {
    rows: BTreeMap<DocumentId, Row>,
    /// The newest commit that is in the state they were read from.
    sequence: u64,
}

impl Shown {
    pub(super) fn new(select: Select, budget: &Arc<Budget>) -> Self {
        Self::untold(Arc::new(select), Held::nothing(budget))
    }

    fn untold(select: Arc<Select>, held: Held) -> Self {
        let rows = match select.is_incremental() {
            true => Rows::ByDocument(Documents::default()),
            false => Rows::Whole(Vec::new()),
        };
        Self {
            select,
            rows,
            held,
            told: false,
        }
    }

    /// Takes it over; what stays behind has told nothing.
    pub(super) fn take(&mut self) -> Self {
        let fresh = Self::untold(Arc::clone(&self.select), self.held.other());
        std::mem::replace(self, fresh)
    }

    /// Takes in what waits. `None` if the result is as it was. After an error it is as it was told last.
    pub(super) fn catch_up(
        &mut self,
        store: &Inner,
        waiting: Waiting,
        with_items: bool,
        deadline: &Deadline,
    ) -> Result<Option<Update<Row>>, StoreError> {
        let (mut update, reordered) = match (&mut self.rows, waiting) {
            (Rows::ByDocument(documents), Waiting::Changes(changes)) => {
                let rows = documents.changed(&self.select, &changes, deadline)?;
                (documents.replace(rows, &mut self.held)?, false)
            }
            (Rows::ByDocument(documents), Waiting::Everything) => {
                let (sequence, rows) = current(store, &self.select, deadline)?;
                let gone = documents.rows.keys().filter(|id| !rows.contains_key(*id));
                let gone: Vec<_> = gone.map(|id| (id.clone(), None)).collect();
                let rows = rows.into_iter().map(|(id, row)| (id, Some(row)));
                let update = documents.replace(rows.chain(gone).collect(), &mut self.held)?;
                documents.sequence = sequence;
                (update, false)
            }
            (Rows::Whole(before), _) => {
                let after = run(store, &self.select, deadline)?;
                hold(&mut self.held, after.iter().map(Row::kept_bytes).sum())?;
                let update = difference(before, &after);
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
            update.items = Some(self.rows.all());
        }
        Ok(Some(update))
    }
}

impl Documents {
    /// The rows that changed documents make now, `None` for those that make none.
    fn changed(
        &self,
        select: &Select,
        changes: &[Arc<Batch>],
        deadline: &Deadline,
    ) -> Result<Vec<(DocumentId, Option<Row>)>, StoreError> {
        let newer = changes
            .iter()
            .filter(|batch| batch.sequence > self.sequence);
        let newest: BTreeMap<_, _> = newer
            .flat_map(|batch| batch.documents.iter().map(|(id, value)| (id, value)))
            .collect();
        let rows = newest.into_iter().map(|(id, value)| {
            deadline.check()?;
            let row = value.as_ref().map(|value| row(select, value, deadline));
            Ok((id.clone(), row.transpose()?.flatten()))
        });
        rows.collect()
    }

    /// Puts rows in their places and tells what that changes; all of it or, when the rows get too large, nothing.
    fn replace(
        &mut self,
        rows: Vec<(DocumentId, Option<Row>)>,
        held: &mut Held,
    ) -> Result<Update<Row>, StoreError> {
        let mut bytes = held.bytes();
        for (id, row) in &rows {
            bytes += row.as_ref().map_or(0, |row| row_bytes(id, row));
            bytes -= self.rows.get(id).map_or(0, |row| row_bytes(id, row));
        }
        hold(held, bytes)?;
        let mut update = Update::default();
        for (id, row) in rows {
            let before = match &row {
                Some(row) => self.rows.insert(id, row.clone()),
                None => self.rows.remove(&id),
            };
            match (before, row) {
                (None, Some(row)) => update.inserted.push(row),
                (Some(before), None) => update.deleted.push(before),
                (Some(before), Some(row)) if before != row => update.updated.push(row),
                _ => {}
            }
        }
        Ok(update)
    }
}

impl Rows {
    fn all(&self) -> Vec<Row> {
        match self {
            Rows::ByDocument(documents) => documents.rows.values().cloned().collect(),
            Rows::Whole(rows) => rows.clone(),
        }
    }
}

impl<R> Update<R> {
    fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.updated.is_empty() && self.deleted.is_empty()
    }
}

/// Makes room for so many bytes of rows.
fn hold(held: &mut Held, bytes: usize) -> Result<(), StoreError> {
    check_bytes(bytes)?;
    match held.resize(bytes) {
        true => Ok(()),
        false => Err(StoreError::ObservedTooLargeTogether),
    }
}

/// Checks what one live query shows.
fn check_bytes(bytes: usize) -> Result<(), StoreError> {
    match bytes {
        ..=OBSERVED_BYTES_MAX => Ok(()),
        _ => Err(StoreError::ObservedTooLarge),
    }
}

/// The rows of a plain SELECT now, and the newest commit in them. A collection that doesn't exist yet is empty.
fn current(
    store: &Inner,
    select: &Select,
    deadline: &Deadline,
) -> Result<(u64, BTreeMap<DocumentId, Row>), StoreError> {
    let view = store.view();
    let sequence = view.transaction_id();
    let Some(collection) = view.catalog().number(select.collection()) else {
        return Ok((sequence, BTreeMap::new()));
    };
    let mut rows = BTreeMap::new();
    let mut bytes = 0;
    for document in view.scan(collection, select.filter(), deadline)? {
        let (id, document) = document?;
        if let Some(row) = row(select, &document, deadline)? {
            bytes += row_bytes(&id, &row);
            check_bytes(bytes)?;
            rows.insert(id, row);
        }
    }
    Ok((sequence, rows))
}

/// The rows of any other SELECT now.
fn run(store: &Inner, select: &Select, deadline: &Deadline) -> Result<Vec<Row>, StoreError> {
    let rows = store
        .view()
        .select(select, deadline, |select, documents, work| {
            select.rows(documents, work)
        });
    let rows = match rows {
        Err(StoreError::UnknownCollection { .. }) => return Ok(Vec::new()),
        rows => rows?,
    };
    let mut bytes = 0;
    let encoded = rows.into_iter().map(|row| {
        let row = Row::from(row);
        bytes += row.kept_bytes();
        check_bytes(bytes).map(|()| row)
    });
    encoded.collect()
}

/// The row that a document makes, if it matches.
fn row(select: &Select, document: &Value, deadline: &Deadline) -> Result<Option<Row>, StoreError> {
    let row = deadline.evaluate(|work| {
        let matches = select.filter().matches(document, work)?;
        matches.then(|| select.project(document, work)).transpose()
    })?;
    Ok(row.map(Row::from))
}

fn row_bytes(id: &DocumentId, row: &Row) -> usize {
    id.as_bytes().len() + row.kept_bytes()
}

/// How rows that belong to no document differ.
fn difference(before: &[Row], after: &[Row]) -> Update<Row> {
    Update {
        inserted: without(after, before),
        deleted: without(before, after),
        ..Update::default()
    }
}

/// The rows that are not among the others, counted as often as they occur.
fn without(rows: &[Row], others: &[Row]) -> Vec<Row> {
    let mut counts: BTreeMap<&Row, usize> = BTreeMap::new();
    for row in others {
        *counts.entry(row).or_default() += 1;
    }
    let is_other = |row: &&Row| match counts.get_mut::<Row>(row) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    rows.iter().filter(is_other).cloned().collect()
}

//! What a live query has shown so far, and how it differs from what there is now.

use super::budget::{Budget, Held};
use super::inbox::{ChangedSet, Waiting};
use super::list::{Changed, List, Window, check_bytes, trimmed};
use super::update::{Update, difference};
use crate::limits::OBSERVED_ROW_BYTES;
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
    /// For the rows, and for those of the last update that are no longer shown.
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

    /// Its bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The memory that it takes to keep it, in bytes.
    fn kept_bytes(&self) -> usize {
        OBSERVED_ROW_BYTES + self.len()
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

/// Rows that are made of one document each.
struct Documents {
    window: Window,
    list: List,
    /// The newest commit that is in the state they were read from.
    sequence: u64,
}

/// What taking in changes came to.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Update(Update<Row>),
    /// The result is as it was.
    Nothing,
    /// The changes are not enough to tell: everything has to be taken in.
    StartOver,
}

impl Shown {
    pub(super) fn new(select: Select, budget: &Arc<Budget>) -> Self {
        Self::untold(Arc::new(select), Held::nothing(budget))
    }

    fn untold(select: Arc<Select>, held: Held) -> Self {
        let rows = match Window::new(&select) {
            Some(window) => Rows::ByDocument(Documents {
                window,
                list: List::default(),
                sequence: 0,
            }),
            None => Rows::Whole(Vec::new()),
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

    pub(super) fn select(&self) -> &Select {
        &self.select
    }

    /// Whether changed documents can tell what changes.
    pub(super) fn is_by_document(&self) -> bool {
        matches!(self.rows, Rows::ByDocument(_))
    }

    /// Takes in what waits. After an error it is as it was told last.
    pub(super) fn catch_up(
        &mut self,
        store: &Inner,
        waiting: Waiting,
        with_items: bool,
        deadline: &Deadline,
    ) -> Result<Told, StoreError> {
        // The update before this one is in its receiver's hands, or gone.
        let held = self.rows.bytes();
        self.held.resize(held);
        let update = match (&mut self.rows, waiting) {
            (Rows::ByDocument(documents), Waiting::Changes(changes)) if self.told => {
                match documents.take_in(&changes, &mut self.held, deadline)? {
                    Some(update) => update,
                    None => return Ok(Told::StartOver),
                }
            }
            (Rows::ByDocument(documents), _) => {
                documents.start_over(store, &self.select, &mut self.held, deadline)?
            }
            (Rows::Whole(before), _) => {
                let after = run(store, &self.select, deadline)?;
                let bytes = after.iter().map(Row::kept_bytes).sum();
                hold_both(&mut self.held, bytes, held)?;
                let update = whole_difference(before, &after);
                *before = after;
                update
            }
        };
        Ok(self.tell(update, with_items))
    }

    fn tell(&mut self, mut update: Update<Row>, with_items: bool) -> Told {
        let is_first = !std::mem::replace(&mut self.told, true);
        if is_first {
            update = Update::default();
        } else if update.is_empty() {
            return Told::Nothing;
        }
        if is_first || with_items {
            update.items = Some(self.rows.all());
        }
        Told::Update(update)
    }
}

impl Documents {
    /// Takes in changed documents; `None`, and nothing has changed, if rows come to be shown that aren't known.
    fn take_in(
        &mut self,
        changes: &ChangedSet,
        held: &mut Held,
        deadline: &Deadline,
    ) -> Result<Option<Update<Row>>, StoreError> {
        let newer = changes
            .iter()
            .filter(|change| change.sequence > self.sequence);
        let changed = newer.map(|change| {
            deadline.check()?;
            let id = change.id.clone();
            let entry = change.after.as_ref().map(|document| {
                let id = id.clone();
                self.window.entry(id, document, deadline)
            });
            Ok((id, entry.transpose()?.flatten()))
        });
        let changed = changed.collect::<Result<Vec<Changed>, StoreError>>()?;
        let Some(splice) = self.window.splice(&self.list, changed) else {
            return Ok(None);
        };
        check_bytes(splice.bytes)?;
        hold(held, splice.bytes + splice.gone_bytes)?;
        Ok(Some(self.window.change(&mut self.list, splice)))
    }

    /// Reads the collection as it is now.
    fn start_over(
        &mut self,
        store: &Inner,
        select: &Select,
        held: &mut Held,
        deadline: &Deadline,
    ) -> Result<Update<Row>, StoreError> {
        let (sequence, list) = current(store, select, &self.window, deadline)?;
        hold_both(held, list.bytes(), self.list.bytes())?;
        self.sequence = sequence;
        Ok(self.window.replace(&mut self.list, list))
    }
}

impl Rows {
    fn all(&self) -> Vec<Row> {
        match self {
            Rows::ByDocument(documents) => documents.window.rows(&documents.list),
            Rows::Whole(rows) => rows.clone(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Rows::ByDocument(documents) => documents.list.bytes(),
            Rows::Whole(rows) => rows.iter().map(Row::kept_bytes).sum(),
        }
    }
}

/// Makes room for so many bytes of rows.
fn hold(held: &mut Held, bytes: usize) -> Result<(), StoreError> {
    match held.resize(bytes) {
        true => Ok(()),
        false => Err(StoreError::ObservedTooLargeTogether),
    }
}

/// Makes room for rows, and where there is some for those before them too: the update may show those as deleted.
fn hold_both(held: &mut Held, rows: usize, before: usize) -> Result<(), StoreError> {
    hold(held, rows + before).or_else(|_| hold(held, rows))
}

/// The rows made of one document each now, and the newest commit in them. A collection that doesn't exist yet is empty.
fn current(
    store: &Inner,
    select: &Select,
    window: &Window,
    deadline: &Deadline,
) -> Result<(u64, List), StoreError> {
    let view = store.view();
    let sequence = view.transaction_id();
    let list = view.select(select, deadline, |select, documents, _| {
        Ok(window.list(documents, !select.is_sorted(), deadline))
    });
    match list {
        Err(StoreError::UnknownCollection { .. }) => Ok((sequence, List::default())),
        list => Ok((sequence, list??)),
    }
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

/// How rows that belong to no document differ: equal ones are the same row.
fn whole_difference(before: &[Row], after: &[Row]) -> Update<Row> {
    let (start, before, after) = trimmed(before, after, |left, right| left == right);
    difference(start, &numbered(before), &numbered(after))
}

/// Rows with how many equal ones stand before each.
fn numbered(rows: &[Row]) -> Vec<((&Row, usize), &Row)> {
    let mut counts: BTreeMap<&Row, usize> = BTreeMap::new();
    let numbered = rows.iter().map(|row| {
        let count = counts.entry(row).or_default();
        *count += 1;
        ((row, *count), row)
    });
    numbered.collect()
}

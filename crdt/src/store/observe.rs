//! Live queries: the first result, then what changes it.
//!
//! Each commit puts what concerns an observer into its `inbox`, which is bounded: an observer that lags too far starts over
//! from the current state. What it has `shown` so far tells the difference. What all of them keep is within a `budget`,
//! and only some evaluate at the same time. A plain SELECT (no ORDER BY, LIMIT, DISTINCT or aggregate) is kept up to date from the changed documents
//! alone; any other is run again when its collection changes.

mod budget;
mod inbox;
mod shown;

#[cfg(test)]
mod tests;

use super::Store;
use super::deadline::Deadline;
use super::error::StoreError;
use crate::query::{Params, Statement};
use crate::value::Value;
use inbox::{Inbox, InboxLimits, Waiting};
use shown::Shown;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

pub(super) use inbox::Observers;
pub use shown::Row;

/// What changed in a live query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Update<R = Value> {
    /// The whole result now: with the first update, which has nothing else, and with every one if
    /// [asked for](Observation::with_items).
    pub items: Option<Vec<R>>,
    /// Rows that were not there before.
    pub inserted: Vec<R>,
    /// Rows of documents that showed another row before.
    pub updated: Vec<R>,
    /// Rows that are gone.
    pub deleted: Vec<R>,
}

/// Nothing.
impl<R> Default for Update<R> {
    fn default() -> Self {
        Self {
            items: None,
            inserted: Vec::new(),
            updated: Vec::new(),
            deleted: Vec::new(),
        }
    }
}

impl Update<Row> {
    fn decode(self) -> Result<Update, StoreError> {
        let values = |rows: Vec<Row>| rows.iter().map(Row::value).collect::<Result<_, _>>();
        Ok(Update {
            items: self.items.map(values).transpose()?,
            inserted: values(self.inserted)?,
            updated: values(self.updated)?,
            deleted: values(self.deleted)?,
        })
    }
}

/// A running live query; it ends when this is dropped.
pub struct Observation {
    store: Store,
    inbox: Arc<Inbox>,
    with_items: bool,
    /// What was shown so far; while `work` goes on, it has it.
    shown: Shown,
    work: Option<JoinHandle<Caught>>,
    /// Stops the work.
    deadline: Deadline,
    /// The last update failed; nothing is told until something changes.
    failed: bool,
}

/// What work gives back.
type Caught = (Shown, Result<Option<Update<Row>>, StoreError>);

impl Store {
    /// Starts a live query. The collection need not exist yet.
    ///
    /// # Errors
    /// The statement is wrong or no SELECT, or there are [`OBSERVERS_MAX`](crate::limits::OBSERVERS_MAX) live queries.
    pub fn observe(&self, statement: &str, params: &Params) -> Result<Observation, StoreError> {
        self.observe_limited(statement, params, InboxLimits::default())
    }

    fn observe_limited(
        &self,
        statement: &str,
        params: &Params,
        limits: InboxLimits,
    ) -> Result<Observation, StoreError> {
        let Statement::Select(select) = Statement::parse(statement)?.bind(params)? else {
            return Err(StoreError::NotObservable);
        };
        if let Some(past) = select.as_of() {
            return Err(past.not_live().into());
        }
        let inbox = Arc::new(Inbox::new(&select, limits));
        self.0.observers.register(&inbox)?;
        Ok(Observation {
            store: self.clone(),
            inbox,
            with_items: false,
            shown: Shown::new(select, &self.0.observers.shown),
            work: None,
            deadline: Deadline::default(),
            failed: false,
        })
    }
}

impl Observation {
    /// Makes every update carry the whole result, not only the first. Then also a change of nothing but the rows' order
    /// is told.
    #[must_use]
    pub fn with_items(mut self) -> Self {
        self.with_items = true;
        self
    }

    /// The first result at once, then what changes each time it changes. Changes that come faster than this is called
    /// are taken together. The future may be dropped and asked for again without missing anything.
    ///
    /// # Errors
    /// The query fails on a document, its rows or those of all live queries get too large, it takes longer than a
    /// statement may, or the database fails. The next call waits for the next change of the collection and tells what
    /// differs from what was told last.
    pub async fn next(&mut self) -> Result<Update, StoreError> {
        self.next_rows().await?.decode()
    }

    /// As [`next`](Self::next), with rows in their binary form. They take no memory beside the live query's own, where
    /// values take several times as much.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_rows(&mut self) -> Result<Update<Row>, StoreError> {
        loop {
            let work = match &mut self.work {
                Some(work) => work,
                None => {
                    self.inbox.arrival().await;
                    let turn = self.store.0.observers.turn().await;
                    let mut waiting = self.inbox.take();
                    if std::mem::take(&mut self.failed) {
                        waiting = Waiting::Everything;
                    }
                    let work = self.catch_up(waiting, turn);
                    self.work.insert(work)
                }
            };
            let worked = work.await;
            self.work = None;
            self.failed = true; // unless it turns out otherwise
            let (shown, caught) = worked.map_err(|error| StoreError::Damaged {
                what: "the live query".to_owned(),
                reason: error.to_string(),
            })?;
            self.shown = shown;
            self.failed = caught.is_err();
            if let Some(update) = caught.transpose() {
                return update;
            }
        }
    }

    /// Begins to take in what waits, off the async threads.
    fn catch_up(
        &mut self,
        waiting: Waiting,
        turn: Option<OwnedSemaphorePermit>,
    ) -> JoinHandle<Caught> {
        self.deadline = Deadline::default();
        let (store, deadline) = (self.store.clone(), self.deadline.clone());
        let (mut shown, with_items) = (self.shown.take(), self.with_items);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let caught = shown.catch_up(&store.0, waiting, with_items, &deadline);
            (shown, caught)
        })
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.deadline.cancel();
    }
}

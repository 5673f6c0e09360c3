//! Live queries: the first result, then what changes it.
//!
//! The writer leaves each commit with `dispatch`, whose thread tests the changed documents against the `condition` of
//! each live query and puts those that concern it into its `inbox`. That is bounded: an observer that lags too far
//! starts over from the current state. What it has `shown` so far tells the difference, as an `update`. What all of
//! them keep is within a `budget`, and only some evaluate at the same time. Rows that are made of one document each
//! are a `list` that changed documents keep up to date; a statement with DISTINCT, GROUP BY or an aggregate is run
//! again when a document that it selects or selected changes.

mod budget;
mod by_id;
mod condition;
mod dispatch;
mod inbox;
mod list;
mod pause;
mod shown;
mod update;

#[cfg(test)]
mod tests;

use super::Store;
use super::deadline::Deadline;
use super::error::StoreError;
use crate::limits::OBSERVED_CHANGES_MS_MAX;
use crate::query::{Params, Statement};
use inbox::{Inbox, ObserverLimits, Waiting};
use pause::Pause;
use shown::{Shown, Told};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

pub(super) use dispatch::Observers;
pub use shown::Row;
pub use update::{Misfit, Move, Update};

/// A running live query; it ends when this is dropped.
pub struct Observation {
    store: Store,
    inbox: Arc<Inbox>,
    limits: ObserverLimits,
    with_items: bool,
    /// What was shown so far; while `work` goes on, it has it.
    shown: Shown,
    work: Option<JoinHandle<Caught>>,
    /// Stops the work.
    deadline: Deadline,
    /// The last evaluation failed: nothing is told until something changes, and then everything is taken in.
    failed: bool,
    /// Changes alone couldn't tell the next update: everything is taken in at once.
    starts_over: bool,
    /// After evaluations that took too long.
    pause: Pause,
}

/// What work gives back.
type Caught = (Shown, Result<Told, StoreError>);

impl Store {
    /// Starts a live query. The collection need not exist yet.
    ///
    /// # Errors
    /// The statement is wrong or no SELECT, or there are [`OBSERVERS_MAX`](crate::limits::OBSERVERS_MAX) live queries.
    pub fn observe(&self, statement: &str, params: &Params) -> Result<Observation, StoreError> {
        self.observe_limited(statement, params, ObserverLimits::default())
    }

    fn observe_limited(
        &self,
        statement: &str,
        params: &Params,
        limits: ObserverLimits,
    ) -> Result<Observation, StoreError> {
        let Statement::Select(select) = Statement::parse(statement)?.bind(params)? else {
            return Err(StoreError::NotObservable);
        };
        if let Some(past) = select.as_of() {
            return Err(past.not_live().into());
        }
        let observers = &self.0.observers;
        let shown = Shown::new(select, &observers.shown);
        let inbox = observers.register(shown.select(), shown.is_by_document(), limits)?;
        Ok(Observation {
            store: self.clone(),
            inbox,
            limits,
            with_items: false,
            shown,
            work: None,
            deadline: Deadline::default(),
            failed: false,
            starts_over: false,
            pause: Pause::default(),
        })
    }
}

impl Observation {
    /// Makes every update carry the whole result, not only the first.
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
    /// live query may, or the database fails. The next call waits for the next change of the collection and tells what
    /// differs from what was told last; a query that took too long rests before, longer each time in a row. Only after
    /// [`StoreError::ObservationPanicked`] there is nothing more, see [`has_ended`](Self::has_ended).
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
                    let Some(work) = self.begin().await else {
                        return Err(StoreError::ObservationPanicked);
                    };
                    self.work.insert(work)
                }
            };
            let worked = work.await;
            self.work = None;
            self.fail(true); // unless it turns out otherwise
            let Ok((shown, caught)) = worked else {
                self.inbox.end();
                continue;
            };
            self.shown = shown;
            self.starts_over = matches!(caught, Ok(Told::StartOver));
            match caught {
                Ok(Told::StartOver) => self.fail(false),
                Ok(told) => {
                    self.fail(false);
                    self.pause.end();
                    if let Told::Update(update) = told {
                        return Ok(update);
                    }
                }
                Err(error) => {
                    if matches!(error, StoreError::TimedOut { .. }) {
                        self.pause.prolong();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Whether the query has ended by a fault of the program: [`next`](Self::next) has nothing but that error then.
    pub fn has_ended(&self) -> bool {
        self.inbox.has_ended()
    }

    /// What fails hears of every change of its collection: who knows what would help it.
    fn fail(&mut self, failed: bool) {
        self.failed = failed;
        self.inbox.hear_all(failed);
    }

    /// Waits for something to do and a turn, and begins with it; `None` when the query has ended.
    async fn begin(&mut self) -> Option<JoinHandle<Caught>> {
        if !self.starts_over {
            self.inbox.arrival().await;
        }
        if self.has_ended() {
            return None;
        }
        if let Some(until) = self.pause.until() {
            tokio::time::sleep_until(until.into()).await;
        }
        loop {
            let whole = self.takes_everything();
            let turn = self.store.0.observers.turn(whole).await;
            if whole == self.takes_everything() {
                return Some(self.catch_up(whole, turn));
            }
        }
    }

    fn takes_everything(&self) -> bool {
        self.failed || self.starts_over || self.inbox.is_everything()
    }

    /// Begins to take in what waits, off the async threads.
    fn catch_up(&mut self, whole: bool, turn: Option<OwnedSemaphorePermit>) -> JoinHandle<Caught> {
        let (waiting, limit) = match (self.inbox.take(), whole) {
            (Waiting::Changes(changes), false) => (
                Waiting::Changes(changes),
                Duration::from_millis(OBSERVED_CHANGES_MS_MAX),
            ),
            _ => (Waiting::Everything, self.limits.evaluation),
        };
        self.deadline = Deadline::after(limit);
        let (store, deadline) = (self.store.clone(), self.deadline.clone());
        let (mut shown, with_items) = (self.shown.take(), self.with_items);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let caught = match shown.catch_up(&store.0, waiting, with_items, &deadline) {
                Err(StoreError::TimedOut { .. }) if !whole => Ok(Told::StartOver),
                caught => caught,
            };
            (shown, caught)
        })
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.deadline.cancel();
    }
}

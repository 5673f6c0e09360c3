//! Filling new indexes and removing dropped ones, in the background.
//!
//! One thread works while there is something to do, in short turns as a writer among others. Each turn reads the newest
//! values of some documents and notes how far it came in the same batch, so that it goes on there after a restart or
//! crash. Its batches need no sync of their own: what is lost of them is done again. They are published as commits are,
//! in the order of the log, but tell no observer.

use super::definition::{Index, State};
use crate::limits::{INDEX_TURN_BYTES_MAX, INDEX_TURN_DOCUMENTS_MAX};
use crate::query::plan::key::IndexKey;
use crate::store::Inner;
use crate::store::catalog::Catalog;
use crate::store::database::Batch;
use crate::store::error::StoreError;
use crate::store::reads::Reads;
use crate::store::schema::{ENTRIES, INDEXES, VALUES};
use crate::value::Encoded;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two turns, so that writers come between them.
const PAUSE: Duration = Duration::from_millis(1);
/// After a failure, as of a full disk.
const PAUSE_FAILED: Duration = Duration::from_secs(5);
/// How far it is is shown so often if nobody else writes: what is shown has to be synced.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// The thread that works on indexes. Dropped, it waits for the end of the current turn.
#[derive(Default)]
pub(in crate::store) struct Worker {
    turns: Arc<Turns>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and its owner share.
#[derive(Default)]
struct Turns {
    status: Mutex<Status>,
    stopped: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Working,
    /// Working, and woken since the last turn began.
    Woken,
    Stopped,
}

/// What a turn found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Work,
    Nothing,
}

impl Worker {
    /// Sees to it that what the catalog says is to be done gets done.
    pub(in crate::store) fn wake(&self, store: &Arc<Inner>) {
        let mut status = self.turns.status.lock();
        match *status {
            Status::Idle => {}
            Status::Working => return *status = Status::Woken,
            Status::Woken | Status::Stopped => return,
        }
        let (turns, store) = (Arc::clone(&self.turns), Arc::clone(store));
        let thread = std::thread::Builder::new().name("sedge-index".to_owned());
        match thread.spawn(move || turns.work(&store)) {
            Ok(thread) => {
                *status = Status::Working;
                // The earlier one, if any, is at its end.
                join(self.thread.lock().replace(thread));
            }
            Err(error) => {
                tracing::warn!(%error, "indexes are not built: no thread can be started");
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        *self.turns.status.lock() = Status::Stopped;
        self.turns.stopped.notify_all();
        join(self.thread.lock().take());
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if thread.is_some_and(|thread| thread.join().is_err()) {
        tracing::error!("the thread that builds indexes has panicked");
    }
}

impl Turns {
    fn work(&self, store: &Inner) {
        let mut shown = Instant::now();
        loop {
            let worked = store.transaction().alter(
                |catalog, batch| turn(store.database.newest(), catalog, batch),
                |turn| *turn == Turn::Nothing || shown.elapsed() >= SHOWN_EVERY,
            );
            if shown.elapsed() >= SHOWN_EVERY {
                shown = Instant::now();
            }
            let pause = match &worked {
                Ok(_) => PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "an index is not built further for now");
                    PAUSE_FAILED
                }
            };
            let mut status = self.status.lock();
            match *status {
                Status::Stopped => return,
                Status::Working if matches!(worked, Ok(Turn::Nothing)) => {
                    *status = Status::Idle;
                    return;
                }
                Status::Idle | Status::Working | Status::Woken => *status = Status::Working,
            }
            self.stopped.wait_for(&mut status, pause);
            if *status == Status::Stopped {
                return;
            }
        }
    }
}

/// Removes one dropped index, or builds one on.
fn turn(
    newest: Reads<'_>,
    catalog: &mut Catalog,
    batch: &mut Batch<'_>,
) -> Result<Turn, StoreError> {
    let all = &mut catalog.indexes.all;
    if let Some(place) = all.iter().position(|index| index.state == State::Dropped) {
        let number = all.remove(place).definition.number;
        let (from, to) = (number.to_be_bytes(), (number + 1).to_be_bytes());
        batch.delete_range(ENTRIES, &from, &to);
        batch.delete(INDEXES, &from);
        return Ok(Turn::Work);
    }
    match all.iter_mut().find(|index| index.state != State::Ready) {
        Some(index) => {
            index.build_on(newest, batch)?;
            index.store_if_changed(batch);
            Ok(Turn::Work)
        }
        None => Ok(Turn::Nothing),
    }
}

impl Index {
    fn build_on(&mut self, newest: Reads<'_>, batch: &mut Batch<'_>) -> Result<(), StoreError> {
        let State::Building { up_to } = &self.state else {
            return Ok(());
        };
        let definition = Arc::clone(&self.definition);
        let collection = definition.collection.to_be_bytes();
        let from = [&collection[..], up_to].concat();
        let (mut documents, mut bytes) = (0, 0);
        let mut values = newest.raw(VALUES)?;
        values.seek(&from);
        self.is_changed = true;
        while let Some((key, value)) = values.item() {
            let Some(id) = key.strip_prefix(&collection) else {
                break;
            };
            if key != from {
                if documents >= INDEX_TURN_DOCUMENTS_MAX || bytes >= INDEX_TURN_BYTES_MAX {
                    return Ok(());
                }
                match IndexKey::of_encoded(&definition.fields, Encoded::new(value)) {
                    Ok(key) => self.insert(&key, id, batch),
                    // Whoever reads the document is told; the others are to be found all the same.
                    Err(error) => tracing::warn!(
                        %error, id = %String::from_utf8_lossy(id), index = definition.name,
                        "a damaged document is left out of the index"
                    ),
                }
                (documents, bytes) = (documents + 1, bytes + value.len());
                self.state = State::Building { up_to: id.to_vec() };
            }
            values.next();
        }
        values.status()?;
        self.state = State::Ready;
        Ok(())
    }
}

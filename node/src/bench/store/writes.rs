//! What writing costs.
//!
//! Each figure tells beside it what limits it: how long the disk takes to sync an appended kilobyte in the same rounds
//! (`disk_sync_us`), and an insert without any sync (`unsynced_insert_us`). On a busy machine a sync is mostly waiting for a
//! processor, so that writers who share one can gain more than their number.

use super::super::cars::{car, id};
use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::super::sqlite;
use super::{BATCH, CARS, ROUNDS, fill, open, open_with};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, ROOT};
use sedge::{Params, Value};
use sedge_crdt::{Durability, Store};
use std::fs::File;
use std::io::Write;

/// Batches per round.
const BATCHES: u64 = 20;
/// Rounds of single inserts: many short ones, because the time that a disk takes for a sync changes from second to second.
const SHORT_ROUNDS: u64 = 21;
/// Documents that one writer inserts one by one in a round.
const SINGLES: u64 = 70;
/// Syncs of the disk alone in a round.
const SYNCS: u64 = 10;
/// Documents that are there before inserts are measured one by one: both logs are then written over again, as they are
/// in a database that is in use.
const HELD: u64 = 50_000;
/// Concurrent writers.
const WRITERS: u64 = 16;

/// Durable inserts of 100 documents a statement, over building the same documents with Automerge's own API.
pub(super) fn insert_batch_over_floor(workplace: &Workplace) -> Result<Measured, BenchError> {
    let store = open(&workplace.fresh("batch"))?;
    let statement = insert_many();
    let mut disk = Disk::open(workplace)?;
    let (mut ours, mut floor, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let documents = round * BATCHES * BATCH;
        let cars: Vec<Value> = (documents..documents + BATCHES * BATCH).map(car).collect();
        let microseconds = |seconds: f64| seconds * 1e6 / (BATCHES * BATCH) as f64;
        floor.push(microseconds(seconds(|| {
            Ok(cars.iter().map(build).collect::<Vec<_>>())
        })?));
        syncs.push(disk.sync_us()?);
        let batches: Vec<Params> = cars.chunks(BATCH as usize).map(parameters).collect();
        ours.push(microseconds(seconds(|| {
            for batch in &batches {
                store.execute(&statement, batch)?;
            }
            Ok(())
        })?));
    }
    let measured = Measured::ratio(("insert_us", ours), ("automerge_build_us", floor));
    Ok(measured.with("disk_sync_us", syncs))
}

/// The rate of durable inserts one by one, over SQLite's that syncs every commit.
pub(super) fn single_durable_over_sqlite_full(
    workplace: &Workplace,
) -> Result<Measured, BenchError> {
    let store = open(&workplace.fresh("single"))?;
    fill(&store, HELD)?;
    let sqlite = sqlite::open(&workplace.fresh("sqlite"))?;
    sqlite::fill(
        &sqlite,
        (0..HELD).map(|index| (id(index), car(index).to_string())),
    )?;
    let mut limits = Limits::open(workplace)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..SHORT_ROUNDS {
        let first = HELD + round * SINGLES;
        ours.push(rate(SINGLES, || insert_singly(&store, first, SINGLES))?);
        theirs.push(rate(SINGLES, || {
            for index in first..first + SINGLES {
                sqlite::insert(&sqlite, &id(index), &car(index).to_string())?;
            }
            Ok(())
        })?);
        limits.measure(first)?;
    }
    let measured = Measured::ratio(("inserts_per_s", ours), ("sqlite_inserts_per_s", theirs));
    Ok(limits.tell(measured))
}

/// The rate of durable inserts one by one by 16 writers at once, over one writer's.
pub(super) fn group_commit_gain_16(workplace: &Workplace) -> Result<Measured, BenchError> {
    let store = open(&workplace.fresh("group"))?;
    fill(&store, HELD)?;
    let mut limits = Limits::open(workplace)?;
    let (mut many, mut one, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..SHORT_ROUNDS {
        let first = HELD + round * (1 + WRITERS) * SINGLES;
        one.push(rate(SINGLES, || insert_singly(&store, first, SINGLES))?);
        limits.measure(first)?;
        let syncs = store.syncs();
        let inserts = WRITERS * SINGLES;
        many.push(rate(inserts, || insert_at_once(&store, first + SINGLES))?);
        shared.push(inserts as f64 / (store.syncs() - syncs).max(1) as f64);
    }
    let measured = Measured::ratio(("inserts_per_s_16", many), ("inserts_per_s_1", one));
    Ok(limits.tell(measured.with("inserts_per_sync", shared)))
}

fn insert_at_once(store: &Store, first: u64) -> Result<(), BenchError> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| first + writer * SINGLES)
            .map(|first| scope.spawn(move || insert_singly(store, first, SINGLES)))
            .collect();
        writers.into_iter().try_for_each(|writer| {
            let ended = || BenchError::Unavailable("a writer panicked".to_owned());
            writer.join().map_err(|_| ended())?
        })
    })
}

/// What bounds the rate of single inserts.
struct Limits {
    disk: Disk,
    /// Its writes are not synced.
    store: Store,
    syncs: Vec<f64>,
    inserts: Vec<f64>,
}

impl Limits {
    fn open(workplace: &Workplace) -> Result<Self, BenchError> {
        Ok(Self {
            disk: Disk::open(workplace)?,
            store: open_with(&workplace.fresh("unsynced"), Durability::Os)?,
            syncs: Vec::new(),
            inserts: Vec::new(),
        })
    }

    fn measure(&mut self, first: u64) -> Result<(), BenchError> {
        self.syncs.push(self.disk.sync_us()?);
        let inserts = rate(SINGLES, || insert_singly(&self.store, first, SINGLES))?;
        self.inserts.push(1e6 / inserts);
        Ok(())
    }

    fn tell(self, measured: Measured) -> Measured {
        let measured = measured.with("disk_sync_us", self.syncs);
        measured.with("unsynced_insert_us", self.inserts)
    }
}

/// A file that grows and is synced as a log is.
struct Disk(File);

impl Disk {
    fn open(workplace: &Workplace) -> Result<Self, BenchError> {
        Ok(Self(File::create_new(workplace.fresh("disk"))?))
    }

    fn sync_us(&mut self) -> Result<f64, BenchError> {
        let syncs = rate(SYNCS, || {
            for _ in 0..SYNCS {
                self.0.write_all(&[0x5e; 1024])?;
                self.0.sync_data()?;
            }
            Ok(())
        })?;
        Ok(1e6 / syncs)
    }
}

fn rate(count: u64, work: impl FnOnce() -> Result<(), BenchError>) -> Result<f64, BenchError> {
    Ok(count as f64 / seconds(work)?)
}

pub(in crate::bench) fn insert_singly(
    store: &Store,
    first: u64,
    count: u64,
) -> Result<(), BenchError> {
    for index in first..first + count {
        let parameters = Params::from([("car".to_owned(), car(index))]);
        store.execute(&format!("INSERT INTO {CARS} DOCUMENTS (:car)"), &parameters)?;
    }
    Ok(())
}

/// `INSERT INTO cars DOCUMENTS (:d0), (:d1), …`
fn insert_many() -> String {
    let names: Vec<String> = (0..BATCH).map(|index| format!("(:d{index})")).collect();
    format!("INSERT INTO {CARS} DOCUMENTS {}", names.join(", "))
}

fn parameters(cars: &[Value]) -> Params {
    let numbered = cars.iter().enumerate();
    numbered
        .map(|(index, car)| (format!("d{index}"), car.clone()))
        .collect()
}

/// The document as Automerge's own API makes it, with its change encoded.
fn build(car: &Value) -> AutoCommit {
    let mut document = AutoCommit::new();
    for (key, value) in car.as_map().into_iter().flatten() {
        let put = match value {
            Value::Int(number) => document.put(ROOT, key, *number),
            Value::Float(number) => document.put(ROOT, key, *number),
            Value::Bool(truth) => document.put(ROOT, key, *truth),
            other => document.put(ROOT, key, other.as_str().unwrap_or_default()),
        };
        if let Err(error) = put {
            tracing::error!(%error, "the floor is measured wrongly");
        }
    }
    document.commit();
    document
}

//! What writing costs.

use super::super::cars::{car, id};
use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::super::sqlite;
use super::{BATCH, CARS, ROUNDS, open};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, ROOT};
use sedge::{Params, Value};
use sedge_crdt::Store;

/// Batches per round.
const BATCHES: u64 = 20;
/// Documents that one writer inserts one by one in a round.
const SINGLES: u64 = 200;
/// Concurrent writers.
const WRITERS: u64 = 16;

/// Durable inserts of 100 documents a statement, over building the same documents with Automerge's own API.
pub(super) fn insert_batch_over_floor(workplace: &Workplace) -> Result<Measured, BenchError> {
    let store = open(&workplace.fresh("batch"))?;
    let statement = insert_many();
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let documents = round * BATCHES * BATCH;
        let cars: Vec<Value> = (documents..documents + BATCHES * BATCH).map(car).collect();
        let microseconds = |seconds: f64| seconds * 1e6 / (BATCHES * BATCH) as f64;
        floor.push(microseconds(seconds(|| {
            Ok(cars.iter().map(build).collect::<Vec<_>>())
        })?));
        let batches: Vec<Params> = cars.chunks(BATCH as usize).map(parameters).collect();
        ours.push(microseconds(seconds(|| {
            for batch in &batches {
                store.execute(&statement, batch)?;
            }
            Ok(())
        })?));
    }
    Ok(Measured::ratio(
        ("insert_us", ours),
        ("automerge_build_us", floor),
    ))
}

/// The rate of durable inserts one by one, over SQLite's that syncs every commit.
pub(super) fn single_durable_over_sqlite_full(
    workplace: &Workplace,
) -> Result<Measured, BenchError> {
    let store = open(&workplace.fresh("single"))?;
    let sqlite = sqlite::open(&workplace.fresh("sqlite"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = round * SINGLES;
        ours.push(rate(SINGLES, || insert_singly(&store, first, SINGLES))?);
        theirs.push(rate(SINGLES, || {
            for index in first..first + SINGLES {
                sqlite::insert(&sqlite, &id(index), &car(index).to_string())?;
            }
            Ok(())
        })?);
    }
    Ok(Measured::ratio(
        ("inserts_per_s", ours),
        ("sqlite_inserts_per_s", theirs),
    ))
}

/// The rate of durable inserts one by one by 16 writers at once, over one writer's.
pub(super) fn group_commit_gain_16(workplace: &Workplace) -> Result<Measured, BenchError> {
    let store = open(&workplace.fresh("group"))?;
    let (mut many, mut one) = (Vec::new(), Vec::new());
    let mut first = 0;
    for _ in 0..ROUNDS {
        one.push(rate(SINGLES, || insert_singly(&store, first, SINGLES))?);
        first += SINGLES;
        many.push(rate(WRITERS * SINGLES, || {
            std::thread::scope(|scope| {
                let writers: Vec<_> = (0..WRITERS)
                    .map(|writer| first + writer * SINGLES)
                    .map(|first| {
                        let store = &store;
                        scope.spawn(move || insert_singly(store, first, SINGLES))
                    })
                    .collect();
                writers.into_iter().try_for_each(|writer| {
                    let ended = || BenchError::Unavailable("a writer panicked".to_owned());
                    writer.join().map_err(|_| ended())?
                })
            })
        })?);
        first += WRITERS * SINGLES;
    }
    Ok(Measured::ratio(
        ("inserts_per_s_16", many),
        ("inserts_per_s_1", one),
    ))
}

fn rate(count: u64, work: impl FnOnce() -> Result<(), BenchError>) -> Result<f64, BenchError> {
    Ok(count as f64 / seconds(work)?)
}

fn insert_singly(store: &Store, first: u64, count: u64) -> Result<(), BenchError> {
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

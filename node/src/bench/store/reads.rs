//! What reading costs.

use super::super::cars::{car, id};
use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::super::sqlite;
use super::{CARS, ROUNDS, fill, open};
use rusqlite::Connection;
use sedge::{Params, Value};
use sedge_crdt::{Deadline, Store};
use std::time::Duration;

/// Single reads per round.
const GETS: u64 = 2_000;
/// How long building the index may take.
const INDEX_SECONDS_MAX: Duration = Duration::from_secs(60);
/// A stride that meets documents all over the collection.
const STRIDE: u64 = 7_919;

/// A filter on two fields that 6 % of the documents match.
const FILTERED: &str = "SELECT * FROM cars WHERE color = 'red' AND year >= 2005";
const SQLITE_FILTERED: &str =
    "SELECT doc FROM cars WHERE doc ->> '$.color' = 'red' AND doc ->> '$.year' >= 2005";

/// The filter without an index, over SQLite's on the fields of a JSON text.
pub(super) fn scan_over_sqlite(workplace: &Workplace) -> Result<Measured, BenchError> {
    let (store, sqlite) = filled(workplace)?;
    filtered(&store, &sqlite, ("scan_ms", "sqlite_scan_ms"))
}

/// The filter by an index on both fields, the documents fetched, over SQLite's with an index on both expressions.
pub(super) fn indexed_get_over_sqlite(workplace: &Workplace) -> Result<Measured, BenchError> {
    let (store, sqlite) = filled(workplace)?;
    let limit = Deadline::after(INDEX_SECONDS_MAX);
    store.execute("CREATE INDEX i ON cars (color, year)", &Params::new())?;
    store.wait_for_index(CARS, "i", &limit)?;
    sqlite
        .execute_batch("CREATE INDEX i ON cars (doc ->> '$.color', doc ->> '$.year'); ANALYZE")?;
    let explain = format!("EXPLAIN {FILTERED}");
    let plan = store.execute(&explain, &Params::new())?.items;
    if plan
        .iter()
        .any(|row| row.get("plan").and_then(Value::as_str) != Some("index"))
    {
        return Err(BenchError::Unavailable("the index is not used".to_owned()));
    }
    filtered(&store, &sqlite, ("indexed_ms", "sqlite_indexed_ms"))
}

fn filtered(
    store: &Store,
    sqlite: &Connection,
    names: (&'static str, &'static str),
) -> Result<Measured, BenchError> {
    let mut rows = (0, 0);
    let measured = in_turn(
        || {
            rows.0 = store.execute(FILTERED, &Params::new())?.items.len();
            Ok(())
        },
        || {
            rows.1 = sqlite::texts(sqlite, SQLITE_FILTERED, ())?.len();
            Ok(())
        },
        names,
        1e3,
    )?;
    same(rows.0, rows.1)?;
    Ok(measured)
}

/// One document by its `_id`, over SQLite's prepared statement by primary key.
pub(super) fn point_get_over_sqlite(workplace: &Workplace) -> Result<Measured, BenchError> {
    let (store, sqlite) = filled(workplace)?;
    let ids: Vec<String> = (0..GETS)
        .map(|index| id(index * STRIDE % workplace.documents))
        .collect();
    let mut found = (0, 0);
    let measured = in_turn(
        || {
            found.0 = 0;
            for id in &ids {
                let parameters = Params::from([("id".to_owned(), Value::String(id.clone()))]);
                let outcome = store.execute("SELECT * FROM cars WHERE _id = :id", &parameters)?;
                found.0 += outcome.items.len();
            }
            Ok(())
        },
        || {
            found.1 = 0;
            for id in &ids {
                let query = "SELECT doc FROM cars WHERE id = ?1";
                found.1 += sqlite::texts(&sqlite, query, [id])?.len();
            }
            Ok(())
        },
        ("get_us", "sqlite_get_us"),
        1e6 / GETS as f64,
    )?;
    same(found.0, found.1)?;
    Ok(measured)
}

/// Both databases with the workplace's cars.
fn filled(workplace: &Workplace) -> Result<(Store, Connection), BenchError> {
    let store = open(&workplace.fresh("reads"))?;
    let sqlite = sqlite::open(&workplace.fresh("sqlite"))?;
    let cars = 0..workplace.documents;
    sqlite::fill(
        &sqlite,
        cars.map(|index| (id(index), car(index).to_string())),
    )?;
    fill(&store, workplace.documents)?;
    Ok((store, sqlite))
}

/// Runs both in turn, once to warm up and then for the measurement, in seconds times `scale`.
fn in_turn(
    mut ours: impl FnMut() -> Result<(), BenchError>,
    mut theirs: impl FnMut() -> Result<(), BenchError>,
    names: (&'static str, &'static str),
    scale: f64,
) -> Result<Measured, BenchError> {
    ours()?;
    theirs()?;
    let mut taken = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        taken.0.push(scale * seconds(&mut ours)?);
        taken.1.push(scale * seconds(&mut theirs)?);
    }
    Ok(Measured::ratio((names.0, taken.0), (names.1, taken.1)))
}

/// A comparison of different answers would say nothing.
fn same(ours: usize, theirs: usize) -> Result<(), BenchError> {
    if ours == theirs && ours > 0 {
        return Ok(());
    }
    Err(BenchError::Unavailable(format!(
        "the answers differ: {ours} rows here, {theirs} there"
    )))
}

//! The database of comparison: SQLite with one table of JSON texts.

use rusqlite::{Connection, Error};
use std::path::Path;

/// Opens a new database that syncs every commit.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let sqlite = Connection::open(path)?;
    sqlite.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE cars (id TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;",
    )?;
    Ok(sqlite)
}

/// Inserts one document and commits.
pub(super) fn insert(sqlite: &Connection, id: &str, json: &str) -> Result<(), Error> {
    sqlite
        .prepare_cached("INSERT INTO cars VALUES (?1, ?2)")?
        .execute((id, json))?;
    Ok(())
}

/// Inserts many documents in one transaction.
pub(super) fn fill(
    sqlite: &Connection,
    documents: impl Iterator<Item = (String, String)>,
) -> Result<(), Error> {
    sqlite.execute_batch("BEGIN")?;
    for (id, json) in documents {
        insert(sqlite, &id, &json)?;
    }
    sqlite.execute_batch("COMMIT")
}

/// The texts of the documents that a query gives.
pub(super) fn texts(
    sqlite: &Connection,
    query: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<String>, Error> {
    let mut statement = sqlite.prepare_cached(query)?;
    let rows = statement.query_map(values, |row| row.get(0))?;
    rows.collect()
}

//! The store as its users see it: statements, live queries, reopening, replication between two stores.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "store/attachments.rs"]
mod attachments;
#[path = "store/attachments_named.rs"]
mod attachments_named;
#[path = "store/backup.rs"]
mod backup;
#[path = "store/bounds.rs"]
mod bounds;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/equivocation.rs"]
mod equivocation;
#[path = "store/evict.rs"]
mod evict;
#[path = "store/feed.rs"]
mod feed;
#[path = "store/forged.rs"]
mod forged;
#[path = "store/history.rs"]
mod history;
#[path = "store/index_moments.rs"]
mod index_moments;
#[path = "store/index_plans.rs"]
mod index_plans;
#[path = "store/indexes.rs"]
mod indexes;
#[path = "store/judged.rs"]
mod judged;
#[path = "store/meetings.rs"]
mod meetings;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/reconcile.rs"]
mod reconcile;
#[path = "store/replication.rs"]
mod replication;
#[path = "store/rights.rs"]
mod rights;
#[path = "store/sealer.rs"]
mod sealer;
mod sealing;
#[path = "store/seals.rs"]
mod seals;
#[path = "store/statements.rs"]
mod statements;
#[path = "store/transactions.rs"]
mod transactions;
#[path = "store/types.rs"]
mod types;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Change, ChangeHash, ExpandedChange};
use sealing::{Packet, actor, identity};
use sedge_crdt::query::Params;
use sedge_crdt::query::limits::PAGE_ROWS_MAX;
use sedge_crdt::{
    Arrived, DEPTH_MAX, Deadline, Delta, Digest, DocumentId, FeedLimits, Imported, Outcome, Store,
    StoreError, Value, parse_json,
};
use sedge_identity::{AppId, DeviceKey};
use std::path::Path;
use std::time::{Duration, Instant};

fn open(path: &Path, device: u8) -> Store {
    try_open(path, "demo", device).unwrap()
}

fn try_open(path: &Path, app: &str, device: u8) -> Result<Store, StoreError> {
    let key = DeviceKey::from_seed([device; 32]);
    let store = Store::open(path, &AppId::new(app).unwrap(), &key.public())?;
    store.certify(identity(app, device))?;
    Ok(store)
}

fn params(json: &str) -> Params {
    parse_json(json).unwrap().as_map().unwrap().clone()
}

fn execute(store: &Store, statement: &str) -> Outcome {
    store.execute(statement, &Params::new()).unwrap()
}

/// Why a statement is not carried out.
fn refused(store: &Store, statement: &str) -> String {
    let refused = store.execute(statement, &Params::new());
    refused.unwrap_err().to_string()
}

fn rows(store: &Store, statement: &str) -> Vec<String> {
    texts(&execute(store, statement))
}

/// The rows of an answer.
fn texts(outcome: &Outcome) -> Vec<String> {
    outcome.items.iter().map(Value::to_string).collect()
}

/// Waits for an index of the cars.
fn ready(store: &Store, name: &str) {
    store
        .wait_for_index("cars", name, &Deadline::default())
        .unwrap();
}

/// How a statement finds its documents; with `ANALYZE` before it, also what that took.
fn plan(store: &Store, statement: &str) -> Value {
    first(execute(store, &format!("EXPLAIN {statement}")))
}

fn first(outcome: Outcome) -> Value {
    outcome.items.into_iter().next().unwrap()
}

/// What a row says in words under a name; nothing if it doesn't.
fn told<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn insert(store: &Store, json: &str) {
    let doc = params(&format!("{{\"doc\":{json}}}"));
    store
        .execute("INSERT INTO cars DOCUMENTS (:doc)", &doc)
        .unwrap();
}

/// Everything that `from` has and `to` lacks, over the replication calls; how many deltas moved.
fn replicate(from: &Store, to: &Store) -> usize {
    replicate_within(from, to, 16 << 20)
}

/// The same, in deltas of at most so many bytes.
fn replicate_within(from: &Store, to: &Store, bytes_max: usize) -> usize {
    from.seal().unwrap();
    give(from, to, bytes_max)
}

/// As much of it as is sealed.
fn give(from: &Store, to: &Store, bytes_max: usize) -> usize {
    let limits = FeedLimits {
        wanted: &|_| true,
        full: &mut |_| false,
        scan_max: 100_000,
    };
    let page = from.feed_page(0, limits).unwrap();
    let mut moved = 0;
    for entry in page.entries {
        let id = entry.id.as_bytes();
        let mut lacking = to.lacking(&entry.collection, id, &entry.heads).unwrap();
        while let Some(have) = lacking {
            let mut bundle = from.bundle();
            let part = bundle
                .add(&entry.collection, id, &have, bytes_max, |_, _| true)
                .unwrap();
            let part = part.unwrap();
            let bundled = bundle.finish().unwrap();
            let chains = bundled.certificates.into_iter().map(|(_, chain)| chain);
            let packet = Packet {
                certificates: chains.collect(),
                seals: bundled.seals,
                documents: vec![(entry.collection.to_string(), id.to_vec(), part.delta)],
            };
            let arrived = packet.arrive(to);
            assert_eq!(arrived, [Arrived::Applied { incomplete: false }]);
            moved += 1;
            lacking = part.more_after;
        }
    }
    moved
}

fn many(count: usize) -> Vec<Value> {
    let document = |n| parse_json(&format!(r#"{{"_id":"{n:05}","n":{n}}}"#)).unwrap();
    (0..count).map(document).collect()
}

/// Writes over an entry of a closed store: the first of a family whose key ends so.
fn overwrite(path: &Path, family: &str, of: &str, value: &[u8]) {
    alter(path, family, of, |database, family, key| {
        database.put_cf(family, key, value)
    });
}

/// Changes the database of a closed store, given the first key of a family that ends so.
fn alter(
    path: &Path,
    family: &str,
    of: &str,
    change: impl FnOnce(&rocksdb::DB, &rocksdb::ColumnFamily, &[u8]) -> Result<(), rocksdb::Error>,
) {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, path).unwrap();
    let database = rocksdb::DB::open_cf(&options, path, families).unwrap();
    let family = database.cf_handle(family).unwrap();
    let entries = database.iterator_cf(family, rocksdb::IteratorMode::Start);
    let mut keys = entries.map(|entry| entry.unwrap().0);
    let key = keys.find(|key| key.ends_with(of.as_bytes())).unwrap();
    change(&database, family, &key).unwrap();
}

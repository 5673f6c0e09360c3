//! What the parts of the store cost, one by one: `cargo bench --package sedge-crdt`. Run as a test, each is tried once.
//!
//! Whole-system figures beside SQLite are those of `sedge bench store`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ROOT};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sedge_crdt::query::{Params, Select, Statement, Work};
use sedge_crdt::{Delta, Document, DocumentId, FeedLimits, Store, Value, parse_json};
use sedge_identity::{AppId, DeviceKey};
use std::hint::black_box;

/// Documents of the collection that is scanned.
const DOCUMENTS: usize = 20_000;
/// Documents per import.
const BATCH: usize = 512;

/// About 190 bytes of JSON, as the benchmark's.
fn car(index: usize) -> Value {
    let (make, color) = (
        ["Toyota", "Ford", "Volvo", "Skoda"],
        ["blue", "red", "green", "white"],
    );
    let text = format!(
        r#"{{"_id":"car-{index:06}","make":"{}","model":"Corolla {}","color":"{}","year":{},"price":{}.5,"sold":{},"vin":"VIN{index:017}","notes":"the quick brown fox jumps over"}}"#,
        make[index % 4],
        index % 1000,
        color[index / 4 % 4],
        1985 + index * 7 % 40,
        index * 31 % 50_000,
        index.is_multiple_of(2),
    );
    parse_json(&text).unwrap()
}

fn store(folder: &tempfile::TempDir) -> Store {
    let device = DeviceKey::from_seed([7; 32]).public();
    Store::open(folder.path(), &AppId::new("bench").unwrap(), &device).unwrap()
}

fn filled(folder: &tempfile::TempDir) -> Store {
    let store = store(folder);
    for first in (0..DOCUMENTS).step_by(BATCH) {
        let last = DOCUMENTS.min(first + BATCH);
        store
            .import("cars", &(first..last).map(car).collect::<Vec<_>>())
            .unwrap();
    }
    store
}

fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("value");
    let value = car(1);
    let (bytes, text) = (value.encode(), value.to_string());
    group.bench_function("encode", |it| it.iter(|| black_box(&value).encode()));
    group.bench_function("decode", |it| {
        it.iter(|| Value::decode(black_box(&bytes)).unwrap())
    });
    group.bench_function("from_json", |it| {
        it.iter(|| parse_json(black_box(&text)).unwrap())
    });
    group.bench_function("to_json", |it| it.iter(|| black_box(&value).to_string()));
}

fn queries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("query");
    let text = "SELECT make, COUNT(*) AS n FROM cars WHERE color = :color AND year >= 2005 GROUP BY make ORDER BY n DESC LIMIT 3";
    let params = Params::from([("color".to_owned(), Value::from("red"))]);
    group.bench_function("parse_and_bind", |it| {
        it.iter(|| {
            Statement::parse(black_box(text))
                .unwrap()
                .bind(&params)
                .unwrap()
        });
    });
    let select: Select =
        match Statement::parse("SELECT * FROM cars WHERE color = 'red' AND year >= 2005") {
            Ok(Statement::Select(select)) => select,
            other => panic!("{other:?}"),
        };
    let (car, work) = (car(5), Work::default());
    group.bench_function("filter_decoded", |it| {
        it.iter(|| select.filter().matches(black_box(&car), &work).unwrap());
    });
}

/// The changes of one document: its first one, and ten updates.
fn deltas(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    store.import("cars", &[car(0)]).unwrap();
    let id = DocumentId::new(&"car-000000".into()).unwrap();
    let delta = |have: &[[u8; 32]]| {
        let part = store.delta("cars", id.as_bytes(), have, 1 << 20).unwrap();
        Delta::decode(&part.unwrap().delta).unwrap()
    };
    let first = delta(&[]);
    let heads = || {
        let limits = FeedLimits {
            wanted: &|_| true,
            full: &mut |_| false,
            scan_max: 10,
        };
        store.feed_page(0, limits).unwrap().entries[0].heads.clone()
    };
    let begun = heads();
    let update = |year: usize| {
        let update = format!("UPDATE cars SET year = {year} WHERE _id = 'car-000000'");
        store.execute(&update, &Params::new()).unwrap();
    };
    update(0);
    let one_update = delta(&begun);
    (1..10).for_each(update);
    let (updates, updated) = (delta(&begun), heads());
    update(10);
    let last_update = delta(&updated);
    let ingest =
        |record: &[u8], delta: &Delta| Document::ingest(record, "cars", &id, delta).unwrap();
    let changes = ingest(&[], &first).changes;
    let record: Vec<u8> = changes
        .iter()
        .flat_map(|change| change.raw_bytes().to_vec())
        .collect();
    let updated = ingest(&record, &updates);
    let tail = updated.changes.iter().map(Change::raw_bytes);
    let tail: Vec<u8> = std::iter::once(&record[..])
        .chain(tail)
        .collect::<Vec<_>>()
        .concat();
    let snapshot = updated.document.unwrap().compact(&id).unwrap();
    let applied = with_a_message(&changes[0]);
    assert!(ingest(&[], &first).document.is_none() && ingest(&[], &applied).document.is_some());
    let mut group = criterion.benchmark_group("delta");
    group.bench_function("read_first_change", |it| {
        it.iter(|| ingest(&[], black_box(&first)))
    });
    group.bench_function("apply_first_change", |it| {
        it.iter(|| ingest(&[], black_box(&applied)))
    });
    group.bench_function("apply_one_update", |it| {
        it.iter(|| ingest(&record, black_box(&one_update)))
    });
    group.bench_function("apply_update_behind_eleven_changes", |it| {
        it.iter(|| ingest(&tail, black_box(&last_update)))
    });
    group.bench_function("apply_update_behind_a_snapshot", |it| {
        it.iter(|| ingest(&snapshot, black_box(&last_update)))
    });
    group.bench_function("apply_ten_updates", |it| {
        it.iter(|| ingest(&record, black_box(&updates)))
    });
}

/// A delta of the change with a message, which no store writes, so that it is applied and not only read.
fn with_a_message(change: &Change) -> Delta {
    let mut change = change.decode();
    change.message = Some("m".to_owned());
    let change = Change::from(change).bytes().into_owned();
    let length = change.len();
    // Field 2 of the wire form, with a length of two bytes.
    let header = [0x12, length as u8 | 0x80, (length >> 7) as u8];
    Delta::decode(&[&header[..], &change].concat()).unwrap()
}

/// A document's first change: from its operations, and by a transaction of automerge.
fn first_changes(criterion: &mut Criterion) {
    let car = car(0);
    let actor = ActorId::from([7; 16]);
    let by_transaction = |car: &Value| {
        let mut document = AutoCommit::new().with_actor(actor.clone());
        for (key, value) in car.as_map().unwrap() {
            match value {
                Value::Int(number) => document.put(ROOT, key, *number),
                Value::Float(number) => document.put(ROOT, key, *number),
                Value::Bool(truth) => document.put(ROOT, key, *truth),
                other => document.put(ROOT, key, other.as_str().unwrap()),
            }
            .unwrap();
        }
        document.commit();
        document.get_last_local_change().unwrap()
    };
    let operations = by_transaction(&car).decode();
    let mut group = criterion.benchmark_group("first_change");
    group.bench_function("from_operations", |it| {
        it.iter_batched(|| operations.clone(), Change::from, BatchSize::SmallInput)
    });
    group.bench_function("by_transaction", |it| {
        it.iter(|| by_transaction(black_box(&car)))
    });
}

fn reads(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder);
    let run = |statement: &str, params: &Params| store.execute(statement, params).unwrap().items;
    let mut group = criterion.benchmark_group("read");
    group.bench_function("point_get", |it| {
        let id = Params::from([("id".to_owned(), Value::from("car-007919"))]);
        it.iter(|| run("SELECT * FROM cars WHERE _id = :id", &id));
    });
    group.throughput(Throughput::Elements(DOCUMENTS as u64));
    group.sample_size(20);
    for (name, statement) in [
        (
            "scan_few",
            "SELECT * FROM cars WHERE color = 'red' AND year >= 2020",
        ),
        ("scan_none", "SELECT * FROM cars WHERE color = 'violet'"),
        ("scan_last_field", "SELECT * FROM cars WHERE year = 0"),
        ("scan_like", "SELECT * FROM cars WHERE model LIKE '%99'"),
        (
            "scan_group",
            "SELECT make, COUNT(*) AS n FROM cars GROUP BY make",
        ),
    ] {
        group.bench_function(name, |it| it.iter(|| run(statement, &Params::new())));
    }
}

/// Durable: each import syncs once.
fn writes(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut group = criterion.benchmark_group("write");
    group
        .throughput(Throughput::Elements(BATCH as u64))
        .sample_size(20);
    let mut next = 0;
    group.bench_function("import_new", |it| {
        let cars = || {
            next += BATCH;
            (next - BATCH..next).map(car).collect::<Vec<_>>()
        };
        it.iter_batched(
            cars,
            |cars| store.import("cars", &cars).unwrap(),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(parts, values, queries, deltas, first_changes, reads, writes);
criterion_main!(parts);

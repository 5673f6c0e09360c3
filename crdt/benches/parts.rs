//! What the parts of the store cost, one by one: `cargo bench --package sedge-crdt`. Run as a test, each is tried once.
//!
//! Whole-system figures beside SQLite are those of `sedge bench store`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ROOT};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sedge_crdt::query::{Params, Select, Statement, Work};
use sedge_crdt::{Access, DocumentId, Store, Value, parse_json};
use sedge_identity::{AppId, CertificateRequest, DeviceKey, Issuer, Permissions, Rights};
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

/// What asking for a right costs, of a device whose issuer withholds nothing.
fn rights(criterion: &mut Criterion) {
    let access = |rule: &str| {
        let rules = Rights::Collections([("cars".to_owned(), vec![rule.to_owned()])].into());
        let of = |permissions| {
            let subject = DeviceKey::from_seed([7; 32]).public();
            let request = CertificateRequest {
                permissions,
                claims: [("shop".to_owned(), "berlin".to_owned())].into(),
                ..CertificateRequest::development(subject, "pi")
            };
            let issuer = Issuer::new(AppId::new("bench").unwrap(), DeviceKey::from_seed([8; 32]));
            issuer.issue(request, [1; 16], 0).unwrap().open().unwrap().0
        };
        let own = of(Permissions {
            read: rules.clone(),
            write: rules,
        });
        Access::of([own, of(Permissions::everything())].iter()).unwrap()
    };
    let (car, encoded) = (car(5), car(5).encode());
    let plain = DocumentId::new(&"car-000005".into()).unwrap();
    let composite = parse_json(r#"{"n":5,"shop":"berlin"}"#).unwrap();
    let composite = DocumentId::new(&composite).unwrap();
    let mut group = criterion.benchmark_group("rights");
    for (name, rule, id) in [
        ("may_write_all", "true", &plain),
        ("may_write_id", "_id == 'car-000005'", &plain),
        ("may_write_composite", "_id.shop == :shop", &composite),
    ] {
        let access = access(rule);
        assert_eq!(access.may_write("cars", id), Ok(()));
        group.bench_function(name, |it| {
            it.iter(|| access.may_write("cars", black_box(id)))
        });
    }
    let access = access("color == 'red' AND year >= 1985");
    assert!(access.may_read("cars", &car) && access.may_read_encoded("cars", &encoded));
    group.bench_function("may_read", |it| {
        it.iter(|| access.may_read("cars", black_box(&car)))
    });
    group.bench_function("may_read_encoded", |it| {
        it.iter(|| access.may_read_encoded("cars", black_box(&encoded)))
    });
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

criterion_group!(parts, values, queries, rights, first_changes, reads, writes);
criterion_main!(parts);

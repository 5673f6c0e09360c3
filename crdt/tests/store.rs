//! The store as its users see it: statements, live queries, reopening, replication between two stores.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Change, ChangeHash, ExpandedChange};
use sedge_crdt::query::Params;
use sedge_crdt::query::limits::PAGE_ROWS_MAX;
use sedge_crdt::{
    Arrival, Arrived, DEPTH_MAX, Deadline, Digest, DocumentId, FeedLimits, Imported, Store,
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
    Store::open(path, &AppId::new(app).unwrap(), &key.public())
}

fn params(json: &str) -> Params {
    parse_json(json).unwrap().as_map().unwrap().clone()
}

fn rows(store: &Store, statement: &str) -> Vec<String> {
    let outcome = store.execute(statement, &Params::new()).unwrap();
    outcome.items.iter().map(Value::to_string).collect()
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
            let part = from.delta(&entry.collection, id, &have, bytes_max).unwrap();
            let part = part.unwrap();
            let arrival = Arrival {
                collection: &entry.collection,
                id,
                delta: &part.delta,
            };
            let arrived = to.ingest(&[arrival], [1].into()).unwrap();
            assert_eq!(arrived, [Arrived::Applied { incomplete: false }]);
            moved += 1;
            lacking = part.more_after;
        }
    }
    moved
}

#[test]
fn statements_write_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(
        &store,
        r#"{"_id":"a","make":"Volvo","place":{"city":"Oslo"}}"#,
    );
    insert(&store, r#"{"_id":"b","make":"Fiat"}"#);
    let changed = store
        .execute(
            "UPDATE cars SET place.zip = 5, make = 'Kia' WHERE place.city = 'Oslo'",
            &Params::new(),
        )
        .unwrap();
    assert_eq!(changed.mutated, [DocumentId::new(&"a".into()).unwrap()]);
    assert_eq!(
        rows(&store, "SELECT * FROM cars WHERE _id = 'a'"),
        [r#"{"_id":"a","make":"Kia","place":{"city":"Oslo","zip":5}}"#]
    );
    store
        .execute("DELETE FROM cars WHERE make = 'Kia'", &Params::new())
        .unwrap();
    assert_eq!(rows(&store, "SELECT _id FROM cars"), [r#"{"_id":"b"}"#]);
    insert(&store, r#"{"_id":"a"}"#);
    assert_eq!(
        rows(&store, "SELECT * FROM cars WHERE _id='a'"),
        [r#"{"_id":"a"}"#]
    );
}

/// Goal: a write that fails leaves nothing of itself, also not the documents before the failing one.
#[test]
fn a_failed_statement_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":1}"#);
    let before = store.collections();
    for (statement, json) in [
        (
            "INSERT INTO cars DOCUMENTS (:x), (:y)",
            r#"{"x":{"_id":"b"},"y":{"_id":"a"}}"#,
        ),
        ("INSERT INTO cars DOCUMENTS (:x)", r#"{"x":{"_id":5}}"#),
        (
            "INSERT INTO cars DOCUMENTS (:x)",
            r#"{"x":{"_id":"c","\u0000deleted":true}}"#,
        ),
        ("INSERT INTO cars DOCUMENTS (:x)", r#"{"x":[1]}"#),
        ("SELECT * FROM planes", "{}"),
        ("SELCT * FROM cars", "{}"),
    ] {
        assert!(
            store.execute(statement, &params(json)).is_err(),
            "{statement} {json}"
        );
        assert_eq!(store.collections(), before);
    }
    let big = format!(
        r#"{{"x":{{"_id":"big","text":"{}"}}}}"#,
        "x".repeat(6 << 20)
    );
    let error = store.execute("INSERT INTO cars DOCUMENTS (:x)", &params(&big));
    assert!(error.unwrap_err().to_string().contains("at most 5242880"));
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":{"x":1}}"#);
    for n in 0..100 {
        let n = params(&format!("{{\"n\":{n}}}"));
        store
            .execute("UPDATE cars SET n.x = :n WHERE _id = 'a'", &n)
            .unwrap();
    }
    let before = (store.collections(), store.feed());
    drop(store);
    let store = open(folder.path(), 1);
    assert_eq!((store.collections(), store.feed()), before);
    assert_eq!(rows(&store, "SELECT n.x FROM cars"), [r#"{"x":99}"#]);
    insert(&store, r#"{"_id":"b"}"#);
}

#[test]
fn a_store_belongs_to_one_app_one_device_and_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let second = try_open(folder.path(), "demo", 1);
    assert!(
        matches!(second, Err(StoreError::InUse(_))),
        "{:?}",
        second.err()
    );
    drop(store);
    for (app, device) in [("other", 1), ("demo", 2)] {
        let foreign = try_open(folder.path(), app, device);
        assert!(matches!(foreign, Err(StoreError::Foreign { .. })));
    }
}

/// Goal: the running totals equal what a scan of all documents gives, whatever happened.
#[test]
fn totals_equal_a_scan() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for round in 0..5 {
        let documents: Vec<Value> = (0..40)
            .map(|n| {
                parse_json(&format!(r#"{{"_id":"d{}","n":{round}}}"#, n % (30 + round))).unwrap()
            })
            .collect();
        store.import("cars", &documents).unwrap();
        store
            .execute(
                &format!("DELETE FROM cars WHERE _id = 'd{round}'"),
                &Params::new(),
            )
            .unwrap();
        let mut digest = Digest::default();
        let mut count = 0;
        for document in store.documents("cars").unwrap() {
            let document = document.unwrap();
            let id = DocumentId::new(document.get("_id").unwrap()).unwrap();
            digest = digest.plus(Digest::of(&id, &document));
            count += 1;
        }
        let status = &store.collections()[0];
        assert_eq!((status.documents, status.digest), (count, digest));
    }
}

#[test]
fn import_reports_each_document() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let documents: Vec<Value> = [
        r#"{"_id":"a","n":1}"#,
        r#"{"_id":7}"#,
        r#"{"_id":"a","n":1}"#,
        "[]",
    ]
    .map(|json| parse_json(json).unwrap())
    .into();
    let answers = store.import("cars", &documents).unwrap();
    assert!(matches!(
        answers[..],
        [
            Imported::Written,
            Imported::Rejected(StoreError::Id(_)),
            Imported::Unchanged,
            Imported::Rejected(StoreError::Document(_))
        ]
    ));
    assert_eq!(
        rows(&store, "SELECT COUNT(*) AS n FROM cars"),
        [r#"{"n":1}"#]
    );
}

/// Goal: two stores that wrote apart end alike after exchanging what the other lacks, and a second exchange finds
/// nothing.
#[test]
fn stores_that_wrote_apart_converge() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    for n in 0..200 {
        insert(&a, &format!(r#"{{"_id":"a{n}","place":{{"n":{n}}}}}"#));
        insert(&b, &format!(r#"{{"_id":"b{n}","list":[{n},{{"x":1}}]}}"#));
    }
    insert(&a, r#"{"_id":"shared","m":{"from":{"a":1}}}"#);
    insert(&b, r#"{"_id":"shared","m":{"from":{"b":2}}}"#);
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (201, 201));
    a.execute("DELETE FROM cars WHERE _id = 'b7'", &Params::new())
        .unwrap();
    b.execute(
        "UPDATE cars SET place.n = -1 WHERE _id = 'a9'",
        &Params::new(),
    )
    .unwrap();
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (1, 1));
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (0, 0));
    assert_eq!(a.collections(), b.collections());
    assert_eq!(a.collections()[0].documents, 400);
    assert_eq!(
        rows(&b, "SELECT * FROM cars WHERE _id = 'shared'"),
        [r#"{"_id":"shared","m":{"from":{"a":1,"b":2}}}"#]
    );
}

/// Goal: a document of which more is missing than one delta may carry arrives whole, in parts.
#[test]
fn a_large_history_arrives_in_parts() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"a","m":{"n":0}}"#);
    for n in 0..100 {
        let n = params(&format!("{{\"n\":{n}}}"));
        let statement = "UPDATE cars SET m.n = :n, other.place.n = :n WHERE _id = 'a'";
        a.execute(statement, &n).unwrap();
    }
    let parts = replicate_within(&a, &b, 2_000);
    assert!((5..50).contains(&parts), "{parts} parts");
    assert_eq!(replicate(&a, &b), 0);
    assert_eq!(a.collections(), b.collections());
}

/// Goal: the deepest document that the store takes is read back from it.
#[test]
fn the_deepest_document_is_read_back() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    let levels = DEPTH_MAX - 1;
    let deepest = |levels| {
        format!(
            r#"{{"_id":"a","l":{}1{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let document = parse_json(&deepest(levels)).unwrap();
    a.import("cars", &[document]).unwrap();
    assert_eq!(replicate(&a, &b), 1);
    for store in [&a, &b] {
        assert_eq!(rows(store, "SELECT * FROM cars"), [deepest(levels)]);
    }
    assert!(parse_json(&deepest(levels + 1)).is_err());
}

/// A change that puts a number under a key, in place of what `predecessors` put there.
fn change(seq: u64, deps: Vec<ChangeHash>, key: &str, predecessors: Vec<OpId>) -> Change {
    Change::from(ExpandedChange {
        operations: vec![Op {
            action: OpType::Put(1.into()),
            obj: ObjectId::Root,
            key: Key::from(key.to_owned()),
            pred: predecessors.into(),
            insert: false,
        }],
        actor_id: ActorId::from(&[7; 16][..]),
        hash: None,
        seq,
        start_op: seq.try_into().unwrap(),
        time: 0,
        message: None,
        deps,
        extra_bytes: Vec::new(),
        author: None,
    })
}

/// A delta of one change: field 2 of the message, as bytes.
fn delta_of(change: &Change) -> Vec<u8> {
    let chunk = change.raw_bytes();
    let length = u8::try_from(chunk.len()).unwrap();
    assert!(length < 128);
    [&[0x12, length][..], chunk].concat()
}

/// Goal: a change whose operation names a predecessor under another key, which automerge applies but can't give out
/// or save again, is refused, and what was there before stays readable, writable and ready to be sent.
#[test]
fn a_malformed_change_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let first = change(1, Vec::new(), "a", Vec::new());
    let made_by_first = OpId::new(1, first.actor_id());
    let evil = change(2, vec![first.hash()], "b", vec![made_by_first]);
    for (change, is_taken) in [(&first, true), (&evil, false)] {
        let delta = delta_of(change);
        let arrival = Arrival {
            collection: "cars",
            id: b"\"x\"",
            delta: &delta,
        };
        let arrived = store.ingest(&[arrival], [1].into()).unwrap();
        assert_eq!(matches!(arrived[..], [Arrived::Applied { .. }]), is_taken);
        assert_eq!(matches!(arrived[..], [Arrived::Rejected { .. }]), !is_taken);
    }
    for n in 0..50 {
        let n = params(&format!("{{\"n\":{n}}}"));
        store.execute("UPDATE cars SET n = :n", &n).unwrap();
    }
    drop(store);
    let store = open(folder.path(), 1);
    assert_eq!(
        rows(&store, "SELECT a, b, n FROM cars"),
        [r#"{"a":1,"n":49}"#]
    );
    let part = store.delta("cars", b"\"x\"", &[], usize::MAX).unwrap();
    assert_eq!(part.unwrap().more_after, None);
}

#[test]
fn hostile_arrivals_store_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"a","m":{"x":1}}"#);
    let good = a
        .delta("cars", b"\"a\"", &[], usize::MAX)
        .unwrap()
        .unwrap()
        .delta;
    let mut flipped = good.clone();
    let last = flipped.len() - 3;
    flipped[last] ^= 1;
    for (collection, id, delta) in [
        ("cars", &b"a"[..], &good[..]),
        ("cars", b"", &good),
        ("", b"\"a\"", &good),
        ("system:x", b"\"a\"", &good),
        ("cars", b"\"a\"", &flipped),
        ("cars", b"\"a\"", &good[..good.len() - 1]),
        ("cars", b"\"a\"", b"garbage"),
    ] {
        let arrival = Arrival {
            collection,
            id,
            delta,
        };
        let arrived = b.ingest(&[arrival], [1].into()).unwrap();
        assert!(
            matches!(arrived[..], [Arrived::Rejected { .. }]),
            "{collection} {id:?} {arrived:?}"
        );
    }
    assert_eq!(b.feed().last, 0);
    assert!(b.collections().is_empty());
}

/// Goal: an observer sees the first result, then each difference, also of changes from another store.
#[tokio::test]
async fn observers_see_what_changes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"x","n":1}"#);
    let none = Params::new();
    let mut plain = a.observe("SELECT * FROM cars WHERE n > 0", &none).unwrap();
    let mut sorted = a
        .observe("SELECT n FROM cars ORDER BY n DESC LIMIT 1", &none)
        .unwrap();
    assert_eq!(plain.next().await.unwrap().items.unwrap().len(), 1);
    assert_eq!(sorted.next().await.unwrap().items.unwrap().len(), 1);
    insert(&b, r#"{"_id":"y","n":9}"#);
    replicate(&b, &a);
    let update = plain.next().await.unwrap();
    assert_eq!((update.inserted.len(), update.items), (1, None));
    let top = sorted.next().await.unwrap();
    assert_eq!(top.inserted[0].to_string(), r#"{"n":9}"#);
    assert_eq!(top.deleted[0].to_string(), r#"{"n":1}"#);
    a.execute("UPDATE cars SET n = 0 WHERE _id = 'x'", &none)
        .unwrap();
    assert_eq!(plain.next().await.unwrap().deleted.len(), 1);
}

fn many(count: usize) -> Vec<Value> {
    let document = |n| parse_json(&format!(r#"{{"_id":"{n:05}","n":{n}}}"#)).unwrap();
    (0..count).map(document).collect()
}

/// Goal: an answer never has more rows than a page, says so, and the other pages can be asked for.
#[test]
fn a_long_answer_is_a_page_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(PAGE_ROWS_MAX + 1)).unwrap();
    let none = Params::new();
    let first = store.execute("SELECT * FROM cars", &none).unwrap();
    assert_eq!(first.items.len(), PAGE_ROWS_MAX);
    assert!(first.warnings[0].contains("first 10000 rows"), "{first:?}");
    let rest = store.execute("SELECT n FROM cars OFFSET 10000", &none);
    let rest = rest.unwrap();
    assert_eq!(rest.items[0].to_string(), r#"{"n":10000}"#);
    assert!(rest.warnings.is_empty());
}

/// Goal: a call past its deadline, or for which nobody waits any more, ends in an error and has changed nothing, also in
/// the midst of its work.
#[test]
fn a_call_ends_with_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(2_000)).unwrap();
    let before = (store.collections(), store.transaction_id());
    let (none, past) = (Params::new(), Deadline::after(Duration::ZERO));
    for statement in [
        "SELECT COUNT(*) FROM cars",
        "SELECT * FROM cars ORDER BY n LIMIT 1",
        "INSERT INTO cars DOCUMENTS ({'_id': 'new'})",
        "UPDATE cars SET n = 0",
        "UPDATE cars SET n = 0 WHERE _id = '00007'",
        "DELETE FROM cars",
    ] {
        let ended = store.execute_within(&past, statement, &none);
        assert!(
            matches!(ended, Err(StoreError::TimedOut { .. })),
            "{statement}"
        );
    }
    let imported = store.import_within(&past, "cars", &many(2_001));
    assert!(matches!(imported, Err(StoreError::TimedOut { .. })));
    let deadline = Deadline::default();
    let cancelling = deadline.clone();
    let cancelled = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        cancelling.cancel();
    });
    let ended = store.execute_within(&deadline, "UPDATE cars SET n = n + 1, m = 'more'", &none);
    assert!(matches!(ended, Err(StoreError::Cancelled)), "{ended:?}");
    cancelled.join().unwrap();
    assert_eq!((store.collections(), store.transaction_id()), before);
}

/// Goal: LIKE over large documents ends with the deadline, and meanwhile others write.
#[test]
fn a_hard_pattern_ends_with_its_deadline_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let document = format!(r#"{{"_id":"large","t":"{}"}}"#, "a".repeat(4 << 20));
    store
        .import("texts", &[parse_json(&document).unwrap()])
        .unwrap();
    let statement = format!(
        "UPDATE texts SET n = 1 WHERE t LIKE '%{}b'",
        "a".repeat(3_000)
    );
    let deadline = Deadline::after(Duration::from_secs(2));
    let writing = store.clone();
    let written = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        insert(&writing, r#"{"_id":"a"}"#);
        begun.elapsed()
    });
    let begun = Instant::now();
    let ended = store.execute_within(&deadline, &statement, &Params::new());
    assert!(
        matches!(ended, Err(StoreError::TimedOut { .. })),
        "{ended:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(written.join().unwrap() < Duration::from_millis(1_500));
}

/// Goal: a call that waits for another writer ends with its own deadline.
#[test]
fn waiting_for_the_writer_ends_with_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let document = format!(r#"{{"_id":"large","t":"{}"}}"#, "a".repeat(4 << 20));
    store
        .import("texts", &[parse_json(&document).unwrap()])
        .unwrap();
    // A filter on the id is tested under the writer.
    let pattern = "a".repeat(3_000);
    let statement = format!("DELETE FROM texts WHERE _id = 'large' AND t LIKE '%{pattern}b'");
    let writing = store.clone();
    let other = std::thread::spawn(move || {
        let deadline = Deadline::after(Duration::from_secs(4));
        writing.execute_within(&deadline, &statement, &Params::new())
    });
    std::thread::sleep(Duration::from_millis(500));
    let (begun, deadline) = (Instant::now(), Deadline::after(Duration::from_millis(300)));
    let ended = store.import_within(&deadline, "cars", &many(1));
    assert!(
        matches!(ended, Err(StoreError::TimedOut { .. })),
        "{ended:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(matches!(
        other.join().unwrap(),
        Err(StoreError::TimedOut { .. })
    ));
}

/// Goal: a write that would hold too much in memory is refused as a whole, and can be done in parts.
#[test]
fn a_transaction_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let text = "x".repeat(200 << 10);
    for n in 0..500 {
        let document = format!(r#"{{"_id":"{n:05}","text":"{text}"}}"#);
        let imported = store.import("texts", &[parse_json(&document).unwrap()]);
        assert!(matches!(imported.unwrap()[..], [Imported::Written]));
    }
    let (none, before) = (Params::new(), store.collections());
    for statement in ["UPDATE texts SET n = 0", "DELETE FROM texts"] {
        let refused = store.execute(statement, &none);
        assert!(
            matches!(refused, Err(StoreError::TransactionTooLarge)),
            "{statement}"
        );
        assert_eq!(store.collections(), before);
    }
    for part in ["_id < '00100'", "_id >= '00400'"] {
        let deleted = store.execute(&format!("DELETE FROM texts WHERE {part}"), &none);
        assert_eq!(deleted.unwrap().mutated.len(), 100);
    }
}

/// Goal: what is no document is refused in words that read well.
#[test]
fn what_is_no_document_is_named_by_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let imported = open(folder.path(), 1)
        .import("cars", &[Value::Int(7)])
        .unwrap();
    let [Imported::Rejected(error)] = &imported[..] else {
        panic!("{imported:?}");
    };
    assert_eq!(
        error.to_string(),
        "the document can't be stored: it is of type int, not a map"
    );
}

/// Goal: a change with a wrong checksum is refused, and a collection that only refused documents named comes to nothing,
/// so its number can't be given twice.
#[test]
fn a_collection_of_refused_documents_is_none() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"a","n":1}"#);
    let good = a
        .delta("cars", b"\"a\"", &[], usize::MAX)
        .unwrap()
        .unwrap()
        .delta;
    let magic = [0x85, 0x6f, 0x4a, 0x83];
    let at = good.windows(4).position(|bytes| bytes == magic).unwrap();
    let mut bad = good.clone();
    bad[at + 4] ^= 1;
    let arrival = |collection, delta| Arrival {
        collection,
        id: b"\"a\"",
        delta,
    };
    let arrivals = [arrival("planes", &bad[..]), arrival("cars", &good)];
    let arrived = b.ingest(&arrivals, [1].into()).unwrap();
    assert!(matches!(
        arrived[..],
        [Arrived::Rejected { .. }, Arrived::Applied { .. }]
    ));
    assert_eq!(b.collections().len(), 1);
    drop(b);
    let b = open(two.path(), 2);
    assert_eq!(b.collections(), a.collections());
}

/// Damages an entry of a closed store, as a failing disk would.
fn damage(path: &Path, family: &str, of: &str) {
    overwrite(path, family, of, b"damaged");
}

/// Writes over an entry of a closed store.
fn overwrite(path: &Path, family: &str, of: &str, value: &[u8]) {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, path).unwrap();
    let database = rocksdb::DB::open_cf(&options, path, families).unwrap();
    let family = database.cf_handle(family).unwrap();
    let entries = database.iterator_cf(family, rocksdb::IteratorMode::Start);
    let mut keys = entries.map(|entry| entry.unwrap().0);
    let key = keys.find(|key| key.ends_with(of.as_bytes())).unwrap();
    database.put_cf(family, key, value).unwrap();
}

/// Goal: a document that is damaged here is an error of this store, not of the sender, and others go on.
#[test]
fn own_damage_is_nobody_elses_fault() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    for id in ["a", "b"] {
        insert(&a, &format!(r#"{{"_id":"{id}","n":1}}"#));
        insert(&b, &format!(r#"{{"_id":"{id}","m":1}}"#));
    }
    drop(b);
    damage(two.path(), "documents", "\"a\"");
    let b = open(two.path(), 2);
    let is_damage = |error: &StoreError| matches!(error, StoreError::Damaged { .. });
    let unknown = [[7; 32]];
    assert!(is_damage(
        &b.lacking("cars", b"\"a\"", &unknown).unwrap_err()
    ));
    assert!(is_damage(
        &b.delta("cars", b"\"a\"", &[], usize::MAX).unwrap_err()
    ));
    let whole = |id| a.delta("cars", id, &[], usize::MAX).unwrap().unwrap();
    let parts = [b"\"a\"", b"\"b\""].map(|id| (id, whole(id)));
    let arrivals = parts.each_ref().map(|(id, part)| Arrival {
        collection: "cars",
        id: *id,
        delta: &part.delta,
    });
    let arrived = b.ingest(&arrivals, [1].into()).unwrap();
    let [Arrived::Damaged { reason }, Arrived::Applied { .. }] = &arrived[..] else {
        panic!("{arrived:?}");
    };
    assert!(reason.contains("restore a backup"), "{reason}");
}

/// Goal: however often a document changes it stands in the feed once, and a follower on its way still gets the newest.
#[test]
fn the_feed_keeps_a_documents_latest_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":0}"#);
    insert(&store, r#"{"_id":"b"}"#);
    let heads = |after, scan_max| {
        let limits = FeedLimits {
            wanted: &|_| true,
            full: &mut |_| false,
            scan_max,
        };
        let page = store.feed_page(after, limits).unwrap();
        let entries = page
            .entries
            .into_iter()
            .map(|entry| (entry.id, entry.heads));
        (entries.collect::<Vec<_>>(), page.up_to)
    };
    for _ in 0..1_000 {
        let edited = store.execute("UPDATE cars SET n = n + 1 WHERE _id = 'a'", &Params::new());
        assert_eq!(edited.unwrap().mutated.len(), 1);
    }
    let last = store.feed().last;
    assert_eq!(last, 1_002);
    // Nothing but the two documents is walked.
    let (entries, up_to) = heads(0, 2);
    assert_eq!((entries.len(), up_to), (2, last));
    assert_eq!(heads(500, 1), (entries[1..].to_vec(), last));
    assert_eq!(heads(last, 1), (Vec::new(), last));
}

/// Goal: a store of an earlier format is refused in words that say what to do.
#[test]
fn an_earlier_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), 1));
    overwrite(folder.path(), "meta", "format", &1_u32.to_le_bytes());
    let refused = try_open(folder.path(), "demo", 1).err().unwrap();
    assert!(matches!(refused, StoreError::Format { found: 1, .. }));
}

/// Goal: a document whose state can't be read does not hold up the feed.
#[test]
fn the_feed_goes_on_past_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for id in ["a", "b"] {
        insert(&store, &format!(r#"{{"_id":"{id}","n":1}}"#));
    }
    drop(store);
    damage(folder.path(), "states", "\"a\"");
    let store = open(folder.path(), 1);
    let limits = FeedLimits {
        wanted: &|_| true,
        full: &mut |_| false,
        scan_max: 100,
    };
    let page = store.feed_page(0, limits).unwrap();
    let heads: Vec<_> = page.entries.iter().map(|entry| entry.heads.len()).collect();
    assert_eq!(heads, [0, 1]);
}

//! What no store may take in, handed to one: each gets a clear error, little memory, and changes nothing.
//!
//! The only test of its process, so that the process's peak of memory is its own.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sealing;

use automerge::legacy::OpId;
use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ExpandedChange, ROOT};
use sealing::{Packet, actor, identity};
use sedge_crdt::query::Params;
use sedge_crdt::{
    Arrived, DEPTH_MAX, Delta, DocumentId, Imported, Sealed, Store, Value, parse_json,
};
use sedge_identity::{AppId, DeviceKey};
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;

/// How much the process may grow beyond what the inputs themselves take, in bytes.
const GROWTH_MAX: u64 = 32 << 20;

/// The same for changes that inflate to much, each within its bound, in bytes: what is kept, and one that is decoded.
const INFLATED_GROWTH_MAX: u64 = 80 << 20;

/// Goal: documents and changes out of bounds are refused one by one with a reason, within 32 MiB, and the store is as it
/// was.
#[test]
fn what_is_out_of_bounds_changes_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [here, there] = [open(folders[0].path(), 1), open(folders[1].path(), 2)];
    here.import("cars", &[document(r#"{"_id":"a","make":"Saab"}"#)])
        .unwrap();
    let large = format!(
        r#"{{"_id":"b","place":{{"city":"Oslo"}},"text":"{}"}}"#,
        "x".repeat(600)
    );
    there.import("cars", &[document(&large)]).unwrap();
    let id = DocumentId::new(&"b".into()).unwrap();
    let packet = Packet::of(&there, "cars", &[id.as_bytes()]);
    let delta = Sealed::decode(&packet.documents[0].2)
        .unwrap()
        .delta
        .encode();
    let (documents, texts, deltas) = (documents(), texts(), deltas(&delta));
    let ids = [
        vec![b'"'; 600],
        b"\"\xff\"".to_vec(),
        b"".to_vec(),
        b"{\"a\":1,\"a\":1}".to_vec(),
    ];

    let before = (here.collections(), here.transaction_id());
    let peak = peak_bytes();
    for (what, document) in &documents {
        let imported = here.import("cars", std::slice::from_ref(document)).unwrap();
        let [Imported::Rejected(reason)] = &imported[..] else {
            panic!("{what}: {imported:?}");
        };
        assert!(!reason.to_string().is_empty(), "{what}");
        let params = Params::from([("doc".to_owned(), document.clone())]);
        let inserted = here.execute("INSERT INTO cars DOCUMENTS (:doc)", &params);
        assert!(inserted.is_err(), "{what}: {inserted:?}");
        unchanged(&here, &before, what);
    }
    for (what, text) in &texts {
        assert!(parse_json(text).is_err(), "{what}");
    }
    for (what, delta) in &deltas {
        refused(&here, &unsealed("cars", id.as_bytes(), delta), what);
        unchanged(&here, &before, what);
    }
    for (rule, packet) in &ill_formed(&here) {
        let reason = refused(&here, packet, rule);
        assert!(reason.contains(rule), "{rule}: {reason}");
        unchanged(&here, &before, rule);
    }
    for id in &ids {
        let mut packet = packet.clone();
        packet.documents[0].1.clone_from(id);
        refused(&here, &packet, &String::from_utf8_lossy(id));
        unchanged(&here, &before, "an id");
    }
    let grown = peak_bytes() - peak;
    assert!(grown <= GROWTH_MAX, "the process grew by {grown} bytes");

    for (what, packet) in &inflating() {
        let peak = peak_bytes();
        for arrived in packet.arrive(&here) {
            let is_refused = matches!(
                arrived,
                Arrived::Rejected { .. } | Arrived::MissingDependencies
            );
            assert!(is_refused, "{what}: {arrived:?}");
        }
        let grown = peak_bytes() - peak;
        assert!(
            grown <= INFLATED_GROWTH_MAX,
            "{what}: the process grew by {grown} bytes"
        );
        unchanged(&here, &before, what);
    }

    assert_eq!(
        packet.arrive(&here),
        [Arrived::Applied { incomplete: false }],
        "the store still takes in what is good"
    );
}

fn open(path: &Path, device: u8) -> Store {
    let key = DeviceKey::from_seed([device; 32]);
    let store = Store::open(path, &AppId::new("demo").unwrap(), &key.public()).unwrap();
    store.certify(identity("demo", device)).unwrap();
    store
}

fn document(json: &str) -> Value {
    parse_json(json).unwrap()
}

fn unchanged(store: &Store, before: &(Vec<sedge_crdt::CollectionStatus>, u64), what: &str) {
    let (collections, transaction) = before;
    assert_eq!(&store.collections(), collections, "{what}");
    assert_eq!(store.transaction_id(), *transaction, "{what}");
}

/// Hands a document to the store, which must refuse it and say why.
fn refused(store: &Store, packet: &Packet, what: &str) -> String {
    let arrived = packet.arrive(store);
    let [Arrived::Rejected { reason }] = &arrived[..] else {
        panic!("{what}: {arrived:?}");
    };
    assert!(!reason.is_empty(), "{what}");
    reason.clone()
}

/// Bytes in the place of a document's delta, with nothing that proves them.
fn unsealed(collection: &str, id: &[u8], delta: &[u8]) -> Packet {
    let mut length = delta.len();
    let mut sealed = vec![0x0a]; // field 1 of the wire form
    while length >= 0x80 {
        sealed.push(length as u8 | 0x80);
        length >>= 7;
    }
    sealed.push(length as u8);
    sealed.extend_from_slice(delta);
    Packet {
        documents: vec![(collection.to_owned(), id.to_vec(), sealed)],
        ..Packet::default()
    }
}

/// Documents that JSON cannot say or that are over a limit.
fn documents() -> Vec<(&'static str, Value)> {
    let with = |name: &str, value: Value| {
        Value::Map(BTreeMap::from([
            ("_id".to_owned(), "x".into()),
            (name.to_owned(), value),
        ]))
    };
    let deep = (0..=DEPTH_MAX).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    vec![
        (
            "more than 5 MiB",
            with("text", "x".repeat((5 << 20) + 1).into()),
        ),
        ("not a number", with("n", Value::Float(f64::NAN))),
        ("infinite", with("n", Value::Float(f64::NEG_INFINITY))),
        (
            "infinite in a list",
            with("n", Value::List(vec![Value::Float(f64::INFINITY)])),
        ),
        ("too deep", with("deep", deep)),
        ("a reserved name", with("\u{0}deleted", Value::Bool(true))),
        ("a long name", with(&"n".repeat(3 << 10), Value::Null)),
        (
            "a long _id",
            document(&format!(r#"{{"_id":"{}"}}"#, "x".repeat(513))),
        ),
        ("an empty _id", document(r#"{"_id":""}"#)),
        ("an _id of another type", document(r#"{"_id":7}"#)),
        (
            "an _id that is rounded",
            document(r#"{"_id":{"n":9007199254740993}}"#),
        ),
        ("no map", document("[1]")),
    ]
}

fn texts() -> Vec<(&'static str, String)> {
    let nested =
        |open: &str, close: &str| open.repeat(DEPTH_MAX + 1) + "1" + &close.repeat(DEPTH_MAX + 1);
    vec![
        ("a name given twice", r#"{"a":1,"a":1}"#.to_owned()),
        (
            "a name given twice within",
            r#"[{"a":{"b":1,"b":2}}]"#.to_owned(),
        ),
        ("NaN", r#"{"a":NaN}"#.to_owned()),
        ("a float out of range", "1e999".to_owned()),
        ("an int out of range", "9223372036854775808".to_owned()),
        ("half a surrogate", r#""\ud800""#.to_owned()),
        ("too deep a list", nested("[", "]")),
        ("too deep a map", nested(r#"{"a":"#, "}")),
        ("endlessly deep", "[".repeat(1 << 20)),
        ("cut off", r#"{"a":"#.to_owned()),
    ]
}

/// Every truncation of a good delta and of its one chunk, and what is too large once inflated or decoded.
fn deltas(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let births = 2 + usize::from(good[1]);
    let length = leb128(good.len() - births).len();
    let chunk = &good[births + 1 + length..];
    assert_eq!(
        wire(chunk),
        good[births..],
        "one birth, and one change behind it"
    );
    let mut deltas = Vec::new();
    // With nothing but its birth it would be a good one.
    for end in (1..good.len()).filter(|end| *end != births) {
        deltas.push((format!("cut at byte {end}"), good[..end].to_vec()));
    }
    for end in 0..chunk.len() {
        let cut = [&good[..births], &wire(&chunk[..end])].concat();
        deltas.push((format!("its chunk cut at byte {end}"), cut));
    }
    deltas.push(("a bomb".to_owned(), wire(&bomb(256))));
    deltas.push(("more than 5 MiB".to_owned(), wire(&vec![0; (5 << 20) + 1])));
    deltas.push(("no chunk".to_owned(), wire(b"hello")));
    deltas.push((
        "a field name that is not UTF-8".to_owned(),
        vec![0x0a, 4, 0x12, 2, 0xc3, 0x28],
    ));
    deltas.push((
        "many births".to_owned(),
        [0x0a, 3, 0x12, 1, b'a'].repeat(100_000),
    ));
    deltas
}

/// Changes of document "a" with a right hash that no device makes, each with the rule that it breaks.
fn ill_formed(store: &Store) -> Vec<(&'static str, Packet)> {
    let (mallory, id) = (identity("demo", 9), DocumentId::new(&"a".into()).unwrap());
    let good = Packet::of(store, "cars", &[id.as_bytes()]);
    let good = Sealed::decode(&good.documents[0].2).unwrap().delta;
    let first = Change::from_bytes(good.chunks()[0].clone()).unwrap();
    let next = ExpandedChange {
        actor_id: actor(&mallory),
        hash: None,
        start_op: NonZeroU64::new(first.max_op() + 1).unwrap(),
        deps: vec![first.hash()],
        ..first.decode()
    };
    let mut replaces = next.clone();
    replaces.operations[0].pred = vec![OpId::new(77, first.actor_id())].into();
    let gap = ExpandedChange {
        seq: 2,
        ..next.clone()
    };
    let start_op = NonZeroU64::MIN;
    let early = ExpandedChange { start_op, ..next };
    [
        ("predecessor", replaces),
        ("its number is 2", gap),
        ("its operations begin at 1", early),
    ]
    .map(|(rule, change)| {
        let delta = Delta::decode(&wire(Change::from(change).raw_bytes())).unwrap();
        (rule, Packet::sealed_by(&mallory, "cars", &id, delta))
    })
    .into()
}

/// A delta of one change chunk (crdt/proto/document.proto).
fn wire(chunk: &[u8]) -> Vec<u8> {
    [&[0x12][..], &leb128(chunk.len()), chunk].concat()
}

/// More than a GiB of zeros in good changes, none of which is proven: all in one document, or few in each of many.
fn inflating() -> [(&'static str, Packet); 2] {
    let chunk = |number: u8| {
        let mut document = AutoCommit::new().with_actor(ActorId::from([number; 16]));
        document.put(ROOT, "n", vec![0; 8_000_000]).unwrap();
        let mut change = document.get_last_local_change().unwrap();
        wire(&change.bytes())
    };
    let chunks: Vec<Vec<u8>> = (0..150).map(chunk).collect();
    let documents = chunks.chunks(2).enumerate().map(|(number, chunks)| {
        let id = DocumentId::new(&format!("{number}").into()).unwrap();
        let mut packet = unsealed("cars", id.as_bytes(), &chunks.concat());
        packet.documents.remove(0)
    });
    let many = Packet {
        documents: documents.collect(),
        ..Packet::default()
    };
    let one = unsealed("cars", b"\"x\"", &chunks.concat());
    [("a document that inflates", one), ("many that do", many)]
}

/// A compressed change chunk whose content is so many MiB of zeros: automerge alone would inflate it all.
fn bomb(mib: usize) -> Vec<u8> {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..mib {
        deflate.write_all(&[0; 1 << 20]).unwrap();
    }
    let compressed = deflate.finish().unwrap();
    let head = [0x85, 0x6f, 0x4a, 0x83, 1, 2, 3, 4, 2];
    [&head[..], &leb128(compressed.len()), &compressed].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The most memory that this process has had resident so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

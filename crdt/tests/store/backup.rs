//! Copies of a store: whole though it is written to, and never the twin of the store they were taken from.

use super::*;
use sedge_crdt::{BlobId, Check, Contents};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn contents(path: &Path) -> Result<Contents, StoreError> {
    Contents::read(path, Check::Documents, &mut |_, _| ())
}

/// Copies the store into a folder, and its attachments beside that.
fn checkpoint(store: &Store, path: &Path) {
    store
        .checkpoint(path, &path.with_extension("attachments"))
        .unwrap();
}

fn begin_anew(path: &Path, device: u8) {
    let key = DeviceKey::from_seed([device; 32]);
    Store::begin_anew(path, &key.public()).unwrap();
}

/// Goal: a copy taken while others write holds what one moment held: no transaction in part, totals that are right.
#[test]
fn a_copy_of_a_busy_store_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"), 1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for round in 0.. {
                    let text = "x".repeat(2_000);
                    let document = |n| {
                        let json = format!(r#"{{"_id":"{n}","round":{round},"text":"{text}"}}"#);
                        parse_json(&json).unwrap()
                    };
                    let documents: Vec<Value> = (0..20).map(document).collect();
                    let collection = format!("c{writer}");
                    store.import(&collection, &documents).unwrap();
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for n in 0..10 {
            let (before, path) = (store.transaction_id(), folder.path().join(n.to_string()));
            checkpoint(&store, &path);
            let after = store.transaction_id();
            let copied = contents(&path).unwrap();
            // What is being committed may be in the copy before it is visible here.
            let range = before..=after + 3 * 20;
            assert!(
                range.contains(&copied.transaction_id),
                "{copied:?} {range:?}"
            );
            let copy = open(&path, 1);
            for collection in &copied.collections {
                let name = &collection.name;
                let rounds = format!("SELECT DISTINCT round FROM {name}");
                assert_eq!(rows(&copy, &rounds).len(), 1, "one transaction in {name}");
                assert_eq!(collection.documents, 20);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Goal: a store restored from an older copy, while the device's other changes live on elsewhere, uses none of their
/// names again: its own new changes are taken by all, and all end alike.
#[test]
fn a_restored_store_converges_with_what_came_after_its_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (a, b) = (open(&path("a"), 1), open(&path("b"), 2));
    for n in 0..20 {
        insert(&a, &format!(r#"{{"_id":"d{n}","n":0,"m":{{"x":{n}}}}}"#));
    }
    replicate(&a, &b);
    checkpoint(&a, &path("copy"));
    let feed = a.feed().id;
    for statement in [
        "UPDATE cars SET n = 1, late = true",
        "DELETE FROM cars WHERE _id = 'd3'",
    ] {
        a.execute(statement, &Params::new()).unwrap();
    }
    replicate(&a, &b);
    drop(a);

    begin_anew(&path("copy"), 1);
    let a = open(&path("copy"), 1);
    assert_ne!(a.feed().id, feed);
    assert_eq!(a.feed().last, 20);
    // The same documents as before, so that an actor used twice would show.
    a.execute("UPDATE cars SET n = 2, again = true", &Params::new())
        .unwrap();
    a.execute("DELETE FROM cars WHERE _id = 'd4'", &Params::new())
        .unwrap();
    let third = open(&path("c"), 3);
    replicate(&b, &a);
    replicate(&a, &b);
    replicate(&a, &third);
    for other in [&b, &third] {
        assert_eq!(other.collections(), a.collections());
    }
    let both = "SELECT COUNT(*) AS n FROM cars WHERE late = true AND again = true AND m.x >= 0";
    assert_eq!(rows(&third, both), [r#"{"n":18}"#]);
    for store in [a, b, third] {
        drop(store);
    }
    for name in ["copy", "b", "c"] {
        assert_eq!(contents(&path(name)).unwrap().documents(), 18);
    }
}

/// Goal: a copy may become the store of another device, and of two at once.
#[test]
fn two_devices_may_begin_from_one_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let a = open(&path("a"), 1);
    a.import("cars", &many(25)).unwrap();
    for (name, device) in [("b", 2), ("c", 2)] {
        checkpoint(&a, &path(name));
        begin_anew(&path(name), device);
    }
    let (b, c) = (open(&path("b"), 2), open(&path("c"), 2));
    assert_ne!(b.feed().id, c.feed().id);
    for (store, n) in [(&a, 1), (&b, 2), (&c, 3)] {
        let set = format!("UPDATE cars SET n{n} = {n}");
        store.execute(&set, &Params::new()).unwrap();
    }
    for (from, to) in [(&a, &b), (&b, &c), (&c, &b), (&b, &a), (&c, &a)] {
        replicate(from, to);
    }
    assert_eq!(a.collections(), b.collections());
    assert_eq!(a.collections(), c.collections());
    let all = "SELECT COUNT(*) AS n FROM cars WHERE n1 = 1 AND n2 = 2 AND n3 = 3";
    assert_eq!(rows(&a, all), [r#"{"n":25}"#]);
}

/// Goal: what does not agree within a store is found and named when it is read through.
#[test]
fn disagreement_within_a_store_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path, 1);
    store.import("cars", &many(30)).unwrap();
    for n in 0..5 {
        let copy = folder.path().join(format!("copy{n}"));
        checkpoint(&store, &copy);
        let other = Value::from("other").encode();
        let (family, of, bytes, part): (_, _, &[u8], _) = match n {
            0 => ("values", "00007\"", &other, "00007"),
            1 => ("documents", "00008\"", b"x", "00008"),
            2 => ("states", "00009\"", &[0; 20], "00009"),
            3 => ("meta", "clock", &[9; 16], "clock"),
            _ => ("collections", "cars", &[0; 44], "cars"),
        };
        overwrite(&copy, family, of, bytes);
        let refused = contents(&copy).err().unwrap();
        assert!(refused.to_string().contains(part), "{part}: {refused}");
    }
    let copy = folder.path().join("counts");
    checkpoint(&store, &copy);
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &copy).unwrap();
    let database = rocksdb::DB::open_cf(&options, &copy, families).unwrap();
    let counts = database.cf_handle("attachments").unwrap();
    let named_once = [1u64.to_le_bytes(), 0u64.to_le_bytes()].concat();
    database.put_cf(counts, [7; 40], named_once).unwrap();
    drop(database);
    let refused = contents(&copy).err().unwrap().to_string();
    assert!(refused.contains("which attachment"), "{refused}");
    contents(&path).unwrap();
}

/// Goal: whatever a copied document names is beside the copy, byte for byte, while attachments come and go and are
/// collected all the time.
#[test]
fn a_copy_has_the_bytes_of_what_its_documents_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"), 1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0u64.. {
                let bytes = vec![round as u8; 100_000 + round as usize];
                let token = store.attachments().put(&bytes[..], Default::default());
                let fields = [
                    ("_id".to_owned(), Value::from(format!("{}", round % 3))),
                    ("file".to_owned(), Value::from(token.unwrap())),
                ];
                // Each third round takes the name of an earlier one away.
                let document = Value::Map(fields.into());
                store.import("files", &[document]).unwrap();
                store.attachments().collect(Duration::ZERO).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut named = 0;
        for n in 0..20 {
            let path = folder.path().join(format!("copy{n}"));
            checkpoint(&store, &path);
            contents(&path).unwrap();
            let beside = path.with_extension("attachments");
            let copy = open(&path, 1);
            if copy.transaction_id() == 0 {
                continue; // nothing was written yet
            }
            for document in copy.view().documents("files").unwrap() {
                let document = document.unwrap();
                let Some(Value::Attachment(token)) = document.get("file") else {
                    panic!("{document}");
                };
                let bytes = fs::read(beside.join(BlobId(token.id).to_string())).unwrap();
                assert_eq!(BlobId::of(&bytes), BlobId(token.id));
                named += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(named > 20, "{named}");
    });
}

/// Goal: a closed store whose index has not exactly the entries that its documents ask for is told as damaged, with the
/// index and the document; a dropped index and one that is being built are as they should be.
#[test]
fn entries_that_are_not_the_documents_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = open(&path("store"), 1);
    let long = "x".repeat(400);
    store.import("cars", &many(600)).unwrap();
    insert(&store, &format!(r#"{{"_id":"long","n":"{long}"}}"#));
    for index in [
        "CREATE INDEX i ON cars (n)",
        "CREATE INDEX j ON cars (m, n DESC)",
    ] {
        store.execute(index, &Params::new()).unwrap();
    }
    ready(&store, "i");
    checkpoint(&store, &path("building"));
    contents(&path("building")).unwrap();
    ready(&store, "j");
    rows(&store, "UPDATE cars SET n = n + 1 WHERE n > 590");
    rows(&store, "DELETE FROM cars WHERE n < 10");
    rows(&store, "DROP INDEX j ON cars");
    type Change = fn(&rocksdb::DB, &rocksdb::ColumnFamily, &[u8]) -> Result<(), rocksdb::Error>;
    let changes: [(&str, &str, Change, &str); 4] = [
        (
            "entries",
            "\"00033\"",
            |all, family, key| all.delete_cf(family, key),
            "no entry of document \"00033\"",
        ),
        (
            "entries",
            "\"00033\"",
            |all, family, key| all.put_cf(family, key, b"x"),
            "can't be read",
        ),
        (
            "entries",
            "\"00033\"",
            |all, family, key| {
                let other = [&key[..4], b"\x20", &key[key.len() - 7..]].concat();
                all.put_cf(family, other, [1, 0])
            },
            "to document \"00033\" by what",
        ),
        (
            "indexes",
            "",
            |all, family, key| {
                let mut record = all.get_cf(family, key)?.unwrap_or_default();
                record[13] += 1; // cut keys
                all.put_cf(family, key, record)
            },
            "2 cut keys, and has 1",
        ),
    ];
    for (number, (family, of, change, told)) in changes.into_iter().enumerate() {
        let path = path(&number.to_string());
        checkpoint(&store, &path);
        contents(&path).unwrap();
        alter(&path, family, of, change);
        let error = contents(&path).unwrap_err().to_string();
        assert!(error.contains("index i of collection cars"), "{error}");
        assert!(error.contains(told), "{told}: {error}");
    }
}

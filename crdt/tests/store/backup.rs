//! Copies of a store: whole though it is written to, and never the twin of the store they were taken from.

use super::*;
use sedge_crdt::{Check, Contents};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn contents(path: &Path) -> Result<Contents, StoreError> {
    Contents::read(path, Check::Documents, &mut |_, _| ())
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
            store.checkpoint(&path).unwrap();
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
    a.checkpoint(&path("copy")).unwrap();
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
        a.checkpoint(&path(name)).unwrap();
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
        store.checkpoint(&copy).unwrap();
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
    contents(&path).unwrap();
}

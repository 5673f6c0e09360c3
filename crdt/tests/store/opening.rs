//! What a store keeps when it is closed, and whom it opens for.

use super::*;
use sedge_crdt::{Durability, StoreOptions};

fn open_unsynced(path: &Path) -> Store {
    let key = DeviceKey::from_seed([1; 32]);
    let options = StoreOptions {
        durability: Durability::Os,
        ..StoreOptions::default()
    };
    let store = Store::open_with(path, &AppId::new("demo").unwrap(), &key.public(), options);
    let store = store.unwrap();
    store.certify(identity("demo", 1)).unwrap();
    store
}

/// What a crash of the system leaves of a store: its files as they are while it is open.
fn crashed(path: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(path).unwrap() {
        let file = file.unwrap();
        if file.path().is_file() && file.file_name() != "LOCK" {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    copy
}

/// Goal: a store whose writes are not synced goes on under its incarnation and feed after a clean end. After an unclean one
/// that lost what had already left the device, both are new, however it is opened next: what it writes then and what had
/// left are changes apart, and every device takes both.
#[test]
fn an_unclean_end_without_syncs_begins_a_new_incarnation() {
    let (folder, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let away = open(away.path(), 2);
    let store = open_unsynced(folder.path());
    insert(&store, r#"{"_id":"a","n":1}"#);
    let feed = store.feed();
    drop(store);
    let store = open_unsynced(folder.path());
    assert_eq!(store.feed(), feed);
    let crashed = crashed(folder.path());
    let run = |store: &Store, update: &str| store.execute(update, &Params::new()).unwrap();
    run(&store, "UPDATE cars SET lost = true");
    assert_eq!(replicate(&store, &away), 1);
    drop(store);
    assert_eq!(open(folder.path(), 1).feed().id, feed.id);

    let store = open(crashed.path(), 1);
    let renewed = store.feed().id;
    assert_ne!(renewed, feed.id);
    assert_eq!(rows(&store, "SELECT * FROM cars"), [r#"{"_id":"a","n":1}"#]);
    run(&store, "UPDATE cars SET n = 2");
    assert_eq!(replicate(&store, &away), 1);
    assert_eq!(replicate(&away, &store), 1);
    for store in [&store, &away] {
        assert_eq!(
            rows(store, "SELECT * FROM cars"),
            [r#"{"_id":"a","lost":true,"n":2}"#]
        );
    }
    run(&store, "UPDATE cars SET n = 3");
    drop(store);
    let store = open_unsynced(crashed.path());
    assert_eq!(store.feed().id, renewed);
    assert_eq!(rows(&store, "SELECT n FROM cars"), [r#"{"n":3}"#]);
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

/// Goal: a store of an earlier format is refused in words that say what to do.
#[test]
fn an_earlier_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), 1));
    overwrite(folder.path(), "meta", "format", &1_u32.to_le_bytes());
    let refused = try_open(folder.path(), "demo", 1).err().unwrap();
    assert!(matches!(refused, StoreError::Format { found: 1, .. }));
}

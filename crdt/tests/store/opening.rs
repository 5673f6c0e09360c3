//! What a store keeps when it is closed, and whom it opens for.

use super::*;

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

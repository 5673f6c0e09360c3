//! What a call may take: time, the writer and memory.

use super::*;

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

/// A document on whose text a hard pattern works for long.
fn import_large_text(store: &Store) {
    let document = format!(r#"{{"_id":"large","t":"{}"}}"#, "a".repeat(4 << 20));
    let imported = store.import("texts", &[parse_json(&document).unwrap()]);
    assert!(matches!(imported.unwrap()[..], [Imported::Written]));
}

/// Goal: LIKE over large documents ends with the deadline, and meanwhile others write.
#[test]
fn a_hard_pattern_ends_with_its_deadline_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    import_large_text(&store);
    let statement = format!(
        "UPDATE texts SET n = 1 WHERE t LIKE '%{}b'",
        "a".repeat(3_000)
    );
    let deadline = Deadline::after(Duration::from_secs(2));
    let writing = store.clone();
    let written = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        insert(&writing, r#"{"_id":"a"}"#);
        Instant::now()
    });
    let begun = Instant::now();
    let ended = store.execute_within(&deadline, &statement, &Params::new());
    assert!(
        matches!(ended, Err(StoreError::TimedOut { .. })),
        "{ended:?}"
    );
    let ended = Instant::now();
    assert!(ended - begun < Duration::from_secs(10));
    assert!(written.join().unwrap() < ended, "the write had to wait");
}

/// Goal: a call that waits for another writer ends with its own deadline.
#[test]
fn waiting_for_the_writer_ends_with_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    import_large_text(&store);
    // A filter on the id is tested under the writer.
    let pattern = "a".repeat(3_000);
    let statement = format!("DELETE FROM texts WHERE _id = 'large' AND t LIKE '%{pattern}b'");
    let writing = store.clone();
    let other = std::thread::spawn(move || {
        let deadline = Deadline::after(Duration::from_secs(4));
        writing.execute_within(&deadline, &statement, &Params::new())
    });
    std::thread::sleep(Duration::from_millis(500));
    let deadline = Deadline::after(Duration::from_millis(300));
    let ended = store.import_within(&deadline, "cars", &many(1));
    assert!(
        matches!(ended, Err(StoreError::TimedOut { .. })),
        "{ended:?}"
    );
    assert!(!other.is_finished(), "it waited for the writer to be free");
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
        let refused = store.execute(statement, &none).unwrap_err();
        assert!(
            matches!(refused, StoreError::TransactionTooLarge),
            "{statement}"
        );
        let next = "with LIMIT, again and again until nothing is changed";
        assert!(refused.to_string().contains(next), "{refused}");
        assert_eq!(store.collections(), before);
    }
    let done = store.execute("DELETE FROM texts WHERE _id < '00100'", &none);
    assert_eq!(done.unwrap().mutated.len(), 100);
    let again = [
        "UPDATE texts SET n = 0 WHERE n IS MISSING LIMIT 60",
        "DELETE FROM texts LIMIT 100",
    ];
    for statement in again {
        let changed = || store.execute(statement, &none).unwrap().mutated.len();
        let changed: usize = std::iter::repeat_with(changed)
            .take_while(|changed| *changed > 0)
            .sum();
        assert_eq!(changed, 400, "{statement}");
    }
}

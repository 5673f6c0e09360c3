//! Several statements as one, many writers at once, and what readers see of them.

use super::*;
use sedge_crdt::{Origin, Transacted, Transaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::broadcast::error::TryRecvError;

const WRITERS: usize = 16;

fn run(transaction: &mut Transaction<'_>, statement: &str) -> Vec<String> {
    texts(&transaction.execute(statement, &Params::new()).unwrap())
}

/// A store with `a` (n = 1), `b` (n = 2) and `c` (n = 3).
fn filled(path: &Path) -> Store {
    let store = open(path, 1);
    execute(
        &store,
        "INSERT INTO cars DOCUMENTS ({'_id':'a','n':1}), ({'_id':'b','n':2}), ({'_id':'c','n':3})",
    );
    store
}

/// Goal: what many writers were told is durable is all there, also after reopening; each transaction has an id of its own,
/// commits are told in ascending order with none left out, and a writer that fails leaves the others alone.
#[test]
fn many_writers_share_their_syncs() {
    let rounds = if std::env::var("SEDGE_FULL").is_ok_and(|group| group == "store") {
        500
    } else {
        50
    };
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let mut commits = store.commits();
    let writer = |writer: usize| {
        let store = &store;
        move || {
            let written = (0..rounds).map(|round| {
                let refused = store.execute("INSERT INTO cars DOCUMENTS (1)", &Params::new());
                assert!(refused.is_err());
                let document = params(&format!(r#"{{"doc":{{"_id":"{writer:02}-{round:03}"}}}}"#));
                let inserted = store.execute("INSERT INTO cars DOCUMENTS (:doc)", &document);
                let id = inserted.unwrap().transaction_id;
                assert!(
                    store.view().transaction_id() >= id,
                    "acknowledged, not visible"
                );
                id
            });
            written.collect::<Vec<u64>>()
        }
    };
    let written = AtomicBool::new(false);
    let mut ids: Vec<u64> = std::thread::scope(|scope| {
        // Beside the writers, as there are more commits than wait for a reader.
        let reader = scope.spawn(|| {
            let mut heard = 0;
            loop {
                let all = written.load(Ordering::Acquire);
                match commits.try_recv() {
                    Ok(commit) => {
                        let told = (commit.sequence, &commit.origin);
                        assert_eq!(told, (heard + 1, &Origin::Local));
                        heard += 1;
                    }
                    Err(TryRecvError::Empty) if all => return heard as usize,
                    Err(TryRecvError::Empty) => std::thread::yield_now(),
                    Err(error) => panic!("after {heard} commits: {error}"),
                }
            }
        });
        let writers: Vec<_> = (0..WRITERS).map(|n| scope.spawn(writer(n))).collect();
        let ids = writers.into_iter().flat_map(|writer| {
            let ids = writer.join().unwrap();
            assert!(ids.is_sorted_by(|earlier, later| earlier < later));
            ids
        });
        let ids = ids.collect();
        written.store(true, Ordering::Release);
        assert_eq!(reader.join().unwrap(), WRITERS * rounds);
        ids
    });
    ids.sort_unstable();
    assert_eq!(ids, (1..=(WRITERS * rounds) as u64).collect::<Vec<_>>());
    let before = (store.collections(), store.feed());
    assert_eq!(before.0[0].documents as usize, WRITERS * rounds);
    drop(store);
    let store = open(folder.path(), 1);
    assert_eq!((store.collections(), store.feed()), before);
}

/// Goal: a transaction sees what it has staged, over what is stored, in the order of ids, sorted, in groups and by id; nobody
/// else does before it has ended, and then all of it at once as one commit.
#[test]
fn a_transaction_reads_its_own_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let mut commits = store.commits();
    let done = store.transaction(|transaction| {
        run(
            transaction,
            "INSERT INTO cars DOCUMENTS ({'_id':'bb','n':9})",
        );
        run(transaction, "UPDATE cars SET n = 7 WHERE n = 1");
        run(transaction, "DELETE FROM cars WHERE _id = 'c'");
        assert_eq!(
            run(transaction, "SELECT _id, n FROM cars"),
            [
                r#"{"_id":"a","n":7}"#,
                r#"{"_id":"b","n":2}"#,
                r#"{"_id":"bb","n":9}"#
            ]
        );
        assert_eq!(
            run(transaction, "SELECT _id FROM cars ORDER BY n DESC LIMIT 2"),
            [r#"{"_id":"bb"}"#, r#"{"_id":"a"}"#]
        );
        assert_eq!(
            run(
                transaction,
                "SELECT COUNT(*) AS count, SUM(n) AS sum FROM cars"
            ),
            [r#"{"count":3,"sum":18}"#]
        );
        assert_eq!(
            run(transaction, "SELECT n FROM cars WHERE _id = 'a'"),
            [r#"{"n":7}"#]
        );
        assert!(run(transaction, "SELECT * FROM cars WHERE _id = 'c' OR n = 1").is_empty());
        // Statements find what earlier ones staged, and no longer what those replaced.
        let none = Params::new();
        let updated = transaction.execute("UPDATE cars SET n = n + 1 WHERE n > 6", &none)?;
        assert_eq!(updated.mutated.len(), 2);
        run(transaction, "DELETE FROM cars WHERE n = 8");
        run(transaction, "INSERT INTO more DOCUMENTS ({'_id':'new'})");
        assert_eq!(run(transaction, "SELECT * FROM more"), [r#"{"_id":"new"}"#]);
        assert_eq!(
            rows(&store, "SELECT COUNT(*) AS count FROM cars WHERE n < 4"),
            [r#"{"count":3}"#]
        );
        assert!(store.view().execute("SELECT * FROM more", &none).is_err());
        Ok::<_, StoreError>("value")
    });
    let Transacted {
        value,
        transaction_id,
    } = done.unwrap();
    assert_eq!((value, transaction_id), ("value", store.transaction_id()));
    assert_eq!(
        rows(&store, "SELECT _id, n FROM cars"),
        [r#"{"_id":"b","n":2}"#, r#"{"_id":"bb","n":10}"#]
    );
    let commit = commits.try_recv().unwrap();
    assert_eq!(
        (commit.sequence, commit.documents.len()),
        (transaction_id, 4)
    );
    assert!(commits.try_recv().is_err());
}

/// Goal: a value that the transaction has replaced is asked nothing: what fails on it fails no longer.
#[test]
fn replaced_values_are_not_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    execute(
        &store,
        &format!(
            "INSERT INTO cars DOCUMENTS ({{'_id':'a','n':{}}})",
            i64::MAX
        ),
    );
    let failing = "SELECT _id FROM cars WHERE n + 1 > 0";
    assert!(store.execute(failing, &Params::new()).is_err());
    let done = store.transaction(|transaction| {
        run(transaction, "UPDATE cars SET n = 1 WHERE _id = 'a'");
        Ok::<_, StoreError>(run(transaction, failing))
    });
    assert_eq!(done.unwrap().value, [r#"{"_id":"a"}"#]);
}

/// Goal: a transaction that ends in an error or a panic, or one of whose statements failed, has changed nothing, and the
/// next one goes on.
#[test]
fn a_transaction_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let before = (store.collections(), store.feed());
    let none = Params::new();

    let failed = store.transaction(|transaction| {
        run(transaction, "DELETE FROM cars");
        Err::<(), _>(StoreError::Cancelled)
    });
    assert!(matches!(failed, Err(StoreError::Cancelled)));

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.transaction(|transaction| -> Result<(), StoreError> {
            run(transaction, "INSERT INTO fresh DOCUMENTS ({'_id':'x'})");
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());

    for wrong in [
        "INSERT INTO cars DOCUMENTS ({'_id':'new'}), ({'_id':'a'})", // the first one is staged, the second exists
        "SELECT * FROM unknown",
        "SELEC",
    ] {
        let poisoned = store.transaction(|transaction| {
            assert!(transaction.execute(wrong, &none).is_err());
            let later = transaction.execute("SELECT * FROM cars", &none);
            assert!(
                matches!(later, Err(StoreError::TransactionFailed)),
                "{later:?}"
            );
            Ok::<_, StoreError>(())
        });
        assert!(
            matches!(poisoned, Err(StoreError::TransactionFailed)),
            "{wrong}"
        );
    }
    assert_eq!((store.collections(), store.feed()), before);
    execute(&store, "UPDATE cars SET n = 0");
    assert_eq!(store.transaction_id(), before.1.last + 3);
}

/// Goal: a view stays as it was, with its totals and id, while documents and collections come, change and go; it is only
/// read.
#[test]
fn a_view_does_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let view = store.view();
    let (collections, id) = (view.collections(), view.transaction_id());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..25 {
                    insert(store, &format!(r#"{{"_id":"w{writer}-{n}","n":{n}}}"#));
                    execute(store, "UPDATE cars SET n = n + 1 WHERE _id = 'a'");
                }
                execute(store, "DELETE FROM cars WHERE _id = 'b'");
            });
        }
        for _ in 0..50 {
            // In every view the data, the totals and the id belong together.
            let now = store.view();
            let count = now
                .execute("SELECT COUNT(*) AS n FROM cars", &Params::new())
                .unwrap();
            let counted = count.items[0].get("n").cloned();
            let documents = now.collections()[0].documents;
            assert_eq!(counted, Some(Value::Int(documents as i64)));
            assert_eq!(count.transaction_id, now.transaction_id());
        }
    });
    execute(&store, "INSERT INTO more DOCUMENTS ({})");
    store.compact().unwrap();
    assert_eq!(
        (view.collections(), view.transaction_id()),
        (collections, id)
    );
    let seen: Vec<String> = view
        .documents("cars")
        .unwrap()
        .map(|car| car.unwrap().to_string())
        .collect();
    assert_eq!(
        seen,
        [
            r#"{"_id":"a","n":1}"#,
            r#"{"_id":"b","n":2}"#,
            r#"{"_id":"c","n":3}"#
        ]
    );
    assert!(view.documents("more").is_err());
    let refused = view.execute("DELETE FROM cars", &Params::new());
    assert!(matches!(refused, Err(StoreError::ReadOnly)));
    assert_eq!(
        rows(&store, "SELECT n FROM cars WHERE _id = 'a'"),
        [r#"{"n":101}"#]
    );
}

/// Goal: while a transaction has the writer, others wait no longer than their deadline and reads go on; one that is held
/// past its own deadline gets nothing more done.
#[test]
fn a_held_transaction_has_a_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let (none, short) = (Params::new(), Duration::from_millis(50));
    let held = store.transaction_within(&Deadline::after(short), |transaction| {
        run(transaction, "DELETE FROM cars");
        let other = store.execute_within(&Deadline::after(short), "UPDATE cars SET n = 0", &none);
        assert!(
            matches!(other, Err(StoreError::TimedOut { .. })),
            "{other:?}"
        );
        let other = store.transaction_within(&Deadline::after(short), |_| Ok::<_, StoreError>(()));
        assert!(matches!(other, Err(StoreError::TimedOut { .. })));
        assert_eq!(
            rows(&store, "SELECT COUNT(*) AS n FROM cars"),
            [r#"{"n":3}"#]
        );
        let late = transaction.execute("SELECT * FROM cars", &none);
        assert!(matches!(late, Err(StoreError::TimedOut { .. })));
        Ok::<_, StoreError>(())
    });
    assert!(matches!(held, Err(StoreError::TimedOut { .. })), "{held:?}");
    assert_eq!(
        rows(&store, "SELECT COUNT(*) AS n FROM cars"),
        [r#"{"n":3}"#]
    );
}

/// Goal: whoever waits for a transaction goes on once it is visible, and no longer waits than it may.
#[test]
fn one_can_wait_for_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let short = Deadline::after(Duration::from_millis(20));
    runtime.block_on(store.wait_for(3, &short)).unwrap();
    let never = runtime.block_on(store.wait_for(4, &short));
    assert!(
        matches!(never, Err(StoreError::TimedOut { .. })),
        "{never:?}"
    );
    let writing = store.clone();
    let writer = std::thread::spawn(move || insert(&writing, r#"{"_id":"d"}"#));
    runtime
        .block_on(store.wait_for(4, &Deadline::default()))
        .unwrap();
    assert_eq!(store.transaction_id(), 4);
    writer.join().unwrap();
}

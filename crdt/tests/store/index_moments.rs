//! Indexes beside views, transactions, the past, conflicts and copies: each sees those of its own moment.

use super::*;
use sedge_crdt::{Check, Contents};

/// A store with documents of n below `count` and an index of them.
fn indexed(path: &Path, count: usize) -> Store {
    let store = open(path, 1);
    store.import("cars", &many(count)).unwrap();
    execute(&store, "CREATE INDEX i ON cars (n)");
    ready(&store, "i");
    store
}

/// Goal: making, building and dropping an index is no commit: nobody is told, no transaction is counted, the feed stays.
#[test]
fn an_index_is_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(2_000)).unwrap();
    let mut commits = store.commits();
    let before = (store.transaction_id(), store.feed());
    execute(&store, "CREATE INDEX i ON cars (n)");
    ready(&store, "i");
    execute(&store, "DROP INDEX i ON cars");
    assert!(commits.try_recv().is_err());
    assert_eq!((store.transaction_id(), store.feed()), before);
    insert(&store, r#"{"_id":"x"}"#);
    assert_eq!(commits.try_recv().unwrap().sequence, before.0 + 1);
    drop(store);
    let store = open(folder.path(), 1);
    assert_eq!(store.transaction_id(), before.0 + 1);
    assert!(execute(&store, "SHOW INDEXES").items.is_empty());
}

/// Goal: a view answers by the index that was there then, whatever is written since, also when that index is gone.
#[test]
fn a_view_keeps_its_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = indexed(folder.path(), 500);
    let view = store.view();
    execute(&store, "UPDATE cars SET n = n + 1000 WHERE n < 250");
    execute(&store, "DROP INDEX i ON cars");
    execute(&store, "CREATE INDEX j ON cars (n DESC)"); // built behind the removal of the other
    ready(&store, "j");
    let select = "SELECT n FROM cars WHERE n >= 248 AND n < 251";
    let seen = |statement: &str| view.execute(statement, &Params::new()).unwrap();
    assert_eq!(
        told(&first(seen(&format!("EXPLAIN {select}"))), "index"),
        "i"
    );
    assert_eq!(
        texts(&seen(select)),
        [r#"{"n":248}"#, r#"{"n":249}"#, r#"{"n":250}"#]
    );
    assert_eq!(told(&plan(&store, select), "index"), "j");
    assert_eq!(rows(&store, select), [r#"{"n":250}"#]);
    let refused = view.execute("DROP INDEX j ON cars", &Params::new());
    assert!(matches!(refused, Err(StoreError::ReadOnly)));
}

/// Goal: a transaction uses an index until it has changed the collection, then reads all of it and finds what it staged;
/// it can't make an index.
#[test]
fn a_transaction_finds_what_it_has_staged() {
    let folder = tempfile::tempdir().unwrap();
    let store = indexed(folder.path(), 500);
    let select = "SELECT _id, n FROM cars WHERE n >= 498 ORDER BY n DESC LIMIT 2";
    let explain = format!("EXPLAIN {select}");
    let done = store.transaction(|transaction| {
        let mut run = |statement: &str| transaction.execute(statement, &Params::new());
        assert_eq!(told(&first(run(&explain)?), "plan"), "index");
        run("INSERT INTO trucks DOCUMENTS ({'_id': 'x'})")?;
        assert_eq!(told(&first(run(&explain)?), "plan"), "index");
        run("UPDATE cars SET n = 900 WHERE n = 3")?;
        let found = first(run(&explain)?);
        assert_eq!(
            told(&found, "reason"),
            "the transaction has changed the collection"
        );
        run("DELETE FROM cars WHERE n = 499")?;
        assert_eq!(
            texts(&run(select)?),
            [r#"{"_id":"00003","n":900}"#, r#"{"_id":"00498","n":498}"#]
        );
        let changed = run("UPDATE cars SET n = 901 WHERE n >= 498 LIMIT 1")?;
        assert_eq!(changed.mutated.len(), 1);
        Ok::<_, StoreError>(texts(&run(select)?))
    });
    let found = done.unwrap().value;
    assert_eq!(rows(&store, select), found);
    assert_eq!(told(&plan(&store, select), "order"), "index");
    for statement in ["CREATE INDEX j ON cars (n)", "DROP INDEX i ON cars"] {
        let refused = store
            .transaction(|transaction| transaction.execute(statement, &Params::new()).map(|_| ()));
        assert!(
            matches!(refused, Err(StoreError::IndexInTransaction)),
            "{refused:?}"
        );
    }
    assert_eq!(execute(&store, "SHOW INDEXES").items.len(), 1);
}

/// Goal: a write with LIMIT changes the documents of the least ids, also where an index finds them.
#[test]
fn a_limited_write_takes_the_least_ids() {
    let folder = tempfile::tempdir().unwrap();
    let store = indexed(folder.path(), 500);
    execute(&store, "UPDATE cars SET n = 1000 - n WHERE n >= 400");
    let deleted = execute(
        &store,
        "DELETE FROM cars WHERE n > 500 LIMIT 2 RETURNING _id",
    );
    assert_eq!(
        texts(&deleted),
        [r#"{"_id":"00400"}"#, r#"{"_id":"00401"}"#]
    );
    let explained = execute(&store, "EXPLAIN DELETE FROM cars WHERE n > 500 LIMIT 2");
    assert_eq!(told(&first(explained), "plan"), "index");
}

/// Goal: the past is read without an index, which holds the present; EXPLAIN says so.
#[test]
fn the_past_asks_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = indexed(folder.path(), 300);
    let before = execute(&store, "HISTORY OF '00007' FROM cars");
    let heads = before.items.first().unwrap().get("heads").unwrap().clone();
    execute(&store, "UPDATE cars SET n = 900 WHERE n = 7");
    let then = Params::from([("then".to_owned(), heads)]);
    let select = "SELECT n FROM cars AS OF :then WHERE _id = '00007' AND n = 7";
    assert_eq!(
        texts(&store.execute(select, &then).unwrap()),
        [r#"{"n":7}"#]
    );
    let now = "AS OF '2999-01-01' WHERE n = 900";
    assert_eq!(
        rows(&store, &format!("SELECT n FROM cars {now}")),
        [r#"{"n":900}"#]
    );
    let explained = execute(&store, &format!("EXPLAIN ANALYZE SELECT n FROM cars {now}"));
    assert_eq!(
        told(&first(explained), "reason"),
        "indexes hold the present, and AS OF asks for the past"
    );
}

/// Goal: a document with conflicts, which the store notes beside its fields, is found by its visible value, before and
/// after they are resolved.
#[test]
fn documents_with_conflicts_are_found() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (one, two) = (open(folders[0].path(), 1), open(folders[1].path(), 2));
    one.import("cars", &many(100)).unwrap();
    replicate(&one, &two);
    for store in [&one, &two] {
        execute(store, "CREATE INDEX i ON cars (n)");
        ready(store, "i");
    }
    execute(&one, "UPDATE cars SET n = 1001 WHERE n = 5");
    execute(&two, "UPDATE cars SET n = 1002 WHERE n = 5");
    replicate(&one, &two);
    replicate(&two, &one);
    let select = "SELECT * FROM cars WHERE n > 1000";
    let found = rows(&one, select);
    assert_eq!((found.len(), &found), (1, &rows(&two, select)));
    assert!(!found[0].contains("conflicts"), "{found:?}");
    let conflicting = "SELECT _id FROM cars WHERE n > 1000 AND LENGTH(CONFLICTS(n)) = 2";
    assert_eq!(rows(&one, conflicting), [r#"{"_id":"00005"}"#]);
    execute(&one, "UPDATE cars SET n = 1003 WHERE n > 1000");
    replicate(&one, &two);
    assert_eq!(
        rows(&two, "SELECT n FROM cars WHERE n > 1000"),
        [r#"{"n":1003}"#]
    );
    assert_eq!(told(&plan(&two, select), "plan"), "index");
}

/// Goal: a copy taken while an index is built is whole, and goes on building it.
#[test]
fn a_copy_goes_on_building() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"), 1);
    store.import("cars", &many(3_000)).unwrap();
    execute(&store, "CREATE INDEX i ON cars (n)");
    let path = folder.path().join("copy");
    store
        .checkpoint(&path, &folder.path().join("attachments"))
        .unwrap();
    Contents::read(&path, Check::Entries, &mut |_, _| ()).unwrap();
    let copy = open(&path, 1);
    ready(&copy, "i");
    let select = "SELECT n FROM cars WHERE n >= 2998";
    assert_eq!(told(&plan(&copy, select), "plan"), "index");
    assert_eq!(rows(&copy, select), [r#"{"n":2998}"#, r#"{"n":2999}"#]);
}

/// Goal: a live query whose documents an index finds tells the first result and each change of it.
#[tokio::test]
async fn live_queries_use_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = indexed(folder.path(), 500);
    for (statement, first) in [
        ("SELECT n FROM cars WHERE n >= 498", 2),
        (
            "SELECT n FROM cars WHERE n >= 490 ORDER BY n DESC LIMIT 3",
            3,
        ),
    ] {
        let mut live = store.observe(statement, &Params::new()).unwrap();
        assert_eq!(live.next().await.unwrap().items.unwrap().len(), first);
        execute(&store, "UPDATE cars SET n = 5000 WHERE n = 2");
        let update = live.next().await.unwrap();
        assert_eq!(
            update.inserted.len() + update.updated.len(),
            1,
            "{update:?}"
        );
        execute(&store, "UPDATE cars SET n = 2 WHERE n = 5000");
    }
}

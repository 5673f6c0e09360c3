//! The past of documents: SELECT … AS OF, HISTORY OF and REVERT.

use super::*;
use proptest::prelude::*;

fn run(store: &Store, statement: &str) -> Vec<String> {
    let outcome = execute(store, statement);
    outcome.mutated.iter().map(DocumentId::to_string).collect()
}

/// A time after all writes before this call and before all behind it, in ms since 1970.
fn now() -> i64 {
    let pause = || std::thread::sleep(Duration::from_millis(2));
    pause();
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since_1970.unwrap().as_millis() as i64;
    pause();
    now
}

/// Goal: a query of the past sees what was there then: earlier values, deleted documents, none that came later; and a
/// revert brings it back, but leaves what did not exist.
#[test]
fn the_past_is_read_and_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":1,"place":{"city":"Oslo"}}"#);
    insert(&store, r#"{"_id":"b","n":2}"#);
    insert(&store, r#"{"_id":"same","n":3}"#);
    let then = now();
    run(
        &store,
        "UPDATE cars SET n = 10, place.zip = 5 WHERE _id = 'a'",
    );
    run(&store, "DELETE FROM cars WHERE _id = 'b'");
    insert(&store, r#"{"_id":"new","n":4}"#);
    let past = [
        r#"{"_id":"a","n":1,"place":{"city":"Oslo"}}"#,
        r#"{"_id":"b","n":2}"#,
        r#"{"_id":"same","n":3}"#,
    ];
    let as_of = |rest: &str| rows(&store, &format!("SELECT * FROM cars AS OF {then} {rest}"));
    assert_eq!(as_of(""), past);
    assert_eq!(as_of("WHERE _id = 'b'"), past[1..2]);
    assert_eq!(as_of("WHERE n > 1 ORDER BY n DESC LIMIT 1"), past[2..]);
    assert_eq!(as_of("WHERE _id = 'new'"), [""; 0]);
    assert_eq!(as_of("WHERE _id = 5"), [""; 0]);
    assert_eq!(
        rows(
            &store,
            &format!("SELECT SUM(n) AS s FROM cars AS OF {then}")
        ),
        [r#"{"s":6}"#]
    );
    assert_eq!(rows(&store, "SELECT * FROM cars AS OF '-1 hour'"), [""; 0]);
    let present = rows(&store, "SELECT * FROM cars");
    assert_eq!(
        rows(&store, "SELECT * FROM cars AS OF '9999-01-01'"),
        present
    );

    assert_eq!(
        run(&store, &format!("REVERT cars TO {then} WHERE n > 9")),
        [""; 0]
    );
    let reverted = run(&store, &format!("REVERT cars TO {then}"));
    assert_eq!(reverted, [r#""a""#, r#""b""#]);
    let there = "SELECT * FROM cars WHERE _id <> 'new'";
    assert_eq!(rows(&store, there), past);
    assert_eq!(
        rows(&store, "SELECT n FROM cars WHERE _id = 'new'"),
        [r#"{"n":4}"#]
    );
    assert_eq!(run(&store, &format!("REVERT cars TO {then}")), [""; 0]);
}

/// Goal: HISTORY tells both devices' changes alike on both, with heads that AS OF and REVERT take.
#[test]
fn history_of_two_devices_leads_back() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = [1, 2].map(|n| open(folders[usize::from(n) - 1].path(), n));
    insert(&one, r#"{"_id":"a","n":1}"#);
    replicate(&one, &two);
    now();
    run(
        &two,
        "UPDATE cars SET n = 2, by.whom = 'two' WHERE _id = 'a'",
    );
    run(&two, "DELETE FROM cars WHERE _id = 'a'");
    replicate(&two, &one);
    let history = |store: &Store, rest: &str| {
        let statement = format!("HISTORY OF 'a' FROM cars {rest}");
        store.execute(&statement, &Params::new()).unwrap()
    };
    let (here, there) = (history(&one, ""), history(&two, ""));
    assert_eq!(here.kind.as_str(), "history");
    let without_own = |rows: &[Value]| -> Vec<Value> {
        let rows = rows.iter().map(|row| row.as_map().unwrap().clone());
        rows.map(|mut row| {
            row.remove("own").unwrap();
            Value::Map(row)
        })
        .collect()
    };
    assert_eq!(without_own(&here.items), without_own(&there.items));
    let own = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|row| row.get("own").unwrap().to_string())
            .collect()
    };
    assert_eq!(own(&here.items), ["true", "false", "false"]);
    assert_eq!(own(&there.items), ["false", "true", "true"]);
    assert_eq!(here.items[0].get("inserted"), Some(&true.into()));
    assert_eq!(
        here.items[1].get("set").unwrap().to_string(),
        r#"{"by":{"whom":"two"},"n":2}"#
    );
    assert_eq!(here.items[2].get("deleted"), Some(&true.into()));
    let last = history(&one, "ORDER BY time DESC LIMIT 1").items;
    assert_eq!(last, here.items[2..]);

    let heads = Params::from([(
        "heads".to_owned(),
        here.items[1].get("heads").unwrap().clone(),
    )]);
    let as_of = "SELECT n FROM cars AS OF :heads WHERE _id = 'a'";
    let rows_then = one.execute(as_of, &heads).unwrap().items;
    assert_eq!(rows_then[0].to_string(), r#"{"n":2}"#);
    let reverted = one
        .execute("REVERT cars TO :heads WHERE _id = 'a'", &heads)
        .unwrap();
    assert_eq!(
        (reverted.kind.as_str(), reverted.mutated.len()),
        ("revert", 1)
    );
    replicate(&one, &two);
    assert_eq!(
        rows(&two, "SELECT * FROM cars"),
        [r#"{"_id":"a","by":{"whom":"two"},"n":2}"#]
    );
}

/// Goal: what can't be answered is an error that says what to do, and nothing is changed.
#[test]
fn impossible_pasts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":1}"#);
    insert(&store, r#"{"_id":"b","n":1}"#);
    let then = now();
    run(&store, "UPDATE cars SET n = 2");
    let unknown = "0a".repeat(32);
    for statement in [
        format!("SELECT * FROM cars AS OF ['{unknown}'] WHERE _id = 'a'"),
        format!("REVERT cars TO ['{unknown}'] WHERE _id = 'a'"),
    ] {
        let error = refused(&store, &statement);
        assert!(
            error.contains(&format!(
                "document \"a\" has no change {unknown}; HISTORY OF"
            )),
            "{error}"
        );
    }
    assert!(refused(&store, "HISTORY OF 5 FROM cars").contains("_id must be"));
    assert!(refused(&store, "HISTORY OF 'a' FROM crs").contains("no collection"));
    assert!(refused(&store, "REVERT crs TO '-1 day'").contains("no collection"));
    assert_eq!(rows(&store, "HISTORY OF 'unknown' FROM cars"), [""; 0]);
    let live = store.observe("SELECT * FROM cars AS OF 5", &Params::new());
    assert!(live.err().unwrap().to_string().contains("leave AS OF out"));

    let over = Deadline::after(Duration::ZERO);
    for statement in [
        format!("SELECT * FROM cars AS OF {then}"),
        format!("REVERT cars TO {then}"),
    ] {
        let stopped = store.execute_within(&over, &statement, &Params::new());
        let text = stopped.as_ref().unwrap_err().to_string();
        assert!(
            matches!(stopped, Err(StoreError::PastTimedOut { .. })),
            "{text}"
        );
    }
    let page = "HISTORY OF 'a' FROM cars";
    let stopped = store.execute_within(&over, page, &Params::new());
    assert!(matches!(stopped, Err(StoreError::TimedOut { .. })));
    assert_eq!(rows(&store, "SELECT n FROM cars"), [r#"{"n":2}"#; 2]);
}

/// Goal: documents that have not changed since, or came later, are read without their history.
#[test]
fn only_changed_documents_are_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"old","n":1}"#);
    let then = now();
    insert(&store, r#"{"_id":"young","n":1}"#);
    let expected = rows(&store, "SELECT * FROM cars WHERE _id = 'old'");
    drop(store);
    for id in ["\"old\"", "\"young\""] {
        overwrite(folder.path(), "documents", id, b"no history");
    }
    let store = open(folder.path(), 1);
    let as_of = format!("SELECT * FROM cars AS OF {then}");
    assert_eq!(rows(&store, &as_of), expected);
    assert_eq!(
        run(&store, &format!("REVERT cars TO {then} WHERE n = 1")),
        [""; 0]
    );
    let error = refused(&store, "HISTORY OF 'old' FROM cars");
    assert!(
        error.contains("\"old\"") && error.contains("damaged"),
        "{error}"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Run(usize, String),
    Meet(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = "[abc]";
    let statement = prop_oneof![
        3 => (id, "[xy]", 0..9).prop_map(|(id, field, n)| format!(
            "UPDATE cars SET {field}.n = {n} WHERE _id = '{id}'"
        )),
        2 => (id, 0..9).prop_map(|(id, n)| format!(
            "INSERT INTO cars DOCUMENTS ({{'_id': '{id}', 'x': {n}}}) ON ID CONFLICT DO UPDATE"
        )),
        1 => (id, "[xy]").prop_map(|(id, field)| format!("UPDATE cars UNSET {field} WHERE _id = '{id}'")),
        1 => id.prop_map(|id| format!("DELETE FROM cars WHERE _id = '{id}'")),
    ];
    prop_oneof![
        4 => (0usize..2, statement).prop_map(|(store, statement)| Step::Run(store, statement)),
        1 => Just(Step::Meet(0, 1)),
        1 => Just(Step::Meet(1, 0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// Goal: on a device that hears of nobody, AS OF gives the rows that were there; on any, REVERT to a time gives what
    /// AS OF says, leaves the rest, and reaches the others.
    #[test]
    fn a_revert_gives_what_as_of_says(steps in prop::collection::vec(step(), 2..16), at in any::<prop::sample::Index>()) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let stores = [1, 2].map(|n| open(folders[usize::from(n) - 1].path(), n));
        for store in &stores {
            insert(store, r#"{"_id":"z"}"#);
        }
        let at = at.index(steps.len());
        let alone = steps.iter().all(|step| matches!(step, Step::Run(..)));
        let (mut then, mut rows_then) = (0, Vec::new());
        for (number, step) in steps.iter().enumerate() {
            if number == at {
                then = now();
                rows_then = rows(&stores[0], "SELECT * FROM cars");
            }
            match step {
                Step::Run(store, statement) => drop(run(&stores[*store], statement)),
                Step::Meet(from, to) => drop(replicate(&stores[*from], &stores[*to])),
            }
        }
        let as_of = format!("SELECT * FROM cars AS OF {then}");
        let past = rows(&stores[0], &as_of);
        if alone {
            prop_assert_eq!(&past, &rows_then);
        }
        let before = rows(&stores[0], "SELECT * FROM cars");
        run(&stores[0], &format!("REVERT cars TO {then}"));
        let after = rows(&stores[0], "SELECT * FROM cars");
        let ids: Vec<String> = rows(&stores[0], &format!("SELECT _id FROM cars AS OF {then}"));
        let existed = |row: &String| {
            let id = parse_json(row).unwrap().get("_id").unwrap().to_string();
            ids.contains(&format!("{{\"_id\":{id}}}"))
        };
        let (reverted, others): (Vec<String>, Vec<String>) = after.iter().cloned().partition(existed);
        prop_assert_eq!(&reverted, &past);
        let others_before: Vec<String> = before.into_iter().filter(|row| !existed(row)).collect();
        prop_assert_eq!(others, others_before);
        prop_assert_eq!(rows(&stores[0], &as_of), past);
        replicate(&stores[1], &stores[0]);
        replicate(&stores[0], &stores[1]);
        prop_assert_eq!(rows(&stores[0], "SELECT * FROM cars"), rows(&stores[1], "SELECT * FROM cars"));
    }
}

fn cases() -> u32 {
    let long = std::env::var("SEDGE_FULL").is_ok_and(|group| group == "store");
    if long { 500 } else { 16 }
}

/// Goal: REVERT in a transaction takes back what the transaction itself has done, with or without an `_id`.
#[test]
fn a_transaction_reverts_its_own_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":1}"#);
    let heads = store
        .execute("HISTORY OF 'a' FROM cars", &Params::new())
        .unwrap();
    let Some(Value::String(time)) = heads.items[0].get("time").cloned() else {
        panic!("{heads:?}");
    };
    std::thread::sleep(Duration::from_millis(5));
    for filter in ["", "WHERE _id = 'a'"] {
        let done = store.transaction(|transaction| {
            transaction.execute("UPDATE cars SET n = 2", &Params::new())?;
            let revert = format!("REVERT cars TO '{time}' {filter}");
            let reverted = transaction.execute(&revert, &Params::new())?;
            assert_eq!(reverted.mutated.len(), 1, "{filter}");
            Ok::<_, StoreError>(())
        });
        done.unwrap();
        assert_eq!(rows(&store, "SELECT n FROM cars"), [r#"{"n":1}"#]);
    }
}

/// Goal: a change is told with the device whose seal proves it, on every store; an own one that is not sealed yet without.
#[test]
fn history_names_the_verified_author() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    let authors = |store: &Store| {
        let rows = execute(store, "HISTORY OF 'x' FROM cars").items;
        let author = |row: &Value| row.get("author")?.get("name").map(Value::to_string);
        rows.iter().map(author).collect::<Vec<_>>()
    };
    insert(&a, r#"{"_id":"x","n":1}"#);
    assert_eq!(authors(&a), [None]);
    replicate(&a, &b);
    execute(&b, "UPDATE cars SET n = 2");
    let [first, second] = ["device 1", "device 2"].map(|name| Some(format!("{name:?}")));
    assert_eq!(authors(&b), [first.clone(), None]);
    replicate(&b, &a);
    for store in [&a, &b] {
        assert_eq!(authors(store), [first.clone(), second.clone()]);
    }
    let row = execute(&a, "HISTORY OF 'x' FROM cars").items.remove(1);
    let peer = DeviceKey::from_seed([2; 32]).public().peer_id();
    let told = row.get("author").unwrap().get("peer").unwrap().to_string();
    assert_eq!(told, format!("{:?}", peer.to_string()));
}

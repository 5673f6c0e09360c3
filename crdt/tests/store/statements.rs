//! What statements and imports read, write and refuse.

use super::*;

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
        for document in store.view().documents("cars").unwrap() {
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
    let mut packet = Packet::of(&a, "cars", &[b"\"a\""]);
    let good = packet.documents[0].2.clone();
    let magic = [0x85, 0x6f, 0x4a, 0x83];
    let at = good.windows(4).position(|bytes| bytes == magic).unwrap();
    let mut bad = good.clone();
    bad[at + 4] ^= 1;
    let planes = ("planes".to_owned(), b"\"a\"".to_vec(), bad);
    packet.documents.insert(0, planes);
    let arrived = packet.arrive(&b);
    assert!(matches!(
        arrived[..],
        [Arrived::Rejected { .. }, Arrived::Applied { .. }]
    ));
    assert_eq!(b.collections().len(), 1);
    drop(b);
    let b = open(two.path(), 2);
    assert_eq!(b.collections(), a.collections());
}

/// Goal: MERGE sets what the inserted document names and keeps the rest, also what another store added meanwhile; a document
/// that isn't there is inserted.
#[test]
fn an_insert_can_merge_into_what_is_there() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(
        &a,
        r#"{"_id":"a","n":1,"owner":{"name":"Ann","age":3},"tags":[1]}"#,
    );
    replicate(&a, &b);
    let run = |store: &Store, statement: &str| store.execute(statement, &Params::new()).unwrap();
    run(&b, "UPDATE cars SET owner.phone = 7");
    let merged = run(
        &a,
        "INSERT INTO cars DOCUMENTS ({'_id': 'a', 'owner': {'age': 4}, 'tags': []}), ({'_id': 'b', 'n': 2}) \
         ON ID CONFLICT DO MERGE RETURNING *",
    );
    assert_eq!(
        texts(&merged),
        [
            r#"{"_id":"a","n":1,"owner":{"age":4,"name":"Ann"},"tags":[]}"#,
            r#"{"_id":"b","n":2}"#,
        ]
    );
    let again = "INSERT INTO cars DOCUMENTS ({'_id': 'b'}) ON ID CONFLICT DO MERGE";
    assert!(run(&a, again).mutated.is_empty(), "nothing was to be set");
    replicate(&a, &b);
    let both = r#"{"_id":"a","n":1,"owner":{"age":4,"name":"Ann","phone":7},"tags":[]}"#;
    assert_eq!(rows(&b, "SELECT * FROM cars WHERE _id = 'a'"), [both]);
}

/// Goal: RETURNING shows documents as a write leaves them, deleted ones as they were, and none that it did not change; a
/// failing expression undoes the write; LIMIT bounds it, least ids first.
#[test]
fn writes_return_what_they_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let run = |statement: &str| store.execute(statement, &Params::new());
    store.import("cars", &many(6)).unwrap();
    let updated = run("UPDATE cars SET m = n * 2 WHERE n > 2 LIMIT 2 RETURNING n, m").unwrap();
    assert_eq!(texts(&updated), [r#"{"m":6,"n":3}"#, r#"{"m":8,"n":4}"#]);
    assert_eq!(updated.mutated.len(), 2);
    let same = run("UPDATE cars SET m = n * 2 WHERE n = 3 RETURNING *").unwrap();
    assert_eq!((same.items.len(), same.mutated.len()), (0, 0));
    let before = store.collections();
    for statement in [
        "UPDATE cars SET m = 9223372036854775807 RETURNING m + 1",
        "DELETE FROM cars RETURNING n + 9223372036854775807",
    ] {
        assert!(run(statement).is_err(), "{statement}");
        assert_eq!(store.collections(), before, "{statement}");
    }
    let deleted = run("DELETE FROM cars WHERE m IS NOT MISSING LIMIT 1 RETURNING n").unwrap();
    assert_eq!(texts(&deleted), [r#"{"n":3}"#]);
    assert_eq!(run("SELECT * FROM cars").unwrap().items.len(), 5);
    assert!(run("DELETE FROM cars LIMIT 0").unwrap().mutated.is_empty());
}

/// Goal: a write changes all that it means though RETURNING shows no more than a page of it.
#[test]
fn returned_rows_come_in_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(PAGE_ROWS_MAX + 1)).unwrap();
    let deleted = store.execute("DELETE FROM cars RETURNING n", &Params::new());
    let deleted = deleted.unwrap();
    assert_eq!(deleted.items.len(), PAGE_ROWS_MAX);
    assert_eq!(deleted.mutated.len(), PAGE_ROWS_MAX + 1);
    assert!(
        deleted.warnings[0].contains("RETURNING"),
        "{:?}",
        deleted.warnings
    );
}

/// Goal: an `_id` that one INSERT names twice is one document: refused, or written in order and told once, as it is then.
#[test]
fn an_id_twice_in_one_insert_is_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let run = |conflict: &str| {
        let documents = "({'_id': 'a', 'n': 1}), ({'_id': 'b'}), ({'_id': 'a', 'm': 2})";
        let insert = format!(
            "INSERT INTO cars DOCUMENTS {documents} ON ID CONFLICT DO {conflict} RETURNING *"
        );
        store.execute(&insert, &Params::new())
    };
    let refused = run("FAIL");
    assert!(matches!(refused, Err(StoreError::Exists(id)) if id == "\"a\""));
    assert!(store.collections().is_empty());
    for (conflict, a) in [
        ("NOTHING", r#"{"_id":"a","n":1}"#),
        ("UPDATE", r#"{"_id":"a","m":2}"#),
        ("MERGE", r#"{"_id":"a","m":2,"n":1}"#),
    ] {
        let outcome = run(conflict).unwrap();
        let mutated: Vec<String> = outcome.mutated.iter().map(ToString::to_string).collect();
        assert_eq!(mutated, [r#""a""#, r#""b""#], "{conflict}");
        assert_eq!(
            outcome
                .items
                .iter()
                .map(Value::to_string)
                .collect::<Vec<_>>(),
            [a, r#"{"_id":"b"}"#],
            "{conflict}"
        );
        store.execute("DELETE FROM cars", &Params::new()).unwrap();
    }
}

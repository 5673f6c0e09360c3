//! Values that JSON has no types for, from statement to store, to another store, and out and in again.

use super::*;
use proptest::prelude::*;
use sedge_crdt::Attachment;

/// The collection as an export writes it.
fn exported(store: &Store) -> Vec<String> {
    let view = store.view();
    let documents = view.documents("cars").unwrap();
    documents
        .map(|document| document.unwrap().to_string())
        .collect()
}

/// Goal: types live through statements, reopening and replication; increments of two stores add up, edits of a text and a
/// list merge.
#[test]
fn typed_documents_travel_and_merge() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let b = open(two.path(), 2);
    {
        let a = open(one.path(), 1);
        execute(
            &a,
            "INSERT INTO cars DOCUMENTS ({'_id': 'x', 'km': {'$counter': 10}, 'note': {'$text': 'old car'}, 'tags': ['red'],
             'photo': {'$bytes': 'AAEC'}, 'built': {'$timestamp': '1990-05-01T00:00:00Z'}})",
        );
        replicate(&a, &b);
    }
    let a = open(one.path(), 1);
    execute(
        &a,
        "UPDATE cars APPLY km INCREMENT BY 5 SET note = {'$text': 'very old car'}, tags = ['red', 'a'] WHERE km > 9",
    );
    execute(
        &b,
        "UPDATE cars APPLY km INCREMENT BY 7 SET note = {'$text': 'old car!'}, tags = ['b', 'red'] WHERE built < \
         {'$timestamp': '1991-01-01T00:00:00Z'}",
    );
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (1, 1));
    assert_eq!(a.collections(), b.collections());
    let rest = r#""built":{"$timestamp":"1990-05-01T00:00:00.000Z"}"#;
    assert_eq!(
        rows(
            &b,
            "SELECT km + 1 AS k, note, tags, length(photo) AS p, built FROM cars"
        ),
        [format!(
            r#"{{{rest},"k":23,"note":"very old car!","p":3,"tags":["b","red","a"]}}"#
        )]
    );
    assert_eq!(
        exported(&a),
        [format!(
            r#"{{"_id":"x",{rest},"km":{{"$counter":22}},"note":{{"$text":"very old car!"}},"photo":{{"$bytes":"AAEC"}},"tags":["b","red","a"]}}"#
        )]
    );
}

/// Goal: a conflict is told by CONFLICTS on every store that has it, is no part of rows, exports or totals, and goes for
/// all when one resolves it.
#[test]
fn conflicts_travel_and_are_resolved() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"x","n":{"m":1}}"#);
    replicate(&a, &b);
    execute(&a, "UPDATE cars SET n.m = 'one'");
    execute(&b, "UPDATE cars SET n.m = 'two', n.other = 1");
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (1, 1));
    let conflicted = "SELECT CONFLICTS(n.m) AS c, CONFLICTS(n.other) AS o, CONFLICTS(q) AS q FROM cars WHERE \
                      LENGTH(CONFLICTS(n.m)) > 1";
    let found = rows(&a, conflicted);
    assert_eq!(found, rows(&b, conflicted));
    let orders = [
        r#"{"c":["one","two"],"o":[1]}"#,
        r#"{"c":["two","one"],"o":[1]}"#,
    ];
    assert!(orders.contains(&found[0].as_str()), "{found:?}");
    let exported = exported(&a);
    assert!(
        !exported[0].contains("conflicts")
            && !rows(&a, "SELECT * FROM cars")[0].contains("conflicts")
    );
    assert_eq!(a.collections(), b.collections());
    // The same documents without the conflict have the same digest.
    let three = tempfile::tempdir().unwrap();
    let copy = open(three.path(), 3);
    copy.import("cars", &[parse_json(&exported[0]).unwrap()])
        .unwrap();
    assert_eq!(copy.collections(), a.collections());

    execute(&b, "UPDATE cars SET n.m = 'two'");
    replicate(&b, &a);
    for store in [&a, &b] {
        assert_eq!(rows(store, conflicted), Vec::<String>::new());
        assert_eq!(
            rows(store, "SELECT CONFLICTS(n.m) AS c FROM cars"),
            [r#"{"c":["two"]}"#]
        );
    }
}

/// Goal: APPLY on what is no counter fails and changes nothing, in any document of the statement.
#[test]
fn a_failed_increment_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":{"$counter":1}}"#);
    insert(&store, r#"{"_id":"b","n":1}"#);
    let before = store.collections();
    let failed = store.execute("UPDATE cars APPLY n INCREMENT BY 1", &Params::new());
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("n is of type int"), "{error}");
    assert_eq!(store.collections(), before);
    let done = store.execute(
        "UPDATE cars APPLY n INCREMENT BY 1 WHERE _id = 'a'",
        &Params::new(),
    );
    assert_eq!(done.unwrap().mutated.len(), 1);
    let far = r#"{"doc":{"_id":"c","n":{"$counter":4611686018427387905}}}"#;
    let refused = store.execute("INSERT INTO cars DOCUMENTS (:doc)", &params(far));
    assert!(refused.unwrap_err().to_string().contains("away from 0"));
}

fn value() -> impl Strategy<Value = Value> {
    let marks = [
        "$bytes",
        "$counter",
        "$map",
        "$text",
        "$timestamp",
        "$attachment",
        "$other",
    ];
    let name = prop_oneof![4 => "[a-c]{1,2}", 1 => prop::sample::select(marks.to_vec()).prop_map(str::to_owned)];
    let attachment = (
        any::<[u8; 32]>(),
        any::<u32>(),
        prop::collection::btree_map(name.clone(), ".{0,4}", 0..3),
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::String),
        ".{0,6}".prop_map(Value::Text),
        (-(1i64 << 62)..(1 << 62)).prop_map(Value::Counter),
        any::<i64>().prop_map(Value::Timestamp),
        (-62_167_219_200_000i64..253_402_300_800_000).prop_map(Value::Timestamp),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
        attachment.prop_map(|(id, len, metadata)| {
            Attachment {
                id,
                len: len.into(),
                metadata,
            }
            .into()
        }),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map(name.clone(), inner, 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var("SEDGE_FULL").is_ok() { 1_000 } else { 24 }))]

    /// Goal: what is exported and imported again elsewhere is the same documents: nothing is lost, the digests agree.
    #[test]
    fn export_and_import_lose_nothing(values in prop::collection::vec(value(), 1..8)) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (open(one.path(), 1), open(two.path(), 2));
        let documents: Vec<Value> = values.into_iter().enumerate().map(|(n, value)| {
            Value::Map([("_id".to_owned(), format!("{n}").into()), ("v".to_owned(), value)].into())
        }).collect();
        let imported = a.import("cars", &documents).unwrap();
        prop_assert!(imported.iter().all(|answer| matches!(answer, Imported::Written)), "{imported:?}");
        let lines = exported(&a);
        let read: Vec<Value> = lines.iter().map(|line| parse_json(line).unwrap()).collect();
        prop_assert_eq!(&read, &documents);
        b.import("cars", &read).unwrap();
        prop_assert_eq!(a.collections(), b.collections());
        prop_assert_eq!(exported(&b), lines);
    }
}

//! Which way statements choose to their documents, when they leave it, and what EXPLAIN says about it.

use super::*;
use sedge_crdt::limits::{INDEX_RANGES_MAX, INDEX_READ_BYTES_MAX};

/// A member of a plan.
fn number(plan: &Value, name: &str) -> Option<i64> {
    match plan.get(name) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

/// Documents whose `n` comes in another order than their ids, in pairs of the same, and an index of it. One in 500 is
/// `rare`.
fn scattered(path: &Path, count: usize) -> Store {
    let store = open(path, 1);
    let document = |id: usize| {
        let n = (id / 2 * 7_919) % count;
        let rare = id % 500 == 499;
        parse_json(&format!(
            r#"{{"_id":"{id:05}","n":{n},"k":1,"rare":{rare}}}"#
        ))
        .unwrap()
    };
    let documents: Vec<Value> = (0..count).map(document).collect();
    store.import("cars", &documents).unwrap();
    rows(&store, "CREATE INDEX by_n ON cars (n)");
    rows(&store, "CREATE INDEX by_k ON cars (k)");
    ready(&store, "by_n");
    ready(&store, "by_k");
    store
}

/// Goal: an index in whose order the documents come is given up for a scan once too many were read in vain, with the same
/// rows in the same order, equal ones included; EXPLAIN ANALYZE says so.
#[test]
fn an_order_that_leads_to_too_little_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = scattered(folder.path(), 5_000);
    let deleted = "DELETE FROM cars WHERE k = 1 AND rare AND _id > '02000' LIMIT 2 RETURNING _id";
    assert_eq!(
        rows(&store, deleted),
        [r#"{"_id":"02499"}"#, r#"{"_id":"02999"}"#]
    );
    let statements = [
        "SELECT _id FROM cars WHERE rare ORDER BY n LIMIT 5",
        "SELECT _id FROM cars WHERE rare ORDER BY n DESC LIMIT 3 OFFSET 2",
        "SELECT _id FROM cars WHERE rare AND n >= 10 ORDER BY n LIMIT 20",
        "SELECT _id FROM cars WHERE n < 0 OR n + 0 < 0 ORDER BY n LIMIT 1",
        "SELECT _id FROM cars WHERE k = 1 AND _id > '04990' LIMIT 4",
    ];
    let mut found = Vec::new();
    for statement in statements {
        let analyzed = plan(&store, &format!("ANALYZE {statement}"));
        assert_eq!(told(&analyzed, "plan"), "index", "{analyzed}");
        let said = told(&analyzed, "given_up");
        assert!(said.contains("all were read instead"), "{analyzed}");
        // What was read by the index, and then all.
        let read = number(&analyzed, "documents_read").unwrap();
        assert!((5_000..5_000 + 5_000 / 4).contains(&read), "{analyzed}");
        found.push(rows(&store, statement));
    }
    let kept = "SELECT _id FROM cars WHERE n >= 10 ORDER BY n LIMIT 5";
    let kept = plan(&store, &format!("ANALYZE {kept}"));
    assert_eq!(
        (told(&kept, "order"), kept.get("given_up")),
        ("index", None)
    );
    for index in ["by_n", "by_k"] {
        rows(&store, &format!("DROP INDEX {index} ON cars"));
    }
    for (statement, found) in statements.iter().zip(found) {
        assert_eq!(rows(&store, statement), found, "{statement}");
    }
}

/// Goal: of large documents no more are read at once than a few bytes' worth, whatever their number.
#[test]
fn large_documents_are_not_read_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    rows(&store, "CREATE INDEX by_n ON cars (n)");
    ready(&store, "by_n");
    let text = "x".repeat(INDEX_READ_BYTES_MAX / 2 + 1);
    for n in 0..6 {
        insert(
            &store,
            &format!(r#"{{"_id":"{n}","n":{n},"text":"{text}"}}"#),
        );
    }
    let select = "SELECT n FROM cars WHERE n < 5 ORDER BY n LIMIT 3";
    let analyzed = plan(&store, &format!("ANALYZE {select}"));
    assert_eq!(told(&analyzed, "plan"), "index", "{analyzed}");
    assert_eq!(number(&analyzed, "documents_read"), Some(3), "{analyzed}");
}

/// Goal: lists that would make too many ranges leave an index or its later fields unused, and EXPLAIN says that.
#[test]
fn too_many_ranges_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(300)).unwrap();
    rows(&store, "CREATE INDEX by_n_m ON cars (n, m)");
    ready(&store, "by_n_m");
    let list = |count: usize| {
        let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        numbers.join(", ")
    };
    let reason = |condition: String| {
        let plan = plan(&store, &format!("SELECT * FROM cars WHERE {condition}"));
        told(&plan, "reason").to_owned()
    };
    let most = INDEX_RANGES_MAX;
    assert_eq!(
        reason(format!("n IN ({})", list(most + 1))),
        "index by_n_m would have to be read in more than 1024 ranges"
    );
    assert_eq!(
        reason(format!("n IN ({})", list(most))),
        "index by_n_m leads to more than a 4th of the documents"
    );
    assert_eq!(
        reason(format!("n IN ({0}) AND m IN ({0})", list(100))),
        "index by_n_m leads to more than a 4th of the documents; with its next field they would be more than \
         1024 ranges"
    );
    assert_eq!(
        reason(format!("m IN ({})", list(most + 1))),
        "no index has the fields of WHERE, or of ORDER BY alone, first"
    );
}

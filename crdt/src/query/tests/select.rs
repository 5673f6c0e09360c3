//! SELECT: each clause over a few documents.

use super::{Work, bound, json, params, rows, select};
use crate::query::Statement;
use crate::query::compare::equal;
use crate::query::limits::PAGE_ROWS_MAX;
use crate::value::{Value, arbitrary};
use proptest::prelude::*;
use std::cell::Cell;

const CARS: &str = r#"[
    {"_id": "1", "make": "Saab", "year": 1990, "km": 10},
    {"_id": "2", "make": "Volvo", "year": 1980, "km": 20.5},
    {"_id": "3", "make": "Saab", "year": 1985},
    {"_id": "4", "make": "Lada", "year": null, "km": 5, "owner": {"name": "Ann"}},
    {"_id": "5", "make": "Volvo", "km": 7}
]"#;

#[test]
fn clauses_do_what_they_say() {
    for (text, expected) in [
        (
            "SELECT _id FROM c WHERE make = 'Saab'",
            r#"[{"_id":"1"},{"_id":"3"}]"#,
        ),
        (
            "select _id from c where year < 1990;",
            r#"[{"_id":"2"},{"_id":"3"}]"#,
        ),
        (
            "SELECT _id FROM c WHERE NOT year < 1990",
            r#"[{"_id":"1"}]"#,
        ),
        (
            "SELECT * FROM c WHERE _id = '3'",
            r#"[{"_id":"3","make":"Saab","year":1985}]"#,
        ),
        (
            "SELECT owner.name, km FROM c WHERE _id IN ('3','4')",
            r#"[{},{"km":5,"name":"Ann"}]"#,
        ),
        ("SELECT km * 2 FROM c LIMIT 1", r#"[{"km * 2":20}]"#),
        (
            "SELECT upper( make )  AS m FROM c LIMIT 1",
            r#"[{"m":"SAAB"}]"#,
        ),
        (
            "SELECT DISTINCT make FROM c",
            r#"[{"make":"Saab"},{"make":"Volvo"},{"make":"Lada"}]"#,
        ),
        (
            "SELECT DISTINCT make FROM c ORDER BY make LIMIT 2 OFFSET 1",
            r#"[{"make":"Saab"},{"make":"Volvo"}]"#,
        ),
        (
            "SELECT DISTINCT make FROM c LIMIT 1 OFFSET 1",
            r#"[{"make":"Volvo"}]"#,
        ),
        // Missing sorts before null, null before numbers; equal keys stay in the order of the documents.
        (
            "SELECT _id FROM c ORDER BY year",
            r#"[{"_id":"5"},{"_id":"4"},{"_id":"2"},{"_id":"3"},{"_id":"1"}]"#,
        ),
        (
            "SELECT _id FROM c ORDER BY make DESC, km ASC",
            r#"[{"_id":"5"},{"_id":"2"},{"_id":"3"},{"_id":"1"},{"_id":"4"}]"#,
        ),
        (
            "SELECT _id FROM c ORDER BY make",
            r#"[{"_id":"4"},{"_id":"1"},{"_id":"3"},{"_id":"2"},{"_id":"5"}]"#,
        ),
        (
            "SELECT _id FROM c ORDER BY km DESC LIMIT 2",
            r#"[{"_id":"2"},{"_id":"1"}]"#,
        ),
        (
            "SELECT -km AS low FROM c WHERE km > 5 ORDER BY low",
            r#"[{"low":-20.5},{"low":-10},{"low":-7}]"#,
        ),
        ("SELECT _id FROM c LIMIT 2 OFFSET 4", r#"[{"_id":"5"}]"#),
        ("SELECT _id FROM c OFFSET 9", "[]"),
        ("SELECT _id FROM c LIMIT 0", "[]"),
        ("SELECT _id FROM c ORDER BY _id LIMIT 0", "[]"),
    ] {
        assert_eq!(rows(text, CARS).unwrap(), expected, "{text}");
    }
}

#[test]
fn groups_and_aggregates() {
    for (text, expected) in [
        ("SELECT COUNT(*) FROM c", r#"[{"COUNT(*)":5}]"#),
        (
            "SELECT count(km) AS n, SUM(km) AS s, AVG(km) AS a, MIN(km) AS lo, MAX(km) AS hi FROM c",
            r#"[{"a":10.625,"hi":20.5,"lo":5,"n":4,"s":42.5}]"#,
        ),
        (
            "SELECT COUNT(DISTINCT make) AS n, SUM(year) - 1 AS s, AVG(make) AS a FROM c",
            r#"[{"a":null,"n":3,"s":5954}]"#,
        ),
        (
            "SELECT COUNT(*) AS n, SUM(km) AS s, MIN(km) AS m FROM c WHERE make = 'none'",
            r#"[{"m":null,"n":0,"s":null}]"#,
        ),
        (
            "SELECT make, COUNT(*) AS n FROM c WHERE make = 'none' GROUP BY make",
            "[]",
        ),
        (
            "SELECT make, COUNT(*) AS n FROM c GROUP BY make",
            r#"[{"make":"Lada","n":1},{"make":"Saab","n":2},{"make":"Volvo","n":2}]"#,
        ),
        (
            "SELECT make, COUNT(*) AS n FROM c GROUP BY make HAVING COUNT(*) > 1 ORDER BY make DESC LIMIT 1",
            r#"[{"make":"Volvo","n":2}]"#,
        ),
        (
            "SELECT lower(make) || '!' AS m FROM c GROUP BY lower(make) ORDER BY SUM(km) DESC, m",
            r#"[{"m":"volvo!"},{"m":"saab!"},{"m":"lada!"}]"#,
        ),
        (
            "SELECT make FROM c GROUP BY make ORDER BY COUNT(km), make",
            r#"[{"make":"Lada"},{"make":"Saab"},{"make":"Volvo"}]"#,
        ),
        // What is grouped by is known within a longer chain, too.
        (
            "SELECT COUNT(*) AS n FROM c GROUP BY make = 'Lada' OR make = 'Saab' HAVING (make = 'Lada' OR make = 'Saab') OR COUNT(*) > 5",
            r#"[{"n":3}]"#,
        ),
        // Missing and null are groups of their own.
        (
            "SELECT year, COUNT(*) AS n FROM c WHERE year IS MISSING OR year IS NULL GROUP BY year",
            r#"[{"n":1},{"n":1,"year":null}]"#,
        ),
    ] {
        assert_eq!(rows(text, CARS).unwrap(), expected, "{text}");
    }
    // A sum is exact while it is made of integers, in any order, and an error when it does not fit.
    let large = r#"[{"n":9223372036854775807},{"n":1},{"n":-5}]"#;
    assert_eq!(
        rows("SELECT SUM(n) AS s FROM c", large).unwrap(),
        r#"[{"s":9223372036854775803}]"#
    );
    let error = rows("SELECT SUM(n) AS s FROM c WHERE n > 0", large).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 8: the sum 9223372036854775808 does not fit 64 bits"
    );
    // 1 and 1.0 are one value.
    assert_eq!(
        rows(
            "SELECT DISTINCT n FROM c",
            r#"[{"n":1},{"n":1.0},{"n":"1"}]"#
        )
        .unwrap(),
        r#"[{"n":1},{"n":"1"}]"#
    );
}

/// Goal: LIMIT without ORDER BY takes no more documents than it needs.
#[test]
fn a_full_answer_stops_the_reading() {
    let taken = Cell::new(0);
    let documents = || {
        taken.set(0);
        (0..1_000i64).map(|n| {
            taken.set(taken.get() + 1);
            json(&format!(r#"{{"_id":"{n}","n":{n}}}"#))
        })
    };
    for (text, rows, documents_taken) in [
        ("SELECT * FROM c WHERE n >= 10 LIMIT 5", 5, 15),
        ("SELECT * FROM c LIMIT 5 OFFSET 5", 5, 10),
        ("SELECT * FROM c LIMIT 0", 0, 0),
        ("SELECT COUNT(*) FROM c LIMIT 0", 0, 0),
        ("SELECT * FROM c ORDER BY n LIMIT 5", 5, 1_000),
    ] {
        assert_eq!(
            select(text)
                .rows(documents(), &Work::default())
                .unwrap()
                .len(),
            rows,
            "{text}"
        );
        assert_eq!(taken.get(), documents_taken, "{text}");
    }
}

/// Goal: keeping only the best rows gives what sorting all of them gives, equal keys in the documents' order.
#[test]
fn the_best_rows_are_those_of_a_full_sort() {
    let documents: Vec<Value> = (0..10_000i64)
        .map(|n| json(&format!(r#"{{"n":{n},"key":{}}}"#, n * 7919 % 101)))
        .collect();
    let all = select("SELECT n FROM c ORDER BY key DESC")
        .rows(documents.clone(), &Work::default())
        .unwrap();
    let best = select("SELECT n FROM c ORDER BY key DESC LIMIT 30 OFFSET 150")
        .rows(documents, &Work::default())
        .unwrap();
    assert_eq!(best, all[150..180]);
}

#[test]
fn parameters_are_bound_completely() {
    let text = "SELECT _id FROM c WHERE make = :make AND year IN (:years) LIMIT :n";
    let Ok(Statement::Select(query)) = bound(text, r#"{"make":"Saab","years":[1985,1990],"n":1}"#)
    else {
        panic!("the statement binds");
    };
    let Value::List(cars) = json(CARS) else {
        panic!("a list")
    };
    assert_eq!(
        Value::List(query.rows(cars, &Work::default()).unwrap()).to_string(),
        r#"[{"_id":"1"}]"#
    );
    for (text, values, message) in [
        (
            "SELECT * FROM c WHERE a = :a",
            "{}",
            "line 1, column 27: the parameter :a has no value",
        ),
        (
            "SELECT * FROM c WHERE a = :name",
            r#"{"nmae":1}"#,
            "line 1, column 27: the parameter :name has no value; did you mean nmae?",
        ),
        (
            "SELECT * FROM c",
            r#"{"b":1}"#,
            "the statement has no parameter :b; remove its value or correct the name",
        ),
        (
            "SELECT * FROM c LIMIT :n",
            r#"{"n":-1}"#,
            "line 1, column 23: LIMIT and OFFSET take a whole number from 0, not -1",
        ),
        (
            "SELECT * FROM c WHERE :p",
            r#"{"p":"x"}"#,
            "line 1, column 23: a condition is true or false, and this is of type string; compare it with something",
        ),
    ] {
        assert_eq!(
            bound(text, values).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
    assert!(
        select("SELECT * FROM c LIMIT :n")
            .rows([], &Work::default())
            .is_err()
    );
    assert!(
        Statement::parse("SELECT * FROM c")
            .unwrap()
            .bind(&params("{}"))
            .is_ok()
    );
}

/// Goal: a condition that pins the `_id` is recognised, and nothing else is taken for one.
#[test]
fn a_filter_knows_the_one_id_it_means() {
    for (condition, id) in [
        ("_id = 'x'", Some(r#""x""#)),
        ("'x' = _id", Some(r#""x""#)),
        ("a = 1 AND (_id == {'k': 1} AND b)", None),
        ("a = 1 AND _id == 'y' AND b", Some(r#""y""#)),
        ("_id = 'x' OR a = 1", None),
        ("NOT _id = 'x'", None),
        ("_id <> 'x'", None),
        ("_id.k = 'x'", None),
        ("_id = a", None),
    ] {
        let query = select(&format!("SELECT * FROM c WHERE {condition}"));
        assert_eq!(
            query.filter().document_id().cloned(),
            id.map(json),
            "{condition}"
        );
        assert!(!query.filter().is_everything());
    }
    let Ok(Statement::Select(query)) =
        bound("SELECT * FROM c WHERE _id = :id", r#"{"id":{"k":1}}"#)
    else {
        panic!("the statement binds");
    };
    assert_eq!(query.filter().document_id(), Some(&json(r#"{"k":1}"#)));
    assert!(select("SELECT * FROM c").filter().is_everything());
}

/// Goal: an answer is cut at the page's rows and says so, whether it is sorted or not; one that just fits is whole.
#[test]
fn a_page_holds_so_many_rows_and_tells_of_more() {
    let documents = |count: usize| {
        (0..count).map(|n| Value::Map([("n".to_owned(), Value::Int(n as i64))].into()))
    };
    for (text, count, rows, has_more) in [
        ("SELECT * FROM c", PAGE_ROWS_MAX, PAGE_ROWS_MAX, false),
        ("SELECT * FROM c", PAGE_ROWS_MAX + 1, PAGE_ROWS_MAX, true),
        (
            "SELECT * FROM c ORDER BY n DESC",
            PAGE_ROWS_MAX * 3,
            PAGE_ROWS_MAX,
            true,
        ),
        (
            "SELECT n FROM c GROUP BY n",
            PAGE_ROWS_MAX + 1,
            PAGE_ROWS_MAX,
            true,
        ),
        (
            "SELECT * FROM c LIMIT 10000",
            PAGE_ROWS_MAX * 2,
            PAGE_ROWS_MAX,
            false,
        ),
        (
            "SELECT * FROM c LIMIT 10001",
            PAGE_ROWS_MAX * 2,
            PAGE_ROWS_MAX,
            true,
        ),
        (
            "SELECT * FROM c LIMIT 10000 OFFSET 10000",
            PAGE_ROWS_MAX + 5,
            5,
            false,
        ),
    ] {
        let page = select(text)
            .page(documents(count), &Work::default())
            .unwrap();
        assert_eq!((page.rows.len(), page.has_more), (rows, has_more), "{text}");
    }
    let page = select("SELECT * FROM c ORDER BY n DESC")
        .page(documents(30_000), &Work::default())
        .unwrap();
    assert_eq!(page.rows[0].to_string(), r#"{"n":29999}"#);
}

/// Goal: whatever a statement has to hold is bounded in bytes; what it passes by, and what it lets go, is not counted.
#[test]
fn what_a_statement_holds_is_bounded() {
    let documents = || {
        (0..200).map(|n| {
            let text = format!("{n:03}{}", "x".repeat(1 << 20));
            Value::Map(
                [
                    ("n".to_owned(), Value::Int(n)),
                    ("text".to_owned(), Value::String(text)),
                ]
                .into(),
            )
        })
    };
    for text in [
        "SELECT * FROM c",
        "SELECT text FROM c ORDER BY n",
        "SELECT n FROM c ORDER BY text LIMIT 150",
        "SELECT DISTINCT text FROM c",
        "SELECT text FROM c GROUP BY text",
        "SELECT n, MAX(text) FROM c GROUP BY n",
        "SELECT COUNT(DISTINCT text) FROM c",
    ] {
        let error = select(text)
            .page(documents(), &Work::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("more than 64 MiB of memory"),
            "{text}: {error}"
        );
    }
    for (text, rows) in [
        ("SELECT n FROM c ORDER BY n", 200),
        ("SELECT * FROM c LIMIT 10 OFFSET 150", 10),
        ("SELECT MAX(text) AS m FROM c", 1),
        ("SELECT text FROM c WHERE n = 7", 1),
    ] {
        assert_eq!(
            select(text)
                .page(documents(), &Work::default())
                .unwrap()
                .rows
                .len(),
            rows,
            "{text}"
        );
    }
    // Few are wanted, so few are held, however many pass.
    let many = (0..2_000i64).map(|n| {
        let text = format!("{n:05}{}", "x".repeat(100_000));
        Value::Map([("text".to_owned(), Value::String(text))].into())
    });
    let top = select("SELECT text FROM c ORDER BY text DESC LIMIT 3 OFFSET 2")
        .page(many, &Work::default())
        .unwrap();
    assert!(top.rows[0].to_string().contains("01997x"));
}

proptest! {
    /// Goal: IN with many constants, which are looked up, answers what comparing with each would: also for
    /// null, mixed types, 1 and 1.0.
    #[test]
    fn looking_up_constants_is_walking_them(
        members in prop::collection::vec(prop_oneof![
            Just(Value::Null), (0..8i64).prop_map(Value::Int), (0..8i32).prop_map(|n| Value::Float(f64::from(n) / 2.0)),
            "[a-c]{1,2}".prop_map(Value::String), arbitrary::value(),
        ], 16..40),
        document in prop_oneof![
            arbitrary::value(), (0..8i64).prop_map(Value::Int), "[a-c]{1,2}".prop_map(Value::String)
        ],
    ) {
        let document = Value::Map([("x".to_owned(), document)].into());
        let mut found = Some(false);
        for member in &members {
            match equal(&document.get("x").cloned().unwrap_or(Value::Null), member) {
                Some(true) => found = Some(true),
                None if found == Some(false) => found = None,
                _ => {}
            }
        }
        let truth = |truth: Option<bool>| truth.map_or(Value::Null, Value::Bool);
        let params = crate::query::Params::from([("a".to_owned(), Value::List(members))]);
        for list in [":a", "(:a)"] {
            let text = format!("SELECT x IN {list} AS found, x NOT IN {list} AS other FROM c");
            let Ok(Statement::Select(query)) = Statement::parse(&text).and_then(|query| query.bind(&params)) else {
                panic!("the statement binds");
            };
            let rows = query.rows([document.clone()], &Work::default()).unwrap();
            prop_assert_eq!(rows[0].get("found"), Some(&truth(found)));
            prop_assert_eq!(rows[0].get("other"), Some(&truth(found.map(|found| !found))));
        }
    }
}

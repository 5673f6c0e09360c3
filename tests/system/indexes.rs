//! Indexes, as people make and use them.

use crate::harness::{Device, World, wait_until};
use crate::processes::Guarded;
use serde_json::{Value, json};
use std::process::Stdio;

const DOCUMENTS: u64 = 30_000;
/// So many indexes that building them outlasts a look at how far they are.
const INDEXES: [&str; 6] = [
    "n",
    "n DESC",
    "place.city",
    "place.city, n",
    "\"two words\"",
    "n, place.city DESC",
];

/// A device with things.
fn filled(world: &World) -> Device {
    let device = world.device("A");
    let line = |n: u64| {
        let thing = json!({"_id": format!("d{n:06}"), "n": n, "place": {"city": format!("c{}", n % 97)}, "two words": n % 5});
        format!("{thing}\n")
    };
    let file = world.file(
        "things.ndjson",
        (0..DOCUMENTS).map(line).collect::<String>(),
    );
    device
        .finish(["import", file.to_str().unwrap(), "--collection", "things"])
        .ok();
    device
}

fn items(device: &Device, statement: &str) -> Vec<Value> {
    device.query(statement)["items"]
        .as_array()
        .expect("items")
        .clone()
}

/// Goal: without a daemon `sedge query` builds the index before it ends; it is shown, used and explained; what is wrong is
/// told with its place.
#[test]
fn an_index_is_made_by_query() {
    let world = World::new();
    let device = filled(&world);
    let made = device.finish([
        "query",
        "CREATE INDEX by_city ON things (place.city, n DESC)",
    ]);
    let made = made.json();
    assert_eq!(
        (&made["state"], &made["entries"]),
        (&json!("ready"), &json!(DOCUMENTS))
    );
    let statement = "SELECT n FROM things WHERE place.city = 'c7' ORDER BY n DESC LIMIT 2";
    let plan = device
        .finish(["query", &format!("EXPLAIN ANALYZE {statement}")])
        .json();
    for (name, value) in [
        ("plan", json!("index")),
        ("index", json!("by_city")),
        ("range", json!("place.city = 'c7'")),
        ("order", json!("index")),
        ("rows", json!(2)),
    ] {
        assert_eq!(plan[name], value, "{plan}");
    }
    let last = (0..DOCUMENTS).rev().find(|n| n % 97 == 7).unwrap();
    assert_eq!(
        items(&device, statement),
        [json!({"n": last}), json!({"n": last - 97})]
    );
    assert_eq!(
        items(&device, "SHOW COLLECTIONS"),
        [json!({"collection": "things", "documents": DOCUMENTS})]
    );
    for (statement, part) in [
        (
            "CREATE INDEX by_city ON things (n)",
            "has an index \"by_city\" already",
        ),
        ("DROP INDEX by_town ON things", "it has: by_city"),
        ("CREATE INDEX i ON things (_id)", "line 1, column 27"),
        ("EXPLAIN ANALYZE DELETE FROM things", "this one writes"),
    ] {
        let refused = device.finish(["query", statement]);
        assert!(refused.refused().contains(part), "{statement}: {refused:?}");
    }
    assert_eq!(
        device
            .finish(["query", "DROP INDEX by_city ON things"])
            .json(),
        json!({"dropped": "by_city"})
    );
    assert_eq!(items(&device, "SHOW INDEXES"), [Value::Null; 0]);
}

/// Goal: a daemon that is killed while it builds indexes goes on with them when it is back, and each leads to every document
/// once, those written meanwhile too.
#[test]
fn building_goes_on_after_a_kill() {
    let world = World::new();
    let device = filled(&world);
    let daemon = device.start(&[]);
    let address = daemon.address.clone();
    let creating = INDEXES.iter().enumerate().map(|(number, fields)| {
        let mut create = device.sedge();
        create.args([
            "query",
            &format!("CREATE INDEX i{number} ON things ({fields})"),
        ]);
        create.stdout(Stdio::null()).stderr(Stdio::null());
        Guarded(create.spawn().expect("the query starts"))
    });
    let creating: Vec<Guarded> = creating.collect();
    let states = |device: &Device| -> Vec<(String, u64)> {
        let shown = device.rows("SHOW INDEXES FROM things");
        let told = shown.iter().map(|row| {
            let state = row["state"].as_str().expect("a state").to_owned();
            (state, row["entries"].as_u64().expect("a count"))
        });
        told.collect()
    };
    wait_until("all are made and something is built", || {
        let states = states(&device);
        states.len() == INDEXES.len() && states.iter().any(|(_, entries)| *entries > 0)
    });
    device.query("UPDATE things SET n = -1 WHERE _id = 'd000000'");
    device.query("DELETE FROM things WHERE _id = 'd029999'");
    let before = states(&device);
    daemon.kill();
    drop(creating);
    assert!(
        before.iter().any(|(state, _)| state == "building"),
        "killed too late: {before:?}"
    );

    let _daemon = device.start_again(&address, &[]);
    wait_until("all are ready", || {
        states(&device).iter().all(|(state, _)| state == "ready")
    });
    assert_eq!(
        states(&device),
        vec![("ready".to_owned(), DOCUMENTS - 1); INDEXES.len()]
    );
    for (clauses, expected) in [
        ("WHERE n < 2 ORDER BY n", vec![-1, 1]),
        (
            "WHERE n > 29990 ORDER BY n DESC LIMIT 2",
            vec![29_998, 29_997],
        ),
        ("WHERE place.city = 'c3' AND n < 200", vec![3, 100, 197]),
        ("WHERE place.city IN ('c3', 'c4') AND n < 100", vec![3, 4]),
    ] {
        let plan = items(&device, &format!("EXPLAIN SELECT n FROM things {clauses}"));
        assert_eq!(plan[0]["plan"], "index", "{clauses}: {plan:?}");
        let rows = items(&device, &format!("SELECT n FROM things {clauses}"));
        let expected: Vec<Value> = expected.into_iter().map(|n: i64| json!({"n": n})).collect();
        assert_eq!(rows, expected, "{clauses}");
    }
}

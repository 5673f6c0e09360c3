//! Indexes: whatever they are, answers are those that reading the collection gives.

use super::*;
use proptest::prelude::*;

/// Goal: an index is made, shown, used for reading and writing, kept up, and dropped.
#[test]
fn an_index_from_creation_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(1_000)).unwrap();
    let made = rows(&store, "CREATE INDEX by_n ON cars (n)");
    assert!(made[0].contains(r#""index":"by_n""#), "{made:?}");
    ready(&store, "by_n");
    assert_eq!(
        rows(&store, "SHOW INDEXES"),
        [
            r#"{"collection":"cars","documents":1000,"entries":1000,"fields":["n"],"index":"by_n","state":"ready"}"#
        ]
    );
    let found = plan(&store, "SELECT * FROM cars WHERE n >= 10 AND n < 12");
    assert_eq!(
        (told(&found, "plan"), told(&found, "index")),
        ("index", "by_n"),
        "{found}"
    );
    assert_eq!(told(&found, "range"), "n >= 10 AND n < 12");
    assert_eq!(found.get("estimated_rows"), Some(&Value::Int(2)));
    assert_eq!(
        rows(&store, "SELECT n FROM cars WHERE n >= 10 AND n < 12"),
        [r#"{"n":10}"#, r#"{"n":11}"#]
    );
    for statement in [
        "UPDATE cars SET n = 2000 WHERE n = 11",
        "DELETE FROM cars WHERE n IN (2000, 12)",
    ] {
        assert_eq!(
            told(&plan(&store, statement), "plan"),
            "index",
            "{statement}"
        );
        store.execute(statement, &Params::new()).unwrap();
    }
    assert_eq!(
        rows(&store, "SELECT n FROM cars WHERE n BETWEEN 10 AND 13"),
        [r#"{"n":10}"#, r#"{"n":13}"#]
    );
    assert_eq!(rows(&store, "SELECT n FROM cars WHERE n > 1500"), [""; 0]);
    let analyzed = rows(
        &store,
        "EXPLAIN ANALYZE SELECT _id FROM cars ORDER BY n DESC LIMIT 2",
    );
    assert!(
        analyzed[0].contains(r#""order":"index""#) && analyzed[0].contains(r#""rows":2"#),
        "{analyzed:?}"
    );
    assert_eq!(
        rows(&store, "DROP INDEX by_n ON cars"),
        [r#"{"dropped":"by_n"}"#]
    );
    assert_eq!(rows(&store, "SHOW INDEXES FROM cars"), [""; 0]);
    assert_eq!(
        told(&plan(&store, "SELECT * FROM cars WHERE n = 10"), "plan"),
        "scan"
    );
}

/// Goal: mistakes are told with what there is, and change nothing.
#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":1}"#);
    rows(&store, "CREATE INDEX i ON cars (n)");
    for (statement, part) in [
        ("CREATE INDEX i ON cars (m)", "has an index \"i\" already"),
        ("DROP INDEX j ON cars", "no index \"j\"; it has: i"),
        ("DROP INDEX i ON caars", "no collection \"caars\""),
        ("SHOW INDEXES FROM caars", "no collection \"caars\""),
        ("EXPLAIN SELECT * FROM caars", "no collection \"caars\""),
    ] {
        assert!(refused(&store, statement).contains(part), "{statement}");
    }
    let again = store
        .execute("CREATE INDEX IF NOT EXISTS i ON cars (m)", &Params::new())
        .unwrap();
    assert!(
        again.warnings[0].contains("other fields"),
        "{:?}",
        again.warnings
    );
    assert_eq!(rows(&store, "DROP INDEX IF EXISTS j ON cars"), [""; 0]);
    let early = store
        .execute("CREATE INDEX i ON trucks (n)", &Params::new())
        .unwrap();
    assert!(
        early.warnings[0].contains("was not there"),
        "{:?}",
        early.warnings
    );
    assert_eq!(
        rows(&store, "SHOW COLLECTIONS"),
        [
            r#"{"collection":"cars","documents":1}"#,
            r#"{"collection":"trucks","documents":0}"#
        ]
    );
    for number in 0..15 {
        rows(&store, &format!("CREATE INDEX i{number} ON cars (n)"));
    }
    assert!(refused(&store, "CREATE INDEX more ON cars (n)").contains("drop one"));
}

/// Goal: an index that was being built, and the removal of a dropped one, go on after reopening; a name can be used
/// again at once, and nothing of the old index is found.
#[test]
fn building_and_dropping_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for part in many(6_000).chunks(2_000) {
        store.import("cars", part).unwrap();
    }
    rows(&store, "CREATE INDEX i ON cars (n)");
    rows(&store, "CREATE INDEX j ON cars (n DESC)");
    drop(store);
    let store = open(folder.path(), 1);
    rows(&store, "DELETE FROM cars WHERE n = 5999");
    ready(&store, "j");
    rows(&store, "DROP INDEX i ON cars");
    rows(&store, "CREATE INDEX i ON cars (m, n)");
    drop(store);
    let store = open(folder.path(), 1);
    ready(&store, "i");
    let shown = rows(&store, "SHOW INDEXES FROM cars");
    assert!(
        shown.iter().all(|row| row.contains(r#""entries":5999"#)),
        "{shown:?}"
    );
    assert_eq!(
        told(&plan(&store, "SELECT * FROM cars WHERE n = 7"), "index"),
        "j"
    );
    assert_eq!(
        rows(&store, "SELECT n FROM cars ORDER BY n DESC LIMIT 1"),
        [r#"{"n":5998}"#]
    );
    assert_eq!(
        told(
            &plan(&store, "SELECT * FROM cars WHERE m IS MISSING AND n = 7"),
            "index"
        ),
        "i"
    );
}

/// Goal: what arrives from another store is indexed as what is written here is, deletions too.
#[test]
fn replicated_documents_are_indexed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (open(one.path(), 1), open(two.path(), 2));
    rows(&there, "CREATE INDEX i ON cars (n)");
    ready(&there, "i");
    here.import("cars", &many(300)).unwrap();
    replicate(&here, &there);
    rows(&here, "DELETE FROM cars WHERE n < 10");
    rows(&here, "UPDATE cars SET n = -1 WHERE n = 10");
    replicate(&here, &there);
    assert_eq!(
        told(&plan(&there, "SELECT * FROM cars WHERE n < 12"), "plan"),
        "index"
    );
    assert_eq!(
        rows(&there, "SELECT n FROM cars WHERE n < 12"),
        [r#"{"n":-1}"#, r#"{"n":11}"#]
    );
}

/// Goal: values that an index cuts are found, and sorted by themselves, not by their cut keys.
#[test]
fn long_values_are_found_and_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    rows(&store, "CREATE INDEX i ON cars (s)");
    let long = "x".repeat(400);
    for (id, end) in [("a", "2"), ("b", "1"), ("c", ""), ("d", "3")] {
        insert(&store, &format!(r#"{{"_id":"{id}","s":"{long}{end}"}}"#));
    }
    insert(&store, r#"{"_id":"e","s":"short"}"#);
    ready(&store, "i");
    let ids = |clauses: &str| {
        let rows = rows(&store, &format!("SELECT _id FROM cars {clauses}"));
        rows.iter()
            .map(|row| row[8..9].to_owned())
            .collect::<String>()
    };
    assert_eq!(ids(&format!("WHERE s = '{long}1'")), "b");
    assert_eq!(
        ids(&format!("WHERE s > '{long}1' AND s <= '{long}3'")),
        "ad"
    );
    assert_eq!(ids(&format!("WHERE s < '{long}1'")), "ce");
    assert_eq!(ids(&format!("WHERE s LIKE '{long}_'")), "abd");
    assert_eq!(ids("ORDER BY s"), "ecbad");
    assert_eq!(ids("ORDER BY s LIMIT 2"), "ec");
    assert_eq!(
        told(
            &plan(&store, "SELECT * FROM cars WHERE s = 'short'"),
            "plan"
        ),
        "index"
    );
    assert_eq!(
        told(&plan(&store, "SELECT * FROM cars ORDER BY s"), "order"),
        "sort"
    );
    rows(&store, "DELETE FROM cars WHERE s LIKE 'xx%'");
    insert(&store, r#"{"_id":"f","s":"a"}"#);
    assert_eq!(
        told(&plan(&store, "SELECT * FROM cars ORDER BY s"), "order"),
        "index"
    );
    assert_eq!(ids("ORDER BY s"), "fe");
}

/// Goal: an entry that can't be read is told, whichever way the index is walked; without the index all is found again.
#[test]
fn a_damaged_entry_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(3)).unwrap();
    rows(&store, "CREATE INDEX i ON cars (n)");
    ready(&store, "i");
    drop(store);
    overwrite(folder.path(), "entries", "\"00001\"", b"x");
    let store = open(folder.path(), 1);
    for clauses in ["WHERE n >= 0", "ORDER BY n", "ORDER BY n DESC"] {
        let refused = refused(&store, &format!("SELECT * FROM cars {clauses}"));
        assert!(refused.contains("damaged"), "{clauses}: {refused}");
    }
    rows(&store, "DROP INDEX i ON cars");
    assert_eq!(rows(&store, "SELECT * FROM cars WHERE n >= 0").len(), 3);
}

/// Goal: while one thread builds indexes and another writes, readers get what is there, and in the end each index leads
/// to exactly the documents.
#[test]
fn building_goes_on_beside_writers_and_readers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(4_000)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200 {
                let id = (number * 19) % 4_000;
                let statement = match number % 3 {
                    0 => format!("DELETE FROM cars WHERE _id = '{id:05}'"),
                    1 => format!("UPDATE cars SET n = n + 10000 WHERE _id = '{id:05}'"),
                    _ => format!("INSERT INTO cars DOCUMENTS ({{'_id': 'new{id:05}', 'n': {id}}})"),
                };
                store.execute(&statement, &Params::new()).unwrap();
            }
        });
        rows(&store, "CREATE INDEX i ON cars (n)");
        while !rows(&store, "SHOW INDEXES")[0].contains("ready") {
            assert_eq!(
                rows(&store, "SELECT n FROM cars WHERE n = 3999"),
                [r#"{"n":3999}"#]
            );
        }
    });
    ready(&store, "i");
    let all = rows(
        &store,
        "SELECT _id, n FROM cars WHERE n IN (0, 38, 1919, 2000) OR n > 3990",
    );
    assert_eq!(
        told(&plan(&store, "SELECT * FROM cars WHERE n > 3990"), "plan"),
        "index"
    );
    rows(&store, "DROP INDEX i ON cars");
    assert_eq!(
        rows(
            &store,
            "SELECT _id, n FROM cars WHERE n IN (0, 38, 1919, 2000) OR n > 3990"
        ),
        all
    );
}

const FIELDS: [&str; 4] = ["a", "b", "c.d", "\"e f\""];

/// Values that meet often, of all types, with neighbours that are easily confused.
fn value() -> impl Strategy<Value = String> {
    let few = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "1.0",
        "1.5",
        "-1",
        "2",
        "9007199254740993",
        "9007199254740992.0",
        "\"\"",
        "\"a\"",
        "\"ab\"",
        "\"b%\"",
        "\"a\\u0000\"",
        "{\"$counter\":1}",
        "{\"$text\":\"ab\"}",
        "{\"$timestamp\":1}",
        "{\"$timestamp\":-1}",
        "{\"$bytes\":\"AAE=\"}",
        "[]",
        "[1]",
        "{\"d\":1}",
        "{\"d\":null}",
    ];
    prop::sample::select(few.to_vec()).prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = (u8, String)> {
    let field = |name: &'static str| (Just(name), prop::option::of(value()));
    (0_u8..40, (field("a"), field("b"), field("c"), field("e f"))).prop_map(|(id, (a, b, c, e))| {
        let members = [a, b, c, e]
            .into_iter()
            .filter_map(|(name, value)| Some(format!(",\"{name}\":{}", value?)));
        (
            id,
            format!("{{\"_id\":\"{id:02}\"{}}}", members.collect::<String>()),
        )
    })
}

fn literal() -> impl Strategy<Value = String> {
    let few = [
        "NULL",
        "TRUE",
        "FALSE",
        "0",
        "1",
        "1.0",
        "1.5",
        "2",
        "9007199254740993",
        "9007199254740992.0",
        "''",
        "'a'",
        "'ab'",
        "'b%'",
        "[1]",
        "{'d': 1}",
        "{'$timestamp': 1}",
        "{'$bytes': 'AAE='}",
        "{'$text': 'ab'}",
        "{'$counter': 1}",
    ];
    prop::sample::select(few.to_vec()).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = String> {
    let field = || prop::sample::select(FIELDS.to_vec());
    let compared = prop::sample::select(vec!["=", "<", "<=", ">", ">=", "<>"]);
    let pattern = prop::sample::select(vec![
        "'a%'",
        "'%'",
        "'a'",
        "'_'",
        "'b!%%' ESCAPE '!'",
        "'a%b'",
    ]);
    let one = prop_oneof![
        6 => (field(), compared, literal()).prop_map(|(field, sign, value)| format!("{field} {sign} {value}")),
        1 => (literal(), field()).prop_map(|(value, field)| format!("{value} <= {field}")),
        2 => (field(), prop::collection::vec(literal(), 1..4)).prop_map(|(field, values)| format!("{field} IN ({})", values.join(", "))),
        1 => (field(), literal(), literal()).prop_map(|(field, low, high)| format!("{field} BETWEEN {low} AND {high}")),
        1 => (field(), pattern).prop_map(|(field, pattern)| format!("{field} LIKE {pattern}")),
        1 => (field(), prop::sample::select(vec!["IS NULL", "IS MISSING", "IS NOT NULL", "IS NOT MISSING"])).prop_map(|(field, what)| format!("{field} {what}")),
        1 => field().prop_map(str::to_owned),
        1 => field().prop_map(|field| format!("NOT {field}")),
    ];
    let either = prop::collection::vec(one, 1..3).prop_map(|parts| match parts.as_slice() {
        [part] => part.clone(),
        parts => format!("({})", parts.join(" OR ")),
    });
    prop::collection::vec(either, 0..4).prop_map(|parts| match parts.is_empty() {
        true => String::new(),
        false => format!("WHERE {}", parts.join(" AND ")),
    })
}

fn sorted() -> impl Strategy<Value = String> {
    let field = prop::sample::select(FIELDS.to_vec());
    let key = (field, prop::sample::select(vec!["", " DESC"]))
        .prop_map(|(field, way)| format!("{field}{way}"));
    let limit = prop::sample::select(vec!["", "LIMIT 1", "LIMIT 3 OFFSET 2", "LIMIT 1000"]);
    (prop::collection::vec(key, 0..3), limit).prop_map(|(keys, limit)| match keys.is_empty() {
        true => limit.to_owned(),
        false => format!("ORDER BY {} {limit}", keys.join(", ")),
    })
}

fn index() -> impl Strategy<Value = String> {
    let way = || prop::sample::select(vec!["", " DESC"]);
    (
        Just(FIELDS.to_vec()).prop_shuffle(),
        1_usize..4,
        prop::collection::vec(way(), 4),
    )
        .prop_map(|(fields, count, ways)| {
            let fields = fields.iter().zip(ways).take(count);
            fields
                .map(|(field, way)| format!("{field}{way}"))
                .collect::<Vec<_>>()
                .join(", ")
        })
}

fn cases() -> ProptestConfig {
    let long = std::env::var("SEDGE_FULL").is_ok_and(|group| group == "store");
    ProptestConfig::with_cases(if long { 1_000 } else { 24 })
}

proptest! {
    #![proptest_config(cases())]

    /// Goal: with any indexes, whenever they are made, every statement gives the rows of a store without any, in the
    /// same order, also after documents have changed through them.
    #[test]
    fn answers_are_those_of_a_scan(
        before in prop::collection::vec(document(), 1..50),
        after in prop::collection::vec(document(), 0..20),
        indexes in prop::collection::vec(index(), 1..5),
        writes in prop::collection::vec((condition(), prop::option::of((prop::sample::select(FIELDS.to_vec()), literal()))), 0..3),
        queries in prop::collection::vec((condition(), sorted()), 1..24),
    ) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (plain, indexed) = (open(one.path(), 1), open(two.path(), 1));
        let parsed = |documents: &[(u8, String)]| documents.iter().map(|(_, json)| parse_json(json).unwrap()).collect::<Vec<_>>();
        for store in [&plain, &indexed] {
            store.import("cars", &parsed(&before)).unwrap();
        }
        for (number, fields) in indexes.iter().enumerate() {
            rows(&indexed, &format!("CREATE INDEX i{number} ON cars ({fields})"));
        }
        for store in [&plain, &indexed] {
            store.import("cars", &parsed(&after)).unwrap();
        }
        let same = |when: &str| {
            for (filter, sorted) in &queries {
                for columns in ["*", "COUNT(*) AS n, SUM(a) AS s", "DISTINCT b"] {
                    let sorted = if columns == "*" { sorted.as_str() } else { "" };
                    let statement = format!("SELECT {columns} FROM cars {filter} {sorted}");
                    let found = plan(&indexed, &statement);
                    prop_assert_eq!(rows(&plain, &statement), rows(&indexed, &statement), "{} {}: {}", when, statement, found);
                }
            }
            Ok(())
        };
        same("while indexes are built")?;
        for number in 0..indexes.len() {
            ready(&indexed, &format!("i{number}"));
        }
        same("with indexes")?;
        for (filter, change) in &writes {
            let statement = match change {
                Some((field, value)) => format!("UPDATE cars SET {field} = {value} {filter}"),
                None => format!("DELETE FROM cars {filter}"),
            };
            let change = |store: &Store| {
                let outcome = store.execute(&statement, &Params::new());
                outcome.map(|outcome| outcome.mutated).map_err(|error| error.to_string())
            };
            prop_assert_eq!(change(&plain), change(&indexed), "{}", statement);
        }
        same("after changes")?;
        for shown in rows(&indexed, "SHOW INDEXES") {
            let shown = parse_json(&shown).unwrap();
            prop_assert_eq!(shown.get("entries"), shown.get("documents"));
        }
    }
}

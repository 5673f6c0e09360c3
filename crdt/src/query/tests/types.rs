//! Values that JSON has no types for: literals, what expressions make of them, APPLY, CONFLICTS.

use super::{Statement, Work, json, params, rows, value};
use crate::query::Action;
use crate::value::Conflict;

const DOCUMENT: &str = r#"{
    "_id": "x", "n": {"$counter": 5}, "t": {"$text": "Grün"}, "b": {"$bytes": "AAEC"},
    "at": {"$timestamp": "2026-11-23T12:00:00Z"}, "m": {"n": {"$counter": 1}}, "odd": {"$map": {"$text": 1}}
}"#;

/// Goal: a counter is an int and a text a string wherever something is done with them, and in answers; the other types
/// keep their form.
#[test]
fn expressions_see_numbers_and_strings() {
    for (expr, expected) in [
        ("n", "5"),
        ("t", r#""Grün""#),
        ("m", r#"{"n":1}"#),
        ("[n, t]", r#"[5,"Grün"]"#),
        ("b", r#"{"$bytes":"AAEC"}"#),
        ("at", r#"{"$timestamp":"2026-11-23T12:00:00.000Z"}"#),
        ("odd", r#"{"$map":{"$text":1}}"#),
        ("n + 1", "6"),
        ("-n", "-5"),
        ("abs(n) = 5", "true"),
        ("n BETWEEN 4 AND 5.5", "true"),
        ("n IN (4, 5)", "true"),
        ("t || n", r#""Grün5""#),
        ("t LIKE 'Gr%'", "true"),
        ("length(t) + length(b)", "7"),
        ("upper(t)", r#""GRÜN""#),
        ("coalesce(n, 0)", "5"),
        ("m = {'n': 1}", "true"),
        ("at > {'$timestamp': '2026-11-23T12:59:59+01:00'}", "true"),
        ("at = {'$timestamp': '2026-11-23T12:00:00Z'}", "true"),
        ("at > '2026'", "null"),
        ("at + 1", "null"),
        ("b = {'$bytes': 'AAEC'}", "true"),
        ("b < {'$bytes': 'AAED'}", "true"),
        ("b = 'AAEC'", "false"),
        ("{'$counter': n + 1}", "6"),
        ("{'$map': {'$counter': 1}}", r#"{"$map":{"$counter":1}}"#),
        (
            "{'$map': {'$map': {'$counter': 1}}} = {'$map': {'$map': {'$counter': 1}}}",
            "true",
        ),
        (
            "{'$map': {'$map': {'$counter': 1}}}",
            r#"{"$map":{"$map":1}}"#,
        ),
        (
            "{'$map': {'$map': {'$map': {'$text': 'q'}}}, 'b': {'$map': {'$text': n}}}",
            r#"{"$map":{"$map":{"$map":"q"}},"b":{"$map":{"$text":5}}}"#,
        ),
        (
            "{'$map': {'$map': {'$text': t}, 'a': 1}}",
            r#"{"$map":"Grün","a":1}"#,
        ),
        ("{'$unknown': 1}", r#"{"$unknown":1}"#),
        ("{'$counter': 1, 'a': 2}", r#"{"$counter":1,"a":2}"#),
        ("conflicts(n)", "[5]"),
    ] {
        let found = value(expr, DOCUMENT).map(|found| found.unwrap().to_string());
        assert_eq!(found, Ok(expected.to_owned()), "{expr}");
    }
    assert_eq!(value("conflicts(absent)", DOCUMENT), Ok(None));
}

#[test]
fn aggregates_count_counters() {
    let documents = r#"[{"n":{"$counter":2}},{"n":3},{"n":{"$counter":3}}]"#;
    let found = rows(
        "SELECT SUM(n) AS s, MAX(n) AS m, COUNT(DISTINCT n) AS d FROM c",
        documents,
    );
    assert_eq!(found.unwrap(), r#"[{"d":2,"m":3,"s":8}]"#);
    let grouped = rows("SELECT n, COUNT(*) AS c FROM c GROUP BY n", documents);
    assert_eq!(grouped.unwrap(), r#"[{"c":1,"n":2},{"c":2,"n":3}]"#);
}

/// Goal: what SET and APPLY mean to do, with the types that go into the document.
#[test]
fn update_keeps_types_and_increments() {
    for (text, expected) in [
        (
            "UPDATE c SET a = {'$counter': 1 + 1}, copy = n",
            r#"Set(Counter(2)) Set(Counter(5))"#,
        ),
        ("UPDATE c SET t = upper(t)", r#"Set(String("GRÜN"))"#),
        ("UPDATE c SET t = {'$text': :s}", r#"Set(Text("new"))"#),
        (
            "UPDATE c APPLY n INCREMENT BY -2, m.n INCREMENT BY n SET x = :s UNSET t",
            r#"Increment(-2) Increment(5) Set(String("new")) Unset"#,
        ),
        (
            "UPDATE c SET x = :s, APPLY n INCREMENT BY 0",
            r#"Set(String("new"))"#,
        ),
    ] {
        let values = if text.contains(":s") {
            r#"{"s":"new"}"#
        } else {
            "{}"
        };
        let found: Vec<String> = edits(text, values)
            .unwrap()
            .iter()
            .map(|action| format!("{action:?}"))
            .collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }
}

fn edits(text: &str, values: &str) -> Result<Vec<Action>, String> {
    let bound = Statement::parse(text).and_then(|statement| statement.bind(&params(values)));
    let Ok(Statement::Update(update)) = bound else {
        return Err(bound.unwrap_err().to_string());
    };
    let edits = update.edits(&json(DOCUMENT), &Work::default());
    let edits = edits.map_err(|error| error.to_string())?;
    Ok(edits.into_iter().map(|edit| edit.action).collect())
}

#[test]
fn wrong_types_are_told_with_their_place() {
    for (text, expected) in [
        (
            "UPDATE c SET a = {'$bytes': 5}",
            "line 1, column 18: $bytes takes a string in base64, and this is of type int",
        ),
        (
            "UPDATE c SET a = {'$counter': t}",
            "line 1, column 18: $counter takes a whole number, and this is of type text",
        ),
        (
            "UPDATE c APPLY odd INCREMENT BY 1",
            "line 1, column 16: odd is of type map in a document, and only a counter can be incremented; make one with \
             SET odd = {'$counter': 0}",
        ),
        (
            "UPDATE c APPLY a.b INCREMENT BY 1",
            "line 1, column 16: a.b is missing in a document",
        ),
        (
            "UPDATE c APPLY n INCREMENT BY 1.5",
            "line 1, column 31: INCREMENT BY takes a whole number, and this is of type float",
        ),
        (
            "UPDATE c APPLY n INCREMENT BY 1099511627777",
            "line 1, column 31: one increment is at most 1099511627776",
        ),
        (
            "UPDATE c APPLY n BY 1",
            "line 1, column 18: expected INCREMENT",
        ),
        (
            "UPDATE c SET n = 1 APPLY n INCREMENT BY 1",
            "line 1, column 26: n is assigned more than once",
        ),
        (
            "UPDATE c SET a = conflicts(n + 1)",
            "line 1, column 18: CONFLICTS takes a field",
        ),
        (
            "UPDATE c SET a = conflicts(l[0])",
            "line 1, column 18: CONFLICTS takes a field",
        ),
        (
            "UPDATE c SET a = {'$timestamp': '2016-12-31T23:59:60Z'}",
            "line 1, column 18: \"2016-12-31T23:59:60Z\" names a leap second",
        ),
    ] {
        let error = edits(text, "{}").unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

/// Goal: the record of conflicts is read by CONFLICTS alone, decoded or not, and is no part of a row.
#[test]
fn conflicts_are_read_from_the_record() {
    let conflict = Conflict {
        path: vec!["m".into(), "n".into()],
        values: vec![json(r#"{"$counter":1}"#), "one".into()],
    };
    let document = json(DOCUMENT).with_conflicts(vec![conflict]);
    let work = Work::default();
    let row = |text| match Statement::parse(text) {
        Ok(Statement::Select(select)) => {
            let matches = select.filter().matches(&document, &work);
            let bytes = document.encode();
            let encoded = crate::value::Encoded::new(&bytes);
            assert_eq!(select.filter().matches_encoded(encoded, &work), matches);
            let rows = select.rows([document.clone()], &work).unwrap();
            rows.first().map(ToString::to_string)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        row("SELECT conflicts(m.n) AS c FROM c WHERE length(conflicts(m.n)) > 1"),
        Some(r#"{"c":[1,"one"]}"#.to_owned())
    );
    assert_eq!(row("SELECT n FROM c WHERE length(conflicts(n)) > 1"), None);
    let everything = row("SELECT * FROM c").unwrap();
    assert_eq!(everything, json(DOCUMENT).plain().to_string());
}

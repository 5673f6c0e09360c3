//! AS OF, HISTORY OF and REVERT, as far as their texts say.

use super::*;
use crate::query::{History, PastPoint, Point};
use proptest::prelude::*;

fn as_of(text: &str, values: &str) -> Result<Point, QueryError> {
    let Statement::Select(select) = bound(&format!("SELECT * FROM c {text}"), values)? else {
        panic!("{text}");
    };
    let past: &PastPoint = select.as_of().unwrap();
    past.point(select.filter())
}

fn history(text: &str) -> History {
    match bound(text, "{}") {
        Ok(Statement::History(history)) => history,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn points_are_times_and_changes() {
    let hash = "0a".repeat(32);
    for (text, values, point) in [
        ("AS OF '1970-01-01T00:00:01Z'", "{}", Point::Time(1_000)),
        (
            "as of '1970-01-02' WHERE a = 1",
            "{}",
            Point::Time(86_400_000),
        ),
        ("AS OF -5", "{}", Point::Time(-5)),
        ("AS OF :t - 1 LIMIT 1", r#"{"t":9}"#, Point::Time(8)),
        ("AS OF '-5 minutes'", "{}", Point::Ago(300_000)),
        ("AS OF '-1 day'", "{}", Point::Ago(86_400_000)),
        (
            "AS OF :heads WHERE _id = 'x' AND a",
            &format!(r#"{{"heads":["{hash}"]}}"#),
            Point::Changes(vec![[10; 32]]),
        ),
        (
            &format!("AS OF ['{}'] WHERE _id = :id", hash.to_uppercase()),
            r#"{"id":"x"}"#,
            Point::Changes(vec![[10; 32]]),
        ),
    ] {
        assert_eq!(as_of(text, values), Ok(point), "{text}");
    }
}

/// Goal: what is no point in the past is refused at its place, also when it comes as a parameter.
#[test]
fn other_points_are_refused() {
    for text in [
        "AS OF 'yesterday'",
        "AS OF '2026-11-23T12:00:00'",
        "AS OF '-5 fortnights'",
        "AS OF '-99999999999 days'",
        "AS OF 1.5",
        "AS OF []",
        "AS OF ['0a']",
        "AS OF NULL",
        "AS OF {}",
    ] {
        let error = as_of(text, "{}").unwrap_err().to_string();
        let expected = "line 1, column 23: expected a time such as '2026-11-23T12:00:00Z'";
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    assert!(as_of("AS OF :t", r#"{"t":true}"#).is_err());
    let leap = as_of("AS OF '2016-12-31T23:59:60Z'", "{}");
    let leap = leap.unwrap_err().to_string();
    assert!(
        leap.starts_with("line 1, column 23: \"2016-12-31T23:59:60Z\" names a leap second"),
        "{leap}"
    );
    let heads = format!("AS OF ['{}'] WHERE a = 1", "0a".repeat(32));
    let error = as_of(&heads, "{}").unwrap_err().to_string();
    assert_eq!(
        error,
        "line 1, column 23: changes belong to one document; say which one with WHERE _id = …, or name a time"
    );
}

#[test]
fn misspelt_clauses_of_the_past_are_told() {
    for (text, expected) in [
        (
            "SELECT * FROM c AS x",
            "line 1, column 20: expected OF, as in SELECT * FROM cars AS OF '-5 minutes' (a collection has no other \
             name), found `x`",
        ),
        (
            "SELECT * FROM c WHERE a AS OF 1",
            "line 1, column 25: AS stands twice or out of order; the order is AS OF, WHERE, GROUP BY, HAVING, ORDER BY, \
             LIMIT, OFFSET",
        ),
        (
            "SELECT * FROM c AS OF a",
            "line 1, column 23: a point in the past reads no field; strings are written 'text', parameters :name",
        ),
        (
            "HISTORY OF a FROM c",
            "line 1, column 12: an _id reads no field; strings are written 'text', parameters :name",
        ),
        (
            "HISTORY OF 'a' FROM c WHERE b",
            "line 1, column 23: expected ORDER BY time, LIMIT, OFFSET or the end of the statement, found `WHERE`",
        ),
        (
            "HISTORY OF 'a' FROM c ORDER BY seq",
            "line 1, column 32: expected time, by which changes are ordered, found `seq`",
        ),
        (
            "REVERT c WHERE a",
            "line 1, column 10: expected TO, as in REVERT cars TO '-5 minutes', found `WHERE`",
        ),
        (
            "REVERT c TO COUNT(*)",
            "line 1, column 13: the aggregate COUNT cannot stand in REVERT",
        ),
        (
            "REVRT c TO 1",
            "line 1, column 1: expected a statement, such as SELECT or INSERT, found `REVRT`; did you mean REVERT?",
        ),
    ] {
        let error = Statement::parse(text).unwrap_err().to_string();
        assert_eq!(error, expected, "{text}");
    }
}

/// Goal: LIMIT and OFFSET choose the rows before they are made, from either end.
#[test]
fn only_the_wanted_rows_of_a_history_are_made() {
    for (clauses, changes, expected) in [
        ("", 3, vec![0, 1, 2]),
        ("ORDER BY time ASC", 2, vec![0, 1]),
        ("ORDER BY TIME DESC", 3, vec![2, 1, 0]),
        ("ORDER BY time DESC LIMIT 2 OFFSET 1", 5, vec![3, 2]),
        ("LIMIT 9 OFFSET 2", 3, vec![2]),
        ("OFFSET 9", 3, vec![]),
        ("LIMIT 0", 3, vec![]),
    ] {
        let history = history(&format!("HISTORY OF {{'a': 1}} FROM c {clauses}"));
        let row = |number: usize| Ok::<_, QueryError>(Some(Value::Int(number as i64)));
        let page = history.page(changes, row).unwrap();
        let expected: Vec<Value> = expected.into_iter().map(Value::Int).collect();
        assert_eq!((page.rows, page.has_more), (expected, false), "{clauses}");
    }
    let all = history("HISTORY OF 'a' FROM c");
    let page = all.page(10_001, |_| Ok::<_, QueryError>(Some(Value::Null)));
    let page = page.unwrap();
    assert_eq!((page.rows.len(), page.has_more), (10_000, true));
    let large = |_| Ok::<_, QueryError>(Some(Value::String("x".repeat(1 << 20))));
    let error = all.page(100, large).unwrap_err().to_string();
    assert!(error.contains("64 MiB"), "{error}");
}

proptest! {
    /// Goal: whatever the point, it is read or refused.
    #[test]
    fn arbitrary_points_never_panic(text in "-?[0-9]{0,20}[ -]?[a-zT:0-9]{0,20}", number in any::<i64>()) {
        let text = text.replace('\'', "");
        drop(as_of(&format!("AS OF '{text}'"), "{}"));
        prop_assert_eq!(as_of("AS OF :t", &format!("{{\"t\":{number}}}")), Ok(Point::Time(number)));
    }
}

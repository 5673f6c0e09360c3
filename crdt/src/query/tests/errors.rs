//! Misspelt, unfinished and foreign statements: each is an error at its place that says what to do.

use super::{Statement, Work, select};
use crate::value::Value;
use proptest::prelude::*;

#[test]
fn errors_name_place_and_remedy() {
    for (text, expected) in [
        (
            "",
            "line 1, column 1: expected a statement, such as SELECT or INSERT, found the end of the statement",
        ),
        (
            "SELCT * FROM c",
            "line 1, column 1: expected a statement, such as SELECT or INSERT, found `SELCT`; did you mean SELECT?",
        ),
        (
            "SELECT * FORM c",
            "line 1, column 10: expected `,` or FROM (a column is renamed with AS), found `FORM`; did you mean FROM?",
        ),
        (
            "SELECT a b FROM c",
            "line 1, column 10: expected `,` or FROM (a column is renamed with AS), found `b`",
        ),
        (
            "SELECT *\n  FROM c WHER a = 1",
            "line 2, column 10: expected a clause or the end of the statement, found `WHER`; did you mean WHERE?",
        ),
        (
            "SELECT * FROM c ODER BY a",
            "line 1, column 17: expected a clause or the end of the statement, found `ODER`; did you mean ORDER?",
        ),
        (
            "SELECT * FROM c ORDER a",
            "line 1, column 23: expected BY after ORDER, found `a`",
        ),
        (
            "SELECT * FROM c WHERE a = 1 ADN b = 2",
            "line 1, column 29: expected a clause or the end of the statement, found `ADN`; did you mean AND?",
        ),
        (
            "SELECT * FROM c LIMIT 5 WHERE a = 1",
            "line 1, column 25: WHERE stands twice or out of order; the order is AS OF, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET",
        ),
        (
            "SELECT * FROM c LIMIT -1",
            "line 1, column 23: expected a whole number from 0 or a :parameter after LIMIT, found `-`",
        ),
        (
            "SELECT * FROM c LIMIT 2.5",
            "line 1, column 23: LIMIT and OFFSET take a whole number from 0, not 2.5",
        ),
        (
            "SELECT * FROM c JOIN d",
            "line 1, column 17: JOIN is not supported in SELECT",
        ),
        (
            "SELECT * FROM c; SELECT * FROM d",
            "line 1, column 18: a second statement begins here; send one statement at a time",
        ),
        (
            "UPSERT INTO c",
            "line 1, column 1: UPSERT is not supported; statements are SELECT, INSERT, UPDATE, DELETE, EVICT, HISTORY, REVERT, CREATE INDEX, DROP INDEX, SHOW and EXPLAIN",
        ),
        (
            "SELECT FOO(a) FROM c",
            "line 1, column 8: unknown function FOO",
        ),
        (
            "SELECT lenght(a) FROM c",
            "line 1, column 8: unknown function lenght; did you mean LENGTH?",
        ),
        (
            "SELECT cuont(*) FROM c",
            "line 1, column 8: unknown function cuont; did you mean COUNT?",
        ),
        (
            "SELECT lower(a, b) FROM c",
            "line 1, column 8: LOWER takes 1 argument, not 2",
        ),
        (
            "SELECT substr(a) FROM c",
            "line 1, column 8: SUBSTR takes 2 or 3 arguments, not 1",
        ),
        (
            "SELECT coalesce() FROM c",
            "line 1, column 8: COALESCE takes at least 1 argument, not 0",
        ),
        (
            "SELECT SUM(a, b) FROM c",
            "line 1, column 8: SUM takes 1 argument",
        ),
        (
            "SELECT SUM(*) FROM c",
            "line 1, column 12: `*` stands alone after SELECT or in COUNT(*)",
        ),
        (
            "SELECT SUM(MAX(a)) FROM c",
            "line 1, column 12: the aggregate MAX cannot stand inside another aggregate",
        ),
        (
            "SELECT * FROM c WHERE COUNT(*) > 1",
            "line 1, column 23: the aggregate COUNT cannot stand in WHERE; conditions on groups stand in HAVING",
        ),
        (
            "SELECT a, COUNT(*) FROM c",
            "line 1, column 8: this field differs between the documents of a group; add it to GROUP BY or put it into an aggregate",
        ),
        (
            "SELECT * FROM c GROUP BY a",
            "SELECT * has no meaning for groups; list the GROUP BY expressions and aggregates instead",
        ),
        (
            "SELECT a, a FROM c",
            "line 1, column 11: two columns are named a; give one of them another name with AS",
        ),
        (
            "SELECT *, a FROM c",
            "line 1, column 9: `*` is the whole document and stands alone; list the fields instead",
        ),
        (
            "SELECT DISTINCT a FROM c ORDER BY b",
            "line 1, column 26: SELECT DISTINCT is ordered by its columns only; select what you order by and name it with AS",
        ),
        (
            "SELECT a FROM c ORDER BY 1",
            "line 1, column 26: ORDER BY a constant orders nothing; name a field or a column",
        ),
        (
            "SELECT a, FROM c",
            "line 1, column 11: expected an expression, found the keyword FROM; a name like that is written \"FROM\"",
        ),
        (
            "SELECT order FROM c",
            "line 1, column 8: expected an expression, found the keyword ORDER; a name like that is written \"order\"",
        ),
        (
            "SELECT tags.0 FROM c",
            "line 1, column 12: an item of a list is written [0]",
        ),
        (
            "SELECT tags[-1] FROM c",
            "line 1, column 13: expected a list's index from 0, or a field's name in single quotes, found `-`",
        ),
        (
            "SELECT (a FROM c",
            "line 1, column 11: expected `)`, found `FROM`",
        ),
        (
            "SELECT (SELECT a FROM d) FROM c",
            "line 1, column 9: subqueries are not supported; run the inner query first and pass its result as a :parameter",
        ),
        (
            "SELECT 9223372036854775808 FROM c",
            "line 1, column 8: the integer 9223372036854775808 does not fit 64 bits; write it as a string or as a float",
        ),
        (
            "SELECT 1e999 FROM c",
            "line 1, column 8: the number 1e999 does not fit a float",
        ),
        (
            "SELECT : a FROM c",
            "line 1, column 8: a parameter is written :name, beginning with a letter",
        ),
        (
            "SELECT {'a': 1, 'a': 2} AS m FROM c",
            "line 1, column 17: the member a is given twice",
        ),
        (
            "SELECT * FROM c WHERE a = b = c",
            "line 1, column 29: comparisons do not chain; write a < b AND b < c, or use parentheses",
        ),
        (
            "SELECT * FROM c WHERE 5",
            "line 1, column 23: a condition is true or false, and this is of type int; compare it with something",
        ),
        (
            "SELECT * FROM c WHERE a = 1 OR 'x'",
            "line 1, column 32: a condition is true or false, and this is of type string; compare it with something",
        ),
        (
            "SELECT * FROM c WHERE a IS 5",
            "line 1, column 28: expected NULL or MISSING after IS, found `5`",
        ),
        (
            "SELECT * FROM c WHERE a NOT 5",
            "line 1, column 29: expected IN, BETWEEN or LIKE after NOT, found `5`",
        ),
        (
            "SELECT * FROM c WHERE a && b",
            "line 1, column 25: `&&` is not part of the query language; conjunction is written AND",
        ),
        (
            "SELECT * FROM c WHERE a = 'x",
            "line 1, column 27: this string has no closing '; a quote inside a string is written ''",
        ),
        (
            "SELECT * FROM a.b",
            "line 1, column 16: a collection's name with a dot is written in quotes, \"like.this\"",
        ),
        (
            "SELECT * FROM \"\"",
            "line 1, column 15: a collection's name has 1 to 128 bytes, this one has 0",
        ),
        (
            "INSERT c DOCUMENTS (:d)",
            "line 1, column 8: expected INTO, found `c`",
        ),
        (
            "INSERT INTO c VALUES (:d)",
            "line 1, column 15: expected DOCUMENTS, as in INSERT INTO cars DOCUMENTS (:car), found `VALUES`",
        ),
        (
            "INSERT INTO c DOCUMENTS (:d) ON ID CONFLICT DO MERG",
            "line 1, column 48: expected FAIL, NOTHING, UPDATE or MERGE after DO, found `MERG`; did you mean MERGE?",
        ),
        (
            "INSERT INTO system:x DOCUMENTS (:d)",
            "line 1, column 13: the collection system:x describes this peer and is read-only",
        ),
        (
            "UPDATE c a = 1",
            "line 1, column 10: expected SET, UNSET or APPLY, found `a`",
        ),
        (
            "UPDATE c SET _id = 1",
            "line 1, column 14: _id never changes; insert a document with the new _id and delete this one",
        ),
        (
            "UPDATE c UNSET _id.x",
            "line 1, column 16: _id never changes; insert a document with the new _id and delete this one",
        ),
        (
            "UPDATE c SET a[0] = 1",
            "line 1, column 14: an item of a list cannot be set alone; set the whole list",
        ),
        (
            "UPDATE c SET a = 1, a.b = 2",
            "line 1, column 21: a is assigned more than once; keep one of the assignments",
        ),
        (
            "UPDATE c SET a 1",
            "line 1, column 16: expected `=` after the field to set, found `1`",
        ),
        (
            "UPDATE c SET a = 1 WHRE b = 1",
            "line 1, column 20: expected `,`, WHERE or the end of the statement, found `WHRE`; did you mean WHERE?",
        ),
        ("DELETE c", "line 1, column 8: expected FROM, found `c`"),
        (
            "DELETE FROM c OFFSET 1",
            "line 1, column 15: expected WHERE, LIMIT, RETURNING or the end of the statement, found `OFFSET`",
        ),
    ] {
        match Statement::parse(text) {
            Ok(statement) => panic!("{text}: {statement:?}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
        }
    }
}

/// Goal: no text within the size limit overflows the stack or takes long, however it nests.
#[test]
fn nesting_is_bounded() {
    for part in [
        "(",
        "NOT ",
        "- ",
        "[",
        "{a:",
        "f(",
        "lower(",
        "CASE ",
        "CASE WHEN ",
        "a IN (",
        "1+",
        "a||",
        "a.",
        "position(",
        "COUNT(",
    ] {
        let room = 65_000 / part.len();
        for count in [127, 128, 129, room] {
            let text = format!("SELECT {} FROM c", part.repeat(count));
            assert!(Statement::parse(&text).is_err(), "{part} × {count}");
        }
    }
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("lower(", "a", ")"),
        ("", "1", " + 1"),
        ("NOT ", "a", ""),
    ] {
        let deep = |count: usize| {
            format!(
                "SELECT {}{inner}{} AS x FROM c",
                open.repeat(count),
                close.repeat(count)
            )
        };
        assert!(Statement::parse(&deep(120)).is_ok(), "{open}{close}");
        let error = Statement::parse(&deep(130)).unwrap_err();
        assert!(error.message.contains("deeper than 128"), "{error}");
    }
    // Chains of conditions are flat, so they may be long.
    let chain = format!("SELECT * FROM c WHERE a = 0{}", " OR a = 1".repeat(7_000));
    assert!(Statement::parse(&chain).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Goal: no text makes the parser panic.
    #[test]
    fn any_text_parses_or_fails(text in "\\PC{0,60}") {
        drop(Statement::parse(&text));
    }

    /// Goal: no sequence of the language's own words makes the parser, binding or evaluation panic.
    #[test]
    fn any_soup_of_words_parses_or_fails(
        start in prop::sample::select(vec!["SELECT", "SELECT a FROM c WHERE", "SELECT * FROM c", "UPDATE c SET", "INSERT INTO c DOCUMENTS", "DELETE FROM c WHERE", "EVICT FROM c WHERE", "HISTORY OF", "REVERT c TO", "SELECT * FROM c AS OF"]),
        words in prop::collection::vec(prop::sample::select(vec![
            "SELECT", "DISTINCT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET", "AND", "OR", "NOT", "IS",
            "NULL", "MISSING", "IN", "BETWEEN", "LIKE", "ESCAPE", "CASE", "WHEN", "THEN", "ELSE", "END", "AS", "SET", "UNSET",
            "ON ID CONFLICT DO", "RETURNING", "AS OF", "TO", "time", "'-1 day'", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "=", "<>", "<", "+", "-", "*", "/", "%", "||",
            "a", "_id", "._x", "\"q\"", "'s'", "'%'", "0", "1.5", "9223372036854775807", ":p", "count(", "lower(", "round(",
            "substr(", "\n", "--", "/*", "*/", "ü",
        ]), 0..14),
    ) {
        let text = format!("{start} {}", words.join(" "));
        let Ok(statement) = Statement::parse(&text) else { return Ok(()) };
        let document = super::json(r#"{"_id":"x","a":[9223372036854775807]}"#);
        match statement.bind(&super::params("{}")) {
            Ok(Statement::Select(select)) => drop(select.rows([document], &Work::default())),
            Ok(Statement::Update(update)) => drop(update.edits(&document, &Work::default())),
            Ok(Statement::Insert(mut insert)) => drop(insert.take_documents(&Work::default())),
            Ok(Statement::Delete(delete) | Statement::Evict(delete)) => {
                drop(delete.filter().matches(&document, &Work::default()));
                delete.returning().map(|returning| returning.row(&document, &Work::default()));
            }
            Ok(Statement::History(history)) => drop(history.document_id()),
            Ok(Statement::Revert(revert)) => drop(revert.past().point(revert.filter())),
            Ok(Statement::Schema(_) | Statement::Explain(_)) | Err(_) => {}
        }
    }
}

/// Goal: what a statement builds of one document is bounded while it is built, wherever that is; and what it built of
/// another one doesn't count.
#[test]
fn what_a_statement_builds_is_bounded() {
    let document = Value::Map([("t".to_owned(), "x".repeat(4 << 20).into())].into());
    let many = |each: &str, between: &str| vec![each; 300].join(between);
    for text in [
        format!("SELECT LENGTH([{}]) AS n FROM c", many("t", ",")),
        format!("SELECT * FROM c WHERE [{}] IS NULL", many("[t]", ",")),
        format!("SELECT LENGTH({}) AS n FROM c", vec!["t"; 60].join("||")),
        format!("SELECT COUNT([{}]) AS n FROM c", many("LOWER(t)", ",")),
        format!(
            "SELECT {} FROM c",
            (0..300)
                .map(|n| format!("t AS t{n}"))
                .collect::<Vec<_>>()
                .join(",")
        ),
    ] {
        let answered = select(&text).rows([document.clone()], &Work::default());
        assert!(answered.unwrap_err().message.contains("64 MiB"), "{text}");
    }
    let text = format!(
        "UPDATE c SET {}",
        (0..300)
            .map(|n| format!("t{n} = t"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let Ok(Statement::Update(update)) = Statement::parse(&text) else {
        panic!("{text}");
    };
    let edits = update.edits(&document, &Work::default());
    assert!(edits.unwrap_err().message.contains("64 MiB"));
    let lengths = select("SELECT LENGTH([t, t || t]) AS n FROM c");
    let rows = lengths.rows(vec![document; 20], &Work::default());
    assert_eq!(rows.unwrap().len(), 20);
}

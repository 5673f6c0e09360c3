//! INSERT, UPDATE and DELETE: what they mean to change.

use super::{Work, bound, json};
use crate::query::{Edit, OnConflict, Statement, check_collection_name, merge};
use crate::value::{DEPTH_MAX, Value};

fn documents(text: &str, values: &str) -> Result<String, String> {
    match bound(text, values) {
        Ok(Statement::Insert(mut insert)) => insert
            .take_documents(&Work::default())
            .map(|documents| Value::List(documents).to_string())
            .map_err(|error| error.to_string()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

/// The edits of an UPDATE, as [`shown`].
fn edits(text: &str, document: &str) -> Result<Vec<String>, String> {
    let Ok(Statement::Update(update)) = Statement::parse(text) else {
        panic!("{text}");
    };
    update
        .edits(&json(document), &Work::default())
        .map(|edits| edits.into_iter().map(shown).collect())
        .map_err(|error| error.to_string())
}

/// An edit as `path=value` or `-path`.
fn shown(edit: Edit) -> String {
    match edit.value() {
        Some(value) => format!("{}={value}", edit.path.join("/")),
        None => format!("-{}", edit.path.join("/")),
    }
}

#[test]
fn insert_gives_documents() {
    for (text, values, expected) in [
        (
            "INSERT INTO c DOCUMENTS (:d)",
            r#"{"d":{"a":1}}"#,
            r#"[{"a":1}]"#,
        ),
        (
            "INSERT INTO c DOCUMENTS (:d), ({'b': 1 + 1, 'n'::n})",
            r#"{"d":{"a":1},"n":[true]}"#,
            r#"[{"a":1},{"b":2,"n":[true]}]"#,
        ),
        (
            "insert into c documents (:many)",
            r#"{"many":[{"a":1},{"a":2}]}"#,
            r#"[{"a":1},{"a":2}]"#,
        ),
    ] {
        assert_eq!(documents(text, values).as_deref(), Ok(expected), "{text}");
    }
    for (text, values, expected) in [
        (
            "INSERT INTO c DOCUMENTS (:d)",
            r#"{"d":5}"#,
            "line 1, column 26: a document is a map, and this is of type int",
        ),
        (
            "INSERT INTO c DOCUMENTS (:d)",
            r#"{"d":[{"a":1},null]}"#,
            "line 1, column 26: a document is a map, and this is of type null",
        ),
        (
            "INSERT INTO c DOCUMENTS ({'a': name})",
            "{}",
            "line 1, column 32: INSERT has no document to read a field from; strings are written 'text', parameters :name",
        ),
    ] {
        assert_eq!(documents(text, values), Err(expected.to_owned()), "{text}");
    }
    let deep = format!(
        "{}1{}",
        "[".repeat(DEPTH_MAX - 2),
        "]".repeat(DEPTH_MAX - 2)
    );
    let values = format!(r#"{{"d":{deep}}}"#);
    assert!(documents("INSERT INTO c DOCUMENTS ({'a': {'b': :d}})", &values).is_ok());
    let error =
        documents("INSERT INTO c DOCUMENTS ({'a': {'b': {'c': :d}}})", &values).unwrap_err();
    let expected = format!("deeper than {DEPTH_MAX}");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn conflicts_are_decided_by_the_statement() {
    for (clause, expected) in [
        ("", OnConflict::Fail),
        ("ON ID CONFLICT DO FAIL", OnConflict::Fail),
        ("on id conflict do nothing", OnConflict::Nothing),
        ("ON ID CONFLICT DO UPDATE;", OnConflict::Update),
        ("ON ID CONFLICT DO MERGE RETURNING *", OnConflict::Merge),
    ] {
        let text = format!("INSERT INTO c DOCUMENTS (:d) {clause}");
        let Ok(Statement::Insert(insert)) = Statement::parse(&text) else {
            panic!("{text}");
        };
        assert_eq!(insert.on_conflict(), expected, "{text}");
    }
}

#[test]
fn update_gives_edits_of_the_document_before() {
    let document = r#"{"_id":"x","a":1,"b":{"c":"Text","d":2},"l":[1],"s":"scalar"}"#;
    for (text, expected) in [
        (
            "UPDATE c SET a = a + 1, n.m = b.c",
            &["a=2", "n/m=\"Text\""][..],
        ),
        ("UPDATE c SET a = b.d, b.d = a", &["a=2", "b/d=1"]),
        (
            "UPDATE c SET b.c = lower(b.c) UNSET a, b.d, absent",
            &["b/c=\"text\"", "-a", "-b/d"],
        ),
        (
            "UPDATE c SET a = 1, UNSET l, SET s = null",
            &["a=1", "-l", "s=null"],
        ),
        ("UPDATE c UNSET b", &["-b"]),
        ("UPDATE c UNSET s.x, absent.y", &[]),
        ("UPDATE c SET s.x = 1", &["s/x=1"]),
        (
            "UPDATE c SET l = [2], \"US Gross\" = {'x': 1}",
            &["l=[2]", "US Gross={\"x\":1}"],
        ),
        // A value that is missing removes the field.
        ("UPDATE c SET a = absent, q = absent", &["-a"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|edit| (*edit).to_owned()).collect();
        assert_eq!(edits(text, document), Ok(expected), "{text}");
    }
    for (text, expected) in [
        (
            "UPDATE c SET l.x = 1",
            "line 1, column 14: l is a list here, and fields inside a list cannot be set; set the whole list",
        ),
        (
            "UPDATE c UNSET l.x",
            "line 1, column 16: l is a list here, and fields inside a list cannot be set; set the whole list",
        ),
    ] {
        assert_eq!(edits(text, document), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn writes_have_filters_too() {
    let Ok(Statement::Delete(delete)) = Statement::parse("DELETE FROM c WHERE a > 1") else {
        panic!("DELETE parses");
    };
    assert_eq!(
        delete
            .filter()
            .matches(&json(r#"{"a":2}"#), &Work::default()),
        Ok(true)
    );
    assert_eq!(
        delete
            .filter()
            .matches(&json(r#"{"a":null}"#), &Work::default()),
        Ok(false)
    );
    let Ok(Statement::Update(update)) = Statement::parse("UPDATE c SET a = 1 WHERE _id = 'x'")
    else {
        panic!("UPDATE parses");
    };
    assert_eq!(update.filter().document_id(), Some(&"x".into()));
    assert_eq!(Statement::Update(update).kind().as_str(), "update");
    assert_eq!(Statement::Delete(delete).collection(), "c");
}

/// Goal: MERGE goes into nested maps and replaces all else as a whole; it never touches `_id` or what it doesn't name.
#[test]
fn merging_sets_the_fields_that_are_named() {
    let there = json(r#"{"_id":"x","a":1,"b":{"c":1,"d":{"e":1}},"l":[1],"s":5}"#);
    for (document, expected) in [
        (r#"{"_id":"y"}"#, &[][..]),
        (r#"{"a":2,"n":null}"#, &["a=2", "n=null"]),
        (
            r#"{"b":{"d":{"e":2,"f":{}},"g":3}}"#,
            &["b/d/e=2", "b/d/f={}", "b/g=3"],
        ),
        (r#"{"b":{}}"#, &[]),
        (
            r#"{"l":[],"s":{"t":1},"b":7}"#,
            &["b=7", "l=[]", "s={\"t\":1}"],
        ),
    ] {
        let edits = merge(&json(document), &there);
        let shown: Vec<String> = edits.into_iter().map(shown).collect();
        assert_eq!(shown, expected, "{document}");
    }
}

/// Goal: RETURNING projects as SELECT does, over one document; LIMIT bounds a write; both take parameters.
#[test]
fn writes_return_rows_and_have_limits() {
    let row = |text: &str, values: &str| -> Result<(String, usize), String> {
        let statement = bound(text, values).map_err(|error| error.to_string())?;
        let (returning, limit) = match &statement {
            Statement::Insert(insert) => (insert.returning(), Ok(0)),
            Statement::Update(update) => (update.returning(), update.limit()),
            Statement::Delete(delete) | Statement::Evict(delete) => {
                (delete.returning(), delete.limit())
            }
            other => panic!("{other:?}"),
        };
        let row = returning.map(|returning| returning.row(&json(DOCUMENT), &Work::default()));
        let row = row.transpose().map_err(|error| error.to_string())?;
        let row = row.map_or("none".to_owned(), |row| row.to_string());
        Ok((row, limit.map_err(|error| error.to_string())?))
    };
    const DOCUMENT: &str = r#"{"_id":"x","a":1,"b":{"c":2}}"#;
    for (text, values, expected) in [
        ("DELETE FROM c RETURNING *", "{}", (DOCUMENT, usize::MAX)),
        (
            "DELETE FROM c WHERE a = 1 LIMIT 3 RETURNING _id, b.c + :n AS m, absent",
            r#"{"n":5}"#,
            (r#"{"_id":"x","m":7}"#, 3),
        ),
        (
            "UPDATE c SET a = 2 LIMIT :most RETURNING a",
            r#"{"most":0}"#,
            (r#"{"a":1}"#, 0),
        ),
        (
            "INSERT INTO c DOCUMENTS ({'a': 1}) RETURNING _id;",
            "{}",
            (r#"{"_id":"x"}"#, 0),
        ),
        ("DELETE FROM c LIMIT 1", "{}", ("none", 1)),
    ] {
        let expected = (expected.0.to_owned(), expected.1);
        assert_eq!(row(text, values), Ok(expected), "{text}");
    }
    for (text, values, expected) in [
        (
            "DELETE FROM c RETURNING COUNT(*)",
            "{}",
            "line 1, column 25: the aggregate COUNT cannot stand in RETURNING",
        ),
        (
            "DELETE FROM c RETURNING",
            "{}",
            "line 1, column 24: expected",
        ),
        (
            "DELETE FROM c LIMIT :n",
            r#"{"n":-1}"#,
            "line 1, column 21: LIMIT and OFFSET take a whole number from 0, not -1",
        ),
        (
            "DELETE FROM c RETURNING a LIMIT 1",
            "{}",
            "line 1, column 27: ",
        ),
        ("UPDATE c SET a = 1 OFFSET 1", "{}", "line 1, column 20: "),
    ] {
        let error = row(text, values).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn collection_names_are_bounded() {
    assert_eq!(check_collection_name("cars"), Ok(()));
    assert_eq!(check_collection_name(&"x".repeat(128)), Ok(()));
    for name in ["", "a\nb", &"x".repeat(129)] {
        assert!(check_collection_name(name).is_err(), "{name:?}");
    }
    let info = Statement::parse("SELECT * FROM system:data_sync_info").unwrap();
    assert_eq!(info.collection(), "system:data_sync_info");
    assert_eq!(
        Statement::parse("SELECT * FROM \"my cars\"")
            .unwrap()
            .collection(),
        "my cars"
    );
}

//! CREATE INDEX, DROP INDEX, SHOW and EXPLAIN as texts.

use super::Statement;
use crate::limits::INDEX_FIELDS_MAX;
use crate::query::{CreateIndex, DropIndex, IndexField, Schema, StatementKind};

fn schema(text: &str) -> Schema {
    match Statement::parse(text) {
        Ok(Statement::Schema(schema)) => schema,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn indexes_are_made_and_dropped_by_name() {
    let field = |path: &[&str], descending| IndexField {
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        descending,
    };
    let made = schema(
        "create index if not exists \"by price\" on \"my cars\" (\"US Gross\".order asc, year DESC, _id.loc);",
    );
    let expected = CreateIndex {
        name: "by price".into(),
        collection: "my cars".into(),
        fields: vec![
            field(&["US Gross", "order"], false),
            field(&["year"], true),
            field(&["_id", "loc"], false),
        ],
        if_not_exists: true,
    };
    assert_eq!(made, Schema::CreateIndex(expected));
    let Schema::CreateIndex(made) = schema("CREATE INDEX if ON c (a)") else {
        panic!("a CREATE INDEX");
    };
    assert_eq!((made.name.as_str(), made.if_not_exists), ("if", false));
    let dropped = DropIndex {
        name: "i".into(),
        collection: "c".into(),
        if_exists: true,
    };
    assert_eq!(
        schema("DROP INDEX IF EXISTS i ON c"),
        Schema::DropIndex(dropped)
    );
    assert_eq!(
        schema("SHOW INDEXES FROM c"),
        Schema::ShowIndexes(Some("c".into()))
    );
    assert_eq!(schema("SHOW INDEXES"), Schema::ShowIndexes(None));
    assert_eq!(schema("show collections;"), Schema::ShowCollections);
    let explain = Statement::parse("EXPLAIN ANALYZE SELECT * FROM c WHERE a = :a").unwrap();
    assert_eq!(
        (explain.kind(), explain.collection()),
        (StatementKind::Explain, "c")
    );
    assert!(
        explain.bind(&super::params("{}")).is_err(),
        "parameters are those of the statement"
    );
}

/// Goal: each mistake is told at its place, with what to do.
#[test]
fn mistakes_are_told_at_their_place() {
    let many = (0..=INDEX_FIELDS_MAX).map(|field| format!("f{field}"));
    let many = format!(
        "CREATE INDEX i ON c ({})",
        many.collect::<Vec<_>>().join(", ")
    );
    for (text, place, part) in [
        (
            "CREATE INDX i ON c (a)",
            8,
            "expected INDEX, found `INDX`; did you mean INDEX?",
        ),
        (
            "CREATE UNIQUE INDEX i ON c (a)",
            8,
            "make the value the _id",
        ),
        ("CREATE COLLECTION c", 8, "made by the first INSERT"),
        ("CREATE INDEX i c (a)", 16, "expected ON"),
        ("CREATE INDEX i ON c", 20, "expected `(`"),
        ("CREATE INDEX i ON c ()", 22, "expected a field's name"),
        ("CREATE INDEX i ON c (a b)", 24, "expected `,` or `)`"),
        ("CREATE INDEX i ON c (a, b.c, a DESC)", 30, "a stands twice"),
        (
            "CREATE INDEX i ON c (a, _id)",
            25,
            "every index ends with it",
        ),
        ("CREATE INDEX i ON c (tags[0])", 22, "not over single items"),
        ("CREATE INDEX i ON system:c (a)", 19, "read-only"),
        ("CREATE INDEX IF NOT i ON c (a)", 21, "expected EXISTS"),
        ("CREATE INDEX \"\" ON c (a)", 14, "1 to 128 bytes"),
        (
            "CREATE INDEX i ON c (a) WHERE b",
            25,
            "expected the end of the statement",
        ),
        (&many, 54, "at most 8 fields"),
        ("DROP INDEX i", 13, "DROP INDEX i ON c"),
        ("DROP c", 6, "expected INDEX"),
        ("SHOW INDEX", 6, "did you mean INDEXES?"),
        ("SHOW INDEXES ON c", 14, "expected FROM or the end"),
        (
            "EXPLAIN INSERT INTO c DOCUMENTS ({})",
            9,
            "SELECT, UPDATE, DELETE or EVICT",
        ),
        (
            "EXPLAIN EXPLAIN SELECT * FROM c",
            9,
            "SELECT, UPDATE, DELETE or EVICT",
        ),
        ("EXPLAIN SHOW INDEXES", 9, "SELECT, UPDATE, DELETE or EVICT"),
        ("EXPLAIN ANALYZE DELETE FROM c", 9, "this one writes"),
        ("EXPLAIN ANALYSE SELECT * FROM c", 9, "expected a statement"),
    ] {
        let error = Statement::parse(text).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (Some(1), Some(place)),
            "{text}: {error}"
        );
        assert!(error.message.contains(part), "{text}: {error}");
    }
    let deep = "EXPLAIN ".repeat(5_000) + "SELECT * FROM c";
    assert!(Statement::parse(&deep).is_err());
}

//! Any text as a statement: parsed, bound, and run over fixed documents without a panic, within bounded memory. Its
//! condition means the same documents, decoded and as they are stored. Errors point into the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::Value;
use sedge_crdt::fuzz::{matches_stored, rows_by_document};
use sedge_crdt::limits::INDEX_FIELDS_MAX;
use sedge_crdt::query::{Filter, Params, QueryError, Returning, Schema, Statement, Work};
use sedge_fuzz::{Guarded, fixtures, guarded};
use std::collections::BTreeMap;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a statement may take: each byte of it may name a document's largest field for each document.
const BYTES_MAX: usize = 256 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    guarded(BYTES_MAX, || {
        if let Err(error) = run(text) {
            check_place(text, &error);
        }
    });
});

fn run(text: &str) -> Result<(), QueryError> {
    let statement = Statement::parse(text)?;
    let is_about_all = matches!(
        statement,
        Statement::Schema(Schema::ShowCollections | Schema::ShowIndexes(None))
    );
    assert!(is_about_all == statement.collection().is_empty());
    let statement = statement.bind(&parameters(text))?;
    let documents = fixtures::documents();
    let work = Work::default();
    match statement {
        Statement::Schema(Schema::CreateIndex(create)) => {
            assert!(!create.fields.is_empty() && create.fields.len() <= INDEX_FIELDS_MAX);
        }
        Statement::Schema(_) => {}
        Statement::Explain(explain) => assert!(explain.statement.collection() != ""),
        Statement::Select(select) => {
            let rows = select.rows(documents.clone(), &work)?;
            for document in &documents {
                matches(select.filter(), document, &work)?;
            }
            if let Some(live) = rows_by_document(&select, &documents, &work)? {
                assert!(rows == live, "{rows:?} but a live query {live:?}");
            }
        }
        Statement::Insert(mut insert) => {
            for document in insert.take_documents(&work)? {
                assert!(matches!(document, Value::Map(_)));
                let bytes = document.encode();
                assert!(Value::decode(&bytes) == Ok(document), "a document is lost");
            }
        }
        Statement::Update(update) => {
            for document in &documents {
                if matches(update.filter(), document, &work)? {
                    for edit in update.edits(document, &work)? {
                        assert!(edit.path.first().is_some_and(|name| name != "_id"));
                    }
                    give_back(update.returning(), document, &work)?;
                }
            }
        }
        Statement::Delete(delete) | Statement::Evict(delete) => {
            for document in &documents {
                if matches(delete.filter(), document, &work)? {
                    give_back(delete.returning(), document, &work)?;
                }
            }
        }
        Statement::History(history) => {
            history.document_id()?;
            history.page(3, |number| {
                Ok::<_, QueryError>(Some(Value::Int(number as i64)))
            })?;
        }
        Statement::Revert(revert) => {
            revert.past().point(revert.filter())?;
            for document in &documents {
                matches(revert.filter(), document, &work)?;
            }
        }
    }
    Ok(())
}

/// What a write answers for a document.
fn give_back(
    returning: Option<&Returning>,
    document: &Value,
    work: &Work<'_>,
) -> Result<(), QueryError> {
    if let Some(returning) = returning {
        let row = returning.row(document, work)?;
        assert!(matches!(row, Value::Map(_)), "{row} is no row");
    }
    Ok(())
}

/// Whether the document is meant. A scan, which reads it where it is stored, says the same.
fn matches(filter: &Filter, document: &Value, work: &Work<'_>) -> Result<bool, QueryError> {
    let decoded = filter.matches(document, work);
    let stored = matches_stored(filter, &document.encode(), work);
    assert!(
        decoded == stored,
        "{document}: {decoded:?}, stored {stored:?}"
    );
    decoded
}

/// A value for every word after a colon, chosen by the word's length.
fn parameters(text: &str) -> Params {
    let values = [
        Value::Int(1),
        "Saab".into(),
        Value::List(vec![Value::Int(1990), "Saab".into(), Value::Null]),
        Value::Map(BTreeMap::from([("_id".into(), "9".into())])),
        Value::Null,
        Value::Float(0.5),
    ];
    let words = text.split(':').skip(1).map(|tail| {
        let end = tail.find(|character: char| !(character.is_alphanumeric() || character == '_'));
        &tail[..end.unwrap_or(tail.len())]
    });
    words
        .filter(|word| !word.is_empty())
        .map(|word| (word.to_owned(), values[word.len() % values.len()].clone()))
        .collect()
}

/// An error's place is in the text, or directly behind it.
fn check_place(text: &str, error: &QueryError) {
    assert!(!error.message.is_empty());
    let (Some(line), Some(column)) = (error.line, error.column) else {
        return;
    };
    let lines: Vec<&str> = text.split('\n').collect();
    let found = lines.get(line.wrapping_sub(1) as usize);
    let fits =
        found.is_some_and(|found| (1..=found.chars().count() + 1).contains(&(column as usize)));
    assert!(fits, "{error} points beside the text");
}

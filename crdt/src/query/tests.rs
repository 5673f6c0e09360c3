//! The language as a whole, from text to rows. The parts' own tests stand in their files.

mod airports;
mod errors;
mod expressions;
mod history;
mod indexes;
mod misspelt;
mod select;
mod types;
mod writes;

use super::{Params, QueryError, Select, Statement, Work};
use crate::value::{Value, parse_json};

fn json(text: &str) -> Value {
    parse_json(text).unwrap()
}

/// Parameters from the members of a JSON object.
fn params(text: &str) -> Params {
    let Value::Map(members) = json(text) else {
        panic!("parameters are an object: {text}");
    };
    members
}

fn bound(text: &str, values: &str) -> Result<Statement, QueryError> {
    Statement::parse(text)?.bind(&params(values))
}

fn select(text: &str) -> Select {
    match Statement::parse(text) {
        Ok(Statement::Select(select)) => select,
        other => panic!("{text}: {other:?}"),
    }
}

/// The rows of a SELECT over documents given as a JSON list, as JSON.
fn rows(text: &str, documents: &str) -> Result<String, QueryError> {
    let Value::List(documents) = json(documents) else {
        panic!("documents are a list: {documents}");
    };
    Ok(Value::List(select(text).rows(documents, &Work::default())?).to_string())
}

/// The value of an expression for one document; `None` if it is missing.
fn value(expr: &str, document: &str) -> Result<Option<Value>, QueryError> {
    let select = select(&format!("SELECT {expr} AS v FROM c"));
    let rows = select.rows([json(document)], &Work::default())?;
    Ok(rows[0].get("v").cloned())
}

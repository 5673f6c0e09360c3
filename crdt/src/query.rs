//! The query language: SQL-shaped statements over collections of JSON-like documents.
//!
//! A text becomes a [`Statement`] ([`Statement::parse`]), parameters are put in ([`Statement::bind`]), and the store
//! asks it what to do: which documents it means ([`Filter`]), which rows they make ([`Select::rows`]), which documents
//! to add ([`Insert::take_documents`]) or what to change in one ([`Update::edits`]). Nothing here reads or writes; the same
//! evaluator serves queries, subscriptions and rules. Whatever the language does not have is an error that points at
//! its place, never an empty answer.

mod aggregate;
mod ast;
mod collect;
mod compare;
mod constants;
mod error;
mod eval;
mod expression;
mod filter;
mod functions;
mod grammar_history;
mod grammar_index;
mod grammar_select;
mod grammar_write;
mod held;
mod history;
mod in_place;
mod index;
mod lexer;
mod like;
pub mod limits;
mod names;
mod parser;
pub(crate) mod plan;
mod returning;
mod rule;
mod select;
#[cfg(any(feature = "fuzz", feature = "rocksdb"))]
mod sorted;
mod statement;
mod work;
mod write;

#[cfg(test)]
mod tests;

use crate::value::Value;

pub use error::QueryError;
pub use filter::Filter;
pub use history::{History, PastPoint, Point, Revert};
pub use index::{CreateIndex, DropIndex, Explain, Schema};
pub(crate) use names::path_text;
pub use names::{check_collection_name, check_writable_collection_name};
pub use plan::IndexField;
pub use returning::{Returned, Returning};
pub(crate) use rule::{RuleScope, rule};
pub use select::{Page, Select};
#[cfg(feature = "rocksdb")]
pub(crate) use sorted::SortKeys;
pub use statement::{Statement, StatementKind};
pub use work::{Patience, Work};
pub(crate) use write::merge;
pub use write::{Action, Delete, Edit, Insert, OnConflict, Update};

/// The values of a statement's parameters, by name without the colon.
pub type Params = std::collections::BTreeMap<String, Value>;

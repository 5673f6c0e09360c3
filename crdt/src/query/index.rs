//! Statements about indexes and collections themselves, and EXPLAIN.

use super::plan::IndexField;
use super::statement::Statement;

/// A statement about what the store has beside documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Makes an index.
    CreateIndex(CreateIndex),
    /// Removes an index.
    DropIndex(DropIndex),
    /// Lists indexes, of one collection or of all.
    ShowIndexes(Option<String>),
    /// Lists collections.
    ShowCollections,
}

/// A CREATE INDEX statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateIndex {
    /// Its name, the only one of its collection.
    pub name: String,
    /// The collection.
    pub collection: String,
    /// What it is sorted by.
    pub fields: Vec<IndexField>,
    /// Whether one of that name may be there.
    pub if_not_exists: bool,
}

/// A DROP INDEX statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIndex {
    /// The index.
    pub name: String,
    /// Its collection.
    pub collection: String,
    /// Whether it may be missing.
    pub if_exists: bool,
}

/// An EXPLAIN statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// Whether the statement is to be run and measured.
    pub analyze: bool,
    /// A SELECT, UPDATE, DELETE or EVICT; a SELECT if it is to be run.
    pub statement: Box<Statement>,
}

impl Schema {
    /// The collection that it is about; empty when it is about all.
    pub fn collection(&self) -> &str {
        match self {
            Schema::CreateIndex(create) => &create.collection,
            Schema::DropIndex(drop) => &drop.collection,
            Schema::ShowIndexes(collection) => collection.as_deref().unwrap_or_default(),
            Schema::ShowCollections => "",
        }
    }
}

//! What a transaction reads: the stored documents, and over them those that it has staged.

use super::catalog::Catalog;
use super::deadline::Deadline;
use super::error::StoreError;
use super::index::Costs;
use super::reads::Reads;
use super::schema::DocumentKey;
use super::source::{Found, Source};
use super::transaction::Transaction;
use crate::id::DocumentId;
use crate::query::Filter;
use crate::value::Value;
use automerge::ActorId;
use std::iter::Peekable;

impl Source for Transaction<'_> {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn reads(&self) -> Reads<'_> {
        self.store().database.newest()
    }

    fn actor(&self) -> &ActorId {
        &self.writer().actor
    }

    fn stages_any(&self, collection: u32) -> bool {
        self.staged.keys().any(|key| key.collection == collection)
    }

    fn staged(&self, collection: u32) -> Vec<DocumentId> {
        let keys = self.staged.keys();
        let keys = keys.filter(|key| key.collection == collection);
        keys.map(|key| key.id.clone()).collect()
    }

    fn value(&self, key: &DocumentKey) -> Result<Option<Value>, StoreError> {
        match self.staged.get(key) {
            Some(entry) => Ok(entry.visible.clone()),
            None => self.reads().value(key),
        }
    }

    fn scan<'a>(
        &'a self,
        collection: u32,
        filter: &'a Filter,
        deadline: &'a Deadline,
        costs: &'a Costs,
    ) -> Result<Found<'a>, StoreError> {
        let all = self.staged.iter();
        let staged = all.filter(move |(key, _)| key.collection == collection);
        let staged = staged.filter_map(|(key, entry)| Some((key, entry.visible.as_ref()?)));
        let matching = staged.filter_map(move |(key, value)| {
            let matches = deadline
                .check()
                .and_then(|()| deadline.evaluate(|work| filter.matches(value, work)));
            match matches {
                Ok(false) => None,
                Ok(true) => Some(Ok((key.id.clone(), value.clone()))),
                Err(error) => Some(Err(error)),
            }
        });
        let mut keep = deadline.over(filter);
        let stored = self.reads().scan(collection, move |key, value| {
            costs.count_document();
            // Nothing is asked of a value that this transaction has replaced.
            Ok(!self.stages(key) && keep(value)?)
        })?;
        Ok(Box::new(Merged {
            stored: stored.peekable(),
            staged: matching.peekable(),
        }))
    }
}

impl Transaction<'_> {
    fn stages(&self, key: &[u8]) -> bool {
        let read = || DocumentKey::read(key);
        !self.staged.is_empty() && read().is_some_and(|key| self.staged.contains_key(&key))
    }
}

/// Two sequences of documents, both ascending by id and with no id in common, as one.
struct Merged<S: Iterator, T: Iterator> {
    stored: Peekable<S>,
    staged: Peekable<T>,
}

type Document = Result<(DocumentId, Value), StoreError>;

impl<S, T> Iterator for Merged<S, T>
where
    S: Iterator<Item = Document>,
    T: Iterator<Item = Document>,
{
    type Item = Document;

    fn next(&mut self) -> Option<Document> {
        match (self.stored.peek(), self.staged.peek()) {
            (Some(Ok((stored, _))), Some(Ok((staged, _)))) if staged < stored => self.staged.next(),
            (Some(_), _) => self.stored.next(),
            (None, _) => self.staged.next(),
        }
    }
}

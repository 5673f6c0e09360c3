//! What readers see: the store as of one durable commit, whatever is written meanwhile.

use super::catalog::{Catalog, CollectionStatus};
use super::database::Database;
use super::deadline::Deadline;
use super::error::StoreError;
use super::execute::{Outcome, read};
use super::index::Costs;
use super::reads::Reads;
use super::schema::DocumentKey;
use super::source::{Found, Source};
use crate::id::DocumentId;
use crate::query::{Filter, Params, Statement};
use crate::value::Value;
use automerge::ActorId;
use rocksdb::Snapshot;
use self_cell::self_cell;
use std::sync::Arc;

self_cell!(
    /// A snapshot with the database it is of.
    struct Pinned {
        owner: Arc<Database>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// The store as of one durable commit. Several reads of one view agree with each other, and no writer holds them up or is
/// held up by them. Cheap to clone; while it is kept, what is overwritten keeps its space on disk, and the database
/// stays open.
#[derive(Clone)]
pub struct View(Arc<Seen>);

struct Seen {
    pinned: Pinned,
    catalog: Arc<Catalog>,
    sequence: u64,
    /// Who writes in this store.
    actor: ActorId,
}

impl View {
    /// The database as it is now, which is that of the commit `sequence`.
    pub(super) fn new(
        database: &Arc<Database>,
        catalog: Arc<Catalog>,
        sequence: u64,
        actor: ActorId,
    ) -> Self {
        let pinned = Pinned::new(Arc::clone(database), |database| database.snapshot());
        Self(Arc::new(Seen {
            pinned,
            catalog,
            sequence,
            actor,
        }))
    }

    /// The same with the database as it is now.
    pub(super) fn renewed(&self, database: &Arc<Database>) -> Self {
        let Seen {
            catalog,
            sequence,
            actor,
            ..
        } = &*self.0;
        Self::new(database, Arc::clone(catalog), *sequence, actor.clone())
    }

    /// The newest transaction in it. Local to this store.
    pub fn transaction_id(&self) -> u64 {
        self.0.sequence
    }

    /// What each collection holds, by name.
    pub fn collections(&self) -> Vec<CollectionStatus> {
        self.0.catalog.status()
    }

    /// Runs one statement that reads, as [`Store::execute`](super::Store::execute) does.
    ///
    /// # Errors
    /// The statement is wrong, takes too long, or changes something.
    pub fn execute(&self, statement: &str, params: &Params) -> Result<Outcome, StoreError> {
        self.execute_within(&Deadline::default(), statement, params)
    }

    /// As [`execute`](Self::execute), within another deadline.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_within(
        &self,
        deadline: &Deadline,
        statement: &str,
        params: &Params,
    ) -> Result<Outcome, StoreError> {
        self.run(&Statement::parse(statement)?.bind(params)?, deadline)
    }

    pub(super) fn run(
        &self,
        statement: &Statement,
        deadline: &Deadline,
    ) -> Result<Outcome, StoreError> {
        read(self, statement, self.0.sequence, deadline)
    }

    /// Every visible document of a collection, ascending by id.
    ///
    /// # Errors
    /// There is no such collection, or the database fails.
    pub fn documents(
        &self,
        collection: &str,
    ) -> Result<impl Iterator<Item = Result<Value, StoreError>> + use<'_>, StoreError> {
        let number = self.number(collection)?;
        let documents = self.reads().scan(number, |_, _| Ok(true))?;
        Ok(documents.map(|document| document.map(|(_, value)| value.visible())))
    }
}

impl Source for View {
    fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    fn reads(&self) -> Reads<'_> {
        let pinned = &self.0.pinned;
        Reads::at(pinned.borrow_owner(), pinned.borrow_dependent())
    }

    fn actor(&self) -> &ActorId {
        &self.0.actor
    }

    fn stages_any(&self, _collection: u32) -> bool {
        false
    }

    fn staged(&self, _collection: u32) -> Vec<DocumentId> {
        Vec::new()
    }

    fn value(&self, key: &DocumentKey) -> Result<Option<Value>, StoreError> {
        self.reads().value(key)
    }

    fn scan<'a>(
        &'a self,
        collection: u32,
        filter: &'a Filter,
        deadline: &'a Deadline,
        costs: &'a Costs,
    ) -> Result<Found<'a>, StoreError> {
        let mut keep = deadline.over(filter);
        let documents = self.reads().scan(collection, move |_, value| {
            costs.count_document();
            keep(value)
        })?;
        Ok(Box::new(documents))
    }
}

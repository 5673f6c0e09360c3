//! The store as async code sees it: calls that may touch the disk run on the blocking pool, a bounded number at once.

use crate::error::NodeError;
use crate::limits::STORE_CALLS_MAX;
use futures::{Stream, stream};
use sedge_crdt::query::Params;
use sedge_crdt::{CollectionStatus, Imported, Outcome, Store, StoreError, Update, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A handle on a node's store. Cheap to clone.
#[derive(Clone)]
pub struct StoreHandle {
    store: Store,
    calls: Arc<Semaphore>,
}

impl StoreHandle {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            calls: Arc::new(Semaphore::new(STORE_CALLS_MAX)),
        }
    }

    /// Runs one statement. A write is durable on return, and on its way to the peers.
    ///
    /// # Errors
    /// The statement is wrong, a document can't be stored, or the database fails.
    pub async fn execute(&self, statement: &str, params: Params) -> Result<Outcome, NodeError> {
        let statement = statement.to_owned();
        self.call(move |store| store.execute(&statement, &params))
            .await
    }

    /// Gives each document its imported value; one answer each, in order. Durable on return.
    ///
    /// # Errors
    /// The collection can't be written, or the database fails.
    pub async fn import(
        &self,
        collection: &str,
        documents: Vec<Value>,
    ) -> Result<Vec<Imported>, NodeError> {
        let collection = collection.to_owned();
        self.call(move |store| store.import(&collection, &documents))
            .await
    }

    /// A live query: the first result, then the whole result and what changed each time it changes.
    ///
    /// # Errors
    /// The statement is wrong or no SELECT.
    pub fn observe(
        &self,
        statement: &str,
        params: &Params,
    ) -> Result<impl Stream<Item = Result<Update, NodeError>> + Send + use<>, NodeError> {
        let observation = self.store.observe(statement, params)?;
        Ok(stream::unfold(observation, |mut observation| async move {
            let update = observation.next().await?;
            Some((update.map_err(NodeError::from), observation))
        }))
    }

    /// What each collection holds.
    pub fn collections(&self) -> Vec<CollectionStatus> {
        self.store.collections()
    }

    /// The newest transaction whose effects are visible.
    pub fn transaction_id(&self) -> u64 {
        self.store.transaction_id()
    }

    pub(crate) fn inner(&self) -> &Store {
        &self.store
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let stopped = NodeError::Stopped("the store");
        let Ok(permit) = Arc::clone(&self.calls).acquire_owned().await else {
            return Err(stopped);
        };
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&store)
        });
        Ok(done.await.map_err(|_| stopped)??)
    }
}

//! The store as async code sees it: calls that may touch the disk run on the blocking pool, a bounded number at once.

mod feed;

use crate::backup::{self, Manifest, Progress};
use crate::error::NodeError;
use crate::limits::{
    BACKUPS_MAX, EXPORT_PIECES_QUEUED_MAX, EXPORTS_MAX, FEEDS_MAX, PIECE_BYTES, STORE_CALLS_MAX,
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use sedge_crdt::query::Params;
use sedge_crdt::{
    CollectionStatus, Copied, Deadline, Imported, Observation, Outcome, Store, StoreError,
    Transacted, Transaction, Update, Value, View, Withheld,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinError;
use tokio_stream::wrappers::ReceiverStream;

/// A handle on a node's store. Cheap to clone.
#[derive(Clone)]
pub struct StoreHandle {
    store: Store,
    calls: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    backups: Arc<Semaphore>,
    feeds: Arc<Semaphore>,
}

impl StoreHandle {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            calls: Arc::new(Semaphore::new(STORE_CALLS_MAX)),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            backups: Arc::new(Semaphore::new(BACKUPS_MAX)),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
        }
    }

    /// Runs one statement, within [`STATEMENT_SECONDS_MAX`](sedge_crdt::limits::STATEMENT_SECONDS_MAX). A write is durable on return, and on its way to the peers.
    /// Of a SELECT's rows no more are given than fit a page, with a warning if there are more. Dropping the future stops
    /// the statement, unless it is being committed.
    ///
    /// # Errors
    /// The statement is wrong or takes too long, a document can't be stored, or the database fails.
    pub async fn execute(&self, statement: &str, params: Params) -> Result<Outcome, NodeError> {
        self.execute_within(Deadline::default(), statement, params)
            .await
    }

    pub(crate) async fn execute_within(
        &self,
        deadline: Deadline,
        statement: &str,
        params: Params,
    ) -> Result<Outcome, NodeError> {
        let statement = statement.to_owned();
        self.call(deadline, move |store, deadline| {
            store.execute_within(deadline, &statement, &params)
        })
        .await
    }

    /// Runs several statements as one transaction, as [`Store::transaction`] does: durable if the function returns `Ok`,
    /// otherwise nothing has happened. Other writers wait meanwhile. Dropping the future stops the transaction at its next
    /// statement.
    ///
    /// # Errors
    /// That of the function; or the transaction fails.
    pub async fn transaction<T, E>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<Transacted<T>, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<NodeError> + Send + 'static,
    {
        let done = self.call(Deadline::default(), move |store, deadline| {
            Ok(store.transaction_within(deadline, work))
        });
        done.await?
    }

    /// Runs several reads on the store as it is now: they agree with each other, and no writer holds them up.
    ///
    /// # Errors
    /// That of the function; or the store is busy for too long.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&View) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<NodeError> + Send + 'static,
    {
        let done = self.call(Deadline::default(), move |store, _| Ok(work(&store.view())));
        done.await?
    }

    /// Returns once the effects of a transaction are visible to reads here.
    ///
    /// # Errors
    /// That is not so within the deadline.
    pub async fn wait_for(
        &self,
        transaction_id: u64,
        deadline: &Deadline,
    ) -> Result<(), NodeError> {
        Ok(self.store.wait_for(transaction_id, deadline).await?)
    }

    /// Gives each document its imported value; one answer each, in order. Durable on return.
    ///
    /// # Errors
    /// The collection can't be written, it takes too long, or the database fails: then nothing was imported.
    pub async fn import(
        &self,
        collection: &str,
        documents: Vec<Value>,
    ) -> Result<Vec<Imported>, NodeError> {
        self.import_within(Deadline::default(), collection, documents)
            .await
    }

    pub(crate) async fn import_within(
        &self,
        deadline: Deadline,
        collection: &str,
        documents: Vec<Value>,
    ) -> Result<Vec<Imported>, NodeError> {
        let collection = collection.to_owned();
        self.call(deadline, move |store, deadline| {
            store.import_within(deadline, &collection, &documents)
        })
        .await
    }

    /// A live query: the whole first result, then what changed each time it changes. It never ends by itself; after an
    /// error it goes on with the next change.
    ///
    /// # Errors
    /// The statement is wrong or no SELECT, or there are too many live queries.
    pub fn observe(
        &self,
        statement: &str,
        params: &Params,
    ) -> Result<impl Stream<Item = Result<Update, NodeError>> + Send + use<>, NodeError> {
        Ok(updates(self.store.observe(statement, params)?))
    }

    /// As [`observe`](Self::observe), with the whole result in every update.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    pub fn observe_with_items(
        &self,
        statement: &str,
        params: &Params,
    ) -> Result<impl Stream<Item = Result<Update, NodeError>> + Send + use<>, NodeError> {
        Ok(updates(self.store.observe(statement, params)?.with_items()))
    }

    /// A collection as NDJSON in pieces of whole lines, by ascending id, as of now. Only so many run at once. It
    /// ends when the reader takes nothing for the time `stalled`.
    ///
    /// # Errors
    /// There is no such collection, or the database fails. A failure later is the stream's last item.
    pub(crate) async fn export(
        &self,
        collection: &str,
        stalled: Duration,
    ) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + Send + use<>, NodeError> {
        let (pieces, receiver) = mpsc::channel(EXPORT_PIECES_QUEUED_MAX);
        let (opened, is_open) = oneshot::channel();
        let collection = collection.to_owned();
        let permit = permit(&self.exports, &Deadline::default()).await?;
        let (store, runtime) = (self.store.clone(), Handle::current());
        let exporting = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let view = store.view();
            let documents = match view.documents(&collection) {
                Ok(documents) => documents,
                Err(error) => {
                    opened.send(Err(error)).unwrap_or_default();
                    return Ok(());
                }
            };
            opened.send(Ok(())).unwrap_or_default(); // who has left takes no piece either
            send_lines(documents, |piece| {
                let sent = tokio::time::timeout(stalled, pieces.send(piece));
                let sent = runtime.block_on(sent);
                sent.is_ok_and(|sent| sent.is_ok())
                    .then_some(())
                    .ok_or(StoreError::TimedOut { limit: stalled })
            })
        });
        is_open.await.map_err(|_| STOPPED)??;
        let pieces = ReceiverStream::new(receiver).map(Ok);
        Ok(pieces.chain(stream::once(exporting).filter_map(failure)))
    }

    /// Makes a backup at `path`, absolute, where nothing is: a folder that appears there whole or not at all. `name` is
    /// the device's. `told` hears how far it is. It goes on when the future is dropped.
    ///
    /// # Errors
    /// The path can't hold a backup, or the disk or the database fails.
    pub async fn backup(
        &self,
        name: &str,
        path: &Path,
        mut told: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Manifest, NodeError> {
        backup::check_target(path)?;
        let permit = Arc::clone(&self.backups).acquire_owned().await;
        let permit = permit.map_err(|_| STOPPED)?;
        let (store, name, path) = (self.store.clone(), name.to_owned(), path.to_owned());
        let taking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            backup::take(&store, &name, &path, &mut told)
        });
        taking.await.map_err(|_| STOPPED)?
    }

    /// What of this device's own changes others don't get at present, and which devices' state folders were copied, as far
    /// as that was noticed here.
    ///
    /// # Errors
    /// The store is busy for too long, or can't be read.
    pub async fn troubles(&self) -> Result<(Withheld, Vec<Copied>), NodeError> {
        let found = self.call(Deadline::default(), |store, _| {
            Ok((store.withheld()?, store.copied()?))
        });
        found.await
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
        deadline: Deadline,
        work: impl FnOnce(&Store, &Deadline) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let cancelling = CancelOnDrop(deadline);
        let permit = permit(&self.calls, &cancelling.0).await?;
        let (store, deadline) = (self.store.clone(), cancelling.0.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            deadline.check()?;
            work(&store, &deadline)
        });
        Ok(done.await.map_err(|_| STOPPED)??)
    }
}

/// Waits for a turn, no longer than the deadline allows.
async fn permit(
    turns: &Arc<Semaphore>,
    deadline: &Deadline,
) -> Result<OwnedSemaphorePermit, NodeError> {
    let waiting = Arc::clone(turns).acquire_owned();
    match tokio::time::timeout(deadline.remaining(), waiting).await {
        Ok(permit) => permit.map_err(|_| STOPPED),
        Err(_) => Err(deadline.check().err().map_or(STOPPED, NodeError::from)),
    }
}

const STOPPED: NodeError = NodeError::Stopped("the store");

/// Stops a call when its future is dropped: nobody waits for the answer any more.
struct CancelOnDrop(Deadline);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn updates(
    observation: Observation,
) -> impl Stream<Item = Result<Update, NodeError>> + Send + use<> {
    stream::unfold(Some(observation), |observation| async move {
        let mut observation = observation?;
        let update = observation.next().await.map_err(NodeError::from);
        let goes_on = update.is_ok() || !observation.has_ended();
        Some((update, goes_on.then_some(observation)))
    })
}

/// Sends documents in pieces of whole lines.
fn send_lines(
    documents: impl Iterator<Item = Result<Value, StoreError>>,
    send: impl Fn(Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut piece = String::new();
    for document in documents {
        piece.push_str(&format!("{}\n", document?));
        if piece.len() >= PIECE_BYTES {
            send(std::mem::take(&mut piece).into())?;
        }
    }
    send(piece.into())
}

/// The last item of an export that did not come to its end: without it a part would look like the whole.
async fn failure(
    exported: Result<Result<(), StoreError>, JoinError>,
) -> Option<Result<Bytes, StoreError>> {
    let error = match exported {
        Ok(exported) => exported.err()?,
        Err(_) => StoreError::Cancelled,
    };
    tracing::warn!(%error, "an export did not come to its end");
    Some(Err(error))
}

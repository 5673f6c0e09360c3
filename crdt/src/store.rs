//! The store on disk: one RocksDB database per app and device.
//!
//! Statements (`execute`) and deltas from other stores (`replication`) become a `transaction`, which one writer at a
//! time (`writer`) turns into one write batch: it appends to the feed and its change log (`log`), and updates its collections' totals (`catalog`). Writers that
//! have left share the sync of their batches (`group`). Only then a commit is the `view` that readers see, is told to
//! subscribers, observers among them (`observe`), and acknowledged.

mod access;
mod aside;
mod backup;
mod blobs;
mod catalog;
mod check;
mod clock;
mod commit;
mod database;
mod deadline;
mod digest;
mod durability;
mod durable;
mod entry;
mod error;
mod evict;
mod execute;
mod group;
mod history;
mod incarnation;
mod index;
mod log;
mod observe;
mod overlay;
mod reads;
mod reconcile;
mod replication;
mod scan;
mod schema;
mod seals;
mod source;
mod statements;
mod transaction;
mod view;
mod writer;

use crate::limits::COMMITS_QUEUED_MAX;
use crate::rights::Access;
use blobs::Blobs;
use catalog::Catalog;
use database::Database;
use group::{Group, Pending, Ticket};
use index::Worker;
use log::Log;
use observe::Observers;
use parking_lot::{Mutex, RwLock};
use reconcile::Upper;
use seals::authority::Authority;
use seals::release::Release;
use seals::sealer::Sealer;
use sedge_identity::{AppId, PublicKey};
use statements::Statements;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use writer::{Writer, WriterLock};

pub use aside::Copied;
pub use backup::{Check, Contents};
pub use blobs::{Attachments, BlobError, BlobReader, BlobStat, Collected};
pub use catalog::CollectionStatus;
pub use commit::{Commit, Committed, Origin};
pub use deadline::Deadline;
pub use digest::Digest;
pub use durability::{Durability, StoreOptions};
pub use error::StoreError;
pub use evict::Replication;
pub use execute::{Imported, Outcome};
pub use log::{Checkpoint, CheckpointError, LogEntry, LogPage, Since};
pub use observe::{Misfit, Move, Observation, Row, Update};
#[doc(hidden)]
pub use reconcile::measure_upkeep;
pub use reconcile::{ItemEntry, Node, Summary};
pub use replication::{
    Arrival, Arrived, Arriving, Bundle, Bundled, DeltaPart, Feed, FeedCursor, FeedEntry,
    FeedLimits, FeedPage, Flood,
};
pub use seals::release::Released;
pub use seals::withheld::Withheld;
pub use transaction::Transaction;
pub use view::View;

/// An open store. Cheap to clone; the database closes with the last clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>, Arc<Workers>);

/// The threads of a store, which end with it.
#[derive(Default)]
struct Workers {
    indexes: Worker,
    sealing: Sealer,
}

struct Inner {
    database: Arc<Database>,
    blobs: Blobs,
    statements: Statements,
    app: AppId,
    device: PublicKey,
    feed: RwLock<[u8; 16]>,
    durability: Durability,
    clock: fn() -> u64,
    writer: WriterLock,
    group: Group,
    /// The newest durable commit.
    published: watch::Sender<View>,
    commits: broadcast::Sender<Arc<Commit>>,
    authority: Authority,
    /// The time of the newest seal, in ms; whoever seals holds it.
    sealing: Mutex<u64>,
    release: Release,
    /// What others compare of all collections.
    sums: Upper,
    observers: Observers,
    /// Who is asked before anything is evicted.
    replication: RwLock<Option<Arc<dyn Replication>>>,
    /// What this device may write, where that is not everything.
    access: RwLock<Option<Arc<Access>>>,
}

/// What a transaction gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transacted<T> {
    /// What the transaction's function returned.
    pub value: T,
    /// The transaction's id; where it changed nothing, that of the newest one before it. Local to this store.
    pub transaction_id: u64,
}

impl Store {
    /// Opens the store in the folder `path` for this app and device, creating it when it isn't there.
    ///
    /// # Errors
    /// Another process has it open; it is of another format, app or device; RocksDB reports damage.
    pub fn open(path: &Path, app: &AppId, device: &PublicKey) -> Result<Self, StoreError> {
        Self::open_with(path, app, device, StoreOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        path: &Path,
        app: &AppId,
        device: &PublicKey,
        StoreOptions {
            durability,
            feed_keep_bytes,
            clock,
        }: StoreOptions,
    ) -> Result<Self, StoreError> {
        let database = Arc::new(Database::open(path)?);
        let identity = database.begin(database.identify(app, device)?, durability)?;
        let catalog = Arc::new(Catalog::load(&database)?);
        let (sequence, time_ms) = database.newest().clock()?;
        let (sealed_to, sealed_ms) = database.newest().sealed()?;
        let (commits, _) = broadcast::channel(COMMITS_QUEUED_MAX);
        let actor = identity.incarnation.actor(device);
        let view = View::new(&database, Arc::clone(&catalog), sequence, actor.clone());
        let has_work = catalog.indexes.has_work();
        let inner = Arc::new(Inner {
            blobs: Blobs::open(path)?,
            statements: Statements::new(),
            app: app.clone(),
            device: *device,
            feed: RwLock::new(identity.feed),
            durability,
            clock,
            writer: WriterLock::new(Writer {
                sequence,
                catalog,
                log: Log::load(&database, feed_keep_bytes)?,
                time_ms,
                arrived: sequence,
                sealed_to,
                own_to: if sealed_to < sequence { sequence } else { 0 },
                incarnation: identity.incarnation,
                actor,
            }),
            replication: RwLock::default(),
            access: RwLock::default(),
            group: Group::new(),
            published: watch::Sender::new(view),
            commits,
            authority: Authority::new(),
            sealing: Mutex::new(sealed_ms),
            release: Release::new(sealed_to, sequence),
            sums: Upper::load(&database)?,
            observers: Observers::default(),
            database,
        });
        let store = Self(inner, Arc::default());
        if has_work {
            store.1.indexes.wake(&store.0);
        }
        Ok(store)
    }

    /// Rewrites all files, so that nothing overwritten or deleted takes space. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// The database fails, as on a full disk.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.0.database.compact()
    }

    /// The store as it is now, for reads that agree with each other.
    pub fn view(&self) -> View {
        self.0.view()
    }

    /// The newest transaction whose effects are visible here. Local to this store.
    pub fn transaction_id(&self) -> u64 {
        self.0.published.borrow().transaction_id()
    }

    /// When the newest own change was made, in ms since the Unix epoch; 0 where there is none.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn newest_change_ms(&self) -> Result<u64, StoreError> {
        let (_, time_ms) = self.0.database.newest().clock()?;
        Ok(u64::try_from(time_ms).unwrap_or(0))
    }

    /// Returns once the effects of a transaction are visible here.
    ///
    /// # Errors
    /// That is not so within the deadline.
    pub async fn wait_for(&self, id: u64, deadline: &Deadline) -> Result<(), StoreError> {
        let mut published = self.0.published.subscribe();
        let visible = published.wait_for(|view| view.transaction_id() >= id);
        match tokio::time::timeout(deadline.remaining(), visible).await {
            Ok(_) => Ok(()),
            Err(_) => Err(deadline.timed_out()),
        }
    }

    /// Runs several statements as one transaction, within
    /// [`STATEMENT_SECONDS_MAX`](crate::limits::STATEMENT_SECONDS_MAX). It is durable on return if the function returns
    /// `Ok`; otherwise, or should it panic, nothing has happened. Other writers wait meanwhile, so it must not write
    /// but through the transaction it is given.
    ///
    /// # Errors
    /// That of the function; or the transaction fails: one of its statements did, it takes too long, or the database
    /// fails.
    pub fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<Transacted<T>, E> {
        self.transaction_within(&Deadline::default(), work)
    }

    /// As [`transaction`](Self::transaction), within another deadline. What has begun to be committed is not stopped.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction).
    pub fn transaction_within<T, E: From<StoreError>>(
        &self,
        deadline: &Deadline,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<Transacted<T>, E> {
        let mut transaction = self.0.transaction_within(deadline)?;
        let value = work(&mut transaction)?;
        deadline.check()?;
        Ok(Transacted {
            value,
            transaction_id: transaction.commit(Origin::Local)?,
        })
    }

    /// Every commit from now on, in order. A receiver that lags more than [`COMMITS_QUEUED_MAX`] commits is told so
    /// by its channel.
    pub fn commits(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.0.commits.subscribe()
    }

    /// How often the log was synced for writers since the store was opened: writers at once share syncs.
    pub fn syncs(&self) -> u64 {
        self.0.group.syncs()
    }

    /// What each collection holds, by name.
    pub fn collections(&self) -> Vec<CollectionStatus> {
        self.view().collections()
    }
}

impl Inner {
    fn view(&self) -> View {
        self.published.borrow().clone()
    }

    /// Returns once everything up to the ticket's write is as durable as it is to be, and published.
    fn settle(&self, ticket: Ticket) -> Result<(), StoreError> {
        let sync = || match self.durability {
            Durability::Synced => self.database.sync(),
            Durability::Os => Ok(()),
        };
        self.group
            .wait(ticket, sync, |pending| self.publish(pending))
    }

    /// Makes a commit visible to readers and tells subscribers.
    fn publish(&self, Pending { view, commit }: Pending) {
        drop(self.published.send_replace(view)); // first, so that who is told of the commit can read it
        let Some(commit) = commit else { return };
        let commit = Arc::new(commit);
        self.observers.tell(&commit);
        self.release.publish(&commit);
        if self.commits.send(commit).is_err() {
            tracing::trace!("nobody subscribes to commits");
        }
    }
}

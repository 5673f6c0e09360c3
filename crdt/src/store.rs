//! The store on disk: one RocksDB database per app and device.
//!
//! Statements (`execute`) and deltas from other stores (`replication`) become a `transaction`, which one writer at a
//! time turns into one synced write batch. Each commit appends to the feed, updates its collections' totals
//! (`catalog`) and is then told to subscribers, observers among them (`observe`). Everything is durable before it is
//! acknowledged.

mod catalog;
mod commit;
mod database;
mod deadline;
mod entry;
mod error;
mod execute;
mod observe;
mod replication;
mod scan;
mod schema;
mod transaction;

use crate::document::DEVICE_ACTOR_BYTES;
use crate::limits::COMMITS_QUEUED_MAX;
use automerge::ActorId;
use catalog::Catalog;
use database::Database;
use observe::Observers;
use parking_lot::Mutex;
use sedge_identity::{AppId, PublicKey};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast;

pub use catalog::{CollectionStatus, Digest};
pub use commit::{Commit, Committed, Origin};
pub use deadline::Deadline;
pub use error::StoreError;
pub use execute::{Imported, Outcome};
pub use observe::{Observation, Row, Update};
pub use replication::{Arrival, Arrived, DeltaPart, Feed, FeedEntry, FeedLimits, FeedPage};

const ACTOR_DOMAIN: &[u8] = b"sedge actor 1";

/// An open store. Cheap to clone; the database closes with the last clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    actor: ActorId,
    feed: [u8; 16],
    catalog: RwLock<Arc<Catalog>>,
    /// A writer that panicked leaves nothing behind: batches are atomic.
    writer: Mutex<Writer>,
    /// The newest committed sequence, for readers.
    sequence: AtomicU64,
    commits: broadcast::Sender<Arc<Commit>>,
    observers: Observers,
}

/// What only the one writer may look at and advance.
struct Writer {
    /// The newest committed sequence.
    sequence: u64,
    /// The time of the newest own change, in milliseconds since 1970.
    time_ms: i64,
}

impl Store {
    /// Opens the store in the folder `path` for this app and device, creating it when it isn't there.
    ///
    /// # Errors
    /// Another process has it open; it is of another format, app or device; RocksDB reports damage.
    pub fn open(path: &Path, app: &AppId, device: &PublicKey) -> Result<Self, StoreError> {
        let database = Database::open(path)?;
        let identity = database.identify(app, device)?;
        let catalog = Catalog::load(&database)?;
        let (sequence, time_ms) = database.clock()?;
        let (commits, _) = broadcast::channel(COMMITS_QUEUED_MAX);
        Ok(Self(Arc::new(Inner {
            actor: actor(device, &identity.incarnation),
            feed: identity.feed,
            catalog: RwLock::new(Arc::new(catalog)),
            writer: Mutex::new(Writer { sequence, time_ms }),
            sequence: AtomicU64::new(sequence),
            commits,
            observers: Observers::default(),
            database,
        })))
    }

    /// Rewrites all files, so that nothing overwritten or deleted takes space. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// The database fails, as on a full disk.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.0.database.compact()
    }

    /// The newest transaction whose effects are visible here. Local to this store.
    pub fn transaction_id(&self) -> u64 {
        self.0.sequence.load(Ordering::Acquire)
    }

    /// Every commit from now on, in order. A receiver that lags more than [`COMMITS_QUEUED_MAX`] commits is told so
    /// by its channel.
    pub fn commits(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.0.commits.subscribe()
    }

    /// What each collection holds, by name.
    pub fn collections(&self) -> Vec<CollectionStatus> {
        self.0.catalog().status()
    }
}

impl Inner {
    /// The collections as of the newest commit.
    fn catalog(&self) -> Arc<Catalog> {
        let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&catalog)
    }

    /// Makes a commit visible to readers and tells subscribers.
    fn publish(&self, catalog: Catalog, commit: Commit) {
        let mut current = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(catalog);
        drop(current);
        self.sequence.store(commit.sequence, Ordering::Release);
        self.observers.tell(&commit);
        if self.commits.send(Arc::new(commit)).is_err() {
            tracing::trace!("nobody subscribes to commits");
        }
    }
}

/// The actor under which this device writes into this incarnation of its store.
fn actor(device: &PublicKey, incarnation: &[u8; 8]) -> ActorId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ACTOR_DOMAIN);
    hasher.update(device.as_bytes());
    hasher.update(incarnation);
    let mut bytes = [0; DEVICE_ACTOR_BYTES];
    hasher.finalize_xof().fill(&mut bytes);
    ActorId::from(&bytes[..])
}

//! What can go wrong with a store.

use super::blobs::BlobError;
use crate::document::{DeltaError, DocumentError};
use crate::id::{DocumentId, IdError};
use crate::limits::{
    COLLECTIONS_HELD_MAX, COMMITS_UNSYNCED_MAX, INDEXES_MAX, INDEXES_PER_COLLECTION_MAX,
    OBSERVED_BYTES_MAX, OBSERVED_BYTES_TOTAL_MAX, OBSERVERS_MAX, SPACE_KEPT_BYTES,
    TRANSACTION_BYTES_MAX,
};
use crate::query::QueryError;
use crate::random::RandomError;
use crate::rights::{Denied, RightsError};
use sedge_identity::{CertificateError, SealError};
use std::path::PathBuf;
use std::time::Duration;

/// Why the store refuses or fails; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("the store {} is in use by another process; stop it, or choose another state folder", .0.display())]
    InUse(PathBuf),
    /// A file beside the database can't be opened.
    #[error("{} can't be opened: {error}; see to the disk and to whom the folder belongs", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The database is of a format that this version doesn't read.
    #[error(
        "the store has format {found}, this version reads format {expected}; use the version that wrote it, or start \
         with an empty state folder and let it refill from its peers"
    )]
    Format {
        /// The format in the store.
        found: u32,
        /// The format of this version.
        expected: u32,
    },
    /// The database belongs to another app or device.
    #[error("the store belongs to {what} {found}, not to {expected}; choose another state folder")]
    Foreign {
        /// `app` or `device`.
        what: &'static str,
        /// Whose it is.
        found: String,
        /// Who opens it.
        expected: String,
    },
    /// There is too little room for another write.
    #[error(
        "{DISK_FULL}: less than {} MiB, which the database needs for itself{ADVICE_FULL}", SPACE_KEPT_BYTES >> 20
    )]
    DiskFull,
    /// RocksDB failed.
    #[error("the database failed: {0}{advice}", advice = advice(.0.as_ref()))]
    Database(#[from] rocksdb::Error),
    /// What was written could not be synced to the disk.
    #[error(
        "the write is not known to be durable: {0}{advice}. It becomes visible if a later write is synced, and may be \
         gone after a crash; look whether it is there before repeating it", advice = advice(.0.as_ref())
    )]
    NotDurable(rocksdb::Error),
    /// Too many writes wait for a sync that fails again and again.
    #[error(
        "{COMMITS_UNSYNCED_MAX} writes are not known to be durable because the disk fails, so nothing more is written; \
         see to the disk, then start again"
    )]
    TooManyUnsynced,
    /// A statement of the transaction failed before.
    #[error("a statement of this transaction failed, so nothing of it is kept; begin another one")]
    TransactionFailed,
    /// A view is to be written to.
    #[error(
        "a view is only read with SELECT; run other statements on the store or in a transaction"
    )]
    ReadOnly,
    /// A stored entry can't be read.
    #[error(
        "{what} is damaged: {reason}; restore a backup, or let the device refill from its peers"
    )]
    Damaged {
        /// Which entry.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The statement is wrong.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The call took longer than it may.
    #[error(
        "stopped after {} s, nothing was changed; narrow the statement with WHERE, or do the work in smaller parts",
        .limit.as_secs_f32()
    )]
    TimedOut {
        /// How long it may take.
        limit: Duration,
    },
    /// A document stays, for another reason than that it isn't there.
    #[error("document {id} can't be evicted: {reason}. Nothing was changed")]
    NotEvictable {
        /// Its id.
        id: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The same of a statement about the past.
    #[error(
        "stopped after {} s and {rebuilt} documents that had to be built anew from their history, nothing was changed; name \
         one document with WHERE _id = …, or a later point",
        .limit.as_secs_f32()
    )]
    PastTimedOut {
        /// How long it may take.
        limit: Duration,
        /// Documents built anew.
        rebuilt: usize,
    },
    /// A transaction changes more than is held in memory at once.
    #[error(
        "the changed documents take more than {} MiB of memory, nothing was changed; do the work in parts: a DELETE with \
         LIMIT, again and again until nothing is changed; an UPDATE likewise if its WHERE leaves out what it has changed, \
         else by ranges of _id; an INSERT or import with fewer documents at a time",
        TRANSACTION_BYTES_MAX >> 20
    )]
    TransactionTooLarge,
    /// Nobody waits for the call's answer any more.
    #[error("stopped because nobody waits for the answer any more; nothing was changed")]
    Cancelled,
    /// Something else than a SELECT is to be observed.
    #[error("only a SELECT can be observed; run this statement with query")]
    NotObservable,
    /// The store has as many live queries as it may.
    #[error(
        "there are {OBSERVERS_MAX} live queries already, as many as there may be; end one, or look again later"
    )]
    TooManyObservers,
    /// The system gives the store no thread.
    #[error("the thread that tells live queries can't be started: {0}; end some other program")]
    Thread(std::io::Error),
    /// A live query failed on a fault of the program, and has ended.
    #[error(
        "the live query met a fault of the program (a panic) and has ended; start it again, and report the fault"
    )]
    ObservationPanicked,
    /// The rows of a live query are too large to be kept.
    #[error(
        "the live query's rows take more than {} MiB; narrow it with WHERE, or select fewer columns",
        OBSERVED_BYTES_MAX >> 20
    )]
    ObservedTooLarge,
    /// The rows of all live queries are too large to be kept.
    #[error(
        "the live queries' rows would take more than {} MiB together; end another one, narrow this one with WHERE, or \
         select fewer columns",
        OBSERVED_BYTES_TOTAL_MAX >> 20
    )]
    ObservedTooLargeTogether,
    /// What a reader of the feed asks for is kept no longer.
    #[error(
        "what the feed had after sequence {since} is trimmed, it begins after {oldest}; start over: note the newest sequence \
         (since now), read the collections, then the feed since that sequence; or go on with what is kept (since oldest)"
    )]
    FeedTrimmed {
        /// After which sequence reading was to begin.
        since: u64,
        /// The least sequence after which everything is kept.
        oldest: u64,
    },
    /// A checkpoint is of a feed that this store no longer has.
    #[error(
        "the checkpoint is of another feed: the store was restored or did not end cleanly, so sequences may stand for other \
         changes; start over: note the newest sequence (since now), read the collections, then the feed since that sequence"
    )]
    OtherFeed,
    /// A reader of the feed is further than the feed.
    #[error(
        "sequence {since} is ahead of the feed, whose newest is {newest}; give a sequence or checkpoint of this store"
    )]
    AheadOfFeed {
        /// After which sequence reading was to begin.
        since: u64,
        /// The newest there is.
        newest: u64,
    },
    /// The collection isn't there.
    #[error("there is no collection {name:?}{}", known_collections(.known))]
    UnknownCollection {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The collection's name can't be one, or there are too many.
    #[error("{0}")]
    CollectionName(String),
    /// A document from another store is of a collection for which there is no room.
    #[error(
        "collection {0:?} of another peer would be one more than the {COLLECTIONS_HELD_MAX} a store may hold, so its \
         documents stay out; start with an empty state folder, and with --subscribe for each collection that is needed"
    )]
    TooManyCollections(String),
    /// The index isn't there.
    #[error("collection {collection:?} has no index {name:?}{}", known_indexes(.known))]
    UnknownIndex {
        /// The name asked for.
        name: String,
        /// The collection.
        collection: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// An index of that name is there.
    #[error(
        "collection {collection:?} has an index {name:?} already; choose another name, say CREATE INDEX IF NOT EXISTS, \
         or DROP INDEX first"
    )]
    IndexExists {
        /// The name.
        name: String,
        /// The collection.
        collection: String,
    },
    /// A transaction of several statements is to make or remove an index.
    #[error(
        "CREATE INDEX and DROP INDEX can't be part of a transaction of several statements; run them by themselves, before \
         or after it"
    )]
    IndexInTransaction,
    /// There are as many indexes as there may be.
    #[error(
        "an index of {0:?} would be one more than the {INDEXES_PER_COLLECTION_MAX} of a collection or the {INDEXES_MAX} \
         of a store; drop one that is not needed"
    )]
    TooManyIndexes(String),
    /// The `_id` can't be one.
    #[error(transparent)]
    Id(#[from] IdError),
    /// INSERT of a document that is there.
    #[error(
        "a document with _id {0} exists; say ON ID CONFLICT DO UPDATE or DO NOTHING, or use UPDATE"
    )]
    Exists(String),
    /// A write that this device's certificate would not let others accept.
    #[error(transparent)]
    NotPermitted(#[from] Denied),
    /// A document of a kind that can't be stored.
    #[error("the document can't be stored: {0}")]
    Document(String),
    /// A change can't be made or applied.
    #[error(transparent)]
    Change(#[from] DocumentError),
    /// A delta from another store is refused.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The store hasn't been told as whom it writes and whom it trusts.
    #[error(
        "the store has no identity yet, so nothing is sealed and nothing is taken in from others"
    )]
    NotCertified,
    /// An identity that can't be this store's.
    #[error("the identity is of another device or app than the store")]
    OtherIdentity,
    /// A certificate is refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The rules of a certificate can't be used.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// A seal can't be made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// An attachment can't be kept or given.
    #[error(transparent)]
    Attachment(#[from] BlobError),
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What the system says when a disk has no room, in the errors of RocksDB.
pub(super) const DISK_FULL: &str = "No space left on device";

const ADVICE_FULL: &str = "; nothing acknowledged is lost, and reading goes on. Free some space, a few MiB at least: a \
     running daemon then takes writes again by itself within seconds";

impl StoreError {
    /// A stored document can't be loaded.
    pub(super) fn damaged_document(id: &DocumentId, error: &DocumentError) -> Self {
        Self::Damaged {
            what: format!("document {id}"),
            reason: error.to_string(),
        }
    }
}

/// What RocksDB says of a write after one that failed, until it has resumed.
const WRITER_FAILED: &str = "Writer has previous error";

/// What to do about a failure of RocksDB, where that is known; begins with a separator.
fn advice(failure: &str) -> &'static str {
    if failure.contains(DISK_FULL) {
        ADVICE_FULL
    } else if failure.contains(WRITER_FAILED) {
        "; an earlier write failed, most likely on a full disk. Nothing acknowledged is lost, and reading goes on. Free \
         some space: a running daemon then takes writes again by itself within seconds"
    } else {
        ""
    }
}

fn known_indexes(known: &[String]) -> String {
    match known {
        [] => "; it has none".to_owned(),
        known => format!("; it has: {}", known.join(", ")),
    }
}

fn known_collections(known: &[String]) -> String {
    match known {
        [] => "; the store is empty so far".to_owned(),
        known => format!("; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a full disk is told with what to do, in the words that RocksDB passes on.
    #[test]
    fn a_full_disk_has_advice() {
        let failure =
            "IO error: No space left on device: While appending to file: /d/store/000004.log";
        assert!(advice(failure).contains("Free some space"));
        assert_eq!(advice("IO error: Input/output error"), "");
    }
}

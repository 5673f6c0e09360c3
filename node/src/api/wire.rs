//! What travels in the API's requests and answers.

mod attachments;
mod status;

use crate::backup::{Manifest, Progress};
use crate::limits::IMPORT_DOCUMENTS_MAX;
use sedge_crdt::{LogEntry, Move, Outcome, Update, Value};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use attachments::{
    AttachmentStatus, CollectRequest, CollectResponse, FetchEvent, FetchRequest, FetchStatus,
    ListQuery, ListResponse, UploadQuery,
};
pub use status::{CollectionStatus, CopiedDevice, DocumentName, StatusResponse, WithheldStatus};

/// Asks to run a statement: `POST /api/v1/store/execute`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecuteRequest {
    /// The statement.
    pub statement: String,
    /// The values of its parameters, by name without the colon.
    #[serde(default)]
    pub args: BTreeMap<String, Value>,
}

/// What a statement gave or did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecuteResponse {
    /// Local to the answering peer: the newest transaction a SELECT saw, a write's own.
    pub transaction_id: u64,
    /// `select`, `insert`, `update`, `delete`, `evict`, `history`, `revert`, `createIndex`, `dropIndex`, `show` or `explain`.
    pub query_type: String,
    /// The rows of a SELECT, HISTORY, SHOW or EXPLAIN, or those that a write's RETURNING gives; the new index, as SHOW
    /// INDEXES has it, of a CREATE INDEX.
    pub items: Vec<Value>,
    /// The documents that a write changed.
    pub mutated_document_ids: Vec<Value>,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
    /// How many warnings there were.
    pub total_warnings_count: usize,
}

impl From<Outcome> for ExecuteResponse {
    fn from(outcome: Outcome) -> Self {
        let ids = outcome.mutated.iter();
        Self {
            transaction_id: outcome.transaction_id,
            query_type: outcome.kind.as_str().to_owned(),
            items: outcome.items,
            mutated_document_ids: ids.map(|id| id.to_value()).collect(),
            total_warnings_count: outcome.warnings.len(),
            warnings: outcome.warnings,
        }
    }
}

/// Hands in documents: `POST /api/v1/store/import`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The collection they belong to.
    pub collection: String,
    /// The documents, at most 10,000.
    #[serde(deserialize_with = "read_documents")]
    pub documents: Vec<Value>,
}

/// Reads no more documents than a request may hand in: a list is refused before it is read whole.
fn read_documents<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    struct Documents;
    impl<'de> Visitor<'de> for Documents {
        type Value = Vec<Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of documents")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Value>, A::Error> {
            let mut documents = Vec::new();
            while let Some(document) = list.next_element()? {
                if documents.len() == IMPORT_DOCUMENTS_MAX {
                    return Err(A::Error::custom(format_args!(
                        "more than {IMPORT_DOCUMENTS_MAX} documents in one request; hand them in in several"
                    )));
                }
                documents.push(document);
            }
            Ok(documents)
        }
    }
    deserializer.deserialize_seq(Documents)
}

/// What became of imported documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportResponse {
    /// Documents that are new or have a new value.
    pub written: u64,
    /// Documents that had this value already.
    pub unchanged: u64,
    /// Documents that can't be stored, the first 1,000 of them.
    pub rejected: Vec<Rejected>,
    /// How many can't be stored.
    pub rejected_count: u64,
}

/// One document that can't be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its position among those handed in, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A collection to read whole, as NDJSON: `GET /api/v1/store/export?collection=…`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// The collection.
    pub collection: String,
}

/// A live query, as server-sent events: `GET /api/v1/store/observe?statement=…`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserveQuery {
    /// A SELECT.
    pub statement: String,
    /// The values of its parameters, a JSON object by name without the colon.
    #[serde(default)]
    pub args: Option<String>,
    /// Whether every event carries the whole result, not only the first.
    #[serde(default)]
    pub items: bool,
}

/// One event of a live query; [`Update::apply`] says how a list of the rows follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObserveEvent {
    /// The whole result now: in the first event, which has nothing else, and in every one if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Value>>,
    /// Rows that are gone.
    pub deleted: Vec<Value>,
    /// Where each of them stood, from 0.
    pub deleted_at: Vec<usize>,
    /// Rows that were not there before.
    pub inserted: Vec<Value>,
    /// Where each of them stands now.
    pub inserted_at: Vec<usize>,
    /// Rows of documents that showed another row before.
    pub updated: Vec<Value>,
    /// Where each of them stands now.
    pub updated_at: Vec<usize>,
    /// Rows whose place among those that stay changed.
    pub moved: Vec<ObservedMove>,
}

/// A row that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedMove {
    /// Where it stood, from 0.
    pub from: usize,
    /// Where it stands now.
    pub to: usize,
}

impl From<ObserveEvent> for Update {
    fn from(event: ObserveEvent) -> Self {
        let moved = event.moved.into_iter();
        Self {
            items: event.items,
            deleted: event.deleted,
            deleted_at: event.deleted_at,
            inserted: event.inserted,
            inserted_at: event.inserted_at,
            updated: event.updated,
            updated_at: event.updated_at,
            moved: moved
                .map(|ObservedMove { from, to }| Move { from, to })
                .collect(),
        }
    }
}

impl From<Update> for ObserveEvent {
    fn from(update: Update) -> Self {
        let moved = update.moved.into_iter();
        Self {
            items: update.items,
            deleted: update.deleted,
            deleted_at: update.deleted_at,
            inserted: update.inserted,
            inserted_at: update.inserted_at,
            updated: update.updated,
            updated_at: update.updated_at,
            moved: moved
                .map(|Move { from, to }| ObservedMove { from, to })
                .collect(),
        }
    }
}

/// What to read of the feed, as NDJSON: `GET /api/v1/store/feed?since=…`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    /// After what to begin: a checkpoint, a sequence, `oldest`, or `now`; 0 when it is left out.
    #[serde(default)]
    pub since: Option<String>,
    /// Only this collection.
    #[serde(default)]
    pub collection: Option<String>,
    /// Whether to go on with what is accepted later.
    #[serde(default)]
    pub follow: bool,
}

/// A line of the feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FeedLine {
    /// How far the feed is told: what to begin after the next time.
    Checkpoint(String),
    /// Why it ends here, and what to do.
    Error(String),
    /// What a change made of a document.
    #[serde(untagged, rename_all = "camelCase")]
    Change {
        /// Its place in the feed.
        sequence: u64,
        /// When the device committed it, in ms since 1970 by its clock.
        time_ms: i64,
        /// Whether the change was made there.
        origin: FeedOrigin,
        /// The collection's name.
        collection: String,
        /// The document's `_id`.
        document_id: Value,
        /// The document before, or null.
        before: Option<Value>,
        /// The document after, or null when it is deleted.
        after: Option<Value>,
    },
}

/// Where a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FeedOrigin {
    /// On this device.
    Local,
    /// On another one.
    Remote,
}

impl From<LogEntry> for FeedLine {
    fn from(entry: LogEntry) -> Self {
        Self::Change {
            sequence: entry.sequence,
            time_ms: entry.time_ms,
            origin: match entry.is_local {
                true => FeedOrigin::Local,
                false => FeedOrigin::Remote,
            },
            collection: entry.collection.to_string(),
            document_id: entry.id.to_value(),
            before: entry.before,
            after: entry.after,
        }
    }
}

/// Asks for a backup: `POST /api/v1/store/backup`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The folder to be made, on the daemon's machine.
    pub path: PathBuf,
}

/// A line of the answer to a request for a backup. The last one is not `progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackupEvent {
    /// It goes on.
    Progress(Progress),
    /// It is there.
    Done(BackupResponse),
    /// It could not be made; the reason, and what to do.
    Failed(String),
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupResponse {
    /// Where it is.
    pub path: PathBuf,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// The newest transaction in it.
    pub transaction_id: u64,
    /// Its collections.
    pub collections: usize,
    /// The visible documents of all collections.
    pub documents: u64,
    /// Its attachments.
    pub attachments: usize,
    /// The size of its files.
    pub bytes: u64,
    /// Documents with changes that only this device can give to others.
    #[serde(default)]
    pub unsealed: u64,
}

impl BackupResponse {
    /// The backup at `path` with this manifest.
    pub fn of(path: &Path, manifest: &Manifest) -> Self {
        Self {
            path: path.to_owned(),
            taken_ms: manifest.taken_ms,
            transaction_id: manifest.transaction_id,
            collections: manifest.collections.len(),
            documents: manifest.documents(),
            attachments: manifest.attachments.len(),
            bytes: manifest.bytes(),
            unsealed: manifest.unsealed,
        }
    }
}

/// No query parameters at all, for calls that take none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// A connected neighbour: `GET /api/v1/peers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its peer id.
    pub peer: String,
    /// The name in its certificate.
    pub name: Option<String>,
    /// Its address.
    pub address: String,
    /// `inbound` when it dialled, else `outbound`.
    pub direction: String,
    /// When it connected, in milliseconds since 1970.
    pub connected_since_ms: u64,
    /// Whether the sync stream is open.
    pub syncing: bool,
    /// Bytes that were sent to it for synchronisation since it connected, floods not counted.
    pub sent_bytes: u64,
    /// Bytes that came from it likewise.
    pub received_bytes: u64,
}

/// Why a request failed (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What happened, to what, and what to do.
    pub detail: String,
}

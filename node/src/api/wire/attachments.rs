//! What is said of attachments.

use sedge_crdt::limits::ATTACHMENTS_LISTED_MAX;
use sedge_crdt::{BlobId, BlobStat, Collected};
use sedge_mesh::FetchProgress;
use serde::{Deserialize, Serialize};

/// What is said of an upload: `POST /api/v1/attachments?metadata={…}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadQuery {
    /// The token's metadata, a JSON object of texts.
    #[serde(default)]
    pub metadata: Option<String>,
}

/// Where a list of attachments begins: `GET /api/v1/attachments?after=…`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// The id behind which it goes on.
    #[serde(default)]
    pub after: Option<String>,
}

/// A page of the attachments on a device, ascending by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListResponse {
    /// The attachments.
    pub attachments: Vec<AttachmentStatus>,
    /// The id behind which the next page begins; null when this is the last one.
    pub next: Option<String>,
}

impl From<&[BlobStat]> for ListResponse {
    fn from(page: &[BlobStat]) -> Self {
        let next = page.last().filter(|_| page.len() == ATTACHMENTS_LISTED_MAX);
        let status = |stat: &BlobStat| AttachmentStatus {
            id: stat.id.to_string(),
            len: stat.len,
            documents: stat.documents,
        };
        Self {
            next: next.map(|last| last.id.to_string()),
            attachments: page.iter().map(status).collect(),
        }
    }
}

/// An attachment on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentStatus {
    /// The BLAKE3 hash of its bytes, in hexadecimal.
    pub id: String,
    /// How many bytes it has.
    pub len: u64,
    /// How many documents name it.
    pub documents: u64,
}

/// Asks to fetch an attachment from neighbours: `POST /api/v1/attachments/ID/fetch`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FetchRequest {
    /// How many bytes it has; as documents here say when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// How long to wait for a neighbour that has what is missing, in seconds; 10 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u64>,
}

/// A line of the answer to a request to fetch. The last one is not `progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FetchEvent {
    /// It goes on.
    Progress(FetchStatus),
    /// All of it is here.
    Done(FetchStatus),
    /// It could not be fetched; the reason, and what to do.
    Failed(String),
}

/// How far a fetch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchStatus {
    /// The attachment's id.
    pub id: String,
    /// How many bytes it has.
    pub len: u64,
    /// How many of them are here.
    pub bytes: u64,
    /// From how many neighbours some came.
    pub peers: usize,
}

impl FetchStatus {
    /// How far the fetch of that attachment is.
    pub fn of(id: BlobId, progress: FetchProgress) -> Self {
        Self {
            id: id.to_string(),
            len: progress.of,
            bytes: progress.bytes,
            peers: progress.peers,
        }
    }
}

/// Asks to remove unused attachments: `POST /api/v1/attachments/collect`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CollectRequest {
    /// For how long no document must have named them, in seconds; an hour when it is left out.
    #[serde(default)]
    pub grace_seconds: Option<u64>,
}

/// What a collection removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectResponse {
    /// How many attachments.
    pub attachments: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

impl From<Collected> for CollectResponse {
    fn from(collected: Collected) -> Self {
        Self {
            attachments: collected.attachments,
            bytes: collected.bytes,
        }
    }
}

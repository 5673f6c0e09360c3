//! What is said of attachments.

use sedge_crdt::limits::ATTACHMENTS_LISTED_MAX;
use sedge_crdt::{BlobStat, Collected};
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

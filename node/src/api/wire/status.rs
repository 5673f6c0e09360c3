//! What a device says of itself.

use crate::error::NodeError;
use crate::limits::CLOCK_TOLD_MS;
use crate::store::StoreHandle;
use libp2p::PeerId;
use sedge_crdt::{CollectionStatus as StoreCollection, Copied, Value, Withheld};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a device is and holds: `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusResponse {
    /// The app.
    pub app: String,
    /// The device's peer id.
    pub peer: String,
    /// The device's name.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Whether a daemon runs.
    pub running: bool,
    /// The newest transaction whose effects are visible.
    pub transaction_id: u64,
    /// Where the daemon takes dials.
    pub listen: Vec<String>,
    /// Connected neighbours.
    pub peers: usize,
    /// By how much the device's clock is behind what it was, in ms, where that is a minute or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind_ms: Option<u64>,
    /// What of this device's own changes others don't get at present, where there is such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldStatus>,
    /// The devices whose state folder was copied, as far as that was noticed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copied_devices: Vec<CopiedDevice>,
    /// What each collection holds.
    pub collections: Vec<CollectionStatus>,
}

impl StatusResponse {
    /// Of a device that no daemon serves.
    pub(crate) async fn resting(
        app: &str,
        name: &str,
        peer: PeerId,
        store: &StoreHandle,
    ) -> Result<Self, NodeError> {
        let (withheld, copied) = store.troubles().await?;
        let copied: BTreeSet<_> = copied.iter().map(CopiedDevice::from).collect();
        Ok(Self {
            app: app.to_owned(),
            peer: peer.to_string(),
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            running: false,
            transaction_id: store.transaction_id(),
            listen: Vec::new(),
            peers: 0,
            clock_behind_ms: None,
            withheld: WithheldStatus::of(&withheld),
            copied_devices: copied.into_iter().collect(),
            collections: store.collections().iter().map(Into::into).collect(),
        })
    }

    /// With what the device's clock is behind, where that is worth telling.
    #[must_use]
    pub(crate) fn with_clock_behind(mut self, behind_ms: u64) -> Self {
        self.clock_behind_ms = Some(behind_ms).filter(|behind| *behind >= CLOCK_TOLD_MS);
        self
    }
}

/// Own changes that others don't get at present, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithheldStatus {
    /// Documents with own changes that are not sealed yet; only so many changed documents are looked at.
    pub unsealed: u64,
    /// There may be more than `unsealed`.
    pub is_more_unsealed: bool,
    /// Why sealing has stopped, where it has.
    pub reason: Option<String>,
    /// Documents with own changes that the device's certificate does not let it seal.
    pub set_aside: u64,
    /// Some of these.
    pub set_aside_first: Vec<DocumentName>,
}

/// A document by its names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentName {
    /// Its collection.
    pub collection: String,
    /// Its `_id`.
    pub id: Value,
}

impl WithheldStatus {
    fn of(withheld: &Withheld) -> Option<Self> {
        if *withheld == Withheld::default() {
            return None;
        }
        let first = withheld.set_aside_first.iter();
        Some(Self {
            unsealed: withheld.unsealed,
            is_more_unsealed: withheld.is_more_unsealed,
            reason: withheld.reason.clone(),
            set_aside: withheld.set_aside,
            set_aside_first: first
                .map(|(collection, id)| DocumentName {
                    collection: collection.to_string(),
                    id: id.to_value(),
                })
                .collect(),
        })
    }
}

/// A device as which two stores write: its state folder was copied or set back, or it deceives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CopiedDevice {
    /// The name in its certificate.
    pub name: String,
    /// Its peer id; null of a device whose certificate is gone.
    pub peer: Option<String>,
}

impl From<&Copied> for CopiedDevice {
    fn from(copied: &Copied) -> Self {
        let device = copied.device.as_ref();
        Self {
            name: copied.name.clone(),
            peer: device.map(|key| key.peer_id().to_string()),
        }
    }
}

/// What a collection holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionStatus {
    /// Its name.
    pub name: String,
    /// Visible documents.
    pub documents: u64,
    /// Over the visible value of every document; equal contents have equal digests.
    pub digest: String,
}

impl From<&StoreCollection> for CollectionStatus {
    fn from(collection: &StoreCollection) -> Self {
        Self {
            name: collection.name.to_string(),
            documents: collection.documents,
            digest: collection.digest.to_string(),
        }
    }
}

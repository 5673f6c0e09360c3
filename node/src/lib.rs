//! Sedge: an embedded document database whose peers form a mesh, with no server needed.
//!
//! ```no_run
//! # async fn run() -> Result<(), sedge::NodeError> {
//! use sedge::{Identity, Node, Params};
//!
//! let node = Node::builder("demo")
//!     .identity(Identity::development("correct horse battery staple"))
//!     .store("/var/lib/demo")
//!     .start()
//!     .await?;
//! let found = node.store().execute("SELECT * FROM cars WHERE year > 2020", Params::new()).await?;
//! println!("{} cars", found.items.len());
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
mod attachments;
pub mod backup;
mod blobs;
mod error;
mod limits;
mod node;
mod offline;
mod replica;
mod state;
mod store;
mod timekeeping;

pub use attachments::{AttachmentsHandle, Download, FETCH_WAIT};
pub use error::NodeError;
pub use node::{Identity, Node, NodeBuilder, check_address, now_ms};
pub use offline::Offline;
pub use sedge_crdt::limits::ATTACHMENT_GRACE_SECONDS;
pub use sedge_crdt::query::{Params, check_collection_name, check_writable_collection_name};
pub use sedge_crdt::{
    Attachment, AttachmentError, BlobId, BlobRef, BlobStat, Checkpoint, CheckpointError, Collected,
    CollectionStatus, Deadline, Digest, DocumentId, Durability, Imported, LogEntry, LogPage,
    Misfit, Move, Outcome, Since, StoreError, StoreOptions, Transacted, Transaction, Update, Value,
    View, check_metadata, parse_json,
};
pub use sedge_identity::{
    AppId, AppIdError, CertificateChain, SecretError, SharedSecret, SignedCertificate,
};
pub use sedge_mesh::{Direction, FetchError, FetchProgress, Fetching, PeerStatus};
pub use state::{Settings, StateError, StateFolder, check_device_name};
pub use store::StoreHandle;

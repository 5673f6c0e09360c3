//! What a node can fail with.

use crate::backup::BackupError;
use crate::state::StateError;
use sedge_crdt::{BlobId, CheckpointError, RightsError, StoreError};
use sedge_identity::{
    AppIdError, ArmourError, CertificateError, IssueError, SecretError, TrustError,
};
use sedge_mesh::{FetchError, FetchFailure, MeshError};
use sedge_transports::TransportError;
use std::path::PathBuf;

/// Why a node can't start, or can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The app id can't be one.
    #[error(transparent)]
    App(#[from] AppIdError),
    /// The shared secret can't be one.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The builder lacks something.
    #[error("a node needs {0}; set it on the builder")]
    Incomplete(&'static str),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database can't be opened because its files are damaged.
    #[error(
        "{what} is damaged: {reason}. Nothing was deleted. What other peers hold comes back: move {0} away, and make the \
         device anew with: sedge init --app APP --state {0} --secret-file MOVED/secret", .state.display()
    )]
    DamagedStore {
        /// The device's state folder.
        state: PathBuf,
        /// What is damaged.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A backup can't be made or restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The development certificate could not be issued.
    #[error("the certificate could not be issued: {0}")]
    Issue(#[from] IssueError),
    /// No usable root.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A text is no certificate.
    #[error("a certificate can't be read: {0}")]
    Armour(#[from] ArmourError),
    /// The device's own certificate does not hold.
    #[error(
        "this device's own certificate does not hold: {0}; have another issued, then: sedge cert install FILE"
    )]
    Certificate(#[from] CertificateError),
    /// The rights of the device's certificate can't be compiled.
    #[error(
        "the rights of this device's certificate can't be told: {0}; have another issued, then: sedge cert install FILE"
    )]
    Rights(#[from] RightsError),
    /// An address is no multiaddress.
    #[error("{address:?} is not an address: {reason}; write it like /ip4/192.168.1.5/tcp/4747")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A transport could not be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The mesh could not start.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// An attachment's bytes are not here and could not be fetched.
    #[error("the bytes of attachment {id} are not on this device: {reason}{}", after(.reason))]
    Fetch {
        /// The attachment.
        id: BlobId,
        /// Why they could not be fetched.
        reason: FetchError,
    },
    /// An attachment is to be fetched by its id alone, and nothing here tells its length.
    #[error(
        "the bytes of attachment {0} are not on this device, and no document here names it; give its token in the place of \
         the id, as the document has it"
    )]
    Unnamed(BlobId),
    /// Attachments are fetched by a running node.
    #[error(
        "the bytes of attachment {0} are not on this device, and only a running one fetches them: start it with sedge run, then \
         try again"
    )]
    NoMesh(BlobId),
    /// Where the feed is to begin.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// As many read the feed as may.
    #[error(
        "there are {0} readers of the feed already, as many as there may be; end one, or try again later"
    )]
    TooManyFeeds(usize),
    /// A background task ended before its time.
    #[error("{0} stopped unexpectedly; see the log")]
    Stopped(&'static str),
}

/// What to do about a fetch that failed.
fn after(reason: &FetchError) -> &'static str {
    match reason {
        FetchError::Failed(FetchFailure::NobodyHasIt { .. }) => {
            "; connect a device that has it, then try again: what came is kept"
        }
        _ => "",
    }
}

//! What can go wrong with an attachment.

use crate::blob::{AttachmentError, BlobId, ProofError};
use std::io;
use std::path::{Path, PathBuf};

/// Why an attachment can't be kept or given; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bytes are not on this device.
    #[error(
        "the bytes of attachment {0} are not on this device; `sedge attachment fetch {0}` gets them from neighbours while \
         `sedge run` runs"
    )]
    NotHere(BlobId),
    /// A stored file is not what was written.
    #[error(
        "attachment {id} is damaged: {what} is not what was written. Nothing of it was given; add the same file again, and \
         the damaged one is replaced"
    )]
    Damaged {
        /// The blob.
        id: BlobId,
        /// Which part of it.
        what: String,
    },
    /// A token names the blob with a length that it doesn't have.
    #[error("attachment {id} has {found} bytes, not {asked}")]
    OtherLength {
        /// The blob.
        id: BlobId,
        /// Its length, in bytes.
        found: u64,
        /// The length asked for, in bytes.
        asked: u64,
    },
    /// There can be no such attachment.
    #[error(transparent)]
    Refused(#[from] AttachmentError),
    /// A chunk from elsewhere is not the blob's.
    #[error(transparent)]
    Chunk(#[from] ProofError),
    /// What was to be kept can't be read.
    #[error("the attachment can't be read to its end: {0}; nothing of it was kept")]
    Content(io::Error),
    /// The disk fails.
    #[error("{}: {source}{advice}", .path.display(), advice = advice(.source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl BlobError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some space, then try again: nothing of it was kept",
        _ => "",
    }
}

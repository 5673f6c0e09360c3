//! The hidden folder in which a backup is made, and what is left of earlier ones that were cut off.

use super::BackupError;
use super::files::{io_error, sync_folder};
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const PREFIX: &str = ".sedge-backup-";

/// A folder that is removed unless it becomes a backup. It is locked meanwhile, so that whoever removes leftovers can
/// tell it from them.
pub(super) struct Draft {
    folder: TempDir,
    _lock: File,
}

impl Draft {
    /// Removes what backups that were cut off have left in `folder`, and makes a new draft there.
    pub(super) fn new(folder: &Path) -> Result<Self, BackupError> {
        remove_leftovers(folder);
        loop {
            let draft = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(folder)
                .map_err(io_error(folder))?;
            // Another backup may have come to remove it before it was locked.
            if let Some(lock) = lock(draft.path())
                && draft.path().exists()
            {
                return Ok(Self {
                    folder: draft,
                    _lock: lock,
                });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it its name, durably.
    pub(super) fn publish(self, path: &Path) -> Result<(), BackupError> {
        fs::rename(self.path(), path).map_err(io_error(path))?;
        // It has another name now; there is nothing left to be removed.
        drop(self.folder.keep());
        path.parent().map_or(Ok(()), sync_folder)
    }
}

/// Opens and locks a draft; `None` when somebody else has it, or has removed it.
fn lock(draft: &Path) -> Option<File> {
    let folder = File::open(draft).ok()?;
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        // Where folders can't be locked nothing is removed either.
        _ => Some(folder),
    }
}

fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_draft {
            continue;
        }
        let path = entry.path();
        let Ok(left) = File::open(&path) else {
            continue; // somebody else's, or just gone
        };
        // Who makes a backup holds its lock; it ends with the process.
        if left.try_lock().is_err() {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), "removed what a backup that was cut off had left")
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what a backup that was cut off had left stays")
            }
        }
    }
}

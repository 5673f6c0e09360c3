//! Backups: a folder that holds a store as of one moment, and a manifest that says what it is.
//!
//! | entry | what |
//! |---|---|
//! | `manifest.json` | [`Manifest`]: what the backup is of, and the size and hash of each file |
//! | `store/` | the database |
//! | `attachments/HEX` | the bytes of each attachment that was there as a whole, by its id |
//!
//! A backup is made in a hidden folder beside its place, made durable, and appears there whole. Restoring checks every
//! byte of it, and the restored store begins anew: under a new incarnation and feed.

mod attachments;
mod draft;
mod files;
mod restore;

use crate::api::wire::CollectionStatus;
use crate::error::NodeError;
use crate::node::now_ms;
use draft::Draft;
use files::{FileSum, sum_files, sync_folder, write_synced};
use sedge_crdt::{Check, Contents, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use attachments::RestoredAttachments;
pub use restore::{Restored, restore};

/// The layout of backups that this version writes and reads.
const BACKUP_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const STORE: &str = "store";
const ATTACHMENTS: &str = "attachments";

/// What goes wrong with a backup; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is where the backup is to be.
    #[error("{} exists; a backup replaces nothing: name a new folder", .0.display())]
    Exists(PathBuf),
    /// The backup would lie among the files of a store.
    #[error("{} is in the folder of a store, which a restore sets aside; name a folder elsewhere", .0.display())]
    InStore(PathBuf),
    /// There is no folder to put the backup in.
    #[error("{} can't hold a backup: there is no folder {}; make it, or name another place", .path.display(), .folder.display())]
    NoFolder {
        /// Where the backup was to be.
        path: PathBuf,
        /// What would have to be there.
        folder: PathBuf,
    },
    /// A relative path means nothing to a daemon.
    #[error("the path {} doesn't begin with /", .0.display())]
    Relative(PathBuf),
    /// A file can't be read or written.
    #[error("{path}: {source}; {}", crate::state::remedy(.source))]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder is no backup.
    #[error("{} is no backup: {reason}; name a folder that sedge backup made", .path.display())]
    None {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The backup is not as it was made.
    #[error("the backup {} is damaged: {reason}; use another one. Nothing was restored", .path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The backup is of another app.
    #[error(
        "the backup is of the app {found}, and this device is of {expected}; choose another with --state"
    )]
    Foreign {
        /// The backup's app.
        found: String,
        /// The device's.
        expected: String,
    },
    /// The device has documents.
    #[error(
        "the store in {} has documents; --force sets it aside in that folder, and deletes nothing. What other peers hold \
         of it comes back by itself", .0.display()
    )]
    NotEmpty(PathBuf),
}

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of the backup's layout.
    pub backup: u32,
    /// The app.
    pub app: String,
    /// The name of the device it was taken of.
    pub name: String,
    /// The version of the program that took it.
    pub version: String,
    /// The format of the store.
    pub format: u32,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// The newest transaction in it.
    pub transaction_id: u64,
    /// What each collection holds.
    pub collections: Vec<CollectionStatus>,
    /// The files of the store, by name.
    pub files: BTreeMap<String, FileSum>,
    /// The attachments, by their ids, which are the hashes of their bytes, with how many bytes each has.
    pub attachments: BTreeMap<String, u64>,
    /// Documents with changes that only the device itself can give to others: they were not sealed yet, or its certificate
    /// does not let it.
    #[serde(default)]
    pub unsealed: u64,
}

impl Manifest {
    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// It is no backup, or one of another version.
    pub fn read(backup: &Path) -> Result<Self, BackupError> {
        let no_backup = |reason: String| BackupError::None {
            path: backup.to_owned(),
            reason,
        };
        let text = fs::read_to_string(backup.join(MANIFEST))
            .map_err(|error| no_backup(format!("its {MANIFEST} can't be read ({error})")))?;
        #[derive(Deserialize)]
        struct Version {
            backup: u32,
        }
        let version: Version = serde_json::from_str(&text)
            .map_err(|error| no_backup(format!("its {MANIFEST} makes no sense ({error})")))?;
        if version.backup != BACKUP_VERSION {
            return Err(no_backup(format!(
                "it has version {}, and this program reads version {BACKUP_VERSION}",
                version.backup
            )));
        }
        serde_json::from_str(&text).map_err(|error| BackupError::Damaged {
            path: backup.to_owned(),
            reason: format!("its {MANIFEST} makes no sense ({error})"),
        })
    }

    /// The visible documents of all collections.
    pub fn documents(&self) -> u64 {
        let collections = self.collections.iter();
        collections.map(|collection| collection.documents).sum()
    }

    /// The size of its files, attachments among them, in bytes.
    pub fn bytes(&self) -> u64 {
        let files = self.files.values().map(|file| file.bytes);
        files.chain(self.attachments.values().copied()).sum()
    }
}

/// What a backup or a restore is about to do, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it does.
    pub step: Step,
    /// How much of that is done: documents to check, else bytes.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// The steps of a backup and of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Documents are read and compared with the totals.
    Check,
    /// Files are hashed and made durable.
    Sync,
    /// Files are copied, and their hashes compared.
    Copy,
}

/// Where a backup may be made: an absolute path where nothing is, in a folder that is there.
pub(crate) fn check_target(path: &Path) -> Result<&Path, BackupError> {
    if !path.is_absolute() {
        return Err(BackupError::Relative(path.to_owned()));
    }
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    match path.parent() {
        Some(folder) if is_in_store(folder) => Err(BackupError::InStore(path.to_owned())),
        Some(folder) if folder.is_dir() => Ok(folder),
        folder => Err(BackupError::NoFolder {
            path: path.to_owned(),
            folder: folder.unwrap_or(path).to_owned(),
        }),
    }
}

/// Whether a folder is that of a database, or within one.
fn is_in_store(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder
        .ancestors()
        .any(|folder| folder.join("CURRENT").is_file() && folder.join("IDENTITY").is_file())
}

/// Makes a backup of the open store at `path`; reads and writes go on meanwhile. It appears whole or not at all.
pub(crate) fn take(
    store: &Store,
    name: &str,
    path: &Path,
    told: &mut dyn FnMut(Progress),
) -> Result<Manifest, NodeError> {
    let folder = check_target(path)?;
    let draft = Draft::new(folder)?;
    let (copy, attachments) = (draft.path().join(STORE), draft.path().join(ATTACHMENTS));
    let taken_ms = now_ms();
    store.checkpoint(&copy, &attachments)?;
    let contents = read_through(&copy, Check::Entries, told)?;
    let manifest = Manifest {
        backup: BACKUP_VERSION,
        app: contents.app.clone(),
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        format: contents.format,
        taken_ms,
        transaction_id: contents.transaction_id,
        collections: contents.collections.iter().map(Into::into).collect(),
        files: sum_files(&copy, told)?,
        attachments: attachments::keep_undamaged(&attachments, told)?,
        unsealed: contents.unsealed,
    };
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| BackupError::Io {
        path: draft.path().join(MANIFEST),
        source: error.into(),
    })?;
    write_synced(&draft.path().join(MANIFEST), &text)?;
    sync_folder(draft.path())?;
    // A rename would replace an empty folder that has come meanwhile.
    check_target(path)?;
    draft.publish(path)?;
    Ok(manifest)
}

fn read_through(
    store: &Path,
    check: Check,
    told: &mut dyn FnMut(Progress),
) -> Result<Contents, NodeError> {
    let contents = Contents::read(store, check, &mut |done, total| {
        told(Progress {
            step: Step::Check,
            done,
            total,
        });
    });
    Ok(contents?)
}

#[cfg(test)]
mod tests;

//! A backup becomes the store of a device.

use super::attachments::{self, RestoredAttachments};
use super::files::{copy, io_error, sync_folder};
use super::{BackupError, Manifest, Progress, STORE, Step, now_ms, read_through};
use crate::api::wire::CollectionStatus;
use crate::error::NodeError;
use crate::state::StateFolder;
use sedge_crdt::{Check, Store, StoreOptions};
use sedge_identity::{AppId, PublicKey};
use std::fs;
use std::path::{Path, PathBuf};

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Where the store is that the device had before, if it had documents.
    pub set_aside: Option<PathBuf>,
    /// What came back of its attachments.
    pub attachments: RestoredAttachments,
    /// Documents with changes that can't leave this device, as the other one that made them had not sealed them.
    pub unsealed: u64,
}

/// Makes what is in a backup the store of an initialised device, which nobody uses meanwhile. Every file and document
/// is checked first; the device then writes under an actor that was never used. Whatever fails leaves the device as it
/// was, but a lost or damaged attachment is only told: the documents come back without it.
///
/// # Errors
/// The folder is not initialised or in use, the backup is damaged or of another app, or the device has documents and
/// they are not to be set aside (`force`).
pub fn restore(
    state: &StateFolder,
    backup: &Path,
    force: bool,
    told: &mut dyn FnMut(Progress),
) -> Result<Restored, NodeError> {
    let settings = state.settings()?;
    let _lock = state.lock()?;
    let manifest = Manifest::read(backup)?;
    if manifest.app != settings.app {
        return Err(NodeError::from(BackupError::Foreign {
            found: manifest.app,
            expected: settings.app,
        }));
    }
    let (app, device) = (AppId::new(&settings.app)?, state.key()?.public());
    let there = match state.store_path().join("CURRENT").exists() {
        false => There::Nothing,
        true => found(state, &app, &device, force)?,
    };
    if there == There::Documents && !force {
        return Err(BackupError::NotEmpty(state.path().to_owned()).into());
    }
    let draft = state.path().join("restoring");
    remove(&draft)?;
    let (attachments, unsealed) = match prepare(&manifest, backup, &draft, &app, &device, told) {
        Ok(prepared) => prepared,
        Err(error) => {
            remove(&draft)?;
            return Err(error);
        }
    };
    let set_aside = put_in_place(state, &draft, there)?;
    Ok(Restored {
        manifest,
        set_aside,
        attachments,
        unsealed,
    })
}

/// What a device has in the place where the restored store is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// A store in which nothing was ever written.
    Empty,
    Documents,
}

/// What is in the device's store. One that can't be opened may have documents; without `force` it is told.
fn found(
    state: &StateFolder,
    app: &AppId,
    device: &PublicKey,
    force: bool,
) -> Result<There, NodeError> {
    match state.open_store(app, device, StoreOptions::default()) {
        Ok(store) if store.transaction_id() == 0 => Ok(There::Empty),
        Err(error) if !force => Err(error),
        _ => Ok(There::Documents),
    }
}

/// Makes the restored store in a folder of its own; what came back of its attachments, and documents with changes that only
/// another device can give to others.
fn prepare(
    manifest: &Manifest,
    backup: &Path,
    draft: &Path,
    app: &AppId,
    device: &PublicKey,
    told: &mut dyn FnMut(Progress),
) -> Result<(RestoredAttachments, u64), NodeError> {
    fs::create_dir(draft).map_err(io_error(draft))?;
    copy_files(manifest, backup, draft, told)?;
    let contents = read_through(draft, Check::Documents, told)?;
    let collections = contents.collections.iter().map(CollectionStatus::from);
    if !collections.eq(manifest.collections.iter().cloned()) {
        return Err(NodeError::from(BackupError::Damaged {
            path: backup.to_owned(),
            reason: "it holds something else than its manifest says".to_owned(),
        }));
    }
    Store::begin_anew(draft, device)?;
    let store = Store::open(draft, app, device)?;
    let attachments = attachments::restore(manifest, backup, &store, told)?;
    // The same device seals them as soon as it runs.
    let unsealed = match contents.device == *device.as_bytes() {
        true => 0,
        false => contents.unsealed,
    };
    Ok((attachments, unsealed))
}

fn copy_files(
    manifest: &Manifest,
    backup: &Path,
    to: &Path,
    told: &mut dyn FnMut(Progress),
) -> Result<(), BackupError> {
    let damaged = |reason: String| BackupError::Damaged {
        path: backup.to_owned(),
        reason,
    };
    let (mut done, total) = (0, manifest.bytes());
    for (name, expected) in &manifest.files {
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(damaged(format!("{name:?} is not the name of a file")));
        }
        let from = backup.join(STORE).join(name);
        if !from.exists() {
            return Err(damaged(format!("its file {STORE}/{name} is missing")));
        }
        let sum = copy(&from, &to.join(name), |bytes| {
            done += bytes;
            told(Progress {
                step: Step::Copy,
                done,
                total,
            });
        })?;
        if sum != *expected {
            return Err(damaged(format!(
                "its file {STORE}/{name} is not as it was written"
            )));
        }
    }
    sync_folder(to)
}

/// Puts the restored store in the place of the one that is there. Cut short, the next opening completes it.
fn put_in_place(
    state: &StateFolder,
    draft: &Path,
    there: There,
) -> Result<Option<PathBuf>, NodeError> {
    let (store, restored) = (state.store_path(), state.restored_path());
    remove(&restored)?;
    fs::rename(draft, &restored).map_err(io_error(draft))?;
    sync_folder(state.path())?;
    let aside = state.path().join(format!("store-set-aside-{}", now_ms()));
    if there != There::Nothing {
        fs::rename(&store, &aside).map_err(io_error(&store))?;
    }
    state.finish_restore()?;
    if there == There::Empty {
        remove(&aside)?;
    }
    Ok((there == There::Documents).then_some(aside))
}

/// Removes what a restore has made and nobody needs.
fn remove(path: &Path) -> Result<(), BackupError> {
    match path.exists() {
        true => fs::remove_dir_all(path).map_err(io_error(path)),
        false => Ok(()),
    }
}

//! The attachments of a backup: each one is a file named by its hash, so a damaged one is known without a manifest. It
//! costs itself only, never the documents.

use super::files::{io_error, sum_files};
use super::{ATTACHMENTS, BackupError, Manifest, Progress, Step};
use crate::error::NodeError;
use sedge_crdt::{BlobError, BlobId, Store, StoreError};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// What a restore made of a backup's attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredAttachments {
    /// How many are here again.
    pub restored: u64,
    /// Those that the backup had once, and that are missing in it or damaged.
    pub lost: Vec<BlobId>,
    /// How many the documents name whose bytes are not here: those that are lost, and those that the device which made the
    /// backup had not.
    pub wanted: u64,
}

/// Hashes the attachments of a new backup and makes them durable. What is not what its name says was damaged before,
/// and is left out.
pub(super) fn keep_undamaged(
    folder: &Path,
    told: &mut dyn FnMut(Progress),
) -> Result<BTreeMap<String, u64>, BackupError> {
    let mut kept = BTreeMap::new();
    for (name, sum) in sum_files(folder, told)? {
        if sum.blake3 == name {
            kept.insert(name, sum.bytes);
            continue;
        }
        tracing::warn!(
            attachment = name,
            "a damaged attachment is left out of the backup; add the same file again"
        );
        let path = folder.join(name);
        fs::remove_file(&path).map_err(io_error(&path))?;
    }
    Ok(kept)
}

/// Takes a backup's attachments into the store that was made of it.
pub(super) fn restore(
    manifest: &Manifest,
    backup: &Path,
    store: &Store,
    told: &mut dyn FnMut(Progress),
) -> Result<RestoredAttachments, NodeError> {
    let mut outcome = RestoredAttachments::default();
    let (mut done, total) = (0, manifest.attachments.values().sum());
    for name in manifest.attachments.keys() {
        let id: BlobId = name.parse().map_err(|_| BackupError::Damaged {
            path: backup.to_owned(),
            reason: format!("{name:?} in its manifest is not the id of an attachment"),
        })?;
        let read = |bytes| {
            done += bytes;
            told(Progress {
                step: Step::Copy,
                done,
                total,
            });
        };
        match take_in(manifest, backup, id, store, read)? {
            true => outcome.restored += 1,
            false => outcome.lost.push(id),
        }
    }
    outcome.wanted = wanted(store)?;
    Ok(outcome)
}

/// Whether the file could be read and is what its name says.
fn take_in(
    manifest: &Manifest,
    backup: &Path,
    id: BlobId,
    store: &Store,
    read: impl FnMut(u64),
) -> Result<bool, StoreError> {
    let Ok(file) = File::open(backup.join(ATTACHMENTS).join(id.to_string())) else {
        return Ok(false);
    };
    let attachments = store.attachments();
    match attachments.put(Counted { file, read }, BTreeMap::new()) {
        Ok(token) if token.id == id.0 => Ok(true),
        Ok(other) => {
            let other = BlobId(other.id);
            // It may be another one of the backup under a wrong name.
            if !manifest.attachments.contains_key(&other.to_string()) {
                attachments.remove(other)?;
            }
            Ok(false)
        }
        Err(StoreError::Attachment(BlobError::Content(_) | BlobError::Refused(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many attachments documents name whose bytes are not here.
fn wanted(store: &Store) -> Result<u64, StoreError> {
    let (mut wanted, mut last) = (0, None);
    loop {
        let page = store.attachments().wanted(last)?;
        wanted += page.len() as u64;
        last = match page.last() {
            Some(last) => Some(*last),
            None => return Ok(wanted),
        };
    }
}

/// A file that tells how much of it was read.
struct Counted<F> {
    file: File,
    read: F,
}

impl<F: FnMut(u64)> Read for Counted<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        (self.read)(read as u64);
        Ok(read)
    }
}

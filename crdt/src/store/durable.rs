//! How much is known to be durable, so that an opening tells lost writes from those that were never acknowledged.
//!
//! After a crash the write-ahead log ends at its first unreadable byte. That may be where the last write was torn, or what
//! damage has left of acknowledged ones; the log alone can't say which. So each sync is followed by a note of how far it
//! reached, in a file of its own that is not synced: the note is never ahead of the log, and after a loss of power at most
//! as far behind as the system's own writing back, usually half a minute. It is bound to the database: laid beside the files of
//! another one it says nothing.

use super::error::StoreError;
use rustix::fs::fstatvfs;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

const FILE: &str = "durable";
/// Where RocksDB keeps what names the database.
const IDENTITY: &str = "IDENTITY";
const BYTES: usize = 16;
/// Everything is in tables, and nothing in the log.
const CLOSED: u64 = 0;

/// The note, for whoever opens a store for writing. It is locked, so that nobody else does.
pub(super) struct Durable {
    file: File,
    identity: Vec<u8>,
}

impl Durable {
    /// Opens the file in the folder of a store, and makes both where they aren't there.
    pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
        let path = folder.join(FILE);
        let open = || {
            fs::create_dir_all(folder)?;
            let mut options = File::options();
            options.create(true).truncate(false).write(true).open(&path)
        };
        let told = |error| unopened(&path, error);
        let file = open().map_err(told)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    /// For the database that is open now.
    pub(super) fn new(file: File, folder: &Path) -> Result<Self, StoreError> {
        let identity = read(&folder.join(IDENTITY))?.unwrap_or_default();
        Ok(Self { file, identity })
    }

    /// Notes that RocksDB's sequence number is durable.
    pub(super) fn note(&self, sequence: u64) {
        let record = record(sequence, &self.identity);
        let noted = self.file.write_all_at(&record, 0);
        if let Err(error) = noted {
            tracing::debug!(%error, "it is not noted how much is durable");
        }
    }

    /// Bytes that the disk has left. The open file stands for its folder, which need not be looked up by its path.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let disk = fstatvfs(&self.file)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Notes that nothing is only in the log.
    pub(super) fn note_closed(&self) {
        self.note(CLOSED);
    }
}

/// What was noted last for a store that may have something in its log only. A file that is missing, was torn or is of another
/// database tells nothing.
///
/// # Errors
/// It can't be read.
pub(super) fn noted(folder: &Path) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = read(&folder.join(FILE))? else {
        return Ok(None);
    };
    let identity = read(&folder.join(IDENTITY))?.unwrap_or_default();
    let sequence = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    Ok(sequence.filter(|sequence| bytes == record(*sequence, &identity) && *sequence != CLOSED))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unopened(path, error)),
    }
}

fn unopened(path: &Path, error: io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        error,
    }
}

/// That the log of a store ends before what was acknowledged.
pub(super) fn lost(folder: &Path, found: u64, noted: u64) -> StoreError {
    StoreError::Damaged {
        what: format!("the write-ahead log of the store {}", folder.display()),
        reason: format!("it ends at write {found}, and {noted} were acknowledged"),
    }
}

/// The sequence number, and the first bytes of the hash of it and what names the database.
fn record(sequence: u64, identity: &[u8]) -> [u8; BYTES] {
    let number = sequence.to_le_bytes();
    let hash = blake3::hash(&[&number, identity].concat());
    let mut record = [0; BYTES];
    record[..8].copy_from_slice(&number);
    record[8..].copy_from_slice(&hash.as_bytes()[..8]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Durable {
        Durable::new(Durable::lock(folder).unwrap(), folder).unwrap()
    }

    /// Goal: what is noted is read back, though the store was opened again; nothing, a torn file, a closed store or another
    /// database tell nothing, and a file that can't be read is told.
    #[test]
    fn only_a_whole_note_counts() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let noted = || noted(folder).unwrap();
        assert_eq!(noted(), None);
        fs::write(folder.join(IDENTITY), "this one").unwrap();
        let durable = open(folder);
        assert_eq!(noted(), None);
        durable.note(7);
        durable.note(1 << 40);
        let locked = Durable::lock(folder);
        assert!(matches!(locked, Err(StoreError::InUse(_))));
        drop(durable);
        let durable = open(folder);
        assert_eq!(noted(), Some(1 << 40));
        let path = folder.join(FILE);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(noted(), None, "{length} bytes");
        }
        durable.note(9);
        fs::write(folder.join(IDENTITY), "another one").unwrap();
        assert_eq!(noted(), None);
        fs::write(folder.join(IDENTITY), "this one").unwrap();
        assert_eq!(noted(), Some(9));
        durable.note_closed();
        assert_eq!(noted(), None);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(super::noted(folder), Err(StoreError::File { .. })));
    }
}

//! How much is known to be durable, so that an opening tells lost writes from those that were never acknowledged.
//!
//! After a crash the write-ahead log ends at its first unreadable byte. That may be where the last write was torn, or what
//! damage has left of acknowledged ones; the log alone can't say which. So each sync is followed by a note of how far it
//! reached, in a file of its own that is not synced: the note is never ahead of the log, and after a loss of power at most
//! as far behind as the system's own writing back, usually half a minute.

use super::error::StoreError;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::Path;

const FILE: &str = "durable";
const BYTES: usize = 16;
/// Everything is in tables, and nothing in the log.
const CLOSED: u64 = 0;

/// Whoever has it is alone with the store.
pub(super) struct Durable(File);

impl Durable {
    /// Makes the folder where it isn't there.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let open = || {
            fs::create_dir_all(folder)?;
            let mut options = File::options();
            options.create(true).truncate(false).write(true).open(&path)
        };
        let told = |error| StoreError::File {
            path: path.clone(),
            error,
        };
        let file = open().map_err(told)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    /// Notes that RocksDB's sequence number is durable.
    pub(super) fn note(&self, sequence: u64) {
        let noted = self.0.write_all_at(&record(sequence), 0);
        if let Err(error) = noted {
            tracing::debug!(%error, "it is not noted how much is durable");
        }
    }

    /// Notes that nothing is only in the log.
    pub(super) fn note_closed(&self) {
        self.note(CLOSED);
    }
}

/// What was noted last for a store that may have something in its log only. A file that is missing or was torn tells nothing.
pub(super) fn noted(folder: &Path) -> Option<u64> {
    let bytes = fs::read(folder.join(FILE)).ok()?;
    let sequence = u64::from_le_bytes(*bytes.first_chunk()?);
    (bytes == record(sequence) && sequence != CLOSED).then_some(sequence)
}

/// That the log of a store ends before what was acknowledged.
pub(super) fn lost(folder: &Path, found: u64, noted: u64) -> StoreError {
    StoreError::Damaged {
        what: format!("the write-ahead log of the store {}", folder.display()),
        reason: format!("it ends at write {found}, and {noted} were acknowledged"),
    }
}

/// The sequence number and the first bytes of its hash.
fn record(sequence: u64) -> [u8; BYTES] {
    let number = sequence.to_le_bytes();
    let mut record = [0; BYTES];
    record[..8].copy_from_slice(&number);
    record[8..].copy_from_slice(&blake3::hash(&number).as_bytes()[..8]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is noted is read back, though the store was opened again; nothing, a torn file or a closed store tell nothing.
    #[test]
    fn only_a_whole_note_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted(folder.path()), None);
        let durable = Durable::open(folder.path()).unwrap();
        assert_eq!(noted(folder.path()), None);
        durable.note(7);
        durable.note(1 << 40);
        assert!(matches!(
            Durable::open(folder.path()),
            Err(StoreError::InUse(_))
        ));
        drop(durable);
        let durable = Durable::open(folder.path()).unwrap();
        assert_eq!(noted(folder.path()), Some(1 << 40));
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(noted(folder.path()), None, "{length} bytes");
        }
        durable.note(9);
        durable.note_closed();
        assert_eq!(noted(folder.path()), None);
    }
}

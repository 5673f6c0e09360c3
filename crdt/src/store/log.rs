//! The change log: what each accepted change made of its document, kept as long as there is room.
//!
//! An entry is written in the batch of the change that it tells, and gone once newer ones need its room (`FEED_KEEP_BYTES`).
//! A change that leaves the visible document as it was has no entry, so sequences have holes. Each entry knows its position,
//! the bytes written to the log before it, so that what to trim is found by some twenty lookups and removed as one range.

mod checkpoint;
mod read;

pub use checkpoint::{Checkpoint, CheckpointError, Since};
pub use read::{LogEntry, LogPage};

use super::catalog::Catalog;
use super::database::{Batch, Database, decode};
use super::error::StoreError;
use super::reads::Reads;
use super::schema::{DocumentKey, LOG, META, META_LOG};

/// What part of the room stays free after a trim, so that not every commit trims.
const FREED_PART: u64 = 8;

/// What the log holds, and how much it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Bytes of keys and values above which the oldest go; 0 when nothing is kept.
    keep_bytes: u64,
    held: Held,
}

/// What the entries of one commit have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When it was committed, in ms since 1970 by this device's clock.
    pub(super) time_ms: i64,
    /// Whether its changes were made on this device.
    pub(super) is_local: bool,
}

/// Which entries there are; stored with each commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Of the changes up to this sequence there may be no entry any more; of all later ones there is.
    pub(super) trimmed: u64,
    /// The position of the first entry.
    pub(super) start: u64,
    /// The position of the next entry to be written.
    pub(super) end: u64,
}

impl Log {
    pub(super) fn load(database: &Database, keep_bytes: u64) -> Result<Self, StoreError> {
        let held = Held::load(database.newest())?;
        Ok(Self { keep_bytes, held })
    }

    /// Makes room for a commit's entries where the log holds more than it may. `newest` is the sequence of the commit before:
    /// what the coming one writes is kept at any rate.
    pub(super) fn trim(
        &mut self,
        database: &Database,
        newest: u64,
        batch: &mut Batch<'_>,
    ) -> Result<(), StoreError> {
        let held = self.held;
        if held.end - held.start <= self.keep_bytes {
            return Ok(());
        }
        let kept = self.keep_bytes - self.keep_bytes / FREED_PART;
        let (trimmed, start) = cut(database.newest(), held, newest, held.end - kept)?;
        let first = |sequence: u64| sequence.saturating_add(1).to_be_bytes();
        batch.delete_range(LOG, &first(held.trimmed), &first(trimmed));
        self.held = Held {
            trimmed,
            start,
            ..held
        };
        Ok(())
    }

    /// Writes what a change made of a document, both in binary form.
    pub(super) fn append(
        &mut self,
        batch: &mut Batch<'_>,
        sequence: u64,
        stamp: Stamp,
        document: &[u8],
        before: Option<&[u8]>,
        after: Option<&[u8]>,
    ) {
        if self.keep_bytes == 0 || before == after {
            return;
        }
        let record = Record {
            position: self.held.end,
            stamp,
            document,
            before,
            after,
        };
        let bytes = record.bytes();
        self.held.end += entry_bytes(&bytes);
        batch.put(LOG, &sequence.to_be_bytes(), bytes);
    }

    /// Writes what the log holds after a commit up to `sequence`.
    pub(super) fn store(&mut self, batch: &mut Batch<'_>, sequence: u64) {
        if self.keep_bytes == 0 {
            self.held.trimmed = sequence;
        }
        batch.put(META, META_LOG, self.held.bytes());
    }
}

impl Held {
    pub(super) fn load(reads: Reads<'_>) -> Result<Self, StoreError> {
        match reads.get(META, META_LOG)? {
            Some(bytes) => Self::read(&bytes).ok_or_else(damaged_log),
            // Nothing was ever logged, nor will be of what was written by now.
            None => Ok(Self {
                trimmed: reads.clock()?.0,
                ..Self::default()
            }),
        }
    }

    fn bytes(self) -> Vec<u8> {
        [self.trimmed, self.start, self.end]
            .map(u64::to_le_bytes)
            .concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let ([trimmed, start, end], []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let held = Self {
            trimmed: u64::from_le_bytes(*trimmed),
            start: u64::from_le_bytes(*start),
            end: u64::from_le_bytes(*end),
        };
        (held.start <= held.end).then_some(held)
    }
}

/// Reads all entries of a closed store, and sees that they agree with what is said of them.
pub(super) fn check(database: &Database, catalog: &Catalog, newest: u64) -> Result<(), StoreError> {
    let held = Held::load(database.newest())?;
    let (mut position, mut last) = (held.start, held.trimmed);
    for entry in database.newest().entries_from(LOG, &[])? {
        let (key, bytes) = entry?;
        let sequence = sequence_of(&key)?;
        let record = Record::read(&bytes).ok_or_else(damaged_log)?;
        let document = DocumentKey::read(record.document).ok_or_else(damaged_log)?;
        for value in [record.before, record.after].into_iter().flatten() {
            decode(&document, value)?;
        }
        let known = catalog.name(document.collection).is_some();
        if !known || record.position != position || sequence <= last {
            return Err(damaged_log());
        }
        (position, last) = (position + entry_bytes(&bytes), sequence);
    }
    match position == held.end && last <= newest {
        true => Ok(()),
        false => Err(damaged_log()),
    }
}

/// The greatest sequence up to which nothing has to be kept if what begins at the position `wanted` has to be, and the
/// position of what follows.
fn cut(reads: Reads<'_>, held: Held, newest: u64, wanted: u64) -> Result<(u64, u64), StoreError> {
    let (mut from, mut to) = (held.trimmed + 1, newest + 1);
    let mut start = held.end;
    while from < to {
        let middle = from + (to - from) / 2;
        match entry_from(reads, middle)? {
            Some((sequence, position)) if position < wanted => from = sequence + 1,
            Some((_, position)) => (to, start) = (middle, position),
            None => (to, start) = (middle, held.end),
        }
    }
    Ok((to - 1, start))
}

/// Sequence and position of the first entry from `sequence` on.
fn entry_from(reads: Reads<'_>, sequence: u64) -> Result<Option<(u64, u64)>, StoreError> {
    let mut entries = reads.entries_from(LOG, &sequence.to_be_bytes())?;
    let Some(entry) = entries.next() else {
        return Ok(None);
    };
    let (key, bytes) = entry?;
    let record = Record::read(&bytes).ok_or_else(damaged_log)?;
    Ok(Some((sequence_of(&key)?, record.position)))
}

/// An entry as it is stored under its sequence: position (u64), time (i64, ms), whether it is of this device (u8, 0 or 1),
/// bytes of the document's key (u16) and of the value before (u32), the three of them and the value after. No value takes 0 bytes, so that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) position: u64,
    pub(super) stamp: Stamp,
    pub(super) document: &'a [u8],
    pub(super) before: Option<&'a [u8]>,
    pub(super) after: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    fn bytes(&self) -> Vec<u8> {
        let before = self.before.unwrap_or_default();
        let after = self.after.unwrap_or_default();
        let mut bytes = Vec::with_capacity(23 + self.document.len() + before.len() + after.len());
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&self.stamp.time_ms.to_le_bytes());
        bytes.push(self.stamp.is_local.into());
        bytes.extend_from_slice(&(self.document.len() as u16).to_le_bytes()); // an id has 512 bytes at most
        bytes.extend_from_slice(&(before.len() as u32).to_le_bytes()); // the database takes no value of 4 GiB
        for part in [self.document, before, after] {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (position, rest) = bytes.split_first_chunk::<8>()?;
        let (time_ms, rest) = rest.split_first_chunk::<8>()?;
        let (is_local, rest) = rest.split_first()?;
        let stamp = Stamp {
            time_ms: i64::from_le_bytes(*time_ms),
            is_local: match is_local {
                0 => false,
                1 => true,
                _ => return None,
            },
        };
        let (document, rest) = rest.split_first_chunk::<2>()?;
        let (before, rest) = rest.split_first_chunk::<4>()?;
        let document_bytes = usize::from(u16::from_le_bytes(*document));
        let before_bytes = usize::try_from(u32::from_le_bytes(*before)).ok()?;
        let (document, rest) = rest.split_at_checked(document_bytes)?;
        let (before, after) = rest.split_at_checked(before_bytes)?;
        let value = |bytes: &'a [u8]| (!bytes.is_empty()).then_some(bytes);
        Some(Self {
            position: u64::from_le_bytes(*position),
            stamp,
            document,
            before: value(before),
            after: value(after),
        })
    }
}

/// What an entry counts for, in bytes.
fn entry_bytes(record: &[u8]) -> u64 {
    (size_of::<u64>() + record.len()) as u64
}

fn sequence_of(key: &[u8]) -> Result<u64, StoreError> {
    let bytes = key.try_into().map_err(|_| damaged_log())?;
    Ok(u64::from_be_bytes(bytes))
}

fn damaged_log() -> StoreError {
    StoreError::Damaged {
        what: "the change log".to_owned(),
        reason: "an entry can't be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    fn some_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        option::of(prop::collection::vec(any::<u8>(), 1..40))
    }

    proptest! {
        /// Goal: an entry is read as it was written, and what was cut off before its last part begins is none.
        #[test]
        fn records_round_trip(position in any::<u64>(), time_ms in any::<i64>(), is_local in any::<bool>(), document in prop::collection::vec(any::<u8>(), 0..40), before in some_bytes(), after in some_bytes()) {
            let stamp = Stamp { time_ms, is_local };
            let record = Record { position, stamp, document: &document, before: before.as_deref(), after: after.as_deref() };
            let bytes = record.bytes();
            prop_assert_eq!(Record::read(&bytes), Some(record));
            let whole = bytes.len() - after.map_or(0, |after| after.len());
            for length in 0..whole {
                prop_assert_eq!(Record::read(&bytes[..length]), None);
            }
        }

        /// Goal: what the log holds is read as it was written; a part of it is refused.
        #[test]
        fn what_is_held_round_trips(trimmed in any::<u64>(), start in any::<u32>(), more in any::<u32>()) {
            let held = Held { trimmed, start: start.into(), end: u64::from(start) + u64::from(more) };
            let bytes = held.bytes();
            prop_assert_eq!(Held::read(&bytes), Some(held));
            for length in 0..bytes.len() {
                prop_assert_eq!(Held::read(&bytes[..length]), None);
            }
        }
    }
}

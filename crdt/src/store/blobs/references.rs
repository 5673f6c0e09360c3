//! How many documents name a blob, kept in the write batch of the documents themselves.
//!
//! The counts are added up by a merge operator, so a write needs to know of a document nothing but its value before and
//! after. A count that has fallen to zero stays, with the time when it did, until the grace is over (`collect`).

use crate::blob::{BlobId, BlobRef, attachments_of};
use crate::limits::ATTACHMENTS_LISTED_MAX;
use crate::store::StoreError;
use crate::store::clock::now_ms;
use crate::store::database::{Batch, Database, damaged};
use crate::store::schema::ATTACHMENTS;
use crate::value::Value;
use rocksdb::MergeOperands;

/// How many documents name a blob, and when that last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    documents: i64,
    changed_ms: u64,
}

impl Count {
    fn bytes(self) -> [u8; 16] {
        let (documents, changed) = (self.documents.to_le_bytes(), self.changed_ms.to_le_bytes());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&documents);
        bytes[8..].copy_from_slice(&changed);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let [documents, changed] = bytes.as_chunks::<8>().0 else {
            return None;
        };
        (bytes.len() == 16).then_some(Self {
            documents: i64::from_le_bytes(*documents),
            changed_ms: u64::from_le_bytes(*changed),
        })
    }

    /// Whether nothing names the blob any more, and nothing did since then.
    pub(super) fn is_unused_since(self, then_ms: u64) -> bool {
        self.documents <= 0 && self.changed_ms <= then_ms
    }
}

/// Counts what the tokens of a document name that it named before, or names now.
pub(in crate::store) fn count_references(
    batch: &mut Batch<'_>,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    let named = |value: Option<&Value>| value.map(attachments_of).unwrap_or_default();
    let (before, after) = (named(before), named(after));
    let lost = before.difference(&after).map(|blob| (blob, -1));
    let won = after.difference(&before).map(|blob| (blob, 1));
    for (blob, documents) in lost.chain(won) {
        let count = Count {
            documents,
            changed_ms: now_ms().cast_unsigned(),
        };
        batch.append(ATTACHMENTS, &key(*blob), &count.bytes());
    }
}

/// Adds up counts: the merge operator of their family.
pub(in crate::store) fn add_counts(
    _key: &[u8],
    existing: Option<&[u8]>,
    operands: &MergeOperands,
) -> Option<Vec<u8>> {
    let mut sum = Count::default();
    for count in existing.into_iter().chain(operands) {
        let count = Count::read(count)?;
        sum.documents = sum.documents.checked_add(count.documents)?;
        sum.changed_ms = sum.changed_ms.max(count.changed_ms);
    }
    Some(sum.bytes().to_vec())
}

/// Which blobs were named how often, added up so that the order is of no matter: equal sums come of equal names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct NameSum(u128);

impl NameSum {
    /// What the counts say.
    pub(in crate::store) fn of_counts(database: &Database) -> Result<Self, StoreError> {
        let mut sum = Self::default();
        for entry in counts(database, &[])? {
            let (blob, count) = entry?;
            sum.add_times(blob, count.documents);
        }
        Ok(sum)
    }

    /// Adds what a document names.
    pub(in crate::store) fn add(&mut self, document: &Value) {
        for blob in attachments_of(document) {
            self.add_times(blob, 1);
        }
    }

    fn add_times(&mut self, blob: BlobRef, times: i64) {
        let hash = BlobId::of(&key(blob)).0;
        let (half, _) = hash.as_chunks::<16>();
        let number = half.first().copied().map_or(0, u128::from_le_bytes);
        let times = i128::from(times).cast_unsigned();
        self.0 = self.0.wrapping_add(number.wrapping_mul(times));
    }
}

/// How many documents name a blob, whatever length they say it has.
pub(super) fn documents(database: &Database, id: BlobId) -> Result<u64, StoreError> {
    let counts = counts_of(database, id)?.map(|count| Ok(count?.1));
    counts.sum()
}

/// The blob with the length that most documents say it has.
pub(super) fn named(database: &Database, id: BlobId) -> Result<Option<BlobRef>, StoreError> {
    let mut most = (0, None);
    for count in counts_of(database, id)? {
        let (blob, documents) = count?;
        if documents > most.0 {
            most = (documents, Some(blob));
        }
    }
    Ok(most.1)
}

/// The lengths that documents say a blob has, with how many do.
fn counts_of(
    database: &Database,
    id: BlobId,
) -> Result<impl Iterator<Item = Result<(BlobRef, u64), StoreError>>, StoreError> {
    let of_blob = move |entry: &Result<(BlobRef, Count), StoreError>| {
        entry.as_ref().map_or(true, |(blob, _)| blob.id == id)
    };
    let counts = counts(database, &id.0)?.take_while(of_blob);
    Ok(counts.map(|entry| {
        let (blob, count) = entry?;
        Ok((blob, u64::try_from(count.documents).unwrap_or(0)))
    }))
}

/// Whether there is a count of a blob, of any length or of this one.
pub(super) fn is_counted(
    database: &Database,
    id: BlobId,
    len: Option<u64>,
) -> Result<bool, StoreError> {
    let start = match len {
        Some(len) => key(BlobRef { id, len }),
        None => id.0.to_vec(),
    };
    let first = counts(database, &start)?.next().transpose()?;
    Ok(first.is_some_and(|(blob, _)| blob.id == id && len.is_none_or(|len| blob.len == len)))
}

/// Blobs that documents name and whose bytes `here` does not know.
pub(super) fn wanted(
    database: &Database,
    after: Option<BlobRef>,
    here: impl Fn(BlobId) -> Result<Option<u64>, StoreError>,
) -> Result<Vec<BlobRef>, StoreError> {
    let start = after.map(key).unwrap_or_default();
    let mut wanted = Vec::new();
    for entry in counts(database, &start)? {
        let (blob, count) = entry?;
        if count.documents > 0 && Some(blob) != after && here(blob.id)?.is_none() {
            wanted.push(blob);
            if wanted.len() == ATTACHMENTS_LISTED_MAX {
                break;
            }
        }
    }
    Ok(wanted)
}

/// The counts from a key on, ascending.
pub(super) fn counts<'a>(
    database: &'a Database,
    start: &[u8],
) -> Result<impl Iterator<Item = Result<(BlobRef, Count), StoreError>> + use<'a>, StoreError> {
    let entries = database.newest().entries_from(ATTACHMENTS, start)?;
    Ok(entries.map(|entry| {
        let (key, count) = entry?;
        let read = blob_of(&key).zip(Count::read(&count));
        read.ok_or_else(|| damaged(&key))
    }))
}

pub(super) fn key(blob: BlobRef) -> Vec<u8> {
    [&blob.id.0[..], &blob.len.to_be_bytes()].concat()
}

fn blob_of(key: &[u8]) -> Option<BlobRef> {
    let (id, len) = key.split_first_chunk::<32>()?;
    Some(BlobRef {
        id: BlobId(*id),
        len: u64::from_be_bytes(len.try_into().ok()?),
    })
}

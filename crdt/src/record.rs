//! What the store keeps of a document beside its changes and its value: the key of all its entries, and a small record of
//! state. Their bytes are part of the store's format (`store/schema`), but know no disk.

use crate::id::DocumentId;
use automerge::ChangeHash;

/// Where a document is found in `documents`, `values` and `states`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DocumentKey {
    pub(crate) collection: u32,
    pub(crate) id: DocumentId,
}

impl DocumentKey {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.collection.to_be_bytes()[..], self.id.as_bytes()].concat()
    }

    /// A key that leads to something in the store. `None` when the bytes are too few.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn stored(bytes: &[u8]) -> Option<Self> {
        let (collection, id) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            collection: u32::from_be_bytes(*collection),
            id: DocumentId::stored(id),
        })
    }

    /// `None` when the bytes are no such key.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (collection, id) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            collection: u32::from_be_bytes(*collection),
            id: DocumentId::from_canonical(id).ok()?,
        })
    }
}

/// What the store must know of a document without loading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DocumentState {
    /// How many changes this store has made in it under the latest incarnation that made any.
    pub(crate) own_seq: u64,
    /// The number of that incarnation.
    pub(crate) incarnation: u32,
    /// How many chunks its record has gathered since it was last compacted.
    pub(crate) tail_chunks: u32,
    /// Where it stands in the feed; 0 while it is nowhere.
    pub(crate) sequence: u64,
    /// When its changes were made.
    pub(crate) times: Times,
    /// Its newest changes, ascending.
    pub(crate) heads: Vec<ChangeHash>,
}

impl DocumentState {
    /// How many changes this store has made in it under an incarnation.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn own_seq_in(&self, incarnation: u32) -> u64 {
        match self.incarnation == incarnation {
            true => self.own_seq,
            false => 0,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.own_seq.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.tail_chunks.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.times.first_ms.to_le_bytes());
        bytes.extend_from_slice(&self.times.last_ms.to_le_bytes());
        for head in &self.heads {
            bytes.extend_from_slice(&head.0);
        }
        bytes
    }

    /// `None` when the bytes are no such record.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (own_seq, rest) = bytes.split_first_chunk::<8>()?;
        let (incarnation, rest) = rest.split_first_chunk::<4>()?;
        let (tail_chunks, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (first_ms, rest) = rest.split_first_chunk::<8>()?;
        let (last_ms, heads) = rest.split_first_chunk::<8>()?;
        let (heads, []) = heads.as_chunks::<32>() else {
            return None;
        };
        Some(Self {
            own_seq: u64::from_le_bytes(*own_seq),
            incarnation: u32::from_le_bytes(*incarnation),
            tail_chunks: u32::from_le_bytes(*tail_chunks),
            sequence: u64::from_le_bytes(*sequence),
            times: Times {
                first_ms: i64::from_le_bytes(*first_ms),
                last_ms: i64::from_le_bytes(*last_ms),
            },
            heads: heads.iter().map(|head| ChangeHash(*head)).collect(),
        })
    }
}

/// The times of a document's authored changes, in milliseconds since 1970, whatever their authors' clocks said. Without
/// changes the first is after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_ms: i64::MAX,
            last_ms: i64::MIN,
        }
    }
}

impl Times {
    pub(crate) fn with(self, times_ms: impl IntoIterator<Item = i64>) -> Self {
        times_ms.into_iter().fold(self, |times, time_ms| Self {
            first_ms: times.first_ms.min(time_ms),
            last_ms: times.last_ms.max(time_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_round_trip(own_seq in any::<u64>(), incarnation in any::<u32>(), tail_chunks in any::<u32>(), sequence in any::<u64>(), first_ms in any::<i64>(), last_ms in any::<i64>(), heads in prop::collection::vec(any::<[u8; 32]>(), 0..4)) {
            let state = DocumentState { own_seq, incarnation, tail_chunks, sequence, times: Times { first_ms, last_ms }, heads: heads.into_iter().map(ChangeHash).collect() };
            let bytes = state.bytes();
            prop_assert_eq!(DocumentState::read(&bytes), Some(state));
            prop_assert_eq!(DocumentState::read(&bytes[..bytes.len() - 1]), None);
        }

        /// Goal: documents sort by collection first, so that a collection is one range of keys.
        #[test]
        fn keys_round_trip_and_sort(a in any::<u32>(), b in any::<u32>(), text in "[a-z]{1,9}") {
            let key = |collection| DocumentKey { collection, id: DocumentId::new(&text.as_str().into()).unwrap() };
            prop_assert_eq!(DocumentKey::read(&key(a).bytes()), Some(key(a)));
            prop_assert_eq!(key(a).bytes().cmp(&key(b).bytes()), a.cmp(&b));
        }
    }
}

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
    /// Where the feed stood with the newest change that this store has made in it; 0 without one, [`SET_ASIDE`] once that
    /// turned out not to be sealable. Beyond what is sealed, that change and the own ones that it builds on may not leave
    /// the device.
    pub(crate) own_sequence: u64,
    /// Bytes of the own changes that are not sealed, behind those of `earlier`; of use only while there are such changes.
    pub(crate) unsealed_bytes: u32,
    /// The heads without the own changes that are not sealed, ascending; of use only while there are such changes.
    pub(crate) known: Vec<ChangeHash>,
    /// Own changes before the newest one that are to be sealed beside it: the last of each incarnation, and where all between
    /// two would be too much to travel at once.
    pub(crate) earlier: Vec<OwnChange>,
    /// Its newest changes, ascending.
    pub(crate) heads: Vec<ChangeHash>,
}

/// A change that this store has made under one of its incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnChange {
    /// The incarnation's number.
    pub(crate) incarnation: u32,
    pub(crate) seq: u64,
    pub(crate) hash: ChangeHash,
    /// Bytes of it and of those before it that are sealed with it alone.
    pub(crate) bytes: u32,
}

/// Stands for a place in the feed up to which nothing will ever be sealed.
pub(crate) const SET_ASIDE: u64 = u64::MAX;

impl DocumentState {
    /// How many changes this store has made in it under an incarnation.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn own_seq_in(&self, incarnation: u32) -> u64 {
        match self.incarnation == incarnation {
            true => self.own_seq,
            false => 0,
        }
    }

    /// Whether own changes in it are not sealed, where all are up to a place in the feed.
    pub(crate) fn is_unsealed(&self, sealed_to: u64) -> bool {
        self.own_sequence > sealed_to
    }

    /// The heads of what may leave the device.
    pub(crate) fn sealed_heads(&self, sealed_to: u64) -> &[ChangeHash] {
        match self.is_unsealed(sealed_to) {
            true => &self.known,
            false => &self.heads,
        }
    }

    /// The newest own change, if it is not sealed. Nothing but later own changes can build on one, so it is a head. Those
    /// before it are heads only if they do not count (`document::forked`).
    pub(crate) fn unsealed_head(&self) -> Option<OwnChange> {
        let is_earlier = |head: &ChangeHash| self.earlier.iter().any(|own| own.hash == *head);
        let is_newest = |head: &&ChangeHash| !self.known.contains(head) && !is_earlier(head);
        let head = self.heads.iter().find(is_newest)?;
        Some(OwnChange {
            incarnation: self.incarnation,
            seq: self.own_seq,
            hash: *head,
            bytes: self.unsealed_bytes,
        })
    }

    /// Of a record without any changes.
    const FIXED_BYTES: usize = 58;

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let hashes = self.known.len() + self.heads.len();
        let mut bytes = Vec::with_capacity(
            Self::FIXED_BYTES + self.earlier.len() * OwnChange::BYTES + hashes * 32,
        );
        bytes.extend_from_slice(&self.own_seq.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.tail_chunks.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.times.first_ms.to_le_bytes());
        bytes.extend_from_slice(&self.times.last_ms.to_le_bytes());
        bytes.extend_from_slice(&self.own_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.unsealed_bytes.to_le_bytes());
        bytes.extend_from_slice(&(self.known.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.earlier.len() as u16).to_le_bytes());
        for own in &self.earlier {
            bytes.extend_from_slice(&own.incarnation.to_le_bytes());
            bytes.extend_from_slice(&own.seq.to_le_bytes());
            bytes.extend_from_slice(&own.hash.0);
            bytes.extend_from_slice(&own.bytes.to_le_bytes());
        }
        for head in self.known.iter().chain(&self.heads) {
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
        let (last_ms, rest) = rest.split_first_chunk::<8>()?;
        let (own_sequence, rest) = rest.split_first_chunk::<8>()?;
        let (unsealed_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (known, rest) = rest.split_first_chunk::<4>()?;
        let (earlier, rest) = rest.split_first_chunk::<2>()?;
        let earlier = usize::from(u16::from_le_bytes(*earlier));
        let (earlier, heads) = rest.split_at_checked(earlier * OwnChange::BYTES)?;
        let earlier = earlier.as_chunks::<{ OwnChange::BYTES }>().0;
        let (heads, []) = heads.as_chunks::<32>() else {
            return None;
        };
        let known = usize::try_from(u32::from_le_bytes(*known)).ok()?;
        let (known, heads) = heads.split_at_checked(known)?;
        let hashes = |heads: &[[u8; 32]]| heads.iter().map(|head| ChangeHash(*head)).collect();
        Some(Self {
            own_seq: u64::from_le_bytes(*own_seq),
            incarnation: u32::from_le_bytes(*incarnation),
            tail_chunks: u32::from_le_bytes(*tail_chunks),
            sequence: u64::from_le_bytes(*sequence),
            times: Times {
                first_ms: i64::from_le_bytes(*first_ms),
                last_ms: i64::from_le_bytes(*last_ms),
            },
            own_sequence: u64::from_le_bytes(*own_sequence),
            unsealed_bytes: u32::from_le_bytes(*unsealed_bytes),
            known: hashes(known),
            earlier: earlier.iter().filter_map(OwnChange::read).collect(),
            heads: hashes(heads),
        })
    }
}

impl OwnChange {
    const BYTES: usize = 4 + 8 + 32 + 4;

    fn read(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (incarnation, rest) = bytes.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (hash, bytes) = rest.split_first_chunk::<32>()?;
        Some(Self {
            incarnation: u32::from_le_bytes(*incarnation),
            seq: u64::from_le_bytes(*seq),
            hash: ChangeHash(*hash),
            bytes: u32::from_le_bytes(bytes.try_into().ok()?),
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
        fn records_round_trip(own_seq in any::<u64>(), incarnation in any::<u32>(), tail_chunks in any::<u32>(), sequence in any::<u64>(), own_sequence in any::<u64>(), unsealed_bytes in any::<u32>(), first_ms in any::<i64>(), last_ms in any::<i64>(), known in prop::collection::vec(any::<[u8; 32]>(), 0..3), earlier in prop::collection::vec((any::<u32>(), any::<u64>(), any::<[u8; 32]>(), any::<u32>()), 0..3), heads in prop::collection::vec(any::<[u8; 32]>(), 0..4)) {
            let [known, heads] = [known, heads].map(|hashes| hashes.into_iter().map(ChangeHash).collect());
            let state = DocumentState { own_seq, incarnation, tail_chunks, sequence, own_sequence, unsealed_bytes, times: Times { first_ms, last_ms }, known, earlier: earlier.into_iter().map(|(incarnation, seq, hash, bytes)| OwnChange { incarnation, seq, hash: ChangeHash(hash), bytes }).collect(), heads };
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

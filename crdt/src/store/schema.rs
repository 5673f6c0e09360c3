//! Column families, keys and small records: the store's format, in one place.
//!
//! | family | key | value |
//! |---|---|---|
//! | `meta` | name | see the constants |
//! | `collections` | collection name | number (u32), documents (u64), sum (32 B) |
//! | `documents` | collection number (u32), document id | Automerge chunks: a snapshot and changes, or changes only |
//! | `values` | the same | the visible value in binary form; absent for a deleted document |
//! | `states` | the same | own seq (u64) in the incarnation (u32), chunks behind the snapshot (u32), sequence in the feed (u64), times of the first and the last change (i64 each, ms), sequence of the newest own change (u64), bytes of those not sealed (u32), how many known heads (u32) and earlier own changes (u16) there are, the latter (48 B each), the former (32 B each), heads (32 B each); see `record` |
//! | `aside` | the same | accepted changes that are not in its record, as they do not count for now (`document::forked`): their chunks, each behind its length (u32) |
//! | `proofs` | the same | which seals prove its changes; see `seal::proofs` |
//! | `seals` | seal name (16 B) | proofs that name it (u32), collection number (u32), the seal (147 B), the leaves of its tree (32 B each) if all are known |
//! | `certificates` | certificate name (32 B) | the certificates of its chain, each behind its length (u32) |
//! | `feed` | sequence (u64) | collection number (u32), document id; one entry for each document |
//! | `log` | sequence (u64) | position (u64), time (i64, ms), whether it is of this device (u8), lengths (u16, u32), collection number (u32) and document id, the visible value before and after; see `log` |
//! | `attachments` | blob id (32 B), length (u64) | documents that name it (i64), when that last changed (u64, ms); see `blobs` |
//! | `indexes` | index number (u32) | collection number (u32), state (u8), documents and cut keys while it is built (u64 each), the id it is built up to, name, then for each field descending (u8) and steps (u8), each step; all behind their lengths (u16) |
//! | `entries` | index number (u32), the fields as `query::plan::key` writes them, document id | length of the fields (u16) |
//! | `items` | collection number (u32), place (u64), document id | the item (32 B) of a document with sealed heads; see `reconcile` |
//! | `sums` | collection number (u32), node at depth 3 (u16) | how many items are in it (i64), their sum (32 B); see `reconcile` |
//! | `cursors` | feed (16 B), scope (8 B) | sequence up to which it is dealt with, and up to which nothing was left out (u64 each) |
//!
//! Numbers in keys are big-endian so that they sort, in values little-endian.

pub(super) use crate::record::{DocumentKey, DocumentState};

/// The version of everything in this module. A store of another format is refused.
pub(super) const FORMAT: u32 = 7;

pub(super) const META: &str = "meta";
pub(super) const COLLECTIONS: &str = "collections";
pub(super) const DOCUMENTS: &str = "documents";
pub(super) const VALUES: &str = "values";
pub(super) const STATES: &str = "states";
pub(super) const FEED: &str = "feed";
pub(super) const CURSORS: &str = "cursors";
/// Bytes of a key of `cursors`.
pub(super) const CURSOR_KEY_BYTES: usize = 24;
pub(super) const ATTACHMENTS: &str = "attachments";
pub(super) const INDEXES: &str = "indexes";
pub(super) const ENTRIES: &str = "entries";
pub(super) const LOG: &str = "log";
pub(super) const ASIDE: &str = "aside";
pub(super) const PROOFS: &str = "proofs";
pub(super) const SEALS: &str = "seals";
pub(super) const CERTIFICATES: &str = "certificates";
pub(super) const ITEMS: &str = "items";
pub(super) const SUMS: &str = "sums";

/// All families, in no particular order.
pub(super) const FAMILIES: [&str; 17] = [
    META,
    COLLECTIONS,
    DOCUMENTS,
    VALUES,
    STATES,
    FEED,
    CURSORS,
    ATTACHMENTS,
    INDEXES,
    ENTRIES,
    LOG,
    ASIDE,
    PROOFS,
    SEALS,
    CERTIFICATES,
    ITEMS,
    SUMS,
];

pub(super) const META_FORMAT: &[u8] = b"format";
pub(super) const META_APP: &[u8] = b"app";
pub(super) const META_DEVICE: &[u8] = b"device";
/// The incarnation's number (u32) and name (8 B).
pub(super) const META_INCARNATION: &[u8] = b"incarnation";
/// Followed by an incarnation's number (u32): its name (8 B). Every one that this store has had.
pub(super) const META_INCARNATIONS: &[u8] = b"incarnation ";
pub(super) const META_FEED: &[u8] = b"feed";
/// Up to where in the feed the own changes are sealed (u64), and the time of the last seal (u64, ms).
pub(super) const META_SEALED: &[u8] = b"sealed";
/// Followed by a document's key: its own changes can't be sealed under this device's certificate. Empty.
pub(super) const META_SET_ASIDE: &[u8] = b"set aside ";
/// Whom the device trusted when its own seals were last looked through: a hash of the roots' keys (32 B).
pub(super) const META_TRUSTED: &[u8] = b"trusted";
/// Followed by an actor (16 B) of which two changes with one number came: the key of its device (32 B), and its name.
pub(super) const META_FORKED: &[u8] = b"forked ";
/// There while the store is open with commits that are not synced, and after an unclean end of that. Empty.
pub(super) const META_UNSYNCED: &[u8] = b"unsynced";
/// The newest sequence at which documents were evicted (u64), to which the feed leads no more.
pub(super) const META_EVICTED: &[u8] = b"evicted";
/// The newest sequence (u64) and the time of the newest own change (i64, ms).
pub(super) const META_CLOCK: &[u8] = b"clock";
/// The number of the next index (u32).
pub(super) const META_INDEXES: &[u8] = b"indexes";
/// What the change log holds: the sequence up to which it is trimmed, the positions of its first and its next entry (u64 each).
pub(super) const META_LOG: &[u8] = b"log";

/// An entry of an index, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryKey<'a> {
    /// The index's number and the fields.
    pub(super) group: &'a [u8],
    /// The document's id in canonical form.
    pub(super) id: &'a [u8],
}

impl<'a> EntryKey<'a> {
    pub(super) fn bytes(index: u32, fields: &[u8], id: &[u8]) -> Vec<u8> {
        [&index.to_be_bytes()[..], fields, id].concat()
    }

    /// `None` when key and value are no entry.
    pub(super) fn read(key: &'a [u8], value: &[u8]) -> Option<Self> {
        let length = usize::from(u16::from_le_bytes(value.try_into().ok()?));
        let (group, id) = key.split_at_checked(4 + length)?;
        (!id.is_empty()).then_some(Self { group, id })
    }
}

/// The key of an item, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemKey<'a> {
    pub(super) collection: u32,
    pub(super) place: u64,
    /// The document's id in canonical form.
    pub(super) id: &'a [u8],
}

impl<'a> ItemKey<'a> {
    pub(super) fn bytes(self) -> Vec<u8> {
        let collection = self.collection.to_be_bytes();
        [&collection[..], &self.place.to_be_bytes(), self.id].concat()
    }

    /// `None` when the bytes are no such key.
    pub(super) fn read(key: &'a [u8]) -> Option<Self> {
        let (collection, rest) = key.split_first_chunk::<4>()?;
        let (place, id) = rest.split_first_chunk::<8>()?;
        (!id.is_empty()).then_some(Self {
            collection: u32::from_be_bytes(*collection),
            place: u64::from_be_bytes(*place),
            id,
        })
    }
}

/// The key of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SumKey {
    pub(super) collection: u32,
    /// The bits of the node.
    pub(super) node: u16,
}

impl SumKey {
    pub(super) fn bytes(self) -> [u8; 6] {
        let [a, b, c, d] = self.collection.to_be_bytes();
        let [e, f] = self.node.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// `None` when the bytes are no such key.
    pub(super) fn read(key: &[u8]) -> Option<Self> {
        let (collection, node) = key.split_first_chunk::<4>()?;
        Some(Self {
            collection: u32::from_be_bytes(*collection),
            node: u16::from_be_bytes(node.try_into().ok()?),
        })
    }
}

pub(super) fn read_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_round_trip(index in any::<u32>(), fields in prop::collection::vec(any::<u8>(), 0..9), id in "[a-z]{1,9}") {
            let key = EntryKey::bytes(index, &fields, id.as_bytes());
            let length = (fields.len() as u16).to_le_bytes();
            let read = EntryKey::read(&key, &length).unwrap();
            prop_assert_eq!((read.group, read.id), (&key[..4 + fields.len()], id.as_bytes()));
            for end in 0..=4 + fields.len() {
                prop_assert_eq!(EntryKey::read(&key[..end], &length), None);
            }
            prop_assert_eq!(EntryKey::read(&key, &length[..1]), None);
        }

        /// Goal: the items of a collection are in the order of their places, and a sum's key is its node.
        #[test]
        fn keys_of_items_and_sums_round_trip_and_sort(collection in any::<u32>(), places in any::<[u64; 2]>(), id in "[a-z]{1,9}", node in any::<u16>()) {
            let id = id.as_bytes();
            let [one, other] = places.map(|place| ItemKey { collection, place, id });
            prop_assert_eq!(one.bytes().cmp(&other.bytes()), places[0].cmp(&places[1]));
            let bytes = one.bytes();
            prop_assert_eq!(ItemKey::read(&bytes), Some(one));
            prop_assert_eq!(ItemKey::read(&bytes[..12]), None);
            let sum = SumKey { collection, node };
            prop_assert_eq!(SumKey::read(&sum.bytes()), Some(sum));
            prop_assert_eq!(SumKey::read(&sum.bytes()[..5]), None);
        }
    }
}

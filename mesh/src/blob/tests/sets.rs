//! Goal: sets of chunks count right, and only the bytes of a set of so many chunks are taken for one.

use proptest::{collection::btree_set, prelude::*};

use crate::blob::ChunkSet;

proptest! {
    /// Goal: a set survives the way through bytes, and its operations are those of a set.
    #[test]
    fn a_set_is_a_set(chunks in 1_u64..300, members in btree_set(0_u64..300, 0..300)) {
        let mut set = ChunkSet::none(chunks);
        members.iter().for_each(|index| set.add(*index));
        let members: Vec<u64> = members.into_iter().filter(|index| *index < chunks).collect();
        prop_assert_eq!(set.count(), members.len() as u64);
        prop_assert_eq!((0..310).filter(|index| set.has(*index)).collect::<Vec<_>>(), members.clone());
        prop_assert_eq!(ChunkSet::decode(&set.encode(), chunks), Some(set.clone()));
        prop_assert_eq!(ChunkSet::all(chunks).first_common(&set), members.first().copied());
        prop_assert_eq!(set.first_common(&set.complement()), None);
        prop_assert_eq!(set.complement().count() + set.count(), chunks);
        prop_assert_eq!(set.is_full(), members.len() as u64 == chunks);
        for index in members {
            set.remove(index);
        }
        prop_assert_eq!(set, ChunkSet::none(chunks));
    }
}

/// Goal: bytes of another length, or with chunks behind the last, are no set.
#[test]
fn other_bytes_are_no_set() {
    assert_eq!(ChunkSet::decode(&[0xff, 0x01], 9), Some(ChunkSet::all(9)));
    for wrong in [&[][..], &[0xff], &[0xff, 0x03], &[0xff, 0x01, 0x00]] {
        assert_eq!(ChunkSet::decode(wrong, 9), None);
    }
}

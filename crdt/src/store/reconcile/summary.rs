//! How many items there are and what they sum up to.

use super::item::Item;
use crate::store::digest::Digest;
use rocksdb::MergeOperands;

/// Items, counted and summed up: a number of 256 bits, the lowest byte first, as is each item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Summary {
    /// How many items, modulo 2^64: what a batch takes away is below zero.
    pub count: u64,
    /// Their sum modulo 2^256.
    pub sum: [u8; 32],
}

impl Summary {
    /// Of the items of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let [sum, more] = [self.sum, other.sum].map(|sum| Digest::from_bytes(&sum));
        Self {
            count: self.count.wrapping_add(other.count),
            sum: sum.plus(more).to_bytes(),
        }
    }

    /// With one item more.
    #[must_use]
    pub(super) fn with(self, item: Item) -> Self {
        self.plus(Self {
            count: 1,
            sum: item,
        })
    }

    /// With one item less.
    #[must_use]
    pub(super) fn without(self, item: Item) -> Self {
        let [sum, less] = [self.sum, item].map(|sum| Digest::from_bytes(&sum));
        Self {
            count: self.count.wrapping_sub(1),
            sum: sum.minus(less).to_bytes(),
        }
    }

    pub(super) fn bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sum);
        bytes
    }

    /// `None` when the bytes are no such record.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (count, sum) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            sum: sum.try_into().ok()?,
        })
    }
}

/// Adds up summaries: the merge operator of their family.
pub(in crate::store) fn add_summaries(
    _key: &[u8],
    existing: Option<&[u8]>,
    operands: &MergeOperands,
) -> Option<Vec<u8>> {
    let mut summaries = existing.into_iter().chain(operands).map(Summary::read);
    let sum = summaries.try_fold(Summary::default(), |sum, next| Some(sum.plus(next?)))?;
    Some(sum.bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: a record reads back, none shorter or longer does, and an item that goes again leaves no trace.
        #[test]
        fn summaries_round_trip(count in any::<u64>(), sum in any::<[u8; 32]>(), item in any::<Item>()) {
            let summary = Summary { count, sum };
            prop_assert_eq!(Summary::read(&summary.bytes()), Some(summary));
            prop_assert_eq!(Summary::read(&summary.bytes()[..39]), None);
            prop_assert_eq!(Summary::read(&[&summary.bytes()[..], &[0]].concat()), None);
            prop_assert_eq!(summary.without(item).with(item), summary);
            let change = Summary::default().without(item);
            prop_assert_eq!(summary.with(item).plus(change), summary);
        }
    }
}

//! Where documents stand when two stores compare what they hold: each at a place that follows from its name, with an item that
//! follows from its heads. Equal sums of items mean equal documents, so a difference is found by halving, sixteen ways at once.

use std::fmt;

use super::CollectionName;

/// Hexadecimal digits of a place.
pub const PLACE_DIGITS: u8 = 16;

/// All places that begin with these hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    depth: u8,
    bits: u64,
}

impl Prefix {
    /// All places.
    pub const ROOT: Self = Self { depth: 0, bits: 0 };

    /// The prefix of so many digits that has this value. `None` when there are more than [`PLACE_DIGITS`], or the value has more.
    pub fn new(depth: u8, bits: u64) -> Option<Self> {
        let is_within = match depth {
            PLACE_DIGITS => true,
            _ => depth < PLACE_DIGITS && bits >> (4 * u32::from(depth)) == 0,
        };
        is_within.then_some(Self { depth, bits })
    }

    /// How many digits it has.
    pub fn depth(self) -> u8 {
        self.depth
    }

    /// Its value.
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// The prefixes `span` digits below it, ascending: 16 to that power, none beyond the last digit.
    pub fn below(self, span: u8) -> impl Iterator<Item = Self> {
        let depth = self.depth.saturating_add(span);
        let count = match depth <= PLACE_DIGITS {
            true => 1_u64 << (4 * u32::from(span)),
            false => 0,
        };
        let first = self.bits.checked_shl(4 * u32::from(span)).unwrap_or(0);
        (0..count).map(move |index| Self {
            depth,
            bits: first | index,
        })
    }

    /// Whether a place is below it.
    pub fn contains(self, place: u64) -> bool {
        let digits = u32::from(PLACE_DIGITS - self.depth);
        place.checked_shr(4 * digits).unwrap_or(0) == self.bits
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Prefix({:0width$x})",
            self.bits,
            width = usize::from(self.depth)
        )
    }
}

/// A part of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The collection.
    pub collection: CollectionName,
    /// The places of its documents.
    pub prefix: Prefix,
}

impl Range {
    /// The whole of a collection.
    pub fn whole(collection: CollectionName) -> Self {
        Self {
            collection,
            prefix: Prefix::ROOT,
        }
    }
}

/// Stands for a document with its heads: stores that have the same of it have the same item, others another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item(pub [u8; 32]);

/// What the documents of a range come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// The sum of their items as numbers, modulo 2^256.
    pub sum: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: the prefixes below one are all that begin with it, each once, and hold exactly its places.
        #[test]
        fn prefixes_divide_their_places(place in any::<u64>(), depth in 0_u8..=14, span in 1_u8..=2) {
            let prefix = Prefix::new(depth, place.checked_shr(4 * u32::from(16 - depth)).unwrap_or(0)).unwrap();
            prop_assert!(prefix.contains(place));
            let below: Vec<_> = prefix.below(span).collect();
            prop_assert_eq!(below.len(), 1 << (4 * span));
            prop_assert_eq!(below.iter().filter(|it| it.contains(place)).count(), 1);
            prop_assert!(below.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn prefixes_have_as_many_digits_as_they_say() {
        assert_eq!(Prefix::new(0, 1), None);
        assert_eq!(Prefix::new(3, 0x1000), None);
        assert_eq!(Prefix::new(17, 0), None);
        assert!(
            Prefix::new(16, u64::MAX)
                .is_some_and(|it| it.contains(u64::MAX) && it.below(1).count() == 0)
        );
        assert!(Prefix::ROOT.contains(0) && Prefix::ROOT.contains(u64::MAX));
    }
}

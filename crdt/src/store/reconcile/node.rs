//! The tree of places: what begins alike is together.

use std::array;
use std::ops::RangeInclusive;

/// Children of a node.
pub(super) const FANOUT: usize = 16;
/// Bits by which a child's prefix is longer.
const STEP_BITS: u32 = FANOUT.ilog2();
/// How deep the deepest nodes are, each of one place.
const DEPTH_MAX: u8 = (u64::BITS / STEP_BITS) as u8;

/// All places that begin with the same hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    depth: u8,
    bits: u64,
}

impl Node {
    /// All places.
    pub const ROOT: Self = Self { depth: 0, bits: 0 };

    /// The node of so many digits, at most 16, which as a number are `bits`. `None` where these are more digits.
    pub fn new(depth: u8, bits: u64) -> Option<Self> {
        let node = Self { depth, bits };
        let beyond = bits.checked_shr(STEP_BITS * u32::from(depth));
        (depth <= DEPTH_MAX && beyond.unwrap_or(0) == 0).then_some(node)
    }

    /// The node at a depth, at most 16, that a place is in.
    pub fn around(place: u64, depth: u8) -> Option<Self> {
        let free = u64::BITS.checked_sub(STEP_BITS * u32::from(depth))?;
        Self::new(depth, place.checked_shr(free).unwrap_or(0))
    }

    /// How many digits its places share: 0 to 16.
    pub fn depth(self) -> u8 {
        self.depth
    }

    /// These digits as a number.
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// The nodes that it falls into by the next digit, ascending; `None` at depth 16.
    pub fn children(self) -> Option<[Self; FANOUT]> {
        let (depth, first) = (self.depth + 1, self.bits << STEP_BITS);
        let child = |digit| Self {
            depth,
            bits: first | digit as u64,
        };
        (depth <= DEPTH_MAX).then(|| array::from_fn(child))
    }

    /// Whether a place is in it.
    pub fn contains(self, place: u64) -> bool {
        self.places().contains(&place)
    }

    /// All of its places.
    pub fn places(self) -> RangeInclusive<u64> {
        let shared = STEP_BITS * u32::from(self.depth);
        let first = self.bits.checked_shl(u64::BITS - shared).unwrap_or(0);
        first..=first | u64::MAX.checked_shr(shared).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: at each depth the nodes part the places: each place is in one, which is a child of the one above it.
        #[test]
        fn nodes_part_the_places(place in any::<u64>(), other in any::<u64>()) {
            for depth in 0..=DEPTH_MAX {
                let node = Node::around(place, depth).unwrap();
                prop_assert_eq!(Node::new(depth, node.bits()), Some(node));
                prop_assert!(node.contains(place));
                prop_assert_eq!(node.contains(other), Node::around(other, depth) == Some(node));
                let below = node.children().into_iter().flatten();
                let below = below.filter(|child| child.contains(place)).collect::<Vec<_>>();
                let child = Node::around(place, depth + 1);
                prop_assert_eq!(below, child.into_iter().collect::<Vec<_>>());
            }
            prop_assert_eq!(Node::new(DEPTH_MAX + 1, 0), None);
        }
    }

    /// Goal: bits that are more than the digits are refused, and children are in order and fill their node.
    #[test]
    fn nodes_are_checked() {
        assert_eq!(Node::new(0, 0), Some(Node::ROOT));
        assert_eq!(Node::new(0, 1), None);
        assert_eq!(Node::new(3, 4096), None);
        assert_eq!(Node::ROOT.places(), 0..=u64::MAX);
        let node = Node::new(3, 0xabc).unwrap();
        assert_eq!(node.places(), 0xabc << 52..=(0xabd << 52) - 1);
        let children = node.children().unwrap();
        let mut next = *node.places().start();
        for child in children {
            assert_eq!(*child.places().start(), next);
            next = child.places().end() + 1;
        }
        assert_eq!(next - 1, *node.places().end());
        assert_eq!(
            Node::new(16, u64::MAX).unwrap().places(),
            u64::MAX..=u64::MAX
        );
    }
}

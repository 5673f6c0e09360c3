//! Sums of hashes: what is added and taken away again leaves no trace, in any order.

use crate::id::DocumentId;
use crate::value::Value;
use sedge_identity::hex;
use std::fmt;

/// A 256-bit sum of document hashes; equal contents have equal digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest([u64; 4]);

impl Digest {
    /// The digest of one document's visible value.
    pub fn of(id: &DocumentId, value: &Value) -> Self {
        Self::of_encoded(id, &value.as_visible().encode())
    }

    /// The same of the visible value's binary form.
    pub(super) fn of_encoded(id: &DocumentId, value: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(id.as_bytes().len() as u64).to_le_bytes());
        hasher.update(id.as_bytes());
        hasher.update(value);
        Self::from_bytes(hasher.finalize().as_bytes())
    }

    /// The digest of both sets of documents together.
    pub fn plus(self, other: Self) -> Self {
        let mut sum = [0; 4];
        let mut carry = false;
        for (index, limb) in sum.iter_mut().enumerate() {
            let (partial, first) = self.0[index].overflowing_add(other.0[index]);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = first || second;
        }
        Self(sum)
    }

    /// The digest without documents that it covers.
    pub fn minus(self, other: Self) -> Self {
        let complement = Self(other.0.map(|limb| !limb));
        self.plus(complement).plus(Self([1, 0, 0, 0]))
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*chunk);
        }
        Self(limbs)
    }
}

/// The first 128 bits in hexadecimal: enough to compare by eye or program.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.to_bytes()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: whatever is added and taken away again leaves no trace, in any order.
        #[test]
        fn digests_add_and_subtract(a in any::<[u64; 4]>(), b in any::<[u64; 4]>(), c in any::<[u64; 4]>()) {
            let (a, b, c) = (Digest(a), Digest(b), Digest(c));
            prop_assert_eq!(a.plus(b).plus(c).minus(b), c.plus(a));
            prop_assert_eq!(Digest::from_bytes(&a.to_bytes()), a);
        }
    }
}

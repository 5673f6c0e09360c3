//! Names and numbers for the tests.

use crate::replica::{CollectionName, DocumentKey, PeerKey};

/// A small seeded generator (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub fn collection(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

pub fn document(name: &str, id: u64) -> DocumentKey {
    DocumentKey::new(collection(name), id.to_string().into_bytes()).unwrap()
}

pub fn peer(index: usize) -> PeerKey {
    PeerKey::new(&[u8::try_from(index).unwrap()])
}

pub fn index(peer: &PeerKey) -> usize {
    usize::from(peer.as_bytes()[0])
}

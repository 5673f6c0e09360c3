//! Under which name a device writes.

use std::fmt;

use crate::{hex::hex, key::PublicKey};

/// Begins what is hashed to an actor's name.
const ACTOR_DOMAIN: &[u8] = b"sedge actor 1";

/// Random bytes of a store, new wherever numbers that were given might be given again. No two stores share them, so a
/// device with another store is another actor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 8]);

/// The actor of a device's changes: its key in one incarnation of its store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorName(pub [u8; 16]);

impl ActorName {
    /// The name under which `device` writes in one incarnation of its store: the first 16 bytes of the BLAKE3 hash of both.
    #[must_use]
    pub fn of(device: &PublicKey, incarnation: Incarnation) -> Self {
        let mut name = [0; 16];
        blake3::Hasher::new()
            .update(ACTOR_DOMAIN)
            .update(device.as_bytes())
            .update(&incarnation.0)
            .finalize_xof()
            .fill(&mut name);
        Self(name)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceKey;

    /// Goal: key and incarnation fix the name, for ever, and either of them changes it.
    #[test]
    fn names_are_pinned() {
        let name = |seed, incarnation| {
            let device = DeviceKey::from_seed([seed; 32]).public();
            ActorName::of(&device, Incarnation(incarnation))
        };
        let pinned = name(2, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(pinned.to_string(), "c2654b06268986d127e88c95b2730469");
        assert_ne!(name(3, [1, 2, 3, 4, 5, 6, 7, 8]), pinned);
        assert_ne!(name(2, [1, 2, 3, 4, 5, 6, 7, 9]), pinned);
    }
}

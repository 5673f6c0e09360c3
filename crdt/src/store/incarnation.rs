//! Under which name a store writes.
//!
//! The actor of this device's changes follows from its key and the incarnation. A new one is drawn wherever numbers that
//! were given might be given again: for every store made or restored, after an end that may have lost what others
//! have heard of, and when own changes are evicted. What a document's state counts holds in one incarnation alone.

use super::database::{Batch, damaged};
use super::error::StoreError;
use super::schema::{META, META_INCARNATION, META_INCARNATIONS};
use crate::random::random;
use crate::seal::actor_id;
use automerge::ActorId;
use sedge_identity::{ActorName, PublicKey};

/// One incarnation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incarnation {
    /// Counts them within this store.
    pub(super) number: u32,
    /// Random: no two stores share it.
    name: [u8; 8],
}

impl Incarnation {
    pub(super) fn first() -> Result<Self, StoreError> {
        Ok(Self {
            number: 0,
            name: random()?,
        })
    }

    pub(super) fn next(self) -> Result<Self, StoreError> {
        Ok(Self {
            number: self.number.wrapping_add(1),
            name: random()?,
        })
    }

    /// The actor under which a device writes.
    pub(super) fn actor(self, device: &PublicKey) -> ActorId {
        actor_id(ActorName::of(
            device,
            sedge_identity::Incarnation(self.name),
        ))
    }

    /// Makes it the store's, beside those that it had before.
    pub(super) fn store(self, batch: &mut Batch<'_>) {
        let number = [META_INCARNATIONS, &self.number.to_le_bytes()].concat();
        batch.put(META, &number, self.name);
        batch.put(META, META_INCARNATION, self.bytes());
    }

    /// The name of one that this store has or had.
    pub(super) fn read_name(bytes: &[u8]) -> Result<sedge_identity::Incarnation, StoreError> {
        let name = bytes.try_into().map_err(|_| damaged(META_INCARNATIONS))?;
        Ok(sedge_identity::Incarnation(name))
    }

    fn bytes(self) -> Vec<u8> {
        [&self.number.to_le_bytes()[..], &self.name].concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let (number, name) = bytes.split_first_chunk::<4>()?;
            Some(Self {
                number: u32::from_le_bytes(*number),
                name: name.try_into().ok()?,
            })
        };
        read().ok_or_else(|| damaged(META_INCARNATION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a record reads back, and nothing shorter or longer does; each incarnation is another.
    #[test]
    fn incarnations_round_trip_and_differ() {
        let first = Incarnation::first().unwrap();
        let next = first.next().unwrap();
        assert_eq!(Incarnation::read(&next.bytes()).unwrap(), next);
        assert_ne!((first.number, first.name), (next.number, next.name));
        assert!(Incarnation::read(&next.bytes()[..11]).is_err());
        assert!(Incarnation::read(&[&next.bytes()[..], &[0]].concat()).is_err());
    }
}

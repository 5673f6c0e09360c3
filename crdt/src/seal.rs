//! What proves who made a change: seals on their way between stores, and what is kept of them beside a document.
//!
//! A store that hands out changes names for each document the seals that cover them ([`Sealed`]), and sends these seals
//! beside the documents ([`Evidence`]). Whoever takes them in checks the seals first (`check`), and then asks
//! `acceptance` which changes they cover.

mod certified;
mod check;
mod proofs;
mod wire;

pub(crate) use certified::Certified;
pub(crate) use check::{Authorities, Claims, Made, NotProven, Proven, check};
pub(crate) use proofs::{Proof, Proofs};
pub use wire::{Evidence, EvidenceError, Sealed, SealedChange};

use crate::id::DocumentId;
use automerge::{ActorId, ChangeHash};
use sedge_identity::{ActorName, MerkleHash};

/// The leaf of a document's change in the tree of a seal.
pub(crate) fn leaf(id: &DocumentId, change: &ChangeHash) -> MerkleHash {
    sedge_identity::leaf(id.as_bytes(), &change.0)
}

/// The actor under which a device writes.
pub(crate) fn actor_id(actor: ActorName) -> ActorId {
    ActorId::from(actor.0)
}

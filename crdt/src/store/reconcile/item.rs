//! What stands for a document, and where: the same in every store of an app.

use crate::id::DocumentId;
use automerge::ChangeHash;
use blake3::Hasher;

/// BLAKE3's contexts for deriving keys.
const ITEM_CONTEXT: &str = "sedge reconciliation item 1";
const PLACE_CONTEXT: &str = "sedge reconciliation place 1";

/// A hash of a document's name and its sealed heads.
pub(super) type Item = [u8; 32];

/// The name of a document among those of all apps.
#[derive(Clone, Copy)]
pub(super) struct DocumentName<'a> {
    pub(super) app: &'a str,
    pub(super) collection: &'a str,
    pub(super) id: &'a DocumentId,
}

impl DocumentName<'_> {
    /// The first 8 bytes of the hash of the name, big-endian.
    pub(super) fn place(self) -> u64 {
        let mut place = [0; 8];
        self.hasher(PLACE_CONTEXT).finalize_xof().fill(&mut place);
        u64::from_be_bytes(place)
    }

    /// `None` without heads, as nothing of the document may leave the device.
    pub(super) fn item(self, heads: &[ChangeHash]) -> Option<Item> {
        if heads.is_empty() {
            return None;
        }
        let mut hasher = self.hasher(ITEM_CONTEXT);
        for head in heads {
            hasher.update(&head.0);
        }
        Some(*hasher.finalize().as_bytes())
    }

    /// Has hashed the parts of the name, each behind its length (u64, little-endian).
    fn hasher(self, context: &str) -> Hasher {
        let mut hasher = Hasher::new_derive_key(context);
        for part in [
            self.app.as_bytes(),
            self.collection.as_bytes(),
            self.id.as_bytes(),
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &DocumentId) -> DocumentName<'_> {
        DocumentName {
            app: "demo",
            collection: "cars",
            id,
        }
    }

    /// Goal: stores of other versions come to the same: these bytes never change. No part of a name runs into the next.
    #[test]
    fn items_and_places_are_pinned() {
        let id = &DocumentId::new(&"a".into()).unwrap();
        let heads = [ChangeHash([1; 32]), ChangeHash([2; 32])];
        let item = name(id).item(&heads).unwrap();
        let told = sedge_identity::hex(&item).to_string();
        let pinned = "1c1659913c48f956a2b57bff9c0a1748e3a747aa06a370d9403affc903903813";
        assert_eq!(told, pinned);
        assert_eq!(format!("{:016x}", name(id).place()), "ee1bf2a743b09e04");
        assert_eq!(name(id).item(&[]), None);
        let other = DocumentName {
            app: "democ",
            collection: "ars",
            id,
        };
        assert_ne!(other.item(&heads), Some(item));
        assert_ne!(other.place(), name(id).place());
    }
}

//! Births: the deterministic changes that create the maps of a document.
//!
//! In plain Automerge two devices that both create `address` offline make two objects and one is lost. So every map
//! reached by keys from the root is born of a change that every device makes byte for byte alike: same actor, seq,
//! time and dependencies, hence the same hash, hence one object.

use crate::id::DocumentId;
use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Change, ChangeHash, ExpandedChange, ObjType};
use std::num::NonZeroU64;

/// Bytes of a birth's actor id. Device actors have 16, so the two are never confused.
pub(crate) const BIRTH_ACTOR_BYTES: usize = 17;

const DOMAIN: &[u8] = b"sedge birth 1";

/// The birth of one map.
pub(crate) struct Birth {
    pub(crate) change: Change,
    /// The operation that made the map, which is also the map's object id.
    pub(crate) op: OpId,
    /// Over the keys that lead to the map.
    hasher: blake3::Hasher,
}

impl Birth {
    pub(crate) fn hash(&self) -> ChangeHash {
        self.change.hash()
    }

    pub(crate) fn object(&self) -> ObjectId {
        ObjectId::Id(self.op.clone())
    }
}

/// Makes the births of one document. What a birth takes of the keys above its own is a hash, so a long key costs its
/// length once, however many maps lie below it.
pub(crate) struct Births {
    /// Over what comes before the keys.
    root: blake3::Hasher,
}

impl Births {
    pub(crate) fn of(collection: &str, id: &DocumentId) -> Self {
        let mut root = blake3::Hasher::new();
        for part in [DOMAIN, collection.as_bytes(), id.as_bytes()] {
            update(&mut root, part);
        }
        Self { root }
    }

    /// The birth of the map under `key` of another one, or of the root, which itself is never born.
    pub(crate) fn under(&self, parent: Option<&Birth>, key: &str) -> Birth {
        let mut hasher = parent.map_or(&self.root, |birth| &birth.hasher).clone();
        update(&mut hasher, key.as_bytes());
        let mut actor = [0; BIRTH_ACTOR_BYTES];
        hasher.finalize_xof().fill(&mut actor);
        let actor = ActorId::from(&actor[..]);
        let start_op = NonZeroU64::MIN.saturating_add(parent.map_or(0, |birth| birth.op.counter()));
        let change = Change::from(ExpandedChange {
            operations: vec![Op {
                action: OpType::Make(ObjType::Map),
                obj: parent.map_or(ObjectId::Root, Birth::object),
                key: Key::from(key.to_owned()),
                pred: Vec::new().into(),
                insert: false,
            }],
            actor_id: actor.clone(),
            hash: None,
            seq: 1,
            start_op,
            time: 0,
            message: None,
            deps: parent.map(Birth::hash).into_iter().collect(),
            extra_bytes: Vec::new(),
            author: None,
        });
        Birth {
            change,
            op: OpId::new(start_op.get(), &actor),
            hasher,
        }
    }
}

fn update(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_be_bytes());
    hasher.update(part);
}

/// Whether a change by `actor` is a birth.
pub(crate) fn is_birth(actor: &ActorId) -> bool {
    actor.to_bytes().len() == BIRTH_ACTOR_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use automerge::{Automerge, ROOT, ReadDoc};

    /// The births of all maps on a path.
    fn births(collection: &str, id: &DocumentId, path: &[&str]) -> Vec<Birth> {
        let births = Births::of(collection, id);
        let mut chain: Vec<Birth> = Vec::new();
        for key in path {
            chain.push(births.under(chain.last(), key));
        }
        chain
    }

    /// Goal: a birth's bytes are a constant of the protocol, pinned by hash.
    #[test]
    fn births_are_the_same_everywhere() {
        let id = DocumentId::new(&"DFW".into()).unwrap();
        let of = |collection, path: &[&str]| births(collection, &id, path).pop().unwrap().hash();
        let hash = |path: &[&str]| of("airports", path);
        assert_eq!(hash(&["place"]), hash(&["place"]));
        assert_ne!(hash(&["place"]), hash(&["location"]));
        assert_ne!(of("a", &["bc"]), of("ab", &["c"]));
        assert_eq!(
            hash(&["place", "geo"]).to_string(),
            "00231774408db030a4b084ae6249ab6b74153a487b46272682b45f28f1ba9bc3"
        );
    }

    #[test]
    fn a_chain_of_births_makes_nested_maps() {
        let id = DocumentId::new(&"x".into()).unwrap();
        let births = births("c", &id, &["a", "b"]);
        let changes: Vec<Change> = births.into_iter().map(|birth| birth.change).collect();
        let mut document = Automerge::new();
        document.apply_changes(changes).unwrap();
        let (_, a) = document.get(ROOT, "a").unwrap().unwrap();
        assert!(document.get(a, "b").unwrap().unwrap().0.is_object());
    }
}

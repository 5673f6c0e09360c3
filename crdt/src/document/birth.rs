//! Births: the deterministic changes that create the maps of a document.
//!
//! In plain Automerge two devices that both create `address` offline make two objects and one is lost. So every map
//! reached by keys from the root is born of a change that every device makes byte for byte alike: same actor, seq,
//! time and dependencies, hence the same hash, hence one object.

use crate::id::DocumentId;
use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Change, ChangeHash, ExpandedChange, ObjType};
use std::collections::BTreeMap;
use std::num::NonZeroU64;

/// Bytes of a birth's actor id. Device actors have 16, so the two are never confused.
pub(crate) const BIRTH_ACTOR_BYTES: usize = 17;

const DOMAIN: &[u8] = b"sedge birth 1";

/// Keys from the root to a map.
pub(crate) type Path = Vec<String>;

/// The birth of one map.
#[derive(Clone)]
pub(crate) struct Birth {
    pub(crate) change: Change,
    /// The operation that made the map, which is also the map's object id.
    pub(crate) op: OpId,
}

impl Birth {
    pub(crate) fn hash(&self) -> ChangeHash {
        self.change.hash()
    }

    pub(crate) fn object(&self) -> ObjectId {
        ObjectId::Id(self.op.clone())
    }
}

/// The births of one document by path, each computed once. A path sorts behind its parents.
pub(crate) struct Births<'a> {
    collection: &'a str,
    id: &'a DocumentId,
    born: BTreeMap<Path, Birth>,
}

impl<'a> Births<'a> {
    pub(crate) fn of(collection: &'a str, id: &'a DocumentId) -> Self {
        Self {
            collection,
            id,
            born: BTreeMap::new(),
        }
    }

    /// The birth of the map at `path`, computed with its parents' when it isn't known yet. `None` for the root,
    /// which is never born.
    pub(crate) fn at(&mut self, path: &[String]) -> Option<Birth> {
        let (key, parents) = path.split_last()?;
        if let Some(birth) = self.born.get(path) {
            return Some(birth.clone());
        }
        let parent = self.at(parents);
        let birth = self.bear(path, key, parent.as_ref());
        self.born.insert(path.to_vec(), birth.clone());
        Some(birth)
    }

    /// The changes of those computed so far.
    pub(crate) fn all(self) -> BTreeMap<Path, Change> {
        let births = self.born.into_iter();
        births.map(|(path, birth)| (path, birth.change)).collect()
    }

    fn bear(&self, path: &[String], key: &str, parent: Option<&Birth>) -> Birth {
        let actor = self.actor(path);
        let start_op = NonZeroU64::MIN.saturating_add(path.len() as u64 - 1);
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
        }
    }

    fn actor(&self, path: &[String]) -> ActorId {
        let mut hasher = blake3::Hasher::new();
        let parts = [DOMAIN, self.collection.as_bytes(), self.id.as_bytes()];
        for part in parts
            .into_iter()
            .chain(path.iter().map(|key| key.as_bytes()))
        {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; BIRTH_ACTOR_BYTES];
        hasher.finalize_xof().fill(&mut bytes);
        ActorId::from(&bytes[..])
    }
}

/// Whether a change by `actor` is a birth.
pub(crate) fn is_birth(actor: &ActorId) -> bool {
    actor.to_bytes().len() == BIRTH_ACTOR_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use automerge::{Automerge, ROOT, ReadDoc};

    fn path(keys: &[&str]) -> Path {
        keys.iter().map(|key| key.to_string()).collect()
    }

    /// Goal: a birth's bytes are a constant of the protocol, pinned by hash.
    #[test]
    fn births_are_the_same_everywhere() {
        let id = DocumentId::new(&"DFW".into()).unwrap();
        let hash = |keys: &[&str]| Births::of("airports", &id).at(&path(keys)).unwrap().hash();
        assert_eq!(hash(&["place"]), hash(&["place"]));
        assert_ne!(hash(&["place"]), hash(&["location"]));
        assert_ne!(
            Births::of("a", &id).at(&path(&["bc"])).unwrap().hash(),
            Births::of("ab", &id).at(&path(&["c"])).unwrap().hash()
        );
        assert_eq!(
            hash(&["place", "geo"]).to_string(),
            "00231774408db030a4b084ae6249ab6b74153a487b46272682b45f28f1ba9bc3"
        );
    }

    #[test]
    fn a_chain_of_births_makes_nested_maps() {
        let id = DocumentId::new(&"x".into()).unwrap();
        let mut births = Births::of("c", &id);
        let changes = [
            births.at(&path(&["a"])).unwrap().change,
            births.at(&path(&["a", "b"])).unwrap().change,
        ];
        let mut document = Automerge::new();
        document.apply_changes(changes).unwrap();
        let (_, a) = document.get(ROOT, "a").unwrap().unwrap();
        assert!(document.get(a, "b").unwrap().unwrap().0.is_object());
    }
}

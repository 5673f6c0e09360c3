//! Reading a document's first change without an op set.
//!
//! When stores first meet nearly all that arrives is first changes, and to load a document of one costs several times
//! what decoding it does. So a change that puts scalars under distinct keys is read from its operations. Everything else
//! is left to automerge, behind the rules of `wellformed`, which hold for all that is read here.

use super::RESERVED_KEY_PREFIX;
use super::delta::{Place, heads_after};
use super::scalar::value_of_operand;
use super::wellformed::is_bounded;
use crate::id::DocumentId;
use crate::limits::TAIL_CHUNKS_MAX;
use crate::value::{ATTACHMENT_LEVELS, DEPTH_MAX, Value};
use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{Change, ScalarValue};
use std::collections::{BTreeMap, HashMap};

/// What readers see of the document that consists of this change and the births it needs. `None` when that takes
/// automerge to say, or when it would refuse the change.
pub(super) fn value(
    births: &[Change],
    places: &[Place],
    change: &Change,
    id: &DocumentId,
) -> Option<Value> {
    if !is_plain(births, change) {
        return None;
    }
    let decoded = change.decode();
    let mut maps = Maps::of(births, places)?;
    for operation in &decoded.operations {
        maps.put(operation)?;
    }
    let mut fields = maps.fields(places)?;
    fields.insert("_id".to_owned(), id.to_value());
    let is_same = Change::from(decoded).raw_bytes() == change.raw_bytes();
    is_same.then_some(Value::Map(fields))
}

/// Whether the change says of itself what a first change of this store says, and the record needs no compaction.
fn is_plain(births: &[Change], change: &Change) -> bool {
    let counters = births.iter().map(Change::max_op);
    births.len() < TAIL_CHUNKS_MAX
        && change.seq() == 1
        && change.start_op().get() == 1 + counters.max().unwrap_or(0)
        && change.deps() == heads_after(Vec::new(), births)
        && change.message().is_none()
        && change.extra_bytes().is_empty()
}

/// The root and the maps born in it, parents first.
struct Maps {
    members: Vec<BTreeMap<String, Value>>,
    /// Where the born ones are found.
    numbers: HashMap<OpId, usize>,
}

impl Maps {
    /// `None` when a map lies under a key that isn't a field's, or another one does there.
    fn of(births: &[Change], places: &[Place]) -> Option<Self> {
        let mut maps = Self {
            members: vec![BTreeMap::new(); 1 + births.len()],
            numbers: HashMap::with_capacity(births.len()),
        };
        for (number, (birth, place)) in births.iter().zip(places).enumerate() {
            let object = OpId::new(birth.start_op().get(), birth.actor_id());
            maps.numbers.insert(object, 1 + number);
            maps.add(parent(place), &place.key, Value::Null)?; // until its members are known
        }
        Some(maps)
    }

    /// `None` when it isn't a scalar under a key of its own.
    fn put(&mut self, operation: &Op) -> Option<()> {
        let (OpType::Put(scalar), Key::Map(key)) = (&operation.action, &operation.key) else {
            return None;
        };
        let is_usual = match scalar {
            ScalarValue::Unknown { .. } => false,
            ScalarValue::Counter(counter) => is_bounded(i64::from(counter)),
            _ => true,
        };
        if operation.insert || !operation.pred.is_empty() || !is_usual {
            return None;
        }
        let map = match &operation.obj {
            ObjectId::Root => 0,
            ObjectId::Id(object) => *self.numbers.get(object)?,
        };
        self.add(map, key, value_of_operand(scalar))
    }

    fn add(&mut self, map: usize, key: &str, value: Value) -> Option<()> {
        if key.starts_with(RESERVED_KEY_PREFIX) {
            return None;
        }
        let earlier = self.members.get_mut(map)?.insert(key.to_owned(), value);
        earlier.is_none().then_some(())
    }

    /// The members of the root. A born map without any is invisible.
    fn fields(mut self, places: &[Place]) -> Option<BTreeMap<String, Value>> {
        for place in places.iter().rev() {
            let members = self.members.pop()?;
            let within = self.members.get_mut(parent(place))?;
            match members.is_empty() {
                true => within.remove(&place.key),
                false => within.insert(place.key.clone(), Value::Map(members)),
            };
        }
        self.members.pop()
    }
}

/// The number of the map that a born one lies in.
fn parent(place: &Place) -> usize {
    place.parent.map_or(0, |number| 1 + number)
}

// Nothing lies so deep that readers would not see it: a map takes two levels at most.
const _: () = assert!(2 * TAIL_CHUNKS_MAX + ATTACHMENT_LEVELS <= DEPTH_MAX);

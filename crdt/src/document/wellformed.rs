//! Whether a change from outside is well-formed, decided from it and its ancestors alone.
//!
//! A device that may write can still sign what no honest one makes: an operation in a map that its author can't have
//! seen, a predecessor that isn't there. Automerge takes some of that in, depending on what else it holds, then panics or
//! saves a document that no longer loads. So each change is held against its own ancestry, which is the same on every
//! device, before automerge sees it: all of them refuse it, in whatever order it arrives. The fast path of a first change
//! (`first`) takes only what these rules allow.

mod ancestry;

use super::birth::is_birth;
use crate::limits::{COUNTER_MAX, INCREMENT_MAX, OPERATION_COUNTER_MAX};
pub(super) use ancestry::{Ancestors, Ancestry};
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{Change, ExpandedChange, ObjType, ScalarValue};

/// Which rule a change breaks. Operations are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllFormed {
    /// Its bytes are others than its content takes, or its dependencies are named twice or out of order.
    #[error("its bytes are not those that its content is encoded to")]
    Encoding,
    /// It says more than a change has to say.
    #[error("it has an author field or extra bytes")]
    Extra,
    /// It builds on two changes of one device with the same number, which no document can hold.
    #[error("it builds on two changes of one device with the same number")]
    Equivocation,
    /// Its number isn't the one behind its device's last change in its ancestry.
    #[error("its number is {seq}, and {expected} comes next in its ancestry")]
    Sequence {
        /// The number that it says.
        seq: u64,
        /// 1 + its device's last.
        expected: u64,
    },
    /// Its operations aren't numbered behind all in its ancestry.
    #[error("its operations begin at {start}, and {expected} comes next in its ancestry")]
    StartOp {
        /// The number of its first operation.
        start: u64,
        /// 1 + the greatest there.
        expected: u64,
    },
    /// Operations beyond [`OPERATION_COUNTER_MAX`].
    #[error("its operations are numbered up to {0}; at most {OPERATION_COUNTER_MAX} are allowed")]
    Operations(u64),
    /// An operation in an object that isn't in its ancestry.
    #[error("operation {0} is in an object that its ancestry does not contain")]
    Object(usize),
    /// An operation that documents don't have, or not there.
    #[error("operation {0} is of a kind that its object does not take")]
    Kind(usize),
    /// A list's element, or a text's, that isn't in its ancestry.
    #[error("operation {0} is at an element that its ancestry does not contain")]
    Element(usize),
    /// An operation replaces what isn't there, or elsewhere, or replaces something where nothing is to be replaced.
    #[error("operation {0} names as predecessor what is not in its place in its ancestry")]
    Predecessor(usize),
    /// An operation replaces the birth of a map.
    #[error("operation {0} names a map's birth as predecessor")]
    Birth(usize),
    /// A counter, or what is added to it, is out of bounds.
    #[error(
        "operation {0} is out of bounds: a counter is at most {COUNTER_MAX} away from 0, an increment at most \
             {INCREMENT_MAX}"
    )]
    Counter(usize),
}

/// Checks a change whose dependencies are all in the ancestry.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn check(change: &Change, ancestry: &mut Ancestry<'_>) -> Result<(), IllFormed> {
    if !change.extra_bytes().is_empty() {
        return Err(IllFormed::Extra);
    }
    let ancestors = ancestry.of(change);
    if ancestors.hold_a_fork() {
        return Err(IllFormed::Equivocation);
    }
    let expected = 1 + ancestors.last_seq(change.actor_id());
    let seq = change.seq();
    if seq != expected {
        return Err(IllFormed::Sequence { seq, expected });
    }
    let (start, expected) = (change.start_op().get(), 1 + ancestors.max_op());
    if start != expected {
        return Err(IllFormed::StartOp { start, expected });
    }
    if change.max_op() > OPERATION_COUNTER_MAX {
        return Err(IllFormed::Operations(change.max_op()));
    }
    let decoded = change.decode();
    let checked = Checked {
        change: &decoded,
        ancestors: &ancestors,
    };
    for (number, op) in decoded.operations.iter().enumerate() {
        checked.operation(number, op)?;
    }
    // Automerge makes changes anew from their operations when it sends them on.
    let is_canonical = decoded.deps.is_sorted_by(|one, next| one < next)
        && Change::from(decoded).raw_bytes() == change.raw_bytes();
    is_canonical.then_some(()).ok_or(IllFormed::Encoding)
}

/// Whether a counter that is written keeps its bounds.
pub(super) fn is_bounded(counter: i64) -> bool {
    counter.unsigned_abs() <= COUNTER_MAX
}

/// The change that is checked, with what comes before it.
struct Checked<'a> {
    change: &'a ExpandedChange,
    ancestors: &'a Ancestors<'a>,
}

impl Checked<'_> {
    fn operation(&self, number: usize, op: &Op) -> Result<(), IllFormed> {
        let kind = self.object(number, op)?;
        let fits = match (&op.key, kind) {
            (Key::Map(_), ObjType::Map) => !op.insert && is_value_or_change(op),
            (Key::Seq(_), ObjType::List) => is_value_or_change(op),
            (Key::Seq(_), ObjType::Text) => is_character(op),
            _ => false,
        };
        if !fits {
            return Err(IllFormed::Kind(number));
        }
        self.element(number, op)?;
        self.predecessors(number, op)?;
        let is_bounded = match &op.action {
            OpType::Put(ScalarValue::Counter(counter)) => is_bounded(i64::from(counter)),
            OpType::Increment(by) => by.unsigned_abs() <= INCREMENT_MAX,
            _ => true,
        };
        is_bounded.then_some(()).ok_or(IllFormed::Counter(number))
    }

    /// The type of the object that an operation is in.
    fn object(&self, number: usize, op: &Op) -> Result<ObjType, IllFormed> {
        let ObjectId::Id(object) = &op.obj else {
            return Ok(ObjType::Map);
        };
        let made = self.own(number, object);
        let made = made.or_else(|| self.ancestors.operation(object));
        match made.map(|made| &made.action) {
            Some(OpType::Make(kind)) => Ok(*kind),
            _ => Err(IllFormed::Object(number)),
        }
    }

    /// Whether the element that an operation is at, or behind, is one of the same list.
    fn element(&self, number: usize, op: &Op) -> Result<(), IllFormed> {
        let element = match &op.key {
            Key::Map(_) => return Ok(()),
            Key::Seq(ElementId::Head) if op.insert => return Ok(()),
            Key::Seq(ElementId::Head) => return Err(IllFormed::Element(number)),
            Key::Seq(ElementId::Id(element)) => element,
        };
        let made = self.own(number, element);
        let made = made.or_else(|| self.ancestors.operation(element));
        match made {
            Some(made) if made.insert && made.obj == op.obj => Ok(()),
            _ => Err(IllFormed::Element(number)),
        }
    }

    /// Whether what an operation replaces is in its place, and there is something where there must be.
    fn predecessors(&self, number: usize, op: &Op) -> Result<(), IllFormed> {
        let replaces = !op.pred.is_empty();
        let must_replace = !op.insert
            && (!op.key.is_map_key() || matches!(op.action, OpType::Delete | OpType::Increment(_)));
        let broken = IllFormed::Predecessor(number);
        if (must_replace && !replaces) || (op.insert && replaces) {
            return Err(broken);
        }
        let mut last: Option<&OpId> = None;
        for id in op.pred.iter() {
            if is_birth(id.actor()) {
                return Err(IllFormed::Birth(number));
            }
            let replaced = self.ancestors.operation(id).ok_or(broken)?;
            let is_value = match (&replaced.action, &op.action) {
                (OpType::Put(ScalarValue::Counter(_)), _) => true,
                (OpType::Put(_) | OpType::Make(_), action) => {
                    !matches!(action, OpType::Increment(_))
                }
                _ => false,
            };
            let is_here = replaced.obj == op.obj && place(replaced, id) == op.key;
            if !is_value || !is_here || last == Some(id) {
                return Err(broken);
            }
            last = Some(id);
        }
        Ok(())
    }

    /// The operation of this change that has this id, if it comes before the one of that number.
    fn own(&self, number: usize, id: &OpId) -> Option<&Op> {
        if *id.actor() != self.change.actor_id {
            return None;
        }
        let at = id.counter().checked_sub(self.change.start_op.get())?;
        let at = usize::try_from(at).ok().filter(|at| *at < number)?;
        self.change.operations.get(at)
    }
}

/// The key that an operation's value stands under.
fn place(op: &Op, id: &OpId) -> Key {
    match op.insert {
        true => Key::Seq(ElementId::Id(id.clone())),
        false => op.key.clone(),
    }
}

/// Whether maps and lists take such an operation. Tables and marks are not made here.
fn is_value_or_change(op: &Op) -> bool {
    match &op.action {
        OpType::Make(kind) => *kind != ObjType::Table,
        OpType::Put(_) => true,
        OpType::Delete | OpType::Increment(_) => !op.insert,
        OpType::MarkBegin(_) | OpType::MarkEnd(_) => false,
    }
}

/// Whether texts, which are made of characters, take such an operation.
fn is_character(op: &Op) -> bool {
    match &op.action {
        OpType::Put(ScalarValue::Str(text)) => text.chars().nth(1).is_none() && !text.is_empty(),
        OpType::Delete => !op.insert,
        _ => false,
    }
}

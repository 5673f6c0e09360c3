//! First changes as a hostile peer may make them.

use super::*;
use automerge::legacy::{ElementId, Key, ObjectId, OpId, OpType};
use automerge::{ExpandedChange, ObjType, ScalarValue};
use prop::sample::{Index, select};
use std::num::NonZeroU64;

/// What a peer may do to a first change that this crate would not.
#[derive(Clone, Debug)]
pub(super) enum Twist {
    /// To what it says of itself.
    Header(Header),
    /// To one of its operations.
    Operation(Index, Operation),
    LeavesOut(Index),
    Swaps(Index, Index),
    Repeats(Index),
}

#[derive(Clone, Debug)]
pub(super) enum Header {
    Seq(u64),
    StartOp(u64),
    Message,
    ExtraBytes,
    LosesDependency,
    DependsOnAncestor,
    DependsTwice,
    DependsOnNothingHere,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Does(OpType),
    Inserts,
    /// Names the operation before it as predecessor.
    Replaces,
    Under(&'static str),
    InList,
    IntoItself,
    IntoUnknown,
    BesideFirstMap,
}

pub(super) fn twist() -> impl Strategy<Value = Twist> {
    let at = || any::<Index>();
    prop_oneof![
        4 => header().prop_map(Twist::Header),
        8 => (at(), operation()).prop_map(|(at, operation)| Twist::Operation(at, operation)),
        1 => at().prop_map(Twist::LeavesOut),
        1 => (at(), at()).prop_map(|(one, other)| Twist::Swaps(one, other)),
        1 => at().prop_map(Twist::Repeats),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let rest = vec![
        Header::Message,
        Header::ExtraBytes,
        Header::LosesDependency,
        Header::DependsOnAncestor,
        Header::DependsTwice,
        Header::DependsOnNothingHere,
    ];
    prop_oneof![
        (0..4u64).prop_map(Header::Seq),
        (1..5u64).prop_map(Header::StartOp),
        select(rest),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let unwritten = [
        ScalarValue::Uint(1),
        ScalarValue::Uint(u64::MAX),
        ScalarValue::F64(f64::NAN),
        ScalarValue::F64(-0.0),
        ScalarValue::counter(i64::MAX),
        ScalarValue::Unknown {
            type_code: 12,
            bytes: vec![1, 2],
        },
    ];
    let made = [ObjType::Map, ObjType::List, ObjType::Text, ObjType::Table];
    let does = unwritten.map(OpType::Put).into_iter();
    let does = does.chain(made.map(OpType::Make)).chain([
        OpType::Delete,
        OpType::Increment(1),
        OpType::MarkEnd(true),
    ]);
    let keys = ["", "_id", EMPTY_MAP, TOMBSTONE, "\u{0}", "a", "b", "m"];
    let rest = vec![
        Operation::Inserts,
        Operation::Replaces,
        Operation::InList,
        Operation::IntoItself,
        Operation::IntoUnknown,
        Operation::BesideFirstMap,
    ];
    prop_oneof![
        select(does.collect::<Vec<_>>()).prop_map(Operation::Does),
        select(keys.to_vec()).prop_map(Operation::Under),
        select(rest),
    ]
}

impl Twist {
    pub(super) fn apply(self, change: &mut ExpandedChange, births: &[Change]) {
        change.hash = None;
        let operations = &mut change.operations;
        let count = operations.len();
        match self {
            Twist::Header(header) => header.apply(change, births),
            _ if count == 0 => {}
            Twist::Operation(at, operation) => operation.apply(at.index(count), change, births),
            Twist::LeavesOut(at) => drop(operations.remove(at.index(count))),
            Twist::Swaps(one, other) => operations.swap(one.index(count), other.index(count)),
            Twist::Repeats(at) => operations.push(operations[at.index(count)].clone()),
        }
    }
}

impl Header {
    fn apply(self, change: &mut ExpandedChange, births: &[Change]) {
        let deps = &mut change.deps;
        match self {
            Header::Seq(seq) => change.seq = seq,
            Header::StartOp(start) => change.start_op = NonZeroU64::new(start).unwrap(),
            Header::Message => change.message = Some("m".to_owned()),
            Header::ExtraBytes => change.extra_bytes = vec![1, 2, 3],
            Header::LosesDependency => drop(deps.pop()),
            Header::DependsOnAncestor => deps.extend(births.first().map(Change::hash)),
            Header::DependsTwice => deps.extend(deps.first().copied()),
            Header::DependsOnNothingHere => deps.push(ChangeHash([7; 32])),
        }
    }
}

impl Operation {
    fn apply(self, at: usize, change: &mut ExpandedChange, births: &[Change]) {
        let actor = change.actor_id.clone();
        let own = |at: usize| OpId::new(change.start_op.get() + at as u64, &actor);
        let operation = &mut change.operations[at];
        match self {
            Operation::Does(action) => operation.action = action,
            Operation::Inserts => operation.insert = true,
            Operation::Replaces => operation.pred = vec![own(at.saturating_sub(1))].into(),
            Operation::Under(key) => operation.key = Key::Map(key.into()),
            Operation::InList => operation.key = Key::Seq(ElementId::Head),
            Operation::IntoItself => operation.obj = ObjectId::Id(own(at)),
            Operation::IntoUnknown => {
                let stranger = ActorId::from(&[9; DEVICE_ACTOR_BYTES][..]);
                operation.obj = ObjectId::Id(OpId::new(1, &stranger));
            }
            Operation::BesideFirstMap => {
                if let Some(birth) = births.first() {
                    let made = birth.decode().operations.remove(0);
                    (operation.obj, operation.key) = (made.obj, made.key);
                }
            }
        }
    }
}

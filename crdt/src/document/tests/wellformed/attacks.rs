//! Each attack by itself. Automerge takes in most of them; what then happens stands beside each.

use super::*;

/// A document with something of every kind, and what a second device has written on it meanwhile.
fn mesh() -> (Device, Device) {
    let json = r#"{"a":1,"b":2,"n":{"$counter":1},"l":[1,2],"t":{"$text":"xy"},"m":{"k":1}}"#;
    let (base, mut ahead) = pair(json);
    ahead.set(&["a"], Some(r#"[7]"#));
    (base, ahead)
}

/// The id of what stands under a key of the root.
fn made(device: &Device, key: &str) -> OpId {
    let document = device.document();
    let automerge::ObjId::Id(counter, actor, _) = document
        .automerge
        .get(automerge::ROOT, key)
        .unwrap()
        .unwrap()
        .1
    else {
        panic!("{key} is the root");
    };
    OpId::new(counter, &actor)
}

fn op(action: OpType, obj: ObjectId, key: Key, pred: Vec<OpId>) -> Op {
    Op {
        action,
        obj,
        key,
        pred: pred.into(),
        insert: false,
    }
}

fn put(key: &str, pred: Vec<OpId>) -> Op {
    let key = Key::Map(key.into());
    op(OpType::Put(7.into()), ObjectId::Root, key, pred)
}

/// Hands a change to a store that has what it builds on, and to one that has more: both must refuse it for this rule
/// and keep what they have.
#[track_caller]
fn refused(change: ExpandedChange, rule: IllFormed) {
    let (base, ahead) = mesh();
    let change = Change::from(change);
    let delta = Delta {
        births: all_beyond(&ahead.document(), &[]).births,
        changes: vec![change.raw_bytes().to_vec()],
    };
    for store in [base, ahead] {
        let Err(error) = Document::ingest_assumed(&store.record, COLLECTION, &id(), &delta) else {
            panic!("it was taken in: {rule}");
        };
        let DeltaError::NotAccepted(NotAccepted::IllFormed { rule: found, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(*found, rule);
    }
}

/// Goal: an operation in an object that its author can't have seen. It applies where the object is here, and panics where
/// it isn't.
#[test]
fn an_object_outside_the_ancestry_is_refused() {
    let (base, ahead) = mesh();
    let list = ObjectId::Id(made(&ahead, "a"));
    let mut into = put("k", vec![]);
    into.obj = list;
    into.key = Key::Seq(ElementId::Head);
    into.insert = true;
    refused(on(&base, vec![into]), IllFormed::Object(0));
    let mut scalar = put("k", vec![]);
    scalar.obj = ObjectId::Id(made(&base, "a"));
    refused(on(&base, vec![scalar]), IllFormed::Object(0));
    let later = OpId::new(on(&base, vec![]).start_op.get() + 1, &actor(MALLORY));
    let mut before = put("k", vec![]);
    before.obj = ObjectId::Id(later);
    let make = op(
        OpType::Make(ObjType::Map),
        ObjectId::Root,
        Key::Map("new".into()),
        vec![],
    );
    refused(on(&base, vec![before, make]), IllFormed::Object(0));
}

/// Goal: a second change that doesn't build on the first. It applies behind the first, and is lost before it.
#[test]
fn a_sequence_with_a_gap_is_refused() {
    let (base, _) = mesh();
    let with_seq = |seq| ExpandedChange {
        seq,
        ..on(&base, vec![put("x", vec![])])
    };
    let expected = 1;
    refused(with_seq(2), IllFormed::Sequence { seq: 2, expected });
    refused(with_seq(0), IllFormed::Sequence { seq: 0, expected });
    let own = ExpandedChange {
        actor_id: actor(1),
        ..with_seq(1)
    };
    refused(
        own,
        IllFormed::Sequence {
            seq: 1,
            expected: 2,
        },
    );
}

/// Goal: operations that aren't numbered behind their ancestry. Below it the saved document no longer loads; near 2³²
/// automerge panics.
#[test]
fn operations_that_begin_elsewhere_are_refused() {
    let (base, _) = mesh();
    let change = on(&base, vec![put("x", vec![])]);
    let expected = change.start_op.get();
    let near = u64::from(u32::MAX);
    for start in [1, expected - 1, expected + 1, near - 1, near] {
        let start_op = NonZeroU64::new(start).unwrap();
        let change = ExpandedChange {
            start_op,
            ..change.clone()
        };
        refused(change, IllFormed::StartOp { start, expected });
    }
}

/// Goal: predecessors that aren't in their place. The saved document no longer loads, or automerge panics.
#[test]
fn bogus_predecessors_are_refused() {
    let (base, ahead) = mesh();
    let a = made(&base, "a");
    let broken = IllFormed::Predecessor(0);
    for (key, pred) in [
        ("a", vec![OpId::new(77, &actor(1))]),
        ("a", vec![OpId::new(1, &actor(99))]),
        ("a", vec![made(&ahead, "a")]),
        ("z", vec![a.clone()]),
        ("a", vec![made(&base, "b")]),
        ("a", vec![a.clone(), a.clone()]),
    ] {
        refused(on(&base, vec![put(key, pred)]), broken);
    }
    let root = |action, key: &str, pred| op(action, ObjectId::Root, Key::Map(key.into()), pred);
    refused(on(&base, vec![root(OpType::Delete, "a", vec![])]), broken);
    let increment = root(OpType::Increment(1), "a", vec![a]);
    refused(on(&base, vec![increment]), broken);
}

/// Goal: a birth is forever: it can't be replaced or deleted.
#[test]
fn a_birth_as_predecessor_is_refused() {
    let (base, _) = mesh();
    let birth = made(&base, "m");
    let mut delete = put("m", vec![birth.clone()]);
    delete.action = OpType::Delete;
    refused(on(&base, vec![delete]), IllFormed::Birth(0));
    refused(on(&base, vec![put("m", vec![birth])]), IllFormed::Birth(0));
}

/// Goal: elements of lists and texts must be there, and be of that list.
#[test]
fn elements_elsewhere_are_refused() {
    let (base, ahead) = mesh();
    let (list, text) = (made(&base, "l"), made(&base, "t"));
    let foreign = made(&ahead, "a").increment_by(1);
    let at = |list: &OpId, element: ElementId, insert| Op {
        insert,
        ..op(
            OpType::Put("x".into()),
            ObjectId::Id(list.clone()),
            Key::Seq(element),
            vec![],
        )
    };
    let element = |counter| ElementId::Id(list.increment_by(counter));
    for (element, insert) in [
        (ElementId::Head, false),
        (ElementId::Id(foreign), true),
        (ElementId::Id(text.increment_by(1)), true),
        (ElementId::Id(list.clone()), true),
        (element(0x1000), true),
    ] {
        let change = on(&base, vec![at(&list, element, insert)]);
        refused(change, IllFormed::Element(0));
    }
    let update = at(&list, element(1), false);
    refused(on(&base, vec![update]), IllFormed::Predecessor(0));
}

/// Goal: operations of a kind that an object doesn't take.
#[test]
fn kinds_that_do_not_fit_are_refused() {
    let (base, _) = mesh();
    let text = ObjectId::Id(made(&base, "t"));
    let list = ObjectId::Id(made(&base, "l"));
    let root = |action, insert| Op {
        insert,
        ..op(action, ObjectId::Root, Key::Map("x".into()), vec![])
    };
    let seq = |action, obj: &ObjectId| Op {
        insert: true,
        ..op(action, obj.clone(), Key::Seq(ElementId::Head), vec![])
    };
    for operation in [
        root(OpType::Put(1.into()), true),
        root(OpType::Make(ObjType::Table), false),
        root(OpType::MarkEnd(true), false),
        seq(OpType::Put(1.into()), &ObjectId::Root),
        seq(OpType::Delete, &list),
        seq(OpType::Put(1.into()), &text),
        seq(OpType::Put("xy".into()), &text),
        seq(OpType::Put("".into()), &text),
        seq(OpType::Make(ObjType::Map), &text),
        op(OpType::Put(1.into()), list, Key::Map("x".into()), vec![]),
    ] {
        refused(on(&base, vec![operation]), IllFormed::Kind(0));
    }
}

/// Goal: no counter comes near an overflow by a change from outside, on either path.
#[test]
fn counters_out_of_bounds_are_refused() {
    let (base, _) = mesh();
    let counter = made(&base, "n");
    let key = || Key::Map("n".into());
    for by in [i64::MIN, i64::MAX, (1 << 40) + 1] {
        let add = op(
            OpType::Increment(by),
            ObjectId::Root,
            key(),
            vec![counter.clone()],
        );
        refused(on(&base, vec![add]), IllFormed::Counter(0));
    }
    let huge = OpType::Put(ScalarValue::counter(i64::MAX));
    let huge = op(huge, ObjectId::Root, Key::Map("x".into()), vec![]);
    refused(on(&base, vec![huge.clone()]), IllFormed::Counter(0));
    let first = Change::from(on(&Device::new(9), vec![huge]));
    let delta = Delta {
        births: vec![],
        changes: vec![first.raw_bytes().to_vec()],
    };
    let taken = Document::ingest_assumed(&[], COLLECTION, &id(), &delta);
    let Err(DeltaError::NotAccepted(NotAccepted::IllFormed { rule, .. })) = taken else {
        panic!("a first change with a huge counter was taken in");
    };
    assert_eq!(rule, IllFormed::Counter(0));
}

/// Goal: what a change carries beside its content, or names twice, makes other changes of it once it is sent on.
#[test]
fn surplus_is_refused() {
    let (base, _) = mesh();
    let plain = on(&base, vec![put("x", vec![])]);
    for extra_bytes in [b"xyz".to_vec(), b"\x01\x02me".to_vec()] {
        let extra = ExpandedChange {
            extra_bytes, // the second is an author field
            ..plain.clone()
        };
        refused(extra, IllFormed::Extra);
    }
    let mut twice = plain;
    twice.deps.extend(twice.deps.clone());
    refused(twice, IllFormed::Encoding);
}

/// Goal: a change that is refused takes what came with it along, and births come to be by a change that is taken in only.
#[test]
fn what_comes_with_a_refused_change_is_refused() {
    let (base, _) = mesh();
    let mut good = base.clone();
    let mut delta = good.set(&["born", "k"], Some("1")).unwrap();
    let births = delta.births.clone();
    assert_eq!(births.len(), 1);
    let bad = Change::from(on(
        &good,
        vec![put("x", vec![made(&good, "a"), OpId::new(77, &actor(1))])],
    ));
    delta.changes.push(bad.raw_bytes().to_vec());
    let taken = Document::ingest_assumed(&base.record, COLLECTION, &id(), &delta);
    assert!(
        matches!(taken, Err(DeltaError::NotAccepted(NotAccepted::IllFormed { change, .. })) if change == bad.hash())
    );
    let alone = Delta {
        births,
        changes: vec![],
    };
    let taken = Document::ingest_assumed(&base.record, COLLECTION, &id(), &alone).unwrap();
    assert!(taken.changes.is_empty());
}

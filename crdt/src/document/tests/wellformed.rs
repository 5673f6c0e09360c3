//! Changes that a device may sign and no honest one makes: refused by every store, whatever else it holds.

use super::random::{Step, step, take_step};
use super::*;
use crate::document::wellformed::IllFormed;
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ExpandedChange, ObjType, ReadDoc, ScalarValue};
use prop::sample::{Index, select};
use std::num::NonZeroU64;

mod attacks;

/// The device that doesn't keep to the rules.
const MALLORY: u8 = 66;

fn actor(name: u8) -> ActorId {
    ActorId::from(&[name; DEVICE_ACTOR_BYTES][..])
}

/// A change by Mallory on what a device has.
fn on(device: &Device, operations: Vec<Op>) -> ExpandedChange {
    let document = device.document();
    let start_op = NonZeroU64::MIN.saturating_add(document.max_op());
    ExpandedChange {
        operations,
        actor_id: actor(MALLORY),
        hash: None,
        seq: 1,
        start_op,
        time: 0,
        message: None,
        deps: document.heads(),
        extra_bytes: Vec::new(),
        author: None,
    }
}

/// The authored changes of a document, each as a delta of its own.
fn one_by_one(document: &Document) -> Vec<Delta> {
    let all = all_beyond(document, &[]);
    let alone = |change: &Vec<u8>| Delta {
        births: all.births.clone(),
        changes: vec![change.clone()],
    };
    all.changes.iter().map(alone).collect()
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Applied,
    Incomplete,
    Refused,
}

/// Hands a delta to a store, which keeps its record when it refuses.
fn hand(store: &mut Device, delta: &Delta) -> Fate {
    match Document::ingest_assumed(&store.record, COLLECTION, &id(), delta) {
        Ok(ingested) => {
            for change in &ingested.changes {
                store.record.extend_from_slice(change.raw_bytes());
            }
            store.assert_loads(&ingested);
            match ingested.incomplete {
                true => Fate::Incomplete,
                false => Fate::Applied,
            }
        }
        Err(_) => Fate::Refused,
    }
}

/// What a mutation does to an honest change.
#[derive(Clone, Debug)]
enum Mutation {
    Seq(u64),
    StartOp(i64),
    LosesDependency(Index),
    DependsOn(Index),
    ExtraBytes,
    Does(Index, OpType),
    In(Index, Target),
    At(Index, Target),
    Under(Index, &'static str),
    Replaces(Index, Target),
    ReplacesNothing(Index),
    Inserts(Index),
    LeavesOut(Index),
}

/// One of all operations there are, its own included, or none of them.
#[derive(Clone, Debug)]
enum Target {
    Operation(Index),
    Nothing(u64),
}

impl Target {
    fn id(&self, operations: &[OpId]) -> OpId {
        match self {
            Target::Operation(at) if !operations.is_empty() => at.get(operations).clone(),
            Target::Operation(_) => OpId::new(1, &actor(MALLORY)),
            Target::Nothing(counter) => OpId::new(*counter, &actor(1)),
        }
    }
}

impl Mutation {
    fn apply(self, change: &mut ExpandedChange, hashes: &[ChangeHash], ids: &[OpId]) {
        let count = change.operations.len();
        match self {
            Mutation::Seq(seq) => change.seq = seq,
            Mutation::StartOp(by) => {
                let start = change.start_op.get().saturating_add_signed(by);
                change.start_op = NonZeroU64::new(start).unwrap_or(NonZeroU64::MIN);
            }
            Mutation::LosesDependency(at) if !change.deps.is_empty() => {
                change.deps.remove(at.index(change.deps.len()));
            }
            Mutation::DependsOn(at) => {
                change.deps.push(*at.get(hashes));
                change.deps.sort_unstable();
            }
            Mutation::ExtraBytes => change.extra_bytes = vec![1],
            Mutation::LosesDependency(_) => {}
            _ if count == 0 => {}
            Mutation::Does(at, action) => change.operations[at.index(count)].action = action,
            Mutation::In(at, target) => {
                change.operations[at.index(count)].obj = ObjectId::Id(target.id(ids));
            }
            Mutation::At(at, target) => {
                change.operations[at.index(count)].key = Key::Seq(ElementId::Id(target.id(ids)));
            }
            Mutation::Under(at, key) => {
                change.operations[at.index(count)].key = Key::Map(key.into())
            }
            Mutation::Replaces(at, target) => {
                let operation = &mut change.operations[at.index(count)];
                let more = operation.pred.iter().cloned().chain([target.id(ids)]);
                operation.pred = more.collect();
            }
            Mutation::ReplacesNothing(at) => {
                change.operations[at.index(count)].pred = Vec::new().into();
            }
            Mutation::Inserts(at) => change.operations[at.index(count)].insert ^= true,
            Mutation::LeavesOut(at) => drop(change.operations.remove(at.index(count))),
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let target = || {
        prop_oneof![
            9 => at().prop_map(Target::Operation),
            1 => select(vec![0, 1, 77, u64::from(u32::MAX), u64::MAX]).prop_map(Target::Nothing),
        ]
    };
    let starts = vec![
        -1,
        1,
        8,
        i64::from(u32::MAX) - 1,
        1 << 32,
        i64::MAX,
        i64::MIN,
    ];
    let does = vec![
        OpType::Delete,
        OpType::Increment(1),
        OpType::Increment(i64::MIN),
        OpType::Put(ScalarValue::counter(i64::MAX)),
        OpType::Put(ScalarValue::Int(7)),
        OpType::Put(ScalarValue::Str("".into())),
        OpType::Put(ScalarValue::Str("xy".into())),
        OpType::Make(ObjType::Map),
        OpType::Make(ObjType::List),
        OpType::Make(ObjType::Text),
        OpType::Make(ObjType::Table),
        OpType::MarkEnd(true),
    ];
    prop_oneof![
        (0..4u64).prop_map(Mutation::Seq),
        select(starts).prop_map(Mutation::StartOp),
        at().prop_map(Mutation::LosesDependency),
        at().prop_map(Mutation::DependsOn),
        Just(Mutation::ExtraBytes),
        (at(), select(does)).prop_map(|(at, action)| Mutation::Does(at, action)),
        (at(), target()).prop_map(|(at, object)| Mutation::In(at, object)),
        (at(), target()).prop_map(|(at, element)| Mutation::At(at, element)),
        (at(), select(vec!["a", "b", "c", "new"])).prop_map(|(at, key)| Mutation::Under(at, key)),
        (at(), target()).prop_map(|(at, id)| Mutation::Replaces(at, id)),
        at().prop_map(Mutation::ReplacesNothing),
        at().prop_map(Mutation::Inserts),
        at().prop_map(Mutation::LeavesOut),
    ]
}

/// An honest change, told as Mallory's own.
fn as_mallorys(change: &Change) -> ExpandedChange {
    let mut change = change.decode();
    let own = change.actor_id.clone();
    let rename = |id: &mut OpId, start: u64| {
        if *id.actor() == own && id.counter() >= start {
            *id = OpId::new(id.counter(), &actor(MALLORY));
        }
    };
    let start = change.start_op.get();
    for operation in &mut change.operations {
        if let ObjectId::Id(object) = &mut operation.obj {
            rename(object, start);
        }
        if let Key::Seq(ElementId::Id(element)) = &mut operation.key {
            rename(element, start);
        }
    }
    change.actor_id = actor(MALLORY);
    change.seq = 1;
    change.hash = None;
    change
}

/// What three devices write apart and together: steps, counters, and whom they meet.
type Life = Vec<(usize, Deed)>;

#[derive(Clone, Debug)]
enum Deed {
    Step(Step),
    Increment(&'static str, i64),
    Meet(usize),
}

fn life(deeds: usize) -> impl Strategy<Value = Life> {
    let deed = prop_oneof![
        6 => step().prop_map(Deed::Step),
        1 => (select(vec!["a", "b", "n"]), -9i64..9).prop_map(|(key, by)| Deed::Increment(key, by)),
        2 => (0usize..3).prop_map(Deed::Meet),
    ];
    prop::collection::vec((0usize..3, deed), 1..deeds)
}

/// The document of all three, once they have met.
fn lived(life: &Life) -> Document {
    let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
    devices[0].put(r#"{"n":{"$counter":1},"a":[1,2],"b":{"$text":"xy"},"c":{"a":1}}"#);
    for (name, deed) in life {
        match deed {
            Deed::Step(step) => drop(take_step(&mut devices[*name], step)),
            Deed::Increment(key, by) => drop(devices[*name].increment(&[key], *by)),
            Deed::Meet(other) if other != name => {
                let mut second = devices[*other].clone();
                devices[*name].meet(&mut second);
                devices[*other] = second;
            }
            Deed::Meet(_) => {}
        }
    }
    let mut all = Device::new(9);
    devices.iter().for_each(|device| {
        all.take(&all_beyond(&device.document(), &[]));
    });
    all.document()
}

/// Hands deltas to a store in this order, again and again while something was missing. What became of each.
fn hand_all(store: &mut Device, deltas: &[&Delta]) -> Vec<Fate> {
    let mut fates = vec![Fate::Incomplete; deltas.len()];
    loop {
        let mut progress = false;
        for (delta, fate) in deltas.iter().zip(&mut fates) {
            if *fate == Fate::Incomplete {
                *fate = hand(store, delta);
                progress |= *fate != Fate::Incomplete;
            }
        }
        if !progress {
            return fates;
        }
    }
}

/// The document in the order in which these keys sort its changes, and what became of the last.
fn arrived(deltas: &[Delta], order: &[u64]) -> (Device, Fate) {
    let mut numbered: Vec<usize> = (0..deltas.len()).collect();
    numbered.sort_by_key(|number| order.get(*number));
    let sorted: Vec<&Delta> = numbered.iter().map(|number| &deltas[*number]).collect();
    let mut store = Device::new(8);
    let fates = hand_all(&mut store, &sorted);
    let last = numbered
        .iter()
        .position(|number| number + 1 == deltas.len());
    (store, fates[last.unwrap()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: whatever honest devices write is well-formed: every change is taken, alone, in any order.
    #[test]
    fn honest_changes_are_well_formed(
        life in life(16), orders in prop::collection::vec(prop::collection::vec(any::<u64>(), 40), 3),
    ) {
        let all = lived(&life);
        let deltas = one_by_one(&all);
        for order in orders {
            let (store, _) = arrived(&deltas, &order);
            prop_assert_eq!(store.document().heads(), all.heads());
            prop_assert_eq!(store.document().value(&id()), all.value(&id()));
        }
    }

    /// Goal: one change that was tampered with before it was signed is taken by all stores or by none, in whatever order
    /// it arrives among honest ones; they end with the same document, which loads, compacts and can be sent on.
    #[test]
    fn a_tampered_change_has_the_same_fate_everywhere(
        life in life(10), victim in any::<Index>(), mutations in prop::collection::vec(mutation(), 1..3),
        orders in prop::collection::vec(prop::collection::vec(any::<u64>(), 40), 4),
    ) {
        let all = lived(&life);
        let mut deltas = one_by_one(&all);
        let changes = all.automerge.get_changes(&[]);
        let hashes: Vec<ChangeHash> = changes.iter().map(Change::hash).collect();
        let ids = |change: &Change| {
            let actor = change.actor_id().clone();
            (change.start_op().get()..=change.max_op()).map(move |counter| OpId::new(counter, &actor))
        };
        let authored: Vec<&Change> = changes.iter()
            .filter(|change| change.actor_id().to_bytes().len() == DEVICE_ACTOR_BYTES).collect();
        let mut evil = as_mallorys(authored[victim.index(authored.len())]);
        let ids: Vec<OpId> = changes.iter().flat_map(ids).collect();
        for mutation in mutations {
            mutation.apply(&mut evil, &hashes, &ids);
        }
        let Ok(evil) = contained(|| Change::from(evil)) else { return Ok(()) };
        deltas.push(Delta { births: deltas[0].births.clone(), changes: vec![evil.raw_bytes().to_vec()] });
        let mut ends = Vec::new();
        for order in &orders {
            let (store, fate) = arrived(&deltas, order);
            let document = store.document();
            let heads: Vec<ChangeHash> = document.heads();
            let sent = all_beyond(&document, &[]);
            let again = Document::ingest_assumed(&[], COLLECTION, &id(), &sent).unwrap();
            prop_assert_eq!(&again.heads, &heads);
            prop_assert!(document.compact(&id()).is_some(), "{:?} and no compact form", fate);
            ends.push((fate, heads, document.value(&id())));
        }
        prop_assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", ends);
    }
}

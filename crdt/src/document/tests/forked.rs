//! Random histories of devices that may write from several copies of their state.

use super::*;
use automerge::ExpandedChange;
use automerge::legacy::{Key, ObjectId, Op, OpType};
use prop::sample::Index;
use std::collections::BTreeSet;
use std::num::NonZeroU64;

/// What a change builds on (some of those before it, but none that would make it build on two changes of one actor with
/// one number) and how many operations it has.
pub(in crate::document) type Writing = (u8, Vec<Index>, u8);

/// The changes of a history, each with the numbers of all that it builds on.
pub(in crate::document) type Changes = Vec<(Change, BTreeSet<usize>)>;

pub(in crate::document) fn actor(name: u8) -> ActorId {
    ActorId::from(&[name; DEVICE_ACTOR_BYTES][..])
}

/// Writings of this many actors.
pub(in crate::document) fn history(
    actors: u8,
    length: usize,
) -> impl Strategy<Value = Vec<Writing>> {
    let deps = prop::collection::vec(any::<Index>(), 0..3);
    prop::collection::vec((0..actors, deps, 0..3u8), 1..length)
}

pub(in crate::document) fn written(history: &[Writing]) -> Changes {
    let mut all = Changes::new();
    for (name, wanted, operations) in history {
        let (mut deps, mut ancestors) = (BTreeSet::new(), BTreeSet::new());
        for dep in wanted.iter().filter(|_| !all.is_empty()) {
            let number = dep.index(all.len());
            let union = &(&ancestors | &all[number].1) | &[number].into();
            if !holds_a_fork(&all, &union) {
                deps.insert(all[number].0.hash());
                ancestors = union;
            }
        }
        let deps = deps.into_iter().collect();
        let change = change(&all, &ancestors, deps, *name, *operations);
        all.push((change, ancestors));
    }
    all
}

/// Whether two of these have one actor and number.
pub(in crate::document) fn holds_a_fork(all: &Changes, numbers: &BTreeSet<usize>) -> bool {
    let place = |number: &usize| (all[*number].0.actor_id(), all[*number].0.seq());
    let places: BTreeSet<_> = numbers.iter().map(place).collect();
    places.len() < numbers.len()
}

/// A well-formed change with these ancestors that puts into the root.
pub(in crate::document) fn change(
    all: &Changes,
    ancestors: &BTreeSet<usize>,
    deps: Vec<ChangeHash>,
    name: u8,
    operations: u8,
) -> Change {
    let changes = || ancestors.iter().map(|number| &all[*number].0);
    let own = changes().filter(|change| *change.actor_id() == actor(name));
    let max_op = changes().map(Change::max_op).max().unwrap_or(0);
    let put = |number| Op {
        action: OpType::Put(i64::from(number).into()),
        obj: ObjectId::Root,
        key: Key::from(format!("{number}")),
        pred: Vec::new().into(),
        insert: false,
    };
    Change::from(ExpandedChange {
        operations: (0..operations).map(put).collect(),
        actor_id: actor(name),
        hash: None,
        seq: 1 + own.map(Change::seq).max().unwrap_or(0),
        start_op: NonZeroU64::MIN.saturating_add(max_op),
        time: all.len() as i64, // tells them apart
        message: None,
        deps,
        extra_bytes: Vec::new(),
        author: None,
    })
}

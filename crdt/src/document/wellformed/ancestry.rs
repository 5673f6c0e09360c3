//! The changes that are there, and which of them are ancestors of one.

use automerge::legacy::{Op, OpId};
use automerge::{ActorId, Change, ChangeHash};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Changes of which is kept what they don't build on, for those that go on from them: few write a document at the same
/// time, and each set is as large as what its writer doesn't know.
const OUTSIDE_KEPT_MAX: usize = 64;

/// The changes of a document so far, each with all that it builds on before it.
#[derive(Default)]
pub(in crate::document) struct Ancestry<'a> {
    nodes: Vec<Node<'a>>,
    numbers: HashMap<ChangeHash, usize>,
    actors: HashMap<ActorId, usize>,
    /// By actor and first operation. Of changes with the same first operation the earlier ones have none.
    starts: BTreeMap<(usize, u64), usize>,
    heads: BTreeSet<usize>,
    /// By the number of a change, those of the earlier ones that are no ancestors of it, ascending.
    outside: HashMap<usize, Vec<usize>>,
}

struct Node<'a> {
    change: Cow<'a, Change>,
    deps: Vec<usize>,
    /// Once they are asked for.
    operations: OnceCell<Vec<Op>>,
}

/// What a walk has found out about a change.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// It is none, unless it turns out to be an ancestor before the walk comes to it.
    Pending,
    Ancestor,
}

impl<'a> Ancestry<'a> {
    /// The changes of a history, in an order in which they apply.
    pub(in crate::document) fn new(changes: Vec<Change>) -> Self {
        let mut ancestry = Self::default();
        for change in changes {
            ancestry.add(Cow::Owned(change));
        }
        ancestry
    }

    /// Adds a change that builds on none but those that are there.
    pub(in crate::document) fn add(&mut self, change: Cow<'a, Change>) {
        let number = self.nodes.len();
        let deps = self.numbers_of(change.deps());
        self.heads.retain(|head| !deps.contains(head));
        self.heads.insert(number);
        self.numbers.insert(change.hash(), number);
        let actors = self.actors.len();
        let actor = *self
            .actors
            .entry(change.actor_id().clone())
            .or_insert(actors);
        self.starts.insert((actor, change.start_op().get()), number);
        self.nodes.push(Node {
            change,
            deps,
            operations: OnceCell::new(),
        });
    }

    /// The ancestors of a change that is to be added next.
    pub(in crate::document) fn of(&mut self, change: &Change) -> Ancestors<'_> {
        let deps = self.numbers_of(change.deps());
        let knows_all = self.heads.iter().all(|head| deps.contains(head));
        let number = self.nodes.len();
        if !knows_all {
            let outside = match deps.as_slice() {
                // What its only parent doesn't know, it doesn't know either, nor what came later.
                [parent] if let Some(mut outside) = self.outside.remove(parent) => {
                    outside.extend(parent + 1..number);
                    outside
                }
                deps => self.walk(deps),
            };
            if self.outside.len() >= OUTSIDE_KEPT_MAX {
                self.outside.clear();
            }
            self.outside.insert(number, outside);
        }
        let outside = self.outside.get(&number);
        Ancestors {
            outside: outside.map(Vec::as_slice).unwrap_or_default(),
            ancestry: self,
            deps,
        }
    }

    fn numbers_of(&self, hashes: &[ChangeHash]) -> Vec<usize> {
        let numbers = hashes.iter().filter_map(|hash| self.numbers.get(hash));
        numbers.copied().collect()
    }

    /// The changes that these don't build on. Goes back no further than to where all are ancestors.
    fn walk(&self, deps: &[usize]) -> Vec<usize> {
        let mut seen = vec![None; self.nodes.len()];
        let mut pending = 0;
        let heads = self.heads.iter().map(|head| (*head, Seen::Pending));
        for (number, found) in heads.chain(deps.iter().map(|dep| (*dep, Seen::Ancestor))) {
            see(&mut seen, &mut pending, number, found);
        }
        let mut outside = Vec::new();
        // A change's number is above those of all that it builds on, so nothing comes to be seen again behind it.
        for (number, node) in self.nodes.iter().enumerate().rev() {
            if pending == 0 {
                break;
            }
            let Some(found) = seen.get(number).copied().flatten() else {
                continue;
            };
            if found == Seen::Pending {
                pending -= 1;
                outside.push(number);
            }
            for dep in &node.deps {
                see(&mut seen, &mut pending, *dep, found);
            }
        }
        outside.reverse();
        outside
    }
}

/// Notes what is found out about a change, and how many are pending with it.
fn see(seen: &mut [Option<Seen>], pending: &mut usize, number: usize, found: Seen) {
    let Some(seen) = seen.get_mut(number) else {
        return;
    };
    match (*seen, found) {
        (None, Seen::Pending) => *pending += 1,
        (Some(Seen::Pending), Seen::Ancestor) => *pending -= 1,
        (None, Seen::Ancestor) => {}
        (Some(_), _) => return,
    }
    *seen = Some(found);
}

/// The ancestors of one change.
pub(in crate::document) struct Ancestors<'a> {
    ancestry: &'a Ancestry<'a>,
    deps: Vec<usize>,
    /// The changes that are none.
    outside: &'a [usize],
}

impl Ancestors<'_> {
    /// The greatest number of an operation; 0 when there is none.
    pub(super) fn max_op(&self) -> u64 {
        // A change's operations come behind all in its ancestry, so those it builds on directly have the greatest.
        let nodes = self
            .deps
            .iter()
            .filter_map(|dep| self.ancestry.nodes.get(*dep));
        nodes.map(|node| node.change.max_op()).max().unwrap_or(0)
    }

    /// An actor's last change.
    pub(in crate::document) fn last_own(&self, actor: &ActorId) -> Option<&Change> {
        let actor = *self.ancestry.actors.get(actor)?;
        let own = self.ancestry.starts.range((actor, 0)..=(actor, u64::MAX));
        let mut own = own.rev().filter(|(_, number)| self.contains(**number));
        let last = own.find_map(|(_, number)| self.ancestry.nodes.get(*number));
        last.map(|node| &*node.change)
    }

    /// The number of an actor's last change; 0 when there is none.
    pub(super) fn last_seq(&self, actor: &ActorId) -> u64 {
        self.last_own(actor).map_or(0, Change::seq)
    }

    /// An operation; `None` when no ancestor has it.
    pub(super) fn operation(&self, id: &OpId) -> Option<&Op> {
        let actor = *self.ancestry.actors.get(id.actor())?;
        let mut starts = self
            .ancestry
            .starts
            .range((actor, 0)..=(actor, id.counter()));
        let ((_, start), number) = starts.next_back()?;
        let node = self.ancestry.nodes.get(*number)?;
        if !self.contains(*number) {
            return None;
        }
        let operations = node
            .operations
            .get_or_init(|| node.change.decode().operations);
        operations.get(usize::try_from(id.counter() - start).ok()?)
    }

    fn contains(&self, number: usize) -> bool {
        self.outside.binary_search(&number).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use automerge::ExpandedChange;
    use proptest::prelude::*;
    use std::num::NonZeroU64;

    /// A change without operations by one of some devices.
    fn change(number: usize, deps: Vec<ChangeHash>) -> Change {
        Change::from(ExpandedChange {
            operations: Vec::new(),
            actor_id: ActorId::from([(number % 5) as u8; 16]),
            hash: None,
            seq: 1,
            start_op: NonZeroU64::MIN,
            time: number as i64,
            message: None,
            deps,
            extra_bytes: Vec::new(),
            author: None,
        })
    }

    proptest! {
        /// Goal: in any history, exactly those changes are ancestors that dependencies lead to, whichever way they are found.
        #[test]
        fn ancestors_are_what_dependencies_lead_to(
            history in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..40),
            chained in any::<u64>(),
        ) {
            let mut ancestry = Ancestry::default();
            let mut expected: Vec<BTreeSet<usize>> = Vec::new();
            let mut hashes: Vec<ChangeHash> = Vec::new();
            for (number, deps) in history.iter().enumerate() {
                let parent = number.checked_sub(1 + number % 3);
                let deps: BTreeSet<usize> = match parent {
                    Some(parent) if chained >> number & 1 == 1 => [parent].into(),
                    None => BTreeSet::new(),
                    _ => deps.iter().map(|dep| dep.index(number)).collect(),
                };
                let change = change(number, deps.iter().map(|dep| hashes[*dep]).collect());
                let mut all = deps.clone();
                deps.iter().for_each(|dep| all.extend(&expected[*dep]));
                let ancestors = ancestry.of(&change);
                let found: BTreeSet<usize> = (0..number).filter(|it| ancestors.contains(*it)).collect();
                prop_assert_eq!(found, all.clone());
                hashes.push(change.hash());
                expected.push(all);
                ancestry.add(Cow::Owned(change));
            }
        }
    }
}

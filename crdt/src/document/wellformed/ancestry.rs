//! The changes that are there, and which of them are ancestors of one.
//!
//! Of a device whose state folder was copied there may be two changes with one number, with others built on each
//! (`equivocation`). What a change is checked against is what it builds on and nothing else, so all of them are held here
//! side by side, and the answers about one change do not depend on what else there is.

mod ancestors;
mod history;

pub(in crate::document) use ancestors::Ancestors;
use ancestors::Known;
use automerge::legacy::Op;
use automerge::{ActorId, Automerge, Change, ChangeHash};
use history::History;
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
    /// By actor and number of its change the last one that was added; its `rival` leads to the earlier ones.
    own: BTreeMap<(usize, u64), usize>,
    /// By actor its last changes: one, and one more for each fork.
    tips: BTreeSet<(usize, usize)>,
    /// Where actors have more than one change with a number.
    forked: BTreeSet<(usize, u64)>,
    heads: BTreeSet<usize>,
    /// By the number of a change, those of the earlier ones that are no ancestors of it, ascending.
    outside: HashMap<usize, Vec<usize>>,
    /// The dependencies of whose descendant `outside` has the entry behind all changes.
    asked: Option<Vec<usize>>,
    history: Option<History<'a>>,
}

/// What is asked of a change. Where another one is meant it is its number in the ancestry.
struct Node<'a> {
    hash: ChangeHash,
    deps: Vec<usize>,
    seq: u64,
    start_op: u64,
    max_op: u64,
    /// The actor's change before it, which it builds on.
    previous: Option<usize>,
    /// One of those before that, or itself, so that any of them is found in a logarithm of steps.
    jump: usize,
    /// Another one of the same actor and number.
    rival: Option<usize>,
    /// `None` of one that is made from the history when it is asked for.
    change: Option<Cow<'a, Change>>,
    made: OnceCell<Change>,
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
    /// The changes of a document. They are decoded when they are asked for: most never are.
    pub(in crate::document) fn of_document(automerge: &'a Automerge) -> Self {
        let mut ancestry = Self::default();
        for change in automerge.get_changes_meta(&[]) {
            let deps = ancestry.numbers_of(&change.deps);
            let known = Known {
                hash: change.hash,
                actor: &change.actor,
                seq: change.seq,
                start_op: change.start_op,
                max_op: change.max_op,
            };
            ancestry.push(known, deps, None);
        }
        ancestry.history = Some(History::new(automerge));
        ancestry
    }

    /// Adds a change that builds on none but those that are there. It is well-formed, or a birth.
    pub(in crate::document) fn add(&mut self, change: Cow<'a, Change>) {
        let deps = self.numbers_of(change.deps());
        let actor = change.actor_id().clone();
        let known = Known {
            hash: change.hash(),
            actor: &actor,
            seq: change.seq(),
            start_op: change.start_op().get(),
            max_op: change.max_op(),
        };
        self.push(known, deps, Some(change));
    }

    fn push(&mut self, known: Known<'_>, deps: Vec<usize>, change: Option<Cow<'a, Change>>) {
        let actor = match self.actors.get(known.actor) {
            Some(actor) => *actor,
            None => self.actors.len(),
        };
        if actor == self.actors.len() {
            self.actors.insert(known.actor.clone(), actor);
        }
        let previous = self.previous(actor, known.seq, &deps);
        let number = self.nodes.len();
        let jump = previous.map_or(number, |previous| self.jump_behind(previous));
        let rival = self.own.insert((actor, known.seq), number);
        if let Some(previous) = previous {
            self.tips.remove(&(actor, previous));
        }
        self.tips.insert((actor, number));
        if rival.is_some() {
            self.forked.insert((actor, known.seq));
        }
        self.heads.retain(|head| !deps.contains(head));
        self.heads.insert(number);
        self.numbers.insert(known.hash, number);
        self.nodes.push(Node {
            hash: known.hash,
            deps,
            seq: known.seq,
            start_op: known.start_op,
            max_op: known.max_op,
            previous,
            jump,
            rival,
            change,
            made: OnceCell::new(),
            operations: OnceCell::new(),
        });
    }

    /// The actor's change before one that is added with these dependencies.
    fn previous(&mut self, actor: usize, seq: u64, deps: &[usize]) -> Option<usize> {
        let place = (actor, seq.checked_sub(1)?);
        let newest = *self.own.get(&place)?;
        if !self.forked.contains(&place) {
            return Some(newest);
        }
        let ancestors = self.of_deps(deps.to_vec());
        let found = ancestors.rivals(newest).find(|it| ancestors.contains(*it));
        found.or(Some(newest)) // only of one that is not well-formed
    }

    /// Where a change jumps to whose previous one this is: by halves to the first one, as in a skew-binary list (Myers 1983).
    fn jump_behind(&self, previous: usize) -> usize {
        let jump = |number: usize| self.nodes.get(number).map_or(number, |node| node.jump);
        let seq = |number: usize| self.nodes.get(number).map_or(0, |node| node.seq);
        let (once, twice) = (jump(previous), jump(jump(previous)));
        match seq(previous) - seq(once) == seq(once) - seq(twice) {
            true => twice,
            false => previous,
        }
    }

    /// Whether there is another change with the actor and number of this one. Of a well-formed change that is asked
    /// before it is added.
    pub(in crate::document) fn forks(&self, change: &Change) -> bool {
        let actor = self.actors.get(change.actor_id());
        actor.is_some_and(|actor| self.own.contains_key(&(*actor, change.seq())))
    }

    /// The ancestors of a change that is to be added next.
    pub(in crate::document) fn of(&mut self, change: &Change) -> Ancestors<'_> {
        self.of_deps(self.numbers_of(change.deps()))
    }

    fn of_deps(&mut self, deps: Vec<usize>) -> Ancestors<'_> {
        let number = self.nodes.len();
        let is_known = self.outside.contains_key(&number) && self.asked.as_ref() == Some(&deps);
        if !is_known {
            self.outside.remove(&number);
            if !self.heads.iter().all(|head| deps.contains(head)) {
                let outside = self.outside_of(&deps, number);
                if self.outside.len() >= OUTSIDE_KEPT_MAX {
                    self.outside.clear();
                }
                self.outside.insert(number, outside);
            }
            self.asked = Some(deps.clone());
        }
        let outside = self.outside.get(&number);
        let outside = outside.map(Vec::as_slice).unwrap_or_default();
        Ancestors::new(self, deps, outside)
    }

    /// The changes that one with these dependencies does not build on.
    fn outside_of(&mut self, deps: &[usize], number: usize) -> Vec<usize> {
        match deps {
            // What its only parent doesn't know, it doesn't know either, nor what came later.
            [parent] if let Some(mut outside) = self.outside.remove(parent) => {
                outside.extend(parent + 1..number);
                outside
            }
            deps => self.walk(deps),
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

    fn change(&self, number: usize) -> Option<&Change> {
        let node = self.nodes.get(number)?;
        match &node.change {
            Some(change) => Some(change),
            None => self.history.as_ref()?.change(node),
        }
    }

    fn operations(&self, number: usize) -> Option<&[Op]> {
        let node = self.nodes.get(number)?;
        if let Some(operations) = node.operations.get() {
            return Some(operations);
        }
        let operations = self.change(number)?.decode().operations;
        Some(node.operations.get_or_init(|| operations))
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

#[cfg(test)]
mod tests;

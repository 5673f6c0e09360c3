//! Whether a store accepts the changes that it is given: the one place where that is decided.
//!
//! A change is accepted when
//! - (a) a seal by its own actor covers it, or a change of that actor that builds on it,
//! - (b) the seal's certificates were valid at the time that the seal states,
//! - (c) their rules for writing let its device write the document,
//! - (d) no cut excludes it, and
//! - (e) it is well-formed (`wellformed`).
//!
//! All of it follows from what stores give each other and from the policy, never from this device's clock or from the order
//! in which things came, so stores under one policy accept alike. That the seals themselves hold was checked before
//! (`seal::check`, which alone makes a [`Proven`]).

use super::IllFormed;
use super::ingest::Authored;
use super::wellformed::{self, Ancestry};
use crate::id::DocumentId;
use crate::rights::Denied;
use crate::seal::Proven;
use automerge::{Change, ChangeHash};
use sedge_identity::{ActorName, CertificateError, Policy};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What a decision rests on beside the changes.
#[derive(Clone, Copy)]
pub(crate) struct Grounds<'a> {
    /// The changes that seals name.
    pub(crate) proven: &'a [Proven],
    pub(crate) policy: &'a Policy,
}

/// Why changes are refused, for good.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotAccepted {
    /// The seal was made when the certificate was not valid.
    #[error("it was sealed when its device's certificate did not count: {0}")]
    Certificate(#[from] CertificateError),
    /// The device may not write the document.
    #[error("its device may not write it: {0}")]
    Denied(#[from] Denied),
    /// The policy excludes it.
    #[error("the change {0} was made after its device was cut off")]
    Cut(ChangeHash),
    /// No honest device makes it.
    #[error("the change {change} is not well-formed: {rule}")]
    IllFormed {
        /// The change.
        change: ChangeHash,
        /// What it breaks.
        rule: IllFormed,
    },
}

/// What is accepted of some changes.
pub(super) struct Accepted {
    /// In their order.
    pub(super) changes: Vec<Authored>,
    /// Why some of what came never counts, if that is so: the first reason.
    pub(super) refused: Option<NotAccepted>,
}

/// Points (a) to (d): of the changes those that are covered, with those that they build on. `changes` are new here and stand
/// behind what they build on. A seal that proves nothing by (b) or (c) is passed over, and a change that (d) excludes is left
/// out with all that builds on it, whatever else came with them: else what counts here would depend on what was sent
/// together.
pub(super) fn accept(
    collection: &str,
    id: &DocumentId,
    changes: Vec<Authored>,
    grounds: Grounds<'_>,
) -> Accepted {
    let mut refused = None;
    let mut named = Vec::with_capacity(grounds.proven.len());
    for proven in grounds.proven {
        match check_seal(collection, id, proven) {
            Ok(()) => named.push(proven.change),
            Err(reason) => drop(refused.get_or_insert(reason)),
        }
    }
    let covered = covered(
        changes.iter().map(|authored| &authored.change),
        named.into_iter(),
    );
    let mut left_out = HashSet::new();
    let mut accepted = Vec::with_capacity(changes.len());
    for (authored, is_covered) in changes.into_iter().zip(covered) {
        let change = &authored.change;
        let is_cut = is_covered && is_cut(change, grounds.policy);
        if is_cut {
            refused.get_or_insert(NotAccepted::Cut(change.hash()));
        }
        if is_cut || !is_covered || change.deps().iter().any(|dep| left_out.contains(dep)) {
            left_out.insert(change.hash());
        } else {
            accepted.push(authored);
        }
    }
    Accepted {
        changes: accepted,
        refused,
    }
}

/// Points (b) and (c).
fn check_seal(collection: &str, id: &DocumentId, proven: &Proven) -> Result<(), NotAccepted> {
    proven.certified.author.was_valid_at(proven.sealed_ms)?;
    Ok(proven.certified.access.may_write(collection, id)?)
}

/// Point (e), for changes that stand behind what they build on; the first `births` of them are births. Whether one of them
/// has the actor and number of another one, here or among them.
///
/// # Errors
/// [`NotAccepted::IllFormed`].
pub(super) fn check_form<'c>(
    mut ancestry: Ancestry<'c>,
    changes: &'c [Change],
    births: usize,
) -> Result<bool, NotAccepted> {
    let mut is_forked = false;
    for (number, change) in changes.iter().enumerate() {
        if number >= births {
            wellformed::check(change, &mut ancestry).map_err(|rule| NotAccepted::IllFormed {
                change: change.hash(),
                rule,
            })?;
            is_forked |= ancestry.forks(change);
        }
        ancestry.add(Cow::Borrowed(change));
    }
    Ok(is_forked)
}

/// Which of these changes are covered, and build on covered ones only, as far as they build on any of these: those that
/// seals name, and what the same actor made before on the way there. Changes stand behind what they build on.
pub(crate) fn covered<'c>(
    changes: impl Iterator<Item = &'c Change>,
    named: impl Iterator<Item = ChangeHash>,
) -> Vec<bool> {
    Claimed::of(changes, named).covered().0
}

/// Actors whose seals are followed in one pass: the bits of a number.
const ACTORS_PER_PASS: usize = u64::BITS as usize;

/// Changes by their places, and what seals say of them.
struct Claimed {
    deps: Vec<Vec<usize>>,
    /// Whose each is, of those actors of which a seal names one.
    actors: Vec<Option<usize>>,
    actor_count: usize,
    is_named: Vec<bool>,
}

impl Claimed {
    fn of<'c>(
        changes: impl Iterator<Item = &'c Change>,
        named: impl Iterator<Item = ChangeHash>,
    ) -> Self {
        let changes: Vec<&Change> = changes.collect();
        let numbers = changes.iter().enumerate();
        let numbers: HashMap<ChangeHash, usize> = numbers
            .map(|(number, change)| (change.hash(), number))
            .collect();
        let mut is_named = vec![false; changes.len()];
        let mut actors: HashMap<&[u8], usize> = HashMap::new();
        for number in named.filter_map(|hash| numbers.get(&hash).copied()) {
            if let (Some(is_named), Some(change)) = (is_named.get_mut(number), changes.get(number))
            {
                *is_named = true;
                let count = actors.len();
                actors.entry(change.actor_id().to_bytes()).or_insert(count);
            }
        }
        let deps = changes.iter().map(|change| {
            let deps = change.deps().iter();
            deps.filter_map(|dep| numbers.get(dep).copied()).collect()
        });
        let of = |change: &&Change| actors.get(change.actor_id().to_bytes()).copied();
        Self {
            deps: deps.collect(),
            actors: changes.iter().map(of).collect(),
            actor_count: actors.len(),
            is_named,
        }
    }

    /// Which are covered, and in how many steps from a change to one that it builds on that was found. All are walked once for
    /// so many actors as fit one pass, and a delta has [`DELTA_PROOFS_MAX`](crate::limits::DELTA_PROOFS_MAX) at most.
    fn covered(&self) -> (Vec<bool>, usize) {
        let mut covered = vec![false; self.deps.len()];
        let mut steps = 0;
        for first in (0..self.actor_count).step_by(ACTORS_PER_PASS) {
            // The actors of the changes that seals name above each.
            let mut above = vec![0_u64; self.deps.len()];
            for (number, deps) in self.deps.iter().enumerate().rev() {
                let own = self.bit(number, first);
                let mut actors = above.get(number).copied().unwrap_or(0);
                if self.is_named.get(number) == Some(&true) {
                    actors |= own;
                }
                if let Some(covered) = covered.get_mut(number) {
                    *covered |= actors & own != 0;
                }
                for dep in deps {
                    if let Some(above) = above.get_mut(*dep) {
                        *above |= actors;
                    }
                }
                steps += deps.len();
            }
        }
        for (number, deps) in self.deps.iter().enumerate() {
            let has_all = deps.iter().all(|dep| covered.get(*dep) == Some(&true));
            if let Some(covered) = covered.get_mut(number) {
                *covered &= has_all;
            }
        }
        (covered, steps)
    }

    /// The actor of a change, in the pass that begins with this actor.
    fn bit(&self, number: usize, first: usize) -> u64 {
        let actor = self.actors.get(number).copied().flatten();
        match actor.and_then(|actor| actor.checked_sub(first)) {
            Some(bit) if bit < ACTORS_PER_PASS => 1 << bit,
            _ => 0,
        }
    }
}

fn is_cut(change: &Change, policy: &Policy) -> bool {
    let actor: Result<[u8; 16], _> = change.actor_id().to_bytes().try_into();
    let time_ms = u64::try_from(change.timestamp()).unwrap_or(0);
    actor.is_ok_and(|actor| policy.excludes(ActorName(actor), time_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::forked::{history, written};
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::collections::BTreeSet;

    /// Goal: many actors in one history cost a walk for each 64 of them, not one each.
    #[test]
    fn many_actors_are_covered_in_few_walks() {
        let count = 4_000;
        let line = Claimed {
            deps: (0..count)
                .map(|it: usize| it.checked_sub(1).into_iter().collect())
                .collect(),
            actors: (0..count).map(Some).collect(),
            actor_count: count,
            is_named: vec![true; count],
        };
        let (covered, steps) = line.covered();
        assert!(covered.into_iter().all(|covered| covered));
        assert_eq!(steps, (count - 1) * count.div_ceil(ACTORS_PER_PASS));
    }

    proptest! {
        /// Goal: in any history exactly those changes are covered that a seal names or that an actor made before a change
        /// of its own that one names, where all that they build on is covered too.
        #[test]
        fn what_seals_name_is_covered_with_what_its_actor_made_before(
            history in history(5, 40), named in prop::collection::vec(any::<Index>(), 0..20),
        ) {
            let all = written(&history);
            let named: BTreeSet<usize> = named.iter().map(|it| it.index(all.len())).collect();
            let hashes = named.iter().map(|it| all[*it].0.hash());
            let found = covered(all.iter().map(|(change, _)| change), hashes);
            let own = |number: usize| all[number].0.actor_id();
            let is_claimed = |number: usize| named.iter().any(|above| {
                own(*above) == own(number) && (*above == number || all[*above].1.contains(&number))
            });
            for number in 0..all.len() {
                let expected = is_claimed(number) && all[number].1.iter().all(|it| is_claimed(*it));
                prop_assert_eq!(found[number], expected, "{}", number);
            }
        }
    }
}

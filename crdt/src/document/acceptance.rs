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
use std::collections::{BTreeMap, HashMap};

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

/// Points (a) to (d): gives back those of the changes that are covered, in their order, with those that they build on.
/// `changes` are new here and stand behind what they build on.
///
/// # Errors
/// A seal proves nothing by (b) or (c), or a change is excluded by (d).
pub(super) fn accept(
    collection: &str,
    id: &DocumentId,
    changes: Vec<Authored>,
    grounds: Grounds<'_>,
) -> Result<Vec<Authored>, NotAccepted> {
    for proven in grounds.proven {
        proven.certified.author.was_valid_at(proven.sealed_ms)?;
        proven.certified.access.may_write(collection, id)?;
    }
    let named = grounds.proven.iter().map(|proven| proven.change);
    let covered = covered(changes.iter().map(|authored| &authored.change), named);
    let accepted = changes.into_iter().zip(covered);
    let accepted = accepted.filter_map(|(change, covered)| covered.map(|_| change));
    accepted
        .map(|authored| match is_cut(&authored.change, grounds.policy) {
            true => Err(NotAccepted::Cut(authored.change.hash())),
            false => Ok(authored),
        })
        .collect()
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
/// seals name, and what the same actor made before on the way there. Changes stand behind what they build on. Of a covered
/// one the place of the first that covers it.
pub(super) fn covered<'c>(
    changes: impl Iterator<Item = &'c Change>,
    named: impl Iterator<Item = ChangeHash>,
) -> Vec<Option<usize>> {
    let changes: Vec<&Change> = changes.collect();
    let numbers: HashMap<ChangeHash, usize> = changes
        .iter()
        .enumerate()
        .map(|(number, change)| (change.hash(), number))
        .collect();
    let mut named_by: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for number in named.filter_map(|hash| numbers.get(&hash).copied()) {
        if let Some(change) = changes.get(number) {
            named_by
                .entry(change.actor_id().to_bytes())
                .or_default()
                .push(number);
        }
    }
    let mut covered = vec![None; changes.len()];
    for (actor, mut named) in named_by {
        let mut seen = vec![false; changes.len()];
        named.sort_unstable();
        for place in named {
            let mut open = vec![place];
            while let Some(number) = open.pop() {
                let (Some(change), Some(seen)) = (changes.get(number), seen.get_mut(number)) else {
                    continue;
                };
                if std::mem::replace(seen, true) {
                    continue;
                }
                let is_own = change.actor_id().to_bytes() == actor;
                if let Some(covered) = covered.get_mut(number).filter(|_| is_own) {
                    *covered = Some(place);
                }
                open.extend(change.deps().iter().filter_map(|dep| numbers.get(dep)));
            }
        }
    }
    for (number, change) in changes.iter().enumerate() {
        let mut deps = change.deps().iter().filter_map(|dep| numbers.get(dep));
        let has_all = deps.all(|dep| covered.get(*dep).is_some_and(Option::is_some));
        if let Some(covered) = covered.get_mut(number).filter(|_| !has_all) {
            *covered = None;
        }
    }
    covered
}

fn is_cut(change: &Change, policy: &Policy) -> bool {
    let actor: Result<[u8; 16], _> = change.actor_id().to_bytes().try_into();
    let time_ms = u64::try_from(change.timestamp()).unwrap_or(0);
    actor.is_ok_and(|actor| policy.excludes(ActorName(actor), time_ms))
}

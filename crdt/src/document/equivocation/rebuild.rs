//! The document of the changes that count.

use crate::document::birth::is_birth;
use crate::document::delta::heads_after;
use crate::document::{Document, DocumentError, contained};
use automerge::{Change, ChangeHash};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// The document of all accepted changes, births included, without those that are set aside. It doesn't matter in which
/// order they are given.
///
/// # Errors
/// A change is missing that one of these builds on, or automerge does not load them.
pub(crate) fn rebuild(
    changes: Vec<Change>,
    aside: &HashSet<ChangeHash>,
) -> Result<Document, DocumentError> {
    let kept = kept_in_order(changes, aside);
    let chunks = kept.iter().map(Change::raw_bytes);
    // What a later load of the record will do.
    let document = Document::load(&chunks.collect::<Vec<_>>().concat())?;
    if document.heads() != heads_after(Vec::new(), &kept) {
        return Err(DocumentError::Load("changes would be lost".to_owned()));
    }
    let remade = contained(|| document.automerge.get_changes(&[]))?;
    if !remade.iter().all(|change| document.has(&change.hash())) {
        return Err(DocumentError::Load("changes would be altered".to_owned()));
    }
    Ok(document)
}

/// The changes that count, each once and behind what it builds on, in an order that follows from their set, with the
/// births that these need.
fn kept_in_order(changes: Vec<Change>, aside: &HashSet<ChangeHash>) -> Vec<Change> {
    let by_hash = changes.into_iter().map(|change| (change.hash(), change));
    let mut by_hash: HashMap<ChangeHash, Change> = by_hash.collect();
    let needed = needed(&by_hash, aside);
    by_hash.retain(|hash, _| needed.contains(hash));
    let mut waits_for: HashMap<ChangeHash, usize> = HashMap::with_capacity(by_hash.len());
    let mut children: HashMap<ChangeHash, Vec<ChangeHash>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for (hash, change) in &by_hash {
        let here = |dep: &&ChangeHash| by_hash.contains_key(*dep);
        let deps: Vec<&ChangeHash> = change.deps().iter().filter(here).collect();
        if deps.is_empty() {
            ready.push(Reverse(*hash));
        }
        waits_for.insert(*hash, deps.len());
        for dep in deps {
            children.entry(*dep).or_default().push(*hash);
        }
    }
    let mut ordered = Vec::with_capacity(by_hash.len());
    while let Some(Reverse(hash)) = ready.pop() {
        ordered.extend(by_hash.remove(&hash));
        for child in children.remove(&hash).unwrap_or_default() {
            if let Some(waits_for) = waits_for.get_mut(&child) {
                *waits_for -= 1;
                if *waits_for == 0 {
                    ready.push(Reverse(child));
                }
            }
        }
    }
    ordered
}

/// The authored changes that count, and the births among what they build on.
fn needed(
    changes: &HashMap<ChangeHash, Change>,
    aside: &HashSet<ChangeHash>,
) -> HashSet<ChangeHash> {
    let authored = changes
        .iter()
        .filter(|(hash, change)| !is_birth(change.actor_id()) && !aside.contains(*hash));
    let mut open: Vec<ChangeHash> = authored.map(|(hash, _)| *hash).collect();
    let mut needed: HashSet<ChangeHash> = open.iter().copied().collect();
    while let Some(change) = open.pop().and_then(|hash| changes.get(&hash)) {
        for dep in change.deps() {
            let birth = changes.get(dep).filter(|dep| is_birth(dep.actor_id()));
            if birth.is_some() && needed.insert(*dep) {
                open.push(*dep);
            }
        }
    }
    needed
}

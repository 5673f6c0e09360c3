//! Taking in what came from outside.
//!
//! Automerge applies some changes whose operations name what isn't there, and the document may not load afterwards, or
//! not give its changes out again. So a delta isn't applied to a loaded document: its changes are put behind the record,
//! and what *that* loads as is the document. A record that would not load again, or could not be sent on, never comes
//! to be.

use super::birth::{Birth, Births};
use super::delta::{DEVICE_ACTOR_BYTES, Named, heads_after};
use super::{Delta, DeltaError, Document, DocumentError, contained};
use crate::id::DocumentId;
use crate::value::Value;
use automerge::{Change, ChangeHash};
use std::collections::{HashMap, HashSet};

/// What became of a delta.
pub struct Ingested {
    /// The document with what was new of the delta.
    pub document: Document,
    /// What readers see of it.
    pub value: Option<Value>,
    /// The changes that are new here, births first, in the order in which the record holds them.
    pub changes: Vec<Change>,
    /// The same as a delta for others.
    pub delta: Delta,
    /// Whether changes were left out because what they depend on is not here.
    pub incomplete: bool,
}

impl Document {
    /// The document of a record with what is new of a delta behind it.
    ///
    /// # Errors
    /// The delta is malformed, or the record would not load with it. Panics of automerge are errors too.
    pub fn ingest(
        record: &[u8],
        collection: &str,
        id: &DocumentId,
        delta: &Delta,
    ) -> Result<Ingested, DeltaError> {
        contained(|| ingest(record, &named_births(collection, id, delta), id, delta))?
    }
}

fn ingest(
    record: &[u8],
    named: &[Change],
    id: &DocumentId,
    delta: &Delta,
) -> Result<Ingested, DeltaError> {
    let mut document = Document::load(record)?;
    let authored = unknown(&document, delta)?;
    let total = authored.len();
    let ready = in_order(&document, authored, named);
    let incomplete = ready.len() < total;
    let births = needed(named, &ready);
    let mut births_for_others = Named::default();
    for birth in &births {
        births_for_others.add(birth, |_| None); // those above it come before it
    }
    let chunks = ready
        .iter()
        .map(|change| change.clone().bytes().into_owned());
    let delta = Delta::of(births_for_others, chunks.collect());
    let changes: Vec<Change> = births
        .into_iter()
        .filter(|birth| !document.has(&birth.hash()))
        .chain(ready)
        .collect();
    if !changes.is_empty() {
        document = load_with(record, &document, &changes)?;
    }
    Ok(Ingested {
        value: document.value(id),
        document,
        changes,
        delta,
        incomplete,
    })
}

/// Loads the record with the changes behind it: exactly what a later load will do.
fn load_with(
    record: &[u8],
    before: &Document,
    changes: &[Change],
) -> Result<Document, DocumentError> {
    let chunks = changes.iter().map(Change::raw_bytes);
    let record: Vec<u8> = std::iter::once(record)
        .chain(chunks)
        .collect::<Vec<_>>()
        .concat();
    let document = Document::load(&record)?;
    // Behind a snapshot automerge leaves out without an error what it can't apply.
    if document.heads() != heads_after(before.heads(), changes) {
        return Err(DocumentError::Load("changes would be lost".to_owned()));
    }
    // What is kept is also sent on, and for that automerge makes the changes anew from their operations.
    let remade = document.automerge.get_changes(&[]);
    if !remade.iter().all(|change| document.has(&change.hash())) {
        return Err(DocumentError::Load("changes would be altered".to_owned()));
    }
    Ok(document)
}

/// The delta's authored changes that are not here yet, measured and decoded.
fn unknown(document: &Document, delta: &Delta) -> Result<Vec<Change>, DeltaError> {
    delta.check_changes()?;
    let mut unknown = Vec::new();
    let mut hashes = HashSet::new();
    for bytes in &delta.changes {
        let change = Change::from_bytes(bytes.clone())
            .map_err(|error| DeltaError::Change(error.to_string()))?;
        // `from_bytes` doesn't look at the checksum, but a record that holds a wrong one never loads again.
        if bytes.get(4..8) != Some(&change.hash().0[..4]) {
            return Err(DeltaError::Change("wrong checksum".to_owned()));
        }
        match change.actor_id().to_bytes().len() {
            DEVICE_ACTOR_BYTES => {}
            length => return Err(DeltaError::Actor(length)),
        }
        if !document.has(&change.hash()) && hashes.insert(change.hash()) {
            unknown.push(change);
        }
    }
    Ok(unknown)
}

/// The births that the delta names, parents first.
fn named_births(collection: &str, id: &DocumentId, delta: &Delta) -> Vec<Change> {
    let births = Births::of(collection, id);
    let mut named: Vec<Birth> = Vec::with_capacity(delta.births.len());
    for place in &delta.births {
        let parent = place.parent.and_then(|number| named.get(number));
        named.push(births.under(parent, &place.key));
    }
    named.into_iter().map(|birth| birth.change).collect()
}

/// The named births in the ancestry of these changes, each once; no other is ever applied.
fn needed(named: &[Change], changes: &[Change]) -> Vec<Change> {
    let by_hash: HashMap<ChangeHash, &Change> =
        named.iter().map(|birth| (birth.hash(), birth)).collect();
    let mut needed = HashSet::new();
    let mut open: Vec<ChangeHash> = changes
        .iter()
        .flat_map(|change| change.deps().to_vec())
        .collect();
    while let Some(hash) = open.pop() {
        if let Some(birth) = by_hash.get(&hash)
            && needed.insert(hash)
        {
            open.extend(birth.deps());
        }
    }
    let births = named.iter().filter(|birth| needed.remove(&birth.hash()));
    births.cloned().collect()
}

/// The changes whose dependencies are all here, births, or before them, in such an order.
fn in_order(document: &Document, changes: Vec<Change>, births: &[Change]) -> Vec<Change> {
    let mut known: HashSet<ChangeHash> = births.iter().map(Change::hash).collect();
    let mut waiting: HashMap<ChangeHash, Vec<Change>> = HashMap::new();
    let mut ready = Vec::with_capacity(changes.len());
    for change in changes {
        let mut released = vec![change];
        while let Some(change) = released.pop() {
            let lacks = |dep: &&ChangeHash| !known.contains(*dep) && !document.has(dep);
            if let Some(dep) = change.deps().iter().find(lacks) {
                waiting.entry(*dep).or_default().push(change);
            } else {
                let hash = change.hash();
                known.insert(hash);
                ready.push(change);
                released.extend(waiting.remove(&hash).unwrap_or_default());
            }
        }
    }
    ready
}

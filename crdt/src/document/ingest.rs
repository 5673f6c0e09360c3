//! Taking in what came from outside.
//!
//! Automerge applies some changes whose operations name what isn't there, and the document may not load afterwards, or
//! not give its changes out again. So each change is first held against its ancestry (`wellformed`); one that breaks a rule
//! has the delta refused. What is left is applied as a load of the record with it would do (`before`), and must then be
//! there and come out as it came. A record that would not load again, or could not be sent on, never comes to be. The
//! first change of a document is mostly spared all this (`first`).

use super::acceptance::{Accepted, Grounds, NotAccepted, accept, check_form};
use super::before::Before;
use super::birth::{Birth, Births};
use super::delta::{DEVICE_ACTOR_BYTES, Place, Size, heads_after};
use super::forked::{Here, Resolved, resolved};
use super::{Delta, DeltaError, Document, chunk, contained, first};
use crate::id::DocumentId;
use crate::seal::Made;
use crate::value::Value;
use automerge::{Change, ChangeHash};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What became of a delta.
pub struct Ingested {
    /// The document with what was new of the delta; `None` when that was its first change, and was read without it.
    pub document: Option<Document>,
    /// What readers see of it.
    pub value: Option<Value>,
    /// Its newest changes, those that do not count among them, ascending.
    pub heads: Vec<ChangeHash>,
    /// The changes that are new here, births first, in the order in which the record holds them.
    pub changes: Vec<Change>,
    /// The same as a delta for others.
    pub delta: Delta,
    /// Whether changes were left out because what they depend on is not here.
    pub incomplete: bool,
    /// Why something of it was left out that never counts, if that is so.
    pub refused: Option<NotAccepted>,
    /// Where a device has made two changes with one number: what counts. The record is another one then.
    pub(crate) resolved: Option<Resolved>,
}

impl Document {
    /// A document with what is accepted of a delta behind it.
    ///
    /// # Errors
    /// The delta is malformed or not acceptable, or the record would not load with it. Panics of automerge are errors too.
    pub(crate) fn ingest(
        here: Here<'_>,
        collection: &str,
        id: &DocumentId,
        delta: Decoded,
        grounds: Option<Grounds<'_>>,
    ) -> Result<Ingested, DeltaError> {
        contained(|| {
            let mut arrival = Arrival::of(here, collection, id, delta, grounds)?;
            match arrival.first.take() {
                Some(value) => Ok(arrival.begin(value)),
                None => arrival.append(id, here),
            }
        })?
    }

    /// The same as if seals covered all of the delta: what is checked is its form alone.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest).
    #[cfg(any(test, feature = "fuzz"))]
    pub fn ingest_assumed(
        record: &[u8],
        collection: &str,
        id: &DocumentId,
        delta: &Delta,
    ) -> Result<Ingested, DeltaError> {
        let decoded = Decoded::new(collection, id, delta.clone())?;
        Self::ingest(Here::assumed(record), collection, id, decoded, None)?.unforked()
    }

    /// The same by loading the document, and the record once more with what is new: what
    /// [`ingest_assumed`](Self::ingest_assumed) gives is compared with it.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn ingest_loaded(
        record: &[u8],
        collection: &str,
        id: &DocumentId,
        delta: &Delta,
    ) -> Result<Ingested, DeltaError> {
        let decoded = Decoded::new(collection, id, delta.clone())?;
        contained(|| {
            let here = Here::assumed(record);
            let mut arrival = Arrival::of(here, collection, id, decoded, None)?;
            arrival.before = Before::loaded(Document::load(record)?);
            let mut ingested = arrival.append(id, here)?.unforked()?;

            let chunks = ingested.changes.iter().map(Change::raw_bytes);
            let record = std::iter::once(record).chain(chunks).collect::<Vec<_>>();
            let again = Document::load(&record.concat())?;
            ingested.heads = again.heads();
            ingested.value = again.value(id);
            Ok(ingested)
        })?
    }
}

#[cfg(any(test, feature = "fuzz"))]
impl Ingested {
    /// A record alone does not hold forks.
    fn unforked(self) -> Result<Self, DeltaError> {
        match self.resolved {
            None => Ok(self),
            Some(_) => Err(super::DocumentError::Apply("it forks".to_owned()).into()),
        }
    }
}

/// A delta whose changes are measured and decoded: all that can be found out about it without the document that it is for.
pub(crate) struct Decoded {
    places: Vec<Place>,
    /// The births at those places.
    births: Vec<Change>,
    changes: Vec<Authored>,
    /// What readers see if the document begins with it, where that can be read without an op set.
    first: Option<Value>,
    /// Bytes of the changes.
    inflated_bytes: usize,
}

impl Decoded {
    /// Decodes the changes of a delta from outside, each of which is measured first.
    ///
    /// # Errors
    /// A change is out of bounds or damaged, or no device's.
    pub(crate) fn new(collection: &str, id: &DocumentId, delta: Delta) -> Result<Self, DeltaError> {
        contained(|| {
            let places = delta.births;
            let (changes, size) = decode(delta.changes)?;
            let births = named_births(collection, id, &places);
            let first = match changes.as_slice() {
                // What makes automerge panic is refused once it is applied.
                [only] => contained(|| first::value(&births, &places, &only.change, id))
                    .ok()
                    .flatten(),
                _ => None,
            };
            Ok(Self {
                places,
                births,
                changes,
                first,
                inflated_bytes: size.inflated_bytes,
            })
        })?
    }

    /// What its changes are called, in their order.
    pub(crate) fn made(&self) -> Vec<Made> {
        let changes = self.changes.iter();
        changes.map(|it| Made::of(&it.change)).collect()
    }

    /// What the changes of a delta are called, without keeping more of them than one at a time.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn made_in(delta: &Delta) -> Result<Vec<Made>, DeltaError> {
        contained(|| {
            let mut size = Size::default();
            let changes = delta.changes.iter();
            let made = changes.map(|chunk| Ok(Made::of(&read(chunk, &mut size)?)));
            made.collect()
        })?
    }

    /// Bytes of the changes, inflated.
    pub(crate) fn inflated_bytes(&self) -> usize {
        self.inflated_bytes
    }
}

/// What is new of a delta, decoded.
struct Arrival {
    before: Before,
    /// The births that are new, parents first, and the authored changes behind them in an order in which they apply.
    changes: Vec<Change>,
    /// How many of them are births.
    births: usize,
    /// The same for others, with the places of the births that are here already.
    delta: Delta,
    incomplete: bool,
    refused: Option<NotAccepted>,
    /// What readers see, if nothing of the document is here and what arrived could be read without an op set.
    first: Option<Value>,
}

impl Arrival {
    fn of(
        here: Here<'_>,
        collection: &str,
        id: &DocumentId,
        delta: Decoded,
        grounds: Option<Grounds<'_>>,
    ) -> Result<Self, DeltaError> {
        let before = Before::of(here.record)?;
        let is_here = |hash: &ChangeHash| before.has(hash) || here.aside.has(hash);
        let unknown = unknown(is_here, delta.changes);
        let total = unknown.len();
        let named = delta.births;
        let ready = in_order(is_here, unknown, &named);
        let Accepted {
            changes: accepted,
            refused,
        } = match grounds {
            Some(grounds) => accept(collection, id, ready, grounds),
            None => Accepted {
                changes: ready,
                refused: None,
            },
        };
        let incomplete = accepted.len() < total && refused.is_none();
        let accepted = accepted.into_iter().map(|it| (it.change, it.chunk));
        let (accepted, chunks): (Vec<Change>, Vec<Vec<u8>>) = accepted.unzip();
        // Such a change builds on all births that came with it, so nothing is left out.
        let first = delta.first;
        let first = first.filter(|_| before.is_empty() && !accepted.is_empty());
        let (mut changes, places) = needed(named, &delta.places, &accepted);
        let delta = Delta {
            births: places,
            changes: chunks,
        };
        changes.retain(|birth| !is_here(&birth.hash()));
        let births = changes.len();
        changes.extend(accepted);
        Ok(Self {
            before,
            changes,
            births,
            delta,
            incomplete,
            refused,
            first,
        })
    }

    /// The document begins with what arrived.
    fn begin(self, value: Value) -> Ingested {
        Ingested {
            document: None,
            value: Some(value),
            heads: heads_after(Vec::new(), &self.changes),
            changes: self.changes,
            delta: self.delta,
            incomplete: self.incomplete,
            refused: self.refused,
            resolved: None,
        }
    }

    /// What arrived is put behind the record, or what counts is found out anew.
    fn append(self, id: &DocumentId, here: Here<'_>) -> Result<Ingested, DeltaError> {
        if self.check(here)? {
            return self.resolve(id, here);
        }
        let document = self.before.with(&self.changes)?;
        Ok(Ingested {
            value: document.value(id),
            heads: document.heads(),
            document: Some(document),
            changes: self.changes,
            delta: self.delta,
            incomplete: self.incomplete,
            refused: self.refused,
            resolved: None,
        })
    }

    /// The document is made anew from what counts of all changes.
    fn resolve(self, id: &DocumentId, here: Here<'_>) -> Result<Ingested, DeltaError> {
        let mut all = self.before.into_changes();
        all.extend(here.aside.iter().cloned());
        all.extend_from_slice(&self.changes);
        let heads = heads_after(Vec::new(), &all);
        let (document, resolved) = resolved(id, all, here)?;
        Ok(Ingested {
            value: document.value(id),
            heads,
            document: Some(document),
            changes: self.changes,
            delta: self.delta,
            incomplete: self.incomplete,
            refused: self.refused,
            resolved: Some(resolved),
        })
    }

    /// Checks that the changes behind the births are well-formed. Whether an actor has two with one number now.
    fn check(&self, here: Here<'_>) -> Result<bool, DeltaError> {
        if self.changes.is_empty() {
            return Ok(false);
        }
        let mut ancestry = self.before.ancestry();
        for change in here.aside.iter() {
            if !self.before.has(&change.hash()) {
                ancestry.add(Cow::Borrowed(change));
            }
        }
        let is_forked = check_form(ancestry, &self.changes, self.births)?;
        Ok(is_forked || !here.aside.is_empty())
    }
}

/// An authored change and the chunk that it travels in.
pub(super) struct Authored {
    pub(super) change: Change,
    chunk: Vec<u8>,
}

fn decode(chunks: Vec<Vec<u8>>) -> Result<(Vec<Authored>, Size), DeltaError> {
    let mut size = Size::default();
    let authored = chunks.into_iter().map(|chunk| {
        let change = read(&chunk, &mut size)?;
        Ok(Authored { change, chunk })
    });
    let authored: Vec<Authored> = authored.collect::<Result<_, DeltaError>>()?;
    Ok((authored, size))
}

/// The next change of a delta whose changes so far have this size.
fn read(chunk: &[u8], size: &mut Size) -> Result<Change, DeltaError> {
    let measured = chunk::measure(chunk)?;
    size.add(&measured)?;
    let change = Change::try_from(&*measured.plain)
        .map_err(|error| DeltaError::Change(error.to_string()))?;
    // Nobody has looked at the checksum, but a record that holds a wrong one never loads again.
    if measured.plain.get(4..8) != Some(&change.hash().0[..4]) {
        return Err(DeltaError::Change("wrong checksum".to_owned()));
    }
    match change.actor_id().to_bytes().len() {
        DEVICE_ACTOR_BYTES => Ok(change),
        length => Err(DeltaError::Actor(length)),
    }
}

/// The changes that are not here yet, each once.
fn unknown(is_here: impl Fn(&ChangeHash) -> bool, changes: Vec<Authored>) -> Vec<Authored> {
    let mut hashes = HashSet::new();
    let mut is_new = |authored: &Authored| {
        let hash = authored.change.hash();
        !is_here(&hash) && hashes.insert(hash)
    };
    changes.into_iter().filter(|it| is_new(it)).collect()
}

/// The births that the delta names, parents first.
fn named_births(collection: &str, id: &DocumentId, places: &[Place]) -> Vec<Change> {
    let births = Births::of(collection, id);
    let mut named: Vec<Birth> = Vec::with_capacity(places.len());
    for place in places {
        let parent = place.parent.and_then(|number| named.get(number));
        named.push(births.under(parent, &place.key));
    }
    named.into_iter().map(|birth| birth.change).collect()
}

/// The named births in the ancestry of these changes, each once and with its place among them; no other is ever applied.
fn needed(named: Vec<Change>, places: &[Place], changes: &[Change]) -> (Vec<Change>, Vec<Place>) {
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
    let mut numbers = HashMap::new();
    let mut kept = (Vec::new(), Vec::new());
    for (birth, place) in named.into_iter().zip(places) {
        if needed.remove(&birth.hash()) {
            numbers.insert(birth.hash(), numbers.len());
            let parent = birth.deps().first();
            let parent = parent.and_then(|hash| numbers.get(hash)).copied();
            let key = place.key.clone();
            kept.1.push(Place { parent, key });
            kept.0.push(birth);
        }
    }
    kept
}

/// The changes whose dependencies are all here, births, or before them, in such an order.
fn in_order(
    is_here: impl Fn(&ChangeHash) -> bool,
    changes: Vec<Authored>,
    births: &[Change],
) -> Vec<Authored> {
    let mut known: HashSet<ChangeHash> = births.iter().map(Change::hash).collect();
    let mut waiting: HashMap<ChangeHash, Vec<Authored>> = HashMap::new();
    let mut ready = Vec::with_capacity(changes.len());
    for authored in changes {
        let mut released = vec![authored];
        while let Some(authored) = released.pop() {
            let lacks = |dep: &&ChangeHash| !known.contains(*dep) && !is_here(dep);
            if let Some(dep) = authored.change.deps().iter().find(lacks) {
                waiting.entry(*dep).or_default().push(authored);
            } else {
                let hash = authored.change.hash();
                known.insert(hash);
                ready.push(authored);
                released.extend(waiting.remove(&hash).unwrap_or_default());
            }
        }
    }
    ready
}

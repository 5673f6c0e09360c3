//! The reference replica: documents are grow-only sets of opaque changes in memory. It shows what the
//! mesh expects of a store, and tests and simulations run on it. It demands stand-ins for seals and certificates, so
//! that these see whether both arrive.

mod document;
mod faults;
mod proof;
mod ranges;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};

pub use self::faults::Checkpoint;
use self::{
    document::{Change, Document, decode_changes},
    proof::{CertificateName, SEAL_BYTES},
};
use crate::replica::{
    Answered, Bundle, ChangeHash, ChangesLimits, CollectionName, Commit, Cursor, Delta, DeltaPart,
    DocumentKey, FeedId, FeedPage, FeedPosition, IngestOutcome, Interest, Item, Missing,
    NamedCertificate, Offered, Origin, PageLimits, PartLimits, Range, Replica, ReplicaError,
    Sequence, Summary, collect_deltas, evidence_bytes,
};

type Observer = Box<dyn Fn(Commit) + Send + Sync>;

/// A replica in memory.
///
/// Each change names its author, who is known by the feed that it was written to. A delta is applied only when its
/// bundle has, of each author of its changes, a seal over exactly the deltas of this bundle, and the author's
/// certificate is here or in the bundle. Seals and certificates are stand-ins: a hash that anybody can make, and the
/// name of the feed.
pub struct MemoryReplica {
    state: Mutex<State>,
}

struct State {
    id: FeedId,
    last: u64,
    documents: BTreeMap<DocumentKey, Document>,
    /// Each document once, at its latest commit.
    feed: BTreeMap<u64, DocumentKey>,
    cursors: BTreeMap<(FeedId, Interest), Cursor>,
    /// The stand-in certificates that have come, and the own one, by name.
    certificates: BTreeMap<CertificateName, Bytes>,
    author: CertificateName,
    /// Authors whose certificates are not acceptable here.
    distrusted: BTreeSet<CertificateName>,
    delta_changes_max: usize,
    /// Changes that have come to be here since somebody asked, where somebody does.
    arrivals: Option<Vec<(DocumentKey, ChangeHash)>>,
    #[cfg(test)]
    takes_in_without_dependencies: bool,
    observer: Option<Observer>,
}

impl MemoryReplica {
    /// An empty replica whose feed has this id.
    pub fn new(feed: FeedId) -> Self {
        let own = proof::certificate(feed);
        let state = State {
            id: feed,
            last: 0,
            documents: BTreeMap::new(),
            feed: BTreeMap::new(),
            cursors: BTreeMap::new(),
            author: own.name,
            certificates: BTreeMap::from([(own.name, own.bytes)]),
            distrusted: BTreeSet::new(),
            delta_changes_max: usize::MAX,
            arrivals: None,
            #[cfg(test)]
            takes_in_without_dependencies: false,
            observer: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Gives out at most so many changes of a document at once.
    pub fn limit_deltas(&self, changes_max: usize) {
        self.state().delta_changes_max = changes_max;
    }

    /// Names who is told about every commit, in order. The observer must not call the replica.
    pub fn observe(&self, observer: impl Fn(Commit) + Send + Sync + 'static) {
        self.state().observer = Some(Box::new(observer));
    }

    /// Adds a change to each of these documents, on top of its heads, in one commit.
    pub fn write(&self, writes: Vec<(DocumentKey, Bytes)>) {
        let mut state = self.state();
        let mut deltas = Vec::with_capacity(writes.len());
        for (document, content) in writes {
            let heads = state
                .documents
                .entry(document.clone())
                .or_default()
                .heads
                .iter()
                .copied()
                .collect();
            let change = Change::new(heads, state.author, &content);
            let payload = change.bytes.clone();
            state.arrived(&document, change.hash);
            state
                .documents
                .entry(document.clone())
                .or_default()
                .add(change);
            deltas.push(Delta { document, payload });
        }
        state.commit(deltas, Origin::Local);
    }

    /// The hashes of all changes of all documents.
    pub fn contents(&self) -> BTreeMap<DocumentKey, BTreeSet<ChangeHash>> {
        let state = self.state();
        let documents = state.documents.iter();
        documents
            .map(|(key, document)| (key.clone(), document.positions.keys().copied().collect()))
            .collect()
    }

    /// Whether some change of a document was written here.
    pub fn wrote(&self, document: &DocumentKey) -> bool {
        let state = self.state();
        let document = state.documents.get(document);
        document.is_some_and(|it| {
            it.changes
                .iter()
                .any(|change| change.author == state.author)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryReplica")
            .field("id", &state.id)
            .field("last", &state.last)
            .finish_non_exhaustive()
    }
}

impl Replica for MemoryReplica {
    fn feed(&self) -> Result<FeedPosition, ReplicaError> {
        let state = self.state();
        Ok(FeedPosition {
            id: state.id,
            last: Sequence(state.last),
        })
    }

    fn collections(&self) -> Result<BTreeSet<CollectionName>, ReplicaError> {
        Ok(self
            .state()
            .documents
            .keys()
            .map(|document| document.collection.clone())
            .collect())
    }

    fn feed_page(
        &self,
        after: Sequence,
        interest: &Interest,
        limits: PageLimits,
    ) -> Result<FeedPage, ReplicaError> {
        let state = self.state();
        let (mut entries, mut bytes, mut up_to) = (Vec::new(), 0, after);
        for (sequence, key) in state
            .feed
            .range(after.0.saturating_add(1)..)
            .take(limits.scan_max)
        {
            if interest.includes(&key.collection)
                && let Some(document) = state.documents.get(key)
            {
                let entry = Offered {
                    document: key.clone(),
                    heads: document.heads.iter().copied().collect(),
                };
                bytes += entry.wire_bytes();
                if entries.len() == limits.entries_max
                    || (bytes > limits.bytes_max && !entries.is_empty())
                {
                    return Ok(FeedPage { entries, up_to });
                }
                entries.push(entry);
            }
            up_to = Sequence(*sequence);
        }
        Ok(FeedPage { entries, up_to })
    }

    fn summary(&self, range: &Range) -> Result<Summary, ReplicaError> {
        let [summary] = ranges::summaries(&self.state().documents, range, 0)[..] else {
            return Ok(Summary::default());
        };
        Ok(summary)
    }

    fn summaries(&self, range: &Range, span: u8) -> Result<Vec<Summary>, ReplicaError> {
        Ok(ranges::summaries(&self.state().documents, range, span))
    }

    fn items(
        &self,
        range: &Range,
        after: Option<&DocumentKey>,
        most: usize,
    ) -> Result<Vec<(DocumentKey, Item)>, ReplicaError> {
        let items = ranges::items(&self.state().documents, range).into_iter();
        let behind =
            items.filter(|(key, _)| after.is_none_or(|after| ranges::is_behind(key, after)));
        Ok(behind.take(most).collect())
    }

    fn offered(&self, document: &DocumentKey) -> Result<Option<Offered>, ReplicaError> {
        let state = self.state();
        Ok(state.documents.get(document).map(|it| Offered {
            document: document.clone(),
            heads: it.heads.iter().copied().collect(),
        }))
    }

    fn missing(&self, entries: &[Offered]) -> Result<Vec<Missing>, ReplicaError> {
        let state = self.state();
        let missing = entries
            .iter()
            .map(|entry| match state.documents.get(&entry.document) {
                None => Missing::Changes(Vec::new()),
                Some(document) => {
                    let has_all = entry
                        .heads
                        .iter()
                        .all(|head| document.positions.contains_key(head));
                    let is_known = has_all && !entry.heads.is_empty();
                    if is_known {
                        Missing::Nothing
                    } else {
                        Missing::Changes(document.heads.iter().copied().collect())
                    }
                }
            });
        Ok(missing.collect())
    }

    fn changes(
        &self,
        wants: &[(DocumentKey, Vec<ChangeHash>)],
        limits: ChangesLimits,
    ) -> Result<Answered, ReplicaError> {
        let state = self.state();
        let mut authors = BTreeSet::new();
        let mut answer = collect_deltas(wants, limits, |document, have_heads, limits| {
            Ok(state.part(document, have_heads, limits, &mut authors))
        })?;
        answer.bundle.seals = proof::seals(&answer.bundle.deltas);
        answer.bundle.certificates = state.certificates_of(&authors);
        Ok(answer)
    }

    fn ingest(
        &self,
        bundles: Vec<Bundle>,
        origin: &Origin,
    ) -> Result<Vec<IngestOutcome>, ReplicaError> {
        let mut state = self.state();
        let (mut outcomes, mut applied) = (Vec::new(), Vec::new());
        for bundle in bundles {
            state.ingest(bundle, &mut outcomes, &mut applied);
        }
        if !applied.is_empty() {
            state.commit(applied, origin.clone());
        }
        Ok(outcomes)
    }

    fn cursor(&self, feed: FeedId, interest: &Interest) -> Result<Cursor, ReplicaError> {
        Ok(self
            .state()
            .cursors
            .get(&(feed, interest.clone()))
            .copied()
            .unwrap_or_default())
    }

    fn store_cursor(
        &self,
        feed: FeedId,
        interest: &Interest,
        cursor: Cursor,
    ) -> Result<(), ReplicaError> {
        self.state()
            .cursors
            .insert((feed, interest.clone()), cursor);
        Ok(())
    }
}

impl State {
    /// What is to be sent of a document, or the first part of it. Adds to the authors of the answer.
    fn part(
        &self,
        key: &DocumentKey,
        have_heads: &[ChangeHash],
        limits: PartLimits,
        authors: &mut BTreeSet<CertificateName>,
    ) -> Option<DeltaPart> {
        let document = self.documents.get(key)?;
        let (mut payload, mut evidence, mut changes) = (BytesMut::new(), 0, 0);
        let mut heads: BTreeSet<ChangeHash> = have_heads.iter().copied().collect();
        let mut missing = document.changes_beyond(have_heads).peekable();
        while let Some(change) = missing.peek() {
            let more_evidence = match authors.contains(&change.author) {
                true => 0,
                false => self.evidence_bytes(&change.author),
            };
            if payload.len() + change.bytes.len() > limits.delta_bytes_max
                || evidence + more_evidence > limits.evidence_bytes_max
                || changes == self.delta_changes_max
            {
                break;
            }
            payload.put_slice(&change.bytes);
            for dep in &change.deps {
                heads.remove(dep);
            }
            heads.insert(change.hash);
            authors.insert(change.author);
            evidence += more_evidence;
            changes += 1;
            missing.next();
        }
        let more_after = missing.peek().map(|_| heads.into_iter().collect());
        (changes > 0).then(|| DeltaPart {
            delta: Delta {
                document: key.clone(),
                payload: payload.freeze(),
            },
            evidence_bytes: evidence,
            more_after,
        })
    }

    /// What an author's seal and certificate count in an answer.
    fn evidence_bytes(&self, author: &CertificateName) -> usize {
        let certificate = self.certificates.get(author).map_or(0, Bytes::len);
        evidence_bytes(SEAL_BYTES) + evidence_bytes(certificate)
    }

    fn certificates_of(&self, authors: &BTreeSet<CertificateName>) -> Vec<NamedCertificate> {
        let known = self.certificates.iter();
        let named = known.filter(|(name, _)| authors.contains(*name));
        named
            .map(|(name, bytes)| NamedCertificate {
                name: *name,
                bytes: bytes.clone(),
            })
            .collect()
    }

    /// Takes in a bundle: adds an outcome for each delta, and to what is applied.
    fn ingest(
        &mut self,
        bundle: Bundle,
        outcomes: &mut Vec<IngestOutcome>,
        applied: &mut Vec<Delta>,
    ) {
        let certificates = bundle.certificates.into_iter();
        let (acceptable, refused): (Vec<_>, Vec<_>) = certificates.partition(|certificate| {
            proof::is_acceptable(certificate) && !self.distrusted.contains(&certificate.name)
        });
        let acceptable = acceptable.into_iter().map(|it| (it.name, it.bytes));
        self.certificates.extend(acceptable);
        let refused: BTreeSet<_> = refused.into_iter().map(|it| it.name).collect();
        let judge = |author| {
            if !self.certificates.contains_key(&author) {
                return Err(match refused.contains(&author) {
                    true => rejected("a certificate is not acceptable"),
                    false => IngestOutcome::UnknownCertificate,
                });
            }
            match bundle.seals.contains(&proof::seal(&author, &bundle.deltas)) {
                true => Ok(()),
                false => Err(rejected("the seal of these changes is not there")),
            }
        };
        let authors = proof::authors(&bundle.deltas).into_iter();
        let verdicts: BTreeMap<_, _> = authors.map(|author| (author, judge(author))).collect();
        for delta in bundle.deltas {
            let outcome = match decode_changes(delta.payload) {
                None => rejected("the changes are malformed"),
                Some(changes) => {
                    let mut of_authors = changes.iter().map(|it| verdicts.get(&it.author));
                    match of_authors.find_map(|verdict| verdict?.clone().err()) {
                        Some(unproven) => unproven,
                        None => self.apply(delta.document, changes, applied),
                    }
                }
            };
            outcomes.push(outcome);
        }
    }

    /// Applies proven changes.
    fn apply(
        &mut self,
        key: DocumentKey,
        changes: Vec<Change>,
        applied: &mut Vec<Delta>,
    ) -> IngestOutcome {
        let document = self.documents.entry(key.clone()).or_default();
        let before = document.changes.len();
        #[cfg(test)]
        let ingested = match self.takes_in_without_dependencies {
            true => Some(document.ingest_unchecked(changes)),
            false => document.ingest(changes),
        };
        #[cfg(not(test))]
        let ingested = document.ingest(changes);
        match ingested {
            None => {
                if document.changes.is_empty() {
                    self.documents.remove(&key);
                }
                IngestOutcome::MissingDependencies
            }
            Some(payload) if payload.is_empty() => IngestOutcome::Known,
            Some(payload) => {
                let new = document.changes.iter().skip(before);
                let new = new.map(|change| (key.clone(), change.hash));
                self.arrivals
                    .iter_mut()
                    .for_each(|it| it.extend(new.clone()));
                applied.push(Delta {
                    document: key,
                    payload,
                });
                IngestOutcome::Applied
            }
        }
    }

    fn arrived(&mut self, document: &DocumentKey, change: ChangeHash) {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.push((document.clone(), change));
        }
    }

    /// Moves the changed documents to the end of the feed and tells the observer.
    fn commit(&mut self, deltas: Vec<Delta>, origin: Origin) {
        let changed: BTreeSet<_> = deltas.iter().map(|delta| delta.document.clone()).collect();
        for key in &changed {
            self.last += 1;
            if let Some(document) = self.documents.get_mut(key) {
                self.feed.remove(&document.sequence);
                document.sequence = self.last;
                self.feed.insert(self.last, key.clone());
            }
        }
        let mut commit = Commit {
            origin,
            feed: self.id,
            last_sequence: Sequence(self.last),
            documents: changed.len(),
            collections: changed.iter().map(|key| key.collection.clone()).collect(),
            floods: floods(deltas),
        };
        commit.trim();
        if let Some(observer) = &self.observer {
            observer(commit);
        }
    }
}

/// Sealed bundles of these deltas, one of each collection.
fn floods(deltas: Vec<Delta>) -> BTreeMap<CollectionName, Bundle> {
    let mut floods = BTreeMap::<_, Bundle>::new();
    for delta in deltas {
        let bundle = floods.entry(delta.document.collection.clone());
        bundle.or_default().deltas.push(delta);
    }
    for bundle in floods.values_mut() {
        bundle.seals = proof::seals(&bundle.deltas);
    }
    floods
}

fn rejected(reason: &str) -> IngestOutcome {
    IngestOutcome::Rejected {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;

//! The reference replica: documents are grow-only sets of opaque changes in memory. It shows what the
//! mesh expects of a store, and tests and simulations run on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::replica::{
    ChangeHash, CollectionName, Commit, Cursor, Delta, DeltaPart, DocumentKey, FeedId, FeedPage,
    FeedPosition, IngestOutcome, Interest, Missing, Offered, Origin, PageLimits, Replica,
    ReplicaError, Sequence,
};

type Observer = Box<dyn Fn(Commit) + Send + Sync>;

/// A replica in memory.
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
    delta_changes_max: usize,
    observer: Option<Observer>,
}

#[derive(Default)]
struct Document {
    /// All changes, ancestors first.
    changes: Vec<Change>,
    /// Where each change stands.
    positions: BTreeMap<ChangeHash, usize>,
    heads: BTreeSet<ChangeHash>,
    /// Where it stands in the feed.
    sequence: u64,
}

/// A change: what it builds on, and content that nobody looks at. Its hash is BLAKE3 of its bytes.
struct Change {
    hash: ChangeHash,
    deps: Vec<ChangeHash>,
    bytes: Bytes,
}

impl MemoryReplica {
    /// An empty replica whose feed has this id.
    pub fn new(feed: FeedId) -> Self {
        let state = State {
            id: feed,
            last: 0,
            documents: BTreeMap::new(),
            feed: BTreeMap::new(),
            cursors: BTreeMap::new(),
            delta_changes_max: usize::MAX,
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
            let change = Change::new(heads, &content);
            let payload = change.bytes.clone();
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

    /// Loses all cursors, as a store that keeps them lazily may at a crash.
    pub fn forget_cursors(&self) {
        self.state().cursors.clear();
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

    fn delta(
        &self,
        key: &DocumentKey,
        have_heads: &[ChangeHash],
        bytes_max: usize,
    ) -> Result<Option<DeltaPart>, ReplicaError> {
        let state = self.state();
        let Some(document) = state.documents.get(key) else {
            return Ok(None);
        };
        let mut payload = BytesMut::new();
        let mut heads: BTreeSet<ChangeHash> = have_heads.iter().copied().collect();
        let mut missing = document.changes_beyond(have_heads).peekable();
        let mut changes = 0;
        while let Some(change) = missing.next_if(|change| {
            let fits = payload.len() + change.bytes.len() <= bytes_max;
            fits && changes < state.delta_changes_max
        }) {
            payload.put_slice(&change.bytes);
            for dep in &change.deps {
                heads.remove(dep);
            }
            heads.insert(change.hash);
            changes += 1;
        }
        let more_after = missing.peek().map(|_| heads.into_iter().collect());
        Ok((changes > 0).then(|| DeltaPart {
            delta: Delta {
                document: key.clone(),
                payload: payload.freeze(),
            },
            more_after,
        }))
    }

    fn ingest(
        &self,
        deltas: Vec<Delta>,
        origin: &Origin,
    ) -> Result<Vec<IngestOutcome>, ReplicaError> {
        let mut state = self.state();
        let (mut outcomes, mut applied) = (Vec::with_capacity(deltas.len()), Vec::new());
        for delta in deltas {
            let outcome = match decode_changes(delta.payload) {
                None => IngestOutcome::Rejected {
                    reason: "the changes are malformed".to_owned(),
                },
                Some(changes) => {
                    let key = delta.document;
                    let document = state.documents.entry(key.clone()).or_default();
                    match document.ingest(changes) {
                        None => {
                            if document.changes.is_empty() {
                                state.documents.remove(&key);
                            }
                            IngestOutcome::MissingDependencies
                        }
                        Some(payload) if payload.is_empty() => IngestOutcome::Known,
                        Some(payload) => {
                            applied.push(Delta {
                                document: key,
                                payload,
                            });
                            IngestOutcome::Applied
                        }
                    }
                }
            };
            outcomes.push(outcome);
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
            last_sequence: Sequence(self.last),
            documents: changed.len(),
            collections: changed.iter().map(|key| key.collection.clone()).collect(),
            deltas,
        };
        commit.trim();
        if let Some(observer) = &self.observer {
            observer(commit);
        }
    }
}

impl Document {
    /// Adds changes that are not here yet and returns their bytes; `None`, and adds nothing, when one of
    /// them builds on a change that is neither here nor before it.
    fn ingest(&mut self, changes: Vec<Change>) -> Option<Bytes> {
        let mut staged = BTreeSet::new();
        for change in &changes {
            if !change
                .deps
                .iter()
                .all(|dep| self.positions.contains_key(dep) || staged.contains(dep))
            {
                return None;
            }
            staged.insert(change.hash);
        }
        let mut new = BytesMut::new();
        for change in changes {
            if !self.positions.contains_key(&change.hash) {
                new.put_slice(&change.bytes);
                self.add(change);
            }
        }
        Some(new.freeze())
    }

    fn add(&mut self, change: Change) {
        for dep in &change.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash);
        self.positions.insert(change.hash, self.changes.len());
        self.changes.push(change);
    }

    /// The changes that are not in the ancestry of `have`, ancestors first.
    fn changes_beyond<'a>(&'a self, have: &[ChangeHash]) -> impl Iterator<Item = &'a Change> {
        let mut covered = BTreeSet::new();
        let mut open: Vec<ChangeHash> = have.to_vec();
        while let Some(hash) = open.pop() {
            let change = self
                .positions
                .get(&hash)
                .and_then(|position| self.changes.get(*position));
            if let Some(change) = change
                && covered.insert(hash)
            {
                open.extend(&change.deps);
            }
        }
        self.changes
            .iter()
            .filter(move |change| !covered.contains(&change.hash))
    }
}

impl Change {
    fn new(deps: Vec<ChangeHash>, content: &[u8]) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_u32(u32::try_from(deps.len()).unwrap_or(u32::MAX));
        deps.iter().for_each(|dep| bytes.put_slice(&dep.0));
        bytes.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
        bytes.put_slice(content);
        let bytes = bytes.freeze();
        Self {
            hash: ChangeHash(*blake3::hash(&bytes).as_bytes()),
            deps,
            bytes,
        }
    }

    /// Takes one change off the front.
    fn take(bytes: &mut Bytes) -> Option<Self> {
        let whole = bytes.clone();
        let count = bytes.try_get_u32().ok()?;
        let mut deps = Vec::new();
        for _ in 0..count {
            let mut hash = [0; 32];
            bytes.try_copy_to_slice(&mut hash).ok()?;
            deps.push(ChangeHash(hash));
        }
        let content_bytes = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        if bytes.len() < content_bytes {
            return None;
        }
        bytes.advance(content_bytes);
        let own = whole.slice(..whole.len() - bytes.len());
        Some(Self {
            hash: ChangeHash(*blake3::hash(&own).as_bytes()),
            deps,
            bytes: own,
        })
    }
}

fn decode_changes(mut payload: Bytes) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !payload.is_empty() {
        changes.push(Change::take(&mut payload)?);
    }
    (!changes.is_empty()).then_some(changes)
}

//! Joins the store to the mesh: the mesh's `Replica` over `sedge-crdt`'s store, and the store's commits to the mesh.

mod ranges;

use crate::limits::DAMAGED_DOCUMENTS_TOLD_MAX;
use bytes::Bytes;
use sedge_crdt::{
    Arrival, Arrived, Arriving, Bundle as StoreBundle, Committed, DeltaPart as StoreDeltaPart,
    FeedCursor, FeedEntry, FeedLimits, Flood, Origin as StoreOrigin, Released, Replication, Store,
    StoreError,
};
use sedge_mesh::{
    Answered, Bundle, ChangeHash, ChangesLimits, CollectionName, Commit, Cursor, Delta, DeltaPart,
    DocumentKey, FeedId, FeedPage, FeedPosition, IngestOutcome, Interest, Item, MeshHandle,
    Missing, NameError, NamedCertificate, Offered, Origin, PageLimits, PartLimits, PeerKey,
    PeerStatus, Range, Replica, ReplicaError, Sequence, Summary, collect_deltas, fits_flood,
    limits::FLOOD_DOCUMENTS_MAX,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

/// First byte of an origin that the store passes through: learnt by flood.
const FROM_FLOOD: u8 = 0;
/// First byte of an origin that the store passes through: learnt from the peer whose name follows.
const FROM_PEER: u8 = 1;

/// What the store may know of the mesh before it evicts.
pub(crate) struct Delivered {
    pub(crate) interest: Interest,
    pub(crate) peers: watch::Receiver<Vec<PeerStatus>>,
}

impl Replication for Delivered {
    fn takes_in(&self, collection: &str) -> bool {
        takes_in(&self.interest, collection)
    }

    /// What a neighbour that holds all collections has acknowledged without leaving anything out.
    fn delivered(&self) -> u64 {
        let peers = self.peers.borrow();
        let synced = peers.iter().filter_map(|peer| peer.sync);
        let held = synced.filter(|sync| sync.whole);
        held.map(|sync| sync.whole_to.0).max().unwrap_or(0)
    }
}

/// What the store may know while there is no mesh.
pub(crate) struct Unconnected(pub(crate) Interest);

impl Replication for Unconnected {
    fn takes_in(&self, collection: &str) -> bool {
        takes_in(&self.0, collection)
    }

    fn delivered(&self) -> u64 {
        0
    }
}

fn takes_in(interest: &Interest, collection: &str) -> bool {
    CollectionName::new(collection).is_ok_and(|collection| interest.includes(&collection))
}

/// The store as the mesh sees it.
pub(crate) struct StoreReplica {
    store: Store,
    /// The damaged documents that the log has named.
    damaged: Mutex<BTreeSet<DocumentKey>>,
}

impl StoreReplica {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            damaged: Mutex::default(),
        }
    }

    /// What the store found for a document, nothing where the document itself is damaged: the others go on.
    fn unless_damaged<T>(
        &self,
        document: &DocumentKey,
        found: Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match found {
            Err(error @ StoreError::Damaged { .. }) => {
                self.tell_damage(document, &error.to_string());
                Ok(None)
            }
            found => found,
        }
    }

    /// Logs the damage of a document once; returns whether it did.
    fn tell_damage(&self, document: &DocumentKey, reason: &str) -> bool {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = damaged.len() < DAMAGED_DOCUMENTS_TOLD_MAX && damaged.insert(document.clone());
        if is_new {
            let collection = &document.collection;
            tracing::error!(%collection, "a document can't be synchronised: {reason}");
        }
        is_new
    }

    fn outcome(&self, document: &DocumentKey, arrived: Arrived) -> IngestOutcome {
        match arrived {
            // What could be applied is; the rest comes with the neighbour's next offer.
            Arrived::Applied { incomplete: true } | Arrived::MissingDependencies => {
                IngestOutcome::MissingDependencies
            }
            Arrived::Applied { incomplete: false } => IngestOutcome::Applied,
            Arrived::Partly { reason } => IngestOutcome::Partly { reason },
            Arrived::Known => IngestOutcome::Known,
            Arrived::UnknownCertificate => IngestOutcome::UnknownCertificate,
            Arrived::Rejected { reason } => IngestOutcome::Rejected { reason },
            Arrived::Damaged { reason } => {
                self.tell_damage(document, &reason);
                IngestOutcome::Damaged
            }
        }
    }

    /// Adds the changes of a document that who has these heads lacks, or the first of them, to a bundle.
    fn delta(
        &self,
        bundle: &mut StoreBundle,
        document: &DocumentKey,
        have_heads: &[ChangeHash],
        limits: PartLimits,
    ) -> Result<Option<DeltaPart>, ReplicaError> {
        let have: Vec<[u8; 32]> = have_heads.iter().map(|head| head.0).collect();
        let collection = document.collection.as_str();
        let mut evidence_bytes = 0;
        let fits = |delta: usize, evidence: usize| {
            evidence_bytes = evidence;
            limits.hold(delta, evidence)
        };
        let part = bundle.add(
            collection,
            document.id(),
            &have,
            limits.delta_bytes_max,
            fits,
        );
        let part = self
            .unless_damaged(document, part)
            .map_err(failed("read a document's changes"))?;
        let Some(StoreDeltaPart { delta, more_after }) = part else {
            return Ok(None);
        };
        if !limits.hold(delta.len(), evidence_bytes) {
            let reason = format!(
                "a change of {} bytes is too large to be carried",
                delta.len()
            );
            self.tell_damage(document, &reason);
            return Ok(None);
        }
        Ok(Some(DeltaPart {
            evidence_bytes,
            delta: Delta {
                document: document.clone(),
                payload: delta.into(),
            },
            more_after: more_after.map(|heads| heads.into_iter().map(ChangeHash).collect()),
        }))
    }
}

impl StoreReplica {
    /// Names what a cursor covers, so that a peer that begins to want more, or to accept other changes, starts over.
    fn scope(&self, interest: &Interest) -> Result<[u8; 8], ReplicaError> {
        let identity = self.store.identity();
        let identity = identity.map_err(failed("tell whom it trusts"))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&identity.trust().digest());
        match interest {
            Interest::Everything => {
                hasher.update(b"everything");
            }
            Interest::Collections(names) => {
                for name in names {
                    hasher.update(&(name.as_str().len() as u64).to_le_bytes());
                    hasher.update(name.as_str().as_bytes());
                }
            }
        }
        let mut scope = [0; 8];
        hasher.finalize_xof().fill(&mut scope);
        Ok(scope)
    }
}

impl Replica for StoreReplica {
    fn feed(&self) -> Result<FeedPosition, ReplicaError> {
        let feed = self.store.feed();
        Ok(FeedPosition {
            id: FeedId(feed.id),
            last: Sequence(feed.last),
        })
    }

    fn collections(&self) -> Result<BTreeSet<CollectionName>, ReplicaError> {
        let collections = self.store.collections();
        let names = collections
            .iter()
            .map(|collection| CollectionName::new(&collection.name));
        names.collect::<Result<_, _>>().map_err(unnameable)
    }

    fn feed_page(
        &self,
        after: Sequence,
        interest: &Interest,
        limits: PageLimits,
    ) -> Result<FeedPage, ReplicaError> {
        let wanted = |name: &str| {
            CollectionName::new(name).is_ok_and(|collection| interest.includes(&collection))
        };
        let (mut entries, mut bytes) = (0, 0);
        let mut full = |entry: &FeedEntry| {
            let size = offered(entry).map_or(0, |offered| offered.wire_bytes());
            if entries > 0 && (entries >= limits.entries_max || bytes + size > limits.bytes_max) {
                return true;
            }
            entries += 1;
            bytes += size;
            false
        };
        let page = self.store.feed_page(
            after.0,
            FeedLimits {
                wanted: &wanted,
                full: &mut full,
                scan_max: limits.scan_max,
            },
        );
        let page = page.map_err(failed("read its feed"))?;
        let entries = page.entries.iter().map(offered);
        Ok(FeedPage {
            entries: entries.collect::<Result<_, _>>().map_err(unnameable)?,
            up_to: Sequence(page.up_to),
        })
    }

    fn summary(&self, range: &Range) -> Result<Summary, ReplicaError> {
        self.summary_of(range)
    }

    fn summaries(&self, range: &Range, span: u8) -> Result<Vec<Summary>, ReplicaError> {
        self.summaries_of(range, span)
    }

    fn items(
        &self,
        range: &Range,
        after: Option<&DocumentKey>,
        most: usize,
    ) -> Result<Vec<(DocumentKey, Item)>, ReplicaError> {
        self.items_of(range, after, most)
    }

    fn offered(&self, document: &DocumentKey) -> Result<Option<Offered>, ReplicaError> {
        self.offered_of(document)
    }

    fn missing(&self, entries: &[Offered]) -> Result<Vec<Missing>, ReplicaError> {
        let lacking = |entry: &Offered| {
            let heads: Vec<[u8; 32]> = entry.heads.iter().map(|head| head.0).collect();
            let collection = entry.document.collection.as_str();
            let lacking = self.store.lacking(collection, entry.document.id(), &heads);
            match lacking {
                Ok(None) => Ok(Missing::Nothing),
                Ok(Some(own)) => Ok(Missing::Changes(own.into_iter().map(ChangeHash).collect())),
                Err(error @ StoreError::Damaged { .. }) => {
                    self.tell_damage(&entry.document, &error.to_string());
                    Ok(Missing::Damaged)
                }
                Err(error) => Err(failed("compare heads")(error)),
            }
        };
        entries.iter().map(lacking).collect()
    }

    fn changes(
        &self,
        wants: &[(DocumentKey, Vec<ChangeHash>)],
        limits: ChangesLimits,
    ) -> Result<Answered, ReplicaError> {
        let mut bundle = self.store.bundle();
        let mut answered = collect_deltas(wants, limits, |document, have_heads, limits| {
            self.delta(&mut bundle, document, have_heads, limits)
        })?;
        let bundled = bundle.finish().map_err(failed("read its seals"))?;
        let certificates = bundled.certificates.into_iter();
        answered.bundle.certificates = certificates
            .map(|(name, bytes)| NamedCertificate {
                name,
                bytes: bytes.into(),
            })
            .collect();
        answered.bundle.seals = bundled.seals.into_iter().map(Bytes::from).collect();
        Ok(answered)
    }

    fn ingest(
        &self,
        bundles: Vec<Bundle>,
        origin: &Origin,
    ) -> Result<Vec<IngestOutcome>, ReplicaError> {
        let arriving: Vec<Arriving<'_>> = bundles.iter().map(arriving).collect();
        let arrived = self.store.ingest(&arriving, label(origin));
        let arrived = arrived.map_err(failed("store changes"))?;
        let deltas = bundles.iter().flat_map(|bundle| &bundle.deltas);
        let outcome = |(delta, arrived): (&Delta, _)| self.outcome(&delta.document, arrived);
        Ok(deltas.zip(arrived).map(outcome).collect())
    }

    fn cursor(&self, feed: FeedId, interest: &Interest) -> Result<Cursor, ReplicaError> {
        let cursor = self.store.cursor(&feed.0, &self.scope(interest)?);
        let cursor = cursor.map_err(failed("read a cursor"))?;
        Ok(Cursor {
            up_to: Sequence(cursor.up_to),
            whole_to: Sequence(cursor.whole_to),
        })
    }

    fn store_cursor(
        &self,
        feed: FeedId,
        interest: &Interest,
        cursor: Cursor,
    ) -> Result<(), ReplicaError> {
        let cursor = FeedCursor {
            up_to: cursor.up_to.0,
            whole_to: cursor.whole_to.0,
        };
        self.store
            .store_cursor(&feed.0, &self.scope(interest)?, cursor)
            .map_err(failed("keep a cursor"))
    }
}

/// Tells the mesh of all that may leave the device, until the task is ended: it holds the store, whose commits never end by
/// themselves.
pub(crate) async fn forward_commits(
    store: Store,
    mut released: broadcast::Receiver<Arc<Released>>,
    mesh: MeshHandle,
) {
    loop {
        match released.recv().await {
            Ok(released) if leaves_nothing_to_tell(&released) => {}
            Ok(released) => mesh.committed(told(&store, &released)),
            Err(RecvError::Lagged(_)) => mesh.committed(missed(&store)),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Commits that were missed, as one that is too large to be flooded: what they hold is in the feed, which is offered as
/// far as this sequence. Any collection may be new.
fn missed(store: &Store) -> Commit {
    let collections = store.collections();
    let names = collections
        .iter()
        .map(|collection| CollectionName::new(&collection.name));
    Commit {
        origin: Origin::Local,
        feed: FeedId(store.feed().id),
        last_sequence: Sequence(store.transaction_id()),
        documents: FLOOD_DOCUMENTS_MAX + 1,
        collections: names.filter_map(Result::ok).collect(),
        floods: BTreeMap::new(),
    }
}

/// Whether commits only evicted documents, which is nobody else's business.
fn leaves_nothing_to_tell(released: &Released) -> bool {
    !released.commits.is_empty() && committed(released).next().is_none() && !seals_anew(released)
}

/// Whether commits moved documents in the feed whose changes were there before and are sealed only now.
fn seals_anew(released: &Released) -> bool {
    let mut commits = released.commits.iter();
    commits.any(|commit| {
        let changed = |document: &&Committed| document.delta.changes() > 0;
        commit.unsealed > commit.documents.iter().filter(changed).count()
    })
}

/// The documents that have new changes.
fn committed(released: &Released) -> impl Iterator<Item = &Committed> {
    let documents = released.commits.iter().flat_map(|commit| &commit.documents);
    documents.filter(|document| document.delta.changes() > 0)
}

fn told(store: &Store, released: &Released) -> Commit {
    if released.commits.is_empty() || seals_anew(released) {
        return missed(store);
    }
    let names = committed(released).map(|document| CollectionName::new(&document.collection));
    // As far as can be told before they are encoded.
    let fits = fits_flood(committed(released).map(|it| it.delta.bytes()), []);
    Commit {
        origin: match &released.origin {
            StoreOrigin::Local => Origin::Local,
            StoreOrigin::Remote(label) => named(label),
        },
        feed: FeedId(store.feed().id),
        last_sequence: Sequence(released.sequence),
        documents: committed(released).count(),
        collections: names.filter_map(Result::ok).collect(),
        floods: match fits {
            true => floods(store, released),
            false => BTreeMap::new(),
        },
    }
}

/// What was released, one bundle for each collection; nothing where that fails, since it is offered in any case.
fn floods(store: &Store, released: &Released) -> BTreeMap<CollectionName, Bundle> {
    let floods = store.flood(released).map_err(|error| error.to_string());
    let floods = floods.and_then(|floods| {
        let named = floods.into_iter().map(bundle);
        named
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())
    });
    floods.unwrap_or_else(|error| {
        tracing::error!(error, "changes can't be flooded; they are only offered");
        BTreeMap::new()
    })
}

fn bundle(flood: Flood) -> Result<(CollectionName, Bundle), NameError> {
    let collection = CollectionName::new(&flood.collection)?;
    let deltas = flood.documents.into_iter().map(|(id, delta)| {
        Ok(Delta {
            document: DocumentKey::new(collection.clone(), id)?,
            payload: delta.into(),
        })
    });
    let bundle = Bundle {
        certificates: Vec::new(),
        seals: flood.seals.into_iter().map(Bytes::from).collect(),
        deltas: deltas.collect::<Result<_, _>>()?,
    };
    Ok((collection, bundle))
}

fn arriving(bundle: &Bundle) -> Arriving<'_> {
    let arrivals = bundle.deltas.iter().map(|delta| Arrival {
        collection: delta.document.collection.as_str(),
        id: delta.document.id(),
        delta: &delta.payload,
    });
    let certificates = bundle.certificates.iter();
    Arriving {
        certificates: certificates.map(|it| it.bytes.as_ref()).collect(),
        seals: bundle.seals.iter().map(AsRef::as_ref).collect(),
        arrivals: arrivals.collect(),
    }
}

fn label(origin: &Origin) -> Arc<[u8]> {
    match origin {
        Origin::Local | Origin::Flood => [FROM_FLOOD].into(),
        Origin::Sync(peer) => [&[FROM_PEER], peer.as_bytes()].concat().into(),
    }
}

fn named(label: &[u8]) -> Origin {
    match label.split_first() {
        Some((&FROM_PEER, peer)) => Origin::Sync(PeerKey::new(peer)),
        _ => Origin::Flood,
    }
}

fn offered(entry: &FeedEntry) -> Result<Offered, NameError> {
    let collection = CollectionName::new(&entry.collection)?;
    let id = Bytes::copy_from_slice(entry.id.as_bytes());
    Ok(Offered {
        document: DocumentKey::new(collection, id)?,
        heads: entry.heads.iter().copied().map(ChangeHash).collect(),
    })
}

fn failed(operation: &'static str) -> impl FnOnce(StoreError) -> ReplicaError {
    move |source| ReplicaError {
        operation,
        source: Box::new(source),
    }
}

fn unnameable(error: NameError) -> ReplicaError {
    ReplicaError {
        operation: "name a document",
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests;

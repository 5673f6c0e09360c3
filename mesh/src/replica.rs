//! What a store must offer to be replicated. The mesh sees documents as names, heads and opaque
//! payloads: it never looks inside a change. The calls are synchronous; the driver makes them one
//! after the other on a blocking worker, so none of them ever holds up the network.

mod bundle;
mod range;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use sedge_identity::hex;

pub use self::bundle::{
    Answered, Bundle, ChangesLimits, Delta, DeltaPart, NamedCertificate, PartLimits,
    collect_deltas, evidence_bytes, fits_flood,
};
pub use self::range::{Item, PLACE_DIGITS, Prefix, Range, Summary};
use crate::limits::{COLLECTION_NAME_BYTES_MAX, DOCUMENT_ID_BYTES_MAX};

/// A peer, by the bytes of its public name (a libp2p `PeerId` in the driver).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(Arc<[u8]>);

impl PeerKey {
    /// Takes the peer's name as bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = self.0.len().saturating_sub(4);
        write!(f, "PeerKey(…{})", hex(self.0.get(tail..).unwrap_or(&[])))
    }
}

/// The identity of a feed, drawn anew for every store: sequence numbers of one feed mean nothing in another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub [u8; 16]);

impl fmt::Debug for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedId({})", hex(&self.0))
    }
}

/// A position in a feed. The first entry has 1; 0 stands for "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// The hash of a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeHash(pub [u8; 32]);

impl fmt::Debug for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "ChangeHash({}…)", hex(&[a, b, c, d]))
    }
}

/// The name of a collection: 1 to 128 bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(Arc<str>);

impl CollectionName {
    /// Checks the length of a name.
    ///
    /// # Errors
    /// [`NameError`] when the name is empty or longer than the protocol carries.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name.len() > COLLECTION_NAME_BYTES_MAX {
            return Err(NameError {
                what: "collection name",
                bytes: name.len(),
                bytes_max: COLLECTION_NAME_BYTES_MAX,
            });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document of a collection. Its id is the store's encoding of `_id`, opaque to the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// The document's collection.
    pub collection: CollectionName,
    id: Bytes,
}

impl DocumentKey {
    /// Names a document.
    ///
    /// # Errors
    /// [`NameError`] when the id is empty or longer than the protocol carries.
    pub fn new(collection: CollectionName, id: impl Into<Bytes>) -> Result<Self, NameError> {
        let id = id.into();
        if id.is_empty() || id.len() > DOCUMENT_ID_BYTES_MAX {
            return Err(NameError {
                what: "document id",
                bytes: id.len(),
                bytes_max: DOCUMENT_ID_BYTES_MAX,
            });
        }
        Ok(Self { collection, id })
    }

    /// The id's bytes.
    pub fn id(&self) -> &Bytes {
        &self.id
    }
}

/// A name that the protocol cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a {what} of {bytes} bytes cannot be replicated: it must have 1 to {bytes_max} bytes; choose another name"
)]
pub struct NameError {
    /// The kind of name.
    pub what: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
    /// The greatest length in bytes.
    pub bytes_max: usize,
}

/// The collections a peer wants to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// All collections, also those that come into being later.
    #[default]
    Everything,
    /// The named collections only.
    Collections(BTreeSet<CollectionName>),
}

impl Interest {
    /// Whether a collection is part of it.
    pub fn includes(&self, collection: &CollectionName) -> bool {
        match self {
            Self::Everything => true,
            Self::Collections(names) => names.contains(collection),
        }
    }
}

/// A store's feed: which, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPosition {
    /// The feed's identity.
    pub id: FeedId,
    /// Its last sequence number; 0 when it is empty.
    pub last: Sequence,
}

/// How far a neighbour's feed has been taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Up to here everything is dealt with; 0 when nothing is.
    pub up_to: Sequence,
    /// Up to here nothing was left out, because it was rejected, damaged or too large; at most `up_to`.
    pub whole_to: Sequence,
}

impl Cursor {
    /// The cursor of who has everything up to a position.
    pub fn whole(up_to: Sequence) -> Self {
        Self {
            up_to,
            whole_to: up_to,
        }
    }

    /// The cursor behind a page that ends at `up_to`.
    pub(crate) fn after(self, up_to: Sequence, left_out: bool) -> Self {
        if left_out || self.whole_to < self.up_to {
            Self { up_to, ..self }
        } else {
            Self::whole(up_to)
        }
    }
}

/// What a store lacks of an offered document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: every named head is here.
    Nothing,
    /// Some head. With the heads that are here, none for an unknown document.
    Changes(Vec<ChangeHash>),
    /// The document is damaged here, so that nothing can be added to it.
    Damaged,
}

/// A document in a page of a feed, with the heads it has *now* (not those of the feed entry).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The document.
    pub document: DocumentKey,
    /// Its current heads. In a received offer, none means "too many to name: ask for it".
    pub heads: Vec<ChangeHash>,
}

impl Offered {
    /// Upper bound of its size on the wire, in bytes.
    pub fn wire_bytes(&self) -> usize {
        // Tags and lengths of the three fields and of the entry itself, then 34 bytes per head.
        24 + self.document.collection.as_str().len()
            + self.document.id().len()
            + 34 * self.heads.len()
    }
}

/// A stretch of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedPage {
    /// The documents of the stretch, each once, in the order of the feed.
    pub entries: Vec<Offered>,
    /// The last sequence number that the stretch covers, entries left out by the interest included.
    pub up_to: Sequence,
}

/// How large a page may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Most entries.
    pub entries_max: usize,
    /// Most bytes, as [`Offered::wire_bytes`] counts them. (A single entry always fits.)
    pub bytes_max: usize,
    /// Most feed entries to walk, whether they match the interest or not.
    pub scan_max: usize,
}

/// Where a commit came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written on this peer.
    Local,
    /// Learnt over the sync stream from this neighbour.
    Sync(PeerKey),
    /// Learnt by flood.
    Flood,
}

/// What became of one ingested delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestOutcome {
    /// At least one change was new; all that is new is durable.
    Applied,
    /// What is acceptable of the delta is here, and the rest will never be.
    Partly {
        /// Why, for the log.
        reason: String,
    },
    /// Everything was here already.
    Known,
    /// Some change builds on one that is not here. What the store keeps of the delta is its own affair.
    MissingDependencies,
    /// Some seal names a certificate that is neither here nor in the bundle: the mesh asks for it again, once. (One that
    /// came and is not acceptable is a reason to reject.)
    UnknownCertificate,
    /// The delta is malformed or not acceptable, and always will be.
    Rejected {
        /// Why, for the log.
        reason: String,
    },
    /// What the store has of the document is damaged, which it has told itself: nothing can be added to it, and the
    /// sender is not at fault. Other documents go on.
    Damaged,
}

/// A durable commit of the store, whatever its origin.
///
/// The store is the one source of commits: the node tells the mesh about every commit exactly once,
/// those that the mesh's own calls of [`Replica::ingest`] caused included (their origin is the one
/// given to `ingest`). The mesh never derives a commit from an ingest itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where it came from.
    pub origin: Origin,
    /// The feed's id after it. A new one ends all sessions: neighbours have to begin it anew.
    pub feed: FeedId,
    /// The feed's last sequence number after it.
    pub last_sequence: Sequence,
    /// How many documents it changed.
    pub documents: usize,
    /// The collections it touched.
    pub collections: BTreeSet<CollectionName>,
    /// The changes it added and their seals, for flooding, one bundle of each collection: all of them, or none unless
    /// they [fit](fits_flood). Certificates are not flooded.
    pub floods: BTreeMap<CollectionName, Bundle>,
}

impl Commit {
    /// Takes off the changes unless they [fit](fits_flood).
    pub(crate) fn trim(&mut self) {
        if !self.fits_flood() {
            self.floods.clear();
        }
    }

    /// Whether its changes [fit](fits_flood).
    pub(crate) fn fits_flood(&self) -> bool {
        let deltas = self.floods.values().flat_map(|bundle| &bundle.deltas);
        let seals = self.floods.values().flat_map(|bundle| &bundle.seals);
        fits_flood(deltas.map(|it| it.payload.len()), seals.map(Bytes::len))
    }
}

/// The store failed; the session that needed it ends and is tried again later.
#[derive(Debug, thiserror::Error)]
#[error("the store could not {operation}: {source}; see the store's log")]
pub struct ReplicaError {
    /// What was asked of the store, as a verb phrase.
    pub operation: &'static str,
    /// The cause.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A store that can be replicated.
///
/// Feed: every commit appends its documents under rising sequence numbers. A store may keep only a
/// document's latest entry: what counts is that after a change the document stands above every
/// position a follower could have reached before it.
pub trait Replica: Send + Sync + 'static {
    /// The feed's identity and last sequence number.
    ///
    /// # Errors
    /// When the store fails.
    fn feed(&self) -> Result<FeedPosition, ReplicaError>;

    /// The collections that hold at least one document.
    ///
    /// # Errors
    /// When the store fails.
    fn collections(&self) -> Result<BTreeSet<CollectionName>, ReplicaError>;

    /// The stretch of the feed after a position: distinct documents of the interest with their current
    /// heads. `up_to` is greater than `after` unless the feed ends there, when it equals it.
    ///
    /// # Errors
    /// When the store fails.
    fn feed_page(
        &self,
        after: Sequence,
        interest: &Interest,
        limits: PageLimits,
    ) -> Result<FeedPage, ReplicaError>;

    /// What the documents of a range come to: those of which changes may leave the store, whatever a visible value says.
    /// Nothing for a collection that is not here.
    ///
    /// # Errors
    /// When the store fails.
    fn summary(&self, range: &Range) -> Result<Summary, ReplicaError>;

    /// The same of each part `span` digits below a range, ascending: 16 for 1, 256 for 2.
    ///
    /// # Errors
    /// When the store fails.
    fn summaries(&self, range: &Range, span: u8) -> Result<Vec<Summary>, ReplicaError>;

    /// The documents of a range with their items, ordered by place, then id: at most so many, after the given one.
    ///
    /// # Errors
    /// When the store fails.
    fn items(
        &self,
        range: &Range,
        after: Option<&DocumentKey>,
        most: usize,
    ) -> Result<Vec<(DocumentKey, Item)>, ReplicaError>;

    /// A document with its current heads. `None` when it is not here, or nothing of it may leave the store.
    ///
    /// # Errors
    /// When the store fails.
    fn offered(&self, document: &DocumentKey) -> Result<Option<Offered>, ReplicaError>;

    /// What is missing of each offered document, in order. An entry that names no heads is always missing.
    ///
    /// # Errors
    /// When the store fails.
    fn missing(&self, entries: &[Offered]) -> Result<Vec<Missing>, ReplicaError>;

    /// The answer to wants: for each, in order, the changes of the document that are not in the ancestry of the heads
    /// beside it (of which some may be unknown here), as many as the limits allow, and the seals and certificates
    /// that prove them. A want is passed over when there is nothing to send, the document is not here or damaged, or not
    /// even one of its changes fits, since no peer would take it. [`collect_deltas`] is the way to gather them.
    ///
    /// # Errors
    /// When the store fails.
    fn changes(
        &self,
        wants: &[(DocumentKey, Vec<ChangeHash>)],
        limits: ChangesLimits,
    ) -> Result<Answered, ReplicaError>;

    /// Takes in bundles; one outcome for each delta, over all bundles in order. On return everything applied is durable,
    /// and so are the certificates that prove it: a neighbour sends each once in a session. A store that keeps others
    /// too bounds them.
    ///
    /// # Errors
    /// When the store fails; then nothing, or a part, may have been applied.
    fn ingest(
        &self,
        bundles: Vec<Bundle>,
        origin: &Origin,
    ) -> Result<Vec<IngestOutcome>, ReplicaError>;

    /// How far a neighbour's feed has been taken in for an interest; the default when unknown.
    ///
    /// # Errors
    /// When the store fails.
    fn cursor(&self, feed: FeedId, interest: &Interest) -> Result<Cursor, ReplicaError>;

    /// Keeps a cursor. It need not be durable at once (a lost cursor costs a repetition, nothing else),
    /// but it must never become durable before what was ingested earlier.
    ///
    /// # Errors
    /// When the store fails.
    fn store_cursor(
        &self,
        feed: FeedId,
        interest: &Interest,
        cursor: Cursor,
    ) -> Result<(), ReplicaError>;
}

//! What goes into the core and what comes out of it.

use std::{ops::Add, time::Duration};

use bytes::Bytes;
use sedge_identity::CertificateChain;

use super::{
    message::{CloseCode, Message},
    request::{Answer, Request, RequestId},
};
use crate::replica::{CollectionName, Commit, DocumentKey, PeerKey};

/// A point in time: milliseconds since an origin of the driver's choice, never running backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The time that has passed since an earlier point.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<u64> for Millis {
    type Output = Self;

    fn add(self, delay_ms: u64) -> Self {
        Self(self.0.saturating_add(delay_ms))
    }
}

/// Identifies a flooded message to whoever validates it: BLAKE3 of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FloodId(pub [u8; 32]);

impl FloodId {
    /// The id of a payload.
    pub fn of(payload: &[u8]) -> Self {
        Self(*blake3::hash(payload).as_bytes())
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A sync stream to a peer is open. Opening a second one replaces the first.
    Connected(PeerKey),
    /// The sync stream to a peer is gone.
    Disconnected(PeerKey),
    /// A message came over the peer's sync stream.
    Received(PeerKey, Message),
    /// Something came over the peer's sync stream that is no message.
    Undecodable(PeerKey, CloseCode),
    /// A message came on a gossip topic and waits for a [`Verdict`].
    Flooded {
        /// The neighbour that delivered it.
        source: PeerKey,
        /// Its id.
        id: FloodId,
        /// The topic's collection.
        collection: CollectionName,
        /// Its content.
        payload: Bytes,
    },
    /// A message could not be published: its content need not wait for gossip and is offered at once.
    NotFlooded,
    /// The store committed something (see [`Commit`] for who says so).
    Committed(Commit),
    /// A request was carried out.
    Answered(RequestId, Answer),
    /// A timer went off.
    Timer(Timer),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a message over the peer's sync stream, in order.
    Send(PeerKey, Message),
    /// Say so, close the peer's sync stream, and keep a peer that broke the protocol away for a while. No
    /// `Disconnected` is needed afterwards.
    Close(PeerKey, CloseCode),
    /// The peer has closed the session; drop its sync stream.
    Closed(PeerKey, CloseCode),
    /// Carry out a request and hand back the answer.
    Ask(RequestId, Request),
    /// The peer shows another certificate: judge it, and close the session with `BadCertificate` if it does not hold.
    Renewed(PeerKey, CertificateChain),
    /// Publish a message on a collection's gossip topic.
    Publish(CollectionName, Bytes),
    /// Subscribe to a collection's gossip topic.
    Subscribe(CollectionName),
    /// Tell gossip what became of a flooded message.
    Judge {
        /// The neighbour that delivered it.
        source: PeerKey,
        /// Its id.
        id: FloodId,
        /// Whether it goes on.
        verdict: Verdict,
    },
    /// Set off a timer at (or soon after) a time.
    SetTimer(Timer, Millis),
    /// Something a person may want to find in the log.
    Note(Note),
}

/// What becomes of a flooded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the neighbours.
    Accept,
    /// It does not go on, and nobody is to blame.
    Ignore,
    /// It does not go on, and its deliverer should have known.
    Reject,
}

/// A timer of a session; one of an ended session has no effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Flooded commits have had their head start: offer them.
    Offer(PeerKey, u64),
    /// Look for an overdue answer.
    Watch(PeerKey, u64),
}

/// Something a person may want to find in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The store rejected changes; they are not asked for again until the document changes.
    Rejected {
        /// Who sent them.
        peer: PeerKey,
        /// The document.
        document: DocumentKey,
        /// The store's reason.
        reason: String,
    },
    /// A request failed in the store.
    StoreFailed {
        /// What the store said.
        reason: String,
    },
    /// A collection is not flooded since too many are known; it is synchronised by offers alone.
    TooManyCollections {
        /// The collection.
        collection: CollectionName,
    },
}

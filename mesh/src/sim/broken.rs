//! What must never happen.

use crate::{
    limits::{FRAME_BYTES_MAX, REQUESTS_QUEUED_MAX},
    proto::CloseCode,
    replica::DocumentKey,
};

/// What happened in a run that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Peers that want a change don't hold it, a long time after everything had healed.
    #[error(
        "{missing} changes did not reach all who want them; the first is of {document:?}, and peer {node} lacks it"
    )]
    NotConverged {
        /// How many changes.
        missing: usize,
        /// The document of the first.
        document: DocumentKey,
        /// Who lacks it.
        node: usize,
    },
    /// Two peers hold the same changes and make different documents of them.
    #[error(
        "peers {a} and {b} hold the same changes and differ in their documents of {collection}"
    )]
    Differ {
        /// One.
        a: usize,
        /// The other.
        b: usize,
        /// The collection.
        collection: String,
    },
    /// A peer holds what it did not want and did not write.
    #[error(
        "peer {node} holds a change of {}, which it neither wants nor wrote",
        name(document)
    )]
    Uninterested {
        /// Who.
        node: usize,
        /// The document.
        document: DocumentKey,
    },
    /// A store holds something else than what was counted.
    #[error("peer {node} counts {counted} changes and holds {held}")]
    Miscounted {
        /// Who.
        node: usize,
        /// The changes that have arrived.
        counted: usize,
        /// The changes of the store.
        held: usize,
    },
    /// An honest peer closed a session with another.
    #[error("a session of honest peers was closed with {code}")]
    Closed {
        /// Why.
        code: CloseCode,
    },
    /// A store refused what an honest peer sent.
    #[error("an honest peer's message was noted: {note}")]
    Noted {
        /// The note.
        note: String,
    },
    /// An acknowledgement is missing though nothing happens any more.
    #[error("peer {node} does not know that {neighbour} has taken in its feed")]
    Unacknowledged {
        /// Whose feed.
        node: usize,
        /// Who took it in.
        neighbour: usize,
    },
    /// Peers go on talking though all is said.
    #[error("{messages} messages in {seconds} s of quiet")]
    Restless {
        /// Messages of streams and of gossip.
        messages: u64,
        /// The time.
        seconds: u64,
    },
    /// More messages on sync streams than what there was to say explains.
    #[error("{messages} messages on sync streams, and at most {messages_max} were to be expected")]
    SyncStorm {
        /// How many.
        messages: u64,
        /// The bound.
        messages_max: u64,
    },
    /// A gossip message was sent more often than each process forwarding it once explains.
    #[error(
        "{copies} copies of one gossip message; each process forwarding it once makes at most {copies_max}"
    )]
    FloodStorm {
        /// How many.
        copies: u64,
        /// The bound.
        copies_max: u64,
    },
    /// More publications than changes entering stores.
    #[error("{published} gossip messages published for {entered} changes that entered a store")]
    Published {
        /// How many.
        published: u64,
        /// What may cause one each.
        entered: u64,
    },
    /// More waits for a peer than a driver keeps.
    #[error("what peer {from} has to tell {to} exceeds what may wait for a peer")]
    Unread {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// More waits for a store than a driver keeps.
    #[error(
        "{waiting} requests wait for the store of peer {node}; at most {REQUESTS_QUEUED_MAX} may"
    )]
    Requests {
        /// Whose store.
        node: usize,
        /// How many.
        waiting: u64,
    },
    /// More flooded messages wait than a core lets in.
    #[error("{waiting} flooded messages wait for a verdict; at most {waiting_max} may")]
    Floods {
        /// How many.
        waiting: u64,
        /// The bound.
        waiting_max: u64,
    },
    /// A frame is larger than any peer takes.
    #[error("a frame of {bytes} bytes by peer {from}; at most {FRAME_BYTES_MAX} may be")]
    Frame {
        /// The sender.
        from: usize,
        /// Its bytes.
        bytes: usize,
    },
    /// The run does not end.
    #[error("so much happens that the run does not end")]
    Endless,
}

/// A document as `collection/id`.
pub(super) fn name(document: &DocumentKey) -> String {
    let id = String::from_utf8_lossy(document.id());
    format!("{}/{id}", document.collection)
}

//! What travels on a sync stream, as the core sees it: names are checked, hashes have their length, lists
//! are within their limits. The bytes are `codec`'s affair.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;
use sedge_identity::CertificateChain;

use super::compare::{Described, Differs, Nonce, Root};
use crate::replica::{
    ChangeHash, CollectionName, Cursor, DocumentKey, FeedId, FeedPage, FeedPosition, Interest,
    NamedCertificate, Sequence,
};

/// A message on a sync stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first message of both sides.
    Hello(Hello),
    /// "Offer me your feed after this position."
    Follow {
        /// The feed, as the other side's hello named it.
        feed: FeedId,
        /// How far the sender has durably taken it in; the default for the whole feed.
        after: Cursor,
        /// What the sender has, where the stores are to be compared instead of offering the feed from there on.
        comparison: Option<Comparison>,
    },
    /// What the sender has in these ranges. Never empty.
    Compare(Vec<Described>),
    /// What of the ranges of a `Compare` is otherwise at the sender, in order.
    Differing(Vec<Differs>),
    /// The next page of the sender's feed.
    Offer(FeedPage),
    /// Of the offered page, the documents that the sender lacks something of. Never empty: who misses
    /// nothing acknowledges.
    Want {
        /// Names the page.
        up_to: Sequence,
        /// The documents, by rising index.
        wants: Vec<Wanted>,
        /// Whether the sender lacks certificates that it was sent in this session, so that none counts as sent. The first
        /// such want of a page may name again what was answered.
        certificates_anew: bool,
    },
    /// A part of the answer to a `Want`.
    Changes(Changes),
    /// The offered page, which `up_to` names, is dealt with: what the sender took of it is durable there.
    Ack(Cursor),
    /// Collections the sender has got to know since its hello.
    Collections(BTreeSet<CollectionName>),
    /// The sender has another certificate than it was admitted by.
    Renewed(CertificateChain),
    /// The sender ends the session; nothing follows.
    Close(CloseCode),
}

/// What a follower says of its store, to have it compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// For all fingerprints of the direction.
    pub nonce: Nonce,
    /// Its collections that hold documents, of both sides' interest.
    pub roots: Vec<Root>,
}

/// How a peer introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its feed and how far that goes.
    pub feed: FeedPosition,
    /// The collections it knows by name.
    pub collections: BTreeSet<CollectionName>,
    /// The collections it wants.
    pub interest: Interest,
}

/// One document of a `Want`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its position in the offered page, from 0.
    pub index: u32,
    /// Heads of it that the sender has: some or all.
    pub have_heads: Vec<ChangeHash>,
}

/// A part of the answer to a `Want`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Names the page.
    pub up_to: Sequence,
    /// Certificates that seals of the answer name.
    pub certificates: Vec<NamedCertificate>,
    /// Seals of the answer.
    pub seals: Vec<Bytes>,
    /// Deltas or pieces of them, in the order of the wants.
    pub pieces: Vec<Piece>,
    /// In the last part: all wants with an index below this are answered.
    pub answered_below: Option<u32>,
}

impl Changes {
    /// A part that carries nothing yet.
    pub(super) fn empty(up_to: Sequence) -> Self {
        Self {
            up_to,
            certificates: Vec::new(),
            seals: Vec::new(),
            pieces: Vec::new(),
            answered_below: None,
        }
    }

    /// Whether it carries nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.seals.is_empty() && self.pieces.is_empty()
    }
}

/// A delta, or a piece of one that is too large for a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The document.
    pub document: DocumentKey,
    /// The payload or the next piece of it.
    pub payload: Bytes,
    /// Whether the next piece continues this payload.
    pub more: bool,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The peer stops, or has another feed from now on.
    Goodbye,
    /// The peers speak different versions.
    WrongVersion,
    /// Bytes that are not a message.
    Malformed,
    /// A frame, list or payload beyond its limit.
    TooLarge,
    /// A message that has no place in the state of the session.
    Unexpected,
    /// A position that is not in the feed, or a feed that is not the receiver's.
    BadCursor,
    /// Changes that build on others which were not sent.
    Incomplete,
    /// Both sides have the same feed id: one store is a copy of the other.
    SameFeed,
    /// An answer did not come in time.
    Timeout,
    /// Too many sessions.
    Busy,
    /// The store failed.
    Internal,
    /// A certificate shown in the session does not hold.
    BadCertificate,
    /// A code this version does not know.
    Other(u32),
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Goodbye => 1,
            Self::WrongVersion => 2,
            Self::Malformed => 3,
            Self::TooLarge => 4,
            Self::Unexpected => 5,
            Self::BadCursor => 6,
            Self::Incomplete => 7,
            Self::SameFeed => 8,
            Self::Timeout => 9,
            Self::Busy => 10,
            Self::Internal => 11,
            Self::BadCertificate => 12,
            Self::Other(number) => number,
        }
    }

    /// The code of a number on the wire.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Goodbye,
            2 => Self::WrongVersion,
            3 => Self::Malformed,
            4 => Self::TooLarge,
            5 => Self::Unexpected,
            6 => Self::BadCursor,
            7 => Self::Incomplete,
            8 => Self::SameFeed,
            9 => Self::Timeout,
            10 => Self::Busy,
            11 => Self::Internal,
            12 => Self::BadCertificate,
            number => Self::Other(number),
        }
    }

    /// Whether the peer it is said to broke the protocol, so that it is kept away for a while.
    pub fn is_violation(self) -> bool {
        match self {
            Self::WrongVersion
            | Self::Malformed
            | Self::TooLarge
            | Self::Unexpected
            | Self::BadCursor
            | Self::SameFeed
            | Self::BadCertificate => true,
            Self::Goodbye
            | Self::Incomplete
            | Self::Timeout
            | Self::Busy
            | Self::Internal
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Goodbye => "goodbye",
            Self::WrongVersion => {
                "it speaks another version of /sedge/sync; bring both peers to the same release"
            }
            Self::Malformed => "it sent bytes that are no message",
            Self::TooLarge => "it sent more than the protocol allows",
            Self::Unexpected => "it sent a message out of turn",
            Self::BadCursor => "it named a position outside the feed",
            Self::Incomplete => "it sent changes without those they build on",
            Self::SameFeed => "its store is a copy of this one; give one of them a new store",
            Self::Timeout => "it did not answer in time",
            Self::Busy => "too many sessions",
            Self::Internal => "the store failed",
            Self::BadCertificate => "it showed a certificate that does not hold",
            Self::Other(number) => return write!(f, "code {number}"),
        })
    }
}

//! The one place where wire types and domain types meet. Everything that comes in is checked here, so
//! that the core only sees names, hashes and lists within their limits.

mod ranges;

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;
use sedge_identity::{
    CERTIFICATE_BYTES_MAX as CHAIN_BYTES_MAX, CertificateChain, SignedCertificate,
};

use super::{
    frame::{DecodeError, count_list},
    message::{Changes, CloseCode, Hello, Message, Piece, Wanted},
};
use crate::{
    limits::{
        CERTIFICATE_BYTES_MAX, COLLECTIONS_MAX, FLOOD_BYTES_MAX, FLOOD_DOCUMENTS_MAX,
        FLOOD_SEALS_MAX, HEADS_MAX, PAGE_ENTRIES_MAX, SEAL_BYTES_MAX, SYNC_VERSION,
    },
    replica::{
        Bundle, ChangeHash, CollectionName, Cursor, Delta, DocumentKey, FeedId, FeedPage,
        FeedPosition, Interest, NamedCertificate, Offered, Sequence,
    },
};

pub(super) mod pb {
    include!(concat!(env!("OUT_DIR"), "/sedge.sync.v1.rs"));
}

use pb::frame::Message as Wire;

/// The wire form of a message.
pub(super) fn to_wire(message: &Message) -> pb::Frame {
    let wire = match message {
        Message::Hello(hello) => Wire::Hello(hello_to_wire(hello)),
        Message::Follow {
            feed,
            after,
            comparison,
        } => Wire::Follow(pb::Follow {
            feed_id: feed_to_wire(*feed),
            after: after.up_to.0,
            whole_to: after.whole_to.0,
            nonce: ranges::nonce_to_wire(comparison.as_ref()),
            roots: ranges::roots_to_wire(comparison.as_ref()),
        }),
        Message::Compare(ranges) => Wire::Compare(ranges::compare_to_wire(ranges)),
        Message::Differing(differs) => Wire::Differing(ranges::differing_to_wire(differs)),
        Message::Offer(page) => Wire::Offer(pb::Offer {
            up_to: page.up_to.0,
            entries: page.entries.iter().map(offered_to_wire).collect(),
        }),
        Message::Want {
            up_to,
            wants,
            certificates_anew,
        } => Wire::Want(pb::Want {
            up_to: up_to.0,
            certificates_anew: *certificates_anew,
            wants: wants
                .iter()
                .map(|want| pb::Wanted {
                    index: want.index,
                    have_heads: heads_to_wire(&want.have_heads),
                })
                .collect(),
        }),
        Message::Changes(changes) => Wire::Changes(pb::Changes {
            up_to: changes.up_to.0,
            deltas: changes.pieces.iter().map(piece_to_wire).collect(),
            last: changes.answered_below.is_some(),
            answered_below: changes.answered_below.unwrap_or_default(),
            seals: changes.seals.clone(),
            certificates: changes
                .certificates
                .iter()
                .map(certificate_to_wire)
                .collect(),
        }),
        Message::Ack(cursor) => Wire::Ack(pb::Ack {
            up_to: cursor.up_to.0,
            whole_to: cursor.whole_to.0,
        }),
        Message::Collections(names) => Wire::Collections(pb::Collections {
            names: names_to_wire(names),
        }),
        Message::Renewed(chain) => Wire::Renewed(renewed_to_wire(chain)),
        Message::Close(code) => Wire::Close(pb::Close {
            code: code.number(),
        }),
    };
    pb::Frame {
        message: Some(wire),
    }
}

fn hello_to_wire(hello: &Hello) -> pb::Hello {
    let (everything, interest) = match &hello.interest {
        Interest::Everything => (true, Vec::new()),
        Interest::Collections(names) => (false, names_to_wire(names)),
    };
    pb::Hello {
        version: SYNC_VERSION,
        feed_id: feed_to_wire(hello.feed.id),
        feed_last: hello.feed.last.0,
        collections: names_to_wire(&hello.collections),
        everything,
        interest,
    }
}

fn names_to_wire(names: &BTreeSet<CollectionName>) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

fn feed_to_wire(feed: FeedId) -> Bytes {
    Bytes::copy_from_slice(&feed.0)
}

fn heads_to_wire(heads: &[ChangeHash]) -> Bytes {
    heads
        .iter()
        .flat_map(|head| head.0)
        .collect::<Vec<u8>>()
        .into()
}

fn offered_to_wire(entry: &Offered) -> pb::Offered {
    pb::Offered {
        collection: entry.document.collection.as_str().to_owned(),
        document: entry.document.id().clone(),
        heads: heads_to_wire(&entry.heads),
    }
}

fn piece_to_wire(piece: &Piece) -> pb::Piece {
    pb::Piece {
        collection: piece.document.collection.as_str().to_owned(),
        document: piece.document.id().clone(),
        payload: piece.payload.clone(),
        more: piece.more,
    }
}

fn certificate_to_wire(certificate: &NamedCertificate) -> pb::NamedCertificate {
    pb::NamedCertificate {
        name: Bytes::copy_from_slice(&certificate.name),
        certificate: certificate.bytes.clone(),
    }
}

/// The message of a wire form.
pub(super) fn from_wire(frame: pb::Frame) -> Result<Message, DecodeError> {
    let wire = frame
        .message
        .ok_or(DecodeError::Malformed("a frame without a known message"))?;
    Ok(match wire {
        Wire::Hello(hello) => Message::Hello(hello_from_wire(hello)?),
        Wire::Follow(follow) => Message::Follow {
            feed: feed_from_wire(&follow.feed_id)?,
            after: cursor_from_wire(follow.after, follow.whole_to)?,
            comparison: ranges::comparison_from_wire(&follow.nonce, follow.roots)?,
        },
        Wire::Compare(compare) => Message::Compare(ranges::compare_from_wire(compare)?),
        Wire::Differing(differing) => Message::Differing(ranges::differing_from_wire(differing)?),
        Wire::Offer(offer) => Message::Offer(FeedPage {
            entries: list(
                offer.entries,
                PAGE_ENTRIES_MAX,
                "documents of an offer",
                offered_from_wire,
            )?,
            up_to: Sequence(offer.up_to),
        }),
        Wire::Want(want) => Message::Want {
            up_to: Sequence(want.up_to),
            certificates_anew: want.certificates_anew,
            wants: list(
                want.wants,
                PAGE_ENTRIES_MAX,
                "documents of a want",
                |want| {
                    Ok(Wanted {
                        index: want.index,
                        have_heads: heads_from_wire(&want.have_heads)?,
                    })
                },
            )?,
        },
        Wire::Changes(changes) => Message::Changes(Changes {
            up_to: Sequence(changes.up_to),
            certificates: list(
                changes.certificates,
                PAGE_ENTRIES_MAX,
                "certificates of a frame",
                certificate_from_wire,
            )?,
            seals: list(
                changes.seals,
                PAGE_ENTRIES_MAX,
                "seals of a frame",
                seal_from_wire,
            )?,
            pieces: list(
                changes.deltas,
                PAGE_ENTRIES_MAX,
                "deltas of a frame",
                piece_from_wire,
            )?,
            answered_below: changes.last.then_some(changes.answered_below),
        }),
        Wire::Ack(ack) => Message::Ack(cursor_from_wire(ack.up_to, ack.whole_to)?),
        Wire::Collections(collections) => Message::Collections(names_from_wire(collections.names)?),
        Wire::Renewed(renewed) => Message::Renewed(renewed_from_wire(&renewed)?),
        Wire::Close(close) => Message::Close(CloseCode::from_number(close.code)),
    })
}

fn renewed_to_wire(chain: &CertificateChain) -> pb::Renewed {
    let bytes = |signed: &SignedCertificate| Bytes::copy_from_slice(signed.as_bytes());
    pb::Renewed {
        envelope: bytes(chain.first()),
        issuers: chain.issuers().iter().map(bytes).collect(),
    }
}

fn renewed_from_wire(renewed: &pb::Renewed) -> Result<CertificateChain, DecodeError> {
    // Only their number and size can be wrong here; what they say is judged with the connection's key.
    CertificateChain::from_envelopes(&renewed.envelope, &renewed.issuers).map_err(|_| {
        DecodeError::TooLarge {
            what: "bytes of a chain of certificates",
            most: CHAIN_BYTES_MAX,
        }
    })
}

fn cursor_from_wire(up_to: u64, whole_to: u64) -> Result<Cursor, DecodeError> {
    if whole_to > up_to {
        return Err(DecodeError::Malformed(
            "a cursor that is whole beyond its position",
        ));
    }
    Ok(Cursor {
        up_to: Sequence(up_to),
        whole_to: Sequence(whole_to),
    })
}

fn hello_from_wire(hello: pb::Hello) -> Result<Hello, DecodeError> {
    if hello.version != SYNC_VERSION {
        return Err(DecodeError::Version(hello.version));
    }
    let interest = match (hello.everything, hello.interest) {
        (true, names) if names.is_empty() => Interest::Everything,
        (true, _) => {
            return Err(DecodeError::Malformed(
                "an interest in everything that also names collections",
            ));
        }
        (false, names) => Interest::Collections(names_from_wire(names)?),
    };
    Ok(Hello {
        feed: FeedPosition {
            id: feed_from_wire(&hello.feed_id)?,
            last: Sequence(hello.feed_last),
        },
        collections: names_from_wire(hello.collections)?,
        interest,
    })
}

fn feed_from_wire(bytes: &[u8]) -> Result<FeedId, DecodeError> {
    bytes
        .try_into()
        .map(FeedId)
        .map_err(|_| DecodeError::Malformed("a feed id that has not 16 bytes"))
}

fn heads_from_wire(bytes: &[u8]) -> Result<Vec<ChangeHash>, DecodeError> {
    let (heads, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(DecodeError::Malformed(
            "a list of heads that is not a multiple of 32 bytes",
        ));
    }
    if heads.len() > HEADS_MAX {
        return Err(DecodeError::TooLarge {
            what: "heads of a document",
            most: HEADS_MAX,
        });
    }
    Ok(heads.iter().map(|head| ChangeHash(*head)).collect())
}

fn names_from_wire(names: Vec<String>) -> Result<BTreeSet<CollectionName>, DecodeError> {
    list(names, COLLECTIONS_MAX, "collections of a message", |name| {
        collection_from_wire(&name)
    })
    .map(|names| names.into_iter().collect())
}

fn collection_from_wire(name: &str) -> Result<CollectionName, DecodeError> {
    CollectionName::new(name)
        .map_err(|_| DecodeError::Malformed("a collection name that is empty or too long"))
}

fn document_from_wire(collection: &str, id: Bytes) -> Result<DocumentKey, DecodeError> {
    DocumentKey::new(collection_from_wire(collection)?, id)
        .map_err(|_| DecodeError::Malformed("a document id that is empty or too long"))
}

fn offered_from_wire(entry: pb::Offered) -> Result<Offered, DecodeError> {
    Ok(Offered {
        document: document_from_wire(&entry.collection, entry.document)?,
        heads: heads_from_wire(&entry.heads)?,
    })
}

fn piece_from_wire(piece: pb::Piece) -> Result<Piece, DecodeError> {
    let document = document_from_wire(&piece.collection, piece.document)?;
    Ok(Piece {
        document,
        payload: piece.payload,
        more: piece.more,
    })
}

fn certificate_from_wire(
    certificate: pb::NamedCertificate,
) -> Result<NamedCertificate, DecodeError> {
    let name = <[u8; 32]>::try_from(&*certificate.name)
        .map_err(|_| DecodeError::Malformed("a certificate's name that has not 32 bytes"))?;
    let bytes = evidence_from_wire(
        certificate.certificate,
        CERTIFICATE_BYTES_MAX,
        "bytes of a certificate",
    )?;
    Ok(NamedCertificate { name, bytes })
}

fn seal_from_wire(seal: Bytes) -> Result<Bytes, DecodeError> {
    evidence_from_wire(seal, SEAL_BYTES_MAX, "bytes of a seal")
}

fn evidence_from_wire(bytes: Bytes, most: usize, what: &'static str) -> Result<Bytes, DecodeError> {
    match bytes.len() {
        0 => Err(DecodeError::Malformed("an empty seal or certificate")),
        length if length > most => Err(DecodeError::TooLarge { what, most }),
        _ => Ok(bytes),
    }
}

fn list<W, T>(
    entries: Vec<W>,
    most: usize,
    what: &'static str,
    convert: impl Fn(W) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if entries.len() > most {
        return Err(DecodeError::TooLarge { what, most });
    }
    entries.into_iter().map(convert).collect()
}

/// Deltas and their seals as the payload of a flooded message.
pub(super) fn encode_flood(bundle: &Bundle) -> Bytes {
    let pieces = bundle.deltas.iter().map(|delta| pb::Piece {
        collection: delta.document.collection.as_str().to_owned(),
        document: delta.document.id().clone(),
        payload: delta.payload.clone(),
        more: false,
    });
    pb::Flood {
        deltas: pieces.collect(),
        seals: bundle.seals.clone(),
    }
    .encode_to_vec()
    .into()
}

/// The bundle of a flooded message: at least one delta, all of the topic's collection.
pub(super) fn decode_flood(payload: Bytes, topic: &CollectionName) -> Result<Bundle, DecodeError> {
    if payload.len() > FLOOD_BYTES_MAX {
        return Err(DecodeError::TooLarge {
            what: "bytes of a flooded message",
            most: FLOOD_BYTES_MAX,
        });
    }
    count_list(&payload)?;
    let flood = pb::Flood::decode(payload.clone())
        .map_err(|_| DecodeError::Malformed("not a protobuf flood"))?;
    // Unknown, repeated or reordered fields would give one content ever new names.
    if flood.encode_to_vec() != payload {
        return Err(DecodeError::Malformed(
            "a flooded message that is not in its one encoding",
        ));
    }
    if flood.deltas.is_empty() {
        return Err(DecodeError::Malformed("a flooded message without deltas"));
    }
    let deltas = list(
        flood.deltas,
        FLOOD_DOCUMENTS_MAX,
        "deltas of a flooded message",
        |piece| flooded_from_wire(piece, topic),
    )?;
    let seals = list(
        flood.seals,
        FLOOD_SEALS_MAX,
        "seals of a flooded message",
        seal_from_wire,
    )?;
    Ok(Bundle {
        certificates: Vec::new(),
        seals,
        deltas,
    })
}

fn flooded_from_wire(piece: pb::Piece, topic: &CollectionName) -> Result<Delta, DecodeError> {
    let piece = piece_from_wire(piece)?;
    if piece.more || piece.document.collection != *topic {
        return Err(DecodeError::Malformed(
            "a flooded delta that is cut or belongs to another topic",
        ));
    }
    Ok(Delta {
        document: piece.document,
        payload: piece.payload,
    })
}

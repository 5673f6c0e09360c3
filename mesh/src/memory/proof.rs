//! Stand-ins for what proves changes: they show whether seals and certificates arrive with the bundle that they were made
//! for, and prove nothing else, since anybody can make them.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use super::document::decode_changes;
use crate::replica::{Delta, FeedId, NamedCertificate};

/// The name of a stand-in certificate: BLAKE3 of its bytes.
pub(super) type CertificateName = [u8; 32];

/// The stand-in for the certificate of the author whose feed this is.
pub(super) fn certificate(feed: FeedId) -> NamedCertificate {
    let mut bytes = BytesMut::from(PREFIX);
    bytes.put_slice(&feed.0);
    NamedCertificate {
        name: *blake3::hash(&bytes).as_bytes(),
        bytes: bytes.freeze(),
    }
}

const PREFIX: &[u8] = b"stand-in certificate of ";

/// Whether a certificate is what it says, and of an author.
pub(super) fn is_acceptable(certificate: &NamedCertificate) -> bool {
    certificate.bytes.starts_with(PREFIX)
        && *blake3::hash(&certificate.bytes).as_bytes() == certificate.name
}

/// The authors of the changes of these deltas.
pub(super) fn authors(deltas: &[Delta]) -> BTreeSet<CertificateName> {
    let changes = deltas
        .iter()
        .filter_map(|delta| decode_changes(delta.payload.clone()));
    changes.flatten().map(|change| change.author).collect()
}

/// The stand-in for an author's seal of all these deltas: the name of the certificate, and BLAKE3 (deriving a key) of it
/// and of each delta's names and payload, lengths before them.
pub(super) fn seal(author: &CertificateName, deltas: &[Delta]) -> Bytes {
    let mut hasher = blake3::Hasher::new_derive_key("sedge stand-in seal");
    hasher.update(author);
    for delta in deltas {
        let collection = delta.document.collection.as_str().as_bytes();
        for part in [collection, delta.document.id(), &delta.payload] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    let mut seal = BytesMut::from(&author[..]);
    seal.put_slice(hasher.finalize().as_bytes());
    seal.freeze()
}

/// Bytes of a stand-in seal.
pub(super) const SEAL_BYTES: usize = 64;

/// The seals of these deltas, one by each author.
pub(super) fn seals(deltas: &[Delta]) -> Vec<Bytes> {
    let authors = authors(deltas);
    authors.iter().map(|author| seal(author, deltas)).collect()
}

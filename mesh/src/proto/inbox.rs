//! Puts the pieces of an answer together, within the limits of what was asked for.

use bytes::Bytes;

use super::message::{CloseCode, Piece};
use crate::{
    limits::{
        ANSWER_BYTES_MAX, ANSWER_EVIDENCE_BYTES_MAX, ANSWER_TOTAL_BYTES_MAX, DELTA_BYTES_MAX,
    },
    replica::{Bundle, Delta, DocumentKey, NamedCertificate, evidence_bytes},
};

/// The bundle of one answer so far. What it keeps is copied, since a slice of a frame would keep the whole frame alive.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bundle: Bundle,
    payload_bytes: usize,
    evidence_bytes: usize,
    /// A payload whose next piece is still to come.
    open: Option<(DocumentKey, Vec<u8>)>,
}

impl Inbox {
    /// Adds seals and certificates.
    pub fn add_evidence(
        &mut self,
        certificates: Vec<NamedCertificate>,
        seals: Vec<Bytes>,
    ) -> Result<(), CloseCode> {
        for NamedCertificate { name, bytes } in certificates {
            let bytes = self.evidence(&bytes)?;
            let certificate = NamedCertificate { name, bytes };
            self.bundle.certificates.push(certificate);
        }
        for seal in seals {
            let seal = self.evidence(&seal)?;
            self.bundle.seals.push(seal);
        }
        Ok(())
    }

    /// Counts and copies a seal or certificate.
    fn evidence(&mut self, bytes: &[u8]) -> Result<Bytes, CloseCode> {
        self.evidence_bytes += evidence_bytes(bytes.len());
        if self.evidence_bytes > ANSWER_EVIDENCE_BYTES_MAX || self.is_too_large() {
            return Err(CloseCode::TooLarge);
        }
        Ok(Bytes::copy_from_slice(bytes))
    }

    /// Adds a piece. `is_wanted` says whether a delta of this document may come now; it is asked once per
    /// delta.
    pub fn add(
        &mut self,
        piece: Piece,
        is_wanted: impl FnOnce(&DocumentKey) -> bool,
    ) -> Result<(), CloseCode> {
        if self.payload_bytes >= ANSWER_BYTES_MAX && self.open.is_none() {
            return Err(CloseCode::TooLarge);
        }
        self.payload_bytes += piece.payload.len();
        if self.is_too_large() {
            return Err(CloseCode::TooLarge);
        }
        // Else an answer could go on for ever without growing.
        if piece.payload.is_empty() && (piece.more || self.open.is_some()) {
            return Err(CloseCode::Unexpected);
        }
        let document = piece.document;
        let mut payload = match self.open.take() {
            Some((begun, _)) if begun != document => return Err(CloseCode::Unexpected),
            Some((_, payload)) => payload,
            None if is_wanted(&document) => Vec::new(),
            None => return Err(CloseCode::Unexpected),
        };
        if payload.len() + piece.payload.len() > DELTA_BYTES_MAX {
            return Err(CloseCode::TooLarge);
        }
        append(&mut payload, &piece.payload);
        if piece.more {
            self.open = Some((document, payload));
        } else {
            let payload = payload.into_boxed_slice().into();
            self.bundle.deltas.push(Delta { document, payload });
        }
        Ok(())
    }

    fn is_too_large(&self) -> bool {
        self.payload_bytes + self.evidence_bytes > ANSWER_TOTAL_BYTES_MAX
    }

    /// What a begun payload takes in memory.
    #[cfg(test)]
    pub fn open_capacity(&self) -> usize {
        self.open
            .as_ref()
            .map_or(0, |(_, payload)| payload.capacity())
    }

    /// The bundle, its deltas all complete.
    pub fn finish(self) -> Result<Bundle, CloseCode> {
        if self.open.is_some() {
            Err(CloseCode::Unexpected)
        } else {
            Ok(self.bundle)
        }
    }
}

/// Appends to a payload, which at most doubles and never takes more than a delta may have.
fn append(payload: &mut Vec<u8>, piece: &[u8]) {
    let room = payload.capacity() - payload.len();
    if room < piece.len() {
        let doubled = payload.len().min(DELTA_BYTES_MAX - payload.len());
        payload.reserve_exact(doubled.max(piece.len()));
    }
    payload.extend_from_slice(piece);
}

//! Spreads an answer over frames, and leaves out the certificates that the neighbour was sent before.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::message::{Changes, Piece};
use crate::{
    limits::{
        ANSWER_EVIDENCE_BYTES_MAX, CERTIFICATE_BYTES_MAX, CERTIFICATES_SENT_MAX, FRAME_BYTES_MAX,
        FRAME_OVERHEAD_BYTES, PAGE_ENTRIES_MAX, SEAL_BYTES_MAX,
    },
    replica::{Bundle, Delta, NamedCertificate, Sequence, evidence_bytes},
};

/// Bytes that a piece takes beside its names and payload: tags, lengths and the mark for more.
const PIECE_BYTES: usize = 24;

/// The names of certificates that a neighbour was sent in this session, so that each travels once.
#[derive(Debug, Default)]
pub(super) struct SentCertificates {
    names: BTreeSet<[u8; 32]>,
}

impl SentCertificates {
    /// Lets none count as sent.
    pub fn forget(&mut self) {
        self.names.clear();
    }

    /// Takes out of a bundle the certificates that were sent, and remembers the others as sent.
    pub fn leave_out_of(&mut self, bundle: &mut Bundle) {
        bundle.certificates.retain(|certificate| {
            if self.names.contains(&certificate.name) {
                return false;
            }
            if self.names.len() >= CERTIFICATES_SENT_MAX {
                self.forget();
            }
            self.names.insert(certificate.name)
        });
    }
}

/// Whether the seals and certificates of a bundle are within what every follower takes.
pub(super) fn is_carried(bundle: &Bundle) -> bool {
    let within = |bytes: &Bytes, most: usize| (1..=most).contains(&bytes.len());
    let mut certificates = bundle.certificates.iter();
    bundle.evidence_bytes() <= ANSWER_EVIDENCE_BYTES_MAX
        && certificates.all(|it| within(&it.bytes, CERTIFICATE_BYTES_MAX))
        && bundle.seals.iter().all(|it| within(it, SEAL_BYTES_MAX))
}

/// Spreads an answer over frames: certificates, seals, then deltas, cutting payloads where a frame is full.
pub(super) fn split(up_to: Sequence, bundle: Bundle, answered_below: u32) -> Vec<Changes> {
    let mut frames = Frames::new(up_to);
    for certificate in bundle.certificates {
        frames.add_certificate(certificate);
    }
    for seal in bundle.seals {
        frames.add_seal(seal);
    }
    for delta in bundle.deltas {
        frames.add_delta(delta);
    }
    frames.finish(answered_below)
}

/// The frames of an answer so far.
struct Frames {
    full: Vec<Changes>,
    open: Changes,
    /// What is left of the open frame, in bytes and in entries of its lists.
    room: usize,
    entries: usize,
}

const FRAME_ROOM: usize = FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES;

impl Frames {
    fn new(up_to: Sequence) -> Self {
        Self {
            full: Vec::new(),
            open: Changes::empty(up_to),
            room: FRAME_ROOM,
            entries: PAGE_ENTRIES_MAX,
        }
    }

    /// Begins a new frame unless there is room for an entry of which at least so many bytes have to fit.
    fn begin(&mut self, bytes: usize) {
        if self.room < bytes || self.entries == 0 {
            let next = Changes::empty(self.open.up_to);
            self.full.push(std::mem::replace(&mut self.open, next));
            (self.room, self.entries) = (FRAME_ROOM, PAGE_ENTRIES_MAX);
        }
    }

    /// Takes room for an entry of so many bytes.
    fn take_room(&mut self, bytes: usize) {
        self.begin(bytes);
        self.room -= bytes;
        self.entries -= 1;
    }

    fn add_certificate(&mut self, certificate: NamedCertificate) {
        self.take_room(evidence_bytes(certificate.bytes.len()));
        self.open.certificates.push(certificate);
    }

    fn add_seal(&mut self, seal: Bytes) {
        self.take_room(evidence_bytes(seal.len()));
        self.open.seals.push(seal);
    }

    fn add_delta(&mut self, delta: Delta) {
        let Delta {
            document,
            mut payload,
        } = delta;
        let names = PIECE_BYTES + document.collection.as_str().len() + document.id().len();
        loop {
            // A piece without payload is worth a frame only when the payload is empty.
            self.begin(names + payload.len().min(1));
            let piece = payload.split_to(payload.len().min(self.room - names));
            self.take_room(names + piece.len());
            let more = !payload.is_empty();
            self.open.pieces.push(Piece {
                document: document.clone(),
                payload: piece,
                more,
            });
            if !more {
                break;
            }
        }
    }

    fn finish(mut self, answered_below: u32) -> Vec<Changes> {
        self.open.answered_below = Some(answered_below);
        self.full.push(self.open);
        self.full
    }
}

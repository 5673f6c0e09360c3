//! Puts the pieces of an answer together, within the limits of what was asked for.

use bytes::BytesMut;

use super::message::{CloseCode, Piece};
use crate::{
    limits::{ANSWER_BYTES_MAX, DELTA_BYTES_MAX},
    replica::{Delta, DocumentKey},
};

/// The deltas of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    deltas: Vec<Delta>,
    bytes: usize,
    /// A payload whose next piece is still to come.
    open: Option<(DocumentKey, BytesMut)>,
}

impl Inbox {
    /// Adds a piece. `is_wanted` says whether a delta of this document may come now; it is asked once per
    /// delta.
    pub fn add(
        &mut self,
        piece: Piece,
        is_wanted: impl FnOnce(&DocumentKey) -> bool,
    ) -> Result<(), CloseCode> {
        if self.bytes >= ANSWER_BYTES_MAX && self.open.is_none() {
            return Err(CloseCode::TooLarge);
        }
        self.bytes += piece.payload.len();
        match self.open.take() {
            Some((document, mut payload)) => {
                if document != piece.document {
                    return Err(CloseCode::Unexpected);
                }
                payload.extend_from_slice(&piece.payload);
                if payload.len() > DELTA_BYTES_MAX {
                    return Err(CloseCode::TooLarge);
                }
                if piece.more {
                    self.open = Some((document, payload));
                } else {
                    self.deltas.push(Delta {
                        document,
                        payload: payload.freeze(),
                    });
                }
            }
            None => {
                if !is_wanted(&piece.document) {
                    return Err(CloseCode::Unexpected);
                }
                if piece.more {
                    self.open = Some((piece.document, BytesMut::from(&*piece.payload)));
                } else {
                    // Copied, since a slice of the frame would keep the whole frame alive.
                    let payload = bytes::Bytes::copy_from_slice(&piece.payload);
                    self.deltas.push(Delta {
                        document: piece.document,
                        payload,
                    });
                }
            }
        }
        Ok(())
    }

    /// The deltas, all of them complete.
    pub fn finish(self) -> Result<Vec<Delta>, CloseCode> {
        if self.open.is_some() {
            Err(CloseCode::Unexpected)
        } else {
            Ok(self.deltas)
        }
    }
}

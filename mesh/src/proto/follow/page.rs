//! What is left to do of an offered page.

use std::collections::VecDeque;

use crate::{
    limits::{FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES, HEADS_MAX},
    proto::{
        event::Note,
        message::{CloseCode, Wanted},
        session::Link,
    },
    replica::{ChangeHash, DocumentKey, IngestOutcome, Missing, Offered, Sequence},
};

/// Bytes that a want takes beside its heads.
const WANT_BYTES: usize = 16;

/// What is left to do of an offered page.
#[derive(Debug)]
pub(super) struct Page {
    pub up_to: Sequence,
    pub documents: Vec<DocumentKey>,
    /// Wants that are not answered yet, by rising index.
    pub wants: Vec<Wanted>,
    /// Those of them for which a delta may still come in the present answer.
    pub open: VecDeque<u32>,
    /// Those of them for which one came.
    pub taken: Vec<u32>,
    /// Whether the neighbour was asked to send certificates again, which it is once for a page.
    pub certificates_anew: bool,
    /// Whether something that is missing will not be here when the page is done.
    pub left_out: bool,
    /// The want of which a part was refused: what comes behind that may build on it.
    refused: Option<u32>,
}

impl Page {
    /// A page of which it is not known yet what is missing.
    pub fn new(up_to: Sequence, entries: &[Offered]) -> Self {
        Self {
            up_to,
            documents: entries.iter().map(|entry| entry.document.clone()).collect(),
            wants: Vec::new(),
            open: VecDeque::new(),
            taken: Vec::new(),
            certificates_anew: false,
            left_out: false,
            refused: None,
        }
    }

    /// Whether a delta of this document may come now; the wants before it are then done with.
    pub fn take_open(&mut self, document: &DocumentKey) -> bool {
        while let Some(index) = self.open.pop_front() {
            if self.document(index) == Some(document) {
                self.taken.push(index);
                return true;
            }
        }
        false
    }

    fn document(&self, index: u32) -> Option<&DocumentKey> {
        let at = usize::try_from(index).ok()?;
        self.documents.get(at)
    }

    /// Removes the answered wants; returns those for which deltas came, and whether the last of these has had a part of
    /// its answer and is the first that is left. An answer must bring the page on: by a want, or by a part of one.
    pub fn answered(&mut self, below: u32) -> Result<(Vec<Wanted>, bool), CloseCode> {
        let last = self.taken.last().copied();
        let in_part = last == Some(below);
        let (done, left): (Vec<_>, _) = std::mem::take(&mut self.wants)
            .into_iter()
            .partition(|want| want.index < below);
        self.wants = left;
        let covers_taken = last.is_none_or(|last| last < below || in_part);
        if !covers_taken || (done.is_empty() && !in_part) {
            return Err(CloseCode::Unexpected);
        }
        // What is dealt with and brought no delta was passed over.
        self.left_out |= done.len() > self.taken.len() - usize::from(in_part);
        let delivered = done.into_iter().chain(self.wants.first().cloned());
        let delivered = delivered.filter(|want| self.taken.binary_search(&want.index).is_ok());
        Ok((delivered.collect(), in_part))
    }

    /// Whether a delta builds on what the neighbour was to send before.
    pub fn is_incomplete(&self, delivered: &[Wanted], outcomes: &[IngestOutcome]) -> bool {
        let mut lacking = delivered.iter().zip(outcomes);
        lacking.any(|(want, outcome)| {
            *outcome == IngestOutcome::MissingDependencies && self.refused != Some(want.index)
        })
    }

    /// Goes by what became of the deltas for these wants, of which the last may be the first that is left.
    pub fn ingested(
        &mut self,
        delivered: Vec<Wanted>,
        outcomes: Vec<IngestOutcome>,
        in_part: bool,
        link: &mut Link<'_>,
    ) {
        let (mut unproven, mut lacks_last) = (Vec::new(), false);
        for (want, outcome) in delivered.into_iter().zip(outcomes) {
            lacks_last = true;
            match outcome {
                IngestOutcome::UnknownCertificate if !self.certificates_anew => unproven.push(want),
                IngestOutcome::UnknownCertificate => {
                    let reason = "a certificate that its changes need was not sent";
                    self.leave_out(&want, reason.to_owned(), link);
                }
                // Other devices' changes may come behind those that are refused.
                IngestOutcome::Rejected { reason } | IngestOutcome::Partly { reason } => {
                    lacks_last = false;
                    self.refused = Some(want.index);
                    self.leave_out(&want, reason, link);
                }
                IngestOutcome::Damaged => self.left_out = true,
                IngestOutcome::Applied
                | IngestOutcome::Known
                | IngestOutcome::MissingDependencies => lacks_last = false,
            }
        }
        // The rest builds on a part that is not here.
        if in_part && lacks_last {
            self.wants.drain(..1);
        }
        if !unproven.is_empty() {
            self.certificates_anew = true;
            unproven.append(&mut self.wants);
            self.wants = unproven;
        }
    }

    fn leave_out(&mut self, want: &Wanted, reason: String, link: &mut Link<'_>) {
        self.left_out = true;
        if let Some(document) = self.document(want.index).cloned() {
            let peer = link.peer.clone();
            link.out.note(Note::Rejected {
                peer,
                document,
                reason,
            });
        }
    }
}

/// The wants of a page, small enough for one frame: a want whose heads do not fit names fewer of them, and
/// gets more than it needs.
pub(super) fn wants(missing: Vec<Missing>) -> Vec<Wanted> {
    let mut heads_left = (FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES - missing.len() * WANT_BYTES)
        / size_of::<ChangeHash>();
    let mut wants = Vec::new();
    for (index, missing) in (0_u32..).zip(missing) {
        let Missing::Changes(mut have_heads) = missing else {
            continue;
        };
        have_heads.truncate(HEADS_MAX.min(heads_left));
        heads_left -= have_heads.len();
        wants.push(Wanted { index, have_heads });
    }
    wants
}

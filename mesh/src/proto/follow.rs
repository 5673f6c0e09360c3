//! Taking in a neighbour's feed: offered page → what is missing → its changes → durable → acknowledged.

use std::collections::{BTreeSet, VecDeque};

use super::{
    event::{Millis, Note},
    inbox::Inbox,
    message::{Changes, CloseCode, Message, Wanted},
    request::{Answer, Request},
    session::{Link, is_overdue},
};
use crate::{
    limits::{FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES, HEADS_MAX},
    replica::{
        ChangeHash, Cursor, DocumentKey, FeedPage, FeedPosition, IngestOutcome, Interest, Missing,
        Origin, Sequence,
    },
};

/// Bytes that a want takes beside its heads.
const WANT_BYTES: usize = 16;

/// The direction of a session in which the neighbour's feed is taken in.
#[derive(Debug)]
pub(super) struct Follow {
    feed: FeedPosition,
    interest: Interest,
    /// Durable and acknowledged.
    cursor: Cursor,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The store is asked where we stopped last time.
    ReadingCursor,
    /// The neighbour's turn: it offers when it has something.
    Waiting,
    /// The store is asked what is missing of a page.
    Checking(Page),
    /// The neighbour is asked for changes.
    Fetching {
        page: Page,
        inbox: Inbox,
        since: Millis,
    },
    /// The store takes in the deltas that answer these wants, of which the last may be a part of what was wanted.
    Ingesting {
        page: Page,
        delivered: Vec<Wanted>,
        in_part: bool,
    },
    /// The store is told the new cursor.
    Storing(Cursor),
}

/// What is left to do of an offered page.
#[derive(Debug)]
struct Page {
    up_to: Sequence,
    documents: Vec<DocumentKey>,
    /// Wants that are not answered yet, by rising index.
    wants: Vec<Wanted>,
    /// Those of them for which a delta may still come in the present answer.
    open: VecDeque<u32>,
    /// Those of them for which one came.
    taken: Vec<u32>,
    /// Whether the neighbour was asked to send certificates again, which it is once for a page.
    certificates_anew: bool,
    /// Whether something that is missing will not be here when the page is done.
    left_out: bool,
    /// The want of which a part was refused: what comes behind that may build on it.
    refused: Option<u32>,
}

impl Follow {
    /// Begins to follow a feed.
    pub fn start(feed: FeedPosition, interest: Interest, link: &mut Link<'_>) -> Self {
        link.ask_to_follow(Request::Cursor(feed.id, interest.clone()));
        Self {
            feed,
            interest,
            cursor: Cursor::default(),
            state: State::ReadingCursor,
        }
    }

    /// Our cursor and the feed's last known position.
    pub fn position(&self) -> (Sequence, Sequence) {
        (self.cursor.up_to, self.feed.last)
    }

    pub fn is_overdue(&self, now: Millis) -> bool {
        match self.state {
            State::Fetching { since, .. } => is_overdue(since, now),
            State::ReadingCursor
            | State::Waiting
            | State::Checking(_)
            | State::Ingesting { .. }
            | State::Storing(_) => false,
        }
    }

    /// The neighbour offers a page.
    pub fn on_offer(&mut self, offer: FeedPage, link: &mut Link<'_>) -> Result<(), CloseCode> {
        if !matches!(self.state, State::Waiting) {
            return Err(CloseCode::Unexpected);
        }
        if offer.up_to <= self.cursor.up_to {
            return Err(CloseCode::BadCursor);
        }
        if !offer
            .entries
            .iter()
            .all(|entry| self.interest.includes(&entry.document.collection))
        {
            return Err(CloseCode::Unexpected);
        }
        // A document named a thousand times would be loaded as often.
        let documents = offer.entries.iter().map(|entry| &entry.document);
        if documents.collect::<BTreeSet<_>>().len() < offer.entries.len() {
            return Err(CloseCode::Unexpected);
        }
        self.feed.last = self.feed.last.max(offer.up_to);
        if offer.entries.is_empty() {
            self.store(self.cursor.after(offer.up_to, false), link);
            return Ok(());
        }
        let documents = offer
            .entries
            .iter()
            .map(|entry| entry.document.clone())
            .collect();
        link.ask_to_follow(Request::Missing(offer.entries));
        self.state = State::Checking(Page {
            up_to: offer.up_to,
            documents,
            wants: Vec::new(),
            open: VecDeque::new(),
            taken: Vec::new(),
            certificates_anew: false,
            left_out: false,
            refused: None,
        });
        Ok(())
    }

    /// The neighbour sends changes that were asked for.
    pub fn on_changes(&mut self, changes: Changes, link: &mut Link<'_>) -> Result<(), CloseCode> {
        let State::Fetching { page, inbox, since } = &mut self.state else {
            return Err(CloseCode::Unexpected);
        };
        if changes.up_to != page.up_to || (changes.is_empty() && changes.answered_below.is_none()) {
            return Err(CloseCode::Unexpected);
        }
        *since = link.now;
        inbox.add_evidence(changes.certificates, changes.seals)?;
        for piece in changes.pieces {
            inbox.add(piece, |document| page.take_open(document))?;
        }
        let Some(answered_below) = changes.answered_below else {
            return Ok(());
        };
        let State::Fetching {
            mut page, inbox, ..
        } = std::mem::replace(&mut self.state, State::Waiting)
        else {
            return Err(CloseCode::Unexpected);
        };
        let bundle = inbox.finish()?;
        let (delivered, in_part) = page.answered(answered_below)?;
        if bundle.deltas.is_empty() {
            self.go_on(page, link);
        } else {
            let origin = Origin::Sync(link.peer.clone());
            link.ask_to_follow(Request::Ingest(vec![bundle], origin));
            self.state = State::Ingesting {
                page,
                delivered,
                in_part,
            };
        }
        Ok(())
    }

    /// The store has answered.
    pub fn on_answer(&mut self, answer: Answer, link: &mut Link<'_>) -> Result<(), CloseCode> {
        match (std::mem::replace(&mut self.state, State::Waiting), answer) {
            (State::ReadingCursor, Answer::Cursor(cursor)) => {
                // A cursor beyond the feed is of a feed that lost its end: begin anew.
                self.cursor = if cursor.up_to > self.feed.last {
                    Cursor::default()
                } else {
                    cursor
                };
                link.send(Message::Follow {
                    feed: self.feed.id,
                    after: self.cursor,
                });
            }
            (State::Checking(mut page), Answer::Missing(missing))
                if missing.len() == page.documents.len() =>
            {
                page.left_out = missing.contains(&Missing::Damaged);
                page.wants = wants(missing);
                self.go_on(page, link);
            }
            (
                State::Ingesting {
                    mut page,
                    delivered,
                    in_part,
                },
                Answer::Ingested(outcomes),
            ) if outcomes.len() == delivered.len() => {
                if page.is_incomplete(&delivered, &outcomes) {
                    return Err(CloseCode::Incomplete);
                }
                page.ingested(delivered, outcomes, in_part, link);
                self.go_on(page, link);
            }
            (State::Storing(cursor), Answer::CursorStored) => {
                self.cursor = cursor;
                link.send(Message::Ack(cursor));
            }
            _ => return Err(CloseCode::Internal),
        }
        Ok(())
    }

    /// Asks for what is left of a page, or finishes it.
    fn go_on(&mut self, mut page: Page, link: &mut Link<'_>) {
        if page.wants.is_empty() {
            self.store(self.cursor.after(page.up_to, page.left_out), link);
            return;
        }
        page.open = page.wants.iter().map(|want| want.index).collect();
        page.taken.clear();
        link.send(Message::Want {
            up_to: page.up_to,
            wants: page.wants.clone(),
            certificates_anew: page.certificates_anew,
        });
        self.state = State::Fetching {
            page,
            inbox: Inbox::default(),
            since: link.now,
        };
    }

    fn store(&mut self, cursor: Cursor, link: &mut Link<'_>) {
        link.ask_to_follow(Request::StoreCursor(
            self.feed.id,
            self.interest.clone(),
            cursor,
        ));
        self.state = State::Storing(cursor);
    }
}

impl Page {
    /// Whether a delta of this document may come now; the wants before it are then done with.
    fn take_open(&mut self, document: &DocumentKey) -> bool {
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
    fn answered(&mut self, below: u32) -> Result<(Vec<Wanted>, bool), CloseCode> {
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
    fn is_incomplete(&self, delivered: &[Wanted], outcomes: &[IngestOutcome]) -> bool {
        let mut lacking = delivered.iter().zip(outcomes);
        lacking.any(|(want, outcome)| {
            *outcome == IngestOutcome::MissingDependencies && self.refused != Some(want.index)
        })
    }

    /// Goes by what became of the deltas for these wants, of which the last may be the first that is left.
    fn ingested(
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
fn wants(missing: Vec<Missing>) -> Vec<Wanted> {
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

//! Taking in a neighbour's feed: offered page → what is missing → its changes → durable → acknowledged.

mod page;

use std::collections::BTreeSet;

use self::page::{Page, wants};
use super::{
    compare::{Described, Differs, Found, Nonce},
    event::Millis,
    inbox::Inbox,
    message::{Changes, CloseCode, Comparison, Message, Wanted},
    offer::Leads,
    request::{Answer, Request},
    session::{Link, is_overdue},
};
use crate::{
    limits::RANGES_SPARE,
    replica::{Cursor, FeedPage, FeedPosition, Interest, Missing, Origin, Sequence},
};

/// Ranges that may lead to a document here: one for each digit of its place.
const RANGES_PER_DOCUMENT: u64 = 16;

/// The direction of a session in which the neighbour's feed is taken in.
#[derive(Debug)]
pub(super) struct Follow {
    feed: FeedPosition,
    interest: Interest,
    /// What both sides want, in two parts.
    scope: Vec<Interest>,
    /// Durable and acknowledged.
    cursor: Cursor,
    /// Until what differs is dealt with.
    compared: Option<Compared>,
    state: State,
}

/// A comparison that we have asked for.
#[derive(Debug)]
struct Compared {
    nonce: Nonce,
    /// Where our own feed stood before.
    base: Sequence,
    /// How many ranges the neighbour may still describe.
    ranges_left: u64,
    /// Whether something that is missing will not be here when all is done.
    left_out: bool,
    /// Documents that the neighbour lacks something of.
    found: Vec<Found>,
    /// What is told once there is room for more of those.
    held: Option<Vec<Differs>>,
}

/// What makes a follower ask for a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct WhenToCompare {
    /// Feed entries behind the cursor from which on it does.
    pub from: u64,
    /// For the fingerprints of the session.
    pub nonce: Nonce,
}

#[derive(Debug)]
enum State {
    /// The store is asked where we stopped last time.
    ReadingCursor(WhenToCompare),
    /// The store is asked what its collections come to.
    ReadingRoots(WhenToCompare, Sequence),
    /// The store is asked what of the described ranges differs.
    Comparing,
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

impl Follow {
    /// Begins to follow a feed.
    pub fn start(
        feed: FeedPosition,
        interest: Interest,
        scope: Vec<Interest>,
        when: WhenToCompare,
        link: &mut Link<'_>,
    ) -> Self {
        link.ask_to_follow(Request::Cursor(feed.id, interest.clone()));
        Self {
            feed,
            interest,
            scope,
            cursor: Cursor::default(),
            compared: None,
            state: State::ReadingCursor(when),
        }
    }

    /// Whether it is known that we ask for a comparison, or don't.
    pub fn is_decided(&self) -> bool {
        !matches!(
            self.state,
            State::ReadingCursor(_) | State::ReadingRoots(..)
        )
    }

    /// The comparison that we have asked for and that is not done.
    pub fn leads(&self) -> Option<Leads> {
        let compared = self.compared.as_ref()?;
        Some(Leads {
            nonce: compared.nonce,
            base: compared.base,
        })
    }

    /// What was found to be missing at the neighbour.
    pub fn found(&mut self) -> Option<&mut Vec<Found>> {
        self.compared.as_mut().map(|it| &mut it.found)
    }

    /// There is room for more of that.
    pub fn release(&mut self, link: &mut Link<'_>) {
        if let Some(differs) = self.compared.as_mut().and_then(|it| it.held.take()) {
            link.send(Message::Differing(differs));
        }
    }

    /// The neighbour says what it has in some ranges.
    pub fn on_compare(
        &mut self,
        ranges: Vec<Described>,
        link: &mut Link<'_>,
    ) -> Result<(), CloseCode> {
        let (State::Waiting, Some(compared)) = (&self.state, &mut self.compared) else {
            return Err(CloseCode::Unexpected);
        };
        let is_within = |it: &Described| {
            self.scope
                .iter()
                .any(|wanted| wanted.includes(&it.range.collection))
        };
        if compared.held.is_some() || !ranges.iter().all(is_within) {
            return Err(CloseCode::Unexpected);
        }
        let left = compared.ranges_left.checked_sub(ranges.len() as u64);
        compared.ranges_left = left.ok_or(CloseCode::TooLarge)?;
        link.ask_to_follow(Request::Compare(
            compared.nonce,
            self.interest.clone(),
            ranges,
        ));
        self.state = State::Comparing;
        Ok(())
    }

    /// Our cursor and the feed's last known position.
    pub fn position(&self) -> (Sequence, Sequence) {
        (self.cursor.up_to, self.feed.last)
    }

    pub fn is_overdue(&self, now: Millis) -> bool {
        match self.state {
            State::Fetching { since, .. } => is_overdue(since, now),
            State::ReadingCursor(_)
            | State::ReadingRoots(..)
            | State::Comparing
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
        // While stores are compared, documents are offered without moving the cursor.
        let is_found = self.compared.is_some()
            && offer.up_to == self.cursor.up_to
            && !offer.entries.is_empty();
        if offer.up_to <= self.cursor.up_to && !is_found {
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
            self.finish(offer.up_to, false, link);
            return Ok(());
        }
        let page = Page::new(offer.up_to, &offer.entries);
        link.ask_to_follow(Request::Missing(offer.entries));
        self.state = State::Checking(page);
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
            (State::ReadingCursor(when), Answer::Cursor(cursor)) => {
                // A cursor beyond the feed is of a feed that lost its end: begin anew.
                if cursor.up_to <= self.feed.last {
                    self.cursor = cursor;
                }
                if self.feed.last.0 - self.cursor.up_to.0 >= when.from {
                    let base = link.out.feed_last;
                    link.ask_to_follow(Request::Roots(when.nonce, self.scope.clone()));
                    self.state = State::ReadingRoots(when, base);
                } else {
                    self.follow(None, link);
                }
            }
            (State::ReadingRoots(when, base), Answer::Roots(roots, documents)) => {
                let roots = roots.filter(|roots| !roots.is_empty());
                self.compared = roots.as_ref().map(|_| Compared {
                    nonce: when.nonce,
                    base,
                    ranges_left: documents
                        .saturating_mul(RANGES_PER_DOCUMENT)
                        .saturating_add(RANGES_SPARE),
                    left_out: false,
                    found: Vec::new(),
                    held: None,
                });
                let comparison = roots.map(|roots| Comparison {
                    nonce: when.nonce,
                    roots,
                });
                self.follow(comparison, link);
            }
            (State::Comparing, Answer::Compared(differs, found)) => {
                let compared = self.compared.as_mut().ok_or(CloseCode::Internal)?;
                compared.found.extend(found);
                compared.held = Some(differs); // sent once there is room for what was found
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

    fn follow(&mut self, comparison: Option<Comparison>, link: &mut Link<'_>) {
        link.send(Message::Follow {
            feed: self.feed.id,
            after: self.cursor,
            comparison,
        });
    }

    /// Everything up to there is dealt with, or everything that was offered without moving the cursor.
    fn finish(&mut self, up_to: Sequence, left_out: bool, link: &mut Link<'_>) {
        if let Some(compared) = &mut self.compared {
            compared.left_out |= left_out;
            if up_to == self.cursor.up_to {
                link.send(Message::Ack(self.cursor));
                return;
            }
        }
        let left_out = left_out || self.compared.take().is_some_and(|it| it.left_out);
        self.store(self.cursor.after(up_to, left_out), link);
    }

    /// Asks for what is left of a page, or finishes it.
    fn go_on(&mut self, mut page: Page, link: &mut Link<'_>) {
        if page.wants.is_empty() {
            self.finish(page.up_to, page.left_out, link);
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

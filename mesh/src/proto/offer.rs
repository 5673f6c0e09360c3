//! Offering our feed to a neighbour: page by page, one at a time, and for each the changes it asks for. Where it wants the
//! stores compared first, the first pages hold what was found to differ, and the feed follows from where it stood then.

use super::{
    compare::{Described, Differs, Found, Nonce},
    comparing::{Comparing, Next},
    event::{Effect, Millis, Timer},
    message::{CloseCode, Comparison, Message, Wanted},
    parts::{SentCertificates, is_carried, split},
    request::{Answer, Request},
    session::{Link, is_overdue},
};
use crate::{
    limits::{HEADS_MAX, OFFER_DELAY_MS, PAGE_ENTRIES_MAX},
    replica::{
        Answered, ChangeHash, Cursor, DocumentKey, FeedPage, Interest, Offered, Range, Sequence,
    },
};

/// The direction of a session in which the neighbour takes in our feed.
#[derive(Debug)]
pub(super) struct Offering {
    interest: Interest,
    acked: Cursor,
    offered: Sequence,
    /// Up to here the feed is to be offered without delay.
    due: Sequence,
    /// Whether a timer will raise `due`.
    delayed: bool,
    sent: SentCertificates,
    /// Until what differs is offered.
    comparing: Option<Comparing>,
    state: State,
}

/// What the other direction of the session already knows of comparing, where that leads this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leads {
    /// Of all fingerprints there.
    pub nonce: Nonce,
    /// Where our feed stood before anything was compared there.
    pub base: Sequence,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The store is asked for the next page.
    Reading,
    /// The store is asked which collections differ.
    ComparingRoots,
    /// The store is asked what is in these ranges.
    Describing(Vec<Range>),
    /// The neighbour's turn to say what of these differs.
    Described(Vec<Described>, Millis),
    /// The store is asked for the next of the documents that were found.
    Locating,
    /// The neighbour's turn to want or acknowledge.
    Offered(Page),
    /// The store is asked for the changes of these wants.
    Answering {
        page: Page,
        asked: Vec<u32>,
    },
}

#[derive(Debug)]
struct Page {
    up_to: Sequence,
    documents: Vec<DocumentKey>,
    /// Wants below this index have had their answer.
    answered_below: u32,
    /// What the neighbour has of the document at that index after the parts it was sent; empty when it was sent none.
    sent_heads: Vec<ChangeHash>,
    /// Whether wants were allowed to begin anew, which they are once.
    is_anew: bool,
    since: Millis,
}

impl Page {
    /// Lets wants name again what was answered, once: nobody makes us send a page for ever.
    fn begin_anew(&mut self) {
        if !self.is_anew {
            self.is_anew = true;
            self.answered_below = 0;
            self.sent_heads.clear();
        }
    }
}

impl Offering {
    /// Begins to offer the feed after a position.
    pub fn start(after: Cursor, interest: Interest, link: &mut Link<'_>) -> Self {
        let due = link.out.feed_last;
        let mut offering = Self {
            interest,
            acked: after,
            offered: after.up_to,
            due,
            delayed: false,
            sent: SentCertificates::default(),
            comparing: None,
            state: State::Idle,
        };
        offering.pump(link);
        offering
    }

    /// Begins to offer what differs, then the feed after where it stands. `scope` is what both sides want; `leads` says that
    /// the other direction's comparison finds what is to be offered here.
    pub fn start_comparing(
        after: Cursor,
        interest: Interest,
        scope: Vec<Interest>,
        comparison: Comparison,
        leads: Option<Leads>,
        link: &mut Link<'_>,
    ) -> Self {
        let Comparison { nonce, roots } = comparison;
        let base = leads.map_or(link.out.feed_last, |it| it.base);
        let found_by = leads.map_or(nonce, |it| it.nonce);
        link.ask_to_offer(Request::CompareRoots(nonce, scope, roots));
        Self {
            comparing: Some(Comparing::new(
                found_by,
                interest.clone(),
                base,
                leads.is_some(),
            )),
            interest,
            acked: after,
            offered: after.up_to,
            due: link.out.feed_last,
            delayed: false,
            sent: SentCertificates::default(),
            state: State::ComparingRoots,
        }
    }

    /// Whether the other direction's comparison finds what is to be offered here.
    pub fn is_led(&self) -> bool {
        self.comparing.as_ref().is_some_and(Comparing::is_led)
    }

    /// Takes over what the other direction has found; returns whether there is room for more.
    pub fn take_found(&mut self, found: &mut Vec<Found>, link: &mut Link<'_>) -> bool {
        let has_room = match &mut self.comparing {
            Some(comparing) => comparing.take(found),
            None => true,
        };
        self.pump(link);
        has_room
    }

    /// The other direction has found everything.
    pub fn end_led(&mut self, link: &mut Link<'_>) {
        if let Some(comparing) = &mut self.comparing {
            comparing.end_led();
            self.pump(link);
        }
    }

    /// The neighbour tells what differs of the described ranges.
    pub fn on_differing(
        &mut self,
        differs: Vec<Differs>,
        link: &mut Link<'_>,
    ) -> Result<(), CloseCode> {
        match (
            std::mem::replace(&mut self.state, State::Idle),
            &mut self.comparing,
        ) {
            (State::Described(described, _), Some(comparing)) => {
                comparing.differing(described, differs)?;
                self.pump(link);
                Ok(())
            }
            _ => Err(CloseCode::Unexpected),
        }
    }

    /// How far the feed was offered, and acknowledged.
    pub fn position(&self) -> (Sequence, Cursor) {
        (self.offered, self.acked)
    }

    /// Whether the neighbour takes in all collections.
    pub fn is_whole(&self) -> bool {
        self.interest == Interest::Everything
    }

    pub fn is_overdue(&self, now: Millis) -> bool {
        match &self.state {
            State::Offered(page) => is_overdue(page.since, now),
            State::Described(_, since) => is_overdue(*since, now),
            State::Idle
            | State::Reading
            | State::ComparingRoots
            | State::Describing(_)
            | State::Locating
            | State::Answering { .. } => false,
        }
    }

    /// The feed has grown, and gossip does not bring it: offer it now.
    pub fn on_grown(&mut self, link: &mut Link<'_>) {
        self.due = link.out.feed_last;
        self.pump(link);
    }

    /// The feed has grown by something that gossip brings too: offer it a little later.
    pub fn on_flooded(&mut self, link: &mut Link<'_>) {
        if !self.delayed {
            self.delayed = true;
            let timer = Timer::Offer(link.peer.clone(), link.session);
            link.out
                .effects
                .push(Effect::SetTimer(timer, link.now + OFFER_DELAY_MS));
        }
    }

    /// The delay is over.
    pub fn on_timer(&mut self, link: &mut Link<'_>) {
        self.delayed = false;
        self.on_grown(link);
    }

    /// The neighbour wants changes of the offered page.
    pub fn on_want(
        &mut self,
        up_to: Sequence,
        wants: Vec<Wanted>,
        certificates_anew: bool,
        link: &mut Link<'_>,
    ) -> Result<(), CloseCode> {
        let State::Offered(mut page) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(CloseCode::Unexpected);
        };
        if page.up_to != up_to || wants.is_empty() {
            return Err(CloseCode::Unexpected);
        }
        if certificates_anew {
            self.sent.forget();
            page.begin_anew();
        }
        let mut next = page.answered_below;
        let (mut asked, mut requested) = (
            Vec::with_capacity(wants.len()),
            Vec::with_capacity(wants.len()),
        );
        let sent_heads = std::mem::take(&mut page.sent_heads);
        for mut want in wants {
            let document = usize::try_from(want.index)
                .ok()
                .and_then(|index| page.documents.get(index));
            let Some(document) = document.filter(|_| want.index >= next) else {
                return Err(CloseCode::Unexpected);
            };
            if want.index == page.answered_below {
                want.have_heads.extend(&sent_heads);
            }
            next = want.index + 1;
            asked.push(want.index);
            requested.push((document.clone(), want.have_heads));
        }
        link.ask_to_offer(Request::Changes(requested));
        self.state = State::Answering { page, asked };
        Ok(())
    }

    /// The neighbour has dealt with the page.
    pub fn on_ack(&mut self, cursor: Cursor, link: &mut Link<'_>) -> Result<(), CloseCode> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Offered(page) if page.up_to == cursor.up_to => {
                self.acked = cursor;
                self.pump(link);
                Ok(())
            }
            State::Offered(_) => Err(CloseCode::BadCursor),
            State::Idle
            | State::Reading
            | State::ComparingRoots
            | State::Describing(_)
            | State::Described(..)
            | State::Locating
            | State::Answering { .. } => Err(CloseCode::Unexpected),
        }
    }

    /// The store has answered.
    pub fn on_answer(&mut self, answer: Answer, link: &mut Link<'_>) -> Result<(), CloseCode> {
        match (std::mem::replace(&mut self.state, State::Idle), answer) {
            (State::Reading, Answer::Page(page)) => self.offer(page, link),
            (State::ComparingRoots, Answer::Diverging(divergence)) => {
                let comparing = self.comparing.as_mut().ok_or(CloseCode::Internal)?;
                comparing.begin(divergence);
                self.pump(link);
                Ok(())
            }
            (State::Describing(asked), Answer::Described(described)) => {
                let comparing = self.comparing.as_mut().ok_or(CloseCode::Internal)?;
                comparing.undescribed(asked, &described);
                if described.is_empty() {
                    self.pump(link);
                } else {
                    link.send(Message::Compare(described.clone()));
                    self.state = State::Described(described, link.now);
                }
                Ok(())
            }
            (State::Locating, Answer::Located(entries, left)) => {
                let comparing = self.comparing.as_mut().ok_or(CloseCode::Internal)?;
                comparing.put_back(left);
                self.offer_found(entries, link)
            }
            (
                State::Answering { mut page, asked },
                Answer::Changes(Answered {
                    mut bundle,
                    answered,
                    more_after,
                }),
            ) => {
                let last = answered
                    .checked_sub(1)
                    .and_then(|last| asked.get(last))
                    .filter(|_| is_carried(&bundle))
                    .ok_or(CloseCode::Internal)?;
                page.answered_below = last + u32::from(more_after.is_none());
                page.sent_heads = more_after.unwrap_or_default();
                page.since = link.now;
                self.sent.leave_out_of(&mut bundle);
                for changes in split(page.up_to, bundle, page.answered_below) {
                    link.send(Message::Changes(changes));
                }
                self.state = State::Offered(page);
                Ok(())
            }
            _ => Err(CloseCode::Internal),
        }
    }

    /// Reads the next page when there is one and the neighbour is free.
    fn pump(&mut self, link: &mut Link<'_>) {
        #[cfg(test)]
        if link.out.offers_off {
            return;
        }
        if !matches!(self.state, State::Idle) {
            return;
        }
        if let Some(comparing) = &mut self.comparing {
            match comparing.next() {
                Next::Describe(ranges) => {
                    let asked = ranges.iter().map(|(range, _)| range.clone()).collect();
                    self.state = State::Describing(asked);
                    link.ask_to_offer(Request::Describe(comparing.nonce(), ranges));
                }
                Next::Locate(found) => {
                    self.state = State::Locating;
                    link.ask_to_offer(Request::Locate(comparing.nonce(), found));
                }
                Next::Wait => {}
                Next::End => {
                    let up_to = comparing.base;
                    self.comparing = None;
                    self.send_offer(
                        FeedPage {
                            entries: Vec::new(),
                            up_to,
                        },
                        link,
                    );
                }
            }
        } else if self.acked.up_to < self.due {
            link.ask_to_offer(Request::Page(self.acked.up_to, self.interest.clone()));
            self.state = State::Reading;
        }
    }

    /// Offers documents that were found. The cursor stays where it is until all of them are dealt with.
    fn offer_found(&mut self, entries: Vec<Offered>, link: &mut Link<'_>) -> Result<(), CloseCode> {
        if entries.len() > PAGE_ENTRIES_MAX {
            return Err(CloseCode::Internal);
        }
        if entries.is_empty() {
            self.pump(link); // what was found has changed since, so the feed leads to it
        } else {
            let up_to = self.acked.up_to;
            self.send_offer(FeedPage { entries, up_to }, link);
        }
        Ok(())
    }

    fn offer(&mut self, page: FeedPage, link: &mut Link<'_>) -> Result<(), CloseCode> {
        if page.entries.len() > PAGE_ENTRIES_MAX || page.up_to < self.acked.up_to {
            return Err(CloseCode::Internal);
        }
        if page.up_to == self.acked.up_to {
            // Nothing there after all; the next commit tries again.
            return Ok(());
        }
        self.send_offer(page, link);
        Ok(())
    }

    fn send_offer(&mut self, mut page: FeedPage, link: &mut Link<'_>) {
        for entry in &mut page.entries {
            if entry.heads.len() > HEADS_MAX {
                entry.heads.clear();
            }
        }
        link.out.feed_last = link.out.feed_last.max(page.up_to);
        self.offered = page.up_to;
        let documents = page
            .entries
            .iter()
            .map(|entry| entry.document.clone())
            .collect();
        self.state = State::Offered(Page {
            up_to: page.up_to,
            documents,
            answered_below: 0,
            sent_heads: Vec::new(),
            is_anew: false,
            since: link.now,
        });
        link.send(Message::Offer(page));
    }
}

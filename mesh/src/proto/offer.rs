//! Offering our feed to a neighbour: page by page, one at a time, and for each the changes it asks for.

use super::{
    event::{Effect, Millis, Timer},
    message::{CloseCode, Message, Wanted},
    parts::{SentCertificates, is_carried, split},
    request::{Answer, Request},
    session::{Link, is_overdue},
};
use crate::{
    limits::{HEADS_MAX, OFFER_DELAY_MS, PAGE_ENTRIES_MAX},
    replica::{Answered, ChangeHash, Cursor, DocumentKey, FeedPage, Interest, Sequence},
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
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The store is asked for the next page.
    Reading,
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
            state: State::Idle,
        };
        offering.pump(link);
        offering
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
            State::Idle | State::Reading | State::Answering { .. } => false,
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
            State::Idle | State::Reading | State::Answering { .. } => Err(CloseCode::Unexpected),
        }
    }

    /// The store has answered.
    pub fn on_answer(&mut self, answer: Answer, link: &mut Link<'_>) -> Result<(), CloseCode> {
        match (std::mem::replace(&mut self.state, State::Idle), answer) {
            (State::Reading, Answer::Page(page)) => self.offer(page, link),
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
        if matches!(self.state, State::Idle) && self.acked.up_to < self.due {
            link.ask_to_offer(Request::Page(self.acked.up_to, self.interest.clone()));
            self.state = State::Reading;
        }
    }

    fn offer(&mut self, mut page: FeedPage, link: &mut Link<'_>) -> Result<(), CloseCode> {
        if page.entries.len() > PAGE_ENTRIES_MAX || page.up_to < self.acked.up_to {
            return Err(CloseCode::Internal);
        }
        if page.up_to == self.acked.up_to {
            // Nothing there after all; the next commit tries again.
            return Ok(());
        }
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
        Ok(())
    }
}

//! The sync session of one neighbour: greeting, then both directions side by side. `Follow` is the
//! direction in which we take in its feed, `Offering` the one in which it takes in ours.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    event::{Effect, Millis, Note},
    follow::Follow,
    message::{Comparison, Message},
    offer::Offering,
    request::{Request, RequestId},
};
use crate::{
    limits::{ANSWER_TIMEOUT_MS, RENEWALS_MAX, RENEWALS_WINDOW_MS},
    replica::{CollectionName, Cursor, Interest, PeerKey, Sequence},
};

/// How far two neighbours have brought each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// Up to where this peer has taken in the neighbour's feed.
    pub cursor: Sequence,
    /// The last sequence number of the neighbour's feed that this peer has heard of.
    pub their_last: Sequence,
    /// Up to where this peer's feed was offered to the neighbour.
    pub offered: Sequence,
    /// Up to where the neighbour has acknowledged it.
    pub acked: Sequence,
    /// The last sequence number of this peer's feed.
    pub own_last: Sequence,
    /// Up to where the neighbour has left nothing out of what it acknowledged.
    pub whole_to: Sequence,
    /// Whether the neighbour takes in all collections, so that it holds all up to `whole_to`.
    pub whole: bool,
}

impl SyncStatus {
    /// Whether each has all the other is known to offer.
    pub fn is_current(&self) -> bool {
        self.cursor >= self.their_last && self.acked >= self.own_last
    }
}

/// Why a request was made: whose answer it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Follow(PeerKey, u64),
    Offering(PeerKey, u64),
    Floods,
}

/// Collects effects and remembers open requests.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub effects: Vec<Effect>,
    next_request: u64,
    pending: BTreeMap<RequestId, Purpose>,
    /// The last sequence number of the own feed, as far as the core has heard.
    pub feed_last: Sequence,
    /// Switches repair off, to show that the tests notice.
    #[cfg(test)]
    pub offers_off: bool,
}

impl Outbox {
    /// An empty outbox of a peer whose feed stands at a position.
    pub fn new(feed_last: Sequence) -> Self {
        Self {
            feed_last,
            ..Self::default()
        }
    }

    pub fn ask(&mut self, purpose: Purpose, request: Request) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.pending.insert(id, purpose);
        self.effects.push(Effect::Ask(id, request));
    }

    /// The purpose of a request, once.
    pub fn purpose_of(&mut self, id: RequestId) -> Option<Purpose> {
        self.pending.remove(&id)
    }

    /// How many requests of a peer's sessions, past ones too, are not answered yet.
    pub fn requests_of(&self, peer: &PeerKey) -> usize {
        let of_peer = |purpose: &&Purpose| match purpose {
            Purpose::Follow(other, _) | Purpose::Offering(other, _) => other == peer,
            Purpose::Floods => false,
        };
        self.pending.values().filter(of_peer).count()
    }

    pub fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }
}

/// What a direction of a session needs to act.
pub(super) struct Link<'a> {
    pub peer: &'a PeerKey,
    pub session: u64,
    pub now: Millis,
    pub out: &'a mut Outbox,
}

impl<'a> Link<'a> {
    pub fn new(peer: &'a PeerKey, session: u64, now: Millis, out: &'a mut Outbox) -> Self {
        Self {
            peer,
            session,
            now,
            out,
        }
    }

    pub fn send(&mut self, message: Message) {
        self.out
            .effects
            .push(Effect::Send(self.peer.clone(), message));
    }

    pub fn ask_to_follow(&mut self, request: Request) {
        self.out
            .ask(Purpose::Follow(self.peer.clone(), self.session), request);
    }

    pub fn ask_to_offer(&mut self, request: Request) {
        self.out
            .ask(Purpose::Offering(self.peer.clone(), self.session), request);
    }
}

/// Whether something awaited since a time should have come by now.
pub(super) fn is_overdue(since: Millis, now: Millis) -> bool {
    now.since(since).as_millis() >= u128::from(ANSWER_TIMEOUT_MS)
}

/// One neighbour's session.
#[derive(Debug)]
pub(super) struct Session {
    /// Tells this session's timers and answers from those of an earlier one with the same peer.
    pub number: u64,
    pub opened: Millis,
    /// The collections that need not be told to the neighbour: told already, or learnt from it.
    pub told: BTreeSet<CollectionName>,
    /// The certificates that the neighbour has shown lately.
    pub renewals: Renewals,
    /// What came of the neighbour's hello.
    pub greeted: Option<Greeted>,
}

/// How many certificates a neighbour has shown since a time: each costs verifications.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    since: Millis,
    count: u32,
}

impl Renewals {
    /// Counts one more; whether it is within what may be shown in [`RENEWALS_WINDOW_MS`].
    pub fn admit(&mut self, now: Millis) -> bool {
        if now.since(self.since).as_millis() >= u128::from(RENEWALS_WINDOW_MS) {
            *self = Self {
                since: now,
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count <= RENEWALS_MAX
    }
}

/// A session after the neighbour's hello.
#[derive(Debug)]
pub(super) struct Greeted {
    pub interest: Interest,
    /// What both sides want, in two parts.
    pub scope: Vec<Interest>,
    pub follow: Follow,
    /// Once the neighbour has asked for our feed.
    pub offering: Option<Offering>,
    /// Its wish to compare, until it is known whether we have it too.
    pub asked: Option<(Cursor, Comparison)>,
    /// Of two sides that both want to compare, the one with the lower feed id leads.
    pub is_leader: bool,
}

impl Greeted {
    /// What the two directions have for each other.
    pub fn settle(&mut self, link: &mut Link<'_>) {
        if self.asked.is_some() && (self.is_leader || self.follow.is_decided()) {
            let leads = self.follow.leads().filter(|_| !self.is_leader);
            if let Some((after, comparison)) = self.asked.take() {
                let (interest, scope) = (self.interest.clone(), self.scope.clone());
                let offering =
                    Offering::start_comparing(after, interest, scope, comparison, leads, link);
                self.offering = Some(offering);
            }
        }
        let Some(offering) = self.offering.as_mut() else {
            // Until the neighbour has said what it wants, what is found waits, and with it the neighbour.
            return;
        };
        let is_led = offering.is_led();
        let has_room = match self.follow.found() {
            Some(found) if is_led => offering.take_found(found, link),
            Some(found) => {
                found.clear();
                true
            }
            None => {
                if is_led {
                    offering.end_led(link);
                }
                false
            }
        };
        if has_room {
            self.follow.release(link);
        }
    }
}

impl Session {
    pub fn is_overdue(&self, now: Millis) -> bool {
        match &self.greeted {
            None => is_overdue(self.opened, now),
            Some(greeted) => {
                greeted.follow.is_overdue(now)
                    || greeted.offering.as_ref().is_some_and(|o| o.is_overdue(now))
            }
        }
    }

    pub fn status(&self, own_last: Sequence) -> Option<SyncStatus> {
        let greeted = self.greeted.as_ref()?;
        let (offered, acked) = greeted
            .offering
            .as_ref()
            .map_or_else(Default::default, Offering::position);
        let (cursor, their_last) = greeted.follow.position();
        Some(SyncStatus {
            cursor,
            their_last,
            offered,
            acked: acked.up_to,
            whole_to: acked.whole_to,
            own_last,
            whole: greeted.offering.as_ref().is_some_and(Offering::is_whole),
        })
    }
}

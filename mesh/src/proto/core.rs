//! The state machine of one peer: its sessions with neighbours, its floods, the collections it knows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    compare::Nonce,
    event::{Effect, Event, Millis, Note, Timer},
    flood::{self, Floods},
    follow::{Follow, WhenToCompare},
    message::{CloseCode, Hello, Message},
    offer::Offering,
    request::{Answer, RequestId},
    session::{Greeted, Link, Outbox, Purpose, Renewals, Session, SyncStatus},
};
use crate::{
    limits::{
        COLLECTIONS_MAX, COMPARE_FROM, REQUESTS_PER_SESSION_MAX, SESSIONS_MAX, WATCH_INTERVAL_MS,
    },
    replica::{CollectionName, Commit, FeedId, FeedPosition, Interest, Origin, PeerKey},
};

/// What a core must know of its peer.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The store's feed, as it stands.
    pub feed: FeedPosition,
    /// The collections of the store.
    pub collections: BTreeSet<CollectionName>,
    /// The collections the peer wants.
    pub interest: Interest,
    /// Random, or of a seeded generator: what neighbours can't foresee comes of it.
    pub seed: [u8; 32],
    /// How many feed entries behind its cursor this peer has stores compared instead.
    pub compare_from: u64,
}

impl CoreConfig {
    /// Of a peer that compares stores from [`COMPARE_FROM`] entries on.
    pub fn new(
        feed: FeedPosition,
        collections: BTreeSet<CollectionName>,
        interest: Interest,
        seed: [u8; 32],
    ) -> Self {
        Self {
            feed,
            collections,
            interest,
            seed,
            compare_from: COMPARE_FROM,
        }
    }
}

/// The sync protocol of one peer, without IO.
#[derive(Debug)]
pub struct Core {
    feed: FeedId,
    interest: Interest,
    seed: [u8; 32],
    compare_from: u64,
    /// Collections known by name, from the own store or from neighbours.
    known: BTreeSet<CollectionName>,
    sessions: BTreeMap<PeerKey, Session>,
    next_session: u64,
    floods: Floods,
    out: Outbox,
}

impl Core {
    /// A core without neighbours, and its first effects.
    pub fn new(config: CoreConfig) -> (Self, Vec<Effect>) {
        let CoreConfig {
            feed,
            collections,
            interest,
            seed,
            compare_from,
        } = config;
        let mut core = Self {
            feed: feed.id,
            interest,
            seed,
            compare_from,
            known: BTreeSet::new(),
            sessions: BTreeMap::new(),
            next_session: 0,
            floods: Floods::default(),
            out: Outbox::new(feed.last),
        };
        core.learn(collections);
        let effects = std::mem::take(&mut core.out.effects);
        (core, effects)
    }

    /// Takes in what happened at a time; returns what to do, in this order.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        match event {
            Event::Connected(peer) => self.connect(peer, now),
            Event::Disconnected(peer) => {
                self.sessions.remove(&peer);
            }
            Event::Received(peer, Message::Close(code)) => {
                if self.sessions.remove(&peer).is_some() {
                    self.out.effects.push(Effect::Closed(peer, code));
                }
            }
            Event::Received(peer, message) => {
                let result = self.receive(&peer, message, now);
                self.settle(&peer, now);
                self.end_if_failed(peer, result);
            }
            Event::Undecodable(peer, code) => self.end_if_failed(peer, Err(code)),
            Event::Flooded {
                source,
                id,
                collection,
                payload,
            } => {
                self.floods
                    .on_message(source, id, &collection, payload, &mut self.out);
            }
            Event::NotFlooded => self.offer(now, Offering::on_grown),
            Event::Committed(commit) => self.commit(commit, now),
            Event::Answered(request, answer) => self.answer(request, answer, now),
            Event::Timer(timer) => self.timer(timer, now),
        }
        std::mem::take(&mut self.out.effects)
    }

    /// How far the peer and a neighbour have brought each other, once they have greeted.
    pub fn status(&self, peer: &PeerKey) -> Option<SyncStatus> {
        self.sessions.get(peer)?.status(self.out.feed_last)
    }

    /// The collections known by name.
    pub fn collections(&self) -> &BTreeSet<CollectionName> {
        &self.known
    }

    /// Switches repair off, to show that the tests notice.
    #[cfg(test)]
    pub(crate) fn switch_offers_off(&mut self) {
        self.out.offers_off = true;
    }

    fn connect(&mut self, peer: PeerKey, now: Millis) {
        self.sessions.remove(&peer);
        // What past sessions asked for still occupies the store: a peer that begins ever new ones must wait for it.
        if self.sessions.len() >= SESSIONS_MAX
            || self.out.requests_of(&peer) > REQUESTS_PER_SESSION_MAX
        {
            self.out.effects.push(Effect::Close(peer, CloseCode::Busy));
            return;
        }
        let number = self.next_session;
        self.next_session += 1;
        let hello = Hello {
            feed: FeedPosition {
                id: self.feed,
                last: self.out.feed_last,
            },
            collections: self.known.clone(),
            interest: self.interest.clone(),
        };
        let session = Session {
            number,
            opened: now,
            told: self.known.clone(),
            renewals: Renewals::default(),
            greeted: None,
        };
        self.out
            .effects
            .push(Effect::Send(peer.clone(), Message::Hello(hello)));
        let timer = Timer::Watch(peer.clone(), number);
        self.out
            .effects
            .push(Effect::SetTimer(timer, now + WATCH_INTERVAL_MS));
        self.sessions.insert(peer, session);
    }

    fn receive(&mut self, peer: &PeerKey, message: Message, now: Millis) -> Result<(), CloseCode> {
        // A message that was under way when the session ended.
        let Some(session) = self.sessions.get_mut(peer) else {
            return Ok(());
        };
        let link = &mut Link::new(peer, session.number, now, &mut self.out);
        let Some(greeted) = &mut session.greeted else {
            return match message {
                Message::Hello(hello) => self.greet(peer, hello, now),
                Message::Follow { .. }
                | Message::Offer(_)
                | Message::Compare(_)
                | Message::Differing(_)
                | Message::Want { .. }
                | Message::Changes(_)
                | Message::Ack(_)
                | Message::Collections(_)
                | Message::Renewed(_)
                | Message::Close(_) => Err(CloseCode::Unexpected),
            };
        };
        match message {
            Message::Follow {
                feed,
                after,
                comparison,
            } => {
                if greeted.offering.is_some() || greeted.asked.is_some() {
                    return Err(CloseCode::Unexpected);
                }
                if feed != self.feed || after.up_to > link.out.feed_last {
                    return Err(CloseCode::BadCursor);
                }
                match comparison {
                    Some(comparison) => greeted.asked = Some((after, comparison)),
                    None => {
                        let interest = greeted.interest.clone();
                        greeted.offering = Some(Offering::start(after, interest, link));
                    }
                }
                Ok(())
            }
            Message::Compare(ranges) => greeted.follow.on_compare(ranges, link),
            Message::Differing(differs) => greeted
                .offering
                .as_mut()
                .ok_or(CloseCode::Unexpected)?
                .on_differing(differs, link),
            Message::Offer(page) => greeted.follow.on_offer(page, link),
            Message::Changes(changes) => greeted.follow.on_changes(changes, link),
            Message::Want {
                up_to,
                wants,
                certificates_anew,
            } => greeted
                .offering
                .as_mut()
                .ok_or(CloseCode::Unexpected)?
                .on_want(up_to, wants, certificates_anew, link),
            Message::Ack(cursor) => greeted
                .offering
                .as_mut()
                .ok_or(CloseCode::Unexpected)?
                .on_ack(cursor, link),
            Message::Collections(names) => {
                self.learn_from(peer, names);
                Ok(())
            }
            Message::Renewed(chain) => {
                if !session.renewals.admit(now) {
                    return Err(CloseCode::TooLarge);
                }
                let effect = Effect::Renewed(peer.clone(), chain);
                self.out.effects.push(effect);
                Ok(())
            }
            Message::Hello(_) | Message::Close(_) => Err(CloseCode::Unexpected),
        }
    }

    fn greet(&mut self, peer: &PeerKey, hello: Hello, now: Millis) -> Result<(), CloseCode> {
        if hello.feed.id == self.feed {
            return Err(CloseCode::SameFeed);
        }
        let Some(session) = self.sessions.get_mut(peer) else {
            return Ok(());
        };
        let link = &mut Link::new(peer, session.number, now, &mut self.out);
        let when = WhenToCompare {
            from: self.compare_from,
            nonce: nonce(&self.seed, session.number),
        };
        let scope = vec![self.interest.clone(), hello.interest.clone()];
        let follow = Follow::start(hello.feed, self.interest.clone(), scope.clone(), when, link);
        session.greeted = Some(Greeted {
            interest: hello.interest,
            scope,
            follow,
            offering: None,
            asked: None,
            is_leader: self.feed < hello.feed.id,
        });
        self.learn_from(peer, hello.collections);
        self.tell();
        Ok(())
    }

    fn commit(&mut self, commit: Commit, now: Millis) {
        self.out.feed_last = self.out.feed_last.max(commit.last_sequence);
        if std::mem::replace(&mut self.feed, commit.feed) != commit.feed {
            let ended = std::mem::take(&mut self.sessions).into_keys();
            let close = |peer| Effect::Close(peer, CloseCode::Goodbye);
            self.out.effects.extend(ended.map(close));
        }
        let source = match &commit.origin {
            Origin::Sync(peer) => Some(peer),
            Origin::Local | Origin::Flood => None,
        };
        // Gossip forwards by itself what came by gossip; and nobody needs to hear what only its source can.
        let floods = match commit.origin {
            Origin::Flood => Vec::new(),
            Origin::Local | Origin::Sync(_) => flood::messages(&commit),
        };
        let delayed = commit.origin == Origin::Flood || !floods.is_empty();
        let has_audience = self.sessions.keys().any(|peer| Some(peer) != source);
        self.learn(commit.collections);
        if has_audience {
            self.out.effects.extend(
                floods
                    .into_iter()
                    .map(|(name, payload)| Effect::Publish(name, payload)),
            );
        }
        self.offer(
            now,
            if delayed {
                Offering::on_flooded
            } else {
                Offering::on_grown
            },
        );
    }

    /// Tells every session that takes in our feed that it has grown.
    fn offer(&mut self, now: Millis, tell: fn(&mut Offering, &mut Link<'_>)) {
        for (peer, session) in &mut self.sessions {
            let Some(offering) = session.greeted.as_mut().and_then(|it| it.offering.as_mut())
            else {
                continue;
            };
            tell(
                offering,
                &mut Link::new(peer, session.number, now, &mut self.out),
            );
        }
    }

    fn answer(&mut self, request: RequestId, answer: Answer, now: Millis) {
        let Some(purpose) = self.out.purpose_of(request) else {
            return;
        };
        if let Answer::Failed { reason } = &answer {
            self.out.note(Note::StoreFailed {
                reason: reason.clone(),
            });
        }
        match purpose {
            Purpose::Floods => self.floods.on_answer(answer, &mut self.out),
            Purpose::Follow(peer, number) => {
                let result = self.with_session(&peer, number, now, |greeted, link| {
                    if matches!(answer, Answer::Failed { .. }) {
                        return Err(CloseCode::Internal);
                    }
                    greeted.follow.on_answer(answer, link)
                });
                self.settle(&peer, now);
                self.end_if_failed(peer, result);
            }
            Purpose::Offering(peer, number) => {
                let result = self.with_session(&peer, number, now, |greeted, link| {
                    match &mut greeted.offering {
                        Some(offering) if !matches!(answer, Answer::Failed { .. }) => {
                            offering.on_answer(answer, link)
                        }
                        _ => Err(CloseCode::Internal),
                    }
                });
                self.settle(&peer, now);
                self.end_if_failed(peer, result);
            }
        }
    }

    fn timer(&mut self, timer: Timer, now: Millis) {
        match timer {
            Timer::Offer(peer, number) => {
                let result = self.with_session(&peer, number, now, |greeted, link| {
                    if let Some(offering) = &mut greeted.offering {
                        offering.on_timer(link);
                    }
                    Ok(())
                });
                self.end_if_failed(peer, result);
            }
            Timer::Watch(peer, number) => match self.sessions.get(&peer) {
                Some(session) if session.number == number && session.is_overdue(now) => {
                    self.end_if_failed(peer, Err(CloseCode::Timeout));
                }
                Some(session) if session.number == number => {
                    let timer = Timer::Watch(peer, number);
                    self.out
                        .effects
                        .push(Effect::SetTimer(timer, now + WATCH_INTERVAL_MS));
                }
                _ => {}
            },
        }
    }

    /// Acts on a greeted session, unless it has ended or been replaced since.
    fn with_session(
        &mut self,
        peer: &PeerKey,
        number: u64,
        now: Millis,
        act: impl FnOnce(&mut Greeted, &mut Link<'_>) -> Result<(), CloseCode>,
    ) -> Result<(), CloseCode> {
        let session = self
            .sessions
            .get_mut(peer)
            .filter(|session| session.number == number);
        let Some(greeted) = session.and_then(|session| session.greeted.as_mut()) else {
            return Ok(());
        };
        act(greeted, &mut Link::new(peer, number, now, &mut self.out))
    }

    /// Lets the directions of a session have what they found for each other.
    fn settle(&mut self, peer: &PeerKey, now: Millis) {
        if let Some(session) = self.sessions.get_mut(peer)
            && let Some(greeted) = &mut session.greeted
        {
            greeted.settle(&mut Link::new(peer, session.number, now, &mut self.out));
        }
    }

    fn end_if_failed(&mut self, peer: PeerKey, result: Result<(), CloseCode>) {
        if let Err(code) = result
            && self.sessions.remove(&peer).is_some()
        {
            self.out.effects.push(Effect::Close(peer, code));
        }
    }

    /// A neighbour knows these collections; those we want become ours to know.
    fn learn_from(&mut self, peer: &PeerKey, names: BTreeSet<CollectionName>) {
        let wanted: BTreeSet<_> = names
            .into_iter()
            .filter(|name| self.interest.includes(name))
            .collect();
        if let Some(session) = self.sessions.get_mut(peer) {
            // Bounded by what can become known.
            let room = COLLECTIONS_MAX.saturating_sub(session.told.len());
            session.told.extend(wanted.iter().take(room).cloned());
        }
        self.learn(wanted);
    }

    /// Subscribes to new collections and passes their names on.
    fn learn(&mut self, names: BTreeSet<CollectionName>) {
        let mut any = false;
        for name in names {
            if self.known.contains(&name) {
                continue;
            }
            if self.known.len() >= COLLECTIONS_MAX {
                self.out.note(Note::TooManyCollections { collection: name });
                continue;
            }
            if self.interest.includes(&name) {
                self.out.effects.push(Effect::Subscribe(name.clone()));
            }
            self.known.insert(name);
            any = true;
        }
        if any {
            self.tell();
        }
    }

    /// Tells every greeted neighbour the collections of its interest that it may not have heard of.
    fn tell(&mut self) {
        for (peer, session) in &mut self.sessions {
            let Some(greeted) = &session.greeted else {
                continue;
            };
            let news: BTreeSet<_> = self
                .known
                .iter()
                .filter(|name| greeted.interest.includes(name) && !session.told.contains(name))
                .cloned()
                .collect();
            if !news.is_empty() {
                session.told.extend(news.iter().cloned());
                self.out
                    .effects
                    .push(Effect::Send(peer.clone(), Message::Collections(news)));
            }
        }
    }
}

/// The nonce of a session.
fn nonce(seed: &[u8; 32], session: u64) -> Nonce {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(&session.to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    Nonce([a, b, c, d, e, f, g, h])
}

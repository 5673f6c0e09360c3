//! A core whose one neighbour says what the test chooses, and short forms of what it may say.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use super::fixtures::{collection, document, peer};
use crate::{
    memory::MemoryReplica,
    proto::{
        Answer, Changes, CloseCode, Core, CoreConfig, Effect, Event, Hello, Message, Millis, Piece,
        Request, Verdict, Wanted, execute,
    },
    replica::{
        Bundle, ChangeHash, ChangesLimits, Cursor, DocumentKey, FeedId, FeedPage, FeedPosition,
        IngestOutcome, Interest, Offered, PartLimits, Replica, Sequence,
    },
};

pub const OWN_FEED: FeedId = FeedId([1; 16]);
pub const THEIR_FEED: FeedId = FeedId([2; 16]);

/// A core with a store of three documents, and a neighbour whose words the test chooses.
pub struct Victim {
    pub core: Core,
    pub replica: Arc<MemoryReplica>,
    pub now: Millis,
    pub said: Vec<Message>,
    pub closed: Option<CloseCode>,
    pub judged: Vec<Verdict>,
    /// What the store said of what it took in last.
    pub outcomes: Option<Vec<IngestOutcome>>,
    /// What the test answers in the store's place.
    pub answers: Option<fn(&Request) -> Option<Answer>>,
}

impl Victim {
    pub fn new() -> Self {
        let replica = Arc::new(MemoryReplica::new(OWN_FEED));
        replica.write(
            (0..3)
                .map(|id| (document("cars", id), Bytes::from_static(b"mine")))
                .collect(),
        );
        let config = CoreConfig::new(
            replica.feed().unwrap(),
            replica.collections().unwrap(),
            Interest::Collections(BTreeSet::from([collection("cars")])),
            [7; 32],
        );
        let (said, judged) = Default::default();
        let mut victim = Self {
            core: Core::new(config).0,
            replica,
            now: Millis(0),
            said,
            closed: None,
            judged,
            outcomes: None,
            answers: None,
        };
        victim.feed(Event::Connected(peer(9)));
        victim
    }

    pub fn greeted() -> Self {
        Self::greeted_by(THEIR_FEED, 100)
    }

    pub fn greeted_by(feed: FeedId, last: u64) -> Self {
        let mut victim = Self::new();
        victim.hear(hello(feed, last));
        victim
    }

    /// A victim that has asked for the changes of one offered document.
    pub fn fetching() -> Self {
        let mut victim = Self::greeted();
        victim.hear(offer(10, vec![offered("cars", 77), offered("cars", 78)]));
        assert!(matches!(victim.said.last(), Some(Message::Want { .. })));
        victim
    }

    /// A victim that has offered its three documents.
    pub fn offering() -> Self {
        let mut victim = Self::greeted();
        victim.hear(follow(OWN_FEED, 0));
        assert!(matches!(victim.said.last(), Some(Message::Offer(_))));
        victim
    }

    pub fn hear(&mut self, message: Message) -> &mut Self {
        self.feed(Event::Received(peer(9), message));
        self
    }

    pub fn feed(&mut self, event: Event) {
        for effect in self.core.handle(event, self.now) {
            match effect {
                Effect::Send(_, message) => self.said.push(message),
                Effect::Close(_, code) => self.closed = Some(code),
                Effect::Judge { verdict, .. } => self.judged.push(verdict),
                Effect::Ask(id, request) => {
                    let answer = self.answers.and_then(|answers| answers(&request));
                    let answer = answer.unwrap_or_else(|| execute(&*self.replica, request));
                    if let Answer::Ingested(outcomes) = &answer {
                        self.outcomes = Some(outcomes.clone());
                    }
                    self.feed(Event::Answered(id, answer));
                }
                _ => {}
            }
        }
    }
}

pub fn hello(id: FeedId, last: u64) -> Message {
    let feed = FeedPosition {
        id,
        last: Sequence(last),
    };
    Message::Hello(Hello {
        feed,
        collections: BTreeSet::new(),
        interest: Interest::Everything,
    })
}

pub fn offered(name: &str, id: u64) -> Offered {
    Offered {
        document: document(name, id),
        heads: vec![ChangeHash([id as u8; 32])],
    }
}

pub fn offer(up_to: u64, entries: Vec<Offered>) -> Message {
    Message::Offer(FeedPage {
        entries,
        up_to: Sequence(up_to),
    })
}

pub fn want(up_to: u64, indexes: &[u32]) -> Message {
    let wants = indexes.iter().map(|index| Wanted {
        index: *index,
        have_heads: vec![ChangeHash([9; 32]); 3],
    });
    Message::Want {
        up_to: Sequence(up_to),
        wants: wants.collect(),
        certificates_anew: false,
    }
}

/// A want that lets no certificate count as sent.
pub fn want_anew(up_to: u64, indexes: &[u32]) -> Message {
    match want(up_to, indexes) {
        Message::Want { up_to, wants, .. } => Message::Want {
            up_to,
            wants,
            certificates_anew: true,
        },
        other => other,
    }
}

pub fn changes(up_to: u64, pieces: Vec<Piece>, answered_below: Option<u32>) -> Message {
    Message::Changes(Changes {
        pieces,
        answered_below,
        ..Changes::empty(Sequence(up_to))
    })
}

/// The answer that brings this bundle.
pub fn proven(up_to: u64, bundle: Bundle, answered_below: u32) -> Message {
    let pieces = bundle.deltas.into_iter().map(|delta| Piece {
        document: delta.document,
        payload: delta.payload,
        more: false,
    });
    Message::Changes(Changes {
        up_to: Sequence(up_to),
        certificates: bundle.certificates,
        seals: bundle.seals,
        pieces: pieces.collect(),
        answered_below: Some(answered_below),
    })
}

pub fn piece(document: DocumentKey, bytes: usize, more: bool) -> Piece {
    Piece {
        document,
        payload: Bytes::from(vec![0; bytes]),
        more,
    }
}

pub fn ack(up_to: u64) -> Message {
    Message::Ack(Cursor::whole(Sequence(up_to)))
}

/// An acknowledgement of who has left something out since the feed's beginning.
pub fn ack_of_a_part(up_to: u64) -> Message {
    Message::Ack(Cursor {
        up_to: Sequence(up_to),
        whole_to: Sequence(0),
    })
}

pub fn follow(feed: FeedId, after: u64) -> Message {
    Message::Follow {
        feed,
        after: Cursor::whole(Sequence(after)),
        comparison: None,
    }
}

/// Another peer's changes of a document, proven: its first, and its second, which builds on that.
pub fn two_changes(document: DocumentKey) -> [Bundle; 2] {
    let other = MemoryReplica::new(THEIR_FEED);
    let limits = ChangesLimits {
        answer_bytes_max: 1 << 20,
        part: PartLimits {
            delta_bytes_max: 1 << 20,
            evidence_bytes_max: 1 << 20,
        },
    };
    let mut heads = Vec::new();
    [&b"first"[..], b"second"].map(|content| {
        other.write(vec![(document.clone(), Bytes::from_static(content))]);
        let wants = [(document.clone(), heads.clone())];
        let answer = other.changes(&wants, limits).unwrap();
        heads.extend(other.contents().remove(&document).unwrap());
        answer.bundle
    })
}

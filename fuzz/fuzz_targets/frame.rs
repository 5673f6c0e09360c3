//! Sync frames and flooded messages from any peer: what decodes encodes to an equal message, and a core takes it in
//! without a panic.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sedge_fuzz::{Guarded, guarded};
use sedge_mesh::{
    ChangeHash, CollectionName, Core, CoreConfig, DocumentKey, Effect, Event, FeedId, FeedPage,
    FeedPosition, FloodId, Hello, Interest, MemoryReplica, Message, Millis, Offered, PeerKey,
    Sequence, decode_frame, encode_frame, execute,
};
use std::collections::{BTreeSet, VecDeque};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a frame may take, beside its own copies: 1,032 entries of a list, of a few hundred bytes each.
const BYTES_MAX: usize = 8 << 20;

/// Effects that one message may set off, each request's answer included.
const EFFECTS_MAX: usize = 10_000;

/// Bytes of a frame's length.
const PREFIX_BYTES: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let body = Bytes::copy_from_slice(bytes);
    guarded(BYTES_MAX + bytes.len() * 16, || {
        flood(body.clone());
        let Ok(message) = decode_frame(body) else {
            return;
        };
        let frame = encode_frame(&message);
        let again = decode_frame(frame.slice(PREFIX_BYTES..));
        assert!(
            again.as_ref() == Ok(&message),
            "{message:?} reads as {again:?}"
        );
        receive(message);
    });
});

/// Hands the message to a core that knows its sender: as a greeting, behind one, and where changes are awaited.
fn receive(message: Message) {
    for before in 0..=2 {
        let mut peer = Peer::new();
        peer.run(Event::Connected(neighbour()));
        for earlier in [Message::Hello(greeting()), Message::Offer(offer())]
            .into_iter()
            .take(before)
        {
            peer.run(Event::Received(neighbour(), earlier));
        }
        peer.run(Event::Received(neighbour(), message.clone()));
    }
}

/// Hands the bytes to a core as the content of a flooded message.
fn flood(payload: Bytes) {
    let id = FloodId::of(&payload);
    let event = Event::Flooded {
        source: neighbour(),
        id,
        collection: collection(),
        payload,
    };
    Peer::new().run(event);
}

fn neighbour() -> PeerKey {
    PeerKey::new(b"neighbour")
}

fn collection() -> CollectionName {
    CollectionName::new("c").expect("the name is short")
}

/// Two documents that the core does not have.
fn offer() -> FeedPage {
    let offered = |id: &'static str| Offered {
        document: DocumentKey::new(collection(), id).expect("the id is short"),
        heads: vec![ChangeHash([1; 32])],
    };
    FeedPage {
        entries: vec![offered("\"1\""), offered("\"2\"")],
        up_to: Sequence(9),
    }
}

fn greeting() -> Hello {
    Hello {
        feed: FeedPosition {
            id: FeedId([7; 16]),
            last: Sequence(9),
        },
        collections: BTreeSet::from([collection()]),
        interest: Interest::Everything,
    }
}

/// A core and its replica, whose requests are carried out at once.
struct Peer {
    core: Core,
    replica: MemoryReplica,
}

impl Peer {
    fn new() -> Self {
        let feed = FeedPosition {
            id: FeedId([1; 16]),
            last: Sequence(0),
        };
        let (core, _) = Core::new(CoreConfig::new(
            feed,
            BTreeSet::new(),
            Interest::Everything,
            [7; 32],
        ));
        Self {
            core,
            replica: MemoryReplica::new(feed.id),
        }
    }

    fn run(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut effects = 0;
        while let Some(event) = events.pop_front() {
            for effect in self.core.handle(event, Millis(1)) {
                effects += 1;
                assert!(
                    effects <= EFFECTS_MAX,
                    "one message sets off more than {EFFECTS_MAX} effects"
                );
                if let Effect::Ask(id, request) = effect {
                    events.push_back(Event::Answered(id, execute(&self.replica, request)));
                }
            }
        }
    }
}

//! Goal: among neighbours that are slow, lie, are silent, leave, come back, or have a part only, a fetch ends; with the exact
//! bytes whenever honest neighbours that stay have all chunks together; and its bounds hold at every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::{collection::vec, prelude::*};

use crate::{
    blob::{
        Blob, BlobAnswer, BlobRequest, Chunk, ChunkSet, Fetch, FetchEffect, FetchEvent,
        FetchFailure, Taken,
    },
    limits::{BLOB_CHUNK_BYTES, FETCH_CHUNKS_MAX, FETCH_CHUNKS_PER_PEER_MAX},
    proto::Millis,
    replica::PeerKey,
};

const WAIT_MS: u64 = 30_000;

#[derive(Clone, Debug)]
enum Manner {
    /// Gives what it has, this many ms apart.
    Honest { pause_ms: u64 },
    /// As an honest one, but its streams break after so many answers.
    Breaking { answers: u32 },
    /// As an honest one, but it leaves and comes back, so many ms each.
    Fleeting { period_ms: u64 },
    /// Promises all and gives nothing.
    Silent,
    /// Gives other bytes.
    Lying,
    /// Answers with the wrong kind of answer.
    Confused,
    /// Promises what it doesn't have.
    Boasting,
}

#[derive(Clone, Debug)]
struct Settings {
    chunks: u64,
    here: BTreeSet<u64>,
    peers: Vec<(Manner, BTreeSet<u64>)>,
    check_ms: u64,
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        4 => prop_oneof![Just(1_u64), 1..200_u64, Just(9_000)]
            .prop_map(|pause_ms| Manner::Honest { pause_ms }),
        1 => (1_u32..20).prop_map(|answers| Manner::Breaking { answers }),
        1 => (50_u64..20_000).prop_map(|period_ms| Manner::Fleeting { period_ms }),
        1 => Just(Manner::Silent),
        1 => Just(Manner::Lying),
        1 => Just(Manner::Confused),
        1 => Just(Manner::Boasting),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (1_u64..120).prop_flat_map(|chunks| {
        let some = move || {
            prop_oneof![
                Just((0..chunks).collect::<BTreeSet<_>>()),
                proptest::collection::btree_set(0..chunks, 0..=chunks as usize),
            ]
        };
        let here = proptest::collection::btree_set(0..chunks, 0..=(chunks / 2) as usize);
        let peers = vec((manner(), some()), 0..8);
        (here, peers, 0_u64..50).prop_map(move |(here, peers, check_ms)| Settings {
            chunks,
            here,
            peers,
            check_ms,
        })
    })
}

/// What the world does, and when.
#[derive(Debug)]
enum Due {
    /// A peer answers its next request; the number is its stream's.
    Answer(usize, u32),
    /// The store has looked at a chunk; whether it is right.
    Checked(u64, bool),
    Leaves(usize),
    Comes(usize),
}

struct Peer {
    manner: Manner,
    has: BTreeSet<u64>,
    requests: VecDeque<BlobRequest>,
    stream: u32,
    answered: u32,
    is_connected: bool,
    is_banned: bool,
}

struct World {
    chunks: u64,
    check_ms: u64,
    now: u64,
    due: BTreeMap<(u64, u64), Due>,
    next: u64,
    peers: Vec<Peer>,
    here: BTreeSet<u64>,
    checking: BTreeSet<u64>,
    ended: Option<Result<(), FetchFailure>>,
}

fn key(peer: usize) -> PeerKey {
    PeerKey::new(&[peer as u8])
}

fn number(peer: &PeerKey) -> usize {
    peer.as_bytes()[0].into()
}

fn bytes_of(index: u64) -> Vec<u8> {
    index.to_le_bytes().to_vec()
}

impl World {
    fn new(settings: &Settings) -> Self {
        let peers = settings.peers.iter().map(|(manner, has)| Peer {
            manner: manner.clone(),
            has: has.clone(),
            requests: VecDeque::new(),
            stream: 0,
            answered: 0,
            is_connected: true,
            is_banned: false,
        });
        Self {
            chunks: settings.chunks,
            check_ms: settings.check_ms,
            now: 0,
            due: BTreeMap::new(),
            next: 0,
            peers: peers.collect(),
            here: settings.here.clone(),
            checking: BTreeSet::new(),
            ended: None,
        }
    }

    fn later(&mut self, after_ms: u64, due: Due) {
        self.due.insert((self.now + after_ms, self.next), due);
        self.next += 1;
    }

    fn set(&self, members: &BTreeSet<u64>) -> ChunkSet {
        let mut set = ChunkSet::none(self.chunks);
        members.iter().for_each(|index| set.add(*index));
        set
    }

    fn run(&mut self, settings: &Settings) {
        let blob = Blob {
            id: [1; 32],
            len: self.chunks * BLOB_CHUNK_BYTES as u64,
        };
        let here = self.set(&self.here);
        let (mut fetch, effects) = Fetch::new(blob, here, WAIT_MS, Millis(0));
        self.carry_out(effects);
        for peer in 0..settings.peers.len() {
            if let Manner::Fleeting { period_ms } = settings.peers[peer].0 {
                self.later(period_ms, Due::Leaves(peer));
            }
            self.feed(&mut fetch, FetchEvent::Connected(key(peer)));
        }
        for _ in 0..1_000_000 {
            if self.ended.is_some() {
                return;
            }
            let wake = fetch.wake_at(Millis(self.now));
            let due = self.due.first_key_value().map(|((at, _), _)| *at);
            match (due, wake) {
                (Some(due), wake) if wake.is_none_or(|wake| due <= wake.0) => {
                    let ((at, _), due) = self.due.pop_first().unwrap();
                    self.now = at;
                    self.happen(&mut fetch, due);
                }
                (_, Some(wake)) => {
                    assert!(wake.0 > self.now, "it would never sleep");
                    self.now = wake.0;
                    self.feed(&mut fetch, FetchEvent::Tick);
                }
                (_, None) => panic!("it has not ended and waits for nothing"),
            }
        }
        panic!("it does not end");
    }

    fn happen(&mut self, fetch: &mut Fetch, due: Due) {
        match due {
            Due::Answer(peer, stream) => self.answer(fetch, peer, stream),
            Due::Checked(index, is_right) => {
                self.checking.remove(&index);
                if is_right {
                    self.here.insert(index);
                }
                let taken = match (is_right, self.here.len() as u64 == self.chunks) {
                    (true, true) => Taken::Whole,
                    (true, false) => Taken::Kept,
                    (false, _) => Taken::Wrong {
                        reason: "other bytes".to_owned(),
                    },
                };
                self.feed(fetch, FetchEvent::Checked(index, Ok(taken)));
            }
            Due::Leaves(peer) => {
                self.break_stream(peer);
                self.peers[peer].is_connected = false;
                self.later(500, Due::Comes(peer));
                self.feed(fetch, FetchEvent::Disconnected(key(peer)));
            }
            Due::Comes(peer) => {
                self.peers[peer].is_connected = true;
                if let Manner::Fleeting { period_ms } = self.peers[peer].manner {
                    self.later(period_ms, Due::Leaves(peer));
                }
                self.feed(fetch, FetchEvent::Connected(key(peer)));
            }
        }
    }

    fn break_stream(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.requests.clear();
        peer.stream += 1;
        peer.answered = 0;
    }

    fn answer(&mut self, fetch: &mut Fetch, number: usize, stream: u32) {
        let chunks = self.chunks;
        let peer = &mut self.peers[number];
        if peer.stream != stream {
            return;
        }
        if matches!(peer.manner, Manner::Breaking { answers } if peer.answered >= answers) {
            self.break_stream(number);
            return self.feed(fetch, FetchEvent::Failed(key(number)));
        }
        let is_get = matches!(peer.requests.front(), Some(BlobRequest::Get(_)));
        if is_get && matches!(peer.manner, Manner::Silent) {
            return;
        }
        peer.answered += 1;
        let Some(request) = peer.requests.pop_front() else {
            return;
        };
        if !peer.requests.is_empty() {
            let pause_ms = pause_ms(&peer.manner);
            self.later(pause_ms, Due::Answer(number, stream));
        }
        let peer = &self.peers[number];
        let promises_all = !matches!(
            peer.manner,
            Manner::Honest { .. } | Manner::Breaking { .. } | Manner::Fleeting { .. }
        );
        let answer = match request {
            BlobRequest::Ask(_) if promises_all => BlobAnswer::Held(ChunkSet::all(chunks).encode()),
            BlobRequest::Ask(_) => match peer.has.is_empty() {
                true => BlobAnswer::NotHere,
                false => BlobAnswer::Held(self.set(&peer.has).encode()),
            },
            BlobRequest::Get(_) if matches!(peer.manner, Manner::Confused) => {
                BlobAnswer::Held(ChunkSet::all(chunks).encode())
            }
            BlobRequest::Get(index) if matches!(peer.manner, Manner::Lying) => {
                let chunk = Chunk {
                    bytes: bytes_of(index + 1).into(),
                    proof: Default::default(),
                };
                BlobAnswer::Chunk(index, chunk)
            }
            BlobRequest::Get(index) if peer.has.contains(&index) => {
                let chunk = Chunk {
                    bytes: bytes_of(index).into(),
                    proof: Default::default(),
                };
                BlobAnswer::Chunk(index, chunk)
            }
            BlobRequest::Get(_) => BlobAnswer::NotHere,
        };
        self.feed(fetch, FetchEvent::Answered(key(number), answer));
    }

    fn feed(&mut self, fetch: &mut Fetch, event: FetchEvent) {
        let effects = fetch.handle(event, Millis(self.now));
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<FetchEffect>) {
        for effect in effects {
            assert_eq!(self.ended, None, "nothing after the end");
            match effect {
                FetchEffect::Send(peer, request) => self.send(number(&peer), request),
                FetchEffect::Close(peer) => self.break_stream(number(&peer)),
                FetchEffect::Ban(peer, _) => {
                    let peer = &mut self.peers[number(&peer)];
                    assert!(
                        matches!(peer.manner, Manner::Lying | Manner::Confused),
                        "{:?} is honest enough",
                        peer.manner
                    );
                    peer.is_banned = true;
                }
                FetchEffect::Check(index, chunk) => self.check(index, &chunk),
                FetchEffect::Look => panic!("nothing is removed here"),
                FetchEffect::Progress(progress) => {
                    assert_eq!(
                        progress.bytes,
                        self.here.len() as u64 * BLOB_CHUNK_BYTES as u64
                    );
                }
                FetchEffect::End(outcome) => self.ended = Some(outcome),
            }
        }
        let owed = self.peers.iter().flat_map(|peer| &peer.requests);
        let owed = owed.filter(|request| matches!(request, BlobRequest::Get(_)));
        assert!(owed.count() + self.checking.len() <= FETCH_CHUNKS_MAX);
    }

    /// The chunks that somebody owes.
    fn owed(&self) -> BTreeSet<u64> {
        let requests = self.peers.iter().flat_map(|peer| &peer.requests);
        let index = |request: &BlobRequest| match request {
            BlobRequest::Get(index) => Some(*index),
            BlobRequest::Ask(_) => None,
        };
        requests.filter_map(index).collect()
    }

    fn send(&mut self, number: usize, request: BlobRequest) {
        if let BlobRequest::Get(index) = request {
            let owed = self.owed();
            assert!(!self.here.contains(&index) && !self.checking.contains(&index));
            if owed.contains(&index) {
                let known = |index| {
                    self.here.contains(&index)
                        || self.checking.contains(&index)
                        || owed.contains(&index)
                };
                assert!((0..self.chunks).all(known), "twice before the end");
            }
        }
        let peer = &mut self.peers[number];
        assert!(peer.is_connected && !peer.is_banned);
        peer.requests.push_back(request);
        assert!(peer.requests.len() <= FETCH_CHUNKS_PER_PEER_MAX + 1);
        if peer.requests.len() == 1 {
            let (pause_ms, stream) = (pause_ms(&peer.manner), peer.stream);
            self.later(pause_ms, Due::Answer(number, stream));
        }
    }

    fn check(&mut self, index: u64, chunk: &Chunk) {
        assert!(
            self.checking.insert(index),
            "one chunk is checked once at a time"
        );
        let check_ms = self.check_ms;
        self.later(
            check_ms,
            Due::Checked(index, chunk.bytes == bytes_of(index)),
        );
    }
}

fn pause_ms(manner: &Manner) -> u64 {
    match manner {
        Manner::Honest { pause_ms } => *pause_ms,
        _ => 20,
    }
}

/// What is here and what honest neighbours that stay have.
fn within_reach(settings: &Settings) -> usize {
    let mut reach = settings.here.clone();
    for (manner, has) in &settings.peers {
        if matches!(manner, Manner::Honest { .. }) {
            reach.extend(has);
        }
    }
    reach.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_fetch_ends_as_it_should(settings in settings()) {
        let mut world = World::new(&settings);
        world.run(&settings);
        let is_whole = world.here.len() as u64 == settings.chunks;
        let outcome = world.ended.unwrap();
        prop_assert_eq!(outcome.is_ok(), is_whole);
        if within_reach(&settings) as u64 == settings.chunks {
            prop_assert_eq!(outcome, Ok(()));
        }
    }
}

/// Goal: neighbours that promise and give nothing don't keep a slow honest one from being asked.
#[test]
fn the_silent_do_not_starve_the_honest() {
    let has = BTreeSet::from([0]);
    let silent = (Manner::Silent, has.clone());
    let honest = (Manner::Honest { pause_ms: 9_000 }, has);
    let settings = Settings {
        chunks: 1,
        here: BTreeSet::new(),
        peers: vec![silent.clone(), silent.clone(), silent, honest],
        check_ms: 0,
    };
    let mut world = World::new(&settings);
    world.run(&settings);
    assert_eq!(world.ended, Some(Ok(())));
}

/// Goal: two equal neighbours each give about half, and nothing is sent twice.
#[test]
fn neighbours_share_the_work() {
    let all: BTreeSet<u64> = (0..100).collect();
    let honest = (Manner::Honest { pause_ms: 20 }, all);
    let settings = Settings {
        chunks: 100,
        here: BTreeSet::new(),
        peers: vec![honest.clone(), honest],
        check_ms: 1,
    };
    let mut world = World::new(&settings);
    world.run(&settings);
    let given: Vec<u32> = world.peers.iter().map(|peer| peer.answered).collect();
    // Each also told once what it has.
    assert_eq!(given.iter().sum::<u32>(), 102, "{given:?}");
    assert!(given.iter().all(|given| *given > 40), "{given:?}");
}

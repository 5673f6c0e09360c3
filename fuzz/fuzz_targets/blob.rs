//! Requests and answers of a blob stream from any peer: what decodes encodes to an equal message. Then a fetch whose
//! neighbours answer what the input says: it ends well only with the right chunks, and asks a bounded number of them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sedge_fuzz::{Guarded, guarded};
use sedge_mesh::{
    Blob, BlobAnswer, BlobRequest, ChunkSet, Fetch, FetchEffect, FetchEvent, Millis, PeerKey,
    Taken, limits::FETCH_CHUNKS_MAX,
};
use std::collections::{BTreeSet, VecDeque};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a message or a fetch of few chunks may take, beside its own copies.
const BYTES_MAX: usize = 1 << 20;

/// Effects that one event may set off: every chunk asked of somebody, and a few others.
const EFFECTS_MAX: usize = 2 * FETCH_CHUNKS_MAX;

/// Bytes of a frame's length.
const PREFIX_BYTES: usize = 4;

const CHUNKS: u64 = 40;

fuzz_target!(|bytes: &[u8]| {
    let body = Bytes::copy_from_slice(bytes);
    guarded(BYTES_MAX + bytes.len() * 16, || {
        if let Ok(request) = BlobRequest::decode(body.clone()) {
            let again = BlobRequest::decode(request.encode().slice(PREFIX_BYTES..));
            assert!(again.as_ref() == Ok(&request), "{request:?}: {again:?}");
        }
        if let Ok(answer) = BlobAnswer::decode(body.clone()) {
            let again = BlobAnswer::decode(answer.encode().slice(PREFIX_BYTES..));
            assert!(again.as_ref() == Ok(&answer), "{answer:?}: {again:?}");
        }
        Fetching::new().run(body);
    });
});

struct Fetching {
    fetch: Fetch,
    now: Millis,
    events: VecDeque<FetchEvent>,
    here: BTreeSet<u64>,
}

impl Fetching {
    fn new() -> Self {
        let blob = Blob {
            id: [1; 32],
            len: CHUNKS * 65_536,
        };
        let (fetch, _) = Fetch::new(blob, ChunkSet::none(CHUNKS), 1_000, Millis(0));
        Self {
            fetch,
            now: Millis(0),
            events: VecDeque::new(),
            here: BTreeSet::new(),
        }
    }

    /// Two bytes for each step: which peer and what happens; how many bytes the answer has that follows.
    fn run(&mut self, mut bytes: Bytes) {
        while bytes.len() >= 2 {
            let head = bytes.split_to(2);
            let (what, length) = (head[0], usize::from(head[1]));
            let peer = PeerKey::new(&[what & 3]);
            let event = match what >> 2 {
                0 => FetchEvent::Connected(peer),
                1 => FetchEvent::Disconnected(peer),
                2 => {
                    self.now = Millis(self.now.0 + 100 * length as u64);
                    FetchEvent::Tick
                }
                3 => FetchEvent::Answered(peer, BlobAnswer::Held(ChunkSet::all(CHUNKS).encode())),
                _ => match BlobAnswer::decode(bytes.split_to(length.min(bytes.len()))) {
                    Ok(answer) => FetchEvent::Answered(peer, answer),
                    Err(_) => FetchEvent::Failed(peer),
                },
            };
            self.events.push_back(event);
            while let Some(event) = self.events.pop_front() {
                self.handle(event);
            }
        }
    }

    fn handle(&mut self, event: FetchEvent) {
        let effects = self.fetch.handle(event, self.now);
        assert!(effects.len() <= EFFECTS_MAX, "{} effects", effects.len());
        for effect in effects {
            match effect {
                FetchEffect::Check(index, chunk) => {
                    let taken = match chunk.bytes[..] == [index as u8] {
                        true => Taken::Kept,
                        false => Taken::Wrong {
                            reason: String::new(),
                        },
                    };
                    if taken == Taken::Kept {
                        assert!(self.here.insert(index), "chunk {index} twice");
                    }
                    self.events.push_back(FetchEvent::Checked(index, Ok(taken)));
                }
                FetchEffect::Look => {
                    let mut here = ChunkSet::none(CHUNKS);
                    self.here.iter().for_each(|index| here.add(*index));
                    self.events.push_back(FetchEvent::Here(here));
                }
                FetchEffect::End(Ok(())) => {
                    assert_eq!(self.here.len() as u64, CHUNKS, "some are missing");
                }
                FetchEffect::Send(..)
                | FetchEffect::Close(_)
                | FetchEffect::Ban(..)
                | FetchEffect::Progress(_)
                | FetchEffect::End(Err(_)) => {}
            }
        }
        let wake = self.fetch.wake_at(self.now);
        assert!(wake.is_none_or(|at| at > self.now), "it would never sleep");
    }
}

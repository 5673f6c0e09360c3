//! Goal: single steps of a fetch that the simulation does not single out.

use crate::{
    blob::{
        Blob, BlobAnswer, BlobRequest, Chunk, ChunkSet, Fetch, FetchEffect, FetchEvent,
        FetchFailure, FetchProgress, Taken,
    },
    limits::{BLOB_CHUNK_BYTES, FETCH_ASK_AGAIN_MS, FETCH_DOUBLE_AFTER_MS, FETCH_REPEATS_MAX},
    proto::Millis,
    replica::PeerKey,
};

const CHUNKS: u64 = 4;
const BLOB: Blob = Blob {
    id: [1; 32],
    len: 3 * BLOB_CHUNK_BYTES as u64 + 5,
};
const WAIT_MS: u64 = 10_000;

fn peer(number: u8) -> PeerKey {
    PeerKey::new(&[number])
}

fn begin(here: ChunkSet) -> (Fetch, Vec<FetchEffect>) {
    Fetch::new(BLOB, here, WAIT_MS, Millis(0))
}

fn held(set: &ChunkSet) -> BlobAnswer {
    BlobAnswer::Held(set.encode())
}

fn chunk(index: u64) -> BlobAnswer {
    let chunk = Chunk {
        bytes: vec![7].into(),
        proof: Default::default(),
    };
    BlobAnswer::Chunk(index, chunk)
}

/// The chunks that somebody is asked for.
fn gets(effects: &[FetchEffect]) -> Vec<(PeerKey, u64)> {
    let get = |effect: &FetchEffect| match effect {
        FetchEffect::Send(peer, BlobRequest::Get(index)) => Some((peer.clone(), *index)),
        _ => None,
    };
    effects.iter().filter_map(get).collect()
}

fn outcome(effects: &[FetchEffect]) -> Option<Result<(), FetchFailure>> {
    effects.iter().find_map(|effect| match effect {
        FetchEffect::End(outcome) => Some(outcome.clone()),
        _ => None,
    })
}

/// Connects a peer that has all chunks and says so.
fn join(fetch: &mut Fetch, number: u8, now: Millis) -> Vec<FetchEffect> {
    let asked = fetch.handle(FetchEvent::Connected(peer(number)), now);
    assert!(asked.contains(&FetchEffect::Send(peer(number), BlobRequest::Ask(BLOB))));
    let told = held(&ChunkSet::all(CHUNKS));
    fetch.handle(FetchEvent::Answered(peer(number), told), now)
}

/// Goal: what is here as a whole asks nobody and ends at once.
#[test]
fn what_is_here_needs_nobody() {
    let (mut fetch, effects) = begin(ChunkSet::all(CHUNKS));
    let progress = FetchProgress {
        bytes: BLOB.len,
        of: BLOB.len,
        peers: 0,
    };
    let expected = [FetchEffect::Progress(progress), FetchEffect::End(Ok(()))];
    assert_eq!(effects, expected);
    assert_eq!(fetch.wake_at(Millis(0)), None);
    assert_eq!(fetch.handle(FetchEvent::Connected(peer(1)), Millis(0)), []);
}

/// Goal: only what is missing is asked for, the bytes that are here count from the start.
#[test]
fn it_goes_on_where_it_stopped() {
    let mut here = ChunkSet::none(CHUNKS);
    [0, 3].into_iter().for_each(|index| here.add(index));
    let (mut fetch, effects) = begin(here);
    let progress = FetchProgress {
        bytes: BLOB_CHUNK_BYTES as u64 + 5,
        of: BLOB.len,
        peers: 0,
    };
    assert_eq!(effects, [FetchEffect::Progress(progress)]);
    let effects = join(&mut fetch, 1, Millis(0));
    assert_eq!(gets(&effects), [(peer(1), 1), (peer(1), 2)]);
}

/// Goal: with nobody to ask it waits as long as it was told, and says how many it asked.
#[test]
fn it_waits_and_gives_up() {
    let (mut fetch, _) = begin(ChunkSet::none(CHUNKS));
    assert_eq!(fetch.wake_at(Millis(0)), Some(Millis(WAIT_MS)));
    fetch.handle(FetchEvent::Connected(peer(1)), Millis(5));
    fetch.handle(
        FetchEvent::Answered(peer(1), BlobAnswer::NotHere),
        Millis(5),
    );
    assert_eq!(
        fetch.wake_at(Millis(5)),
        Some(Millis(5 + FETCH_ASK_AGAIN_MS))
    );
    fetch.handle(FetchEvent::Disconnected(peer(1)), Millis(6));
    let effects = fetch.handle(FetchEvent::Tick, Millis(WAIT_MS));
    let failure = FetchFailure::NobodyHasIt {
        neighbours: 0,
        missing: CHUNKS,
        chunks: CHUNKS,
    };
    assert_eq!(outcome(&effects), Some(Err(failure)));
}

/// Goal: without any wait, those who are there are still asked, and only they.
#[test]
fn without_a_wait_neighbours_are_asked_once() {
    let begin = || Fetch::new(BLOB, ChunkSet::none(CHUNKS), 0, Millis(0)).0;
    let alone = begin().handle(FetchEvent::Tick, Millis(0));
    assert!(matches!(outcome(&alone), Some(Err(_))));
    let mut fetch = begin();
    fetch.handle(FetchEvent::Connected(peer(1)), Millis(0));
    assert_eq!(outcome(&fetch.handle(FetchEvent::Tick, Millis(0))), None);
    let told = FetchEvent::Answered(peer(1), BlobAnswer::NotHere);
    assert!(matches!(
        outcome(&fetch.handle(told, Millis(0))),
        Some(Err(_))
    ));
}

/// Goal: a neighbour that gives a wrong chunk is banned, and another one is asked for what it owed.
#[test]
fn a_wrong_chunk_bans() {
    let (mut fetch, _) = begin(ChunkSet::none(CHUNKS));
    let asked = gets(&join(&mut fetch, 1, Millis(0)));
    assert_eq!(asked, [(peer(1), 0), (peer(1), 1)]);
    fetch.handle(FetchEvent::Answered(peer(1), chunk(0)), Millis(1));
    let wrong = Taken::Wrong {
        reason: "no".to_owned(),
    };
    let effects = fetch.handle(FetchEvent::Checked(0, Ok(wrong)), Millis(2));
    assert!(effects.contains(&FetchEffect::Close(peer(1))));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, FetchEffect::Ban(banned, _) if *banned == peer(1)))
    );
    for event in [
        FetchEvent::Disconnected(peer(1)),
        FetchEvent::Connected(peer(1)),
    ] {
        assert_eq!(fetch.handle(event, Millis(3)), []);
    }
    let effects = join(&mut fetch, 2, Millis(4));
    assert_eq!(gets(&effects), [(peer(2), 0), (peer(2), 1)]);
}

/// Goal: near the end a free neighbour is asked for what a slow one owes, after a while, and the slower answer is dropped.
#[test]
fn the_last_chunks_are_asked_for_twice() {
    let mut here = ChunkSet::all(CHUNKS);
    here.remove(2);
    let (mut fetch, _) = begin(here);
    assert_eq!(gets(&join(&mut fetch, 1, Millis(0))), [(peer(1), 2)]);
    assert_eq!(gets(&join(&mut fetch, 2, Millis(0))), []);
    let due = Millis(FETCH_DOUBLE_AFTER_MS);
    assert_eq!(fetch.wake_at(Millis(0)), Some(due));
    let effects = fetch.handle(FetchEvent::Tick, due);
    assert_eq!(gets(&effects), [(peer(2), 2)]);
    let effects = fetch.handle(FetchEvent::Answered(peer(2), chunk(2)), due);
    assert!(matches!(effects.as_slice(), [FetchEffect::Check(2, _)]));
    assert_eq!(
        fetch.handle(FetchEvent::Answered(peer(1), chunk(2)), due),
        []
    );
    let effects = fetch.handle(FetchEvent::Checked(2, Ok(Taken::Whole)), due);
    assert_eq!(outcome(&effects), Some(Ok(())));
}

/// Goal: a damaged chunk of a holder does not make it be asked for it again and again.
#[test]
fn a_missing_chunk_is_not_asked_for_at_once_again() {
    let mut here = ChunkSet::all(CHUNKS);
    here.remove(2);
    let (mut fetch, _) = begin(here);
    join(&mut fetch, 1, Millis(0));
    let now = Millis(5_000);
    let refused = FetchEvent::Answered(peer(1), BlobAnswer::NotHere);
    assert_eq!(fetch.handle(refused, now), []);
    assert_eq!(fetch.wake_at(now), Some(now + FETCH_ASK_AGAIN_MS));
}

/// Goal: chunks that are removed from the store while others come are fetched again, but not for ever.
#[test]
fn what_is_removed_meanwhile_is_fetched_again() {
    let mut here = ChunkSet::all(CHUNKS);
    here.remove(2);
    let (mut fetch, _) = begin(here.clone());
    let mut effects = join(&mut fetch, 1, Millis(0));
    for _ in 0..FETCH_REPEATS_MAX {
        assert_eq!(gets(&effects), [(peer(1), 2)]);
        fetch.handle(FetchEvent::Answered(peer(1), chunk(2)), Millis(1));
        let effects_after = fetch.handle(FetchEvent::Checked(2, Ok(Taken::Kept)), Millis(1));
        assert!(effects_after.contains(&FetchEffect::Look));
        effects = fetch.handle(FetchEvent::Here(here.clone()), Millis(1));
    }
    fetch.handle(FetchEvent::Answered(peer(1), chunk(2)), Millis(1));
    fetch.handle(FetchEvent::Checked(2, Ok(Taken::Kept)), Millis(1));
    let effects = fetch.handle(FetchEvent::Here(here), Millis(1));
    assert!(matches!(
        outcome(&effects),
        Some(Err(FetchFailure::Store { .. }))
    ));
}

//! Goal: stores that hold almost the same find what differs for a few kilobytes, in both directions at once, whatever their
//! interests are and whatever happens meanwhile; who compares without end or out of turn is sent away.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    fixtures::{collection, document},
    victim::{THEIR_FEED, Victim, offer, offered},
};
use crate::{
    limits::{RANGES_MAX, RANGES_SPARE},
    proto::{
        CloseCode, Comparison, Content, Described, Differs, Fingerprint, Message, Nonce, Root,
        encode_frame,
    },
    replica::{Cursor, DocumentKey, Interest, Prefix, Range},
    sim::{Loss, World},
};

fn write(net: &mut World, at: u64, node: usize, name: &str, ids: impl Iterator<Item = u64>) {
    let content = Bytes::from(format!("{node} at {at}"));
    let documents: Vec<(DocumentKey, Bytes)> = ids
        .map(|id| (document(name, id), content.clone()))
        .collect();
    net.write(at, node, documents);
}

/// Two peers with these shared documents and interests, which are apart and have lost their cursors; their stores are to be
/// compared when they meet again.
fn apart(seed: u64, shared: u64, interests: [Interest; 2]) -> World {
    let mut net = World::new(seed, interests.into());
    net.compare_from(1);
    for name in ["cars", "boats"] {
        write(&mut net, 0, 0, name, 0..shared / 2);
        write(&mut net, 0, 1, name, shared / 2..shared);
    }
    net.join(1, 0, 1);
    net.run_until(60_000);
    net.crash(60_000, 0, Loss::Cursors, 61_000);
    net.crash(60_000, 1, Loss::Cursors, 62_000);
    net.run_until(60_500);
    net
}

/// What was said on the stream: messages and bytes.
fn said(net: &World, of: fn(&Message) -> bool) -> (usize, usize) {
    let sent = net.sent.iter().filter(|(_, _, message)| of(message));
    sent.fold((0, 0), |(count, bytes), (_, _, message)| {
        (count + 1, bytes + encode_frame(message).len())
    })
}

fn documents_offered(net: &World) -> usize {
    let pages = net.sent.iter().map(|(_, _, message)| match message {
        Message::Offer(page) => page.entries.len(),
        _ => 0,
    });
    pages.sum()
}

/// Equal stores are known to be so after one round trip of a few bytes.
#[test]
fn equal_stores_are_told_by_their_roots() {
    let mut net = apart(0, 600, [Interest::Everything, Interest::Everything]);
    net.keep_sent = true;
    net.run_until(100_000);
    assert!(net.converged());
    assert_eq!(documents_offered(&net), 0);
    assert_eq!(said(&net, |it| matches!(it, Message::Compare(_))), (0, 0));
    let (_, bytes) = said(&net, |it| !matches!(it, Message::Hello(_)));
    assert!(
        bytes <= 2 * 2 * 128,
        "{bytes} bytes for two collections in both directions"
    );
}

/// Of many shared documents only those that differ are offered, and one comparison serves both directions.
#[test]
fn only_what_differs_is_offered() {
    let mut net = apart(0, 6_000, [Interest::Everything, Interest::Everything]);
    write(&mut net, 60_600, 0, "cars", [7, 5_000, 9_000].into_iter());
    write(&mut net, 60_600, 1, "cars", [8, 4_000, 9_001].into_iter());
    write(&mut net, 60_600, 1, "planes", 0..3);
    net.keep_sent = true;
    net.run_until(100_000);
    assert!(net.converged(), "{}", net.describe());
    // Each is offered by whoever has something else of it, and back by who has just taken it in.
    let offered = documents_offered(&net);
    assert!(offered <= 3 * 9, "{offered} documents offered");
    let leader = |it: &Message| matches!(it, Message::Compare(_));
    let senders = net
        .sent
        .iter()
        .filter(|(_, _, message)| leader(message))
        .map(|(from, _, _)| *from);
    assert_eq!(senders.collect::<BTreeSet<_>>().len(), 1);
    let (rounds, bytes) = said(&net, |it| {
        matches!(it, Message::Compare(_) | Message::Differing(_))
    });
    assert!(
        rounds <= 2 * 4 && bytes <= 8_000,
        "{rounds} messages of {bytes} bytes"
    );
    assert_eq!(net.closes, []);
}

/// Any of two interests, and documents on one side only: everybody ends with all that it wants, and nothing else.
#[test]
fn interests_are_compared_one_by_one() {
    let only = |name| Interest::Collections(BTreeSet::from([collection(name)]));
    let all = [Interest::Everything, only("cars"), only("boats")];
    for (seed, (mine, theirs)) in
        (0..).zip(all.iter().flat_map(|a| all.iter().map(move |b| (a, b))))
    {
        let mut net = apart(4 * seed, 300, [mine.clone(), theirs.clone()]);
        for name in ["cars", "boats", "planes"] {
            write(&mut net, 60_600, 0, name, [1, 400].into_iter());
            write(&mut net, 60_600, 1, name, [200, 500].into_iter());
        }
        let before: Vec<_> = net
            .nodes
            .iter()
            .map(|node| node.replica.contents())
            .collect();
        net.run_until(120_000);
        for (node, interest) in [mine, theirs].into_iter().enumerate() {
            let (own, other) = (
                net.nodes[node].replica.contents(),
                net.nodes[1 - node].replica.contents(),
            );
            for (key, changes) in &other {
                if interest.includes(&key.collection) {
                    assert!(
                        own.get(key).is_some_and(|it| it.is_superset(changes)),
                        "seed {seed}: {node} lacks {key:?}"
                    );
                }
            }
            for key in own.keys().filter(|key| !interest.includes(&key.collection)) {
                let had = &before[node];
                assert!(
                    had.contains_key(key) || net.nodes[node].replica.wrote(key),
                    "seed {seed}: {key:?} was not wanted"
                );
            }
        }
        assert_eq!(net.closes, []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However much each side has that the other one lacks, they end alike, also over a link that breaks.
    #[test]
    fn any_difference_is_found(
        seed in 0..1_000_u64, shared in 0..900_u64, mine in 0..600_u64, theirs in 0..600_u64, cut in 0..2_000_u64,
    ) {
        let mut net = apart(seed * 4, shared, [Interest::Everything, Interest::Everything]);
        write(&mut net, 60_600, 0, "cars", (0..mine).map(|id| id * 3));
        write(&mut net, 60_600, 1, "cars", (0..theirs).map(|id| id * 5));
        net.cut(62_000 + cut, 0, 1);
        net.join(64_500, 0, 1);
        net.run_until(180_000);
        prop_assert!(net.converged(), "{}", net.describe());
        prop_assert_eq!(&net.closes, &[]);
    }
}

fn part(prefix: Prefix) -> Described {
    Described {
        range: Range {
            collection: collection("cars"),
            prefix,
        },
        content: Content::Parts(vec![Fingerprint([1; 8]); 16]),
    }
}

fn items(count: u8) -> Described {
    Described {
        range: Range::whole(collection("cars")),
        content: Content::Items((0..count).map(|it| Fingerprint([it; 8])).collect()),
    }
}

fn comparison() -> Option<Comparison> {
    let root = Root {
        collection: collection("cars"),
        fingerprint: Fingerprint([0; 8]),
    };
    Some(Comparison {
        nonce: Nonce([5; 8]),
        roots: vec![root],
    })
}

/// A victim that wants its store compared with a feed that is far ahead.
fn wishing() -> Victim {
    let mut victim = Victim::greeted_by(THEIR_FEED, 100_000);
    assert!(matches!(
        victim.said.last(),
        Some(Message::Follow {
            comparison: Some(_),
            ..
        })
    ));
    victim.said.clear();
    victim
}

/// A victim that was asked to compare, by a peer that has documents of the same collection, and has described them.
fn describing() -> Victim {
    let mut victim = Victim::greeted();
    victim.hear(Message::Follow {
        feed: super::victim::OWN_FEED,
        after: Cursor::default(),
        comparison: comparison(),
    });
    assert!(
        matches!(victim.said.last(), Some(Message::Compare(_))),
        "{:?}",
        victim.said
    );
    victim
}

fn differs(which: &[u8], lacking: &[u8], finer: bool) -> Message {
    let (which, lacking) = (which.to_vec(), lacking.to_vec());
    Message::Differing(vec![Differs {
        which,
        lacking,
        finer,
    }])
}

/// What nobody asked for, or what is not there, ends the session.
#[test]
fn comparing_out_of_turn_ends_the_session() {
    let cases: Vec<(Victim, Message)> = vec![
        (Victim::greeted(), Message::Compare(vec![items(1)])),
        (Victim::greeted(), differs(&[0], &[], false)),
        (Victim::offering(), differs(&[0], &[], false)),
        (describing(), Message::Differing(Vec::new())),
        (describing(), differs(&[3], &[], false)), // there are three documents: 0, 1, 2
        (describing(), differs(&[], &[0], false)),
        (describing(), differs(&[0], &[], true)),
        (describing(), super::victim::ack(3)),
        (wishing(), differs(&[0], &[], false)),
        (wishing(), offer(0, vec![])),
    ];
    for (number, (mut victim, message)) in cases.into_iter().enumerate() {
        victim.hear(message.clone());
        let codes = [Some(CloseCode::Unexpected), Some(CloseCode::BadCursor)];
        assert!(
            codes.contains(&victim.closed),
            "case {number}: {message:?} gave {:?}",
            victim.closed
        );
    }
}

/// A peer that always claims a difference is sent away, and nothing is stored meanwhile.
#[test]
fn comparing_without_end_ends_the_session() {
    let mut victim = wishing();
    victim.hear(super::victim::follow(super::victim::OWN_FEED, 3));
    let before = victim.replica.contents();
    let ranges: Vec<_> = (0..RANGES_MAX as u64)
        .filter_map(|bits| Prefix::new(4, bits))
        .map(part)
        .collect();
    let mut rounds = 0;
    while victim.closed.is_none() {
        victim.hear(Message::Compare(ranges.clone()));
        rounds += 1;
        assert!(rounds <= (RANGES_SPARE as usize + 3 * 16) / RANGES_MAX + 1);
    }
    assert_eq!(victim.closed, Some(CloseCode::TooLarge));
    assert_eq!(victim.replica.contents(), before);
}

/// Documents that were found are offered under the cursor's own position, which an empty page never is.
#[test]
fn found_documents_come_before_the_feed() {
    let mut victim = wishing();
    victim.hear(offer(0, vec![offered("cars", 77)]));
    assert!(
        matches!(victim.said.last(), Some(Message::Want { .. })),
        "{:?}",
        victim.said
    );
    assert_eq!(victim.closed, None);
}

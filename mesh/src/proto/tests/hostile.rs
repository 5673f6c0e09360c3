//! Goal: whatever a neighbour says, the session ends with the fitting code (or goes on when it was
//! harmless), nothing panics, and what a session holds stays within its limits.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sedge_identity::SignedCertificate;

use super::{
    fixtures::{collection, document, peer},
    victim::*,
};
use crate::{
    limits::{
        ANSWER_BYTES_MAX, ANSWER_TIMEOUT_MS, COLLECTIONS_MAX, DELTA_BYTES_MAX, FLOODS_WAITING_MAX,
        RENEWAL_PAUSE_MS, RENEWALS_MAX, RENEWALS_WINDOW_MS, REQUESTS_PER_SESSION_MAX, SESSIONS_MAX,
        WATCH_INTERVAL_MS,
    },
    memory::MemoryReplica,
    proto::{
        Answer, Changes, CloseCode, Comparison, Content, Core, CoreConfig, Described, Differs,
        Effect, Event, Fingerprint, FloodId, Message, Millis, Nonce, Request, RequestId, Root,
        Timer, Verdict,
    },
    replica::{
        Cursor, IngestOutcome, Interest, Missing, NamedCertificate, Origin, PeerKey, Prefix, Range,
        Replica, Sequence,
    },
};

/// In which state, which message, and the code it must end with.
type Case = (fn() -> Victim, Message, CloseCode);

#[test]
fn each_message_out_of_turn_or_out_of_range_ends_the_session_with_its_code() {
    use CloseCode::{BadCursor, Incomplete, SameFeed, Unexpected};
    let car = || document("cars", 77);
    let orphan = |document| two_changes(document)[1].clone();
    let cases: [Case; _] = [
        (Victim::new, follow(OWN_FEED, 0), Unexpected),
        (Victim::new, ack(1), Unexpected),
        (Victim::new, offer(1, vec![]), Unexpected),
        (Victim::new, hello(OWN_FEED, 0), SameFeed),
        (Victim::greeted, hello(THEIR_FEED, 100), Unexpected),
        (Victim::greeted, follow(THEIR_FEED, 0), BadCursor),
        (Victim::greeted, follow(OWN_FEED, 4), BadCursor),
        (Victim::greeted, follow(OWN_FEED, u64::MAX), BadCursor),
        (Victim::greeted, offer(0, vec![]), BadCursor),
        (
            Victim::greeted,
            offer(1, vec![offered("boats", 1)]),
            Unexpected,
        ),
        (
            Victim::greeted,
            offer(10, vec![offered("cars", 77), offered("cars", 77)]),
            Unexpected,
        ),
        (Victim::greeted, want(1, &[0]), Unexpected),
        (Victim::greeted, ack(1), Unexpected),
        (Victim::greeted, changes(1, vec![], Some(1)), Unexpected),
        (Victim::fetching, offer(20, vec![]), Unexpected),
        (Victim::fetching, changes(9, vec![], Some(2)), Unexpected),
        (Victim::fetching, changes(10, vec![], None), Unexpected),
        (Victim::fetching, changes(10, vec![], Some(0)), Unexpected),
        (
            Victim::fetching,
            changes(10, vec![piece(document("cars", 1), 1, false)], None),
            Unexpected,
        ),
        (
            Victim::fetching,
            changes(
                10,
                vec![piece(car(), 1, true), piece(document("cars", 78), 1, false)],
                None,
            ),
            Unexpected,
        ),
        (
            Victim::fetching,
            changes(
                10,
                vec![piece(car(), 1, false), piece(car(), 1, false)],
                None,
            ),
            Unexpected,
        ),
        (
            Victim::fetching,
            changes(10, vec![piece(car(), 1, true)], Some(1)),
            Unexpected,
        ),
        (
            Victim::fetching,
            changes(10, vec![piece(car(), 0, true)], None),
            Unexpected,
        ),
        (
            Victim::fetching,
            changes(
                10,
                vec![piece(car(), 1, true), piece(car(), 0, false)],
                None,
            ),
            Unexpected,
        ),
        (
            Victim::fetching,
            changes(10, vec![piece(document("cars", 78), 1, false)], Some(0)),
            Unexpected,
        ),
        (Victim::fetching, proven(10, orphan(car()), 2), Incomplete),
        (Victim::offering, follow(OWN_FEED, 0), Unexpected),
        (Victim::offering, ack(2), BadCursor),
        (Victim::offering, ack(u64::MAX), BadCursor),
        (Victim::offering, want(2, &[0]), Unexpected),
        (Victim::offering, want(3, &[]), Unexpected),
        (Victim::offering, want(3, &[3]), Unexpected),
        (Victim::offering, want(3, &[u32::MAX]), Unexpected),
        (Victim::offering, want(3, &[1, 1]), Unexpected),
        (Victim::offering, want(3, &[2, 0]), Unexpected),
    ];
    for (start, message, code) in cases {
        let mut victim = start();
        victim.hear(message.clone());
        assert_eq!(victim.closed, Some(code), "{message:?}");
        assert_eq!(victim.core.status(&peer(9)), None);
        assert_eq!(victim.replica.contents().len(), 3, "nothing is stored");
    }
}

/// Wants may be repeated for a page, but only forwards: nobody makes us send a page for ever.
#[test]
fn an_answered_want_cannot_be_repeated() {
    let mut victim = Victim::offering();
    victim.hear(want(3, &[0, 1]));
    assert_eq!(victim.closed, None);
    victim.hear(want(3, &[1]));
    assert_eq!(victim.closed, Some(CloseCode::Unexpected));

    // Only once for who lacks certificates.
    let mut victim = Victim::offering();
    victim.hear(want(3, &[0, 1]));
    victim.hear(want_anew(3, &[0, 1]));
    victim.hear(want_anew(3, &[2]));
    assert_eq!(victim.closed, None);
    victim.hear(want_anew(3, &[1]));
    assert_eq!(victim.closed, Some(CloseCode::Unexpected));
}

#[test]
fn payloads_beyond_the_limits_end_the_session() {
    let mut victim = Victim::fetching();
    for _ in 0..DELTA_BYTES_MAX >> 20 {
        victim.hear(changes(
            10,
            vec![piece(document("cars", 77), 1 << 20, true)],
            None,
        ));
        assert_eq!(victim.closed, None);
    }
    victim.hear(changes(
        10,
        vec![piece(document("cars", 77), 1, true)],
        None,
    ));
    assert_eq!(victim.closed, Some(CloseCode::TooLarge));

    let mut victim = Victim::fetching();
    victim.hear(changes(
        10,
        vec![piece(document("cars", 77), ANSWER_BYTES_MAX, false)],
        None,
    ));
    assert_eq!(victim.closed, None);
    victim.hear(changes(
        10,
        vec![piece(document("cars", 78), 1, false)],
        None,
    ));
    assert_eq!(victim.closed, Some(CloseCode::TooLarge));
}

/// Malformed changes are noted and passed over: one bad document does not hold up the others for ever.
#[test]
fn rejected_changes_do_not_stop_the_feed() {
    let mut victim = Victim::fetching();
    let pieces = vec![
        piece(document("cars", 77), 3, false),
        piece(document("cars", 78), 3, false),
    ];
    victim.hear(changes(10, pieces, Some(2)));
    assert_eq!(victim.said.last(), Some(&ack_of_a_part(10)));
    assert_eq!(victim.replica.contents().len(), 3);
}

/// Goal: an acknowledgement says what was left out: rejected, damaged here, or not sent; and so do all that follow.
#[test]
fn what_is_left_out_is_told() {
    let mut victim = Victim::fetching();
    victim.hear(changes(10, vec![], Some(2)));
    assert_eq!(victim.said.last(), Some(&ack_of_a_part(10)));
    victim.hear(offer(20, vec![]));
    assert_eq!(victim.said.last(), Some(&ack_of_a_part(20)));

    let mut victim = Victim::greeted();
    victim.answers = Some(|request| match request {
        Request::Missing(_) => Some(Answer::Missing(vec![Missing::Damaged])),
        _ => None,
    });
    victim.hear(offer(10, vec![offered("cars", 77)]));
    assert_eq!(victim.said.last(), Some(&ack_of_a_part(10)));

    let mut victim = Victim::fetching();
    victim.answers = Some(|request| match request {
        Request::Ingest(bundles, _) => {
            let deltas: usize = bundles.iter().map(|bundle| bundle.deltas.len()).sum();
            let outcomes = vec![IngestOutcome::Damaged; deltas];
            Some(Answer::Ingested(outcomes))
        }
        _ => None,
    });
    let pieces = [77, 78].map(|id| piece(document("cars", id), 3, false));
    victim.hear(changes(10, pieces.to_vec(), Some(2)));
    assert_eq!(victim.said.last(), Some(&ack_of_a_part(10)));
}

/// Goal: who offers knows how much of it the neighbour has, from the first message of a session on.
#[test]
fn what_a_neighbour_left_out_is_known() {
    let cursor = |up_to, whole_to| Cursor {
        up_to: Sequence(up_to),
        whole_to: Sequence(whole_to),
    };
    let mut victim = Victim::greeted();
    victim.hear(Message::Follow {
        feed: OWN_FEED,
        after: cursor(2, 1),
        comparison: None,
    });
    let held = |victim: &Victim| victim.core.status(&peer(9)).unwrap();
    assert_eq!(held(&victim).whole_to, Sequence(1));
    victim.hear(Message::Ack(cursor(3, 1)));
    let status = held(&victim);
    assert_eq!((status.acked, status.whole_to), (Sequence(3), Sequence(1)));
}

#[test]
fn undecodable_bytes_end_the_session() {
    let mut victim = Victim::greeted();
    victim.feed(Event::Undecodable(peer(9), CloseCode::Malformed));
    assert_eq!(victim.closed, Some(CloseCode::Malformed));
}

/// Names of collections cannot fill the memory: at most `COLLECTIONS_MAX` are kept, however many come.
#[test]
fn collections_are_bounded() {
    let mut victim = Victim::new();
    let replica = Arc::new(MemoryReplica::new(OWN_FEED));
    let config = CoreConfig::new(
        replica.feed().unwrap(),
        BTreeSet::new(),
        Interest::Everything,
        [7; 32],
    );
    victim.core = Core::new(config).0;
    victim.feed(Event::Connected(peer(9)));
    victim.hear(hello(THEIR_FEED, 0));
    for round in 0..20 {
        let names = (0..COLLECTIONS_MAX)
            .map(|n| collection(&format!("{round}-{n}")))
            .collect();
        victim.hear(Message::Collections(names));
    }
    assert_eq!(victim.closed, None);
    assert_eq!(victim.core.collections().len(), COLLECTIONS_MAX);
}

/// Goal: a certificate has its place after the hello only, and a neighbour that shows one after the other is closed, while
/// one that renews as often as an honest one can is not.
#[test]
fn certificates_are_shown_at_a_pace() {
    let renewed = || {
        let certificate = SignedCertificate::from_bytes(&[1]).unwrap();
        Message::Renewed(certificate.into())
    };
    let mut victim = Victim::new();
    assert_eq!(victim.hear(renewed()).closed, Some(CloseCode::Unexpected));

    let mut victim = Victim::greeted();
    for _ in 0..3 * RENEWALS_MAX {
        victim.now = victim.now + RENEWAL_PAUSE_MS;
        assert_eq!(victim.hear(renewed()).closed, None);
    }
    victim.now = victim.now + RENEWALS_WINDOW_MS;
    for _ in 0..RENEWALS_MAX {
        assert_eq!(victim.hear(renewed()).closed, None);
    }
    assert_eq!(victim.hear(renewed()).closed, Some(CloseCode::TooLarge));
}

#[test]
fn sessions_are_bounded() {
    let mut victim = Victim::new();
    for index in 10..9 + SESSIONS_MAX {
        victim.feed(Event::Connected(peer(index)));
        assert_eq!(victim.closed, None);
    }
    victim.feed(Event::Connected(peer(9 + SESSIONS_MAX)));
    assert_eq!(victim.closed, Some(CloseCode::Busy));
}

/// A neighbour that owes an answer and stays silent is let go, in each state that waits for one.
#[test]
fn silence_is_not_waited_for_for_ever() {
    for start in [Victim::new, Victim::fetching, Victim::offering] {
        let mut victim = start();
        victim.now = Millis(ANSWER_TIMEOUT_MS - 1);
        victim.feed(Event::Timer(Timer::Watch(peer(9), 0)));
        assert_eq!(victim.closed, None);
        victim.now = Millis(ANSWER_TIMEOUT_MS + WATCH_INTERVAL_MS);
        victim.feed(Event::Timer(Timer::Watch(peer(9), 0)));
        assert_eq!(victim.closed, Some(CloseCode::Timeout));
    }
}

/// Floods: nonsense is rejected, changes that come too early are ignored, and a store that does not keep
/// up lets a bounded number wait.
#[test]
fn floods_are_judged_and_bounded() {
    let flood = |victim: &mut Victim, payload: Bytes| {
        let id = FloodId::of(&payload);
        victim.feed(Event::Flooded {
            source: peer(9),
            id,
            collection: collection("cars"),
            payload,
        });
        victim.judged.pop()
    };
    let mut victim = Victim::greeted();
    assert_eq!(
        flood(&mut victim, Bytes::from_static(b"nonsense")),
        Some(Verdict::Reject)
    );
    assert_eq!(flood(&mut victim, Bytes::new()), Some(Verdict::Reject));
    let [first, second] = two_changes(document("cars", 5));
    let [first, early] = [&first, &second].map(crate::proto::codec::encode_flood);
    let ignored = [IngestOutcome::UnknownCertificate];
    assert_eq!(flood(&mut victim, first.clone()), Some(Verdict::Ignore));
    assert_eq!(victim.outcomes.take().as_deref(), Some(&ignored[..]));
    let [elsewhere, _] = two_changes(document("cars", 6));
    victim
        .replica
        .ingest(vec![elsewhere], &Origin::Flood)
        .unwrap();
    let ignored = [IngestOutcome::MissingDependencies];
    assert_eq!(flood(&mut victim, early.clone()), Some(Verdict::Ignore));
    assert_eq!(victim.outcomes.take().as_deref(), Some(&ignored[..]));
    assert_eq!(flood(&mut victim, first), Some(Verdict::Accept));
    let [mut forged, _] = two_changes(document("cars", 7));
    forged.seals.clear();
    let forged = crate::proto::codec::encode_flood(&forged);
    assert_eq!(flood(&mut victim, forged), Some(Verdict::Reject));

    // Without answers from the store.
    let mut core = victim.core;
    let (mut asked, mut ignored) = (0, 0);
    for _ in 0..FLOODS_WAITING_MAX + 11 {
        let id = FloodId::of(&early);
        let event = Event::Flooded {
            source: peer(9),
            id,
            collection: collection("cars"),
            payload: early.clone(),
        };
        for effect in core.handle(event, Millis(0)) {
            match effect {
                Effect::Ask(..) => asked += 1,
                Effect::Judge {
                    verdict: Verdict::Ignore,
                    ..
                } => ignored += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((asked, ignored), (1, 10));
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = || prop_oneof![0_u64..12, Just(100), Just(u64::MAX)];
    let documents = vec((0_u64..4).prop_map(|id| offered("cars", id)), 0..4);
    let message = prop_oneof![
        prop_oneof![Just(10), Just(1_000)].prop_map(|last| hello(THEIR_FEED, last)),
        any_comparing(),
        (any::<bool>(), number())
            .prop_map(|(own, after)| follow(if own { OWN_FEED } else { THEIR_FEED }, after)),
        (number(), documents).prop_map(|(up_to, entries)| offer(up_to, entries)),
        (number(), vec(0_u32..5, 0..4), any::<bool>()).prop_map(|(up_to, indexes, anew)| {
            match anew {
                true => want_anew(up_to, &indexes),
                false => want(up_to, &indexes),
            }
        }),
        (
            number(),
            vec((0_u64..4, 0_usize..9, any::<bool>()), 0..4),
            vec(any::<[u8; 4]>(), 0..3),
            any::<Option<u32>>()
        )
            .prop_map(|(up_to, pieces, evidence, below)| {
                let pieces = pieces
                    .into_iter()
                    .map(|(id, bytes, more)| piece(document("cars", id), bytes, more));
                let seals = evidence.iter().map(|seal| Bytes::copy_from_slice(seal));
                let certificates = evidence.iter().map(|bytes| NamedCertificate {
                    name: [bytes[0]; 32],
                    bytes: Bytes::copy_from_slice(bytes),
                });
                Message::Changes(Changes {
                    certificates: certificates.collect(),
                    seals: seals.collect(),
                    pieces: pieces.collect(),
                    answered_below: below,
                    ..Changes::empty(Sequence(up_to))
                })
            }),
        number().prop_map(ack),
        any::<u32>().prop_map(|code| Message::Close(CloseCode::from_number(code))),
    ];
    prop_oneof![
        8 => message.prop_map(|message| Event::Received(peer(9), message)),
        1 => Just(Event::Connected(peer(9))),
        1 => Just(Event::Disconnected(peer(9))),
        1 => (0_u64..3).prop_map(|number| Event::Timer(Timer::Offer(peer(9), number))),
        1 => (0_u64..9).prop_map(|id| {
            Event::Answered(RequestId(id), crate::proto::Answer::Ingested(vec![IngestOutcome::Known]))
        }),
    ]
}

/// What is said while stores are compared, of the victim's collection.
fn any_comparing() -> impl Strategy<Value = Message> {
    let fingerprints = |count: usize| vec(any::<[u8; 8]>().prop_map(Fingerprint), count);
    let content = prop_oneof![
        fingerprints(16).prop_map(Content::Parts),
        fingerprints(3).prop_map(Content::Items)
    ];
    let described = (0_u8..3, 0_u64..16, content).prop_map(|(depth, bits, content)| Described {
        range: Range {
            collection: collection("cars"),
            prefix: Prefix::new(depth, bits).unwrap_or(Prefix::ROOT),
        },
        content,
    });
    let differs = (vec(0_u8..4, 0..2), vec(0_u8..18, 0..2), any::<bool>()).prop_map(
        |(which, lacking, finer)| Differs {
            which,
            lacking,
            finer,
        },
    );
    let root = any::<[u8; 8]>().prop_map(|fingerprint| Root {
        collection: collection("cars"),
        fingerprint: Fingerprint(fingerprint),
    });
    prop_oneof![
        vec(root, 0..2).prop_map(|roots| Message::Follow {
            feed: OWN_FEED,
            after: Cursor::default(),
            comparison: Some(Comparison {
                nonce: Nonce([1; 8]),
                roots,
            }),
        }),
        vec(described, 1..4).prop_map(Message::Compare),
        vec(differs, 0..3).prop_map(Message::Differing),
    ]
}

proptest! {
    /// No sequence of events makes a core panic or store anything that was not asked for.
    #[test]
    fn arbitrary_events_do_no_harm(events in vec(any_event(), 0..60)) {
        let mut victim = Victim::new();
        for event in events {
            victim.feed(event);
        }
        prop_assert_eq!(victim.replica.contents().len(), 3);
    }
}

/// A peer that begins session after session can't fill the store's queue: it has to wait for what it asked for.
#[test]
fn ever_new_sessions_wait_for_the_requests_of_old_ones() {
    let replica = MemoryReplica::new(OWN_FEED);
    let (mut core, _) = Core::new(CoreConfig::new(
        replica.feed().unwrap(),
        BTreeSet::new(),
        Interest::Everything,
        [7; 32],
    ));
    let mut asked = Vec::new();
    let begin = |core: &mut Core, asked: &mut Vec<RequestId>, peer: &PeerKey| {
        let mut effects = core.handle(Event::Connected(peer.clone()), Millis(0));
        let hello = hello(THEIR_FEED, 100);
        effects.extend(core.handle(Event::Received(peer.clone(), hello), Millis(0)));
        asked.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Ask(id, _) => Some(*id),
            _ => None,
        }));
        !effects.contains(&Effect::Close(peer.clone(), CloseCode::Busy))
    };
    let begun = (0..100).filter(|_| begin(&mut core, &mut asked, &peer(9)));
    assert_eq!(begun.count(), REQUESTS_PER_SESSION_MAX + 1);
    assert!(begin(&mut core, &mut Vec::new(), &peer(8)), "others go on");
    let answer = Answer::Cursor(Cursor::default());
    core.handle(Event::Answered(asked[0], answer), Millis(0));
    assert!(begin(&mut core, &mut asked, &peer(9)), "its turn again");
}

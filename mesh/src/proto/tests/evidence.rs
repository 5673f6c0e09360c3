//! Goal: whatever is proven arrives with what proves it, in the one bundle that it was made for, and what a session
//! holds of it stays within its limits.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    fixtures::{collection, document, peer},
    victim::*,
};
use crate::{
    limits::{
        ANSWER_EVIDENCE_BYTES_MAX, ANSWER_TOTAL_BYTES_MAX, CERTIFICATE_BYTES_MAX, DELTA_BYTES_MAX,
        FLOOD_SEALS_MAX, FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES, PAGE_ENTRIES_MAX,
        PART_EVIDENCE_BYTES_MAX, SEAL_BYTES_MAX,
    },
    proto::{
        Answer, Changes, CloseCode, Effect, Event, FloodId, Message, Millis, Request,
        codec::encode_flood, decode_frame, encode_frame, inbox::Inbox, parts::split,
    },
    replica::{
        Answered, Bundle, ChangesLimits, Commit, Delta, DeltaPart, FeedId, IngestOutcome,
        NamedCertificate, Origin, PartLimits, Sequence, collect_deltas, evidence_bytes, fits_flood,
    },
};

pub fn certificate(number: u64, length: usize) -> NamedCertificate {
    let mut name = [0; 32];
    name[..8].copy_from_slice(&number.to_be_bytes());
    NamedCertificate {
        name,
        bytes: Bytes::from(vec![number as u8; length]),
    }
}

fn bundle(certificates: &[usize], seals: &[usize], payloads: &[usize]) -> Bundle {
    let numbered =
        |lengths: &[usize]| -> Vec<(u64, usize)> { (0..).zip(lengths.iter().copied()).collect() };
    Bundle {
        certificates: numbered(certificates)
            .into_iter()
            .map(|(number, length)| certificate(number, length))
            .collect(),
        seals: numbered(seals)
            .into_iter()
            .map(|(number, length)| Bytes::from(vec![number as u8; length]))
            .collect(),
        deltas: numbered(payloads)
            .into_iter()
            .map(|(number, length)| Delta {
                document: document("cars", number),
                payload: Bytes::from(vec![number as u8; length]),
            })
            .collect(),
    }
}

/// The frames of a bundle, each as it comes out at the other end.
fn carried(bundle: &Bundle) -> Vec<Changes> {
    let frames = split(Sequence(9), bundle.clone(), 1).into_iter();
    let decoded = frames.map(|changes| {
        let frame = encode_frame(&Message::Changes(changes));
        assert!(frame.len() <= FRAME_BYTES_MAX, "{}", frame.len());
        match decode_frame(frame.slice(4..)) {
            Ok(Message::Changes(changes)) => changes,
            other => panic!("{other:?}"),
        }
    });
    decoded.collect()
}

fn put_together(frames: Vec<Changes>) -> Result<Bundle, CloseCode> {
    let mut inbox = Inbox::default();
    for changes in frames {
        inbox.add_evidence(changes.certificates, changes.seals)?;
        for piece in changes.pieces {
            inbox.add(piece, |_| true)?;
        }
    }
    inbox.finish()
}

/// Goal: entries that just fill a frame, in bytes or in number, and bundles far beyond one frame come out as they went in.
#[test]
fn a_bundle_survives_the_way_over_frames() {
    let full = (FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES) / evidence_bytes(CERTIFICATE_BYTES_MAX);
    for (bundle, frames) in [
        (bundle(&[1], &[1], &[0]), 1),
        (bundle(&[], &[1; PAGE_ENTRIES_MAX], &[]), 1),
        (bundle(&[], &[1; PAGE_ENTRIES_MAX], &[1]), 2),
        (bundle(&[1; 600], &[1; 600], &[1; 600]), 2),
        (bundle(&vec![CERTIFICATE_BYTES_MAX; full], &[], &[]), 1),
        (bundle(&vec![CERTIFICATE_BYTES_MAX; full + 1], &[], &[]), 2),
        (bundle(&[], &vec![SEAL_BYTES_MAX; 2_400], &[3 << 20]), 8),
    ] {
        let carried = carried(&bundle);
        assert_eq!(carried.len(), frames);
        assert_eq!(put_together(carried), Ok(bundle));
    }
}

proptest! {
    #[test]
    fn any_bundle_survives_the_way_over_frames(
        certificates in vec(1..=CERTIFICATE_BYTES_MAX, 0..200),
        seals in vec(1..=SEAL_BYTES_MAX, 0..1_200),
        payloads in vec(0..300_000_usize, 0..9),
    ) {
        let bundle = bundle(&certificates, &seals, &payloads);
        prop_assert_eq!(put_together(carried(&bundle)), Ok(bundle));
    }
}

/// Goal: floods that waited for the store are handed to it together, each bundle as it came.
#[test]
fn floods_that_wait_are_not_merged() {
    let mut victim = Victim::greeted();
    let bundles = [5, 6, 7].map(|id| {
        let [bundle, _] = two_changes(document("cars", id));
        Bundle {
            certificates: vec![],
            ..bundle
        }
    });
    let mut asked = Vec::new();
    for bundle in &bundles {
        let payload = encode_flood(bundle);
        let event = Event::Flooded {
            source: peer(9),
            id: FloodId::of(&payload),
            collection: collection("cars"),
            payload,
        };
        asked.extend(victim.core.handle(event, Millis(0)));
    }
    let [first, second, third] = bundles;
    let ingest = |bundles| Request::Ingest(bundles, Origin::Flood);
    let [Effect::Ask(id, request)] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(*request, ingest(vec![first]));
    let answer = Answer::Ingested(vec![IngestOutcome::Applied]);
    let effects = victim.core.handle(Event::Answered(*id, answer), Millis(0));
    let [Effect::Judge { .. }, Effect::Ask(_, request)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(*request, ingest(vec![second, third]));
}

/// Goal: seals and certificates are bounded in the number of bytes of an answer, however they are spread over frames and
/// however small they are, and beside them the payloads.
#[test]
fn evidence_beyond_the_limits_ends_the_session() {
    let sent_until_closed = |length: usize| {
        let mut victim = Victim::fetching();
        let seals = vec![Bytes::from(vec![1; length]); 400];
        let message = Message::Changes(Changes {
            seals,
            ..Changes::empty(Sequence(10))
        });
        let sent = (1..).find(|_| victim.hear(message.clone()).closed.is_some());
        assert_eq!(victim.closed, Some(CloseCode::TooLarge));
        400 * sent.unwrap()
    };
    for length in [1, 100, SEAL_BYTES_MAX] {
        let most = ANSWER_EVIDENCE_BYTES_MAX / evidence_bytes(length);
        let sent = sent_until_closed(length);
        assert!((most..most + 400).contains(&sent), "{sent} of {most}");
    }

    // A full answer of deltas leaves room for what a last one needs, not for more.
    let mut victim = Victim::fetching();
    let half = DELTA_BYTES_MAX / 2;
    for id in [77, 78] {
        let more = id == 78;
        victim.hear(changes(
            10,
            vec![piece(document("cars", id), half, more)],
            None,
        ));
    }
    victim.hear(changes(
        10,
        vec![piece(document("cars", 78), half, true)],
        None,
    ));
    assert_eq!(victim.closed, None);
    let left = ANSWER_TOTAL_BYTES_MAX - 3 * half;
    let certificates = vec![certificate(1, CERTIFICATE_BYTES_MAX); 100];
    let message = Message::Changes(Changes {
        certificates,
        ..Changes::empty(Sequence(10))
    });
    let taken = (0..).find(|_| victim.hear(message.clone()).closed.is_some());
    assert_eq!(victim.closed, Some(CloseCode::TooLarge));
    assert_eq!(
        taken.unwrap(),
        left / (100 * evidence_bytes(CERTIFICATE_BYTES_MAX))
    );
}

/// Goal: a store that gives out more evidence than a neighbour takes fails at home, and isn't taken for an attacker there.
#[test]
fn evidence_that_no_neighbour_takes_is_not_sent() {
    let answers: [fn() -> Bundle; 4] = [
        || bundle(&[], &[SEAL_BYTES_MAX + 1], &[1]),
        || bundle(&[CERTIFICATE_BYTES_MAX + 1], &[], &[1]),
        || bundle(&[], &[0], &[1]),
        || bundle(&[CERTIFICATE_BYTES_MAX; 700], &[], &[1]),
    ];
    for answer in answers {
        let mut victim = Victim::offering();
        let effects = victim
            .core
            .handle(Event::Received(peer(9), want(3, &[0])), Millis(0));
        let [Effect::Ask(id, Request::Changes(_))] = &effects[..] else {
            panic!("{effects:?}");
        };
        let answered = Answered {
            bundle: answer(),
            answered: 1,
            more_after: None,
        };
        victim.feed(Event::Answered(*id, Answer::Changes(answered)));
        assert_eq!(victim.closed, Some(CloseCode::Internal));
    }
}

/// Goal: a store that does not say of each delta what became of it is not believed: the page is not acknowledged.
#[test]
fn an_outcome_for_each_delta_is_demanded() {
    let answers: [fn(&Request) -> Option<Answer>; 2] = [
        |request| match request {
            Request::Ingest(..) => Some(Answer::Ingested(vec![])),
            _ => None,
        },
        |request| match request {
            Request::Ingest(..) => Some(Answer::Ingested(vec![IngestOutcome::Known; 2])),
            _ => None,
        },
    ];
    for answers in answers {
        let mut victim = Victim::fetching();
        victim.answers = Some(answers);
        let [bundle, _] = two_changes(document("cars", 77));
        victim.hear(proven(10, bundle, 2));
        assert_eq!(victim.closed, Some(CloseCode::Internal));
    }
}

/// Goal: an answer is cut by all its bytes, evidence included, and a part that no neighbour takes is passed over.
#[test]
fn evidence_counts_towards_an_answer() {
    let limits = ChangesLimits {
        answer_bytes_max: 1_000,
        part: PartLimits {
            delta_bytes_max: 400,
            evidence_bytes_max: 300,
        },
    };
    let collected = |payload: usize, evidence_bytes: usize| {
        let wants: Vec<_> = (0..20).map(|id| (document("cars", id), vec![])).collect();
        let answer = collect_deltas(&wants, limits, |document, _, _| {
            Ok(Some(DeltaPart {
                delta: Delta {
                    document: document.clone(),
                    payload: Bytes::from(vec![0; payload]),
                },
                evidence_bytes,
                more_after: None,
            }))
        });
        let answer = answer.unwrap();
        (answer.answered, answer.bundle.deltas.len())
    };
    assert_eq!(collected(100, 0), (10, 10));
    assert_eq!(collected(100, 100), (5, 5));
    assert_eq!(collected(400, 300), (2, 2));
    assert_eq!(collected(401, 0), (20, 0));
    assert_eq!(collected(100, 301), (20, 0));
    const { assert!(ANSWER_EVIDENCE_BYTES_MAX >= 4 * PART_EVIDENCE_BYTES_MAX) };
}

/// Goal: a commit with too many seals, or seals too large, is left to the offers.
#[test]
fn seals_count_towards_a_flood() {
    let one = || std::iter::once(1);
    assert!(fits_flood(one(), vec![1; FLOOD_SEALS_MAX]));
    assert!(!fits_flood(one(), vec![1; FLOOD_SEALS_MAX + 1]));
    assert!(!fits_flood(one(), vec![2_000; 25]));
    let [bytes] = published("cars", bundle(&[5], &[700; 60], &[9]))[..] else {
        panic!("a commit that fits is flooded");
    };
    assert!(bytes < 60 * 703 + 30, "no certificates in {bytes} bytes");
    let too_many = [1; FLOOD_SEALS_MAX + 1];
    assert!(published("cars", bundle(&[], &too_many, &[9])).is_empty());
}

/// Goal: a store that has another feed from now on tells it to everybody anew: nobody's position in the old one holds.
#[test]
fn a_new_feed_is_told_in_new_sessions() {
    let commit = |feed| Commit {
        origin: Origin::Local,
        feed,
        last_sequence: Sequence(4),
        documents: 1,
        collections: [collection("cars")].into(),
        floods: Default::default(),
    };
    let mut victim = Victim::greeted();
    let mut ends = |feed| {
        let effects = victim
            .core
            .handle(Event::Committed(commit(feed)), Millis(0));
        let close = |effect: &Effect| matches!(effect, Effect::Close(_, CloseCode::Goodbye));
        effects.iter().filter(|effect| close(effect)).count()
    };
    let new = FeedId([77; 16]);
    assert_eq!([ends(OWN_FEED), ends(new), ends(new)], [0, 1, 0]);
    let effects = victim.core.handle(Event::Connected(peer(9)), Millis(0));
    let hello = |effect: &Effect| matches!(effect, Effect::Send(_, Message::Hello(hello)) if hello.feed.id == new);
    assert!(effects.iter().any(hello));
}

/// Sizes of the messages that flood a bundle committed to a collection.
fn published(name: &str, bundle: Bundle) -> Vec<usize> {
    let mut victim = Victim::greeted();
    let commit = Commit {
        origin: Origin::Local,
        feed: OWN_FEED,
        last_sequence: Sequence(4),
        documents: 1,
        collections: [collection(name)].into(),
        floods: [(collection(name), bundle)].into(),
    };
    let effects = victim.core.handle(Event::Committed(commit), Millis(0));
    let publishes = effects.iter().filter_map(|effect| match effect {
        Effect::Publish(_, payload) => Some(payload.len()),
        _ => None,
    });
    publishes.collect()
}

/// Goal: what a neighbour would take for an attack is not flooded, whatever the store hands over.
#[test]
fn what_a_neighbour_would_reject_is_not_flooded() {
    assert_eq!(published("cars", bundle(&[], &[1], &[9])).len(), 1);
    for (name, bundle) in [
        ("cars", bundle(&[], &[1], &[])),
        ("cars", bundle(&[], &[0], &[9])),
        ("cars", bundle(&[], &[SEAL_BYTES_MAX + 1], &[9])),
        ("boats", bundle(&[], &[1], &[9])),
    ] {
        assert!(published(name, bundle).is_empty());
    }
}

/// Goal: an answer that is put together takes no more memory than it counts, in few large pieces and many small ones.
#[test]
fn a_payload_takes_no_more_than_a_delta_may_have() {
    for (size, count) in [(1 << 20, 6), (1_000_000, 6), (4_096, 1_536), (7, 10_000)] {
        let mut inbox = Inbox::default();
        for at in 1..=count {
            let more = at < count;
            inbox
                .add(piece(document("cars", 1), size, more), |_| true)
                .unwrap();
            assert!(inbox.open_capacity() <= DELTA_BYTES_MAX);
            assert!(inbox.open_capacity() <= 2 * at * size);
        }
        let bundle = inbox.finish().unwrap();
        assert_eq!(bundle.deltas[0].payload, vec![0; size * count]);
    }
}

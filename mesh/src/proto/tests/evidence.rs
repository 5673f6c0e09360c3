//! Goal: whatever is proven arrives with what proves it, in the one bundle that it was made for; a certificate travels
//! once in a session; and what a session holds of it stays within its limits.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    fixtures::{collection, document, peer},
    net::Net,
    victim::*,
};
use crate::{
    limits::{
        ANSWER_EVIDENCE_BYTES_MAX, ANSWER_TOTAL_BYTES_MAX, CERTIFICATE_BYTES_MAX,
        CERTIFICATES_SENT_MAX, DELTA_BYTES_MAX, FLOOD_SEALS_MAX, FRAME_BYTES_MAX,
        FRAME_OVERHEAD_BYTES, PAGE_ENTRIES_MAX, PART_EVIDENCE_BYTES_MAX, SEAL_BYTES_MAX,
    },
    proto::{
        Answer, Changes, CloseCode, Effect, Event, Message, Millis, Request, decode_frame,
        encode_frame,
        inbox::Inbox,
        parts::{SentCertificates, split},
    },
    replica::{
        Answered, Bundle, ChangesLimits, Commit, Delta, DeltaPart, FeedId, IngestOutcome,
        NamedCertificate, Origin, PartLimits, Sequence, collect_deltas, evidence_bytes, fits_flood,
    },
};

fn certificate(number: u64, length: usize) -> NamedCertificate {
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

/// Goal: each certificate is left out after its first time, and none for ever, however many there are.
#[test]
fn what_was_sent_is_left_out_until_too_much_was_sent() {
    let mut sent = SentCertificates::default();
    let mut left_of = |numbers: std::ops::Range<u64>| {
        let mut bundle = Bundle {
            certificates: numbers.map(|number| certificate(number, 1)).collect(),
            ..Bundle::default()
        };
        sent.leave_out_of(&mut bundle);
        bundle.certificates.len()
    };
    assert_eq!(left_of(0..3), 3);
    assert_eq!(left_of(0..4), 1);
    let most = CERTIFICATES_SENT_MAX as u64;
    assert_eq!(left_of(0..most), CERTIFICATES_SENT_MAX - 4);
    assert_eq!(left_of(0..most), 0);
    assert_eq!(left_of(0..most + 1), 1, "all are forgotten with it");
    assert_eq!(left_of(0..10), 10);
}

/// Certificates in the answers that a peer sent another.
fn certificates_sent(net: &Net, from: usize, to: usize) -> usize {
    let sent = net.sent.iter();
    sent.map(|(a, b, message)| match message {
        Message::Changes(changes) if (*a, *b) == (from, to) => changes.certificates.len(),
        _ => 0,
    })
    .sum()
}

/// Goal: many pages by two authors bring two certificates, once; the next session brings again those that it needs.
#[test]
fn a_certificate_travels_once_in_a_session() {
    let mut net = Net::everything(1, 3);
    net.keep_sent = true;
    net.line();
    let write = |net: &mut Net, at, node, from: u64| {
        let ids = from..from + 2_500;
        let writes = ids.map(|id| (document("cars", id), Bytes::from_static(b"w")));
        net.write(at, node, writes.collect());
    };
    write(&mut net, 10, 0, 0);
    write(&mut net, 10, 1, 10_000);
    net.run_until(5_000);
    assert!(net.converged());
    assert_eq!(certificates_sent(&net, 1, 2), 2);
    assert_eq!(certificates_sent(&net, 0, 1), 1);

    net.cut(5_000, 1, 2);
    write(&mut net, 5_100, 1, 20_000);
    net.queue_join(5_200, 1, 2);
    net.run_until(10_000);
    assert!(net.converged());
    assert_eq!(certificates_sent(&net, 1, 2), 3, "of one author alone");
    assert_eq!(net.closes, []);
    assert_eq!(net.notes, []);
}

/// Goal: a peer that has lost a certificate gets it again, without blame for anyone, and takes in what it lacked.
#[test]
fn a_lost_certificate_is_sent_again() {
    let mut net = Net::everything(2, 2);
    net.line();
    let write = |net: &mut Net, at, ids: std::ops::Range<u64>| {
        let writes = ids.map(|id| (document("cars", id), Bytes::from_static(b"w")));
        net.write(at, 0, writes.collect());
    };
    write(&mut net, 10, 0..100);
    net.run_until(2_000);
    assert!(net.converged());
    net.nodes[1].replica.forget_certificates();
    write(&mut net, 2_000, 100..200);
    net.run_until(5_000);
    assert!(net.converged());
    assert_eq!(net.closes, []);
    assert_eq!(net.notes, []);
}

/// Goal: who does not accept an author's certificate goes on without the author's changes, whatever page and answer they
/// are in, and its neighbour knows that it left something out. (It keeps no such certificate, so each is lost to it.)
#[test]
fn an_author_who_is_not_accepted_holds_up_nobody() {
    let mut net = Net::everything(3, 3);
    net.line();
    net.nodes[2].replica.distrust(FeedId([1; 16]));
    net.cut(10, 1, 2);
    // Four answers for the first page, and some pages more; every second document is by the author.
    let contents = std::iter::repeat_n(vec![1; 1 << 20], 12);
    let contents = contents.chain(std::iter::repeat_n(vec![2; 10], 2_000));
    for (id, content) in (0..).zip(contents) {
        let writes = vec![(document("cars", id), Bytes::from(content))];
        net.write(20 + id, (id % 2) as usize, writes);
    }
    net.run_until(20_000);
    let contents = |node: usize| net.nodes[node].replica.contents();
    assert_eq!(contents(1), contents(0));
    net.queue_join(20_000, 1, 2);
    net.keep_sent = true;
    net.run_until(40_000);
    assert_eq!(net.nodes[2].replica.contents().len(), 1_006);
    let status = net.nodes[1].core.status(&peer(2)).unwrap();
    assert_eq!(status.acked, status.own_last, "{}", net.describe());
    assert!(status.whole_to < status.own_last);
    assert_eq!(net.closes, []);
    assert_eq!(net.notes.len(), 1_006);
    let pages = net.sent.iter().filter(|(_, to, message)| {
        *to == 2 && matches!(message, Message::Offer(page) if !page.entries.is_empty())
    });
    assert_eq!(pages.count(), 2);
}

/// Goal: a part that came without its certificate is asked for again from its beginning, and what builds on it after it.
#[test]
fn the_parts_of_a_document_wait_for_their_certificate() {
    let mut net = Net::everything(4, 2);
    net.nodes[0].replica.limit_deltas(2);
    net.line();
    net.write(10, 0, vec![(document("cars", 0), Bytes::new())]);
    net.run_until(2_000);
    net.nodes[1].replica.forget_certificates();
    net.cut(2_000, 0, 1);
    for id in [1, 2, 2, 2, 2, 2, 3] {
        net.write(2_010, 0, vec![(document("cars", id), Bytes::new())]);
    }
    net.queue_join(3_000, 0, 1);
    // The session has sent the certificate with the first answer, when it is lost a second time.
    net.run_until_holds(1, 3);
    net.nodes[1].replica.forget_certificates();
    net.run_until(10_000);
    assert!(net.converged());
    assert_eq!(net.closes, []);
    assert_eq!(net.notes, []);
}

/// Goal: a neighbour that never sends a certificate is asked once more for each page, and then left with it.
#[test]
fn a_certificate_that_never_comes_is_not_waited_for() {
    let mut victim = Victim::fetching();
    let [mut bundle, _] = two_changes(document("cars", 77));
    bundle.certificates.clear();
    victim.hear(proven(10, bundle.clone(), 2));
    let again = victim.said.last().unwrap().clone();
    let Message::Want {
        wants,
        certificates_anew: true,
        ..
    } = again
    else {
        panic!("{again:?}");
    };
    assert_eq!(wants.iter().map(|it| it.index).collect::<Vec<_>>(), [0]);
    victim.hear(proven(10, bundle, 1));
    assert_eq!(victim.said.last(), Some(&ack_of_a_part(10)));
    assert_eq!(victim.closed, None);
    assert_eq!(victim.replica.contents().len(), 3);
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

/// Sizes of the messages that flood a bundle committed to a collection.
fn published(name: &str, bundle: Bundle) -> Vec<usize> {
    let mut victim = Victim::greeted();
    let commit = Commit {
        origin: Origin::Local,
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

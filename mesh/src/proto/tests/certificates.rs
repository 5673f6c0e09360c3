//! Goal: a certificate travels once in a session, who lacks one gets it again, and nobody waits for one for ever.

use bytes::Bytes;

use super::{
    evidence::certificate,
    fixtures::{document, peer},
    victim::*,
};
use crate::{
    limits::CERTIFICATES_SENT_MAX,
    proto::{Message, parts::SentCertificates},
    replica::{Bundle, FeedId},
    sim::World,
};

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
fn certificates_sent(net: &World, from: usize, to: usize) -> usize {
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
    let mut net = World::everything(1, 3);
    net.keep_sent = true;
    net.line();
    let write = |net: &mut World, at, node, from: u64| {
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
    net.join(5_200, 1, 2);
    net.run_until(10_000);
    assert!(net.converged());
    assert_eq!(certificates_sent(&net, 1, 2), 3, "of one author alone");
    assert_eq!(net.closes, []);
    assert_eq!(net.notes, []);
}

/// Goal: a peer that has lost a certificate gets it again, without blame for anyone, and takes in what it lacked.
#[test]
fn a_lost_certificate_is_sent_again() {
    let mut net = World::everything(2, 2);
    net.line();
    let write = |net: &mut World, at, ids: std::ops::Range<u64>| {
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
    let mut net = World::everything(3, 3);
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
    net.join(20_000, 1, 2);
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
    let mut net = World::everything(4, 2);
    net.nodes[0].replica.limit_deltas(2);
    net.line();
    net.write(10, 0, vec![(document("cars", 0), Bytes::new())]);
    net.run_until(2_000);
    net.nodes[1].replica.forget_certificates();
    net.cut(2_000, 0, 1);
    for id in [1, 2, 2, 2, 2, 2, 3] {
        net.write(2_010, 0, vec![(document("cars", id), Bytes::new())]);
    }
    net.join(3_000, 0, 1);
    // The session has sent the certificate with the first answer, when it is lost a second time.
    net.run_until_holds(1, 3);
    net.nodes[1].replica.forget_certificates();
    net.run_until(10_000);
    assert!(net.converged());
    assert_eq!(net.closes, []);
    assert_eq!(net.notes, []);
}

/// Goal: what was sent of a document in vain does not count as sent, also where it is the first of its page.
#[test]
fn a_part_without_its_certificate_was_not_sent() {
    let mut net = World::everything(5, 2);
    net.nodes[0].replica.limit_deltas(2);
    net.line();
    net.write(10, 0, vec![(document("cars", 0), Bytes::new())]);
    net.run_until(2_000);
    net.nodes[1].replica.forget_certificates();
    for _ in 0..5 {
        net.write(2_010, 0, vec![(document("cars", 1), Bytes::new())]);
    }
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

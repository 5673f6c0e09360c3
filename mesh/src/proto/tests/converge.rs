//! Goal: whatever links, gossip and processes do, peers that stay connected for a while end with the same
//! changes, and nobody receives what it did not ask for.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::fixtures::{collection, document, peer};
use crate::{
    limits::{DELTA_BYTES_MAX, FRAME_BYTES_MAX, PAGE_ENTRIES_MAX},
    proto::Message,
    replica::{DocumentKey, Interest, Sequence},
    sim::{Loss, World},
};

/// Time of quiet after which everything must have arrived, in milliseconds.
const SETTLE_MS: u64 = 60_000;

fn content(net: &mut World) -> Bytes {
    let length = net.random.below(200);
    (0..length).map(|_| net.random.below(256) as u8).collect()
}

/// Random writes, cuts and crashes for ten seconds on a line of `nodes`, then quiet.
fn random_run(seed: u64, nodes: usize, offers: bool) -> World {
    let mut net = World::everything(seed, nodes);
    net.link.loss_percent = 30;
    for node in &net.nodes {
        node.replica.limit_deltas(1 + seed as usize % 5);
    }
    net.line();
    if !offers {
        net.switch_offers_off();
    }
    if nodes > 3 && net.random.percent(50) {
        net.join(50, 0, nodes - 1);
    }
    for _ in 0..60 {
        let (at, node) = (
            net.random.below(10_000),
            net.random.below(nodes as u64) as usize,
        );
        let count = if net.random.percent(10) {
            40
        } else {
            1 + net.random.below(3)
        };
        let writes = (0..count).map(|_| {
            let key = document(
                ["cars", "boats", "planes"][net.random.below(3) as usize],
                net.random.below(30),
            );
            (key, content(&mut net))
        });
        let writes: Vec<_> = writes.collect();
        net.write(at, node, writes);
    }
    for (a, b) in net.links() {
        for _ in 0..net.random.below(5) {
            let at = net.random.below(10_000);
            let back = at + 1 + net.random.below(1_500);
            net.cut(at, a, b);
            net.join(back, a, b);
        }
    }
    for _ in 0..net.random.below(3) {
        let (node, at) = (
            net.random.below(nodes as u64) as usize,
            net.random.below(9_000),
        );
        let (forget, back) = (net.random.percent(50), at + 1 + net.random.below(1_500));
        let loss = if forget { Loss::Cursors } else { Loss::Nothing };
        net.crash(at, node, loss, back);
    }
    net.run_until(12_000);
    for (a, b) in net.links() {
        net.join(12_000, a, b);
    }
    net.run_until(12_000 + SETTLE_MS);
    net
}

fn assert_honest(net: &World, seed: u64) {
    assert_eq!(
        net.closes,
        [],
        "seed {seed}: honest peers never close a session"
    );
    assert_eq!(net.notes, [], "seed {seed}: nothing is rejected");
}

/// Runs of each kind of mesh: more in a long run (`scripts/test --full mesh`).
fn seeds() -> u64 {
    let long = std::env::var("SEDGE_FULL").is_ok_and(|group| group == "mesh");
    if long { 5_000 } else { 1_000 }
}

fn assert_convergence(nodes: usize) {
    for seed in 0..seeds() {
        let net = random_run(seed, nodes, true);
        assert_honest(&net, seed);
        assert!(
            net.converged(),
            "seed {seed}, {nodes} peers:\n{}",
            net.describe()
        );
        for (a, b) in net.links() {
            let status = net.nodes[a].core.status(&peer(b)).unwrap();
            assert!(status.is_current(), "seed {seed}: {status:?}");
        }
    }
}

#[test]
fn two_peers_converge_whatever_happens() {
    assert_convergence(2);
}

#[test]
fn three_peers_converge_whatever_happens() {
    assert_convergence(3);
}

#[test]
fn five_peers_converge_whatever_happens() {
    assert_convergence(5);
}

/// A document with more changes than fit one delta arrives whole before the cursor passes it, also over a link that breaks
/// in between, and whatever else the page holds.
#[test]
fn documents_beyond_one_delta_arrive_in_parts() {
    for seed in 0..20 {
        let mut net = World::everything(seed, 2);
        net.compare_from(1_000);
        net.nodes[0].replica.limit_deltas(1 + seed as usize % 4);
        for write in 0..300 {
            let key = document("cars", [0, 1, 1, 1, 2][write % 5]);
            let content = content(&mut net);
            net.write(0, 0, vec![(key, content)]);
        }
        net.run_until(10);
        net.keep_sent = true;
        net.join(10, 0, 1);
        net.cut(500, 0, 1);
        net.join(600, 0, 1);
        net.run_until(SETTLE_MS);
        assert!(net.converged(), "seed {seed}:\n{}", net.describe());
        let acks = net
            .sent
            .iter()
            .filter(|(from, _, message)| *from == 1 && matches!(message, Message::Ack(_)));
        assert_eq!(
            acks.count(),
            1,
            "seed {seed}: one page, once it is complete"
        );
        assert_honest(&net, seed);
    }
}

/// The oracle bites: with offers switched off, lossy gossip alone must be found insufficient.
#[test]
fn without_offers_a_lossy_run_does_not_converge() {
    let failed = (0..20)
        .filter(|seed| !random_run(*seed, 3, false).converged())
        .count();
    assert_eq!(failed, 20);
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    let runs = [random_run(7, 5, true), random_run(7, 5, true)];
    assert_eq!(runs[0].trace_hash(), runs[1].trace_hash());
    assert_ne!(
        runs[0].trace_hash(),
        random_run(8, 5, true).trace_hash(),
        "the trace tells runs apart"
    );
}

/// A bulk import travels by offers alone, page by page, and at once.
#[test]
fn three_thousand_documents_travel_along_a_line() {
    let mut net = World::everything(1, 3);
    net.line();
    net.run_until(1_000);
    net.keep_sent = true;
    let writes = (0..3_000)
        .map(|id| (document("cars", id), Bytes::from(vec![7; 200])))
        .collect();
    net.write(1_000, 0, writes);
    net.run_until(3_000);
    assert!(net.converged());
    assert_eq!(net.nodes[2].replica.contents().len(), 3_000);
    assert_eq!(net.counts().gossip_messages, 0);
    let offers = net
        .sent
        .iter()
        .filter_map(|(from, _, message)| match message {
            Message::Offer(page) if *from == 0 => Some(page.entries.len()),
            _ => None,
        });
    assert_eq!(
        offers.collect::<Vec<_>>(),
        [
            PAGE_ENTRIES_MAX,
            PAGE_ENTRIES_MAX,
            3_000 - 2 * PAGE_ENTRIES_MAX
        ]
    );
    assert_honest(&net, 1);
}

/// A link that breaks near the end goes on where it stopped.
#[test]
fn a_broken_transfer_resumes_from_the_cursor() {
    let mut net = World::everything(2, 2);
    net.line();
    net.run_until(100);
    net.write(
        100,
        0,
        (0..5_000)
            .map(|id| (document("cars", id), Bytes::from_static(b"x")))
            .collect(),
    );
    net.run_until_holds(1, 3_000);
    let had = net.nodes[1].replica.contents().len();
    net.cut(net.now, 0, 1);
    net.join(net.now + 100, 0, 1);
    net.keep_sent = true;
    net.run_until(net.now + 5_000);
    assert!(net.converged());
    let offered: usize = net
        .sent
        .iter()
        .map(|(from, _, message)| match message {
            Message::Offer(page) if *from == 0 => page.entries.len(),
            _ => 0,
        })
        .sum();
    assert!(
        offered <= 5_000 - had + PAGE_ENTRIES_MAX,
        "{offered} documents offered again after {had}"
    );
}

/// A delta larger than a frame is cut and put together again; many large ones are answered in turns.
#[test]
fn large_documents_arrive() {
    let mut net = World::everything(3, 3);
    net.line();
    net.keep_sent = true;
    let sizes = [
        5 << 20,
        0,
        1,
        FRAME_BYTES_MAX,
        3 << 20,
        3 << 20,
        DELTA_BYTES_MAX - 100,
        100,
    ];
    for (id, size) in (0..).zip(sizes) {
        net.write(
            10,
            0,
            vec![(document("cars", id), Bytes::from(vec![id as u8; size]))],
        );
    }
    net.run_until(5_000);
    assert!(net.converged());
    assert_eq!(net.nodes[2].replica.contents().len(), sizes.len());
    assert_honest(&net, 3);
}

/// A document that no delta can carry is passed over; what was written after it arrives.
#[test]
fn a_document_that_cannot_be_carried_holds_up_nobody() {
    let mut net = World::everything(3, 2);
    net.line();
    for (id, size) in (0..).zip([1, DELTA_BYTES_MAX + 1, 1]) {
        let content = Bytes::from(vec![id as u8; size]);
        net.write(10, 0, vec![(document("cars", id), content)]);
    }
    net.run_until(5_000);
    let arrived = net.nodes[1].replica.contents();
    let carried = [document("cars", 0), document("cars", 2)];
    assert!(arrived.keys().eq(&carried), "{arrived:?}");

    // Its sender knows, also once both have begun anew.
    let whole_to = |net: &World| net.nodes[0].core.status(&peer(1)).unwrap().whole_to;
    assert!(whole_to(&net) < Sequence(2));
    net.crash(5_000, 1, Loss::Nothing, 6_000);
    net.write(
        7_000,
        0,
        vec![(document("cars", 3), Bytes::from_static(b"more"))],
    );
    net.run_until(10_000);
    assert_eq!(net.nodes[1].replica.contents().len(), 3);
    assert!(whole_to(&net) < Sequence(2));
}

/// A live edit reaches the end of a line by gossip, and the delayed offers find nothing missing.
#[test]
fn live_edits_travel_by_flood() {
    let mut net = World::everything(4, 3);
    net.line();
    net.write(
        10,
        0,
        vec![(document("cars", 0), Bytes::from_static(b"first"))],
    );
    net.run_until(2_000);
    net.keep_sent = true;
    for edit in 0..20 {
        net.write(
            2_000 + 200 * edit,
            0,
            vec![(document("cars", edit), Bytes::from_static(b"edit"))],
        );
    }
    net.run_until(8_000);
    assert!(net.converged());
    let wants = net
        .sent
        .iter()
        .filter(|(_, _, message)| matches!(message, Message::Want { .. }))
        .count();
    assert!(
        wants <= 4,
        "gossip (at most 60 ms per hop) nearly always precedes the offer: {wants} wants"
    );
}

/// What is learnt from one neighbour by offer is flooded on to the others when it is little.
#[test]
fn what_is_little_is_flooded_on() {
    let mut net = World::everything(5, 3);
    net.line();
    net.cut(500, 0, 1);
    net.write(
        600,
        0,
        vec![(document("cars", 1), Bytes::from_static(b"offline"))],
    );
    net.join(700, 0, 1);
    net.run_until(690);
    let before = net.counts().gossip_messages;
    net.run_until(3_000);
    assert!(net.converged());
    assert_eq!(
        net.counts().gossip_messages - before,
        2,
        "peer 1 tells both neighbours, and neither passes it on to anyone"
    );
}

/// An uninterested peer gets nothing of other collections, by no path; an interested one behind gets all.
#[test]
fn interest_is_respected() {
    let cars = Interest::Collections(BTreeSet::from([collection("cars")]));
    for seed in 0..20 {
        let mut net = World::new(
            seed,
            vec![
                Interest::Everything,
                Interest::Everything,
                cars.clone(),
                Interest::Everything,
            ],
        );
        net.link.loss_percent = 20;
        net.keep_sent = true;
        net.line();
        for step in 0..50 {
            let name = ["cars", "boats"][(step % 2) as usize];
            let (at, count) = (net.random.below(3_000), 1 + net.random.below(30));
            let writes =
                (0..count).map(|id| (document(name, step * 100 + id), Bytes::from_static(b"w")));
            let writes = writes.collect();
            net.write(at, if step % 5 == 0 { 3 } else { 0 }, writes);
        }
        net.run_until(SETTLE_MS);
        let of = |node: usize, name: &str| -> Vec<DocumentKey> {
            let contents = net.nodes[node].replica.contents();
            contents
                .into_keys()
                .filter(|key| key.collection == collection(name))
                .collect()
        };
        assert_eq!(of(0, "cars"), of(2, "cars"));
        assert_eq!(of(0, "cars"), of(3, "cars"));
        assert_eq!(of(2, "boats"), []);
        for (_, to, message) in &net.sent {
            if let (2, Message::Offer(page)) = (to, message) {
                assert!(
                    page.entries
                        .iter()
                        .all(|entry| entry.document.collection == collection("cars"))
                );
            }
        }
        assert_honest(&net, seed);
    }
}

//! Figures of synchronisation: two real daemons on loopback, or a line of them.

mod devices;
mod initial;
mod known;
mod live;
mod upkeep;

use super::figure::{Bound, Figure};

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "sync.index_us_per_change",
        unit: "us",
        bound: Bound::AtMost(5.0),
        take: upkeep::us_per_change,
    },
    Figure {
        name: "sync.unchanged_bytes",
        unit: "bytes",
        bound: Bound::AtMost(256.0),
        take: known::unchanged_bytes,
    },
    Figure {
        name: "sync.known_peer_10_of_100k_ms",
        unit: "ms",
        bound: Bound::AtMost(10.0),
        take: known::milliseconds,
    },
    Figure {
        name: "sync.known_peer_10_of_100k_bytes",
        unit: "bytes",
        bound: Bound::AtMost(3_000.0),
        take: known::bytes,
    },
    Figure {
        name: "sync.initial_100k_docs_per_s",
        unit: "docs/s",
        bound: Bound::AtLeast(40_000.0),
        take: initial::documents_per_second,
    },
    Figure {
        name: "sync.initial_bytes_per_doc",
        unit: "bytes",
        bound: Bound::AtMost(90.0),
        take: initial::bytes_per_document,
    },
    Figure {
        name: "sync.initial_100k_rss_mib",
        unit: "MiB",
        bound: Bound::AtMost(200.0),
        take: initial::rss_mib,
    },
    Figure {
        name: "sync.live_1hop_p50_ms",
        unit: "ms",
        bound: Bound::AtMost(1.5),
        take: live::one_hop_p50,
    },
    Figure {
        name: "sync.live_1hop_p99_ms",
        unit: "ms",
        bound: Bound::AtMost(5.0),
        take: live::one_hop_p99,
    },
    Figure {
        name: "sync.live_5hop_p50_ms",
        unit: "ms",
        bound: Bound::AtMost(6.0),
        take: live::five_hops_p50,
    },
    Figure {
        name: "sync.live_5hop_p99_ms",
        unit: "ms",
        bound: Bound::AtMost(25.0),
        take: live::five_hops_p99,
    },
];

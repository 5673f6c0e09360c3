//! Tests of the real `sedge` program, as people use it: processes with state folders of their own, on loopback only.
//!
//! `harness` starts, watches and ends them. What is waited for has a generous deadline and is polled; no test measures
//! time, and none needs a port or a folder that another one uses.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up or read is a failed test"
)]

#[path = "system/attachments.rs"]
mod attachments;
#[path = "system/backup.rs"]
mod backup;
#[path = "system/bench.rs"]
mod bench;
#[path = "system/certificates.rs"]
mod certificates;
#[path = "system/compared.rs"]
mod compared;
#[path = "system/copied.rs"]
mod copied;
#[path = "system/crash.rs"]
mod crash;
#[path = "system/damage.rs"]
mod damage;
#[path = "system/demo.rs"]
mod demo;
#[path = "system/durability.rs"]
mod durability;
#[path = "system/edges.rs"]
mod edges;
#[path = "system/evict.rs"]
mod evict;
#[path = "system/export.rs"]
mod export;
#[path = "system/feed.rs"]
mod feed;
#[path = "system/fetch.rs"]
mod fetch;
#[path = "system/filled.rs"]
mod filled;
#[path = "system/folder.rs"]
mod folder;
#[path = "system/forged.rs"]
mod forged;
#[path = "system/harness.rs"]
mod harness;
#[path = "system/history.rs"]
mod history;
#[path = "system/identity.rs"]
mod identity;
#[path = "system/indexes.rs"]
mod indexes;
#[path = "system/load.rs"]
mod load;
#[path = "system/mesh.rs"]
mod mesh;
#[path = "system/neighbour.rs"]
mod neighbour;
#[path = "system/processes.rs"]
mod processes;
#[path = "system/rights.rs"]
mod rights;
#[path = "system/settings.rs"]
mod settings;
#[path = "system/simulate.rs"]
mod simulate;
#[path = "system/space.rs"]
mod space;
#[path = "system/status.rs"]
mod status;
#[path = "system/stranger.rs"]
mod stranger;
#[path = "system/synced.rs"]
mod synced;
#[path = "system/tool.rs"]
mod tool;
#[path = "system/unsealed.rs"]
mod unsealed;
#[path = "system/watch.rs"]
mod watch;

//! Logs go to standard error; `SEDGE_LOG` says how much (tracing's filter syntax).

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// The mesh library tells of every packet it dislikes; its warnings are enough.
const DAEMON: &str =
    "info,libp2p=warn,libp2p_mdns=error,libp2p_gossipsub=error,netlink_proto=error";
const COMMAND: &str = "error";

pub(super) fn start(daemon: bool) {
    let default = if daemon { DAEMON } else { COMMAND };
    let filter = match std::env::var("SEDGE_LOG") {
        Ok(filter) => EnvFilter::builder().parse_lossy(filter),
        Err(_) => EnvFilter::builder().parse_lossy(default),
    };
    let color =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(false)
        .init();
}

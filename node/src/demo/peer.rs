//! The demo's peers: processes of this very program, each with a state folder of its own.

use crate::child;
use crate::cli::CliError;
use sedge::api::Client;
use sedge::{Settings, SharedSecret, StateError, StateFolder};
use sedge_crdt::random;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

const APP: &str = "demo";
/// How long a peer may take to start, and to stop, in seconds.
const START_SECONDS_MAX: u64 = 60;
const STOP_SECONDS_MAX: u64 = 10;
/// Pause between two looks at a starting peer, in milliseconds.
const PAUSE_MS: u64 = 20;

/// A running peer.
pub(super) struct DemoPeer {
    pub(super) name: String,
    pub(super) client: Client,
    state: PathBuf,
    log: PathBuf,
    child: Child,
    /// The process ends when this closes, so none outlives this one, however it ends.
    stdin: Option<ChildStdin>,
}

/// `A`, `B`, `C`, …
pub(super) fn names(count: u8) -> Vec<String> {
    (0..count)
        .map(|index| char::from(b'A' + index).to_string())
        .collect()
}

/// This program, wherever it was started from.
pub(super) fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(CliError::Runtime)
}

/// Starts the peers, each connected to the one before; those that run are in `peers` even on an error.
pub(super) async fn start_line(
    folder: &Path,
    count: u8,
    peers: &mut Vec<DemoPeer>,
) -> Result<(), CliError> {
    let secret = SharedSecret::generate(random().map_err(StateError::from)?);
    let mut before: Option<String> = None;
    for name in names(count) {
        let state = StateFolder::new(folder.join(&name));
        state.init(&Settings::of(APP, &name), Some(&secret))?;
        peers.push(DemoPeer::spawn(name, &state, before.as_deref())?);
        if let Some(peer) = peers.last_mut() {
            before = Some(peer.started().await?);
        }
    }
    for (index, peer) in peers.iter_mut().enumerate() {
        let neighbours = 1 + usize::from(index > 0 && index + 1 < usize::from(count));
        peer.connected(neighbours).await?;
    }
    Ok(())
}

/// Stops all peers at once and waits for them.
pub(super) async fn stop_all(mut peers: Vec<DemoPeer>) {
    for peer in &mut peers {
        peer.stdin.take();
    }
    let limit = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
    for mut peer in peers {
        if tokio::time::timeout_at(limit, peer.child.wait())
            .await
            .is_err()
            && let Err(error) = peer.child.kill().await
        {
            tracing::error!(peer = peer.name, %error, "can't be stopped");
        }
    }
}

impl DemoPeer {
    fn spawn(name: String, state: &StateFolder, neighbour: Option<&str>) -> Result<Self, CliError> {
        let log = state.path().join("log");
        let log_file = std::fs::File::create(&log).map_err(CliError::file(&log))?;
        let mut command = Command::from(child::daemon(state)?);
        command
            .stderr(log_file)
            .process_group(0) // Ctrl-C is ours to handle
            .kill_on_drop(true);
        if let Some(address) = neighbour {
            command.args(["--peer", address]);
        }
        let mut child = command.spawn().map_err(CliError::Runtime)?;
        Ok(Self {
            name,
            client: Client::new(&state.socket_path()?),
            state: state.path().to_owned(),
            log,
            stdin: child.stdin.take(),
            child,
        })
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// Waits until it answers; gives the address where it takes dials.
    async fn started(&mut self) -> Result<String, CliError> {
        let tries = START_SECONDS_MAX * 1_000 / PAUSE_MS;
        for _ in 0..tries {
            if let Ok(status) = self.client.status().await
                && let Some(address) = status.listen.into_iter().next()
            {
                return Ok(address);
            }
            self.pause().await?;
        }
        Err(self.failed("did not start in time"))
    }

    /// Waits until it has so many neighbours.
    async fn connected(&mut self, neighbours: usize) -> Result<(), CliError> {
        let tries = START_SECONDS_MAX * 1_000 / PAUSE_MS;
        for _ in 0..tries {
            if self
                .client
                .status()
                .await
                .is_ok_and(|status| status.peers >= neighbours)
            {
                return Ok(());
            }
            self.pause().await?;
        }
        Err(self.failed("found no connection to its neighbours in time"))
    }

    async fn pause(&mut self) -> Result<(), CliError> {
        if let Some(status) = self.child.try_wait().map_err(CliError::Runtime)? {
            return Err(self.failed(&format!("ended ({status})")));
        }
        tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        Ok(())
    }

    fn failed(&self, what: &str) -> CliError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("its log is empty");
        CliError::Failed(format!("peer {} {what}: {last}", self.name))
    }
}

//! What keeping documents costs in memory and on disk: of the whole daemon, as a device runs it.

use super::super::cars::car;
use super::super::figure::{BenchError, Measured, Workplace};
use super::{APP, CARS, FILL, fill, open, unavailable};
use crate::child;
use crate::cli::CliError;
use sedge::api::Client;
use sedge::api::wire::{ExecuteRequest, ImportRequest};
use sedge::{Offline, Params, Settings, SharedSecret, StateFolder};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the daemon may take to start, in looks and the milliseconds between them.
const LOOKS: u32 = 1_500;
const PAUSE_MS: u64 = 20;
/// What matches 6 % of the documents.
const SCAN: &str = "SELECT * FROM cars WHERE color = 'red' AND year >= 2005";

/// The memory of a daemon that holds the documents and does nothing.
pub(super) fn idle_rss_mib(workplace: &Workplace) -> Result<Measured, BenchError> {
    let daemon = Daemon::start(workplace)?;
    resident(&daemon, "VmRSS")
}

/// The most memory it has while it answers a scan.
pub(super) fn scan_rss_mib(workplace: &Workplace) -> Result<Measured, BenchError> {
    let daemon = Daemon::start(workplace)?;
    daemon.forget_peak()?;
    let scan = ExecuteRequest {
        statement: SCAN.to_owned(),
        args: Params::new(),
    };
    let found = daemon.runtime.block_on(daemon.client.execute(&scan));
    if found.map_err(CliError::from)?.items.is_empty() {
        return unavailable("the scan found nothing");
    }
    resident(&daemon, "VmHWM")
}

/// What the store takes on disk once compacted, over the documents as JSON lines.
pub(super) fn disk_over_json(workplace: &Workplace) -> Result<Measured, BenchError> {
    let path = workplace.fresh("disk");
    let store = open(&path)?;
    fill(&store, workplace.documents)?;
    store.seal()?;
    store.compact()?;
    let lines = (0..workplace.documents).map(|index| car(index).to_string().len() as u64 + 1);
    Ok(Measured::ratio(
        ("disk_mib", vec![mib(folder_bytes(&path)?)]),
        ("json_mib", vec![mib(lines.sum())]),
    ))
}

fn folder_bytes(path: &Path) -> Result<u64, BenchError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A figure of the daemon's memory as the kernel tells it.
fn resident(daemon: &Daemon, field: &'static str) -> Result<Measured, BenchError> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| {
        line.trim_matches([':', '\t', ' ', 'k', 'B'])
            .parse::<f64>()
            .ok()
    });
    let Some(kib) = kib else {
        return unavailable("the kernel does not tell the memory of a process");
    };
    Ok(Measured {
        value: kib / 1024.0,
        medians: Vec::new(),
    })
}

/// A running `sedge run`, alone, with the workplace's documents in its store.
struct Daemon {
    child: Child,
    client: Client,
    runtime: Handle,
}

impl Daemon {
    fn start(workplace: &Workplace) -> Result<Self, BenchError> {
        let state = StateFolder::new(workplace.fresh("state"));
        let secret = SharedSecret::generate([7; 20]);
        state
            .init(&Settings::of(APP, "bench"), Some(&secret))
            .map_err(CliError::from)?;
        let runtime = Handle::current();
        runtime.block_on(import(&state, workplace.documents))?;
        let child = child::daemon(&state)?.stderr(Stdio::null()).spawn()?;
        let daemon = Self {
            child,
            client: Client::new(&state.socket_path().map_err(CliError::from)?),
            runtime,
        };
        daemon.wait()?;
        Ok(daemon)
    }

    fn wait(&self) -> Result<(), BenchError> {
        for _ in 0..LOOKS {
            if self.runtime.block_on(self.client.status()).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(PAUSE_MS));
        }
        Err(BenchError::Unavailable(
            "the daemon did not start".to_owned(),
        ))
    }

    /// Makes the kernel count the highest memory anew.
    fn forget_peak(&self) -> Result<(), BenchError> {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        Ok(())
    }
}

/// Fills the store of a device that doesn't run.
async fn import(state: &StateFolder, documents: u64) -> Result<(), CliError> {
    let offline = Offline::open(state)?;
    for first in (0..documents).step_by(FILL as usize) {
        let request = ImportRequest {
            collection: CARS.to_owned(),
            documents: (first..documents.min(first + FILL)).map(car).collect(),
        };
        offline.import(request).await?;
    }
    Ok(())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::error!(%error, "the measured daemon could not be stopped");
        }
    }
}

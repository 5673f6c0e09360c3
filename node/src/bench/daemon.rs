//! Running daemons to be measured, as devices run them.

use super::cars::car;
use super::figure::BenchError;
use super::store::{APP, CARS, FILL};
use crate::child;
use crate::cli::CliError;
use sedge::api::Client;
use sedge::api::wire::{CollectionStatus, ExecuteRequest, ExecuteResponse, ImportRequest};
use sedge::{Offline, Params, Settings, SharedSecret, StateFolder};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a daemon may take to start or to bring about what is waited for, in looks and the milliseconds between them.
const LOOKS: u32 = 60_000;
const PAUSE_MS: u64 = 2;

/// A running `sedge run`, killed when it is dropped.
pub(super) struct Daemon {
    child: Child,
    pub(super) client: Client,
    pub(super) runtime: Handle,
}

/// A new device of the measured app, all of which share a secret.
pub(super) fn device(path: PathBuf, name: &str) -> Result<StateFolder, BenchError> {
    let state = StateFolder::new(path);
    let secret = SharedSecret::generate([7; 20]);
    state
        .init(&Settings::of(APP, name), Some(&secret))
        .map_err(CliError::from)?;
    Ok(state)
}

/// Fills the store of a device that doesn't run with the first cars.
pub(super) fn import(state: &StateFolder, documents: u64) -> Result<(), BenchError> {
    let importing = async {
        let offline = Offline::open(state)?;
        for first in (0..documents).step_by(FILL as usize) {
            let request = ImportRequest {
                collection: CARS.to_owned(),
                documents: (first..documents.min(first + FILL)).map(car).collect(),
            };
            offline.import(request).await?;
        }
        Ok::<_, CliError>(())
    };
    Ok(Handle::current().block_on(importing)?)
}

impl Daemon {
    /// Starts the daemon of a device, which dials these addresses, and waits until it answers.
    pub(super) fn start(state: &StateFolder, peers: &[&str]) -> Result<Self, BenchError> {
        let mut command = child::daemon(state)?;
        for peer in peers {
            command.args(["--peer", peer]);
        }
        let daemon = Self {
            child: command.stderr(Stdio::null()).spawn()?,
            client: Client::new(&state.socket_path().map_err(CliError::from)?),
            runtime: Handle::current(),
        };
        daemon.wait_until("the daemon did not start", || {
            Ok(daemon.runtime.block_on(daemon.client.live()).is_ok())
        })?;
        Ok(daemon)
    }

    /// Where it takes dials.
    pub(super) fn address(&self) -> Result<String, BenchError> {
        let status = self.runtime.block_on(self.client.status());
        let listen = status.map_err(CliError::from)?.listen;
        let first = listen.into_iter().next();
        first.ok_or_else(|| BenchError::Unavailable("the daemon takes no dials".to_owned()))
    }

    pub(super) fn execute(&self, statement: &str) -> Result<ExecuteResponse, BenchError> {
        let request = ExecuteRequest {
            statement: statement.to_owned(),
            args: Params::new(),
        };
        let done = self.runtime.block_on(self.client.execute(&request));
        Ok(done.map_err(CliError::from)?)
    }

    /// The newest transaction whose effects are visible.
    pub(super) fn transaction_id(&self) -> Result<u64, BenchError> {
        let status = self.runtime.block_on(self.client.status());
        Ok(status.map_err(CliError::from)?.transaction_id)
    }

    /// What its collections hold.
    pub(super) fn collections(&self) -> Result<Vec<CollectionStatus>, BenchError> {
        let status = self.runtime.block_on(self.client.status());
        Ok(status.map_err(CliError::from)?.collections)
    }

    /// Waits until something is so.
    pub(super) fn wait_until(
        &self,
        otherwise: &str,
        is_so: impl Fn() -> Result<bool, BenchError>,
    ) -> Result<(), BenchError> {
        for _ in 0..LOOKS {
            if is_so()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(PAUSE_MS));
        }
        Err(BenchError::Unavailable(otherwise.to_owned()))
    }

    /// Makes the kernel count the highest memory anew.
    pub(super) fn forget_peak(&self) -> Result<(), BenchError> {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        Ok(())
    }

    /// Its memory as the kernel tells it (`VmRSS`, or `VmHWM` for the highest), in MiB.
    pub(super) fn memory_mib(&self, field: &str) -> Result<f64, BenchError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| {
            line.trim_matches([':', '\t', ' ', 'k', 'B'])
                .parse::<f64>()
                .ok()
        });
        let unknown = "the kernel does not tell the memory of a process";
        kib.map(|kib| kib / 1024.0)
            .ok_or_else(|| BenchError::Unavailable(unknown.to_owned()))
    }

    /// Ends it in good order.
    pub(super) fn stop(mut self) -> Result<(), BenchError> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::error!(%error, "the measured daemon could not be stopped");
        }
    }
}

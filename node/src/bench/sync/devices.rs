//! Two daemons that hold the same, and what passes between them.

use super::super::daemon::{Daemon, device, import};
use super::super::figure::{BenchError, Workplace};
use super::super::store::CARS;
use crate::cli::CliError;
use sedge::StateFolder;
use sedge::api::wire::{FeedQuery, Peer};

/// Two devices, of which the second dials the first.
pub(super) struct Devices {
    pub(super) first: StateFolder,
    pub(super) second: StateFolder,
}

impl Devices {
    /// Of which the first one holds documents, sealed, and the second nothing.
    pub(super) fn one_filled(workplace: &Workplace, documents: u64) -> Result<Self, BenchError> {
        let devices = Self {
            first: device(workplace.fresh("first"), "first")?,
            second: device(workplace.fresh("second"), "second")?,
        };
        import(&devices.first, documents)?;
        Daemon::start(&devices.first, &[])?.stop()?;
        Ok(devices)
    }

    /// Which both hold the documents, and know each other's feed.
    pub(super) fn synced(workplace: &Workplace, documents: u64) -> Result<Self, BenchError> {
        let devices = Self::one_filled(workplace, documents)?;
        let [first, second] = devices.start()?;
        same(&first, &second)?;
        second.stop()?;
        first.stop()?;
        Ok(devices)
    }

    /// Starts both.
    pub(super) fn start(&self) -> Result<[Daemon; 2], BenchError> {
        let first = Daemon::start(&self.first, &[])?;
        let second = Daemon::start(&self.second, &[&first.address()?])?;
        Ok([first, second])
    }
}

/// Waits until both hold the same.
pub(super) fn same(first: &Daemon, second: &Daemon) -> Result<(), BenchError> {
    second.wait_until("the daemons did not come to hold the same", || {
        Ok(first.collections()? == second.collections()?)
    })
}

/// Waits until a daemon has a neighbour, which it then tells of.
pub(super) fn neighbour(daemon: &Daemon) -> Result<Peer, BenchError> {
    let peers = || {
        let peers = daemon.runtime.block_on(daemon.client.peers());
        Ok::<_, BenchError>(peers.map_err(CliError::from)?)
    };
    daemon.wait_until("the daemons did not meet", || Ok(!peers()?.is_empty()))?;
    let first = peers()?.into_iter().next();
    first.ok_or_else(|| BenchError::Unavailable("the daemons have parted".to_owned()))
}

/// What sync streams have carried between a daemon and its neighbour, in both directions, once nothing more passes.
pub(super) fn carried_bytes(daemon: &Daemon) -> Result<u64, BenchError> {
    let total = || neighbour(daemon).map(|peer| peer.sent_bytes + peer.received_bytes);
    let mut before = total()?;
    loop {
        // Longer than the delay of offers and than the pause between two publications of the status.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = total()?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

/// When a daemon has last taken something in behind a place in its feed, by its clock, in ms since 1970.
pub(super) fn newest_arrival_ms(daemon: &Daemon, since: u64) -> Result<f64, BenchError> {
    let mut newest = None;
    let query = FeedQuery {
        collection: Some(CARS.to_owned()),
        since: Some(since.to_string()),
        follow: false,
    };
    let reading = daemon.client.feed(&query, |line| {
        let told: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        newest = newest.max(told["timeMs"].as_i64());
        Ok(())
    });
    daemon.runtime.block_on(reading).map_err(CliError::from)?;
    let nothing = || BenchError::Unavailable("the daemon took nothing in".to_owned());
    newest.map(|time_ms| time_ms as f64).ok_or_else(nothing)
}

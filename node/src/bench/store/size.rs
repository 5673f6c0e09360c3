//! What keeping documents costs in memory and on disk: of the whole daemon, as a device runs it.

use super::super::cars::car;
use super::super::daemon::{Daemon, device, import};
use super::super::figure::{BenchError, Measured, Workplace};
use super::{fill, open, unavailable};
use std::path::Path;

/// What matches 6 % of the documents.
const SCAN: &str = "SELECT * FROM cars WHERE color = 'red' AND year >= 2005";

/// The memory of a daemon that holds the documents and does nothing.
pub(super) fn idle_rss_mib(workplace: &Workplace) -> Result<Measured, BenchError> {
    let value = filled(workplace)?.memory_mib("VmRSS")?;
    Ok(Measured::value(value))
}

/// The most memory it has while it answers a scan.
pub(super) fn scan_rss_mib(workplace: &Workplace) -> Result<Measured, BenchError> {
    let daemon = filled(workplace)?;
    daemon.forget_peak()?;
    if daemon.execute(SCAN)?.items.is_empty() {
        return unavailable("the scan found nothing");
    }
    Ok(Measured::value(daemon.memory_mib("VmHWM")?))
}

/// The daemon of a device that holds the workplace's documents.
fn filled(workplace: &Workplace) -> Result<Daemon, BenchError> {
    let state = device(workplace.fresh("state"), "bench")?;
    import(&state, workplace.documents)?;
    Daemon::start(&state, &[])
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

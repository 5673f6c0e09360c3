//! Devices that know each other's feed: what a meeting costs after few changes, or none.

use super::super::cars::id;
use super::super::daemon::Daemon;
use super::super::figure::{BenchError, Measured, Workplace};
use super::devices::{Devices, carried_bytes, neighbour, newest_arrival_ms, same};

/// Documents that change while the devices are apart.
const CHANGED: u64 = 10;
/// Rounds of each measurement.
const ROUNDS: u64 = 5;

/// From the connection until the changes are durable at the other side.
pub(super) fn milliseconds(workplace: &Workplace) -> Result<Measured, BenchError> {
    Ok(Measured::spread(meetings(workplace, CHANGED)?.times_ms))
}

/// What sync streams carry for them, changes included.
pub(super) fn bytes(workplace: &Workplace) -> Result<Measured, BenchError> {
    Ok(Measured::spread(meetings(workplace, CHANGED)?.bytes))
}

/// What they carry where nothing has changed.
pub(super) fn unchanged_bytes(workplace: &Workplace) -> Result<Measured, BenchError> {
    Ok(Measured::spread(meetings(workplace, 0)?.bytes))
}

struct Meetings {
    times_ms: Vec<f64>,
    bytes: Vec<f64>,
}

/// Devices that hold the workplace's documents part, the first one changes some, and they meet again.
fn meetings(workplace: &Workplace, changed: u64) -> Result<Meetings, BenchError> {
    let devices = Devices::synced(workplace, workplace.documents)?;
    let mut meetings = Meetings {
        times_ms: Vec::new(),
        bytes: Vec::new(),
    };
    for round in 0..ROUNDS {
        let first = Daemon::start(&devices.first, &[])?;
        let ids: Vec<_> = (0..changed)
            .map(|index| format!("'{}'", id(round * CHANGED + index)))
            .collect();
        if !ids.is_empty() {
            first.execute(&format!(
                "UPDATE cars SET km = {round} WHERE _id IN ({})",
                ids.join(", ")
            ))?;
        }
        let address = first.address()?;
        let second = Daemon::start(&devices.second, &[])?;
        let since = second.transaction_id()?;
        second.stop()?;
        let second = Daemon::start(&devices.second, &[&address])?;
        same(&first, &second)?;
        let peer = neighbour(&second)?;
        if changed > 0 {
            let arrived_ms = newest_arrival_ms(&second, since)?;
            meetings
                .times_ms
                .push(arrived_ms - peer.connected_since_ms as f64);
        }
        meetings.bytes.push(carried_bytes(&second)? as f64);
        second.stop()?;
        first.stop()?;
    }
    Ok(meetings)
}

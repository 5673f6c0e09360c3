//! A device without documents takes in all of another one's.

use super::super::daemon::Daemon;
use super::super::figure::{BenchError, Measured, Workplace};
use super::devices::{Devices, carried_bytes, neighbour, newest_arrival_ms, same};

/// Documents a second, from the connection until the last is durable at the receiver.
pub(super) fn documents_per_second(workplace: &Workplace) -> Result<Measured, BenchError> {
    let [first, second] = met(workplace)?;
    let begun_ms = neighbour(&second)?.connected_since_ms as f64;
    let ended_ms = newest_arrival_ms(&second, 0)?;
    drop(first);
    Ok(Measured::value(
        workplace.documents as f64 * 1_000.0 / (ended_ms - begun_ms),
    ))
}

/// What sync streams carry for each document.
pub(super) fn bytes_per_document(workplace: &Workplace) -> Result<Measured, BenchError> {
    let [_first, second] = met(workplace)?;
    let bytes = carried_bytes(&second)?;
    Ok(Measured::value(bytes as f64 / workplace.documents as f64))
}

/// The most memory that either side takes.
pub(super) fn rss_mib(workplace: &Workplace) -> Result<Measured, BenchError> {
    let [giver, taker] = met(workplace)?.map(|daemon| daemon.memory_mib("VmHWM"));
    let (giver, taker) = (giver?, taker?);
    Ok(Measured {
        value: giver.max(taker),
        medians: vec![("giver", giver), ("taker", taker)],
    })
}

/// Daemons that have come to hold the same.
fn met(workplace: &Workplace) -> Result<[Daemon; 2], BenchError> {
    let daemons = Devices::one_filled(workplace, workplace.documents)?.start()?;
    let [first, second] = &daemons;
    same(first, second)?;
    Ok(daemons)
}

//! The signals that ask a program to end.

use super::CliError;
use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first of Ctrl-C (SIGINT), SIGTERM and SIGHUP from now on.
pub(crate) fn interrupted() -> Result<impl Future<Output = ()> + use<>, CliError> {
    let on = |kind| signal(kind).map_err(CliError::Runtime);
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut terminate = on(SignalKind::terminate())?;
    let mut hang_up = on(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

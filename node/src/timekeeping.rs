//! Keeps the floor of admission's clock: the latest time that this device certainly has seen, across restarts.
//!
//! What raises it: what an issuer put its name to (the beginning of every certificate that was admitted, the own one
//! too), and this device's own clock, once an hour and at a clean stop, but never beyond the end of its own certificate: a
//! clock that is years ahead is not believed for longer than the issuer believes in the device. After a crash the newest own
//! change stands in for the hour that was lost.

use crate::limits::{CLOCK_KEEP_PAUSE_SECONDS, CLOCK_TOLD_MS};
use crate::state::{StateError, StateFolder};
use sedge_identity::{Clock, Membership};
use std::time::Duration;

/// How far beyond the kept time that of an own change is believed, in ms: twice the pause between two notes. What is farther
/// was written by a clock that was wrong, and would be here for ever.
const CHANGE_BELIEVED_MS: u64 = 2 * CLOCK_KEEP_PAUSE_SECONDS * 1000;

/// The floor to begin with. Without a kept one there is none: who removes the file means that.
pub(crate) fn first_floor(kept_ms: Option<u64>, newest_change_ms: u64) -> u64 {
    match kept_ms {
        Some(kept_ms) if newest_change_ms <= kept_ms.saturating_add(CHANGE_BELIEVED_MS) => {
            kept_ms.max(newest_change_ms)
        }
        kept_ms => kept_ms.unwrap_or(0),
    }
}

/// Tells of a clock that is behind what this device has seen.
pub(crate) fn tell_if_behind(clock: &Clock, state: &StateFolder) {
    let behind_ms = clock.behind_ms();
    if behind_ms >= CLOCK_TOLD_MS {
        tracing::warn!(
            behind_s = behind_ms / 1000,
            "this device's clock is behind what it was; certificates are judged by the later time. Correct the clock; or if \
             it was ahead before, stop this device and remove {}",
            state.clock_path().display()
        );
    }
}

/// Raises the floor to the present time, as far as that is believed, and keeps it.
pub(crate) fn keep(membership: &Membership, state: &StateFolder) -> Result<(), StateError> {
    let (own, clock) = (membership.identity(), membership.clock());
    clock.raise(own.certificate().begins_ms());
    clock.raise(clock.local_ms().min(own.certificate().ends_ms()));
    state.keep_clock_floor(clock.floor_ms())
}

/// Keeps the floor every hour. Not at the start: a clock that is wrong then is mostly corrected soon.
pub(crate) async fn keep_regularly(membership: Membership, state: StateFolder) {
    loop {
        tokio::time::sleep(Duration::from_secs(CLOCK_KEEP_PAUSE_SECONDS)).await;
        keep_now(membership.clone(), state.clone()).await;
    }
}

/// Keeps the floor, on a thread that may wait for the disk. That it can't be is told, and nothing else depends on it.
pub(crate) async fn keep_now(membership: Membership, state: StateFolder) {
    let kept = tokio::task::spawn_blocking(move || {
        tell_if_behind(membership.clock(), &state);
        keep(&membership, &state)
    });
    match kept.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the time could not be noted"),
        Err(error) => tracing::error!(%error, "noting the time failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the newest own change makes good the time since the last note, and a change of a wrong clock does not.
    #[test]
    fn own_changes_count_shortly_after_the_last_note() {
        let far = 1_000 + CHANGE_BELIEVED_MS;
        assert_eq!(first_floor(Some(1_000), 900), 1_000);
        assert_eq!(first_floor(Some(1_000), far), far);
        assert_eq!(first_floor(Some(1_000), far + 1), 1_000);
        assert_eq!(first_floor(None, 900), 0);
    }
}

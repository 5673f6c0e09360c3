//! The clock by which certificates are judged when peers meet.

use std::sync::atomic::{AtomicU64, Ordering};

/// This device's clock, but never below a floor: so a device whose clock was set back, or begins at 1970 for lack of a
/// battery, does not take an expired certificate for a good one.
#[derive(Debug)]
pub struct Clock {
    /// The device's own time, in ms since the Unix epoch.
    local: fn() -> u64,
    floor_ms: AtomicU64,
}

impl Clock {
    /// The clock that `local` is (ms since the Unix epoch), never below `floor_ms`.
    #[must_use]
    pub fn new(local: fn() -> u64, floor_ms: u64) -> Self {
        Self {
            local,
            floor_ms: AtomicU64::new(floor_ms),
        }
    }

    /// The time, in ms since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.local_ms().max(self.floor_ms())
    }

    /// The time by the device's own clock alone, in ms since the Unix epoch.
    #[must_use]
    pub fn local_ms(&self) -> u64 {
        (self.local)()
    }

    /// The time that it certainly is by now, in ms since the Unix epoch.
    #[must_use]
    pub fn floor_ms(&self) -> u64 {
        self.floor_ms.load(Ordering::Acquire)
    }

    /// Takes note that it is this time already, in ms since the Unix epoch; an earlier one than is known changes nothing.
    pub fn raise(&self, time_ms: u64) {
        self.floor_ms.fetch_max(time_ms, Ordering::AcqRel);
    }

    /// By how much the device's own clock is behind the floor, in ms; 0 where it is not.
    #[must_use]
    pub fn behind_ms(&self) -> u64 {
        self.floor_ms().saturating_sub(self.local_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the clock is the device's own where that is ahead, else the floor, which never sinks.
    #[test]
    fn the_clock_is_never_below_its_floor() {
        let clock = Clock::new(|| 1_000, 400);
        assert_eq!((clock.now_ms(), clock.behind_ms()), (1_000, 0));
        clock.raise(1_500);
        clock.raise(700);
        assert_eq!((clock.now_ms(), clock.behind_ms()), (1_500, 500));
        assert_eq!((clock.local_ms(), clock.floor_ms()), (1_000, 1_500));
    }
}

//! Rest for what took too long, longer each time in a row.

use crate::limits::{OBSERVER_PAUSE_SECONDS, OBSERVER_PAUSE_SECONDS_MAX};
use std::time::{Duration, Instant};

/// None at first.
#[derive(Debug, Default)]
pub(super) struct Pause {
    until: Option<Instant>,
    length: Duration,
}

impl Pause {
    pub(super) fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// When it is over, if that is not at once.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until.filter(|_| !self.is_over())
    }

    /// Begins a pause, twice as long as the one before it.
    pub(super) fn prolong(&mut self) {
        let first = Duration::from_secs(OBSERVER_PAUSE_SECONDS);
        let most = Duration::from_secs(OBSERVER_PAUSE_SECONDS_MAX);
        self.length = (self.length * 2).clamp(first, most);
        self.until = Some(Instant::now() + self.length);
    }

    /// All is well: the next pause is a short one again.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: pauses get longer up to a bound, and short again when all is well.
    #[test]
    fn pauses_get_longer() {
        let mut pause = Pause::default();
        assert!(pause.is_over());
        let mut lengths = Vec::new();
        for _ in 0..12 {
            pause.prolong();
            assert!(!pause.is_over() && pause.until().is_some());
            lengths.push(pause.length.as_secs());
        }
        assert_eq!(
            lengths[..2],
            [OBSERVER_PAUSE_SECONDS, 2 * OBSERVER_PAUSE_SECONDS]
        );
        assert_eq!(lengths[11], OBSERVER_PAUSE_SECONDS_MAX);
        pause.end();
        assert!(pause.is_over());
        pause.prolong();
        assert_eq!(pause.length.as_secs(), OBSERVER_PAUSE_SECONDS);
    }
}

//! The clocks of a store: the one that it was opened with, and this machine's.

use super::Inner;
use std::time::{SystemTime, UNIX_EPOCH};

impl Inner {
    /// The time that what is written now carries, in ms since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from((self.clock)()).unwrap_or(i64::MAX)
    }
}

/// By this machine's clock, in ms since 1970; 0 before that.
pub(super) fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
    })
}

//! Which refusals go into the log: strangers can cause as many as they like.

use std::{
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use sedge_identity::Repeats;
use tokio::time::Instant;

/// The lines that repeat, by what makes two of them the same.
#[derive(Debug)]
pub(crate) struct Log<K> {
    repeats: Mutex<Repeats<K>>,
    start: Instant,
}

impl<K: Eq + Hash> Log<K> {
    pub(crate) fn new() -> Self {
        Self {
            repeats: Mutex::default(),
            start: Instant::now(),
        }
    }

    /// Whether a line goes into the log now, and if so, how many like it were left out since the last.
    pub(crate) fn admit(&self, key: K) -> Option<u64> {
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.admit(key, now_ms)
    }
}

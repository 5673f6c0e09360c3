//! Keeps what a peer can cause again and again from filling the log.

use std::{collections::HashMap, hash::Hash};

use crate::limits::{LOG_INTERVAL_MS, LOG_KEYS_MAX};

/// Decides which of the lines that repeat go into the log: for each key one per [`LOG_INTERVAL_MS`], for at most
/// [`LOG_KEYS_MAX`] keys in that time. A key is what makes two lines the same, such as the peer and the reason.
#[derive(Debug)]
pub struct Repeats<K> {
    lines: HashMap<K, Line>,
}

#[derive(Debug)]
struct Line {
    /// When the last one was let through, in ms.
    at_ms: u64,
    /// Those left out since.
    left_out: u64,
}

impl<K> Default for Repeats<K> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Repeats<K> {
    /// Whether a line goes into the log now, and if so, how many with its key were left out since the last. `now_ms` is
    /// of any clock that does not go back.
    pub fn admit(&mut self, key: K, now_ms: u64) -> Option<u64> {
        let is_over = |line: &Line| now_ms.saturating_sub(line.at_ms) >= LOG_INTERVAL_MS;
        if let Some(line) = self.lines.get_mut(&key) {
            if !is_over(line) {
                line.left_out += 1;
                return None;
            }
            line.at_ms = now_ms;
            return Some(std::mem::take(&mut line.left_out));
        }
        if self.lines.len() >= LOG_KEYS_MAX {
            self.lines.retain(|_, line| !is_over(line));
        }
        if self.lines.len() >= LOG_KEYS_MAX {
            return None;
        }
        let line = Line {
            at_ms: now_ms,
            left_out: 0,
        };
        self.lines.insert(key, line);
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a line goes through once per interval, with the number of those that were left out, whatever others do.
    #[test]
    fn a_line_goes_through_once_per_interval() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.admit("secret", 5), Some(0));
        for now_ms in [5, 6, LOG_INTERVAL_MS + 4] {
            assert_eq!(repeats.admit("secret", now_ms), None);
        }
        assert_eq!(repeats.admit("app", 7), Some(0));
        assert_eq!(repeats.admit("secret", LOG_INTERVAL_MS + 5), Some(3));
        assert_eq!(repeats.admit("secret", LOG_INTERVAL_MS + 6), None);
        assert_eq!(repeats.admit("secret", 9 * LOG_INTERVAL_MS), Some(1));
    }

    /// Goal: ever new keys fill neither the memory nor the log, and are let through again after the interval.
    #[test]
    fn ever_new_keys_are_bounded() {
        let mut repeats = Repeats::default();
        let keys = 3 * LOG_KEYS_MAX;
        let admitted = (0..keys).filter(|key| repeats.admit(*key, 0).is_some());
        assert_eq!(admitted.count(), LOG_KEYS_MAX);
        assert_eq!(repeats.lines.len(), LOG_KEYS_MAX);
        assert_eq!(repeats.admit(keys, LOG_INTERVAL_MS), Some(0));
        assert_eq!(repeats.lines.len(), 1);
    }
}

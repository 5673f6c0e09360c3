//! Memory that all live queries of a store share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be held in all.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    max: usize,
}

/// What somebody holds of a budget; free again when dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let held = AtomicUsize::new(0);
        Arc::new(Self { held, max })
    }
}

impl Held {
    pub(super) fn nothing(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Nothing yet, of the same budget.
    pub(super) fn other(&self) -> Self {
        Self::nothing(&self.budget)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes from now on; `false`, and as many as before, when the budget has not that many left.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let resized = |held: usize| {
            let held = held - self.bytes + bytes;
            (bytes <= self.bytes || held <= self.budget.max).then_some(held)
        };
        let (relaxed, held) = (Ordering::Relaxed, &self.budget.held);
        let fits = held.fetch_update(relaxed, relaxed, resized).is_ok();
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: holders have no more together than the budget, and give back what they drop.
    #[test]
    fn holders_share_a_budget() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (Held::nothing(&budget), Held::nothing(&budget));
        assert!(one.resize(6));
        assert!(!other.resize(5));
        assert_eq!(other.bytes(), 0);
        assert!(other.resize(4));
        assert!(!one.resize(7));
        drop(other);
        assert!(one.resize(10));
        assert!(one.resize(2));
        assert!(Held::nothing(&budget).resize(8));
    }
}

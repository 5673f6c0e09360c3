//! How long a call may work.

use super::error::StoreError;
use crate::limits::STATEMENT_SECONDS_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When a call has to give up: at a certain time, or as soon as nobody waits for its answer any more. Clones share
/// both. A write that has to give up has changed nothing.
#[derive(Clone, Debug)]
pub struct Deadline {
    limit: Duration,
    begun: Instant,
    cancelled: Arc<AtomicBool>,
}

impl Deadline {
    /// So much time from now on.
    pub fn after(limit: Duration) -> Self {
        Self {
            limit,
            begun: Instant::now(),
            cancelled: Arc::default(),
        }
    }

    /// The time that is left.
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.begun.elapsed())
    }

    /// Makes the call give up at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the call may go on.
    ///
    /// # Errors
    /// [`StoreError::TimedOut`] or [`StoreError::Cancelled`].
    pub fn check(&self) -> Result<(), StoreError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        match self.remaining() {
            Duration::ZERO => Err(StoreError::TimedOut { limit: self.limit }),
            _ => Ok(()),
        }
    }

    /// The documents, with an error in their place once the call may not go on.
    pub(super) fn over<T>(
        &self,
        documents: impl Iterator<Item = Result<T, StoreError>>,
    ) -> impl Iterator<Item = Result<T, StoreError>> {
        documents.map(|document| self.check().and(document))
    }
}

/// [`STATEMENT_SECONDS_MAX`] from now on.
impl Default for Deadline {
    fn default() -> Self {
        Self::after(Duration::from_secs(STATEMENT_SECONDS_MAX))
    }
}

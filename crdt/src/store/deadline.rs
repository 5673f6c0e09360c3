//! How long a call may work.

use super::error::StoreError;
use crate::limits::STATEMENT_SECONDS_MAX;
use crate::query::{Filter, Patience, QueryError, Work};
use crate::value::Encoded;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Documents that a scan tests between two looks at the clock.
const CHECK_INTERVAL: u32 = 64;

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
            Duration::ZERO => Err(self.timed_out()),
            _ => Ok(()),
        }
    }

    /// The error of a call whose time is over.
    pub(super) fn timed_out(&self) -> StoreError {
        StoreError::TimedOut { limit: self.limit }
    }

    /// Evaluates something, as long as the call may go on.
    pub(super) fn evaluate<T>(
        &self,
        evaluation: impl FnOnce(&Work<'_>) -> Result<T, QueryError>,
    ) -> Result<T, StoreError> {
        let evaluated = evaluation(&Work::within(self));
        // That the call has to give up is the better reason.
        evaluated.or_else(|error| self.check().and(Err(error.into())))
    }

    /// The test of a scan: whether the filter selects a document, while the call may go on.
    pub(super) fn over<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl FnMut(Encoded<'_>) -> Result<bool, StoreError> + use<'a> {
        let mut tested = 0_u32;
        move |document| {
            // A look at the clock costs as much as a small test.
            if tested.is_multiple_of(CHECK_INTERVAL) {
                self.check()?;
            }
            tested = tested.wrapping_add(1);
            self.evaluate(|work| filter.matches_encoded(document, work))
        }
    }
}

impl Patience for Deadline {
    fn lasts(&self) -> bool {
        self.check().is_ok()
    }
}

/// [`STATEMENT_SECONDS_MAX`] from now on.
impl Default for Deadline {
    fn default() -> Self {
        Self::after(Duration::from_secs(STATEMENT_SECONDS_MAX))
    }
}

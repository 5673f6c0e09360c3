//! What evaluating may take: memory for the values that it builds, and time.

use super::error::{Position, QueryError};
use super::limits::{BUILT_BYTES_MAX, STEPS_UNCHECKED_MAX};
use std::cell::Cell;

/// Says whether whoever asked still wants the answer.
pub trait Patience {
    /// Whether evaluating may go on.
    fn lasts(&self) -> bool;
}

/// Bounds the evaluation of one statement. The default bounds memory alone.
#[derive(Default)]
pub struct Work<'a> {
    patience: Option<&'a dyn Patience>,
    built_bytes: Cell<usize>,
    steps: Cell<u32>,
}

impl<'a> Work<'a> {
    /// Work that ends in an error soon after the patience does.
    pub fn within(patience: &'a dyn Patience) -> Self {
        Work {
            patience: Some(patience),
            ..Work::default()
        }
    }

    /// Begins with another document or group: what was built for the one before is held elsewhere, or gone.
    pub(super) fn begin(&self) {
        self.built_bytes.set(0);
    }

    /// Takes account of a value that is going to be built.
    ///
    /// # Errors
    /// It would be more than [`BUILT_BYTES_MAX`] for this document.
    pub(super) fn build(&self, bytes: usize, at: Position) -> Result<(), QueryError> {
        let bytes = self.built_bytes.get().saturating_add(bytes);
        if bytes > BUILT_BYTES_MAX {
            return Err(at.error(format!(
                "the values that the statement builds of one document take more than {} MiB of memory; build fewer or \
                 smaller ones",
                BUILT_BYTES_MAX >> 20
            )));
        }
        self.built_bytes.set(bytes);
        Ok(())
    }

    /// Takes account of one small step of many.
    ///
    /// # Errors
    /// The patience is over.
    pub(super) fn step(&self, at: Position) -> Result<(), QueryError> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps % STEPS_UNCHECKED_MAX);
        let goes_on = steps < STEPS_UNCHECKED_MAX || self.patience.is_none_or(Patience::lasts);
        match goes_on {
            true => Ok(()),
            false => Err(at.error("the statement was stopped here")),
        }
    }
}

//! What evaluating may take: memory for the values that it builds, and time.

use super::error::{Position, QueryError};
use super::limits::{BUILT_BYTES_MAX, STEP_BYTES, STEPS_UNCHECKED_MAX};
use crate::value::Value;
use std::cell::Cell;

/// Says whether whoever asked still wants the answer.
pub trait Patience {
    /// Whether evaluating may go on.
    fn lasts(&self) -> bool;
}

/// Bounds the evaluation of one statement, or of the rules of one question about rights. The default bounds memory alone.
#[derive(Default)]
pub struct Work<'a> {
    limit: Limit<'a>,
    built_bytes: Cell<usize>,
    /// Small steps before the limit counts.
    steps_left: Cell<u64>,
}

/// What ends it.
#[derive(Clone, Copy, Default)]
enum Limit<'a> {
    #[default]
    Memory,
    Patience(&'a dyn Patience),
    Steps,
}

impl<'a> Work<'a> {
    /// Work that ends in an error soon after the patience does.
    pub fn within(patience: &'a dyn Patience) -> Self {
        Work {
            limit: Limit::Patience(patience),
            steps_left: Cell::new(STEPS_UNCHECKED_MAX),
            ..Work::default()
        }
    }

    /// Work that ends in an error after so many steps: those of LIKE, and one for every few bytes of a value that is read
    /// or built. How many something takes follows from the expression and the document alone, so that whoever evaluates it
    /// comes to the same end.
    pub(crate) fn metered(steps: u64) -> Self {
        Work {
            limit: Limit::Steps,
            steps_left: Cell::new(steps),
            ..Work::default()
        }
    }

    /// Whether every step counts.
    pub(super) fn is_metered(&self) -> bool {
        matches!(self.limit, Limit::Steps)
    }

    /// Begins with another document or group: what was built for the one before is held elsewhere, or gone.
    pub(super) fn begin(&self) {
        self.built_bytes.set(0);
    }

    /// Takes account of a value that is going to be built.
    ///
    /// # Errors
    /// It would be more than [`BUILT_BYTES_MAX`] for this document, or the steps are used up.
    pub(super) fn build(&self, bytes: usize, at: Position) -> Result<(), QueryError> {
        let built_bytes = self.built_bytes.get().saturating_add(bytes);
        if built_bytes > BUILT_BYTES_MAX {
            return Err(at.error(format!(
                "the values that the statement builds of one document take more than {} MiB of memory; build fewer or \
                 smaller ones",
                BUILT_BYTES_MAX >> 20
            )));
        }
        self.built_bytes.set(built_bytes);
        self.meter(|| bytes, at)
    }

    /// Takes account of a value of the document that is looked at, where every step counts.
    ///
    /// # Errors
    /// The steps are used up.
    pub(super) fn look_at(&self, value: Option<&Value>, at: Position) -> Result<(), QueryError> {
        self.meter(|| value.map_or(0, Value::held_bytes), at)
    }

    fn meter(&self, bytes: impl FnOnce() -> usize, at: Position) -> Result<(), QueryError> {
        match self.is_metered() {
            true => self.steps(1 + (bytes() / STEP_BYTES) as u64, at),
            false => Ok(()),
        }
    }

    /// Takes account of one small step of many.
    ///
    /// # Errors
    /// The patience is over, or the steps are used up.
    pub(super) fn step(&self, at: Position) -> Result<(), QueryError> {
        self.steps(1, at)
    }

    fn steps(&self, steps: u64, at: Position) -> Result<(), QueryError> {
        match self.steps_left.get().checked_sub(steps) {
            Some(left) => self.steps_left.set(left),
            None => self.steps_left.set(self.more_steps(at)?),
        }
        Ok(())
    }

    fn more_steps(&self, at: Position) -> Result<u64, QueryError> {
        match self.limit {
            Limit::Memory => Ok(u64::MAX),
            Limit::Patience(patience) if patience.lasts() => Ok(STEPS_UNCHECKED_MAX),
            Limit::Patience(_) => Err(at.error("the statement was stopped here")),
            Limit::Steps => {
                self.steps_left.set(0);
                Err(at.error("the rule takes more work than it may"))
            }
        }
    }
}

//! What one SELECT holds in memory, counted.

use super::compare::Ranked;
use super::error::QueryError;
use super::limits::HELD_BYTES_MAX;
use crate::value::Value;
use std::cell::Cell;

/// Counts the bytes that a SELECT holds; shared by all its parts.
#[derive(Default)]
pub(super) struct Held {
    bytes: Cell<usize>,
}

impl Held {
    /// Takes account of what is going to be held.
    ///
    /// # Errors
    /// It would be more than [`HELD_BYTES_MAX`].
    pub(super) fn add(&self, bytes: usize) -> Result<(), QueryError> {
        if self.has_room(bytes) {
            self.bytes.set(self.bytes.get() + bytes);
            return Ok(());
        }
        Err(QueryError::without_place(format!(
            "the rows, groups or distinct values take more than {} MiB of memory; narrow the query with WHERE, select \
             fewer columns, or ask for fewer rows with LIMIT",
            HELD_BYTES_MAX >> 20
        )))
    }

    /// Whether so much more may be held.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.get().saturating_add(bytes) <= HELD_BYTES_MAX
    }

    /// Takes account of what is no longer held.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }
}

/// About how much memory values that may be missing take, in bytes, the list of them included.
pub(super) fn held_bytes<'a>(values: impl IntoIterator<Item = &'a Option<Value>>) -> usize {
    let bytes =
        |value: &Option<Value>| value.as_ref().map_or(size_of::<Value>(), Value::held_bytes);
    values.into_iter().map(bytes).sum::<usize>() + size_of::<Vec<Ranked>>()
}

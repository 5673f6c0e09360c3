//! The bounds of the query language beside those of the crate, each with its unit and reason.

pub use crate::limits::{COLLECTION_NAME_BYTES_MAX, STATEMENT_BYTES_MAX};

/// Levels an expression may nest. Bounds the recursion of parsing, evaluating and dropping it, so that no text can
/// overflow a thread's stack.
pub const NESTING_MAX: usize = 128;

/// Expressions in one ORDER BY or GROUP BY. Each is evaluated, and kept, for every row or group.
pub const KEYS_MAX: usize = 16;

/// Different aggregates in one SELECT. Each keeps its state for every group.
pub const AGGREGATES_MAX: usize = 64;

/// Rows, groups or distinct values one SELECT holds in memory. A larger answer is asked for in pages.
pub const ROWS_HELD_MAX: usize = 1_000_000;

/// Bytes of a LIKE pattern. Matching takes at most (bytes of the text) × (bytes of the pattern) steps.
pub const LIKE_PATTERN_BYTES_MAX: usize = 4 * 1024;

/// Decimal places ROUND accepts: more than a float has.
pub const ROUND_DIGITS_MAX: i64 = 15;

/// Characters of a statement's text that an error message repeats.
pub const EXCERPT_CHARS_MAX: usize = 40;

/// Constants behind IN that are walked for every document; more are sorted and looked up.
pub const IN_WALKED_MAX: usize = 15;

//! The bounds of the query language beside those of the crate, each with its unit and reason.

pub use crate::limits::{COLLECTION_NAME_BYTES_MAX, STATEMENT_BYTES_MAX};

/// Levels an expression may nest. Bounds the recursion of parsing, evaluating and dropping it, so that no text can
/// overflow a thread's stack.
pub const NESTING_MAX: usize = 128;

/// Expressions in one ORDER BY or GROUP BY. Each is evaluated, and kept, for every row or group.
pub const KEYS_MAX: usize = 16;

/// Different aggregates in one SELECT. Each keeps its state for every group.
pub const AGGREGATES_MAX: usize = 64;

/// Memory that the rows, sort keys, groups and distinct values of one SELECT take, in bytes, as estimated by
/// `Value::held_bytes`: a Pi runs several statements at once.
pub const HELD_BYTES_MAX: usize = 64 << 20;

/// Memory that the lists, maps and strings take which a statement builds of one document, in bytes, as estimated by
/// `Value::held_bytes`. An INSERT builds all its documents of none.
pub const BUILT_BYTES_MAX: usize = 64 << 20;

/// Small steps, as those of LIKE, between two looks at the clock: some 10 ms.
pub const STEPS_UNCHECKED_MAX: u64 = 1 << 20;

/// Bytes of a value, as estimated by `Value::held_bytes`, that count as one small step where steps are counted: comparing
/// or copying them takes about as long as one step of LIKE.
pub const STEP_BYTES: usize = 16;

/// Rows of one answer. More are asked for in pages, or exported.
pub const PAGE_ROWS_MAX: usize = 10_000;

/// Constants behind IN that are walked for every document; more are sorted and looked up.
pub const IN_WALKED_MAX: usize = 15;

/// Bytes of a LIKE pattern. Matching takes at most (bytes of the text) × (bytes of the pattern) steps.
pub const LIKE_PATTERN_BYTES_MAX: usize = 4 * 1024;

/// Decimal places ROUND accepts: more than a float has.
pub const ROUND_DIGITS_MAX: i64 = 15;

/// Characters of a statement's text that an error message repeats.
pub const EXCERPT_CHARS_MAX: usize = 40;

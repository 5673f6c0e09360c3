//! What is wrong with a statement, where, and what was probably meant.

use super::limits::EXCERPT_CHARS_MAX;
use std::fmt;

/// A place in a statement's text, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Position {
    pub(super) const START: Position = Position { line: 1, column: 1 };

    pub(super) fn error(self, message: impl Into<String>) -> QueryError {
        QueryError {
            message: message.into(),
            line: Some(self.line),
            column: Some(self.column),
        }
    }
}

/// Why a statement cannot be parsed, bound or evaluated.
///
/// Displays as `line 1, column 8: unknown function FOO`, without the place where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// What is wrong and what to do.
    pub message: String,
    /// The line the error is on, from 1.
    pub line: Option<u32>,
    /// The character in that line, from 1.
    pub column: Option<u32>,
}

impl QueryError {
    pub(super) fn without_place(message: impl Into<String>) -> Self {
        QueryError {
            message: message.into(),
            line: None,
            column: None,
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}

/// `text` as messages quote it: cut to a bounded length.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `; did you mean X?` for the candidate nearest to a misspelt word, or nothing.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    if word.len() > EXCERPT_CHARS_MAX {
        return String::new();
    }
    let word: Vec<char> = word.to_ascii_uppercase().chars().collect();
    let edits_max = if word.len() <= 3 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, candidate), candidate))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean {candidate}?")
        })
}

/// How many insertions, deletions, replacements and swaps of neighbours make one word the other (the optimal string
/// alignment distance).
fn edits(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.to_ascii_uppercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=candidate.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in candidate.iter().enumerate() {
            let mut least = (above[j] + usize::from(a != b))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == candidate[j - 1] && word[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[candidate.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        for (word, meant) in [
            ("selct", "SELECT"),
            ("FORM", "FROM"),
            ("wher", "WHERE"),
            ("ODER", "ORDER"),
        ] {
            let hint = did_you_mean(word, ["SELECT", "FROM", "WHERE", "ORDER"]);
            assert_eq!(hint, format!("; did you mean {meant}?"));
        }
        assert_eq!(did_you_mean("banana", ["SELECT", "FROM"]), "");
        assert_eq!(did_you_mean(&"x".repeat(100), ["SELECT"]), "");
    }

    #[test]
    fn excerpts_are_cut_between_characters() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"ü".repeat(41)), format!("{}…", "ü".repeat(40)));
    }
}

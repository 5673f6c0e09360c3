//! What commands print.

use super::CliError;
use sedge::StateFolder;
use serde::Serialize;
use std::io::{self, Write};

/// Prints one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?;
    line(&text)
}

/// Prints one line of text.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(CliError::Output)
}

/// Tells of a failure, in one line on standard error.
pub(super) fn error(error: &CliError, json: bool) {
    let text = error.to_string();
    if json {
        to_stderr(&serde_json::json!({ "error": text }).to_string());
    } else {
        note(&text);
    }
}

/// Tells of something that did not stop the work, on standard error.
pub(crate) fn note(text: &str) {
    to_stderr(&format!("sedge: {}", one_line(text)));
}

/// A text with its unprintable characters written out, so that it begins no line of its own and does nothing to a
/// terminal, nor to the text beside it.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match is_unprintable(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

/// Whether a character does something instead of standing there: controls, and those that turn the order in which the
/// characters around them are shown (embeddings, overrides and isolates of Unicode's bidirectional algorithm, UAX #9).
pub(super) fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn to_stderr(line: &str) {
    // Nobody is left to tell when standard error is gone, and that is no reason to stop.
    writeln!(io::stderr(), "{line}").unwrap_or_default();
}

/// A count with its noun, in the plural unless it is one.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// A text as a shell takes it for one word.
pub(super) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The command that starts the daemon of a device.
pub(super) fn run_command(state: &StateFolder) -> String {
    match StateFolder::of_user() {
        Ok(default) if default.path() == state.path() => "sedge run".to_owned(),
        _ => {
            let folder = shell_quoted(&state.path().to_string_lossy());
            format!("sedge run --state {folder}")
        }
    }
}

/// Says that no daemon runs, and how to start it.
pub(super) fn not_running(state: &StateFolder) -> String {
    format!("not running; start it with: {}", run_command(state))
}

/// Columns of text, each as wide as its widest cell, whoever named what is in them.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let printed = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(printed).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let text: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What does something in a text that a peer chose: ends the line, clears the screen, turns what follows.
    const NAMES: [&str; 6] = [
        "a\nb",
        "a\u{1b}[2Jb",
        "a\u{9b}b",
        "a\u{202a}b\u{202c}",
        "a\u{202e}b",
        "a\u{2066}b\u{2069}",
    ];

    /// Goal: names from outside stand in lines and tables as they are read, and do nothing to the text beside them.
    #[test]
    fn names_do_nothing_to_a_terminal() {
        for name in NAMES {
            let table = table(&[vec![name.to_owned(), "next".to_owned()]]);
            for shown in [one_line(name), table] {
                assert!(!shown.contains(is_unprintable), "{shown:?}");
                assert!(shown.starts_with("a\\") && shown.contains('b'), "{shown:?}");
            }
        }
        assert_eq!(one_line("a\u{202e}b"), r"a\u{202e}b");
        let plain = "Zoë, שלום, \u{2065}\u{206a}";
        assert_eq!(one_line(plain), plain);
        let rows = ["a\u{202e}", "b"].map(|name| vec![name.to_owned(), "c".to_owned()]);
        assert_eq!(table(&rows), "a\\u{202e}  c\nb          c");
    }
}

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

/// A text with its control characters written out, so that it begins no line of its own and does nothing to a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
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

/// Columns of text, each as wide as its widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
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

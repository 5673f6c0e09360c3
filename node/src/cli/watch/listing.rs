//! The rows of a live query on a terminal, as they are now, with marks for what the last update changed.

use crate::cli::limits::{WATCH_CELL_COLUMNS_MAX, WATCH_FIELDS_MAX, WATCH_GONE_MAX};
use crate::cli::{CliError, output};
use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};
use sedge::{Update, Value};
use std::collections::BTreeMap;

/// Lines that are no rows: the statement, the count and the names of the columns.
const HEAD_LINES: usize = 3;

pub(super) struct Listing {
    statement: String,
    rows: Vec<Value>,
    updates: u64,
}

impl Listing {
    pub(super) fn new(statement: &str) -> Self {
        Self {
            statement: plain(statement),
            rows: Vec::new(),
            updates: 0,
        }
    }

    /// Takes an update in, and shows the rows in the place of those before.
    pub(super) fn show(&mut self, update: Update) -> Result<(), CliError> {
        let fits = update.apply(&mut self.rows);
        fits.map_err(|misfit| CliError::Failed(misfit.to_string()))?;
        let terminal = Term::stdout();
        let (height, width) = terminal.size();
        let lines = self.lines(&update, height.into(), width.into());
        self.updates += 1;
        terminal.clear_screen().map_err(CliError::Output)?;
        output::line(&lines.join("\n"))
    }

    /// What is shown on a terminal of this size.
    fn lines(&self, update: &Update, height: usize, width: usize) -> Vec<String> {
        let gone = &update.deleted[..update.deleted.len().min(WATCH_GONE_MAX)];
        // The last line is the cursor's, the one before it may say how many rows there are beyond.
        let room = height.saturating_sub(HEAD_LINES + gone.len() + 2).max(1);
        let rows = &self.rows[..self.rows.len().min(room)];
        let marks = marks(update);
        let marked = rows.iter().enumerate().map(|(at, row)| {
            let mark = marks.get(&at).copied().unwrap_or(' ');
            (mark, row)
        });
        let marked: Vec<(char, &Value)> = marked.chain(gone.iter().map(|row| ('-', row))).collect();
        let mut lines = vec![self.statement.clone(), self.summary(update)];
        lines.extend(table(&marked));
        let beyond = self.rows.len() - rows.len();
        if beyond > 0 {
            let at = HEAD_LINES + rows.len();
            lines.insert(at.min(lines.len()), format!("  … and {beyond} more"));
        }
        let cut = |line: String| truncate_str(&line, width.max(1), "…").into_owned();
        lines.into_iter().map(cut).collect()
    }

    fn summary(&self, update: &Update) -> String {
        let rows = output::count(self.rows.len() as u64, "row");
        if self.updates == 0 {
            return format!("{rows}; Ctrl-C ends");
        }
        format!(
            "{rows}; update {}: {} inserted, {} updated, {} moved, {} deleted",
            self.updates,
            update.inserted.len(),
            update.updated.len(),
            update.moved.len(),
            update.deleted.len()
        )
    }
}

/// What happened to the rows that stand there now.
fn marks(update: &Update) -> BTreeMap<usize, char> {
    let moved = update.moved.iter().map(|moved| (moved.to, '>'));
    let updated = update.updated_at.iter().map(|at| (*at, '~'));
    let inserted = update.inserted_at.iter().map(|at| (*at, '+'));
    moved.chain(updated).chain(inserted).collect()
}

/// Rows as lines of aligned columns, below their names. A value that is missing leaves its place empty.
fn table(rows: &[(char, &Value)]) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for key in rows
        .iter()
        .filter_map(|(_, row)| row.as_map())
        .flat_map(BTreeMap::keys)
    {
        if names.len() < WATCH_FIELDS_MAX && !names.contains(&key.as_str()) {
            names.push(key);
        }
    }
    // What names a document comes first.
    names.sort_by_key(|name| *name != "_id");
    let head: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let cells = rows.iter().map(|(mark, row)| {
        let cells = names
            .iter()
            .map(|name| row.get(name).map_or(String::new(), cell));
        (*mark, cells.collect())
    });
    let lines: Vec<(char, Vec<String>)> = [(' ', head)].into_iter().chain(cells).collect();
    let widths: Vec<usize> = (0..names.len())
        .map(|column| {
            let cells = lines.iter().filter_map(|(_, cells)| cells.get(column));
            cells
                .map(|cell| measure_text_width(cell))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines = lines.iter().map(|(mark, cells)| {
        let cells = cells.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| pad_str(cell, *width, Alignment::Left, None))
            .collect();
        format!("{mark} {}", cells.join("  ")).trim_end().to_owned()
    });
    lines.collect()
}

/// A value as a cell: a string as it is, anything else as JSON.
fn cell(value: &Value) -> String {
    let text = match value.as_str() {
        Some(text) => plain(text),
        None => plain(&value.to_string()),
    };
    truncate_str(&text, WATCH_CELL_COLUMNS_MAX, "…").into_owned()
}

/// A text that does nothing to the terminal but stand there, on one line.
fn plain(text: &str) -> String {
    let shown = |character: char| match output::is_unprintable(character) {
        true => ' ',
        false => character,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedge::{Move, parse_json};

    fn rows(texts: &[&str]) -> Vec<Value> {
        texts.iter().map(|text| parse_json(text).unwrap()).collect()
    }

    /// Goal: rows stand in aligned columns with marks for what changed, and what is gone stands below them.
    #[test]
    fn a_listing_shows_rows_and_what_changed() {
        let mut listing = Listing::new("SELECT *\nFROM c");
        listing.rows = rows(&[
            r#"{"_id":"a","n":1}"#,
            r#"{"_id":"bb","t":"x\u001b[2J\u202ey"}"#,
            r#"{"_id":"c"}"#,
        ]);
        listing.updates = 1;
        let update = Update {
            deleted: rows(&[r#"{"_id":"old","n":[2]}"#]),
            deleted_at: vec![0],
            inserted: rows(&[r#"{"_id":"a","n":1}"#]),
            inserted_at: vec![0],
            moved: vec![Move { from: 2, to: 1 }],
            ..Update::default()
        };
        let expected = [
            "SELECT * FROM c",
            "3 rows; update 1: 1 inserted, 0 updated, 1 moved, 1 deleted",
            "  _id  n    t",
            "+ a    1",
            "> bb        x [2J y",
            "  c",
            "- old  [2]",
        ];
        assert_eq!(listing.lines(&update, 24, 80), expected);
        let small = listing.lines(&update, 8, 20);
        assert_eq!(
            small[3..],
            [
                "+ a    1",
                "> bb        x [2J y",
                "  … and 1 more",
                "- old  [2]"
            ]
        );
        assert!(
            small.iter().all(|line| measure_text_width(line) <= 20),
            "{small:?}"
        );
    }
}

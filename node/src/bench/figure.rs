//! What is measured, what it may be, and how it is told.

use crate::cli::{CliError, output};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

/// A figure of a suite.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) bound: Bound,
    pub(super) take: fn(&Workplace) -> Result<Measured, BenchError>,
}

/// What the value should be.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A value, and the medians it comes from or what else explains it.
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) medians: Vec<(&'static str, f64)>,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum BenchError {
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Store(#[from] sedge::StoreError),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Cli(#[from] CliError),
}

/// A figure that was measured, or why it couldn't be.
pub(super) struct Taken<'a> {
    figure: &'a Figure,
    measured: Result<Measured, BenchError>,
}

/// The folder in which a run makes its databases, removed at its end.
pub(super) struct Workplace {
    folder: TempDir,
    /// How many documents the large collections have.
    pub(super) documents: u64,
    made: Cell<u32>,
}

impl Workplace {
    pub(super) fn new(within: &Path, documents: u64) -> Result<Self, CliError> {
        std::fs::create_dir_all(within).map_err(CliError::file(within))?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(within)
            .map_err(CliError::file(within))?;
        Ok(Self {
            folder,
            documents,
            made: Cell::new(0),
        })
    }

    /// A path that nothing uses yet.
    pub(super) fn fresh(&self, name: &str) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.folder
            .path()
            .join(format!("{name}-{}", self.made.get()))
    }
}

impl Figure {
    /// Whether its name holds one of these texts, or there is none.
    pub(super) fn is_among(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| self.name.contains(name.as_str()))
    }

    pub(super) fn measure(&self, workplace: &Workplace) -> Taken<'_> {
        Taken {
            figure: self,
            measured: (self.take)(workplace),
        }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }
    }

    fn to_text(self) -> String {
        match self {
            Bound::AtMost(most) => format!("<= {most}"),
            Bound::AtLeast(least) => format!(">= {least}"),
        }
    }
}

impl Measured {
    /// A single value.
    pub(super) fn value(value: f64) -> Self {
        Self {
            value,
            medians: Vec::new(),
        }
    }

    /// The median of rounds, and how far they are apart.
    pub(super) fn spread(rounds: Vec<f64>) -> Self {
        let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = rounds.iter().copied().fold(0.0, f64::max);
        Self {
            value: median(rounds),
            medians: vec![("least", least), ("greatest", greatest)],
        }
    }

    /// How many times `ours` is `theirs` in the median of rounds taken in turn: both of a round meet the same machine,
    /// which may be a busier one in the next.
    pub(super) fn ratio(ours: (&'static str, Vec<f64>), theirs: (&'static str, Vec<f64>)) -> Self {
        let rounds = ours.1.iter().zip(&theirs.1);
        let value = median(rounds.map(|(mine, other)| mine / other).collect());
        let measured = Self {
            value,
            medians: Vec::new(),
        };
        measured.with(ours.0, ours.1).with(theirs.0, theirs.1)
    }

    /// Adds the median of something else that was measured in the same rounds.
    pub(super) fn with(mut self, name: &'static str, rounds: Vec<f64>) -> Self {
        self.medians.push((name, median(rounds)));
        self
    }
}

impl Taken<'_> {
    pub(super) fn tell(self, json: bool) -> Result<(), CliError> {
        if json {
            return output::json(&self.to_json());
        }
        output::line(&self.to_text())
    }

    fn to_json(&self) -> Value {
        let Figure {
            name, unit, bound, ..
        } = self.figure;
        let bound = bound.to_text();
        match &self.measured {
            Ok(measured) => {
                let mut object = json!({
                    "name": name, "value": rounded(measured.value), "unit": unit, "bound": bound,
                    "within": self.figure.bound.holds(measured.value)
                });
                for (part, median) in &measured.medians {
                    object[*part] = rounded(*median);
                }
                object
            }
            Err(error) => {
                json!({ "name": name, "value": null, "unit": unit, "bound": bound, "reason": error.to_string() })
            }
        }
    }

    fn to_text(&self) -> String {
        let Figure {
            name, unit, bound, ..
        } = self.figure;
        match &self.measured {
            Ok(measured) => {
                let mark = match bound.holds(measured.value) {
                    true => "ok",
                    false => "MISSED",
                };
                let medians = measured.medians.iter();
                let parts: Vec<String> = medians
                    .map(|(part, median)| format!("{part} {}", rounded(*median)))
                    .collect();
                format!(
                    "{name:<34} {:>10} {unit:<6} {:<8} {mark:<7} {}",
                    rounded(measured.value).to_string(),
                    bound.to_text(),
                    parts.join(", ")
                )
            }
            Err(error) => format!(
                "{name:<34} {:>10} {unit:<6} {} {error}",
                "-",
                bound.to_text()
            ),
        }
    }
}

/// Four significant digits: no measurement here is worth more.
fn rounded(value: f64) -> Value {
    let text = format!("{value:.3e}");
    json!(text.parse::<f64>().unwrap_or(value))
}

/// The seconds that something takes.
pub(super) fn seconds<T>(work: impl FnOnce() -> Result<T, BenchError>) -> Result<f64, BenchError> {
    let start = Instant::now();
    let done = work()?;
    let seconds = start.elapsed().as_secs_f64();
    drop(done); // what freeing the result costs is not part of it
    Ok(seconds)
}

/// The value in the middle; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

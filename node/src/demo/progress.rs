//! What a person watches: bars on a terminal, steps as lines elsewhere, nothing with `--json`.

use crate::cli::output;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

const PREFIX_WIDTH: usize = 16;

pub(super) struct Progress {
    bars: MultiProgress,
    quiet: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let bars = MultiProgress::new();
        if quiet || !std::io::stderr().is_terminal() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bars, quiet }
    }

    /// Says what happens now.
    pub(super) fn step(&self, text: &str) {
        if !self.quiet {
            self.bars.suspend(|| output::note(text));
        }
    }

    /// A bar for bytes read.
    pub(super) fn bytes(&self, name: &str, total: u64) -> ProgressBar {
        self.bar(name, total, "{prefix} {bar:40} {bytes}/{total_bytes}")
    }

    /// A bar for documents arrived.
    pub(super) fn documents(&self, name: &str) -> ProgressBar {
        self.bar(name, 0, "{prefix} {bar:40} {pos}/{len} documents")
    }

    /// A bar for edits seen.
    pub(super) fn edits(&self, total: u64) -> ProgressBar {
        self.bar("live edits", total, "{prefix} {bar:40} {pos}/{len}")
    }

    pub(super) fn clear(&self) {
        // Only a terminal that has gone can refuse, and then nobody is looking.
        self.bars.clear().unwrap_or_default();
    }

    /// It is drawn when it first moves, with all that belongs to it.
    fn bar(&self, name: &str, total: u64, template: &str) -> ProgressBar {
        let hidden = ProgressDrawTarget::hidden();
        let bar = ProgressBar::with_draw_target(Some(total), hidden)
            .with_prefix(format!("{name:PREFIX_WIDTH$}"));
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        self.bars.add(bar)
    }
}

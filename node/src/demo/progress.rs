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

    fn bar(&self, name: &str, total: u64, template: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_prefix(format!("{name:PREFIX_WIDTH$}"));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }
}

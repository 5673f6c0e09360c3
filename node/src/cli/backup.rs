//! `sedge backup`: the store as it is now, in a folder of its own.

use super::access::Access;
use super::args::BackupArguments;
use super::{CliError, Done, output};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use sedge::StateFolder;
use sedge::backup::{Progress, Step};

pub(super) async fn run(
    state: &StateFolder,
    arguments: BackupArguments,
    json: bool,
) -> Result<Done, CliError> {
    // The daemon has a working folder of its own.
    let path = std::path::absolute(&arguments.path).map_err(CliError::file(&arguments.path))?;
    let access = Access::open(state).await?;
    let bar = bar();
    let shown = bar.clone();
    let taken = access.backup(&path, move |progress| show(&shown, progress));
    let taken = taken.await;
    bar.finish_and_clear();
    let backup = taken?;
    if json {
        output::json(&backup)?;
        return Ok(Done::Wholly);
    }
    let folder = output::shell_quoted(&backup.path.to_string_lossy());
    output::line(&format!(
        "{} of {}{} are in {folder}, {} in all; restore them with: sedge restore {folder}",
        output::count(backup.documents, "document"),
        output::count(backup.collections as u64, "collection"),
        and_attachments(backup.attachments as u64),
        HumanBytes(backup.bytes),
    ))?;
    if backup.unsealed > 0 {
        output::line(&format!(
            "Changes of {} are not sealed: restored on another device, they would not reach other peers. Let this device \
             seal them first (sedge status says what keeps it from that), and back up again",
            output::count(backup.unsealed, "document")
        ))?;
    }
    Ok(Done::Wholly)
}

/// Told only where there are any.
pub(super) fn and_attachments(attachments: u64) -> String {
    match attachments {
        0 => String::new(),
        some => format!(" and {}", output::count(some, "attachment")),
    }
}

/// A bar on a terminal, nothing elsewhere.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{msg:9} {bar:40} {percent}% {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    let step = match progress.step {
        Step::Check => "checking",
        Step::Sync => "syncing",
        Step::Copy => "copying",
    };
    if bar.message() != step {
        bar.reset();
        bar.set_message(step);
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

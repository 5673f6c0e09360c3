//! `sedge import`: documents from an NDJSON file.

use super::access::Access;
use super::args::ImportArguments;
use super::ndjson::{BAD_LINES_KEPT_MAX, Reader};
use super::{CliError, Done, output};
use indicatif::{ProgressBar, ProgressStyle};
use sedge::StateFolder;
use sedge::api::wire::ImportRequest;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Bad lines told one by one as text; more are counted.
const BAD_LINES_TOLD_MAX: usize = 20;

pub(super) async fn run(
    state: &StateFolder,
    arguments: ImportArguments,
    json: bool,
) -> Result<Done, CliError> {
    let (input, bytes) = open(&arguments.file)?;
    let source = match arguments.file == Path::new("-") {
        true => Path::new("standard input"),
        false => &arguments.file,
    };
    let access = Access::open(state).await?;
    let progress = bar(bytes);
    let mut reader = Reader::new(input);
    let (mut written, mut unchanged) = (0, 0);
    while let Some(mut batch) = reader.next_batch().map_err(CliError::input(source))? {
        let request = ImportRequest {
            collection: arguments.collection.clone(),
            documents: std::mem::take(&mut batch.documents),
        };
        let answer = match access.import(request).await {
            Err(error) if error.is_daemon_gone() => {
                return Err(CliError::ImportCutShort {
                    documents: written + unchanged,
                    source: Box::new(error),
                });
            }
            answer => answer?,
        };
        written += answer.written;
        unchanged += answer.unchanged;
        batch
            .bad_lines(answer.rejected)
            .for_each(|bad| reader.bad.push(bad));
        progress.set_position(batch.bytes_read);
    }
    progress.finish_and_clear();
    let bad = &reader.bad;
    if json {
        output::json(&json!({
            "collection": arguments.collection,
            "written": written,
            "unchanged": unchanged,
            "rejected": bad.count,
            "rejectedLines": bad.kept,
        }))?;
    } else {
        for line in bad.kept.iter().take(BAD_LINES_TOLD_MAX) {
            output::note(&format!("line {}: {}", line.line, line.reason));
        }
        if bad.count as usize > BAD_LINES_TOLD_MAX {
            output::note(&format!(
                "{} lines were rejected in all; --json tells the first {BAD_LINES_KEPT_MAX}",
                bad.count
            ));
        }
        output::line(&format!(
            "{} written to {}, {unchanged} unchanged, {} rejected",
            output::count(written, "document"),
            arguments.collection,
            bad.count
        ))?;
    }
    Ok(match bad.count {
        0 => Done::Wholly,
        _ => Done::PartlyRejected,
    })
}

fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), CliError> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let file = File::open(path).map_err(CliError::file(path))?;
    let bytes = file.metadata().map_err(CliError::file(path))?.len();
    Ok((Box::new(BufReader::new(file)), Some(bytes)))
}

/// A bar on a terminal, nothing elsewhere.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:40} {bytes}/{total_bytes} {eta}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

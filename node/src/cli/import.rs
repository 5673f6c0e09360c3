//! `sedge import`: documents from an NDJSON file.

use super::access::Access;
use super::args::ImportArguments;
use super::limits::{BAD_LINES_KEPT_MAX, BAD_LINES_TOLD_MAX};
use super::ndjson::Reader;
use super::{CliError, Done, output};
use indicatif::{ProgressBar, ProgressStyle};
use sedge::StateFolder;
use sedge::api::wire::ImportRequest;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

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
        let imported = access.import(request).await;
        let answer = imported.map_err(|error| CliError::ImportCutShort {
            documents: written + unchanged,
            source: Box::new(error),
        })?;
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
pub(super) fn bar(bytes: Option<u64>) -> ProgressBar {
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

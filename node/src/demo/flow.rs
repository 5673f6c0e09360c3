//! What happens in a demo: import at the first peer, arrival at all others, live edits.

use super::AIRPORTS;
use super::edits;
use super::peer::DemoPeer;
use super::progress::Progress;
use super::report::Report;
use crate::cli::ndjson::Reader;
use crate::cli::{CliError, DemoArguments};
use sedge::api::wire::{CollectionStatus, ImportRequest};
use sedge::check_writable_collection_name;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pause between two looks at the peers' contents, in milliseconds.
const PAUSE_MS: u64 = 20;

/// What is imported.
pub(super) struct Data {
    pub(super) collection: String,
    file: PathBuf,
    bytes: u64,
    input: Box<dyn BufRead + Send>,
}

impl Data {
    pub(super) fn open(arguments: &DemoArguments) -> Result<Self, CliError> {
        let file = arguments.data.clone();
        let file = file.unwrap_or_else(|| PathBuf::from("airports.ndjson"));
        let stem = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let collection = arguments.collection.clone().or(stem).unwrap_or_default();
        check_writable_collection_name(&collection)
            .map_err(|reason| CliError::Usage(format!("{reason}; name one with --collection")))?;
        let (input, bytes): (Box<dyn BufRead + Send>, u64) = match &arguments.data {
            None => (Box::new(AIRPORTS), AIRPORTS.len() as u64),
            Some(path) => {
                let opened = File::open(path).map_err(CliError::file(path))?;
                let metadata = opened.metadata().map_err(CliError::file(path))?;
                if metadata.is_dir() {
                    let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
                    return Err(CliError::file(path)(error));
                }
                (Box::new(BufReader::new(opened)), metadata.len())
            }
        };
        Ok(Self {
            collection,
            file,
            bytes,
            input,
        })
    }
}

/// A collection's name as statements write it.
pub(super) fn quoted(collection: &str) -> String {
    format!("\"{}\"", collection.replace('"', "\"\""))
}

pub(super) async fn run(
    data: Data,
    peers: &[DemoPeer],
    progress: &Progress,
    report: &mut Report,
) -> Result<(), CliError> {
    let Some((first, last)) = peers.first().zip(peers.last()) else {
        return Ok(());
    };
    let collection = data.collection.clone();
    progress.step(&format!(
        "importing {} into {collection} at A",
        data.file.display()
    ));
    let started = Instant::now();
    let (imported, done) = watch::channel(false);
    let import = async {
        let imported_all = import(data, first, progress, report).await;
        imported.send_replace(true);
        imported_all
    };
    let (imported_all, arrived) = tokio::join!(import, arrival(peers, &collection, progress, done));
    imported_all?;
    arrived?;
    report.sync_seconds = Some(started.elapsed().as_secs_f64());
    progress
        .step("all peers hold the same; now live edits at A, seen by an observer at the last peer");
    report.live_edit_ms = edits::run(first, last, &collection, progress).await?;
    arrival(peers, &collection, progress, watch::channel(true).1).await?;
    report.converged = true;
    Ok(())
}

async fn import(
    data: Data,
    peer: &DemoPeer,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), CliError> {
    let bar = progress.bytes("import at A", data.bytes);
    let started = Instant::now();
    let mut reader = Reader::new(data.input);
    let mut documents = 0;
    loop {
        // Data may be slow to come, as from a pipe; Ctrl-C and the time limit hold meanwhile.
        let reading = tokio::task::spawn_blocking(move || {
            let batch = reader.next_batch();
            (reader, batch)
        });
        let read = reading
            .await
            .map_err(|error| CliError::Failed(error.to_string()))?;
        reader = read.0;
        let Some(mut batch) = read.1.map_err(CliError::input(&data.file))? else {
            break;
        };
        let request = ImportRequest {
            collection: data.collection.clone(),
            documents: std::mem::take(&mut batch.documents),
        };
        let answer = peer.client.import(&request).await?;
        documents += answer.written + answer.unchanged;
        batch
            .bad_lines(answer.rejected)
            .for_each(|bad| reader.bad.push(bad));
        bar.set_position(batch.bytes_read);
    }
    let seconds = started.elapsed().as_secs_f64();
    bar.finish();
    report.import_docs_per_s = Some(documents as f64 / seconds.max(f64::EPSILON));
    report.rejected = reader.bad.count;
    for bad in &reader.bad.kept {
        progress.step(&format!(
            "line {} is not imported: {}",
            bad.line, bad.reason
        ));
    }
    match reader.bad.kept.first() {
        Some(bad) if documents == 0 => Err(CliError::Failed(format!(
            "{}: nothing can be imported; line {}: {}",
            data.file.display(),
            bad.line,
            bad.reason
        ))),
        _ => Ok(()),
    }
}

/// Waits until the import is over and every peer holds what the first one holds.
async fn arrival(
    peers: &[DemoPeer],
    collection: &str,
    progress: &Progress,
    imported: watch::Receiver<bool>,
) -> Result<(), CliError> {
    let bars: Vec<_> = peers
        .iter()
        .map(|peer| progress.documents(&format!("arrived at {}", peer.name)))
        .collect();
    loop {
        let over = *imported.borrow();
        let mut holdings = Vec::with_capacity(peers.len());
        for peer in peers {
            holdings.push(holding(peer, collection).await?);
        }
        let total = holdings.first().map_or(0, |first| first.documents);
        if total > 0 {
            for (bar, held) in bars.iter().zip(&holdings) {
                bar.set_length(total);
                bar.set_position(held.documents);
            }
        }
        if over && holdings.windows(2).all(|pair| pair[0] == pair[1]) {
            bars.iter().for_each(|bar| bar.finish());
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
    }
}

/// What a peer itself says it holds of the collection.
pub(super) async fn holding(
    peer: &DemoPeer,
    collection: &str,
) -> Result<CollectionStatus, CliError> {
    let status = peer.client.status().await?;
    let mut collections = status.collections.into_iter();
    let found = collections.find(|status| status.name == collection);
    Ok(found.unwrap_or_else(|| CollectionStatus {
        name: collection.to_owned(),
        documents: 0,
        digest: String::new(),
    }))
}

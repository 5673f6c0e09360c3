//! `sedge attachment`: files beside documents.

use super::access::Access;
use super::args::{
    AddArguments, AttachmentCommand, AttachmentName, CollectArguments, FetchArguments,
    GetArguments, Wait,
};
use super::import::bar;
use super::limits::ATTACHMENT_PIECES_QUEUED_MAX;
use super::{CliError, Done, output};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use sedge::api::ClientError;
use sedge::api::wire::{
    AttachmentStatus, CollectRequest, CollectResponse, FetchRequest, FetchStatus, ListResponse,
};
use sedge::{BlobId, NodeError, StateFolder, Value, check_metadata};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of a piece on its way to the daemon.
const PIECE_BYTES: usize = 64 << 10;

pub(super) async fn run(
    state: &StateFolder,
    command: AttachmentCommand,
    json: bool,
) -> Result<Done, CliError> {
    match command {
        AttachmentCommand::Add(arguments) => add(state, arguments).await,
        AttachmentCommand::Get(arguments) => get(state, arguments, json).await,
        AttachmentCommand::Fetch(arguments) => fetch(state, &arguments, json).await,
        AttachmentCommand::List => list(state, json).await,
        AttachmentCommand::Collect(arguments) => collect(state, &arguments, json).await,
    }?;
    Ok(Done::Wholly)
}

async fn add(state: &StateFolder, arguments: AddArguments) -> Result<(), CliError> {
    let mut metadata = BTreeMap::new();
    for (name, text) in arguments.metadata {
        if let Some(earlier) = metadata.insert(name.clone(), text) {
            let reason =
                format!("--metadata {name} is given twice, first as {earlier:?}; give it once");
            return Err(CliError::Usage(reason));
        }
    }
    check_metadata(&metadata).map_err(|error| CliError::Usage(error.to_string()))?;
    let (input, bytes) = open(&arguments.file)?;
    let access = Access::open(state).await?;
    let progress = bar(bytes);
    let token = put(&access, progress.wrap_read(input), metadata).await?;
    progress.finish_and_clear();
    output::json(&token)
}

fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), CliError> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).map_err(CliError::file(path))?;
    let found = file.metadata().map_err(CliError::file(path))?;
    match found.is_dir() {
        true => Err(CliError::Failed(format!(
            "{} is a folder; name a file in it",
            path.display()
        ))),
        false => Ok((Box::new(file), found.is_file().then_some(found.len()))),
    }
}

async fn put(
    access: &Access,
    mut input: impl Read + Send + 'static,
    metadata: BTreeMap<String, String>,
) -> Result<Value, CliError> {
    match access {
        Access::Offline(offline) => {
            let token = offline.attachments().put(input, metadata).await?;
            Ok(Value::from(token))
        }
        Access::Daemon(client) => {
            let (pieces, receiver) = mpsc::channel(ATTACHMENT_PIECES_QUEUED_MAX);
            tokio::task::spawn_blocking(move || {
                loop {
                    let mut piece = vec![0; PIECE_BYTES];
                    let read = input.read(&mut piece).map(|read| {
                        piece.truncate(read);
                        Bytes::from(piece)
                    });
                    let ended = read.as_ref().map_or(true, Bytes::is_empty);
                    // Nobody listens once the daemon has refused it, and says why.
                    if read.as_ref().is_ok_and(Bytes::is_empty)
                        || pieces.blocking_send(read).is_err()
                        || ended
                    {
                        return;
                    }
                }
            });
            Ok(client
                .put_attachment(&metadata, ReceiverStream::new(receiver))
                .await?)
        }
    }
}

async fn fetch(
    state: &StateFolder,
    arguments: &FetchArguments,
    json: bool,
) -> Result<(), CliError> {
    let access = Access::open(state).await?;
    let status = bring(&access, arguments.attachment, &arguments.wait).await?;
    match (json, status.peers) {
        (true, _) => output::json(&status),
        (false, 0) => output::line(&format!("{} bytes, all here already", status.len)),
        (false, peers) => output::line(&format!(
            "{} bytes are here now, fetched from {}",
            status.len,
            output::count(peers as u64, "neighbour")
        )),
    }
}

/// Sees to it that the bytes are here: a daemon fetches what is missing.
async fn bring(
    access: &Access,
    AttachmentName { id, len }: AttachmentName,
    wait: &Wait,
) -> Result<FetchStatus, CliError> {
    let client = match access {
        Access::Daemon(client) => client,
        Access::Offline(offline) => {
            let stat = offline.attachments().stat(id).await?;
            let len = stat.ok_or(NodeError::NoMesh(id))?.len;
            return Ok(FetchStatus {
                id: id.to_string(),
                len,
                bytes: len,
                peers: 0,
            });
        }
    };
    let request = FetchRequest {
        len,
        wait_seconds: Some(wait.seconds),
    };
    let progress = bar(Some(0));
    let shown = progress.clone();
    let fetched = client.fetch_attachment(id, &request, move |status| {
        shown.set_length(status.len);
        shown.set_position(status.bytes);
    });
    let fetched = fetched.await;
    progress.finish_and_clear();
    Ok(fetched?)
}

async fn get(state: &StateFolder, arguments: GetArguments, json: bool) -> Result<(), CliError> {
    let access = Access::open(state).await?;
    let id = arguments.attachment.id;
    let len = bring(&access, arguments.attachment, &arguments.wait)
        .await?
        .len;
    let path = arguments.output.filter(|path| path != Path::new("-"));
    let Some(path) = path else {
        let range = arguments.range.clone().unwrap_or(0..len);
        let mut hasher = blake3::Hasher::new();
        let mut out = io::stdout().lock();
        let range = range.start.min(len)..range.end.min(len);
        let write = |piece: &[u8]| out.write_all(piece).map_err(CliError::Output);
        copy(
            &access,
            id,
            range,
            &mut hasher,
            &ProgressBar::hidden(),
            write,
        )
        .await?;
        out.flush().map_err(CliError::Output)?;
        return match arguments.range {
            Some(_) => Ok(()),
            None => check(id, &hasher),
        };
    };
    if path.is_dir() {
        let reason = format!("{} is a folder; name a file in it", path.display());
        return Err(CliError::Failed(reason));
    }
    save(&access, id, len, &path).await?;
    match json {
        true => output::json(&json!({ "id": id.to_string(), "bytes": len, "output": path })),
        false => Ok(()),
    }
}

/// Writes an attachment to a part beside the file, going on with a part that is there, and puts it in the file's place
/// when it is whole.
async fn save(access: &Access, id: BlobId, len: u64, path: &Path) -> Result<(), CliError> {
    let part = part_of(path, id);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    let mut file = options.open(&part).map_err(CliError::file(&part))?;
    let mut hasher = blake3::Hasher::new();
    // Reading it is how its hash goes on; its place is then the end.
    hasher
        .update_reader(&mut file)
        .map_err(CliError::file(&part))?;
    let progress = bar(Some(len));
    progress.set_position(hasher.count());
    if hasher.count() <= len {
        let write = |piece: &[u8]| file.write_all(piece).map_err(CliError::file(&part));
        copy(
            access,
            id,
            hasher.count()..len,
            &mut hasher,
            &progress,
            write,
        )
        .await?;
    }
    progress.finish_and_clear();
    if let Err(error) = check(id, &hasher) {
        fs::remove_file(&part).map_err(CliError::file(&part))?;
        return Err(error);
    }
    file.sync_all().map_err(CliError::file(&part))?;
    fs::rename(&part, path).map_err(CliError::file(path))
}

/// Where the part of a file that has come so far is kept.
fn part_of(path: &Path, id: BlobId) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let id = id.to_string();
    path.with_file_name(format!(".{name}.{}.part", &id[..8]))
}

async fn copy(
    access: &Access,
    id: BlobId,
    range: Range<u64>,
    hasher: &mut blake3::Hasher,
    progress: &ProgressBar,
    mut write: impl FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    if range.start >= range.end {
        return Ok(());
    }
    let mut left = range.end - range.start;
    let mut pieces: BoxStream<'_, Result<Bytes, CliError>> = match access {
        Access::Daemon(client) => {
            let pieces = client.attachment(id, range).await?;
            pieces.map_err(CliError::from).boxed()
        }
        Access::Offline(offline) => {
            let pieces = offline.attachments().get(id, range).await?.pieces;
            pieces
                .map_err(|error| NodeError::from(error).into())
                .boxed()
        }
    };
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        write(&piece)?;
        hasher.update(&piece);
        progress.inc(piece.len() as u64);
        left = left.saturating_sub(piece.len() as u64);
    }
    match left {
        0 => Ok(()),
        left => {
            Err(ClientError::Broken(format!("{left} bytes of attachment {id} are missing")).into())
        }
    }
}

fn check(id: BlobId, hasher: &blake3::Hasher) -> Result<(), CliError> {
    match *hasher.finalize().as_bytes() == id.0 {
        true => Ok(()),
        false => Err(CliError::Failed(format!(
            "what came is not attachment {id}, and was not kept; run the command again"
        ))),
    }
}

async fn list(state: &StateFolder, json: bool) -> Result<(), CliError> {
    let access = Access::open(state).await?;
    let mut rows = vec![["id", "bytes", "documents"].map(str::to_owned).to_vec()];
    let mut after = None;
    loop {
        let page: ListResponse = match &access {
            Access::Daemon(client) => client.attachments(after.as_deref()).await?,
            Access::Offline(offline) => {
                let after = after.as_deref().and_then(|id: &str| id.parse().ok());
                offline.attachments().list(after).await?.as_slice().into()
            }
        };
        for status in &page.attachments {
            match json {
                true => output::json(status)?,
                false => rows.push(row(status)),
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match (json, rows.len()) {
        (true, _) => Ok(()),
        (false, 1) => output::line("no attachments yet"),
        (false, _) => output::line(&output::table(&rows)),
    }
}

fn row(status: &AttachmentStatus) -> Vec<String> {
    let (bytes, documents) = (status.len.to_string(), status.documents.to_string());
    vec![status.id.clone(), bytes, documents]
}

async fn collect(
    state: &StateFolder,
    arguments: &CollectArguments,
    json: bool,
) -> Result<(), CliError> {
    let collected: CollectResponse = match Access::open(state).await? {
        Access::Daemon(client) => {
            let grace_seconds = Some(arguments.older_than);
            client
                .collect_attachments(&CollectRequest { grace_seconds })
                .await?
        }
        Access::Offline(offline) => {
            let grace = Duration::from_secs(arguments.older_than);
            offline.attachments().collect(grace).await?.into()
        }
    };
    match json {
        true => output::json(&collected),
        false => output::line(&format!(
            "{} removed, {} bytes",
            output::count(collected.attachments, "attachment"),
            collected.bytes
        )),
    }
}

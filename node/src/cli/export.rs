//! `sedge export`: a collection as NDJSON.

use super::access::Access;
use super::args::ExportArguments;
use super::{CliError, Done};
use sedge::StateFolder;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub(super) async fn run(state: &StateFolder, arguments: ExportArguments) -> Result<Done, CliError> {
    let access = Access::open(state).await?;
    let collection = &arguments.collection;
    match &arguments.output {
        Some(path) if is_special(path) => {
            let mut out = BufWriter::new(File::create(path).map_err(CliError::file(path))?);
            access
                .export(collection, |piece| out.write_all(piece))
                .await?;
            out.flush().map_err(CliError::file(path))?;
        }
        Some(path) => to_file(&access, collection, path).await?,
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            access
                .export(collection, |piece| out.write_all(piece))
                .await?;
            out.flush().map_err(CliError::Output)?;
        }
    }
    Ok(Done::Wholly)
}

/// A device, a pipe or a link is written into; only a plain file may be replaced.
fn is_special(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.is_file())
}

/// Replaces the file only when the export is whole.
async fn to_file(access: &Access, collection: &str, path: &Path) -> Result<(), CliError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".part");
    let draft = Path::new(&draft);
    let file = File::create(draft).map_err(CliError::file(draft))?;
    let mut out = BufWriter::new(file);
    let exported = access
        .export(collection, |piece| out.write_all(piece))
        .await;
    let kept = exported.and_then(|()| {
        let file = out
            .into_inner()
            .map_err(|error| CliError::Output(error.into_error()))?;
        file.sync_all().map_err(CliError::file(draft))?;
        fs::rename(draft, path).map_err(CliError::file(path))
    });
    if kept.is_err() {
        fs::remove_file(draft).map_err(CliError::file(draft))?;
    }
    kept
}

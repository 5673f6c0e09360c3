//! `sedge export`: a collection as NDJSON.

use super::access::Access;
use super::args::ExportArguments;
use super::{CliError, Done, output};
use sedge::StateFolder;
use serde_json::json;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where an export goes.
enum Target {
    Stdout,
    /// A file, replaced only by a whole export.
    Replaced(PathBuf),
    /// A device or a pipe, or what a link leads to that is not there yet.
    Written(PathBuf),
}

pub(super) async fn run(
    state: &StateFolder,
    arguments: ExportArguments,
    json: bool,
) -> Result<Done, CliError> {
    let target = target(arguments.output.as_deref())?;
    let access = Access::open(state).await?;
    let collection = &arguments.collection;
    let documents = match target {
        Target::Stdout => {
            let exported = export(&access, collection, io::stdout().lock()).await;
            exported.map(drop)?;
            return Ok(Done::Wholly);
        }
        Target::Written(path) => {
            let file = File::create(&path).map_err(CliError::file(&path))?;
            export(&access, collection, file).await?.1
        }
        Target::Replaced(path) => replace(&access, collection, &path).await?,
    };
    if json {
        output::json(&json!({ "collection": collection, "documents": documents }))?;
    }
    Ok(Done::Wholly)
}

fn target(output: Option<&Path>) -> Result<Target, CliError> {
    let Some(path) = output.filter(|path| *path != Path::new("-")) else {
        return Ok(Target::Stdout);
    };
    let failed = CliError::file(path);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(CliError::Failed(format!(
            "{} is a folder; name a file in it",
            path.display()
        ))),
        // Behind a link it is the file that is replaced; the link stays.
        Ok(found) if found.is_file() => {
            Ok(Target::Replaced(fs::canonicalize(path).map_err(failed)?))
        }
        Ok(_) => Ok(Target::Written(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(match path.is_symlink() {
            true => Target::Written(path.to_owned()),
            false => Target::Replaced(path.to_owned()),
        }),
        Err(error) => Err(failed(error)),
    }
}

/// Writes all of the collection; gives back what it was written to, and the number of documents.
async fn export<W: Write>(access: &Access, collection: &str, to: W) -> Result<(W, u64), CliError> {
    let mut out = BufWriter::new(to);
    let mut documents = 0;
    let write = |piece: &[u8]| {
        documents += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        out.write_all(piece)
    };
    access.export(collection, write).await?;
    out.flush().map_err(CliError::Output)?; // what is beneath may have a buffer too
    let to = out.into_inner();
    to.map(|to| (to, documents))
        .map_err(|error| CliError::Output(error.into_error()))
}

/// Writes a draft beside the file, and puts it in the file's place when it is whole. Gives back the number of
/// documents.
async fn replace(access: &Access, collection: &str, path: &Path) -> Result<u64, CliError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let draft = tempfile::Builder::new()
        .prefix(".sedge-export-")
        .suffix(".part")
        .permissions(Permissions::from_mode(0o666)) // what any new file gets, the umask taken off
        .tempfile_in(folder)
        .map_err(CliError::file(path))?;
    let (draft, documents) = export(access, collection, draft).await?;
    let file = draft.as_file();
    if let Ok(replaced) = fs::metadata(path) {
        file.set_permissions(replaced.permissions())
            .map_err(CliError::file(path))?;
    }
    file.sync_all().map_err(CliError::file(path))?;
    draft
        .persist(path)
        .map_err(|error| CliError::file(path)(error.error))?;
    Ok(documents)
}

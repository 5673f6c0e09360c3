//! `sedge export`: a collection as NDJSON.

use super::access::Access;
use super::args::ExportArguments;
use super::{CliError, Done};
use sedge::StateFolder;
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

pub(super) async fn run(state: &StateFolder, arguments: ExportArguments) -> Result<Done, CliError> {
    let target = target(arguments.output.as_deref())?;
    let access = Access::open(state).await?;
    let collection = &arguments.collection;
    match target {
        Target::Stdout => export(&access, collection, io::stdout().lock())
            .await
            .map(drop)?,
        Target::Written(path) => {
            let file = File::create(&path).map_err(CliError::file(&path))?;
            export(&access, collection, file).await.map(drop)?;
        }
        Target::Replaced(path) => replace(&access, collection, &path).await?,
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

/// Writes all of the collection, and gives back what it was written to.
async fn export<W: Write>(access: &Access, collection: &str, to: W) -> Result<W, CliError> {
    let mut out = BufWriter::new(to);
    access
        .export(collection, |piece| out.write_all(piece))
        .await?;
    out.flush().map_err(CliError::Output)?; // what is beneath may have a buffer too
    out.into_inner()
        .map_err(|error| CliError::Output(error.into_error()))
}

/// Writes a draft beside the file, and puts it in the file's place when it is whole.
async fn replace(access: &Access, collection: &str, path: &Path) -> Result<(), CliError> {
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
    let draft = export(access, collection, draft).await?;
    let file = draft.as_file();
    if let Ok(replaced) = fs::metadata(path) {
        file.set_permissions(replaced.permissions())
            .map_err(CliError::file(path))?;
    }
    file.sync_all().map_err(CliError::file(path))?;
    draft
        .persist(path)
        .map_err(|error| CliError::file(path)(error.error))?;
    Ok(())
}

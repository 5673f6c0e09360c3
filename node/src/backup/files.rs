//! The files of a backup: listed, hashed, copied, made durable.

use super::{BackupError, Progress, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A file's size and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    /// Its size.
    pub bytes: u64,
    /// The BLAKE3 hash of its content, in hexadecimal.
    pub blake3: String,
}

/// Hashes the files of a folder, which has no folders in it, and makes them durable.
pub(super) fn sum_files(
    folder: &Path,
    told: &mut dyn FnMut(Progress),
) -> Result<BTreeMap<String, FileSum>, BackupError> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        let bytes = entry.metadata().map_err(io_error(&entry.path()))?.len();
        sizes.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    let (mut done, total) = (0, sizes.values().sum());
    let mut sums = BTreeMap::new();
    for name in sizes.into_keys() {
        let path = folder.join(&name);
        let file = File::open(&path).map_err(io_error(&path))?;
        let sum = pass(&file, &mut io::sink(), |bytes| {
            done += bytes;
            told(Progress {
                step: Step::Sync,
                done,
                total,
            });
        });
        sums.insert(name, sum.map_err(io_error(&path))?);
        file.sync_all().map_err(io_error(&path))?;
    }
    sync_folder(folder)?;
    Ok(sums)
}

/// Copies a file for its owner only, and makes the copy durable.
pub(super) fn copy(from: &Path, to: &Path, told: impl FnMut(u64)) -> Result<FileSum, BackupError> {
    let source = File::open(from).map_err(io_error(from))?;
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    let mut target = options.open(to).map_err(io_error(to))?;
    let sum = pass(&source, &mut target, told).map_err(io_error(to))?;
    target.sync_all().map_err(io_error(to))?;
    Ok(sum)
}

fn pass(from: &File, to: &mut impl Write, mut told: impl FnMut(u64)) -> io::Result<FileSum> {
    let mut from = from;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
        told(read as u64);
    }
    Ok(FileSum {
        bytes,
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

pub(super) fn write_synced(path: &Path, text: &str) -> Result<(), BackupError> {
    let mut file = File::create(path).map_err(io_error(path))?;
    file.write_all(text.as_bytes()).map_err(io_error(path))?;
    file.sync_all().map_err(io_error(path))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(io_error(path))
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

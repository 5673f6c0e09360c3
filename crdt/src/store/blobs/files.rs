//! Where the files of blobs are, and how they come and go.

use super::error::BlobError;
use crate::blob::{BlobId, BlobRef};
use sedge_identity::hex;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

const TREE: &str = "tree";
const HAVE: &str = "have";

/// The folder of all blobs.
pub(super) struct Folder {
    path: PathBuf,
    drafts: AtomicU64,
}

/// The files of one blob.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) data: PathBuf,
    pub(super) tree: PathBuf,
}

impl Folder {
    pub(super) fn open(store: &Path) -> Result<Self, BlobError> {
        let path = store.join("blobs");
        let new = path.join("new");
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(BlobError::io(&new)(error));
            }
            _ => {}
        }
        for folder in [&new, &path.join("whole"), &path.join("partial")] {
            fs::create_dir_all(folder).map_err(BlobError::io(folder))?;
        }
        sync_folder(&path)?;
        sync_folder(store)?;
        Ok(Self {
            path,
            drafts: AtomicU64::new(0),
        })
    }

    /// Files for a new upload, which no other one has.
    pub(super) fn draft(&self) -> Files {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        files(self.path.join("new").join(number.to_string()))
    }

    pub(super) fn whole(&self, id: BlobId) -> Files {
        files(self.shard_path(id.0[0]).join(id.to_string()))
    }

    pub(super) fn partial(&self, blob: BlobRef) -> Files {
        let name = format!("{}.{}", blob.id, blob.len);
        files(self.path.join("partial").join(name))
    }

    /// Which chunks of a partial blob are here.
    pub(super) fn have(&self, blob: BlobRef) -> PathBuf {
        beside(&self.partial(blob).data, HAVE)
    }

    /// The length of a blob that is here as a whole.
    pub(super) fn whole_len(&self, id: BlobId) -> Result<Option<u64>, BlobError> {
        Ok(metadata(&self.whole(id).data)?.map(|found| found.len()))
    }

    /// When a blob that is here as a whole came here.
    pub(super) fn whole_since(&self, id: BlobId) -> Result<Option<SystemTime>, BlobError> {
        since(&self.whole(id).data)
    }

    /// When a partial blob last grew.
    pub(super) fn partial_since(&self, blob: BlobRef) -> Result<Option<SystemTime>, BlobError> {
        since(&self.partial(blob).data)
    }

    /// Moves synced files into the place of a whole blob, over what is there: the bytes are the same, unless those were
    /// damaged. Durable on return.
    pub(super) fn place(&self, from: &Files, id: BlobId) -> Result<(), BlobError> {
        let (to, shard) = (self.whole(id), self.shard_path(id.0[0]));
        if !shard.exists() {
            fs::create_dir_all(&shard).map_err(BlobError::io(&shard))?;
            sync_folder(&self.path.join("whole"))?;
        }
        // The tree first: what stands in the place of the bytes is whole.
        if from.tree.exists() {
            fs::rename(&from.tree, &to.tree).map_err(BlobError::io(&to.tree))?;
        }
        fs::rename(&from.data, &to.data).map_err(BlobError::io(&to.data))?;
        sync_folder(&shard)
    }

    /// Removes a whole blob and tells its length; `None` when it is not here.
    pub(super) fn remove_whole(&self, id: BlobId) -> Result<Option<u64>, BlobError> {
        let len = self.whole_len(id)?;
        let files = self.whole(id);
        remove(&files.data)?;
        remove(&files.tree)?;
        Ok(len)
    }

    /// Removes what is here of a partial blob; tells how many bytes it took.
    pub(super) fn remove_partial(&self, blob: BlobRef) -> Result<u64, BlobError> {
        use std::os::unix::fs::MetadataExt;
        let files = self.partial(blob);
        // Its file may have holes.
        let bytes = metadata(&files.data)?.map_or(0, |found| found.blocks() * 512);
        for path in [&self.have(blob), &files.data, &files.tree] {
            remove(path)?;
        }
        Ok(bytes)
    }

    /// The whole blobs whose id begins with this byte, ascending.
    pub(super) fn shard(&self, first: u8) -> Result<Vec<BlobId>, BlobError> {
        let mut ids = Vec::new();
        names(&self.shard_path(first), |name| {
            ids.extend(name.parse::<BlobId>().ok())
        })?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// The blobs of which a part is here.
    pub(super) fn partials(&self) -> Result<Vec<BlobRef>, BlobError> {
        let mut blobs = Vec::new();
        names(&self.path.join("partial"), |name| {
            let blob = name.split_once('.').and_then(|(id, len)| {
                let (id, len) = (id.parse().ok()?, len.parse().ok()?);
                Some(BlobRef { id, len })
            });
            blobs.extend(blob);
        })?;
        Ok(blobs)
    }

    fn shard_path(&self, first: u8) -> PathBuf {
        self.path.join("whole").join(hex(&[first]).to_string())
    }
}

/// Opens a file to read and write, creating it when it isn't there.
pub(super) fn open_writable(path: &Path) -> Result<File, BlobError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path).map_err(BlobError::io(path))
}

/// Opens a file to read; `None` when there is none.
pub(super) fn open_readable(path: &Path) -> Result<Option<File>, BlobError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BlobError::io(path)(error)),
    }
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(BlobError::io(path)(error)),
        _ => Ok(()),
    }
}

fn files(data: PathBuf) -> Files {
    let tree = beside(&data, TREE);
    Files { data, tree }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn metadata(path: &Path) -> Result<Option<fs::Metadata>, BlobError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BlobError::io(path)(error)),
    }
}

fn since(path: &Path) -> Result<Option<SystemTime>, BlobError> {
    let modified = metadata(path)?.map(|found| found.modified());
    modified.transpose().map_err(BlobError::io(path))
}

fn names(folder: &Path, mut name: impl FnMut(&str)) -> Result<(), BlobError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BlobError::io(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(BlobError::io(folder))?;
        name(&entry.file_name().to_string_lossy());
    }
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), BlobError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(BlobError::io(path))
}

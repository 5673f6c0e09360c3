//! Copies of the blobs that are here as a whole, beside the copy of a database.

use super::Blobs;
use super::error::BlobError;
use super::files::open_readable;
use parking_lot::RwLockReadGuard;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

impl Blobs {
    /// Until the answer is dropped, nothing is collected: what documents name now keeps its bytes.
    pub(in crate::store) fn keep(&self) -> RwLockReadGuard<'_, ()> {
        self.leaving.read()
    }

    /// Puts all whole blobs into the new folder `to`, named by their ids. What is removed meanwhile may be missing.
    pub(in crate::store) fn copy_whole(&self, to: &Path) -> Result<(), BlobError> {
        fs::create_dir(to).map_err(BlobError::io(to))?;
        for shard in 0..=u8::MAX {
            for id in self.folder.shard(shard)? {
                let from = self.folder.whole(id).data;
                if let Some(file) = open_readable(&from)? {
                    let copy = to.join(id.to_string());
                    link_or_copy(&from, file, &copy).map_err(BlobError::io(&copy))?;
                }
            }
        }
        Ok(())
    }
}

/// On the same file system both names have one file, which never changes. Others, and those without links, get a copy.
fn link_or_copy(from: &Path, mut file: File, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    io::copy(&mut file, &mut options.open(to)?).map(drop)
}

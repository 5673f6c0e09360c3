//! Taking in a blob whose name is not known before its last byte.

use super::error::BlobError;
use super::files::{Files, open_writable, remove};
use super::{Blobs, check_len};
use crate::blob::{BLOB_CHUNK_BYTES, BlobRef, Builder, Node};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};

impl Blobs {
    /// Writes what the reader gives to a draft, one chunk at a time, and puts it in its place once it is synced.
    pub(super) fn put(&self, content: impl Read) -> Result<BlobRef, BlobError> {
        let draft = Draft(self.folder.draft());
        let blob = draft.write(content)?;
        let _placing = self.placing.lock();
        self.folder.place(&draft.0, blob.id)?;
        Ok(blob)
    }
}

/// Files that are removed unless they were moved away.
struct Draft(Files);

impl Drop for Draft {
    fn drop(&mut self) {
        for path in [&self.0.data, &self.0.tree] {
            if let Err(error) = remove(path) {
                tracing::warn!(%error, "a draft stays until the store is opened again");
            }
        }
    }
}

impl Draft {
    fn write(&self, mut content: impl Read) -> Result<BlobRef, BlobError> {
        let Files { data, tree } = &self.0;
        let mut bytes = open_writable(data)?;
        let mut parents = Parents::default();
        let mut builder = Builder::default();
        let mut chunk = vec![0; BLOB_CHUNK_BYTES];
        let mut len = 0;
        loop {
            let filled = fill(&mut content, &mut chunk).map_err(BlobError::Content)?;
            // The end of a whole number of chunks is known only by the empty one behind it.
            if filled > 0 || len == 0 {
                len += filled as u64;
                check_len(len)?;
                let chunk = &chunk[..filled];
                bytes.write_all(chunk).map_err(BlobError::io(data))?;
                builder.push(chunk, &mut |node| parents.write(&node, self))?;
            }
            if filled < BLOB_CHUNK_BYTES {
                break;
            }
        }
        let id = builder.finish(&mut |node| parents.write(&node, self))?;
        bytes.sync_all().map_err(BlobError::io(data))?;
        parents.sync().map_err(BlobError::io(tree))?;
        Ok(BlobRef { id, len })
    }
}

/// The file of a tree; there is none before the first parent.
#[derive(Default)]
struct Parents(Option<BufWriter<File>>);

impl Parents {
    fn write(&mut self, node: &Node, draft: &Draft) -> Result<(), BlobError> {
        let path = &draft.0.tree;
        let file = match &mut self.0 {
            Some(file) => file,
            none => none.insert(BufWriter::new(open_writable(path)?)),
        };
        file.write_all(&node.bytes()).map_err(BlobError::io(path))
    }

    fn sync(self) -> io::Result<()> {
        match self.0 {
            Some(file) => file
                .into_inner()
                .map_err(|error| error.into_error())?
                .sync_all(),
            None => Ok(()),
        }
    }
}

/// Reads until the buffer is full or the reader ends.
fn fill(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

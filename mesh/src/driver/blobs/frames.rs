//! Frames of a blob stream.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt};

/// The body of the next frame; `None` when it is longer than may be.
pub(super) async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<Option<Bytes>> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > bytes_max {
        return Ok(None);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(Some(body.into()))
}

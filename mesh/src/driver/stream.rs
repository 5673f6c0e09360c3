//! A sync stream: frames in, frames out. What arrives is decoded here, beside the main task; a message that
//! the main task has no room for yet waits here, and with it the neighbour.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, io::ReadHalf, io::WriteHalf};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    limits::{FRAME_BYTES_MAX, MESSAGES_QUEUED_MAX, SHUTDOWN_TIMEOUT_MS},
    proto::{CloseCode, Message, decode_frame, encode_frame},
};

/// The protocol's name.
pub(super) const SYNC_PROTOCOL: StreamProtocol = StreamProtocol::new("/sedge/sync/1");

/// Tells streams apart, also those of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamId(pub u64);

/// What a stream's task tells the main task.
#[derive(Debug)]
pub(super) enum FromStream {
    Message(Message),
    /// Bytes that are no message; the task has ended.
    Undecodable(CloseCode),
    Ended,
}

/// The main task's end of a stream. Dropping it sends what is queued (for a while) and closes the stream.
#[derive(Debug)]
pub(super) struct StreamHandle {
    pub id: StreamId,
    outgoing: mpsc::Sender<Message>,
    /// Dropped with the handle, which the task notices.
    open: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl StreamHandle {
    /// Starts the task of a stream, which reports to `inputs`.
    pub fn start(
        id: StreamId,
        peer: PeerId,
        stream: Stream,
        inputs: mpsc::Sender<(PeerId, StreamId, FromStream)>,
    ) -> Self {
        let (outgoing, messages) = mpsc::channel(MESSAGES_QUEUED_MAX);
        let (open, closed) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let (reader, writer) = stream.split();
            let last = tokio::select! {
                last = read(reader, peer, id, &inputs) => last,
                result = write(writer, messages) => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "writing to a sync stream failed");
                    }
                    FromStream::Ended
                }
                () = grace(closed) => FromStream::Ended,
            };
            // The main task may be gone already; then nobody needs to know.
            inputs.send((peer, id, last)).await.ok();
        });
        Self {
            id,
            outgoing,
            open,
            task,
        }
    }

    /// Queues a message; false when the neighbour has let too many pile up, or the stream has ended.
    pub fn send(&self, message: Message) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// Sends what is queued, closes the stream, and waits until that is done.
    pub async fn finish(self) {
        let Self {
            outgoing,
            open,
            task,
            ..
        } = self;
        drop((outgoing, open));
        if let Err(error) = task.await {
            tracing::error!(%error, "the task of a sync stream ended badly");
        }
    }
}

/// Ends some time after the main task has let go of the stream, whether all was written or not.
async fn grace(closed: oneshot::Receiver<()>) {
    if closed.await.is_err() {
        tokio::time::sleep(Duration::from_millis(SHUTDOWN_TIMEOUT_MS)).await;
    }
}

async fn read(
    mut reader: ReadHalf<Stream>,
    peer: PeerId,
    id: StreamId,
    inputs: &mpsc::Sender<(PeerId, StreamId, FromStream)>,
) -> FromStream {
    loop {
        let body = match read_frame(&mut reader).await {
            Ok(Some(body)) => body,
            Ok(None) => return FromStream::Undecodable(CloseCode::TooLarge),
            Err(error) => {
                tracing::trace!(%error, "a sync stream has ended");
                return FromStream::Ended;
            }
        };
        match decode_frame(body) {
            Ok(message) => {
                if inputs
                    .send((peer, id, FromStream::Message(message)))
                    .await
                    .is_err()
                {
                    return FromStream::Ended;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a frame cannot be read");
                return FromStream::Undecodable(error.code());
            }
        }
    }
}

/// The body of the next frame; `None` when it is too long.
async fn read_frame(reader: &mut ReadHalf<Stream>) -> io::Result<Option<Bytes>> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > FRAME_BYTES_MAX {
        return Ok(None);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(Some(body.into()))
}

async fn write(
    mut writer: WriteHalf<Stream>,
    mut messages: mpsc::Receiver<Message>,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        writer.write_all(&encode_frame(&message)).await?;
        if messages.is_empty() {
            writer.flush().await?;
        }
    }
    writer.close().await
}

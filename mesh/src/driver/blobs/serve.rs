//! Giving out chunks over one stream: one request, one answer, and no look at the next before that is written. So a peer that
//! does not read holds one answer in memory, until it is cut.

use std::time::Duration;

use bytes::Bytes;
use futures::AsyncWriteExt;
use libp2p::{PeerId, Stream};
use tokio::{sync::mpsc, time::timeout};

use super::{Offence, calls::Calls, frames::read_frame};
use crate::{
    blob::{Blob, BlobAnswer, BlobRequest},
    driver::names::short,
    limits::{BLOB_IDLE_MS, BLOB_REQUEST_BYTES_MAX, BLOB_WRITE_TIMEOUT_MS},
};

/// Serves a stream until it ends.
pub(super) async fn serve(
    peer: PeerId,
    mut stream: Stream,
    calls: Calls,
    offences: mpsc::Sender<Offence>,
) {
    let mut serving = Serving {
        peer,
        calls,
        blob: None,
        has_told: false,
    };
    if let Err(End::Offence(how)) = serving.run(&mut stream).await {
        // When the main task has ended, nobody needs to know.
        offences.send((peer, how)).await.ok();
    }
}

enum End {
    /// The stream has ended, or nothing moves on it.
    Over,
    Offence(&'static str),
}

struct Serving {
    peer: PeerId,
    calls: Calls,
    /// What the requests are about.
    blob: Option<Blob>,
    /// Whether the log has a failure of this stream.
    has_told: bool,
}

impl Serving {
    async fn run(&mut self, stream: &mut Stream) -> Result<(), End> {
        let [idle, write] = [BLOB_IDLE_MS, BLOB_WRITE_TIMEOUT_MS].map(Duration::from_millis);
        loop {
            let body = timeout(idle, read_frame(stream, BLOB_REQUEST_BYTES_MAX)).await;
            let body = body.map_err(|_| End::Over)?.map_err(|_| End::Over)?;
            let body = body.ok_or(End::Offence("its request for an attachment is too long"))?;
            let frame = self.answer(body).await?.encode();
            let written = timeout(write, async {
                stream.write_all(&frame).await?;
                stream.flush().await
            });
            match written.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::Over),
                Err(_) => {
                    tracing::debug!(peer = %short(&self.peer), "the peer does not take an attachment it asked for");
                    return Err(End::Over);
                }
            }
        }
    }

    async fn answer(&mut self, body: Bytes) -> Result<BlobAnswer, End> {
        let request = BlobRequest::decode(body);
        let request = request.map_err(|_| End::Offence("it sent bytes that are no request"))?;
        let answer = match request {
            BlobRequest::Ask(blob) => {
                self.blob = Some(blob);
                let held = self.calls.call(move |blobs| blobs.held(blob)).await;
                held.map(|held| (!held.is_empty()).then(|| BlobAnswer::Held(held.encode())))
            }
            BlobRequest::Get(index) => {
                let before = End::Offence("it asked for a chunk of no attachment");
                let blob = self.blob.ok_or(before)?;
                let chunk = self.calls.call(move |blobs| blobs.chunk(blob, index)).await;
                chunk.map(|chunk| chunk.map(|chunk| BlobAnswer::Chunk(index, chunk)))
            }
        };
        Ok(answer
            .unwrap_or_else(|reason| {
                self.tell(&reason);
                None
            })
            .unwrap_or(BlobAnswer::NotHere))
    }

    /// Logs a failure, once for each stream: who asks again makes it fail again.
    fn tell(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.has_told, true) {
            let (peer, blob) = (short(&self.peer), self.blob);
            tracing::warn!(%peer, ?blob, "an attachment can't be given to a peer: {reason}");
        }
    }
}

//! The one worker that calls the store: requests in order, answers in order.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    limits::REQUESTS_QUEUED_MAX,
    proto::{Answer, Request, RequestId, execute},
    replica::Replica,
};

/// Carries out a request. A panic in the store fails this request only: what comes after it may go well, and a
/// worker that ended would leave the mesh without a store until the next start.
fn answer(replica: &dyn Replica, request: Request) -> Answer {
    // A store that panicked must be usable as one that failed; it keeps its own state consistent.
    catch_unwind(AssertUnwindSafe(|| execute(replica, request))).unwrap_or_else(|_| {
        Answer::Failed {
            reason: "it panicked (standard error says where); please report it".to_owned(),
        }
    })
}

/// The way to the worker. It ends when this is dropped, after the requests it has.
#[derive(Debug)]
pub(super) struct Worker {
    requests: mpsc::Sender<(RequestId, Request)>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker; its answers come out of the receiver.
    pub fn start(replica: Arc<dyn Replica>) -> (Self, mpsc::Receiver<(RequestId, Answer)>) {
        let (requests, mut inbox) = mpsc::channel::<(RequestId, Request)>(REQUESTS_QUEUED_MAX);
        let (outbox, answers) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some((id, request)) = inbox.blocking_recv() {
                if outbox
                    .blocking_send((id, answer(&*replica, request)))
                    .is_err()
                {
                    // Nobody waits for answers any more; nothing that was asked for is owed either.
                    break;
                }
            }
        });
        (Self { requests, thread }, answers)
    }

    /// Hands over a request, or gives the answer at once when the worker cannot take it.
    pub fn ask(&self, id: RequestId, request: Request) -> Option<(RequestId, Answer)> {
        let reason = match self.requests.try_send((id, request)) {
            Ok(()) => return None,
            Err(mpsc::error::TrySendError::Full(_)) => "too many requests wait for the store",
            Err(mpsc::error::TrySendError::Closed(_)) => "the store's worker has ended",
        };
        Some((
            id,
            Answer::Failed {
                reason: reason.to_owned(),
            },
        ))
    }

    /// Waits for the request under way and ends.
    pub async fn stop(self) {
        drop(self.requests);
        if let Err(error) = self.thread.await {
            tracing::error!(%error, "the store's worker ended badly");
        }
    }
}

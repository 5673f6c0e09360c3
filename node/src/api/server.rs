//! Serves the API on a Unix socket that only its owner may use.

use super::routes::{Api, router};
use crate::limits::{
    API_CONNECTIONS_MAX, DRAIN_SECONDS_MAX, HEADER_SECONDS_MAX, REQUEST_SECONDS_MAX,
};
use crate::node::Node;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use sedge_identity::Repeats;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Pause after a client that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; check that this user may write the folder", .path.display())]
pub struct ServerError {
    path: PathBuf,
    source: io::Error,
}

/// The bound, not yet serving API. The socket is removed when this is dropped.
pub struct Server {
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Server {
    /// Binds the socket. The caller holds the state folder's lock, so a socket that is there is a dead one's.
    ///
    /// # Errors
    /// The path can't be written.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError {
            path: path.to_owned(),
            source,
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // The folder is closed to others, so nobody connects before the mode is set.
        let listener = UnixListener::bind(path).map_err(failed)?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(failed)?;
        Ok(Self {
            listener: Some(listener),
            path: path.to_owned(),
        })
    }

    /// Answers until `stop` ends; then open requests get a few seconds to finish.
    pub async fn serve(self, node: Arc<Node>, stop: impl Future<Output = ()>) {
        self.serve_within(ApiLimits::default(), node, stop).await;
    }

    pub(super) async fn serve_within(
        mut self,
        limits: ApiLimits,
        node: Arc<Node>,
        stop: impl Future<Output = ()>,
    ) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        let ending = CancellationToken::new();
        let api = Api {
            node,
            limits,
            stop: ending.clone(),
        };
        let connections = Connections {
            free: Arc::new(Semaphore::new(limits.connections)),
            open: GracefulShutdown::new(),
            cut: CancellationToken::new(),
            service: TowerToHyperService::new(router(api)),
            header: limits.header,
        };
        tokio::select! {
            () = connections.accept(&listener) => {}
            () = stop => {}
        }
        drop(listener);
        ending.cancel(); // live queries never finish by themselves
        let drained = connections.open.shutdown();
        let drain = Duration::from_secs(DRAIN_SECONDS_MAX);
        if tokio::time::timeout(drain, drained).await.is_err() {
            connections.cut.cancel();
        }
    }
}

/// What the API allows a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApiLimits {
    /// For the head of a request to arrive.
    pub(super) header: Duration,
    /// For the body of a request to arrive, and then for its statement.
    pub(super) request: Duration,
    /// Served at once.
    pub(super) connections: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(HEADER_SECONDS_MAX),
            request: Duration::from_secs(REQUEST_SECONDS_MAX),
            connections: API_CONNECTIONS_MAX,
        }
    }
}

/// The connections of the API.
struct Connections {
    free: Arc<Semaphore>,
    open: GracefulShutdown,
    cut: CancellationToken,
    service: TowerToHyperService<Router>,
    header: Duration,
}

impl Connections {
    /// Serves whoever connects; those beyond the limit wait in the listener's queue.
    async fn accept(&self, listener: &UnixListener) {
        let (mut refusals, begun) = (Repeats::default(), Instant::now());
        while let Ok(permit) = Arc::clone(&self.free).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => self.serve(stream, permit),
                // No file handle is free, for instance; one will be.
                Err(error) => {
                    let now_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    if let Some(left_out) = refusals.admit(error.raw_os_error(), now_ms) {
                        tracing::warn!(%error, left_out, "a client could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, stream: UnixStream, permit: OwnedSemaphorePermit) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header)
            .serve_connection(TokioIo::new(stream), self.service.clone());
        let connection = self.open.watch(connection);
        let cut = self.cut.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match cut.run_until_cancelled(connection).await {
                None => tracing::debug!("an open request is cut"),
                Some(Err(error)) => tracing::debug!(%error, "a client's connection ended"),
                Some(Ok(())) => {}
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

//! Serves the API on a Unix socket that only its owner may use.

use super::routes::router;
use crate::limits::DRAIN_SECONDS_MAX;
use crate::node::Node;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::watch;

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
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(
        mut self,
        node: Arc<Node>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServerError> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let (stopping, mut stopped) = watch::channel(false);
        let graceful = async move {
            stop.await;
            stopping.send_replace(true);
        };
        let serving = axum::serve(listener, router(node)).with_graceful_shutdown(graceful);
        let drained = async {
            if stopped.wait_for(|stopping| *stopping).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS_MAX)).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            served = serving => served.map_err(|source| ServerError {
                path: self.path.clone(),
                source,
            }),
            () = drained => Ok(()), // observers never finish by themselves
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

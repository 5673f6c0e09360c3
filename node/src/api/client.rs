//! Asks a daemon over its Unix socket.

use super::events::Reader;
use super::wire::{
    BackupEvent, BackupRequest, BackupResponse, ExecuteRequest, ExecuteResponse, FeedLine,
    FeedQuery, ImportRequest, ImportResponse, ObserveEvent, Peer, Problem, StatusResponse,
};
use crate::backup::Progress;
use crate::limits::{
    ANSWER_SECONDS_MAX, FEED_LINE_BYTES_MAX, PROGRESS_LINE_BYTES_MAX, STATUS_SECONDS_MAX,
};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, Uri, header};
use futures::StreamExt;
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sedge_crdt::query::Params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Why a daemon gave no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("no daemon answers on {}: {source}; start one with: sedge run", .path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The daemon refused the request; the text is its reason.
    #[error("{0}")]
    Refused(String),
    /// The connection broke or the answer makes no sense.
    #[error("the daemon's answer broke off or makes no sense: {0}; see its log")]
    Broken(String),
    /// What the daemon sent can't be written on.
    #[error("the result can't be written: {0}")]
    Output(io::Error),
    /// No answer in time.
    #[error("the daemon gave no answer within {} seconds; see whether it hangs, and its log", .0.as_secs())]
    TimedOut(Duration),
}

impl ClientError {
    pub(super) fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A daemon, by its socket. Each call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The daemon behind this socket.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn execute(&self, request: &ExecuteRequest) -> Result<ExecuteResponse, ClientError> {
        self.post("/api/v1/store/execute", request).await
    }

    /// Hands in documents.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn import(&self, request: &ImportRequest) -> Result<ImportResponse, ClientError> {
        self.post("/api/v1/store/import", request).await
    }

    /// Whether a daemon serves there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn live(&self) -> Result<(), ClientError> {
        let asked = self.ask(Method::GET, "/livez", Body::empty());
        within(ANSWER_SECONDS_MAX, asked).await.map(drop)
    }

    /// What the daemon is and holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<StatusResponse, ClientError> {
        self.get("/api/v1/status").await
    }

    /// The daemon's neighbours.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<Vec<Peer>, ClientError> {
        self.get("/api/v1/peers").await
    }

    /// A collection as NDJSON, piece by piece, until it ends.
    ///
    /// # Errors
    /// [`ClientError`]; also when the answer breaks off.
    pub async fn export(
        &self,
        collection: &str,
        mut piece: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let path = with_query("/api/v1/store/export", "collection", collection);
        let asked = self.ask(Method::GET, &path, Body::empty());
        let response = within(ANSWER_SECONDS_MAX, asked).await?;
        let mut body = BodyStream::new(response.into_body());
        while let Some(frame) = body.next().await {
            if let Ok(data) = frame.map_err(ClientError::broken)?.into_data() {
                piece(&data).map_err(ClientError::Output)?;
            }
        }
        Ok(())
    }

    /// The feed line by line, each with its end, until it ends.
    ///
    /// # Errors
    /// [`ClientError`]; also when the answer breaks off, or ends with the reason why.
    pub async fn feed(
        &self,
        query: &FeedQuery,
        mut line: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let since = query.since.as_deref().unwrap_or("0");
        let mut path = with_query("/api/v1/store/feed", "since", since);
        if let Some(collection) = &query.collection {
            path.push_str(&format!("&collection={}", encoded(collection)));
        }
        path.push_str(&format!("&follow={}", query.follow));
        let asked = self.ask(Method::GET, &path, Body::empty());
        let response = within(ANSWER_SECONDS_MAX, asked).await?;
        let mut body = BodyStream::new(response.into_body());
        let mut pending = Vec::new();
        while let Some(frame) = body.next().await {
            let data = frame.map_err(ClientError::broken)?.into_data();
            for piece in data
                .unwrap_or_default()
                .split_inclusive(|byte| *byte == b'\n')
            {
                pending.extend_from_slice(piece);
                if piece.last() == Some(&b'\n') {
                    check_feed_line(&pending)?;
                    line(&pending).map_err(ClientError::Output)?;
                    pending.clear();
                }
                if pending.len() > FEED_LINE_BYTES_MAX {
                    return Err(ClientError::broken("a line is too long"));
                }
            }
        }
        match pending.is_empty() {
            true => Ok(()),
            false => Err(ClientError::broken("the end of a line is missing")),
        }
    }

    /// Has the daemon make a backup at `path`, absolute. `told` hears how far it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backup(
        &self,
        path: &Path,
        mut told: impl FnMut(Progress),
    ) -> Result<BackupResponse, ClientError> {
        let request = BackupRequest {
            path: path.to_owned(),
        };
        let body = serde_json::to_vec(&request).map_err(ClientError::broken)?;
        let asked = self.ask(Method::POST, "/api/v1/store/backup", body.into());
        let response = within(ANSWER_SECONDS_MAX, asked).await?;
        each_line(response, |event| match event {
            BackupEvent::Progress(progress) => {
                told(progress);
                None
            }
            BackupEvent::Done(backup) => Some(Ok(backup)),
            BackupEvent::Failed(reason) => Some(Err(ClientError::Refused(reason))),
        })
        .await
    }

    /// Starts a live query.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn observe(&self, statement: &str) -> Result<Observed, ClientError> {
        let path = with_query("/api/v1/store/observe", "statement", statement);
        self.observe_at(&path).await
    }

    /// Starts a live query of a statement with parameters.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn observe_with(
        &self,
        statement: &str,
        args: &Params,
    ) -> Result<Observed, ClientError> {
        let args = serde_json::to_string(args).map_err(ClientError::broken)?;
        let path = with_query("/api/v1/store/observe", "statement", statement);
        self.observe_at(&with_more(&path, "args", &args)).await
    }

    async fn observe_at(&self, path: &str) -> Result<Observed, ClientError> {
        let asked = self.ask(Method::GET, path, Body::empty());
        let response = within(ANSWER_SECONDS_MAX, asked).await?;
        Ok(Observed {
            body: BodyStream::new(response.into_body()),
            reader: Reader::default(),
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let asked = async { read(self.ask(Method::GET, path, Body::empty()).await?).await };
        within(STATUS_SECONDS_MAX, asked).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(request).map_err(ClientError::broken)?;
        let asked = async { read(self.ask(Method::POST, path, body.into()).await?).await };
        within(ANSWER_SECONDS_MAX, asked).await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path.parse::<Uri>().map_err(ClientError::broken)?)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(ClientError::broken)?;
        self.send(request).await
    }

    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ClientError> {
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(header::HOST, host);
        let connect = |source| ClientError::Connect {
            path: self.socket.clone(),
            source,
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::broken)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the daemon ended");
            }
        });
        let response = sender
            .send_request(request)
            .await
            .map_err(ClientError::broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(ClientError::broken)?
            .to_bytes();
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => ClientError::Refused(problem.detail),
            Err(_) => ClientError::Broken(format!("status {status}")),
        })
    }
}

/// The events of a live query.
pub struct Observed {
    body: BodyStream<Incoming>,
    reader: Reader,
}

impl Observed {
    /// The next event; `None` when the daemon ends.
    ///
    /// # Errors
    /// The query fails, or the connection breaks.
    pub async fn next(&mut self) -> Option<Result<ObserveEvent, ClientError>> {
        loop {
            if let Some(event) = self.reader.event() {
                return Some(event);
            }
            let arrived = match self.body.next().await? {
                Ok(frame) => self.reader.push(&frame.into_data().unwrap_or_default()),
                Err(error) => Err(ClientError::broken(error)),
            };
            if let Err(error) = arrived {
                return Some(Err(error));
            }
        }
    }
}

/// What is answered in time.
pub(super) async fn within<T>(
    seconds: u64,
    asked: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let limit = Duration::from_secs(seconds);
    let answered = tokio::time::timeout(limit, asked).await;
    answered.map_err(|_| ClientError::TimedOut(limit))?
}

pub(super) async fn read<T: DeserializeOwned>(
    response: Response<Incoming>,
) -> Result<T, ClientError> {
    let bytes = response
        .into_body()
        .collect()
        .await
        .map_err(ClientError::broken)?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(ClientError::broken)
}

pub(super) fn with_query(path: &str, name: &str, value: &str) -> String {
    format!("{path}?{name}={}", encoded(value))
}

fn with_more(path: &str, name: &str, value: &str) -> String {
    format!("{path}&{name}={}", encoded(value))
}

/// A line that says why the feed ends is no part of it.
fn check_feed_line(line: &[u8]) -> Result<(), ClientError> {
    if !line.starts_with(b"{\"error\":") {
        return Ok(());
    }
    match serde_json::from_slice(line) {
        Ok(FeedLine::Error(reason)) => Err(ClientError::Refused(reason)),
        _ => Err(ClientError::broken("a line makes no sense")),
    }
}

/// Reads lines of JSON until one is the outcome.
pub(super) async fn each_line<E: DeserializeOwned, T>(
    response: Response<Incoming>,
    mut outcome: impl FnMut(E) -> Option<Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let mut body = BodyStream::new(response.into_body());
    let mut pending = Vec::new();
    while let Some(frame) = body.next().await {
        let data = frame.map_err(ClientError::broken)?.into_data();
        pending.extend_from_slice(&data.unwrap_or_default());
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let event = serde_json::from_slice(&line).map_err(ClientError::broken)?;
            if let Some(outcome) = outcome(event) {
                return outcome;
            }
        }
        if pending.len() > PROGRESS_LINE_BYTES_MAX {
            return Err(ClientError::broken("a line is too long"));
        }
    }
    Err(ClientError::broken("its end is missing"))
}

/// A value as it stands in a URL's query.
fn encoded(value: &str) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

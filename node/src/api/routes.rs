//! One function per call of the API.

use super::attachments;
use super::errors::Failure;
use super::events;
use super::feed;
use super::server::ApiLimits;
use super::wire::{
    BackupEvent, BackupRequest, BackupResponse, ExecuteRequest, ExecuteResponse, ExportQuery,
    ImportRequest, ImportResponse, NoQuery, ObserveQuery, Peer, Rejected, StatusResponse,
};
use crate::backup::{Progress, check_target};
use crate::error::NodeError;
use crate::limits::{
    BACKUP_LINES_QUEUED_MAX, BACKUP_TOLD_MS, BODY_BYTES_MAX, IMPORT_BODY_BYTES_MAX,
    IMPORT_REJECTED_MAX,
};
use crate::node::Node;
use axum::body::{Body, HttpBody};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sedge_crdt::query::Params;
use sedge_crdt::{Deadline, Imported, Observation, Value, parse_json};
use sedge_mesh::{Direction, PeerStatus};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// The calls, on this node.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/store/execute", post(execute))
        .route("/api/v1/store/import", post(import))
        .route("/api/v1/store/export", get(export))
        .route("/api/v1/store/observe", get(observe))
        .route("/api/v1/store/feed", get(feed::feed))
        .route("/api/v1/store/backup", post(backup))
        .route("/livez", get(live))
        .route("/api/v1/status", get(status))
        .route("/api/v1/peers", get(peers))
        .merge(attachments::router())
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .with_state(api)
}

/// What every call works with.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) node: Arc<Node>,
    pub(super) limits: ApiLimits,
    /// Ends the live queries.
    pub(super) stop: CancellationToken,
}

/// A request's body as JSON of at most so many bytes, which has arrived in time.
pub(super) struct Timely<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub(super) T);

impl<T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<Api> for Timely<T, BYTES_MAX> {
    type Rejection = Failure;

    async fn from_request(mut request: Request, api: &Api) -> Result<Self, Failure> {
        check_declared(request.body(), BYTES_MAX as u64)?;
        DefaultBodyLimit::max(BYTES_MAX).apply(&mut request);
        let body = Json::from_request(request, api);
        match tokio::time::timeout(api.limits.request, body).await {
            Ok(body) => body.map(|Json(body)| Self(body)).map_err(Failure::from),
            Err(_) => Err(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "the request's body did not arrive within {} s",
                    api.limits.request.as_secs_f32()
                ),
            )),
        }
    }
}

/// Refuses a body whose head says that it is too long, without waiting for it.
pub(super) fn check_declared(body: &Body, bytes_max: u64) -> Result<(), Failure> {
    let bytes = body.size_hint().lower();
    if bytes <= bytes_max {
        return Ok(());
    }
    let detail = format!("the body has {bytes} bytes; at most {bytes_max} are taken");
    Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
}

pub(super) type Answer<T> = Result<Json<T>, Failure>;

async fn execute(
    State(api): State<Api>,
    Timely(request): Timely<ExecuteRequest>,
) -> Answer<ExecuteResponse> {
    let deadline = Deadline::after(api.limits.request);
    let store = api.node.store();
    let outcome = store.execute_within(deadline, &request.statement, request.args);
    Ok(Json(outcome.await?.into()))
}

async fn import(
    State(api): State<Api>,
    Timely(request): Timely<ImportRequest, IMPORT_BODY_BYTES_MAX>,
) -> Answer<ImportResponse> {
    let deadline = Deadline::after(api.limits.request);
    let store = api.node.store();
    let imported = store.import_within(deadline, &request.collection, request.documents);
    Ok(Json(imported_response(imported.await?)))
}

/// Counts what became of imported documents.
pub(crate) fn imported_response(imported: Vec<Imported>) -> ImportResponse {
    let mut response = ImportResponse::default();
    for (index, imported) in imported.into_iter().enumerate() {
        match imported {
            Imported::Written => response.written += 1,
            Imported::Unchanged => response.unchanged += 1,
            Imported::Rejected(error) => {
                response.rejected_count += 1;
                if response.rejected.len() < IMPORT_REJECTED_MAX {
                    let reason = error.to_string();
                    response.rejected.push(Rejected { index, reason });
                }
            }
        }
    }
    response
}

async fn export(
    State(api): State<Api>,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let store = api.node.store();
    let pieces = store.export(&query.collection, api.limits.request).await?;
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(pieces)).into_response())
}

async fn observe(
    State(api): State<Api>,
    query: Result<Query<ObserveQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let store = api.node.store().inner();
    let mut observation = store.observe(&query.statement, &parameters(query.args.as_deref())?);
    if query.items {
        observation = observation.map(Observation::with_items);
    }
    let observation = observation.map_err(NodeError::from)?;
    Ok(events::answer(observation, api.stop).await?)
}

/// Answers with lines of JSON while the backup is made, so that a client knows that it goes on.
async fn backup(
    State(api): State<Api>,
    Timely(request): Timely<BackupRequest>,
) -> Result<Response, Failure> {
    let path = request.path;
    check_target(&path).map_err(NodeError::from)?;
    let (lines, receiver) = mpsc::channel(BACKUP_LINES_QUEUED_MAX);
    let progress = lines.clone();
    let mut last = None::<Instant>;
    let pause = Duration::from_millis(BACKUP_TOLD_MS);
    let told = move |made: Progress| {
        if last.is_none_or(|last| last.elapsed() >= pause) {
            last = Some(Instant::now());
            // A client that reads slowly misses some, and one that has left misses all.
            progress
                .try_send(BackupEvent::Progress(made))
                .unwrap_or_default();
        }
    };
    tokio::spawn(async move {
        let taken = api.node.store().backup(&api.node.name(), &path, told).await;
        let last = match taken {
            Ok(manifest) => BackupEvent::Done(BackupResponse::of(&path, &manifest)),
            Err(error) => {
                tracing::warn!(%error, "a backup could not be made");
                BackupEvent::Failed(error.to_string())
            }
        };
        lines.send(last).await.unwrap_or_default();
    });
    let lines = ReceiverStream::new(receiver)
        .map(|event| serde_json::to_string(&event).map(|line| format!("{line}\n")));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// The parameters of a statement in a URL.
fn parameters(args: Option<&str>) -> Result<Params, Failure> {
    let wrong = |reason: String| {
        let detail =
            format!("args is {reason}; write the parameters as a JSON object, like {{\"n\": 5}}");
        Failure::new(StatusCode::BAD_REQUEST, detail)
    };
    match args.map(parse_json).transpose() {
        Ok(None) => Ok(Params::new()),
        Ok(Some(Value::Map(params))) => Ok(params),
        Ok(Some(other)) => Err(wrong(format!("of type {}", other.type_name()))),
        Err(error) => Err(wrong(format!("not JSON: {error}"))),
    }
}

/// Says that the daemon serves, and touches nothing.
async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn status(
    State(api): State<Api>,
    query: Result<Query<NoQuery>, QueryRejection>,
) -> Answer<StatusResponse> {
    query?;
    let node = &api.node;
    let listen = node.listen_addresses();
    let app = node.app().as_str();
    let status = StatusResponse::resting(app, &node.name(), node.peer_id(), node.store()).await?;
    Ok(Json(StatusResponse {
        running: true,
        listen: listen.iter().map(ToString::to_string).collect(),
        peers: node.peers().len(),
        ..status.with_clock_behind(node.clock_behind_ms())
    }))
}

async fn peers(
    State(api): State<Api>,
    query: Result<Query<NoQuery>, QueryRejection>,
) -> Answer<Vec<Peer>> {
    query?;
    Ok(Json(api.node.peers().iter().map(peer).collect()))
}

fn peer(status: &PeerStatus) -> Peer {
    let since = status.connected_since.duration_since(UNIX_EPOCH);
    Peer {
        peer: status.peer.to_string(),
        name: status.name.clone(),
        address: status.address.to_string(),
        direction: match status.direction {
            Direction::Inbound => "inbound".to_owned(),
            Direction::Outbound => "outbound".to_owned(),
        },
        connected_since_ms: since.map_or(0, |time| time.as_millis() as u64),
        syncing: status.sync.is_some(),
        sent_bytes: status.sent_bytes,
        received_bytes: status.received_bytes,
    }
}

async fn unknown() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "no such call; the API is described in docs/http-api.md",
    )
}

async fn other_method() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "the call takes another method, which the header Allow names",
    )
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

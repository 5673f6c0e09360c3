//! One function per call of the API.

use super::errors::Failure;
use super::wire::{
    ExecuteRequest, ExecuteResponse, ExportQuery, ImportRequest, ImportResponse, ObserveEvent,
    ObserveQuery, Peer, Rejected, StatusResponse,
};
use crate::limits::{
    BODY_BYTES_MAX, EXPORT_PIECE_BYTES, EXPORT_PIECES_QUEUED_MAX, IMPORT_BODY_BYTES_MAX,
};
use crate::node::Node;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, StreamExt};
use sedge_crdt::{Imported, Store, Update};
use sedge_mesh::{Direction, PeerStatus};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The calls, on this node.
pub(super) fn router(node: Arc<Node>) -> Router {
    let import = post(import).layer(DefaultBodyLimit::max(IMPORT_BODY_BYTES_MAX));
    Router::new()
        .route("/api/v1/store/execute", post(execute))
        .route("/api/v1/store/import", import)
        .route("/api/v1/store/export", get(export))
        .route("/api/v1/store/observe", get(observe))
        .route("/api/v1/status", get(status))
        .route("/api/v1/peers", get(peers))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(unknown)
        .with_state(node)
}

type Answer<T> = Result<Json<T>, Failure>;

async fn execute(
    State(node): State<Arc<Node>>,
    request: Result<Json<ExecuteRequest>, JsonRejection>,
) -> Answer<ExecuteResponse> {
    let Json(request) = request?;
    let outcome = node
        .store()
        .execute(&request.statement, request.args)
        .await?;
    Ok(Json(outcome.into()))
}

async fn import(
    State(node): State<Arc<Node>>,
    request: Result<Json<ImportRequest>, JsonRejection>,
) -> Answer<ImportResponse> {
    let Json(request) = request?;
    let imported = node.store().import(&request.collection, request.documents);
    Ok(Json(imported_response(imported.await?)))
}

/// Counts what became of imported documents.
pub(crate) fn imported_response(imported: Vec<Imported>) -> ImportResponse {
    let mut response = ImportResponse::default();
    for (index, imported) in imported.into_iter().enumerate() {
        match imported {
            Imported::Written => response.written += 1,
            Imported::Unchanged => response.unchanged += 1,
            Imported::Rejected(error) => response.rejected.push(Rejected {
                index,
                reason: error.to_string(),
            }),
        }
    }
    response
}

async fn export(
    State(node): State<Arc<Node>>,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let store = node.store().inner().clone();
    // Told now, while the status can still say so, if there is no such collection.
    let collection = query.collection.clone();
    drop(store.documents(&collection)?);
    let (lines, receiver) = mpsc::channel(EXPORT_PIECES_QUEUED_MAX);
    tokio::task::spawn_blocking(move || send_lines(&store, &query.collection, &lines));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

/// Sends a collection in pieces of whole lines. An error ends the body early, which the client sees as a broken answer.
fn send_lines(
    store: &Store,
    collection: &str,
    lines: &mpsc::Sender<Result<Bytes, sedge_crdt::StoreError>>,
) {
    let documents = match store.documents(collection) {
        Ok(documents) => documents,
        Err(error) => {
            tracing::error!(%error, "an export failed");
            return;
        }
    };
    let mut piece = String::new();
    for document in documents {
        match document {
            Ok(document) => piece.push_str(&format!("{document}\n")),
            Err(error) => {
                tracing::error!(%error, "an export failed");
                // The client is told by the broken body; if it has left, nobody needs to know.
                lines.blocking_send(Err(error)).unwrap_or_default();
                return;
            }
        }
        if piece.len() >= EXPORT_PIECE_BYTES
            && lines
                .blocking_send(Ok(std::mem::take(&mut piece).into()))
                .is_err()
        {
            return; // the client left
        }
    }
    lines.blocking_send(Ok(piece.into())).unwrap_or_default();
}

async fn observe(
    State(node): State<Arc<Node>>,
    query: Result<Query<ObserveQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Failure> {
    let Query(query) = query?;
    let updates = node
        .store()
        .observe(&query.statement, &Default::default())?;
    let events = updates.map(|update| match update {
        Ok(update) => Event::default().event("update").json_data(event(update)),
        Err(error) => Ok(Event::default().event("error").data(error.to_string())),
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn event(update: Update) -> ObserveEvent {
    ObserveEvent {
        items: update.items,
        inserted: update.inserted,
        updated: update.updated,
        deleted: update.deleted,
    }
}

async fn status(State(node): State<Arc<Node>>) -> Json<StatusResponse> {
    let listen = node.listen_addresses();
    let app = node.app().as_str();
    Json(StatusResponse {
        running: true,
        listen: listen.iter().map(ToString::to_string).collect(),
        peers: node.peers().len(),
        ..StatusResponse::resting(app, node.name(), node.peer_id(), node.store())
    })
}

async fn peers(State(node): State<Arc<Node>>) -> Json<Vec<Peer>> {
    Json(node.peers().iter().map(peer).collect())
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
    }
}

async fn unknown() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "no such call; the API is described in docs/http-api.md",
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

//! The calls for attachments, on both sides of the socket: bytes are streamed, and nothing holds an attachment whole.

use super::client::{Client, ClientError, each_line, read, with_query, within};
use super::errors::Failure;
use super::routes::{Answer, Api, Timely, check_declared};
use super::wire::{
    CollectRequest, CollectResponse, FetchEvent, FetchRequest, FetchStatus, ListQuery,
    ListResponse, NoQuery, UploadQuery,
};
use crate::attachments::FETCH_WAIT;
use crate::error::NodeError;
use crate::limits::{FETCH_TOLD_MS, FETCH_WAIT_SECONDS_MAX, STATUS_SECONDS_MAX};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http_body_util::BodyStream;
use sedge_crdt::limits::{ATTACHMENT_GRACE_SECONDS, BLOB_BYTES_MAX};
use sedge_crdt::{BlobId, BlobRef, Value};
use sedge_mesh::Fetching;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Duration;

const PATH: &str = "/api/v1/attachments";
const FETCH_SECONDS_DEFAULT: u64 = FETCH_WAIT.as_secs();
const COLLECT_PATH: &str = "/api/v1/attachments/collect";

/// The calls for attachments.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route(PATH, post(upload).get(list))
        .route(COLLECT_PATH, post(collect))
        .route("/api/v1/attachments/{id}", get(download))
        .route("/api/v1/attachments/{id}/fetch", post(fetch))
}

async fn upload(
    State(api): State<Api>,
    query: Result<Query<UploadQuery>, QueryRejection>,
    body: Body,
) -> Answer<Value> {
    let Query(query) = query?;
    check_declared(&body, BLOB_BYTES_MAX)?;
    let metadata = metadata(query.metadata.as_deref())?;
    let limit = api.limits.request;
    let pieces = stream::unfold(body.into_data_stream(), move |mut body| async move {
        let piece = match tokio::time::timeout(limit, body.next()).await {
            Ok(piece) => piece?.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("nothing of it came for {} s", limit.as_secs_f32()),
            )),
        };
        Some((piece, body))
    });
    let token = api.node.attachments().put_stream(pieces, metadata).await?;
    Ok(Json(Value::from(token)))
}

fn metadata(text: Option<&str>) -> Result<BTreeMap<String, String>, Failure> {
    serde_json::from_str(text.unwrap_or("{}")).map_err(|error| {
        let reason =
            format!("metadata is a JSON object of texts, as in {{\"name\":\"a.jpg\"}}: {error}");
        Failure::new(StatusCode::BAD_REQUEST, reason)
    })
}

async fn list(
    State(api): State<Api>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<ListResponse> {
    let Query(query) = query?;
    let after = query.after.as_deref().map(blob_id).transpose()?;
    let page = api.node.attachments().list(after).await?;
    Ok(Json(page.as_slice().into()))
}

async fn collect(
    State(api): State<Api>,
    query: Result<Query<NoQuery>, QueryRejection>,
    Timely(request): Timely<CollectRequest>,
) -> Answer<CollectResponse> {
    query?;
    let seconds = request.grace_seconds.unwrap_or(ATTACHMENT_GRACE_SECONDS);
    let collected = api.node.attachments().collect(Duration::from_secs(seconds));
    Ok(Json(collected.await?.into()))
}

/// Answers with lines of JSON while the attachment comes, and stops fetching when its client leaves.
async fn fetch(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Result<Query<NoQuery>, QueryRejection>,
    Timely(request): Timely<FetchRequest>,
) -> Result<Response, Failure> {
    query?;
    let id = blob_id(&id)?;
    let seconds = request.wait_seconds.unwrap_or(FETCH_SECONDS_DEFAULT);
    if seconds > FETCH_WAIT_SECONDS_MAX {
        let detail =
            format!("waitSeconds is {seconds}; at most {FETCH_WAIT_SECONDS_MAX} are allowed");
        return Err(Failure::new(StatusCode::BAD_REQUEST, detail));
    }
    let attachments = api.node.attachments();
    let blob = match request.len {
        Some(len) => BlobRef { id, len },
        None => attachments.named(id).await?,
    };
    let fetching = attachments
        .fetching(blob, Duration::from_secs(seconds))
        .await?;
    let lines = stream::unfold(
        (Some(fetching), false),
        move |(fetching, has_told)| async move {
            let mut fetching = fetching?;
            let event = next_event(id, &mut fetching, has_told).await;
            let goes_on = matches!(event, FetchEvent::Progress(_)).then_some(fetching);
            let line = serde_json::to_string(&event).map(|line| format!("{line}\n"));
            Some((line, (goes_on, true)))
        },
    );
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// What is told next of a fetch: its end, or how far it is, at once and then not too often.
async fn next_event(id: BlobId, fetching: &mut Fetching, has_told: bool) -> FetchEvent {
    let pause = Duration::from_millis(if has_told { FETCH_TOLD_MS } else { 0 });
    if tokio::time::timeout(pause, fetching.done()).await.is_err()
        && let Some(progress) = fetching.further().await
        // All of it is told by the end, in a moment.
        && progress.bytes < progress.of
    {
        return FetchEvent::Progress(FetchStatus::of(id, progress));
    }
    match fetching.done().await {
        Ok(()) => FetchEvent::Done(FetchStatus::of(id, fetching.progress())),
        Err(reason) => FetchEvent::Failed(NodeError::Fetch { id, reason }.to_string()),
    }
}

async fn download(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Result<Query<NoQuery>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    query?;
    let id = blob_id(&id)?;
    let attachments = api.node.attachments();
    let stat = attachments.stat(id).await?;
    let len = match stat {
        Some(stat) => stat.len,
        None => {
            return Err(sedge_crdt::StoreError::from(sedge_crdt::BlobError::NotHere(id)).into());
        }
    };
    let tag = format!("\"{id}\"");
    let asked = asked_range(&headers, &tag, len);
    let about = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, tag),
    ];
    let range = match asked {
        Asked::Whole => 0..len,
        Asked::Part(ref range) => range.clone(),
        Asked::Nothing => {
            let refused = Failure::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("attachment {id} has {len} bytes; ask for bytes below that"),
            );
            return Ok(
                ([(header::CONTENT_RANGE, format!("bytes */{len}"))], refused).into_response(),
            );
        }
    };
    let content_length = [(
        header::CONTENT_LENGTH,
        (range.end - range.start).to_string(),
    )];
    let body = match method {
        Method::HEAD => Body::empty(),
        _ => {
            let stalled = Some(api.limits.request);
            let download = attachments.get_within(id, range.clone(), stalled).await?;
            Body::from_stream(download.pieces.inspect_err(|error| {
                tracing::warn!(%error, "a download did not come to its end");
            }))
        }
    };
    Ok(match asked {
        Asked::Part(Range { start, end }) => {
            let part = format!("bytes {start}-{}/{len}", end.saturating_sub(1));
            let part = [(header::CONTENT_RANGE, part)];
            (
                StatusCode::PARTIAL_CONTENT,
                about,
                content_length,
                part,
                body,
            )
                .into_response()
        }
        _ => (about, content_length, body).into_response(),
    })
}

impl From<sedge_crdt::StoreError> for Failure {
    fn from(error: sedge_crdt::StoreError) -> Self {
        crate::error::NodeError::from(error).into()
    }
}

fn blob_id(text: &str) -> Result<BlobId, Failure> {
    let id = text.parse::<BlobId>();
    id.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.to_string()))
}

/// What a request wants of an attachment.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    /// Bytes that there are not.
    Nothing,
}

/// What the headers Range and If-Range (RFC 9110, section 14) ask for. Several ranges, and what is no range, ask for the
/// whole, as the RFC allows.
fn asked_range(headers: &HeaderMap, tag: &str, len: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let range = text(header::RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Asked::Whole;
    };
    if text(header::IF_RANGE).is_some_and(|condition| condition != tag) {
        return Asked::Whole;
    }
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Ok(first), Err(_)) if last.is_empty() => first..len,
        (Err(_), Ok(last)) if first.is_empty() => len.saturating_sub(last)..len,
        _ => return Asked::Whole,
    };
    match range.start < range.end {
        true => Asked::Part(range),
        false => Asked::Nothing,
    }
}

impl Client {
    /// Hands in the bytes of an attachment, and gives the token for a document.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_attachment(
        &self,
        metadata: &BTreeMap<String, String>,
        content: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Value, ClientError> {
        let metadata = serde_json::to_string(metadata).map_err(ClientError::broken)?;
        let path = with_query(PATH, "metadata", &metadata);
        let body = Body::from_stream(content);
        read(self.send(request(Method::POST, &path, body)?).await?).await
    }

    /// The bytes of an attachment from `range`, which holds at least one that there is.
    ///
    /// # Errors
    /// [`ClientError`]; an item also when the answer breaks off.
    pub async fn attachment(
        &self,
        id: BlobId,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + use<>, ClientError> {
        let mut request = request(Method::GET, &format!("{PATH}/{id}"), Body::empty())?;
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let bytes = bytes.parse().map_err(ClientError::broken)?;
        request.headers_mut().insert(header::RANGE, bytes);
        let response = within(STATUS_SECONDS_MAX, self.send(request)).await?;
        let frames = BodyStream::new(response.into_body());
        Ok(frames.filter_map(|frame| async {
            let data = frame.map(|frame| frame.into_data().ok());
            data.map_err(ClientError::broken).transpose()
        }))
    }

    /// Has the daemon fetch what is missing of an attachment. `told` hears how far it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fetch_attachment(
        &self,
        id: BlobId,
        fetch: &FetchRequest,
        mut told: impl FnMut(FetchStatus),
    ) -> Result<FetchStatus, ClientError> {
        let body = serde_json::to_vec(fetch).map_err(ClientError::broken)?;
        let path = format!("{PATH}/{id}/fetch");
        let asked = self.ask(Method::POST, &path, body.into());
        let response = within(STATUS_SECONDS_MAX, asked).await?;
        each_line(response, |event| match event {
            FetchEvent::Progress(status) => {
                told(status);
                None
            }
            FetchEvent::Done(status) => Some(Ok(status)),
            FetchEvent::Failed(reason) => Some(Err(ClientError::Refused(reason))),
        })
        .await
    }

    /// A page of the attachments on the daemon's device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn attachments(&self, after: Option<&str>) -> Result<ListResponse, ClientError> {
        match after {
            Some(after) => self.get(&with_query(PATH, "after", after)).await,
            None => self.get(PATH).await,
        }
    }

    /// Removes unused attachments.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn collect_attachments(
        &self,
        request: &CollectRequest,
    ) -> Result<CollectResponse, ClientError> {
        self.post(COLLECT_PATH, request).await
    }
}

fn request(method: Method, path: &str, body: Body) -> Result<Request<Body>, ClientError> {
    let uri: Uri = path.parse().map_err(ClientError::broken)?;
    let request = Request::builder().method(method).uri(uri).body(body);
    request.map_err(ClientError::broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the forms of RFC 9110 are read to the byte; what cannot be served in part is served whole or refused.
    #[test]
    fn ranges_are_those_of_the_rfc() {
        let asked = |range: &str, condition: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            if let Some(condition) = condition {
                headers.insert(header::IF_RANGE, condition.parse().unwrap());
            }
            asked_range(&headers, "\"a\"", 100)
        };
        for (range, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=10-", Asked::Part(10..100)),
            ("bytes=10-500", Asked::Part(10..100)),
            ("bytes=-30", Asked::Part(70..100)),
            ("bytes=-500", Asked::Part(0..100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("bytes=0-18446744073709551615", Asked::Part(0..100)),
            ("lines=0-1", Asked::Whole),
        ] {
            assert_eq!(asked(range, None), expected, "{range}");
        }
        assert_eq!(asked("bytes=1-2", Some("\"a\"")), Asked::Part(1..3));
        assert_eq!(asked("bytes=1-2", Some("\"b\"")), Asked::Whole);
    }
}

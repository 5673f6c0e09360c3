//! The feed as it travels: one JSON object a line.

use super::errors::Failure;
use super::routes::Api;
use super::wire::{FeedLine, FeedQuery};
use crate::error::NodeError;
use crate::store::StoreHandle;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use sedge_crdt::{LogPage, Since};
use std::convert::Infallible;

/// Answers with all there is by now, or with `follow` until the client leaves or the daemon ends.
pub(super) async fn feed(
    State(api): State<Api>,
    query: Result<Query<FeedQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let mut pages = Box::pin(pages(api.node.store(), &query)?);
    // What fails at once is a problem, what fails later the last line.
    let first = pages.next().await.transpose()?;
    let pages = stream::iter(first.map(Ok)).chain(pages);
    let lines = pages.map(|page| {
        let failed = |error: NodeError| line(&FeedLine::Error(error.to_string())).into();
        Ok::<_, Infallible>(page.map_or_else(failed, lines))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let lines = lines.take_until(api.stop.cancelled_owned());
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// The pages that a query asks for.
pub(crate) fn pages(
    store: &StoreHandle,
    query: &FeedQuery,
) -> Result<impl Stream<Item = Result<LogPage, NodeError>> + Send + use<>, NodeError> {
    let since = query.since.as_deref().unwrap_or("0").parse::<Since>()?;
    store.feed_pages(since, query.collection.as_deref(), query.follow)
}

/// A page as text.
pub(crate) fn lines(page: LogPage) -> Bytes {
    let mut text = String::new();
    let checkpoint = page.checkpoint.to_string();
    for entry in page.entries {
        text.push_str(&line(&entry.into()));
    }
    text.push_str(&line(&FeedLine::Checkpoint(checkpoint)));
    text.into()
}

fn line(line: &FeedLine) -> String {
    // Nothing in it can fail to become JSON.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

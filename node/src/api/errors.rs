//! From errors to problem documents.

use super::wire::Problem;
use crate::backup::BackupError;
use crate::error::NodeError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sedge_crdt::{AttachmentError, BlobError, StoreError};
use sedge_mesh::{FetchError, FetchFailure};
use std::io::ErrorKind;

/// A failed request on its way out.
pub(super) struct Failure {
    status: StatusCode,
    detail: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let status = match &error {
            NodeError::Store(error) => status_of(error),
            NodeError::Backup(BackupError::Exists(_)) => StatusCode::CONFLICT,
            NodeError::Backup(
                BackupError::Relative(_) | BackupError::InStore(_) | BackupError::NoFolder { .. },
            ) => StatusCode::BAD_REQUEST,
            NodeError::Checkpoint(_) => StatusCode::BAD_REQUEST,
            NodeError::TooManyFeeds(_) => StatusCode::SERVICE_UNAVAILABLE,
            NodeError::Unnamed(_) => StatusCode::NOT_FOUND,
            NodeError::Fetch { reason, .. } => status_of_fetch(reason),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

fn status_of(error: &StoreError) -> StatusCode {
    match error {
        StoreError::UnknownCollection { .. } | StoreError::UnknownIndex { .. } => {
            StatusCode::NOT_FOUND
        }
        StoreError::NotPermitted(_) => StatusCode::FORBIDDEN,
        StoreError::Exists(_)
        | StoreError::IndexExists { .. }
        | StoreError::NotEvictable { .. } => StatusCode::CONFLICT,
        StoreError::FeedTrimmed { .. } | StoreError::OtherFeed => StatusCode::GONE,
        StoreError::TooManyObservers | StoreError::ObservedTooLargeTogether => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        StoreError::ObservedTooLarge => StatusCode::UNPROCESSABLE_ENTITY,
        StoreError::TimedOut { .. } | StoreError::PastTimedOut { .. } => {
            StatusCode::GATEWAY_TIMEOUT
        }
        StoreError::Attachment(error) => status_of_attachment(error),
        StoreError::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        StoreError::Query(_)
        | StoreError::NotObservable
        | StoreError::AheadOfFeed { .. }
        | StoreError::CollectionName(_)
        | StoreError::TooManyIndexes(_)
        | StoreError::Id(_)
        | StoreError::Document(_)
        | StoreError::TransactionTooLarge => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn status_of_fetch(reason: &FetchError) -> StatusCode {
    match reason {
        FetchError::Failed(FetchFailure::NobodyHasIt { .. }) => StatusCode::NOT_FOUND,
        FetchError::Failed(FetchFailure::Store { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
        FetchError::TooLong(_) => StatusCode::BAD_REQUEST,
        FetchError::TooMany | FetchError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn status_of_attachment(error: &BlobError) -> StatusCode {
    match error {
        BlobError::NotHere(_) => StatusCode::NOT_FOUND,
        BlobError::Refused(AttachmentError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        BlobError::Refused(_) | BlobError::Chunk(_) => StatusCode::BAD_REQUEST,
        BlobError::OtherLength { .. } => StatusCode::CONFLICT,
        BlobError::Content(error) if error.kind() == ErrorKind::TimedOut => {
            StatusCode::REQUEST_TIMEOUT
        }
        BlobError::Content(_) => StatusCode::BAD_REQUEST,
        BlobError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        BlobError::Io { .. } | BlobError::Damaged { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = Problem {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: self.detail,
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

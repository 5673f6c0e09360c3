//! How a command reaches the store: through the running daemon, or by opening it when none runs.

use super::CliError;
use sedge::api::wire::{
    BackupResponse, ExecuteRequest, ExecuteResponse, FeedQuery, ImportRequest, ImportResponse,
    StatusResponse,
};
use sedge::api::{Client, ClientError};
use sedge::backup::Progress;
use sedge::{Offline, StateFolder};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a daemon that holds the folder but doesn't answer yet is given to start, in tries and milliseconds apiece.
const STARTING_TRIES: u32 = 50;
const STARTING_PAUSE_MS: u64 = 100;

pub(super) enum Access {
    Daemon(Client),
    Offline(Box<Offline>),
}

impl Access {
    pub(super) async fn open(state: &StateFolder) -> Result<Self, CliError> {
        let client = Client::new(&state.socket_path()?);
        for _ in 0..STARTING_TRIES {
            match client.live().await {
                Ok(()) => return Ok(Self::Daemon(client)),
                Err(ClientError::Connect { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match Offline::open(state) {
                Ok(offline) => return Ok(Self::Offline(Box::new(offline))),
                Err(sedge::NodeError::State(sedge::StateError::InUse(_))) => {}
                Err(error) => return Err(error.into()),
            }
            // Somebody holds the folder and doesn't answer: a daemon that is starting or stopping.
            tokio::time::sleep(Duration::from_millis(STARTING_PAUSE_MS)).await;
        }
        Err(sedge::StateError::InUse(state.path().to_owned()).into())
    }

    pub(super) async fn execute(
        &self,
        request: ExecuteRequest,
    ) -> Result<ExecuteResponse, CliError> {
        Ok(match self {
            Self::Daemon(client) => client.execute(&request).await?,
            Self::Offline(offline) => offline.execute(request).await?,
        })
    }

    pub(super) async fn import(&self, request: ImportRequest) -> Result<ImportResponse, CliError> {
        Ok(match self {
            Self::Daemon(client) => client.import(&request).await?,
            Self::Offline(offline) => offline.import(request).await?,
        })
    }

    pub(super) async fn export(
        &self,
        collection: &str,
        piece: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CliError> {
        match self {
            Self::Daemon(client) => match client.export(collection, piece).await {
                Err(ClientError::Output(error)) => Err(CliError::Output(error)),
                exported => Ok(exported?),
            },
            Self::Offline(offline) => offline.export(collection, piece)?.map_err(CliError::Output),
        }
    }

    pub(super) async fn feed(
        &self,
        query: &FeedQuery,
        line: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CliError> {
        match self {
            Self::Daemon(client) => match client.feed(query, line).await {
                Err(ClientError::Output(error)) => Err(CliError::Output(error)),
                fed => Ok(fed?),
            },
            Self::Offline(offline) => offline.feed(query, line).await?.map_err(CliError::Output),
        }
    }

    pub(super) async fn backup(
        &self,
        path: &Path,
        told: impl FnMut(Progress) + Send + 'static,
    ) -> Result<BackupResponse, CliError> {
        Ok(match self {
            Self::Daemon(client) => client.backup(path, told).await?,
            Self::Offline(offline) => offline.backup(path, told).await?,
        })
    }

    pub(super) async fn status(&self) -> Result<StatusResponse, CliError> {
        Ok(match self {
            Self::Daemon(client) => client.status().await?,
            Self::Offline(offline) => offline.status().await?,
        })
    }
}

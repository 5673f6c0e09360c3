//! A device's store without the mesh, for when no daemon runs.

use crate::api::wire::{
    BackupResponse, ExecuteRequest, ExecuteResponse, FeedQuery, ImportRequest, ImportResponse,
    StatusResponse,
};
use crate::api::{feed_lines, feed_pages, imported_response};
use crate::attachments::AttachmentsHandle;
use crate::backup::Progress;
use crate::error::NodeError;
use crate::node::{certify_store, interest, now_ms};
use crate::replica::Unconnected;
use crate::state::{Settings, StateFolder, StateLock};
use crate::store::StoreHandle;
use crate::timekeeping::first_floor;
use futures::StreamExt;
use sedge_identity::{AppId, Clock, PublicKey};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An opened store that no mesh sees. What is written goes out when the daemon runs again.
pub struct Offline {
    store: StoreHandle,
    attachments: AttachmentsHandle,
    settings: Settings,
    state: StateFolder,
    device: PublicKey,
    _lock: StateLock,
}

impl Offline {
    /// Opens the store of an initialised state folder.
    ///
    /// # Errors
    /// The folder isn't initialised or is in use, or the store can't be opened.
    pub fn open(state: &StateFolder) -> Result<Self, NodeError> {
        let settings = state.settings()?;
        let lock = state.lock()?;
        let device = state.key()?.public();
        let app = AppId::new(&settings.app)?;
        let store = state.open_store(&app, &device, settings.store_options())?;
        store.set_access(state.access()?.map(Arc::new));
        let interest = interest(&settings.subscribe)?;
        store.set_replication(Some(Arc::new(Unconnected(interest))));
        Ok(Self {
            attachments: AttachmentsHandle::new(store.clone(), None),
            store: StoreHandle::new(store),
            settings,
            state: state.clone(),
            device,
            _lock: lock,
        })
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`StoreHandle::execute`].
    pub async fn execute(&self, request: ExecuteRequest) -> Result<ExecuteResponse, NodeError> {
        let outcome = self.store.execute(&request.statement, request.args).await?;
        Ok(outcome.into())
    }

    /// Hands in documents.
    ///
    /// # Errors
    /// As [`StoreHandle::import`].
    pub async fn import(&self, request: ImportRequest) -> Result<ImportResponse, NodeError> {
        let imported = self.store.import(&request.collection, request.documents);
        Ok(imported_response(imported.await?))
    }

    /// A collection as NDJSON, line by line.
    ///
    /// # Errors
    /// There is no such collection, the store fails, or `line` does.
    pub fn export(
        &self,
        collection: &str,
        mut line: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<io::Result<()>, NodeError> {
        for document in self.store.inner().view().documents(collection)? {
            if let Err(error) = line(format!("{}\n", document?).as_bytes()) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// The feed up to now, line by line.
    ///
    /// # Errors
    /// Reading can't begin there, the store fails, or `line` does.
    pub async fn feed(
        &self,
        query: &FeedQuery,
        mut line: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<io::Result<()>, NodeError> {
        let mut pages = Box::pin(feed_pages(&self.store, query)?);
        while let Some(page) = pages.next().await {
            if let Err(error) = line(&feed_lines(page?)) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Makes a backup.
    ///
    /// # Errors
    /// As [`StoreHandle::backup`].
    pub async fn backup(
        &self,
        path: &Path,
        told: impl FnMut(Progress) + Send + 'static,
    ) -> Result<BackupResponse, NodeError> {
        let (store, state) = (self.store.inner().clone(), self.state.clone());
        let name = self.settings.name.clone();
        let certifying = tokio::task::spawn_blocking(move || certify_store(&store, &state, &name));
        let certified = certifying.await;
        // Told with the backup: what is not sealed in it.
        if let Err(error) = certified.map_err(|_| NodeError::Stopped("certifying the store"))? {
            tracing::debug!(%error, "the changes of this device can't be sealed now");
        }
        let manifest = self.store.backup(&self.settings.name, path, told).await?;
        Ok(BackupResponse::of(path, &manifest))
    }

    /// The bytes behind the attachment tokens of the store's documents.
    pub fn attachments(&self) -> &AttachmentsHandle {
        &self.attachments
    }

    /// What the device is and holds.
    ///
    /// # Errors
    /// The store or the state folder can't be read.
    pub async fn status(&self) -> Result<StatusResponse, NodeError> {
        let Settings { app, name, .. } = &self.settings;
        let status = StatusResponse::resting(app, name, self.device.peer_id(), &self.store).await?;
        let floor_ms = first_floor(
            self.state.clock_floor_ms()?,
            self.store.inner().newest_change_ms()?,
        );
        Ok(status.with_clock_behind(Clock::new(now_ms, floor_ms).behind_ms()))
    }
}

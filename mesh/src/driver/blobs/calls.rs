//! Calls to the store for blobs: a few at once, on blocking threads, beside the one worker of sync.

use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;

use crate::{blob::Blobs, limits::BLOB_CALLS_MAX, replica::ReplicaError};

#[derive(Clone)]
pub(super) struct Calls {
    blobs: Arc<dyn Blobs>,
    turns: Arc<Semaphore>,
}

impl Calls {
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self {
            blobs,
            turns: Arc::new(Semaphore::new(BLOB_CALLS_MAX)),
        }
    }

    /// Makes a call when it is its turn; an error says why it failed.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blobs) -> Result<T, ReplicaError> + Send + 'static,
    ) -> Result<T, String> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| "the mesh stops".to_owned())?;
        let blobs = Arc::clone(&self.blobs);
        let done = tokio::task::spawn_blocking(move || {
            // The turn ends last: once all turns are over, nobody has the store.
            let _turn = turn;
            let blobs = blobs;
            work(&*blobs)
        });
        let panicked = "the store panicked (standard error says where); please report it";
        let done = done.await.map_err(|_| panicked.to_owned())?;
        done.map_err(|error| error.to_string())
    }

    /// Waits for the calls under way; there are no more after them.
    pub async fn finish(self) {
        let turns = u32::try_from(BLOB_CALLS_MAX).unwrap_or(u32::MAX);
        if self.turns.acquire_many(turns).await.is_ok() {
            self.turns.close();
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

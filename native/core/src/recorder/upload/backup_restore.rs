// SPDX-License-Identifier: Apache-2.0
//! Restores slices out of the backup store, for the bucket.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::names;
use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::backup_uploader::BackupStore;
use crate::recorder::upload::queue::CompleteSlice;
use crate::recorder::upload::retry::RetryState;
use crate::recorder::upload::slice_store::SliceStore;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::Store;

/// A file that the store has lost is asked for again after this time: somebody may have put it back.
const GONE_PAUSE: Duration = Duration::from_secs(60);

pub struct BackupRestore {
    backup: Option<BackupStore>,
    store: Option<Arc<dyn Store>>,
    retry: RetryState,
    retry_at: Option<Instant>,
    /// Files that the store has lost, and when to ask again; they hold nothing else up.
    gone: HashMap<String, Instant>,
    /// Slices that were fetched: what the bucket refuses need not be fetched again for each attempt.
    fetched: HashSet<String>,
}

impl BackupRestore {
    #[must_use]
    pub fn new(backup: Option<BackupStore>) -> Self {
        let retry = RetryState::default();
        Self { backup, store: None, retry, retry_at: None, gone: HashMap::new(), fetched: HashSet::new() }
    }

    /// Whether it may be asked for the file now.
    #[must_use]
    pub fn gives(&self, file: &str) -> bool {
        let now = Instant::now();
        let is_over = |at: &Instant| now >= *at;
        self.backup.is_some() && self.retry_at.as_ref().is_none_or(is_over) && self.gone.get(file).is_none_or(is_over)
    }

    /// When something may be asked for again; never, where nothing was refused.
    pub async fn again(&self) {
        match self.retry_at.or(self.gone.values().min().copied()) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Where the slice's content was put on the work volume; `None` where the store does not give it now, which is told.
    pub async fn fetch(&mut self, slice: &CompleteSlice, slice_store: &SliceStore) -> Option<PathBuf> {
        let path = slice_store.directory.join(fetched(&slice.file));
        if self.fetched.contains(&slice.file) {
            return Some(path);
        }
        match self.get(slice, &path).await {
            Ok(()) => {
                self.answered(slice_store);
                self.gone.remove(&slice.file);
                self.fetched.insert(slice.file.clone());
                Some(path)
            }
            Err(failure) if failure.cause == StoreCause::FileGone => {
                self.answered(slice_store);
                let known = self.gone.insert(slice.file.clone(), Instant::now() + GONE_PAUSE).is_some();
                if !known {
                    self.tell(slice_store, &failure);
                }
                None
            }
            Err(failure) => {
                if self.retry.is_new(&failure.cause) {
                    self.tell(slice_store, &failure);
                }
                if failure.lasts_while_open() {
                    self.store = None;
                }
                self.retry_at = Some(Instant::now() + self.retry.pause(failure.retry_after));
                None
            }
        }
    }

    /// The slice is home.
    pub fn forget(&mut self, file: &str, slice_store: &SliceStore) -> Result<(), StoreError> {
        if self.fetched.remove(file) {
            slice_store.remove(&fetched(file))?;
        }
        Ok(())
    }

    fn answered(&mut self, slice_store: &SliceStore) {
        self.retry_at = None;
        if self.retry.recover() {
            slice_store.tell(UploadEvent::BackupRecovered);
        }
    }

    fn tell(&self, slice_store: &SliceStore, failure: &StoreError) {
        if let Some(backup) = &self.backup {
            slice_store.tell(UploadEvent::Failed(backup.error(failure)));
        }
    }

    async fn get(&mut self, slice: &CompleteSlice, path: &Path) -> Result<(), StoreError> {
        let Some(backup) = &self.backup else {
            return Err(StoreError::new(StoreCause::Setup, "there is no backup store"));
        };
        let store = match &mut self.store {
            Some(store) => store,
            empty => empty.insert(backup.open()?),
        };
        let named =
            |failure: StoreError| StoreError { detail: format!("{}: {}", slice.file, failure.detail), ..failure };
        let sha256 = store.get_file(&slice.file, slice.complete.bytes, path).await.map_err(named)?;
        if sha256 == slice.complete.sha256 {
            Ok(())
        } else {
            // What it is instead is still there.
            let _ = std::fs::remove_file(path);
            let message = format!("{}: what is there is something else", slice.file);
            Err(StoreError::new(StoreCause::FileGone, message))
        }
    }
}

/// What a file is called while it is being restored: no longer than its own name may be.
fn fetched(file: &str) -> String {
    format!("fetched_{}", names::hex(&Sha256::digest(file)[..8]))
}

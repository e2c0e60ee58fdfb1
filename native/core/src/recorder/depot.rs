// SPDX-License-Identifier: Apache-2.0
//! The way home: slices out of the backup store, for the bucket.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::names;
use crate::recorder::backup::Backup;
use crate::recorder::parcel::Parcel;
use crate::recorder::stock::{News, Stock};
use crate::recorder::trouble::Trouble;
use crate::storage::failure::{Cause, Failure};
use crate::storage::store::Store;

/// A file that the store has lost is asked for again after this time: somebody may have put it back.
const GONE_PAUSE: Duration = Duration::from_secs(60);

pub struct Depot {
    backup: Option<Backup>,
    store: Option<Store>,
    trouble: Trouble,
    retry_at: Option<Instant>,
    /// Files that the store has lost, and when to ask again; they hold nothing else up.
    gone: HashMap<String, Instant>,
    /// Slices that were fetched: what the bucket refuses need not be fetched again for each attempt.
    fetched: HashSet<String>,
}

impl Depot {
    #[must_use]
    pub fn new(backup: Option<Backup>) -> Self {
        let trouble = Trouble::default();
        Self { backup, store: None, trouble, retry_at: None, gone: HashMap::new(), fetched: HashSet::new() }
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
    pub async fn fetch(&mut self, parcel: &Parcel, stock: &Stock) -> Option<PathBuf> {
        let path = stock.directory.join(fetched(&parcel.file));
        if self.fetched.contains(&parcel.file) {
            return Some(path);
        }
        match self.get(parcel, &path).await {
            Ok(()) => {
                self.answered(stock);
                self.gone.remove(&parcel.file);
                self.fetched.insert(parcel.file.clone());
                Some(path)
            }
            Err(failure) if failure.cause == Cause::FileGone => {
                self.answered(stock);
                let known = self.gone.insert(parcel.file.clone(), Instant::now() + GONE_PAUSE).is_some();
                if !known {
                    self.tell(stock, &failure);
                }
                None
            }
            Err(failure) => {
                if self.trouble.is_new(&failure.cause) {
                    self.tell(stock, &failure);
                }
                self.retry_at = Some(Instant::now() + self.trouble.pause());
                None
            }
        }
    }

    /// The slice is home.
    pub fn forget(&mut self, file: &str, stock: &Stock) -> Result<(), Failure> {
        if self.fetched.remove(file) {
            stock.remove(&fetched(file))?;
        }
        Ok(())
    }

    fn answered(&mut self, stock: &Stock) {
        self.retry_at = None;
        if self.trouble.heal() {
            stock.tell(News::BackupHealed);
        }
    }

    fn tell(&self, stock: &Stock, failure: &Failure) {
        if let Some(backup) = &self.backup {
            stock.tell(News::Failed(backup.error(failure)));
        }
    }

    async fn get(&mut self, parcel: &Parcel, path: &Path) -> Result<(), Failure> {
        let Some(backup) = &self.backup else {
            return Err(Failure::new(Cause::Setup, "there is no backup store"));
        };
        let store = match &mut self.store {
            Some(store) => store,
            empty => empty.insert(backup.open()?),
        };
        let named = |failure: Failure| Failure { detail: format!("{}: {}", parcel.file, failure.detail), ..failure };
        let sha256 = store.get_file(&parcel.file, parcel.complete.bytes, path).await.map_err(named)?;
        if sha256 == parcel.complete.sha256 {
            Ok(())
        } else {
            // What it is instead is still there.
            let _ = std::fs::remove_file(path);
            let message = format!("{}: what is there is something else", parcel.file);
            Err(Failure::new(Cause::FileGone, message))
        }
    }
}

/// What a file is called while it is on its way home: no longer than its own name may be.
fn fetched(file: &str) -> String {
    format!("fetched_{}", names::hex(&Sha256::digest(file)[..8]))
}

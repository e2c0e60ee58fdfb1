// SPDX-License-Identifier: Apache-2.0
//! The way home: slices out of the backup store, for the bucket.

use bytes::Bytes;
use tokio::time::Instant;

use crate::recorder::backup::Backup;
use crate::recorder::parcel::Parcel;
use crate::recorder::stock::{is_whole, News, Stock};
use crate::recorder::trouble::Trouble;
use crate::storage::failure::{Cause, Failure};
use crate::storage::store::Store;

pub struct Depot {
    backup: Option<Backup>,
    store: Option<Store>,
    trouble: Trouble,
    retry_at: Option<Instant>,
    /// The last slice that was fetched: what the bucket refuses need not be fetched again for each attempt.
    last: Option<(String, Bytes)>,
}

impl Depot {
    #[must_use]
    pub fn new(backup: Option<Backup>) -> Self {
        Self { backup, store: None, trouble: Trouble::default(), retry_at: None, last: None }
    }

    /// Whether it may be asked now.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.backup.is_some() && self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    /// When it may be asked again; never, where it may be asked now or there is none.
    pub async fn again(&self) {
        match self.retry_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// The slice's content; `None` where the store does not give it now, which is told.
    pub async fn fetch(&mut self, parcel: &Parcel, stock: &Stock) -> Option<Bytes> {
        if let Some((_, content)) = self.last.as_ref().filter(|(file, _)| *file == parcel.file) {
            return Some(content.clone());
        }
        match self.get(parcel).await {
            Ok(content) => {
                self.retry_at = None;
                if self.trouble.heal() {
                    stock.tell(News::BackupHealed);
                }
                self.last = Some((parcel.file.clone(), content.clone()));
                Some(content)
            }
            Err(failure) => {
                if let Some(backup) = self.backup.as_ref().filter(|_| self.trouble.is_new(&failure.cause)) {
                    stock.tell(News::Failed(backup.error(&failure)));
                }
                self.retry_at = Some(Instant::now() + self.trouble.pause());
                None
            }
        }
    }

    async fn get(&mut self, parcel: &Parcel) -> Result<Bytes, Failure> {
        let Some(backup) = &self.backup else {
            return Err(Failure::new(Cause::Setup, "there is no backup store"));
        };
        let store = match &mut self.store {
            Some(store) => store,
            empty => empty.insert(backup.open()?),
        };
        let content = store.get(&parcel.file, parcel.complete.bytes).await?;
        if is_whole(&content, parcel) {
            Ok(content)
        } else {
            let message = format!("{}: its content is not what was put there", parcel.file);
            Err(Failure::new(Cause::FileGone, message))
        }
    }
}

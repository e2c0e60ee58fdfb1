// SPDX-License-Identifier: Apache-2.0
//! Slices on their way into a store, several at once.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::error::{RecordingError, UploadError};
use crate::recorder::upload::queue::CompleteSlice;
use crate::recorder::upload::slice_store::SliceStore;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::store::{ObjectKind, Put, Store};

pub struct SlicePuts {
    store: Arc<dyn Store>,
    slice_store: SliceStore,
    puts: JoinSet<(CompleteSlice, Result<Put, StoreError>)>,
    first_failure: Option<StoreError>,
    spoilt: Vec<(CompleteSlice, StoreError)>,
}

impl SlicePuts {
    #[must_use]
    pub fn new(store: &Arc<dyn Store>, slice_store: &SliceStore) -> Self {
        Self {
            store: Arc::clone(store),
            slice_store: slice_store.clone(),
            puts: JoinSet::new(),
            first_failure: None,
            spoilt: Vec::new(),
        }
    }

    /// Begins to put what the file holds as the slice.
    pub fn add(&mut self, slice: CompleteSlice, path: PathBuf) {
        let (store, slice_store) = (Arc::clone(&self.store), self.slice_store.clone());
        let span = tracing::info_span!("slice", slice = slice.file);
        let put = async move {
            let taken = || slice_store.tell(UploadEvent::Answered);
            let file = LocalFile { path: &path, sha256: Some(&slice.complete.sha256), taken: &taken };
            let result = store.put_file(&slice.file, ObjectKind::Slice, file).await;
            (slice, result)
        };
        self.puts.spawn(put.instrument(span));
    }

    /// The slices whose copies out of the backup store cannot be read on the work volume, or are not what was written.
    pub fn take_spoilt(&mut self) -> Vec<(CompleteSlice, StoreError)> {
        std::mem::take(&mut self.spoilt)
    }

    /// The next slice that the store has taken. A file on the work volume that is not what was written is set aside, and a
    /// copy out of the backup store no failure of this store. At the end, the first thing that it refused is the error.
    pub async fn next(&mut self) -> Result<Option<(CompleteSlice, Put)>, UploadError> {
        while let Some(put) = self.puts.join_next().await {
            match put {
                Ok((slice, Ok(put))) => return Ok(Some((slice, put))),
                Ok((slice, Err(failure))) if failure.cause == StoreCause::Damaged && !slice.complete.backed_up => {
                    self.slice_store.set_aside(&slice)?;
                }
                Ok((slice, Err(failure))) if slice.complete.backed_up && is_local(&failure) => {
                    self.spoilt.push((slice, failure));
                }
                Ok((_, Err(failure))) => self.first_failure = self.first_failure.take().or(Some(failure)),
                Err(error) => return Err(RecordingError::panicked(&error).into()),
            }
        }
        self.first_failure.take().map_or(Ok(None), |failure| Err(failure.into()))
    }
}

fn is_local(failure: &StoreError) -> bool {
    matches!(failure.cause, StoreCause::Damaged | StoreCause::LocalFile)
}

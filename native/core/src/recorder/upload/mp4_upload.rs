// SPDX-License-Identifier: Apache-2.0
//! The MP4 of a recording that asked for one: made once recording is over and the bucket has every slice, and put beside
//! them. Without it the recording is complete, too; so what makes it impossible is told, and never holds up the rest.

use std::path::Path;

use tokio::sync::mpsc;

use crate::catalog::ledger::{self, Ledger};
use crate::catalog::record::Record;
use crate::causes;
use crate::mp4::fed::{self, FedError};
use crate::mp4::SliceInput;
use crate::names;
use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::error::UploadError;
use crate::recorder::upload::queue::CompleteSlice;
use crate::recorder::upload::slice_store::SliceStore;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::read_back;
use crate::storage::store::{ObjectKind, Put, Store};

/// Returns once the bucket has the MP4, or it was given up and that was told. What was kept for it is gone from the disk
/// then. The bucket must have every slice.
pub async fn deliver(slice_store: &SliceStore, store: &dyn Store) -> Result<(), UploadError> {
    let Some(job) = Mp4Job::of(&slice_store.catalog.ledger()) else { return Ok(()) };
    if job.is_open {
        let record = match job.carry_out(slice_store, store).await {
            Ok(Put { bytes, sha256, .. }) => Record::Mp4Delivered { file: job.file.clone(), bytes, sha256 },
            Err(Mp4UploadError::Never(reason)) => Record::Mp4GivenUp { file: job.file.clone(), reason },
            Err(Mp4UploadError::Now(stop)) => return Err(stop),
        };
        // Written first: who is told may look.
        slice_store.write(record.clone())?;
        if let Record::Mp4GivenUp { reason, .. } = &record {
            job.tell_given_up(reason, slice_store);
        }
    }
    for file in job.slices.iter().map(|slice| &slice.file).chain([&job.file, &partial(&job.file)]) {
        slice_store.remove(file)?;
    }
    Ok(())
}

/// Why there is no MP4.
enum Mp4UploadError {
    /// At present.
    Now(UploadError),
    /// For good.
    Never(String),
}

impl From<StoreError> for Mp4UploadError {
    fn from(failure: StoreError) -> Self {
        Self::Now(failure.into())
    }
}

/// The MP4 that was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Mp4Job {
    file: String,
    slices: Vec<CompleteSlice>,
    is_open: bool,
}

impl Mp4Job {
    fn of(ledger: &Ledger) -> Option<Self> {
        let mp4 = ledger.mp4()?;
        Some(Self {
            file: names::mp4(ledger.list_stem()?),
            slices: ledger.unbroken().map(|(slice, complete)| CompleteSlice::new(slice, complete)).collect(),
            is_open: *mp4 == ledger::Mp4State::Wanted,
        })
    }

    async fn carry_out(&self, slice_store: &SliceStore, store: &dyn Store) -> Result<Put, Mp4UploadError> {
        let path = slice_store.directory.join(&self.file);
        // Under this name it is whole; an earlier attempt failed at the bucket.
        if !path.exists() {
            if self.slices.is_empty() {
                return Err(Mp4UploadError::Never("nothing was recorded".to_owned()));
            }
            self.make_room(slice_store)?;
            self.make(slice_store, store, &path).await?;
        }
        let file = LocalFile { path: &path, sha256: None, taken: &|| slice_store.tell(UploadEvent::Answered) };
        Ok(store.put_file(&self.file, ObjectKind::Mp4, file).await?)
    }

    fn tell_given_up(&self, reason: &str, slice_store: &SliceStore) {
        // An empty recording was told already.
        if !self.slices.is_empty() {
            let message = format!("no MP4 was made: {reason}. Slices and playlist are complete without it");
            slice_store.tell_given_up(causes::MP4_NOT_MADE, message);
        }
    }

    /// Sees that the MP4 fits onto the work volume, with one slice beside it where they have to be fetched.
    fn make_room(&self, slice_store: &SliceStore) -> Result<(), Mp4UploadError> {
        // What an earlier attempt left.
        slice_store.remove(&partial(&self.file))?;
        let sizes = || self.slices.iter().map(|slice| slice.complete.bytes);
        let wanted = sizes().sum::<u64>() + sizes().max().unwrap_or(0);
        let room = || {
            let room = slice_store.volume.room();
            room.map_err(|error| {
                StoreError::new(StoreCause::LocalFile, format!("{}: {error}", slice_store.directory.display()))
            })
        };
        if wanted > room()? {
            for slice in &self.slices {
                slice_store.remove(&slice.file)?;
            }
        }
        let room = room()?;
        if wanted > room {
            let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
            return Err(Mp4UploadError::Never(format!(
                "it needs {} MB of the work volume, and {} MB are free: make the volume larger than the recording",
                megabytes(wanted),
                room / 1_000_000
            )));
        }
        Ok(())
    }

    /// Slices that are not here any more are fetched while the MP4 is being made, one after the other.
    async fn make(&self, slice_store: &SliceStore, store: &dyn Store, path: &Path) -> Result<(), Mp4UploadError> {
        let made = fed::make(path, self.slices.len(), |give| self.feed(give, slice_store, store)).await;
        made.map_err(|failure| match failure {
            FedError::Slice(error) => error,
            FedError::Mp4(why) => Mp4UploadError::Never(why),
            FedError::Local(error) => {
                StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display())).into()
            }
        })
    }

    async fn feed(
        &self,
        give: mpsc::Sender<SliceInput>,
        slice_store: &SliceStore,
        store: &dyn Store,
    ) -> Result<(), Mp4UploadError> {
        for slice in &self.slices {
            let slice = provide(slice, slice_store, store).await?;
            // It may be long before the bucket gets anything.
            slice_store.tell(UploadEvent::Answered);
            if give.send(slice).await.is_err() {
                // Who makes the MP4 has failed, and says why.
                break;
            }
        }
        Ok(())
    }
}

fn partial(file: &str) -> String {
    fed::partial(Path::new(file)).to_string_lossy().into_owned()
}

/// Whether the slice's file is on the work volume; what it holds was compared before it was put into the bucket.
fn is_here(slice: &CompleteSlice, slice_store: &SliceStore) -> bool {
    let about = std::fs::metadata(slice_store.directory.join(&slice.file));
    about.is_ok_and(|about| about.len() == slice.complete.bytes)
}

/// The slice on the work volume, brought back from the bucket if need be.
async fn provide(
    slice: &CompleteSlice,
    slice_store: &SliceStore,
    store: &dyn Store,
) -> Result<SliceInput, Mp4UploadError> {
    let temporary = !is_here(slice, slice_store);
    if temporary {
        fetch(slice, slice_store, store).await?;
    }
    let path = slice_store.directory.join(&slice.file);
    Ok(SliceInput { path, ticks: slice.complete.ticks, temporary })
}

async fn fetch(slice: &CompleteSlice, slice_store: &SliceStore, store: &dyn Store) -> Result<(), Mp4UploadError> {
    let file = &slice.file;
    let got =
        read_back::read_back(store, file, slice.known(), &slice_store.directory.join(file), read_back::WRONG_TIMES)
            .await;
    got.map_err(|failure| match failure.cause {
        StoreCause::AccessDenied => Mp4UploadError::Never(format!(
            "slices that are not on the work volume any more would have to be read back, which takes {}",
            right_to_read(slice_store)
        )),
        _ => read_back::lost(file, &failure).map_or_else(|| failure.into(), Mp4UploadError::Never),
    })
}

fn right_to_read(slice_store: &SliceStore) -> &'static str {
    slice_store.catalog.ledger().begun().map_or("the right to read", |begun| begun.target.right_to_read())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{begun, delivered, ledger, slice};

    #[test]
    fn a_job_is_open_until_the_mp4_is_there_or_given_up() {
        let wanted = || Record::Begun(Box::new(crate::catalog::record::Begun { mp4: true, ..begun() }));
        let done = Record::Mp4Delivered { file: "x_room.mp4".into(), bytes: 1, sha256: "a".into() };
        let given_up = Record::Mp4GivenUp { file: "x_room.mp4".into(), reason: "no".into() };
        for (outcome, is_open) in [(None, true), (Some(done), false), (Some(given_up), false)] {
            let records = [wanted()].into_iter().chain(slice("a", 0, 1000)).chain([delivered("a")]).chain(outcome);
            let job = Mp4Job::of(&ledger(records)).unwrap();
            assert_eq!((job.file.as_str(), job.slices.len(), job.is_open), ("x_room.mp4", 1, is_open));
        }
        assert_eq!(Mp4Job::of(&ledger([Record::Begun(Box::new(begun()))])), None);
    }
}

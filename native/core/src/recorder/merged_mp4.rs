// SPDX-License-Identifier: Apache-2.0
//! The MP4 over all parts of a recording: their slices are read back from the store, one after the other, copied into one
//! file in the work directory, and that is put beside them. Without it the merge is complete, too; so what makes it
//! impossible is told, and never holds up the rest.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use tokio::sync::mpsc;

use crate::catalog::merge::{MergedMp4, StoredSlice};
use crate::mp4::fed::{self, FedError};
use crate::mp4::SliceInput;
use crate::recorder::upload::retry::RetryState;
use crate::recorder::volume::{VolumeLimits, WorkDirectory};
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::read_back::{self, read_back, Known, WRONG_TIMES};
use crate::storage::store::{ObjectKind, Put, Store};
use crate::storage::target::Target;

/// What the store fails at is tried again until it has not done anything for so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many slices are here at once: one that is copied, one that waits and one that comes.
const SLICES_HERE: u64 = 3;

pub struct Mp4Maker<'a> {
    pub store: &'a dyn Store,
    pub target: &'a Target,
    /// The work directory of the document; None where nobody said which.
    pub work: Option<PathBuf>,
    pub limits: VolumeLimits,
    /// A name of its own in the work directory.
    pub directory: String,
}

impl Mp4Maker<'_> {
    /// Puts the MP4 of these slices under the name.
    pub async fn make(&self, name: String, slices: &[StoredSlice]) -> MergedMp4 {
        match self.made(&name, slices).await {
            Ok(Put { bytes, sha256, .. }) => MergedMp4::Stored { name, bytes, sha256 },
            Err(reason) => MergedMp4::Missing { name, reason },
        }
    }

    async fn made(&self, name: &str, slices: &[StoredSlice]) -> Result<Put, String> {
        let work = self.work.as_ref().ok_or("workDir: is required for it")?;
        let directory = OwnDirectory::take(work.join(&self.directory))?;
        self.check_room(&directory.path, slices)?;
        let path = directory.path.join(name);
        let made = fed::make(&path, slices.len(), |give| self.feed(give, slices, &directory.path)).await;
        made.map_err(|failure| match failure {
            FedError::Slice(why) | FedError::Mp4(why) => why,
            FedError::Local(error) => format!("{}: {error}", path.display()),
        })?;
        self.put(name, &path).await
    }

    /// Sees that the file fits, with the slices that are here at once, as far as their sizes are known.
    fn check_room(&self, directory: &Path, slices: &[StoredSlice]) -> Result<(), String> {
        let sizes = || slices.iter().filter_map(|slice| slice.bytes);
        let most = sizes().max().unwrap_or(0).saturating_mul(SLICES_HERE);
        let wanted = sizes().fold(most, u64::saturating_add);
        let directory = WorkDirectory { path: directory.to_owned(), limits: self.limits };
        let room = directory.room().map_err(|error| format!("{}: {error}", directory.path.display()))?;
        if wanted <= room {
            return Ok(());
        }
        let (wanted, room) = (wanted.div_ceil(1_000_000), room / 1_000_000);
        Err(format!("it needs {wanted} MB of the work directory, and {room} MB are free"))
    }

    async fn feed(
        &self,
        give: mpsc::Sender<SliceInput>,
        slices: &[StoredSlice],
        directory: &Path,
    ) -> Result<(), String> {
        for slice in slices {
            let path = directory.join(&slice.file);
            self.fetch(slice, &path).await?;
            if give.send(SliceInput { path, ticks: slice.ticks, temporary: true }).await.is_err() {
                // Who makes the MP4 has failed, and says why.
                break;
            }
        }
        Ok(())
    }

    async fn fetch(&self, slice: &StoredSlice, path: &Path) -> Result<(), String> {
        let file = &slice.file;
        let known = Known { bytes: slice.bytes, sha256: slice.sha256.as_deref() };
        let mut attempts = Attempts::new();
        loop {
            let Err(failure) = read_back(self.store, file, known, path, WRONG_TIMES).await else { return Ok(()) };
            if let Some(lost) = read_back::lost(file, &failure) {
                return Err(lost);
            }
            if failure.cause == StoreCause::AccessDenied {
                let right = self.target.right_to_read();
                return Err(format!("{file} would have to be read back, which takes {right}"));
            }
            attempts.pause_after(&failure).await.map_err(|()| self.told(file, &failure))?;
        }
    }

    async fn put(&self, name: &str, path: &Path) -> Result<Put, String> {
        let kind = if self.target.is_write_once() { ObjectKind::Mp4 } else { ObjectKind::MergedMp4 };
        let mut attempts = Attempts::new();
        loop {
            let went_on = AtomicBool::new(false);
            let file = LocalFile { path, sha256: None, taken: &|| went_on.store(true, Ordering::Relaxed) };
            let failure = match self.store.put_file(name, kind, file).await {
                Ok(put) => return Ok(put),
                Err(failure) => failure,
            };
            if went_on.load(Ordering::Relaxed) {
                attempts = Attempts::new();
            }
            attempts.pause_after(&failure).await.map_err(|()| self.told(name, &failure))?;
        }
    }

    fn told(&self, name: &str, failure: &StoreError) -> String {
        format!("{name}: {}", failure.sentence(self.target))
    }
}

/// Attempts since the store last did what it was asked to.
struct Attempts {
    retry: RetryState,
    since: Instant,
}

impl Attempts {
    fn new() -> Self {
        Self { retry: RetryState::default(), since: Instant::now() }
    }

    /// Returns once it is time for the next one; an error where there is to be none.
    async fn pause_after(&mut self, failure: &StoreError) -> Result<(), ()> {
        let lasts = [StoreCause::AccessDenied, StoreCause::Occupied, StoreCause::LocalFile, StoreCause::Setup]
            .contains(&failure.cause);
        if lasts || self.since.elapsed() > PATIENCE {
            return Err(());
        }
        tokio::time::sleep(self.retry.pause(failure.retry_after)).await;
        Ok(())
    }
}

/// A directory for one merge at a time. Goes with what is in it; what a killed one left goes with the next one of the
/// same recording.
struct OwnDirectory {
    path: PathBuf,
    _lock: File,
}

impl OwnDirectory {
    fn take(path: PathBuf) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::open(&path).map_err(failed)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(format!("{}: another process makes it there", path.display()));
        }
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            entry.and_then(|entry| std::fs::remove_file(entry.path())).map_err(failed)?;
        }
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        // What cannot be removed goes with the next one.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
#[path = "merged_mp4_tests.rs"]
mod tests;

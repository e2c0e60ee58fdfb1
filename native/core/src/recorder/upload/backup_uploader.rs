// SPDX-License-Identifier: Apache-2.0
//! The backup store. While the bucket fails for longer than a while, slices go there instead, so that they are stored and
//! the work volume has room; where room gets scarce, at once, and also those that a slow bucket is late for. Once the bucket
//! answers again, the uploader takes them from there and brings them home.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::catalog::ledger::Ledger;
use crate::catalog::manifest::{self, PlaylistFile};
use crate::catalog::playlist;
use crate::catalog::record::{Begun, Record};
use crate::config;
use crate::error::{Code, Error};
use crate::names;
use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::error::UploadError;
use crate::recorder::upload::playlist_schedule::PlaylistSchedule;
use crate::recorder::upload::queue::{self, CompleteSlice};
use crate::recorder::upload::retry::RetryState;
use crate::recorder::upload::slice_puts::SlicePuts;
use crate::recorder::upload::slice_store::SliceStore;
use crate::recorder::upload::text_put::put_or_keep;
use crate::recorder::{backup_journal, recording_log};
use crate::storage::credentials::Credentials;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::{self, ObjectKind, Store};
use crate::storage::target::Target;

/// Where the backup store is, and when it takes over.
#[derive(Debug, Clone)]
pub struct BackupStore {
    pub target: Target,
    pub credentials: Credentials,
    /// How long the bucket may fail before.
    pub after: Duration,
}

impl BackupStore {
    #[must_use]
    pub fn new(backup: &config::BackupSettings) -> Self {
        Self {
            target: Target::of_backup(backup),
            credentials: Credentials::of_document(backup.credential_files.as_ref(), &backup.storage)
                .unwrap_or(Credentials::None),
            after: backup.after(),
        }
    }

    pub fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        store::open(&self.target, &self.credentials)
    }

    #[must_use]
    pub fn error(&self, failure: &StoreError) -> Error {
        Error::new(Code::BackupFailed, format!("the backup store: {}", failure.sentence(&self.target)))
    }
}

/// What the backup store is wanted for next.
#[derive(Debug, PartialEq, Eq)]
enum BackupStep {
    /// Nothing, before something changes.
    Rest,
    /// Nothing, unless the bucket still fails after this time.
    Wait(Duration),
    /// These, if any, and the playlist.
    Put(Vec<CompleteSlice>),
    /// Everything is stored, and recording is over: tell so.
    Conclude,
}

/// What the backup store's part of the work has come to.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// How many slices its playlist lists.
    listed: usize,
    /// For how long it got no slice.
    quiet: Duration,
    /// Whether it was told that everything is stored.
    reported: bool,
}

/// Why the bucket may not be waited for.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    /// For how long the bucket has been failing.
    failing: Option<Duration>,
    /// Whether room on the work volume gets scarce.
    tight: bool,
}

fn next(ledger: &Ledger, need: Need, after: Duration, progress: Progress) -> BackupStep {
    // Once nothing is recorded any more, nothing has to pause.
    let tight = need.tight && !ledger.is_stopped();
    let slices = match need.failing {
        Some(_) if tight => queue::for_backup(ledger),
        Some(failing) => match after.saturating_sub(failing) {
            Duration::ZERO => queue::for_backup(ledger),
            left => return BackupStep::Wait(left),
        },
        None if tight => queue::behind_the_bucket(ledger),
        None => return BackupStep::Rest,
    };
    if !slices.is_empty() {
        return BackupStep::Put(slices);
    }
    if ledger.is_stopped() {
        return if ledger.is_concluded() || progress.reported { BackupStep::Rest } else { BackupStep::Conclude };
    }
    if ledger.backed_up().count() <= progress.listed {
        return BackupStep::Rest;
    }
    match PlaylistSchedule::interval(progress.quiet) {
        Duration::ZERO => BackupStep::Put(slices),
        left => BackupStep::Wait(left),
    }
}

/// What tells that there may be something to do.
pub struct Signals {
    /// There is something new to store.
    pub wake: watch::Receiver<()>,
    /// Since when the bucket has been failing.
    pub outage: watch::Receiver<Option<Instant>>,
    /// Whether room on the work volume gets scarce.
    pub tight: watch::Receiver<bool>,
}

/// Takes over from a failing bucket.
pub struct BackupUploader {
    backup: BackupStore,
    slice_store: SliceStore,
    signals: Signals,
    store: Option<Arc<dyn Store>>,
    /// How many slices the playlist in the backup store lists.
    listed: usize,
    /// How many of its slices were removed from the disk.
    released: usize,
    pace: PlaylistSchedule,
    /// Bytes of slices that were put.
    media: u64,
    /// When the last slice was put.
    newest: Instant,
    reported: bool,
}

impl BackupUploader {
    #[must_use]
    pub fn new(backup: BackupStore, slice_store: SliceStore, signals: Signals) -> Self {
        Self {
            backup,
            slice_store,
            signals,
            store: None,
            listed: 0,
            released: 0,
            pace: PlaylistSchedule::default(),
            media: 0,
            newest: Instant::now(),
            reported: false,
        }
    }

    /// Returns only where the catalog cannot be written any more.
    pub async fn run(mut self) {
        let mut retry = RetryState::default();
        loop {
            let result = match self.next() {
                BackupStep::Rest => {
                    self.change(None).await;
                    continue;
                }
                BackupStep::Wait(duration) => {
                    self.change(Some(duration)).await;
                    continue;
                }
                BackupStep::Put(slices) => self.put(slices).await,
                BackupStep::Conclude => self.conclude().await,
            };
            match result {
                Ok(()) => {
                    if retry.recover() {
                        self.slice_store.tell(UploadEvent::BackupRecovered);
                    }
                }
                Err(UploadError::Recording(error)) => return self.slice_store.tell(UploadEvent::Broken(error)),
                Err(UploadError::Store(failure)) => {
                    if retry.is_new(&failure.cause) {
                        self.slice_store.tell(UploadEvent::Failed(self.backup.error(&failure)));
                    }
                    if failure.lasts_while_open() {
                        self.store = None;
                    }
                    let pause = retry.pause(failure.retry_after);
                    recording_log::retry("backup", &failure, pause);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn next(&mut self) -> BackupStep {
        // What changes from here on wakes.
        self.signals.wake.mark_unchanged();
        let failing = self.signals.outage.borrow_and_update().map(|since| since.elapsed());
        let need = Need { failing, tight: *self.signals.tight.borrow_and_update() };
        let progress = Progress { listed: self.listed, quiet: self.newest.elapsed(), reported: self.reported };
        next(&self.slice_store.catalog.ledger(), need, self.backup.after, progress)
    }

    async fn change(&mut self, timeout: Option<Duration>) {
        let later = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed(&mut self.signals.outage) => {}
            () = changed(&mut self.signals.tight) => {}
            () = changed(&mut self.signals.wake) => {}
            () = later => {}
        }
    }

    /// Puts slices, removes from the disk what is stored, and puts the playlist if it is due.
    async fn put(&mut self, slices: Vec<CompleteSlice>) -> Result<(), UploadError> {
        let store = self.store()?;
        let mut puts = SlicePuts::new(&store, &self.slice_store);
        for slice in slices {
            if let Some(path) = self.slice_store.locate(&slice)? {
                puts.add(slice, path);
            }
        }
        while let Some((slice, put)) = puts.next().await? {
            self.media += put.bytes;
            self.newest = Instant::now();
            self.note(&slice.file)?;
        }
        self.put_playlist(store.as_ref()).await
    }

    fn note(&self, file: &str) -> Result<(), UploadError> {
        recording_log::stored("backup", file);
        self.slice_store.tell(UploadEvent::Answered);
        // What the bucket took meanwhile is home already.
        if self.slice_store.catalog.ledger().is_stored(file) {
            return Ok(());
        }
        self.slice_store.write(Record::BackedUp { file: file.to_owned() })?;
        if !self.slice_store.catalog.ledger().is_set_aside(file) {
            return Ok(());
        }
        // No playlist lists it, so nothing else lets it go.
        Ok(self.slice_store.remove(file)?)
    }

    async fn put_playlist(&mut self, store: &dyn Store) -> Result<(), UploadError> {
        let (name, text, files) = {
            let ledger = self.slice_store.catalog.ledger();
            let Some(begun) = ledger.begun() else { return Ok(()) };
            let (text, files) = lists(&ledger, begun.slice_seconds, false);
            (names::playlist(&begun.stem), text, files)
        };
        self.release(&files)?;
        let bytes = text.len() as u64;
        if self.backup.target.is_write_once() {
            self.listed = files.len();
        } else if files.len() > self.listed && self.pace.is_due(bytes, self.media, self.newest.elapsed()) {
            put_or_keep(store, &name, ObjectKind::LivePlaylist, &text).await?;
            self.pace.put(bytes);
            self.listed = files.len();
        }
        Ok(())
    }

    /// Removes from the disk what is stored; `files` are all that ever were.
    fn release(&mut self, files: &[String]) -> Result<(), StoreError> {
        files.iter().skip(self.released).try_for_each(|file| self.slice_store.remove(file))?;
        self.released = files.len();
        Ok(())
    }

    /// Puts the final playlist and the manifest, and tells that everything is stored.
    async fn conclude(&mut self) -> Result<(), UploadError> {
        let Some(begun) = self.slice_store.catalog.ledger().begun().cloned() else { return Ok(()) };
        let name = names::playlist(&begun.stem);
        if !self.slice_store.catalog.ledger().is_concluded_in_backup() {
            let store = self.store()?;
            let (text, files) = lists(&self.slice_store.catalog.ledger(), begun.slice_seconds, true);
            put_or_keep(store.as_ref(), &name, ObjectKind::Playlist, &text).await?;
            self.slice_store.tell(UploadEvent::Answered);
            self.release(&files)?;
            let sha256 = names::hex(&Sha256::digest(&text));
            let list = PlaylistFile { name: &name, size: text.len() as u64, sha256: &sha256, in_backup: true };
            let manifest = manifest::manifest(&self.slice_store.catalog.ledger(), &list);
            if let Some(manifest) = manifest {
                put_or_keep(store.as_ref(), &names::manifest(&begun.stem), ObjectKind::Manifest, &manifest).await?;
            }
            self.put_journal(store.as_ref(), &begun).await?;
            // A bucket that answers again concludes by itself.
            if self.signals.outage.borrow().is_none() {
                return Ok(());
            }
            self.slice_store.write(Record::ConcludedInBackup)?;
        }
        self.reported = true;
        self.slice_store.tell(UploadEvent::BackedUp { playlist: name });
        Ok(())
    }

    /// So that what is here comes home even if this disk does not.
    async fn put_journal(&self, store: &dyn Store, begun: &Begun) -> Result<(), UploadError> {
        let text = backup_journal::text(&self.slice_store.directory, &begun.file_prefix, &Record::ConcludedInBackup)
            .map_err(|error| StoreError::new(StoreCause::LocalFile, format!("the journal: {error}")))?;
        let text = String::from_utf8_lossy(&text);
        Ok(put_or_keep(store, &names::journal(&begun.stem), ObjectKind::Manifest, &text).await?)
    }

    fn store(&mut self) -> Result<Arc<dyn Store>, StoreError> {
        match &self.store {
            Some(store) => Ok(Arc::clone(store)),
            None => Ok(Arc::clone(self.store.insert(self.backup.open()?))),
        }
    }
}

/// The playlist in the backup store, and the files it lists.
fn lists(ledger: &Ledger, slice_seconds: u32, finished: bool) -> (String, Vec<String>) {
    let text = playlist::playlist(ledger.backed_up(), slice_seconds, finished);
    (text, ledger.backed_up().map(|(slice, _)| slice.file.clone()).collect())
}

/// Once there is something new, or never, where nobody can say anything any more.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{delivered, ledger, slice};

    const AFTER: Duration = Duration::from_secs(60);

    #[test]
    fn the_backup_store_takes_over_after_its_time_and_concludes_once() {
        let (early, late) = (Some(Duration::from_secs(10)), Some(AFTER));
        let mut catalog = ledger(slice("a", 0, 15_000).into_iter().chain(slice("b", 15_000, 15_000)));
        let next = |catalog: &Ledger, failing, after, listed, reported| {
            let need = Need { failing, tight: false };
            super::next(catalog, need, after, Progress { listed, quiet: Duration::from_secs(5), reported })
        };
        assert_eq!(next(&catalog, None, AFTER, 0, false), BackupStep::Rest);
        assert_eq!(next(&catalog, early, AFTER, 0, false), BackupStep::Wait(Duration::from_secs(50)));
        assert!(matches!(next(&catalog, late, AFTER, 0, false), BackupStep::Put(slices) if slices.len() == 2));
        catalog.apply(delivered("a"));
        catalog.apply(Record::BackedUp { file: "b".into() });
        // The playlist was not due; it is put when nothing more comes.
        assert_eq!(next(&catalog, late, AFTER, 0, false), BackupStep::Wait(Duration::from_secs(25)));
        let quiet = Progress { listed: 0, quiet: Duration::from_secs(30), reported: false };
        let need = Need { failing: late, tight: false };
        assert_eq!(super::next(&catalog, need, AFTER, quiet), BackupStep::Put(vec![]));
        assert_eq!(next(&catalog, late, AFTER, 1, false), BackupStep::Rest);
        catalog.apply(Record::Stopped { at: 30_000 });
        assert_eq!(next(&catalog, None, AFTER, 1, false), BackupStep::Rest);
        assert_eq!(next(&catalog, early, AFTER, 1, false), BackupStep::Wait(Duration::from_secs(50)));
        assert_eq!(next(&catalog, late, AFTER, 1, false), BackupStep::Conclude);
        assert_eq!(next(&catalog, late, AFTER, 1, true), BackupStep::Rest);
        catalog.apply(Record::ConcludedInBackup);
        // As another process finds it, that has put no playlist yet.
        assert_eq!(next(&catalog, late, AFTER, 0, false), BackupStep::Conclude);
        catalog.apply(Record::Concluded);
        assert_eq!(next(&catalog, late, AFTER, 0, false), BackupStep::Rest);
    }

    #[test]
    fn where_room_gets_scarce_the_bucket_is_not_waited_for() {
        let files = ["a", "b", "c", "d"].iter().zip(0..).flat_map(|(file, at)| slice(file, at * 1000, 1000));
        let mut catalog = ledger(files);
        let put = |catalog: &Ledger, failing, tight| {
            let progress = Progress { listed: 0, quiet: Duration::ZERO, reported: false };
            match next(catalog, Need { failing, tight }, AFTER, progress) {
                BackupStep::Put(slices) => slices.into_iter().map(|slice| slice.file).collect(),
                _ => Vec::new(),
            }
        };
        let just = Some(Duration::ZERO);
        assert_eq!(put(&catalog, just, false), [""; 0]);
        assert_eq!(put(&catalog, just, true), ["a", "b", "c"]);
        assert_eq!(put(&catalog, None, true), ["d"], "the others are on their way into the bucket");
        assert_eq!(put(&catalog, None, false), [""; 0]);
        catalog.apply(Record::Stopped { at: 4000 });
        assert_eq!(put(&catalog, just, true), [""; 0], "nothing has to pause any more");
    }

    #[test]
    fn a_recording_without_slices_ends_in_the_backup_store_too() {
        let catalog = ledger([Record::Stopped { at: 1 }]);
        let conclude = |reported| {
            let progress = Progress { listed: 0, quiet: Duration::ZERO, reported };
            next(&catalog, Need { failing: Some(Duration::ZERO), tight: false }, Duration::ZERO, progress)
        };
        assert_eq!(conclude(false), BackupStep::Conclude);
        assert_eq!(conclude(true), BackupStep::Rest);
    }
}

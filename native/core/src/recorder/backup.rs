// SPDX-License-Identifier: Apache-2.0
//! The backup store. While the bucket fails for longer than a while, slices go there instead, so that they are stored and
//! the work volume has room; once the bucket answers again, the uploader takes them from there and brings them home.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::books::ledger::Ledger;
use crate::books::manifest::{self, PlaylistFile};
use crate::books::playlist;
use crate::books::record::Record;
use crate::config;
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::names;
use crate::recorder::pace::Pace;
use crate::recorder::parcel::{self, Parcel};
use crate::recorder::stock::{News, Stock, Stop};
use crate::recorder::story;
use crate::recorder::trouble::Trouble;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{Cause, Failure};
use crate::storage::large::Local;
use crate::storage::store::{Kind, Store};
use crate::storage::target::Target;

/// Where the backup store is, and when it takes over.
#[derive(Debug, Clone)]
pub struct Backup {
    pub target: Target,
    pub credentials: Credentials,
    /// How long the bucket may fail before.
    pub after: Duration,
}

impl Backup {
    #[must_use]
    pub fn new(backup: &config::Backup) -> Self {
        Self {
            target: Target::of_backup(backup),
            credentials: Credentials::in_files(backup.credential_files.clone()),
            after: backup.after(),
        }
    }

    pub fn open(&self) -> Result<Store, Failure> {
        Store::new(self.target.clone(), self.credentials.clone())
    }

    #[must_use]
    pub fn error(&self, failure: &Failure) -> Error {
        Error::new(Code::BackupFailed, format!("the backup store: {}", failure.sentence(&self.target)))
    }
}

/// What the backup store is wanted for next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing, before something changes.
    Rest,
    /// Nothing, unless the bucket still fails after this time.
    Wait(Duration),
    /// These, if any, and the playlist.
    Put(Vec<Parcel>),
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
    told: bool,
}

/// `failing` is for how long the bucket has been failing.
fn next(ledger: &Ledger, failing: Option<Duration>, after: Duration, progress: Progress) -> Step {
    let Some(failing) = failing else { return Step::Rest };
    let left = after.saturating_sub(failing);
    if !left.is_zero() {
        return Step::Wait(left);
    }
    let parcels = parcel::for_backup(ledger);
    if !parcels.is_empty() {
        return Step::Put(parcels);
    }
    if ledger.is_stopped() {
        return if ledger.is_concluded() || progress.told { Step::Rest } else { Step::Conclude };
    }
    if ledger.backed_up().count() <= progress.listed {
        return Step::Rest;
    }
    match Pace::patience(progress.quiet) {
        Duration::ZERO => Step::Put(parcels),
        left => Step::Wait(left),
    }
}

/// Takes over from a failing bucket.
pub struct Retreat {
    backup: Backup,
    stock: Stock,
    wake: watch::Receiver<()>,
    outage: watch::Receiver<Option<Instant>>,
    store: Option<Arc<Store>>,
    /// How many slices the playlist in the backup store lists.
    listed: usize,
    /// How many of its slices were removed from the disk.
    released: usize,
    pace: Pace,
    /// Bytes of slices that were put.
    media: u64,
    /// When the last slice was put.
    newest: Instant,
    told: bool,
}

impl Retreat {
    #[must_use]
    pub fn new(
        backup: Backup,
        stock: Stock,
        wake: watch::Receiver<()>,
        outage: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            backup,
            stock,
            wake,
            outage,
            store: None,
            listed: 0,
            released: 0,
            pace: Pace::default(),
            media: 0,
            newest: Instant::now(),
            told: false,
        }
    }

    /// Returns only where the books cannot be written any more.
    pub async fn run(mut self) {
        let mut trouble = Trouble::default();
        loop {
            let result = match self.next() {
                Step::Rest => {
                    self.change(None).await;
                    continue;
                }
                Step::Wait(duration) => {
                    self.change(Some(duration)).await;
                    continue;
                }
                Step::Put(parcels) => self.put(parcels).await,
                Step::Conclude => self.conclude().await,
            };
            match result {
                Ok(()) => {
                    if trouble.heal() {
                        self.stock.tell(News::BackupHealed);
                    }
                }
                Err(Stop::Books(error)) => return self.stock.tell(News::Broken(error)),
                Err(Stop::Store(failure)) => {
                    if trouble.is_new(&failure.cause) {
                        self.stock.tell(News::Failed(self.backup.error(&failure)));
                    }
                    let pause = trouble.pause();
                    story::retried("backup", &failure, pause);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn next(&mut self) -> Step {
        // What changes from here on wakes.
        self.wake.mark_unchanged();
        let failing = self.outage.borrow_and_update().map(|since| since.elapsed());
        let progress = Progress { listed: self.listed, quiet: self.newest.elapsed(), told: self.told };
        next(self.stock.books.locked().ledger(), failing, self.backup.after, progress)
    }

    async fn change(&mut self, timeout: Option<Duration>) {
        let later = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = heard(&mut self.outage) => {}
            () = heard(&mut self.wake) => {}
            () = later => {}
        }
    }

    /// Puts slices, removes from the disk what is stored, and puts the playlist if it is due.
    async fn put(&mut self, parcels: Vec<Parcel>) -> Result<(), Stop> {
        let store = self.store()?;
        let mut puts = JoinSet::new();
        for parcel in parcels {
            let Some(path) = self.stock.locate(&parcel)? else { continue };
            let store = Arc::clone(&store);
            let stock = self.stock.clone();
            puts.spawn(async move {
                let taken = || stock.tell(News::Answered);
                let file = Local { path: &path, sha256: Some(&parcel.complete.sha256), taken: &taken };
                let result = store.put_file(&parcel.file, Kind::Slice, file).await;
                (parcel, result)
            });
        }
        let mut first_failure = None;
        while let Some(put) = puts.join_next().await {
            match put {
                Ok((parcel, Ok(put))) => {
                    self.media += put.bytes;
                    self.newest = Instant::now();
                    self.note(&parcel.file)?;
                }
                Ok((parcel, Err(failure))) if failure.cause == Cause::Damaged => self.stock.set_aside(&parcel)?,
                Ok((_, Err(failure))) => first_failure = first_failure.or(Some(failure)),
                Err(error) => return Err(Error::new(Code::GeneralError, error.to_string()).into()),
            }
        }
        match first_failure {
            Some(failure) => Err(failure.into()),
            None => self.put_playlist(&store).await,
        }
    }

    fn note(&self, file: &str) -> Result<(), Stop> {
        story::stored("backup", file);
        self.stock.tell(News::Answered);
        {
            let mut books = self.stock.books.locked();
            // What the bucket took meanwhile is home already.
            if books.ledger().is_stored(file) {
                return Ok(());
            }
            books.write(Record::BackedUp { file: file.to_owned() })?;
            if !books.ledger().is_set_aside(file) {
                return Ok(());
            }
        }
        // No playlist lists it, so nothing else lets it go.
        Ok(self.stock.remove(file)?)
    }

    async fn put_playlist(&mut self, store: &Store) -> Result<(), Stop> {
        let (name, text, files) = {
            let books = self.stock.books.locked();
            let Some(begun) = books.ledger().begun() else { return Ok(()) };
            let (text, files) = lists(books.ledger(), begun.slice_seconds, false);
            (names::playlist(&begun.stem), text, files)
        };
        self.release(&files)?;
        let bytes = text.len() as u64;
        if files.len() > self.listed && self.pace.is_due(bytes, self.media, self.newest.elapsed()) {
            put_text(store, &name, Kind::Playlist, &text).await?;
            self.pace.put(bytes);
            self.listed = files.len();
        }
        Ok(())
    }

    /// Removes from the disk what is stored; `files` are all that ever were.
    fn release(&mut self, files: &[String]) -> Result<(), Failure> {
        files.iter().skip(self.released).try_for_each(|file| self.stock.remove(file))?;
        self.released = files.len();
        Ok(())
    }

    /// Puts the final playlist and the manifest, and tells that everything is stored.
    async fn conclude(&mut self) -> Result<(), Stop> {
        let Some(begun) = self.stock.books.locked().ledger().begun().cloned() else { return Ok(()) };
        let name = names::playlist(&begun.stem);
        if !self.stock.books.locked().ledger().is_concluded_in_backup() {
            let store = self.store()?;
            let (text, files) = lists(self.stock.books.locked().ledger(), begun.slice_seconds, true);
            put_text(&store, &name, Kind::Playlist, &text).await?;
            self.stock.tell(News::Answered);
            self.release(&files)?;
            let sha256 = names::hex(&Sha256::digest(&text));
            let list = PlaylistFile { name: &name, size: text.len() as u64, sha256: &sha256, in_backup: true };
            let manifest = manifest::manifest(self.stock.books.locked().ledger(), &list);
            if let Some(manifest) = manifest {
                put_text(&store, &names::manifest(&begun.stem), Kind::Manifest, &manifest).await?;
            }
            // A bucket that answers again concludes by itself.
            if self.outage.borrow().is_none() {
                return Ok(());
            }
            self.stock.write(Record::ConcludedInBackup)?;
        }
        self.told = true;
        self.stock.tell(News::BackedUp { playlist: name });
        Ok(())
    }

    fn store(&mut self) -> Result<Arc<Store>, Failure> {
        match &self.store {
            Some(store) => Ok(Arc::clone(store)),
            None => Ok(Arc::clone(self.store.insert(Arc::new(self.backup.open()?)))),
        }
    }
}

/// The playlist in the backup store, and the files it lists.
fn lists(ledger: &Ledger, slice_seconds: u32, finished: bool) -> (String, Vec<String>) {
    let text = playlist::playlist(ledger.backed_up(), slice_seconds, finished);
    (text, ledger.backed_up().map(|(slice, _)| slice.file.clone()).collect())
}

async fn put_text(store: &Store, name: &str, kind: Kind, text: &str) -> Result<(), Failure> {
    store.put(name, kind, Bytes::copy_from_slice(text.as_bytes())).await.map(drop)
}

/// Once there is something new, or never, where nobody can say anything any more.
async fn heard<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::ledger::tests::{delivered, ledger, slice};

    const AFTER: Duration = Duration::from_secs(60);

    #[test]
    fn the_backup_store_takes_over_after_its_time_and_concludes_once() {
        let (early, late) = (Some(Duration::from_secs(10)), Some(AFTER));
        let mut books = ledger(slice("a", 0, 15_000).into_iter().chain(slice("b", 15_000, 15_000)));
        let next = |books: &Ledger, failing, after, listed, told| {
            super::next(books, failing, after, Progress { listed, quiet: Duration::from_secs(5), told })
        };
        assert_eq!(next(&books, None, AFTER, 0, false), Step::Rest);
        assert_eq!(next(&books, early, AFTER, 0, false), Step::Wait(Duration::from_secs(50)));
        assert!(matches!(next(&books, late, AFTER, 0, false), Step::Put(parcels) if parcels.len() == 2));
        books.apply(delivered("a"));
        books.apply(Record::BackedUp { file: "b".into() });
        // The playlist was not due; it is put when nothing more comes.
        assert_eq!(next(&books, late, AFTER, 0, false), Step::Wait(Duration::from_secs(25)));
        let quiet = Progress { listed: 0, quiet: Duration::from_secs(30), told: false };
        assert_eq!(super::next(&books, late, AFTER, quiet), Step::Put(vec![]));
        assert_eq!(next(&books, late, AFTER, 1, false), Step::Rest);
        books.apply(Record::Stopped { at: 30_000 });
        assert_eq!(next(&books, None, AFTER, 1, false), Step::Rest);
        assert_eq!(next(&books, early, AFTER, 1, false), Step::Wait(Duration::from_secs(50)));
        assert_eq!(next(&books, late, AFTER, 1, false), Step::Conclude);
        assert_eq!(next(&books, late, AFTER, 1, true), Step::Rest);
        books.apply(Record::ConcludedInBackup);
        // As another process finds it, that has put no playlist yet.
        assert_eq!(next(&books, late, AFTER, 0, false), Step::Conclude);
        books.apply(Record::Concluded);
        assert_eq!(next(&books, late, AFTER, 0, false), Step::Rest);
    }

    #[test]
    fn a_recording_without_slices_ends_in_the_backup_store_too() {
        let books = ledger([Record::Stopped { at: 1 }]);
        let conclude = |told| {
            let progress = Progress { listed: 0, quiet: Duration::ZERO, told };
            next(&books, Some(Duration::ZERO), Duration::ZERO, progress)
        };
        assert_eq!(conclude(false), Step::Conclude);
        assert_eq!(conclude(true), Step::Rest);
    }
}

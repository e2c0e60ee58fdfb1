// SPDX-License-Identifier: Apache-2.0
//! Brings a recording's files into the bucket: slices as they are closed, then the playlist that lists them, and only
//! then are they removed from the disk. It tries for ever; what the bucket says is told once for each kind of trouble.

use std::collections::HashSet;
use std::io;
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::books::ledger::{Complete, Ledger};
use crate::books::manifest::{self, PlaylistFile};
use crate::books::record::Record;
use crate::books::{playlist, Books};
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::names;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{Cause, Failure};
use crate::storage::store::{Kind, Store};
use crate::storage::target::Target;

/// So many slices are under way at once, unless they are large: memory is bounded.
const MOST_AT_ONCE: usize = 3;
const MOST_BYTES_AT_ONCE: u64 = 16 << 20;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What the uploader tells; it never asks.
#[derive(Debug)]
pub enum News {
    Failed(Error),
    Healed,
    /// Everything is in the bucket.
    Concluded,
    /// The books cannot be written any more.
    Broken(Error),
}

pub struct Uploader {
    pub books: Arc<Mutex<Books>>,
    pub directory: PathBuf,
    pub target: Target,
    pub credentials: Credentials,
    pub wake: Arc<Notify>,
    pub news: UnboundedSender<News>,
}

/// Why a round did not get through.
enum Stop {
    Bucket(Failure),
    Books(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Bucket(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Books(error)
    }
}

/// A complete slice to put.
#[derive(Clone)]
struct Parcel {
    file: String,
    start: i64,
    complete: Complete,
}

impl Uploader {
    /// Returns once everything is in the bucket, or the books cannot be written any more.
    pub async fn run(self) {
        let mut trouble = Trouble::default();
        let mut listed = 0;
        let mut store = None;
        loop {
            match self.round(&mut store, &mut listed).await {
                Ok(concluded) => {
                    if trouble.heal() {
                        self.tell(News::Healed);
                    }
                    if concluded {
                        return self.tell(News::Concluded);
                    }
                    self.wake.notified().await;
                }
                Err(Stop::Books(error)) => return self.tell(News::Broken(error)),
                Err(Stop::Bucket(failure)) => {
                    if trouble.is_new(&failure.cause) {
                        let code = if store.is_some() { Code::UploaderFailed } else { Code::UploaderInit };
                        self.tell(News::Failed(Error::new(code, failure.sentence(&self.target))));
                    }
                    tokio::time::sleep(trouble.pause()).await;
                }
            }
        }
    }

    /// Puts what there is to put. True once everything is in the bucket.
    async fn round(&self, store: &mut Option<Arc<Store>>, listed: &mut usize) -> Result<bool, Stop> {
        if self.books.locked().ledger().is_concluded() {
            return Ok(true);
        }
        let store = match store {
            Some(store) => Arc::clone(store),
            None => Arc::clone(store.insert(Arc::new(Store::new(self.target.clone(), self.credentials.clone())?))),
        };
        loop {
            let parcels = self.parcels();
            if parcels.is_empty() {
                break;
            }
            self.put_slices(&store, parcels).await?;
            self.put_playlist(&store, listed).await?;
        }
        // What an earlier process delivered may not be listed yet.
        self.put_playlist(&store, listed).await?;
        let settled = self.books.locked().ledger().is_stopped() && self.parcels().is_empty();
        if settled {
            self.conclude(&store).await?;
        }
        Ok(settled)
    }

    /// The oldest slices that are not in the bucket.
    fn parcels(&self) -> Vec<Parcel> {
        let books = self.books.locked();
        let mut bytes = 0;
        let complete = books.ledger().slices().iter().filter_map(|slice| Some((slice, slice.complete()?)));
        complete
            .filter(|(_, complete)| !complete.delivered)
            .take(MOST_AT_ONCE)
            .take_while(|(_, complete)| {
                let first = bytes == 0;
                bytes += complete.bytes;
                first || bytes <= MOST_BYTES_AT_ONCE
            })
            .map(|(slice, complete)| Parcel {
                file: slice.file.clone(),
                start: slice.start,
                complete: complete.clone(),
            })
            .collect()
    }

    async fn put_slices(&self, store: &Arc<Store>, parcels: Vec<Parcel>) -> Result<(), Stop> {
        let mut puts = JoinSet::new();
        for parcel in parcels {
            let path = self.directory.join(&parcel.file);
            let content = match read(&path, &parcel.complete) {
                Ok(content) => content,
                Err(Unreadable::Lost(why)) => {
                    self.give_up(&parcel, &why)?;
                    continue;
                }
                Err(Unreadable::Not(failure)) => return Err(failure.into()),
            };
            let store = Arc::clone(store);
            puts.spawn(async move {
                let result = store.put(&parcel.file, Kind::Slice, content, &parcel.complete.md5).await;
                (parcel.file, result)
            });
        }
        let mut first_failure = None;
        while let Some(put) = puts.join_next().await {
            match put {
                Ok((file, Ok(()))) => self.books.locked().write(Record::Delivered { file })?,
                Ok((_, Err(failure))) => first_failure = first_failure.or(Some(failure)),
                Err(error) => return Err(Error::new(Code::GeneralError, error.to_string()).into()),
            }
        }
        first_failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// The slice's file is gone or is not what was written: that time is a gap from now on, and said so.
    fn give_up(&self, parcel: &Parcel, why: &str) -> Result<(), Error> {
        let Parcel { file, start, complete } = parcel;
        let message = format!("{file}: {why}; the recording has a gap there");
        self.tell(News::Failed(Error::new(Code::UploaderFailed, message)));
        let mut books = self.books.locked();
        books.write(Record::Gap {
            start: *start,
            stop: start + complete.milliseconds(),
            reason: "FileLost".to_owned(),
        })?;
        books.write(Record::Empty { file: file.clone() })
    }

    /// Puts the live playlist if it has grown, and then removes from the disk what it lists.
    async fn put_playlist(&self, store: &Store, listed: &mut usize) -> Result<(), Stop> {
        let (name, text, files) = {
            let books = self.books.locked();
            let Some(begun) = books.ledger().begun() else { return Ok(()) };
            let files: Vec<String> = books.ledger().unbroken().map(|(slice, _)| slice.file.clone()).collect();
            let text = playlist::playlist(books.ledger().unbroken(), begun.slice_seconds, false);
            (names::playlist(&begun.stem), text, files)
        };
        if files.len() > *listed {
            self.put_text(store, &name, &name, Kind::Playlist, &text).await?;
            for file in &files[*listed..] {
                self.remove(file)?;
            }
            *listed = files.len();
        }
        Ok(())
    }

    /// Puts the final playlist and the manifest. Every slice is in the bucket.
    async fn conclude(&self, store: &Store) -> Result<(), Stop> {
        let (stem, file, text) = {
            let books = self.books.locked();
            let Some(begun) = books.ledger().begun() else { return Ok(()) };
            let file = format!("{}{}", begun.file_prefix, manifest::FILE);
            (begun.stem.clone(), file, playlist::playlist(books.ledger().unbroken(), begun.slice_seconds, true))
        };
        let name = names::playlist(&stem);
        self.put_text(store, &name, &name, Kind::Playlist, &text).await?;
        let sha256 = names::hex(&Sha256::digest(&text));
        let list = PlaylistFile { name: &name, size: text.len() as u64, sha256: &sha256 };
        let manifest = manifest::manifest(self.books.locked().ledger(), &list);
        if let Some(manifest) = manifest {
            self.put_text(store, &names::manifest(&stem), &file, Kind::Manifest, &manifest).await?;
        }
        self.books.locked().write(Record::Concluded)?;
        Ok(())
    }

    /// Puts the text into the bucket, and keeps it in the recording's directory.
    async fn put_text(&self, store: &Store, key: &str, file: &str, kind: Kind, text: &str) -> Result<(), Stop> {
        let partial = self.directory.join(format!("{file}.partial"));
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, self.directory.join(file)))
            .map_err(|error| Failure::new(Cause::LocalFile, format!("{file}: {error}")))?;
        let content = Bytes::copy_from_slice(text.as_bytes());
        Ok(store.put(key, kind, content, &names::hex(&Md5::digest(text))).await?)
    }

    fn remove(&self, file: &str) -> Result<(), Failure> {
        match std::fs::remove_file(self.directory.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::new(Cause::LocalFile, format!("{file}: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn tell(&self, news: News) {
        // Nobody listens only after a cancellation.
        let _ = self.news.send(news);
    }
}

enum Unreadable {
    Lost(String),
    Not(Failure),
}

/// The file's content, if it is what was written.
fn read(path: &Path, complete: &Complete) -> Result<Bytes, Unreadable> {
    match std::fs::read(path) {
        Ok(content) if names::hex(&Sha256::digest(&content)) == complete.sha256 => Ok(content.into()),
        Ok(_) => Err(Unreadable::Lost("its content is not what was written".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unreadable::Lost("it is gone".to_owned())),
        Err(error) => Err(Unreadable::Not(Failure::new(Cause::LocalFile, format!("{}: {error}", path.display())))),
    }
}

/// The percentage of a recording's files that are verified in the bucket: its slices, and at the end the playlist and
/// the manifest.
#[must_use]
pub fn percent(ledger: &Ledger) -> u32 {
    let slices = ledger.counts().0;
    let lists = if ledger.is_stopped() { 2 } else { 0 };
    let verified = slices.delivered + if ledger.is_concluded() { lists } else { 0 };
    match slices.written + lists {
        0 => 0,
        files => u32::try_from(verified * 100 / files).unwrap_or(100),
    }
}

/// What is wrong at present, so that each kind is told once.
#[derive(Default)]
struct Trouble {
    told: HashSet<std::mem::Discriminant<Cause>>,
    attempts: u32,
}

impl Trouble {
    fn is_new(&mut self, cause: &Cause) -> bool {
        self.told.insert(discriminant(cause))
    }

    /// True if there was trouble.
    fn heal(&mut self) -> bool {
        !std::mem::take(self).told.is_empty()
    }

    /// How long to wait before the next attempt: doubling, with jitter, so that recorders do not come back all at once.
    fn pause(&mut self) -> Duration {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::ledger::tests::{delivered, ledger, slice};

    #[test]
    fn progress_is_of_verified_files_and_whole_only_at_the_end() {
        let mut books = ledger([]);
        assert_eq!(percent(&books), 0);
        for record in slice("a", 0, 15_000).into_iter().chain(slice("b", 15_000, 15_000)) {
            books.apply(record);
        }
        books.apply(delivered("a"));
        assert_eq!(percent(&books), 50);
        books.apply(delivered("b"));
        assert_eq!(percent(&books), 100);
        books.apply(Record::Stopped { at: 30_000 });
        assert_eq!(percent(&books), 50);
        books.apply(Record::Concluded);
        assert_eq!(percent(&books), 100);
    }

    #[test]
    fn each_kind_of_trouble_is_told_once_until_it_heals() {
        let mut trouble = Trouble::default();
        assert!(!trouble.heal());
        assert!(trouble.is_new(&Cause::AccessDenied));
        assert!(!trouble.is_new(&Cause::AccessDenied));
        assert!(trouble.is_new(&Cause::Timeout));
        assert!(trouble.heal());
        assert!(trouble.is_new(&Cause::AccessDenied));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut trouble = Trouble::default();
        assert!(trouble.pause() <= FIRST_PAUSE);
        let late = (0..40).map(|_| trouble.pause()).last().unwrap();
        assert!(late >= LONGEST_PAUSE / 2 && late <= LONGEST_PAUSE);
    }
}

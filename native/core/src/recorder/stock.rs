// SPDX-License-Identifier: Apache-2.0
//! A recording's files on the work volume, and the books about them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;

use crate::books::ledger::Film;
use crate::books::record::Record;
use crate::books::Books;
use crate::capture::api::UtcMillis;
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::names;
use crate::recorder::parcel::Parcel;
use crate::recorder::volume::Place;
use crate::storage::failure::{Cause, Failure};

/// What becomes of the upload; whoever tells it never asks.
#[derive(Debug)]
pub enum News {
    /// With the code of the store that refuses.
    Failed(Error),
    /// A file is lost, or cannot be made; the rest goes on without it.
    Lost(Error),
    /// A store took something, or gave it back.
    Answered,
    /// The bucket took something, for the first time or again.
    BucketAnswers,
    /// The bucket did not take what was put last; told for each cause anew.
    BucketFails {
        cause: &'static str,
        fact: String,
    },
    /// Files go elsewhere from now on.
    Moved,
    BackupHealed,
    /// Everything is stored, some of it in the backup store only; its playlist has this name.
    BackedUp {
        playlist: String,
    },
    /// Everything is in the bucket; the playlist has this name.
    Concluded {
        playlist: String,
    },
    /// The books cannot be written any more.
    Broken(Error),
}

/// Why something was not done.
pub enum Stop {
    Store(Failure),
    Books(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Books(error)
    }
}

#[derive(Clone)]
pub struct Stock {
    pub books: Arc<Mutex<Books>>,
    pub directory: PathBuf,
    pub volume: Place,
    pub news: UnboundedSender<News>,
}

impl Stock {
    /// Where the slice's file is; `None` if it is not wanted any more, or if it is gone: that time is then a gap, and said so.
    pub fn locate(&self, parcel: &Parcel) -> Result<Option<PathBuf>, Stop> {
        let path = self.directory.join(&parcel.file);
        if !self.books.locked().ledger().is_wanted(&parcel.file) {
            return Ok(None);
        }
        match std::fs::metadata(&path) {
            Ok(about) if about.len() == parcel.complete.bytes => Ok(Some(path)),
            Ok(_) => self.set_aside(parcel).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.bring_aside(&parcel.file) => Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.give_up(parcel, "it is gone")?;
                Ok(None)
            }
            Err(error) => Err(Failure::new(Cause::LocalFile, format!("{}: {error}", path.display())).into()),
        }
    }

    /// Keeps a file that is not what was written under a name of its own: that time is a gap, and said so.
    pub fn set_aside(&self, parcel: &Parcel) -> Result<(), Stop> {
        if !self.books.locked().ledger().is_wanted(&parcel.file) {
            return Ok(());
        }
        let path = self.directory.join(&parcel.file);
        let measured = measure(&path);
        let (bytes, sha256) =
            measured.map_err(|error| Failure::new(Cause::LocalFile, format!("{}: {error}", path.display())))?;
        if bytes == 0 || self.books.locked().ledger().is_set_aside(&parcel.file) {
            self.give_up(parcel, "nothing of it is left")?;
            return Ok(self.remove(&parcel.file)?);
        }
        let aside = names::damaged(&parcel.file);
        let message = format!(
            "{}: its content is not what was written; the recording has a gap there, and what was found is kept as {aside}",
            parcel.file
        );
        self.tell(News::Lost(Error::new(Code::UploaderFailed, message)));
        let mut books = self.books.locked();
        books.write(gap(parcel, "FileDamaged"))?;
        books.write(Record::Damaged { file: parcel.file.clone(), aside: aside.clone(), bytes, sha256 })?;
        // Where this fails, it is done when the file is looked for.
        let _ = std::fs::rename(&path, self.directory.join(aside));
        Ok(())
    }

    /// Whether the file is there under this name, which a damaged slice's may get only now.
    fn bring_aside(&self, aside: &str) -> bool {
        let books = self.books.locked();
        let mut damaged = books.ledger().damaged().iter();
        damaged.find(|damaged| damaged.aside == aside).is_some_and(|damaged| {
            std::fs::rename(self.directory.join(&damaged.file), self.directory.join(aside)).is_ok()
        })
    }

    pub fn write_text(&self, file: &str, text: &str) -> Result<(), Failure> {
        let partial = self.directory.join(format!("{file}.partial"));
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, self.directory.join(file)))
            .map_err(|error| Failure::new(Cause::LocalFile, format!("{file}: {error}")))
    }

    pub fn remove(&self, file: &str) -> Result<(), Failure> {
        match std::fs::remove_file(self.directory.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::new(Cause::LocalFile, format!("{file}: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Removes a slice that is in the bucket, unless it is wanted here until the end.
    pub fn let_go(&self, file: &str) -> Result<(), Failure> {
        if matches!(self.books.locked().ledger().film(), Some(Film::Wanted)) {
            return Ok(());
        }
        self.remove(file)
    }

    pub fn write(&self, record: Record) -> Result<(), Error> {
        self.books.locked().write(record)
    }

    pub fn tell(&self, news: News) {
        // Nobody listens only after a cancellation.
        let _ = self.news.send(news);
    }

    fn give_up(&self, parcel: &Parcel, why: &str) -> Result<(), Error> {
        let file = &parcel.file;
        let message = format!("{file}: {why}; the recording has a gap there");
        self.tell(News::Lost(Error::new(Code::UploaderFailed, message)));
        let mut books = self.books.locked();
        books.write(gap(parcel, "FileLost"))?;
        books.write(Record::Empty { file: file.clone() })
    }
}

fn gap(parcel: &Parcel, reason: &str) -> Record {
    let stop = parcel.start + parcel.complete.milliseconds();
    Record::gap(UtcMillis(parcel.start), UtcMillis(stop), reason)
}

/// The file's size and SHA-256.
fn measure(path: &Path) -> io::Result<(u64, String)> {
    let mut sha256 = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut sha256)?;
    Ok((bytes, names::hex(&sha256.finalize())))
}

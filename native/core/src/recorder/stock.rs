// SPDX-License-Identifier: Apache-2.0
//! A recording's files on the work volume, and the books about them.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;

use crate::books::ledger::Film;
use crate::books::record::Record;
use crate::books::Books;
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::names;
use crate::recorder::parcel::Parcel;
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
    /// How much of the work volume the recording may count on, where that is less than the file system says.
    pub work_bytes: Option<u64>,
    pub news: UnboundedSender<News>,
}

impl Stock {
    /// The slice's content; `None` if a store has it meanwhile, or if its file is gone or is not what was written: that
    /// time is then a gap, and said so.
    pub fn read(&self, parcel: &Parcel) -> Result<Option<Bytes>, Stop> {
        let path = self.directory.join(&parcel.file);
        if self.books.locked().ledger().is_stored(&parcel.file) {
            return Ok(None);
        }
        let why = match std::fs::read(&path) {
            Ok(content) if is_whole(&content, parcel) => return Ok(Some(content.into())),
            Ok(_) => "its content is not what was written",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it is gone",
            Err(error) => return Err(Failure::new(Cause::LocalFile, format!("{}: {error}", path.display())).into()),
        };
        self.give_up(parcel, why)?;
        Ok(None)
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
        let Parcel { file, start, complete } = parcel;
        let message = format!("{file}: {why}; the recording has a gap there");
        self.tell(News::Lost(Error::new(Code::UploaderFailed, message)));
        let mut books = self.books.locked();
        books.write(Record::Gap {
            start: *start,
            stop: start + complete.milliseconds(),
            reason: "FileLost".to_owned(),
        })?;
        books.write(Record::Empty { file: file.clone() })
    }
}

/// Whether the content is what was written as this slice.
#[must_use]
pub fn is_whole(content: &[u8], parcel: &Parcel) -> bool {
    names::hex(&Sha256::digest(content)) == parcel.complete.sha256
}

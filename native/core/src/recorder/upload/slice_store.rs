// SPDX-License-Identifier: Apache-2.0
//! A recording's files on the work volume, and the catalog about them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;

use crate::capture::api::UtcMillis;
use crate::catalog::ledger::{DamagedSlice, Mp4State};
use crate::catalog::record::Record;
use crate::catalog::{Catalog, CatalogError};
use crate::causes;
use crate::error::{Code, Error};
use crate::names;
use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::error::UploadError;
use crate::recorder::upload::queue::CompleteSlice;
use crate::recorder::volume::WorkDirectory;
use crate::storage::failure::{StoreCause, StoreError};

#[cfg(test)]
use {
    crate::config::Document,
    crate::recorder::volume::VolumeLimits,
    tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver},
};

#[derive(Clone)]
pub struct SliceStore {
    pub catalog: Arc<Catalog>,
    pub directory: PathBuf,
    pub volume: WorkDirectory,
    pub upload_events: UnboundedSender<UploadEvent>,
}

impl SliceStore {
    /// Where the slice's file is; `None` if it is not wanted any more, or if it is gone: that time is then a gap, and said so.
    pub fn locate(&self, slice: &CompleteSlice) -> Result<Option<PathBuf>, UploadError> {
        let path = self.directory.join(&slice.file);
        if !self.catalog.ledger().is_wanted(&slice.file) {
            return Ok(None);
        }
        match std::fs::metadata(&path) {
            Ok(about) if about.len() == slice.complete.bytes => Ok(Some(path)),
            Ok(_) => self.set_aside(slice).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.bring_aside(&slice.file) => Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.give_up(slice, "it is gone")?;
                Ok(None)
            }
            Err(error) => Err(StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display())).into()),
        }
    }

    /// Keeps a file that is not what was written under a name of its own: that time is a gap, and said so.
    pub fn set_aside(&self, slice: &CompleteSlice) -> Result<(), UploadError> {
        if !self.catalog.ledger().is_wanted(&slice.file) {
            return Ok(());
        }
        let path = self.directory.join(&slice.file);
        let measured = measure(&path);
        let (bytes, sha256) =
            measured.map_err(|error| StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display())))?;
        if bytes == 0 || self.catalog.ledger().is_set_aside(&slice.file) {
            self.give_up(slice, "nothing of it is left")?;
            return Ok(self.remove(&slice.file)?);
        }
        let aside = names::damaged(&slice.file);
        let message = format!(
            "{}: its content is not what was written; the recording has a gap there, and what was found is kept as {aside}",
            slice.file
        );
        self.tell_given_up(causes::FILE_DAMAGED, message);
        self.write(gap(slice, causes::FILE_DAMAGED))?;
        self.write(Record::Damaged { file: slice.file.clone(), aside: aside.clone(), bytes, sha256 })?;
        // Where this fails, it is done when the file is looked for.
        let _ = std::fs::rename(&path, self.directory.join(aside));
        Ok(())
    }

    /// Whether the file is there under this name, which a damaged slice's may get only now.
    fn bring_aside(&self, aside: &str) -> bool {
        let found = |damaged: &&DamagedSlice| damaged.aside == aside;
        let file = self.catalog.ledger().damaged().iter().find(found).map(|damaged| damaged.file.clone());
        file.is_some_and(|file| std::fs::rename(self.directory.join(file), self.directory.join(aside)).is_ok())
    }

    pub fn write_text(&self, file: &str, text: &str) -> Result<(), StoreError> {
        let partial = self.directory.join(format!("{file}.partial"));
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, self.directory.join(file)))
            .map_err(|error| StoreError::new(StoreCause::LocalFile, format!("{file}: {error}")))
    }

    pub fn remove(&self, file: &str) -> Result<(), StoreError> {
        match std::fs::remove_file(self.directory.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::new(StoreCause::LocalFile, format!("{file}: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Removes a slice that is in the bucket, unless it is wanted here until the end.
    pub fn let_go(&self, file: &str) -> Result<(), StoreError> {
        if matches!(self.catalog.ledger().mp4(), Some(Mp4State::Wanted)) {
            return Ok(());
        }
        self.remove(file)
    }

    pub fn write(&self, record: Record) -> Result<(), CatalogError> {
        self.catalog.write(record)
    }

    pub fn tell(&self, event: UploadEvent) {
        // Nobody listens only after a cancellation.
        let _ = self.upload_events.send(event);
    }

    fn give_up(&self, slice: &CompleteSlice, why: &str) -> Result<(), CatalogError> {
        let file = &slice.file;
        let message = format!("{file}: {why}; the recording has a gap there");
        self.tell_given_up(causes::FILE_LOST, message);
        self.write(gap(slice, causes::FILE_LOST))?;
        self.write(Record::Empty { file: file.clone() })
    }

    /// Tells what is not tried any more, with the cause in one word.
    pub fn tell_given_up(&self, cause: &'static str, message: String) {
        self.tell(UploadEvent::GivenUp { cause, error: Error::new(Code::UploaderFailed, message) });
    }
}

#[cfg(test)]
impl SliceStore {
    /// One in the directory, without limits, and what it tells.
    pub(in crate::recorder::upload) fn in_directory(
        catalog: Catalog,
        directory: &Path,
    ) -> (Self, UnboundedReceiver<UploadEvent>) {
        let (upload_events, told) = unbounded_channel();
        let limits = VolumeLimits::of_document(&Document::parse("{}").unwrap());
        let volume = WorkDirectory { path: directory.to_owned(), limits };
        (Self { catalog: Arc::new(catalog), directory: directory.to_owned(), volume, upload_events }, told)
    }
}

fn gap(slice: &CompleteSlice, reason: &str) -> Record {
    let stop = slice.start + slice.complete.milliseconds();
    Record::gap(UtcMillis(slice.start), UtcMillis(stop), reason)
}

/// The file's size and SHA-256.
fn measure(path: &Path) -> io::Result<(u64, String)> {
    let mut sha256 = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut sha256)?;
    Ok((bytes, names::hex(&sha256.finalize())))
}

// SPDX-License-Identifier: Apache-2.0
//! A file of the work volume that is put into a store.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::Path;

use bytes::Bytes;

use crate::log;
use crate::storage::failure::{StoreCause, StoreError};

/// A file to put.
#[derive(Clone, Copy)]
pub struct LocalFile<'a> {
    pub path: &'a Path,
    /// Its SHA-256 in hexadecimal digits, where that is known.
    pub sha256: Option<&'a str>,
    /// Hears of each part that the store took.
    pub taken: &'a (dyn Fn() + Send + Sync),
}

impl LocalFile<'_> {
    pub fn bytes(&self) -> Result<u64, StoreError> {
        Ok(std::fs::metadata(self.path).map_err(|error| unreadable(self.path, &error))?.len())
    }

    /// At most so many bytes of the file from there on; none at its end.
    pub async fn read(&self, at: u64, most: u64) -> Result<Bytes, StoreError> {
        let path = self.path.to_owned();
        let reading = log::spawn_blocking(move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(at))?;
            let mut content = Vec::new();
            file.take(most).read_to_end(&mut content)?;
            std::io::Result::Ok(Bytes::from(content))
        });
        let content = reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        content.map_err(|error| unreadable(self.path, &error))
    }

    /// Whether what was read is what was written, by its SHA-256.
    pub fn check(&self, sha256: &str) -> Result<(), StoreError> {
        if self.sha256.is_none_or(|expected| expected == sha256) {
            return Ok(());
        }
        let message = format!("{}: its content is not what was written", self.path.display());
        Err(StoreError::new(StoreCause::Damaged, message))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display()))
}

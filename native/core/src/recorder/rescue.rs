// SPDX-License-Identifier: Apache-2.0
//! Uploads what a process that died left in the work directory, without recording anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;

use crate::broken_pipe;
use crate::catalog::journal::Journal;
use crate::catalog::Catalog;
use crate::config::{self, Document};
use crate::error::{Code, Error};
use crate::log::Log;
use crate::names;
use crate::recorder::delivery::{deliver, DeliveryOptions};
use crate::recorder::machine::{BucketHealth, UploadEvent};
use crate::recorder::rescued::Shown;
use crate::recorder::upload::backup_uploader::BackupStore;
use crate::recorder::volume::VolumeLimits;
use crate::recorder::{backup_journal, recording_log};
use crate::storage::credentials::Credentials;

/// Returns once everything in the work directory that can be is in its bucket. Of a recording that cannot, the first reason
/// is told; the error has them all, a line each, and the code of the first. Where there is a backup store, a bucket that
/// fails is no reason before everything is in one of the two, or the backup store fails as well.
pub fn rescue(document: &Document) -> Result<(), Error> {
    // The caller's thread is the host's; a connection that is reset must not end the host.
    std::thread::scope(|scope| {
        let work = || {
            broken_pipe::block();
            rescue_here(document)
        };
        scope.spawn(work).join().unwrap_or_else(|_| Err(Error::unexpected()))
    })
}

fn rescue_here(document: &Document) -> Result<(), Error> {
    let storage = &document.storage;
    let credentials = Credentials::of_document(storage.credential_files.as_ref(), storage).ok_or_else(|| {
        Error::new(Code::InvalidParameter, "storage.credentialFiles: is required, unless there is storage.identity")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Code::GeneralError, error.to_string()))?;
    let options = DeliveryOptions {
        credentials,
        backup: document.backup.as_ref().map(BackupStore::new),
        ca_file: document.storage.ca_file.clone(),
        proxy_url: document.storage.proxy_url.clone(),
        volume_limits: VolumeLimits::of_document(document),
        keep_directory: document.keep_directory,
        location: document.location.clone(),
    };
    let mut errors = Vec::new();
    for directory in directories(document)? {
        if let Some(backup) = &options.backup {
            runtime.block_on(backup_journal::restore(document, &directory, backup))?;
        }
        let prefixes = Journal::prefixes(&directory).map_err(|error| unreadable(&directory, &error));
        for prefix in prefixes.unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        }) {
            let log = log_of(&directory, &document.log);
            let _log = log.enter();
            tracing::info!("cr_rescue: what is left in {} is delivered", directory.display());
            let rescued = Catalog::open(&directory, &prefix)
                .and_then(|catalog| {
                    let catalog = Arc::new(catalog);
                    // Of several parts in a directory it is the document's own that can be asked for.
                    let id = id_of(&directory);
                    let shown = (prefix == document.file_prefix).then(|| Shown::new(id, &catalog));
                    let mut reporter = Reporter::new(shown, document.backup.is_some());
                    runtime.block_on(deliver(&catalog, &directory, &options, |event| reporter.hear(event)))
                })
                .inspect_err(|error| recording_log::call_refused("cr_rescue", error));
            errors.extend(rescued.err().map(|error| naming(&directory, error)));
        }
    }
    all_of(&errors)
}

/// Shows what becomes of an upload, and decides which of its failures ends the rescue.
struct Reporter {
    shown: Option<Shown>,
    bucket_health: BucketHealth,
    has_backup: bool,
    /// What the bucket refused first.
    refused: Option<Error>,
}

impl Reporter {
    fn new(shown: Option<Shown>, has_backup: bool) -> Self {
        Self { shown, bucket_health: BucketHealth::default(), has_backup, refused: None }
    }

    /// An error ends the rescue.
    fn hear(&mut self, event: UploadEvent) -> Result<(), Error> {
        match event {
            UploadEvent::Failed(error) if self.has_backup && error.code != Code::BackupFailed => {
                self.refused.get_or_insert(error);
            }
            UploadEvent::Failed(error) => return Err(self.refused.take().unwrap_or(error)),
            UploadEvent::BackedUp { .. } => return self.refused.take().map_or(Ok(()), Err),
            UploadEvent::BucketAnswers => {
                self.refused = None;
                self.bucket_health.answers(Utc::now().timestamp_millis());
            }
            UploadEvent::BucketFails { cause, fact } => {
                self.bucket_health.fails(cause, fact, Utc::now().timestamp_millis());
            }
            UploadEvent::GivenUp { cause, error } => recording_log::given_up(cause, &error),
            UploadEvent::Answered
            | UploadEvent::Moved
            | UploadEvent::BackupRecovered
            | UploadEvent::Concluded { .. }
            | UploadEvent::Broken(_) => return Ok(()),
        }
        if let Some(shown) = &self.shown {
            shown.show_health(&self.bucket_health);
        }
        Ok(())
    }
}

/// The error with the directory that it is about.
fn naming(directory: &Path, error: Error) -> Error {
    let directory = directory.display().to_string();
    if error.message.starts_with(&directory) {
        return error;
    }
    Error { message: format!("{directory}: {}", error.message), ..error }
}

fn all_of(errors: &[Error]) -> Result<(), Error> {
    let Some(first) = errors.first() else { return Ok(()) };
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    Err(Error::new(first.code, messages.join("\n")))
}

/// The recordings' directories: the one that the document names, or all.
fn directories(document: &Document) -> Result<Vec<PathBuf>, Error> {
    let root = document
        .work_directory()
        .ok_or_else(|| Error::new(Code::InvalidParameter, "workDir: not configured, and the user has no home"))?;
    if let Some(id) = &document.recording_id {
        return Ok(vec![root.join(id)]);
    }
    recordings(&root).map_err(|error| unreadable(&root, &error))
}

/// The directories of recordings in a work directory.
pub fn recordings(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_recording = |path: &PathBuf| {
        path.is_dir() && path.file_name().and_then(|name| name.to_str()).is_some_and(names::is_recording_id)
    };
    Ok(std::fs::read_dir(root)?.flatten().map(|entry| entry.path()).filter(is_recording).collect())
}

/// The log of the recording in the directory.
#[must_use]
pub fn log_of(directory: &Path, settings: &config::LogSettings) -> Log {
    Log::new(settings, &id_of(directory))
}

fn id_of(directory: &Path) -> String {
    directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Code::RecorderInit, format!("{}: {error}", path.display()))
}

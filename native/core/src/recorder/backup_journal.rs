// SPDX-License-Identifier: Apache-2.0
//! The journal of a recording that was concluded in its backup store is put there, too: who has neither the disk nor the
//! process any more can bring everything into the bucket all the same.

use std::path::Path;

use crate::catalog::journal::{self, Journal};
use crate::catalog::ledger::Ledger;
use crate::catalog::record::Record;
use crate::catalog::Catalog;
use crate::config::Document;
use crate::durable::sync_directory;
use crate::error::{Code, Error};
use crate::names;
use crate::recorder::resume;
use crate::recorder::upload::backup_uploader::BackupStore;
use crate::recorder::upload::relocation;
use crate::storage::failure::StoreCause;

/// Where the journal is while nobody has looked at it.
const FETCHED: &str = "fetched";

/// The journal's text with one more fact. A line that is just being written is left out.
pub fn text(directory: &Path, file_prefix: &str, last: &Record) -> std::io::Result<Vec<u8>> {
    let mut text = std::fs::read(directory.join(journal::file(file_prefix)))?;
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    text.extend_from_slice(Journal::line(last)?.as_bytes());
    Ok(text)
}

/// Has the directory hold what the backup store knows of the recording that the document names, if it asks for that and
/// nothing of the recording is here. The journal is in its place only once it has been looked at.
pub async fn restore(document: &Document, directory: &Path, backup: &BackupStore) -> Result<(), Error> {
    let file = journal::file(&document.file_prefix);
    if !document.from_backup || directory.join(&file).exists() {
        return Ok(());
    }
    let Some(stem) = stem(document) else {
        let message = "fromBackup: takes a `recordingId` and a channel with a name";
        return Err(Error::new(Code::InvalidParameter, message));
    };
    let failed = |error: std::io::Error| Error::new(Code::RecorderInit, format!("{}: {error}", directory.display()));
    let (fetched, name) = (directory.join(FETCHED), names::journal(&stem));
    std::fs::create_dir_all(&fetched).map_err(failed)?;
    let got = async { backup.open()?.get_file(&name, None, &fetched.join(&file)).await };
    got.await.map_err(|failure| match failure.cause {
        StoreCause::FileGone => absent(&name),
        _ => backup.error(&failure),
    })?;
    Catalog::open(&fetched, &document.file_prefix)
        .and_then(|catalog| check(&catalog.ledger(), &stem, document, backup))
        .map_err(|error| Error { message: format!("{name} in the backup store: {}", error.message), ..error })?;
    std::fs::rename(fetched.join(&file), directory.join(&file))
        .and_then(|()| std::fs::remove_dir_all(&fetched))
        .and_then(|()| sync_directory(directory))
        .map_err(failed)?;
    tracing::info!("the journal was in the backup store alone, and is restored from there");
    Ok(())
}

/// Recorders of before put no journal there; without it nobody knows what there is to bring home.
fn absent(name: &str) -> Error {
    let message = format!("the backup store: has no journal '{name}', so that what is there stays there");
    Error::new(Code::NoRecordedData, message)
}

fn stem(document: &Document) -> Option<String> {
    let [channel] = document.channels.as_slice() else { return None };
    names::stem(&document.file_prefix, document.recording_id.as_deref()?, channel.name.as_deref()?)
}

/// Whoever may write to the backup store decides by it neither which recording this is nor where its files go.
fn check(ledger: &Ledger, stem: &str, document: &Document, backup: &BackupStore) -> Result<(), Error> {
    let refused = |message: &str| Err(Error::new(Code::InvalidParameter, message.to_owned()));
    let Some(location) = &document.location else {
        return refused("is taken only where the document's `place` says where the files go");
    };
    if ledger.begun().is_none_or(|begun| begun.stem != stem) {
        return refused("is of another recording");
    }
    relocation::moved(ledger, location)?;
    resume::check_backup(ledger, Some(&backup.target))
}

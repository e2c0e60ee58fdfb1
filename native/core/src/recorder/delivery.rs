// SPDX-License-Identifier: Apache-2.0
//! Uploads one recording whose process has died: `cr_rescue` does, and the next start of the same program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::catalog::record::{Begun, Record};
use crate::catalog::{Catalog, CatalogError};
use crate::config::BucketLocation;
use crate::error::Error;
use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::backup_uploader::BackupStore;
use crate::recorder::upload::relocation;
use crate::recorder::upload::slice_store::SliceStore;
use crate::recorder::upload::uploader::{Uploader, UploaderInbox};
use crate::recorder::volume::{VolumeLimits, WorkDirectory};
use crate::recorder::{directory_cleanup, resume};
use crate::storage::credentials::Credentials;
use crate::storage::proxy::ProxyUrl;
use crate::storage::target::Target;

/// With what a recording is delivered whose process has died.
pub struct DeliveryOptions {
    pub credentials: Credentials,
    pub backup: Option<BackupStore>,
    /// Where the certificate authority is may be another place by now.
    pub ca_file: Option<PathBuf>,
    /// So may the proxy be.
    pub proxy_url: Option<ProxyUrl>,
    pub volume_limits: VolumeLimits,
    pub keep_directory: bool,
    /// Where the recording goes instead, if nothing of it is stored yet.
    pub location: Option<BucketLocation>,
}

/// Returns once everything in the catalog is in the bucket, and nothing of it is here any more; or where `hear`, which is
/// told what becomes of it, makes that an end.
pub async fn deliver(
    catalog: &Arc<Catalog>,
    directory: &Path,
    options: &DeliveryOptions,
    hear: impl FnMut(UploadEvent) -> Result<(), Error>,
) -> Result<(), Error> {
    // A process that died before it had said what it records has recorded nothing.
    let Some(begun) = catalog.ledger().begun().cloned() else { return Ok(()) };
    resume::check_backup(&catalog.ledger(), options.backup.as_ref().map(|backup| &backup.target))?;
    stop(catalog, directory)?;
    let target = target(catalog, &begun, options)?;
    let outcome = upload(catalog, target, directory, options, hear).await;
    // What was told after the end is no failure any more.
    if !catalog.ledger().is_concluded() {
        return outcome;
    }
    if !options.keep_directory {
        directory_cleanup::remove_and_log(directory, &begun);
    }
    Ok(())
}

/// Ends the recording where the process that died left it.
fn stop(catalog: &Catalog, directory: &Path) -> Result<(), Error> {
    resume::close_open_slices(catalog, directory)?;
    if !catalog.ledger().is_stopped() {
        let at = catalog.ledger().end_of_slices().unwrap_or_default();
        catalog.write(Record::Stopped { at })?;
    }
    Ok(())
}

/// Where the recording goes. What is in a store stays there, and the rest follows it.
fn target(catalog: &Catalog, begun: &Begun, options: &DeliveryOptions) -> Result<Target, CatalogError> {
    let moved = options.location.as_ref().and_then(|location| relocation::moved(&catalog.ledger(), location).ok());
    let moved = moved.filter(|target| *target != begun.target);
    if let Some(target) = moved.clone() {
        catalog.write(Record::Begun(Box::new(Begun { target, ..begun.clone() })))?;
    }
    let target = moved.unwrap_or_else(|| begun.target.clone());
    Ok(target.reached_by(options.ca_file.clone(), options.proxy_url.clone()))
}

async fn upload(
    catalog: &Arc<Catalog>,
    target: Target,
    directory: &Path,
    options: &DeliveryOptions,
    mut hear: impl FnMut(UploadEvent) -> Result<(), Error>,
) -> Result<(), Error> {
    let (to_upload_events, mut upload_events) = mpsc::unbounded_channel();
    // Nothing is written any more, so nobody wakes; nor is there anybody who would have it moved.
    let inbox = UploaderInbox {
        wake: watch::channel(()).1,
        moves: mpsc::unbounded_channel().1,
        tight: watch::channel(false).1,
    };
    let uploader = Uploader {
        slice_store: SliceStore {
            catalog: Arc::clone(catalog),
            directory: directory.to_owned(),
            volume: WorkDirectory { path: directory.to_owned(), limits: options.volume_limits },
            upload_events: to_upload_events,
        },
        target,
        credentials: options.credentials.clone(),
        backup: options.backup.clone(),
        inbox,
    };
    let first_error = async {
        while let Some(event) = upload_events.recv().await {
            match event {
                UploadEvent::Broken(error) => return Err(error.into()),
                event => hear(event)?,
            }
        }
        Ok(())
    };
    let everything = async {
        Box::pin(uploader.run()).await;
        Ok(())
    };
    tokio::try_join!(everything, first_error).map(drop)
}

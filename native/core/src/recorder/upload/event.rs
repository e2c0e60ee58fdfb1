// SPDX-License-Identifier: Apache-2.0
//! What the uploads tell of themselves: `Machine::upload_event` says what becomes of it.

use crate::error::Error;
use crate::recorder::upload::error::RecordingError;

/// What becomes of the upload; whoever tells it never asks.
#[derive(Debug)]
pub enum UploadEvent {
    /// With the code of the store that refuses.
    Failed(Error),
    /// A file is lost, or cannot be made; the rest goes on without it.
    Lost(Error),
    /// A store took something, or gave it back.
    Answered,
    /// The bucket takes everything that is put, for the first time or again.
    BucketAnswers,
    /// The bucket refuses something, whatever else it takes; told for each cause anew.
    BucketFails {
        cause: &'static str,
        fact: String,
    },
    /// Files go elsewhere from now on.
    Moved,
    BackupRecovered,
    /// Everything is stored, some of it in the backup store only; its playlist has this name.
    BackedUp {
        playlist: String,
    },
    /// Everything is in the bucket; the playlist has this name.
    Concluded {
        playlist: String,
    },
    /// Nothing is uploaded any more in this process.
    Broken(RecordingError),
}

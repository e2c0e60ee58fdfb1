// SPDX-License-Identifier: Apache-2.0
//! Whom an error of delivery may end: the types say it, and none turns into a worse one by itself.
//!
//! - A store's (`StoreError`) ends an attempt, which is made again, and `Mp4UploadError::Never` the MP4 alone.
//! - The recording's (`RecordingError`) ends it in this process: its catalog cannot be written, or our own code failed.
//! - `Error` with its code is what a function of the interface returns, or a callback tells; it ends nothing by itself.
//!
//! ```compile_fail
//! use cloud_recording_core::{recorder::upload::error::RecordingError, storage::failure::StoreError};
//! fn end_for_all(failure: StoreError) -> RecordingError {
//!     failure.into()
//! }
//! ```
//! ```compile_fail
//! use cloud_recording_core::{error::Error, recorder::upload::error::RecordingError};
//! fn end_for_all(error: Error) -> RecordingError {
//!     error.into()
//! }
//! ```

use crate::catalog::CatalogError;
use crate::error::{Code, Error};
use crate::storage::failure::StoreError;

/// Why something was not done.
pub enum UploadError {
    Store(StoreError),
    Recording(RecordingError),
}

/// What ends a recording in this process; what is stored by then stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingError(Error);

impl RecordingError {
    /// A task of ours failed in a way it should not have.
    pub(super) fn panicked(error: &tokio::task::JoinError) -> Self {
        Self(Error::new(Code::GeneralError, error.to_string()))
    }
}

impl From<CatalogError> for RecordingError {
    fn from(error: CatalogError) -> Self {
        Self(error.into())
    }
}

impl From<RecordingError> for Error {
    fn from(error: RecordingError) -> Self {
        error.0
    }
}

impl From<StoreError> for UploadError {
    fn from(failure: StoreError) -> Self {
        Self::Store(failure)
    }
}

impl From<CatalogError> for UploadError {
    fn from(error: CatalogError) -> Self {
        Self::Recording(error.into())
    }
}

impl From<RecordingError> for UploadError {
    fn from(error: RecordingError) -> Self {
        Self::Recording(error)
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Who pays for a failure: errors are of three families, and none turns into another by itself.
//!
//! - A participant's: `source::SourceFailure` ends one connection, `intake::TrackFailure` one track of it,
//!   `canvas::Unpaintable` one picture. None of them can be made into a `Fatal`.
//! - The canvas' own: `canvas::SceneError`, which leaves a picture out.
//! - The recording's: `Fatal`, made of what the encoders, the multiplexer of our own packets, the work volume, the
//!   catalog and the system say, and of our own panics; of nothing else.
//!
//! What libav answers (`AvError`) is of no family until the module that asked has said which.
//!
//! ```compile_fail
//! use cloud_recording_core::capture::{fault::Fatal, SourceFailure};
//! fn end_for_all(failure: SourceFailure) -> Fatal {
//!     failure.into()
//! }
//! ```
//! ```compile_fail
//! use cloud_recording_core::capture::{av::AvError, fault::Fatal};
//! fn end_for_all(error: AvError) -> Fatal {
//!     error.into()
//! }
//! ```

use std::fmt;
use std::io;
use std::path::Path;

use super::av::AvError;
use super::encode::EncodeError;
use super::mux::MuxError;
use crate::error::{Code, Error};
use crate::panics::Panic;

/// What ends a recording: nobody could be recorded any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(Error);

impl Fatal {
    /// The encoders could not be had.
    pub(super) fn no_encoders(error: EncodeError) -> Self {
        Self(Error::new(Code::RecorderInit, format!("the encoders could not be opened: {error}")))
    }

    /// The multiplexer could not be had.
    pub(super) fn no_muxer(error: &MuxError) -> Self {
        Self(Error::new(Code::RecorderInit, format!("a transport stream could not be begun: {error}")))
    }

    /// The multiplexer does not take what our own encoders made.
    pub(super) fn unmuxed(error: AvError) -> Self {
        Self(Error::new(Code::RecorderFailed, format!("the slice could not be multiplexed: {error}")))
    }

    pub(super) fn disk(path: &Path, error: &io::Error) -> Self {
        let message = format!("the work volume cannot be written at {}: {error}", path.display());
        Self(Error::new(Code::RecorderFailed, message))
    }

    /// What was recorded cannot be put into the catalog.
    pub(super) fn catalog(error: Error) -> Self {
        Self(error)
    }

    pub(super) fn no_thread(error: &io::Error) -> Self {
        Self(Error::new(Code::RecorderInit, format!("the system gives no thread for capture: {error}")))
    }

    /// A thread that all participants share failed in a way it should not have.
    pub(super) fn panicked(panic: &Panic) -> Self {
        Self(Error::new(Code::GeneralError, format!("an internal error ended the capture: {panic}")))
    }

    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0
    }
}

impl From<EncodeError> for Fatal {
    fn from(error: EncodeError) -> Self {
        Self(Error::new(Code::RecorderFailed, format!("encoding failed: {error}")))
    }
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        fatal.0
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fatal {}

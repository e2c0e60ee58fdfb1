// SPDX-License-Identifier: Apache-2.0
//! What a function of the interface returns, or a callback tells: one of the SDK's `RecordingErrorCode`s, and why.

use std::fmt;

/// `RecordingErrorCode` of the published interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Code {
    ConnectError = 430,
    Disconnected = 431,
    InvalidParameter = 432,
    InvalidOperation = 433,
    NoUsers = 434,
    NoRecordedData = 435,
    RecorderInit = 436,
    RecorderFailed = 437,
    UploaderInit = 438,
    UploaderFailed = 439,
    BackupFailed = 440,
    RecorderExit = 441,
    GeneralError = 442,
}

/// What went wrong, in words a person can act on; never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

impl Error {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A panic, which its hook has reported.
    #[must_use]
    pub fn unexpected() -> Self {
        Self::new(Code::GeneralError, "the recorder failed in a way it should not have; please report it")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

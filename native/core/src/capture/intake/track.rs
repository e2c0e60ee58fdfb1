// SPDX-License-Identifier: Apache-2.0
//! Why one track of a participant is not recorded, while the other may well be.

use std::fmt;

use crate::capture::av::resample::ResampleError;
use crate::capture::av::scale::ScaleError;
use crate::capture::av::AvError;
use crate::capture::canvas::Unpaintable;
use crate::capture::room::Undecrypted;
use crate::causes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackFailure {
    /// Nothing decodes this codec here, or the decoder does not open.
    NoDecoder(String, AvError),
    /// Its packets are nothing but errors.
    Undecodable(AvError),
    /// Pictures of this width and height.
    Size(u32, u32),
    Scale(ScaleError),
    Unpaintable(Unpaintable),
    Resample(ResampleError),
    /// From its sender on, end to end.
    Encrypted(Undecrypted),
}

impl fmt::Display for TrackFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDecoder(codec, AvError::NO_DECODER) => write!(f, "{codec} is not decoded by this recorder"),
            Self::NoDecoder(codec, error) => write!(f, "the decoder for {codec} does not open: {error}"),
            Self::Undecodable(error) => write!(f, "it cannot be decoded: {error}"),
            Self::Size(width, height) => write!(f, "a picture of {width}x{height} is too small to be shown"),
            Self::Scale(error) => error.fmt(f),
            Self::Unpaintable(error) => error.fmt(f),
            Self::Resample(error) => error.fmt(f),
            Self::Encrypted(why) => why.fmt(f),
        }
    }
}

impl TrackFailure {
    /// In one word for programs, where somebody can do something about it.
    pub fn cause(&self) -> Option<&'static str> {
        matches!(self, Self::Encrypted(_)).then_some(causes::DECRYPTION_FAILED)
    }
}

impl From<ScaleError> for TrackFailure {
    fn from(error: ScaleError) -> Self {
        Self::Scale(error)
    }
}

impl From<ResampleError> for TrackFailure {
    fn from(error: ResampleError) -> Self {
        Self::Resample(error)
    }
}

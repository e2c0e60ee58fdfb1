// SPDX-License-Identifier: Apache-2.0
//! Keeps a participant's samples in one unbroken line that follows their timestamps.

use ffmpeg_sys_next as ffi;

use crate::capture::av::frame::Frame;
use crate::capture::av::resample::{ResampleError, Resampler};
use crate::capture::av::AvError;
use crate::capture::clock::Nanos;
use crate::capture::feed::{sample_at, time_of_sample, Feed, SAMPLE_RATE};

/// Samples further than this (40 ms) from where they should be are put there at once; less is approached gently.
const RESYNC: i64 = SAMPLE_RATE / 25;

/// Less than this (10 ms) is the timestamps' own coarseness.
const TOLERANCE: i64 = SAMPLE_RATE / 100;

/// Gentle means that one sample in so many is added or left out.
const STRETCH: i64 = 200;

pub struct SamplePipeline {
    channels: usize,
    resampler: Option<Resampler>,
    next: Option<i64>,
    stretching: bool,
    planes: Vec<Vec<f32>>,
    silenced: bool,
}

impl SamplePipeline {
    pub fn new(channels: usize) -> Self {
        let planes = vec![Vec::new(); channels];
        Self { channels, resampler: None, next: None, stretching: false, planes, silenced: false }
    }

    /// Puts samples into the feed; returns when the first of them is due.
    pub fn put(&mut self, frame: &Frame, stamped: Option<Nanos>, feed: &Feed) -> Result<Nanos, ResampleError> {
        let rate = u32::try_from(SAMPLE_RATE).unwrap_or(48_000);
        let mut resampler = match self.resampler.take().filter(|resampler| resampler.takes(frame)) {
            Some(resampler) => resampler,
            None => Resampler::new(frame, rate, self.channels)?,
        };
        let (wanted, at) = match (stamped, self.next) {
            // Whoever tells no time tells nothing of an error either: what is being corrected goes on.
            (None, Some(next)) => (next, next),
            (None, None) => return Err(AvError(ffi::AVERROR_INVALIDDATA).into()),
            (Some(stamped), _) => {
                let wanted = sample_at(stamped) - resampler.delay();
                (wanted, self.place(wanted, &mut resampler)?)
            }
        };
        self.planes.iter_mut().for_each(Vec::clear);
        let count = resampler.convert(frame, &mut self.planes)?;
        self.resampler = Some(resampler);
        self.silenced |= feed.push_samples(at, &mut self.planes);
        self.next = Some(at + i64::try_from(count).unwrap_or(0));
        Ok(time_of_sample(wanted))
    }

    /// Whether samples had to be silenced since this was asked last.
    pub fn take_silenced(&mut self) -> bool {
        std::mem::take(&mut self.silenced)
    }

    /// Where the next samples go: behind the last ones, unless that is too far from where they should be.
    fn place(&mut self, wanted: i64, resampler: &mut Resampler) -> Result<i64, ResampleError> {
        let Some(next) = self.next else { return Ok(wanted) };
        let error = wanted - next;
        if error.abs() > RESYNC {
            if std::mem::take(&mut self.stretching) {
                resampler.stretch(0, 0)?;
            }
            return Ok(wanted);
        }
        if error.abs() > TOLERANCE || self.stretching && error.abs() > TOLERANCE / 4 {
            let delta = i32::try_from(error).unwrap_or(0);
            resampler.stretch(delta, i32::try_from(error.abs() * STRETCH).unwrap_or(i32::MAX))?;
            self.stretching = true;
        } else if std::mem::take(&mut self.stretching) {
            resampler.stretch(0, 0)?;
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod drift_tests;

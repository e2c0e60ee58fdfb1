// SPDX-License-Identifier: Apache-2.0
//! Samples of any rate, format and number of channels into planar 32 bit float at the output's rate.

use std::ffi::c_int;
use std::fmt;
use std::ptr::{self, NonNull};

use ffmpeg_next::ffi;

use super::frame::Frame;
use super::AvError;

/// Layouts beyond this, or rates outside the range, come only from broken or hostile streams.
const MOST_CHANNELS: c_int = 16;
const RATES: std::ops::RangeInclusive<c_int> = 4_000..=192_000;

/// Why a participant's samples cannot be brought into the form of the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResampleError {
    Channels(c_int),
    Rate(c_int),
    Failed(AvError),
}

impl fmt::Display for ResampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channels(count) => write!(f, "{count} channels, where 1 to {MOST_CHANNELS} are taken"),
            Self::Rate(rate) => {
                write!(f, "{rate} samples a second, where {} to {} are taken", RATES.start(), RATES.end())
            }
            Self::Failed(error) => write!(f, "it could not be resampled: {error}"),
        }
    }
}

impl From<AvError> for ResampleError {
    fn from(error: AvError) -> Self {
        Self::Failed(error)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: c_int,
    rate: c_int,
    channels: c_int,
}

/// Converts, and stretches by a hair when asked, so that a drifting source can be followed without clicks.
pub struct Resampler {
    context: NonNull<ffi::SwrContext>,
    shape: Shape,
    channels: usize,
    rate: u32,
}

// SAFETY: a resampling context may be used from any one thread at a time.
unsafe impl Send for Resampler {}

impl Resampler {
    /// A resampler for frames like `like`.
    pub fn new(like: &Frame, rate: u32, channels: usize) -> Result<Self, ResampleError> {
        let shape = Shape::of(like)?;
        let mut raw: *mut ffi::SwrContext = ptr::null_mut();
        // SAFETY: zeroed layouts are valid to initialise by av_channel_layout_default; the input layout is the frame's
        // own unless it names none; the context is owned by `resampler` before it can fail.
        unsafe {
            let mut output: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&raw mut output, c_int::try_from(channels).unwrap_or(1));
            let mut input: ffi::AVChannelLayout = std::mem::zeroed();
            if like.raw().ch_layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
                ffi::av_channel_layout_default(&raw mut input, shape.channels);
            } else {
                AvError::check(ffi::av_channel_layout_copy(&raw mut input, &raw const like.raw().ch_layout))?;
            }
            let made = ffi::swr_alloc_set_opts2(
                &raw mut raw,
                &raw mut output,
                ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP,
                c_int::try_from(rate).unwrap_or(0),
                &raw mut input,
                std::mem::transmute::<c_int, ffi::AVSampleFormat>(shape.format),
                shape.rate,
                0,
                ptr::null_mut(),
            );
            ffi::av_channel_layout_uninit(&raw mut input);
            AvError::check(made)?;
            let context = NonNull::new(raw).ok_or(AvError::OUT_OF_MEMORY)?;
            let resampler = Self { context, shape, channels, rate };
            if let Some(matrix) = matrix(shape.channels, channels) {
                let stride = c_int::from(shape.channels == 2) + 1;
                AvError::check(ffi::swr_set_matrix(context.as_ptr(), matrix.as_ptr(), stride))?;
            }
            AvError::check(ffi::swr_init(context.as_ptr()))?;
            Ok(resampler)
        }
    }

    /// Whether `frame` is of the kind this resampler was made for.
    pub fn takes(&self, frame: &Frame) -> bool {
        Shape::of(frame).is_ok_and(|shape| shape == self.shape)
    }

    /// Input that is inside and not yet out, in samples of the output.
    pub fn delay(&self) -> i64 {
        // SAFETY: the context is initialised.
        unsafe { ffi::swr_get_delay(self.context.as_ptr(), i64::from(self.rate)) }
    }

    /// From now on adds `delta` samples (or takes them away) over the next `distance` samples of output.
    pub fn stretch(&mut self, delta: i32, distance: i32) -> Result<(), ResampleError> {
        // SAFETY: the context is initialised.
        AvError::check(unsafe { ffi::swr_set_compensation(self.context.as_ptr(), delta, distance) })?;
        Ok(())
    }

    /// Converts one frame, appending to one vector per channel; returns how many samples each got.
    pub fn convert(&mut self, frame: &Frame, output: &mut [Vec<f32>]) -> Result<usize, ResampleError> {
        let raw = frame.raw();
        // SAFETY: the context is initialised.
        let room = AvError::check(unsafe { ffi::swr_get_out_samples(self.context.as_ptr(), raw.nb_samples) })?;
        let room_samples = usize::try_from(room).unwrap_or(0);
        let before = output[0].len();
        let mut planes = [ptr::null_mut::<u8>(); 2];
        for (plane, samples) in planes.iter_mut().zip(output.iter_mut()) {
            samples.resize(before + room_samples, 0.0);
            *plane = samples[before..].as_mut_ptr().cast();
        }
        debug_assert!(output.len() == self.channels && self.channels <= planes.len());
        // SAFETY: each output plane has room for `room` floats; the input is the frame's own data, of the shape the
        // context was made for (the caller asked `takes`).
        let written = unsafe {
            ffi::swr_convert(self.context.as_ptr(), planes.as_mut_ptr(), room, raw.extended_data.cast(), raw.nb_samples)
        };
        let written = AvError::check(written).map(|count| usize::try_from(count).unwrap_or(0));
        let kept = before + written.unwrap_or(0);
        for samples in output {
            samples.truncate(kept);
        }
        Ok(written?)
    }
}

/// How much of each input channel goes into each output channel, row by row, where it is not left to libswresample.
///
/// Its own matrices keep the power: what is in both channels would come out 3 dB louder in one, and peaks would be cut;
/// what is in one would come out 3 dB softer in both. People who speak in the middle keep their loudness here.
fn matrix(from: c_int, into: usize) -> Option<[f64; 2]> {
    match (from, into) {
        (1, 2) => Some([1.0, 1.0]),
        (2, 1) => Some([0.5, 0.5]),
        _ => None,
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards.
        unsafe { ffi::swr_free(&raw mut context) };
    }
}

impl Shape {
    fn of(frame: &Frame) -> Result<Self, ResampleError> {
        let raw = frame.raw();
        let shape = Self { format: raw.format, rate: raw.sample_rate, channels: raw.ch_layout.nb_channels };
        if !RATES.contains(&shape.rate) {
            return Err(ResampleError::Rate(shape.rate));
        }
        if !(1..=MOST_CHANNELS).contains(&shape.channels) {
            return Err(ResampleError::Channels(shape.channels));
        }
        Ok(shape)
    }
}

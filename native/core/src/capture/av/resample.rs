// SPDX-License-Identifier: Apache-2.0
//! Samples of any rate, format and number of channels into planar 32 bit float at the output's rate.

use std::ffi::c_int;
use std::fmt;
use std::ptr::{self, NonNull};

use ffmpeg_sys_next as ffi;

use super::frame::Frame;
use super::{log_offset, AvError};

/// Layouts beyond this, or rates outside the range, come only from broken or hostile streams.
const MOST_CHANNELS: usize = 16;
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
struct SampleShape {
    format: c_int,
    rate: c_int,
    count: usize,
    /// What each channel is; those beyond `count` are nothing.
    channels: [c_int; MOST_CHANNELS],
}

/// Converts, and stretches by a hair when asked, so that a drifting source can be followed without clicks.
pub struct Resampler {
    context: NonNull<ffi::SwrContext>,
    shape: SampleShape,
    channels: usize,
    rate: u32,
}

// SAFETY: a resampling context may be used from any one thread at a time.
unsafe impl Send for Resampler {}

impl Resampler {
    /// A resampler for frames like `like`.
    pub fn new(like: &Frame, rate: u32, channels: usize) -> Result<Self, ResampleError> {
        let shape = SampleShape::of(like)?;
        let mut raw: *mut ffi::SwrContext = ptr::null_mut();
        // SAFETY: zeroed layouts are valid to initialise by av_channel_layout_default; the input layout is the frame's
        // own unless it names none; the context is owned by `resampler` before it can fail.
        unsafe {
            let mut output: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&raw mut output, c_int::try_from(channels).unwrap_or(1));
            let mut input: ffi::AVChannelLayout = std::mem::zeroed();
            if like.raw().ch_layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
                ffi::av_channel_layout_default(&raw mut input, like.raw().ch_layout.nb_channels);
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
                log_offset(),
                ptr::null_mut(),
            );
            ffi::av_channel_layout_uninit(&raw mut input);
            AvError::check(made)?;
            let context = NonNull::new(raw).ok_or(AvError::OUT_OF_MEMORY)?;
            let resampler = Self { context, shape, channels, rate };
            if let Some(matrix) = matrix(&shape.channels[..shape.count], channels) {
                let stride = c_int::try_from(shape.count).unwrap_or(0);
                AvError::check(ffi::swr_set_matrix(context.as_ptr(), matrix.as_ptr(), stride))?;
            }
            AvError::check(ffi::swr_init(context.as_ptr()))?;
            Ok(resampler)
        }
    }

    /// Whether `frame` is of the kind this resampler was made for.
    pub fn takes(&self, frame: &Frame) -> bool {
        SampleShape::of(frame).is_ok_and(|shape| shape == self.shape)
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

/// How much of each input channel goes into each output channel, row by row, where that is not simply one to one.
///
/// libswresample's own matrices keep the power: what is in both channels would come out 3 dB louder in one, and peaks
/// would be cut; what is in one would come out 3 dB softer in both. People who speak in the middle keep their loudness
/// here. Surround sound is mixed by ITU-R BS.775, turned down so far that all channels at full scale are just full scale.
fn matrix(from: &[c_int], into: usize) -> Option<Vec<f64>> {
    match (from.len(), into) {
        (1, 1) | (2, 2) => return None,
        (1, _) => return Some(vec![1.0; into]),
        (2, 1) => return Some(vec![0.5, 0.5]),
        _ => {}
    }
    let sides: Vec<[f64; 2]> = from.iter().map(|channel| sides(*channel)).collect();
    let rows: Vec<Vec<f64>> = if into == 1 {
        vec![sides.iter().map(|[left, right]| (left + right) / 2.0).collect()]
    } else {
        (0..2).map(|side| sides.iter().map(|both| both[side]).collect()).collect()
    };
    let loudest = rows.iter().map(|row| row.iter().sum::<f64>()).fold(1.0, f64::max);
    Some(rows.concat().into_iter().map(|share| share / loudest).collect())
}

/// How much of a channel of surround sound goes to the left and to the right.
fn sides(channel: c_int) -> [f64; 2] {
    #[allow(clippy::enum_glob_use)] // a table of its values
    use ffi::AVChannel::*;
    use std::f64::consts::FRAC_1_SQRT_2 as LESS;
    let is = |known: &[ffi::AVChannel]| known.iter().any(|known| *known as c_int == channel);
    if is(&[AV_CHAN_FRONT_LEFT, AV_CHAN_FRONT_LEFT_OF_CENTER, AV_CHAN_STEREO_LEFT, AV_CHAN_WIDE_LEFT]) {
        [1.0, 0.0]
    } else if is(&[AV_CHAN_FRONT_RIGHT, AV_CHAN_FRONT_RIGHT_OF_CENTER, AV_CHAN_STEREO_RIGHT, AV_CHAN_WIDE_RIGHT]) {
        [0.0, 1.0]
    } else if is(&[AV_CHAN_BACK_LEFT, AV_CHAN_SIDE_LEFT, AV_CHAN_TOP_FRONT_LEFT, AV_CHAN_TOP_BACK_LEFT]) {
        [LESS, 0.0]
    } else if is(&[AV_CHAN_BACK_RIGHT, AV_CHAN_SIDE_RIGHT, AV_CHAN_TOP_FRONT_RIGHT, AV_CHAN_TOP_BACK_RIGHT]) {
        [0.0, LESS]
    } else if is(&[AV_CHAN_FRONT_CENTER]) {
        [LESS, LESS]
    } else if is(&[AV_CHAN_LOW_FREQUENCY, AV_CHAN_LOW_FREQUENCY_2]) {
        // Effects that most loudspeakers of two do not play.
        [0.0, 0.0]
    } else {
        // The middle of the back or above, and what has no name.
        [0.5, 0.5]
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards.
        unsafe { ffi::swr_free(&raw mut context) };
    }
}

impl SampleShape {
    fn of(frame: &Frame) -> Result<Self, ResampleError> {
        let raw = frame.raw();
        if !RATES.contains(&raw.sample_rate) {
            return Err(ResampleError::Rate(raw.sample_rate));
        }
        let layout = &raw.ch_layout;
        let count = usize::try_from(layout.nb_channels).unwrap_or(0);
        if !(1..=MOST_CHANNELS).contains(&count) {
            return Err(ResampleError::Channels(layout.nb_channels));
        }
        Ok(Self { format: raw.format, rate: raw.sample_rate, count, channels: channels(layout, count) })
    }
}

/// What each channel is; of a layout that does not tell, what it usually is.
fn channels(layout: &ffi::AVChannelLayout, count: usize) -> [c_int; MOST_CHANNELS] {
    let mut channels = [ffi::AVChannel::AV_CHAN_NONE as c_int; MOST_CHANNELS];
    // SAFETY: zeroed layouts are valid to initialise, and the usual ones own nothing; the frame's own layout is valid, and
    // every index is below its number of channels.
    unsafe {
        let mut usual: ffi::AVChannelLayout = std::mem::zeroed();
        ffi::av_channel_layout_default(&raw mut usual, layout.nb_channels);
        let told = layout.order != ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC;
        let layout = if told { std::ptr::from_ref(layout) } else { &raw const usual };
        for (channel, index) in channels[..count].iter_mut().zip(0..) {
            *channel = ffi::av_channel_layout_channel_from_index(layout, index) as c_int;
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix for the usual layout of so many channels.
    fn of(count: usize, into: usize) -> Vec<f64> {
        // SAFETY: a zeroed layout is valid to initialise, and a usual one owns nothing.
        let layout = unsafe {
            let mut layout: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&raw mut layout, c_int::try_from(count).unwrap());
            layout
        };
        matrix(&channels(&layout, count)[..count], into).expect("a matrix")
    }

    fn are(found: &[f64], expected: &[f64]) {
        let alike = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(alike, "{found:?} is not {expected:?}");
    }

    #[test]
    fn surround_sound_is_mixed_as_bs_775_says_and_never_above_full_scale() {
        // Left, right, centre, low frequencies, left and right behind: one, 0.7071 and 0.7071, over their sum of 2.414.
        are(&of(6, 2), &[0.414, 0.0, 0.293, 0.0, 0.293, 0.0, 0.0, 0.414, 0.293, 0.0, 0.0, 0.293]);
        are(&of(6, 1), &[0.207, 0.207, 0.293, 0.0, 0.146, 0.146]);
        for count in 1..=8 {
            for into in [1, 2] {
                let Some(matrix) = (count != into).then(|| of(count, into)) else { continue };
                for row in matrix.chunks(count) {
                    let sum: f64 = row.iter().sum();
                    assert!(sum <= 1.0 + 1e-9, "{count} channels into {into} at full scale: {sum}");
                    assert!(sum > 0.7, "{count} channels into {into} are no softer than they have to be: {sum}");
                }
            }
        }
    }

    #[test]
    fn channels_without_a_name_are_heard_in_the_middle() {
        let nameless = [ffi::AVChannel::AV_CHAN_UNKNOWN as c_int; 4];
        are(&matrix(&nameless, 2).expect("a matrix"), &[0.25; 8]);
    }
}

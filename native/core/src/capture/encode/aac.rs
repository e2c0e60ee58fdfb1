// SPDX-License-Identifier: Apache-2.0
//! AAC by libavcodec's own encoder, in the published audio profiles.

use std::ffi::c_int;

use ffmpeg_sys_next as ffi;

use super::{int, AudioEncoder, EncodeError, EncoderContext};
use crate::capture::api::AudioProfile;
use crate::capture::av::frame::{Frame, Packet};
use crate::capture::av::AvError;
use crate::capture::feed::SAMPLE_RATE;

pub struct Aac {
    context: EncoderContext,
    block: usize,
    pending: Vec<Vec<f32>>,
    count: i64,
}

/// Channels of a profile.
pub fn channels(profile: AudioProfile) -> usize {
    match profile {
        AudioProfile::MusicStandard | AudioProfile::MusicHighQuality => 1,
        AudioProfile::MusicHighQualityStereo => 2,
    }
}

fn bits_per_second(profile: AudioProfile) -> i64 {
    match profile {
        AudioProfile::MusicStandard => 48_000,
        AudioProfile::MusicHighQuality => 128_000,
        AudioProfile::MusicHighQualityStereo => 192_000,
    }
}

/// How the encoder looks for scale factors. At the bit rate of speech the quick search keeps more of voices, music and tones
/// in half of the time; at higher ones it makes loud pure tones a third quieter (docs/benchmarks.md).
fn search(profile: AudioProfile) -> &'static str {
    match profile {
        AudioProfile::MusicStandard => "fast",
        AudioProfile::MusicHighQuality | AudioProfile::MusicHighQualityStereo => "twoloop",
    }
}

impl Aac {
    pub fn open(profile: AudioProfile) -> Result<Self, EncodeError> {
        let channels = channels(profile);
        let context = EncoderContext::open("aac", &[("aac_coder", search(profile))], |context| {
            context.sample_rate = int(SAMPLE_RATE);
            context.sample_fmt = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP;
            context.bit_rate = bits_per_second(profile);
            context.time_base = ffi::AVRational { num: 1, den: int(SAMPLE_RATE) };
            // SAFETY: the layout is a field of the context, zeroed by its allocation.
            unsafe { ffi::av_channel_layout_default(&raw mut context.ch_layout, int(channels)) };
        });
        let context = context.map_err(EncodeError)?;
        // SAFETY: the context is open.
        let block = usize::try_from(unsafe { (*context.as_ptr()).frame_size }).unwrap_or(1024);
        Ok(Self { context, block, pending: vec![Vec::new(); channels], count: 0 })
    }

    /// Encodes the first `length` pending samples.
    fn submit(&mut self, length: usize) -> Result<(), AvError> {
        let mut frame = Frame::empty()?;
        let raw = frame.raw_mut();
        raw.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP as c_int;
        raw.sample_rate = int(SAMPLE_RATE);
        raw.nb_samples = int(length);
        raw.pts = self.count;
        // SAFETY: the layout is a field of the new frame; the buffers fit the fields set above, one plane of `length`
        // floats per channel, and the pending samples are at least as many.
        unsafe {
            ffi::av_channel_layout_default(&raw mut raw.ch_layout, int(self.pending.len()));
            AvError::check(ffi::av_frame_get_buffer(raw, 0))?;
            for (plane, pending) in raw.data.iter().zip(&self.pending) {
                std::ptr::copy_nonoverlapping(pending.as_ptr(), plane.cast::<f32>(), length);
            }
        }
        self.pending.iter_mut().for_each(|samples| drop(samples.drain(..length)));
        self.count += i64::try_from(length).unwrap_or(0);
        self.context.send(Some(&frame))
    }
}

impl AudioEncoder for Aac {
    fn encode(&mut self, planes: &[Vec<f32>]) -> Result<Vec<Packet>, EncodeError> {
        for (pending, plane) in self.pending.iter_mut().zip(planes) {
            pending.extend_from_slice(plane);
        }
        let mut packets = Vec::new();
        while self.pending[0].len() >= self.block {
            self.submit(self.block).map_err(EncodeError)?;
            packets.extend(self.context.receive_all().map_err(EncodeError)?);
        }
        Ok(packets)
    }

    fn finish(&mut self) -> Result<Vec<Packet>, EncodeError> {
        let rest = self.pending[0].len();
        if rest > 0 {
            self.submit(rest).map_err(EncodeError)?;
        }
        self.context.send(None).and_then(|()| self.context.receive_all()).map_err(EncodeError)
    }

    fn parameters(&self) -> &EncoderContext {
        &self.context
    }
}

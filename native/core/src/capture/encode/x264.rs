// SPDX-License-Identifier: Apache-2.0
//! H.264 by x264, set up for slices of exact length at a steady bit rate.

use ffmpeg_sys_next as ffi;

use super::{int, EncodeError, EncoderContext, VideoEncoder};
use crate::capture::api::CanvasConfig;
use crate::capture::av::colour::Colour;
use crate::capture::av::frame::{Frame, Packet};
use crate::capture::av::AvError;

/// Pictures between two key frames, in seconds: where a player may enter a slice.
const KEY_INTERVAL_SECONDS: u32 = 5;

pub struct X264 {
    context: EncoderContext,
    count: i64,
}

impl X264 {
    /// `zerolatency` gives one packet per picture; no scene cuts, as they would move the key frames that slices are cut
    /// at; one thread, as a machine records many channels at once; VBV with a buffer of one second holds the rate.
    pub fn open(canvas: CanvasConfig) -> Result<Self, EncodeError> {
        let options = [("preset", "superfast"), ("tune", "zerolatency"), ("sc_threshold", "0"), ("forced-idr", "1")];
        let rate = i64::from(canvas.bitrate_kbps) * 1000;
        let context = EncoderContext::open("libx264", &options, |context| {
            context.width = int(canvas.width);
            context.height = int(canvas.height);
            context.pix_fmt = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P;
            context.time_base = ffi::AVRational { num: 1, den: int(canvas.frames_per_second) };
            context.framerate = ffi::AVRational { num: int(canvas.frames_per_second), den: 1 };
            context.sample_aspect_ratio = ffi::AVRational { num: 1, den: 1 };
            let colour = Colour::of_recording(canvas.width, canvas.height);
            (context.color_primaries, context.color_trc, context.colorspace, context.color_range) = colour.stated();
            context.gop_size = int(canvas.frames_per_second * KEY_INTERVAL_SECONDS);
            context.bit_rate = rate;
            context.rc_max_rate = rate;
            context.rc_buffer_size = int(rate);
            context.thread_count = 1;
        });
        Ok(Self { context: context.map_err(EncodeError)?, count: 0 })
    }

    fn packet(&mut self, picture: &Frame, key: bool) -> Result<Packet, AvError> {
        // A reference of our own, so that the fields below are not written into a frame that others read.
        let mut picture = picture.share()?;
        let raw = picture.raw_mut();
        raw.pict_type =
            if key { ffi::AVPictureType::AV_PICTURE_TYPE_I } else { ffi::AVPictureType::AV_PICTURE_TYPE_NONE };
        raw.sample_aspect_ratio = ffi::AVRational { num: 1, den: 1 };
        // Pictures are counted, not timed: a dropped one must not upset the rate control.
        raw.pts = self.count;
        self.count += 1;
        self.context.send(Some(&picture))?;
        self.context.receive()?.ok_or(AvError(ffi::AVERROR_BUG))
    }
}

impl VideoEncoder for X264 {
    fn encode(&mut self, picture: &Frame, key: bool) -> Result<Packet, EncodeError> {
        self.packet(picture, key).map_err(EncodeError)
    }

    fn parameters(&self) -> &EncoderContext {
        &self.context
    }
}

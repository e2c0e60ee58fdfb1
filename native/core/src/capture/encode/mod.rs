// SPDX-License-Identifier: Apache-2.0
//! Encoders behind small traits, so that another H.264 or AAC implementation can take their place.

pub mod aac;
pub mod x264;

use std::ffi::c_int;
use std::fmt;
use std::ptr::NonNull;

use ffmpeg_sys_next as ffi;

use super::av::frame::{Frame, Packet};
use super::av::{c_string, log_offset, AvError, Options};

/// An encoder failed, which it does for all participants at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeError(AvError);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Encodes one picture after another, each to exactly one packet: no reordering, no look-ahead.
pub trait VideoEncoder: Send {
    /// `key` makes it a picture at which a slice can begin.
    fn encode(&mut self, picture: &Frame, key: bool) -> Result<Packet, EncodeError>;

    /// What a muxer has to know.
    fn parameters(&self) -> &EncoderContext;
}

/// Encodes samples that follow each other without a hole.
pub trait AudioEncoder: Send {
    /// Takes samples (one vector per channel), gives the packets that are complete. A packet's time stamp counts the
    /// samples since the encoder began.
    fn encode(&mut self, planes: &[Vec<f32>]) -> Result<Vec<Packet>, EncodeError>;

    /// Gives what is still inside; the encoder is of no use afterwards.
    fn finish(&mut self) -> Result<Vec<Packet>, EncodeError>;

    /// What a muxer has to know.
    fn parameters(&self) -> &EncoderContext;
}

/// An open encoder of libavcodec.
pub struct EncoderContext(NonNull<ffi::AVCodecContext>);

// SAFETY: a codec context may be used from any one thread at a time.
unsafe impl Send for EncoderContext {}

impl EncoderContext {
    /// Opens the encoder called `name`; `configure` sets the fields before.
    fn open(
        name: &str,
        options: &[(&str, &str)],
        configure: impl FnOnce(&mut ffi::AVCodecContext),
    ) -> Result<Self, AvError> {
        let name = c_string(name)?;
        let mut options = Options::new(options)?;
        // SAFETY: the codec is checked for null; the context is owned by `encoder` from its first moment on.
        unsafe {
            let codec = ffi::avcodec_find_encoder_by_name(name.as_ptr());
            if codec.is_null() {
                return Err(AvError(ffi::AVERROR_ENCODER_NOT_FOUND));
            }
            let context = NonNull::new(ffi::avcodec_alloc_context3(codec)).ok_or(AvError::OUT_OF_MEMORY)?;
            let mut encoder = Self(context);
            (*context.as_ptr()).log_level_offset = log_offset();
            configure(encoder.0.as_mut());
            AvError::check(ffi::avcodec_open2(context.as_ptr(), codec, options.as_mut_ptr()))?;
            Ok(encoder)
        }
    }

    pub fn as_ptr(&self) -> *const ffi::AVCodecContext {
        self.0.as_ptr()
    }

    /// Feeds a frame; `None` ends the stream.
    fn send(&mut self, frame: Option<&Frame>) -> Result<(), AvError> {
        let frame: *const ffi::AVFrame = frame.map_or(std::ptr::null(), |frame| std::ptr::from_ref(frame.raw()));
        // SAFETY: the context is open, the frame valid or null.
        AvError::check(unsafe { ffi::avcodec_send_frame(self.0.as_ptr(), frame) }).map(drop)
    }

    /// The next packet, or `None` when the encoder wants more input or has ended.
    fn receive(&mut self) -> Result<Option<Packet>, AvError> {
        let mut packet = Packet::empty()?;
        // SAFETY: the context is open and the packet valid.
        match AvError::check(unsafe { ffi::avcodec_receive_packet(self.0.as_ptr(), packet.as_mut_ptr()) }) {
            Ok(_) => Ok(Some(packet)),
            Err(AvError::AGAIN | AvError::END_OF_FILE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn receive_all(&mut self) -> Result<Vec<Packet>, AvError> {
        std::iter::from_fn(|| self.receive().transpose()).collect()
    }
}

impl Drop for EncoderContext {
    fn drop(&mut self) {
        let mut context = self.0.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards.
        unsafe { ffi::avcodec_free_context(&raw mut context) };
    }
}

fn int(value: impl TryInto<c_int>) -> c_int {
    value.try_into().unwrap_or(c_int::MAX)
}

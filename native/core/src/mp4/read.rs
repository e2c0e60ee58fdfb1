// SPDX-License-Identifier: Apache-2.0
//! A slice, read back packet by packet.

use std::path::Path;
use std::ptr::{self, NonNull};

use ffmpeg_sys_next as ffi;

use crate::capture::av::frame::Packet;
use crate::capture::av::parameters::{extradata, Parameters};
use crate::capture::av::turn::Turn;
use crate::capture::av::{c_string, AvError, Options};
use crate::capture::orientation;
use crate::capture::passthrough::h264::Framing;

/// A picture shows itself only with what follows it: of slides, that may be the end of the slice. So all of it is looked at, if
/// need be, but not for the number of pictures a second.
const WHOLE: [(&str, &str); 3] = [("analyzeduration", "600000000"), ("probesize", "268435456"), ("fpsprobesize", "0")];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MediaKind {
    Video,
    Audio,
}

/// What a player must know of a track before its first packet.
pub struct Description {
    pub kind: MediaKind,
    /// How pictures are to be turned.
    pub turn: Turn,
    parameters: Parameters,
}

pub struct SliceReader {
    context: NonNull<ffi::AVFormatContext>,
}

impl Description {
    pub fn raw(&self) -> &ffi::AVCodecParameters {
        self.parameters.raw()
    }

    /// Whether packets of the other track can follow those of this one.
    pub fn continues_as(&self, other: &ffi::AVCodecParameters) -> bool {
        let own = self.raw();
        own.codec_id == other.codec_id
            && (own.width, own.height) == (other.width, other.height)
            && own.sample_rate == other.sample_rate
            && own.ch_layout.nb_channels == other.ch_layout.nb_channels
            && self.parameters.extradata() == extradata(other)
    }
}

impl SliceReader {
    pub fn open(path: &Path) -> Result<Self, AvError> {
        let (url, format) = (file_url(path)?, c_string("mpegts")?);
        let mut raw = ptr::null_mut();
        // SAFETY: the strings live through the calls; a context that could not be opened is freed by libav.
        unsafe {
            let format = ffi::av_find_input_format(format.as_ptr());
            let mut options = Options::new(&WHOLE)?;
            AvError::check(ffi::avformat_open_input(&raw mut raw, url.as_ptr(), format, options.as_mut_ptr()))?;
            let piece = Self { context: NonNull::new(raw).ok_or(AvError::OUT_OF_MEMORY)? };
            AvError::check(ffi::avformat_find_stream_info(raw, ptr::null_mut()))?;
            Ok(piece)
        }
    }

    /// The kinds of tracks that the slice's tables name.
    pub fn announced(&self) -> Vec<MediaKind> {
        self.streams().iter().filter_map(|stream| kind(stream)).collect()
    }

    /// The track's description, if the slice has enough of the track to tell.
    pub fn describe(&self, wanted: MediaKind) -> Option<Result<Description, AvError>> {
        let stream = self.stream(wanted)?;
        // SAFETY: every stream has parameters.
        let parameters = unsafe { Parameters::copied(stream.codecpar) };
        Some(parameters.map(|parameters| Description { kind: wanted, turn: Turn::NONE, parameters }))
    }

    pub fn parameters(&self, wanted: MediaKind) -> Option<&ffi::AVCodecParameters> {
        // SAFETY: every stream has parameters, alive as long as the context.
        self.stream(wanted).map(|stream| unsafe { &*stream.codecpar })
    }

    /// When the slice begins on its own clock: with its picture, as it was cut there, or else with its sound.
    pub fn start(&self) -> Option<i64> {
        let first = |kind| self.stream(kind).map(|stream| stream.start_time);
        first(MediaKind::Video).or_else(|| first(MediaKind::Audio)).filter(|start| *start != ffi::AV_NOPTS_VALUE)
    }

    /// How the slice's first picture is to be turned, as it says itself.
    pub fn turn(mut self) -> Result<Turn, AvError> {
        while let Some((kind, packet)) = self.next()? {
            if kind == MediaKind::Video {
                let codec = self.parameters(kind).map_or(ffi::AVCodecID::AV_CODEC_ID_NONE, |known| known.codec_id);
                let stated = orientation::stated(packet.data(), codec, Framing::StartCodes);
                return Ok(stated.map_or(Turn::NONE, |stated| stated.turn));
            }
        }
        Ok(Turn::NONE)
    }

    /// The next packet, its times in 90 kHz ticks; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(MediaKind, Packet)>, AvError> {
        loop {
            let mut packet = Packet::empty()?;
            // SAFETY: context and packet are valid.
            match AvError::check(unsafe { ffi::av_read_frame(self.context.as_ptr(), packet.as_mut_ptr()) }) {
                Err(AvError::END_OF_FILE) => return Ok(None),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            if let Some(kind) = self.streams().get(packet.stream()).and_then(|stream| kind(stream)) {
                return Ok(Some((kind, packet)));
            }
        }
    }

    /// The stream of this kind, if packets of it were seen.
    fn stream(&self, wanted: MediaKind) -> Option<&ffi::AVStream> {
        self.streams().into_iter().find(|stream| kind(stream) == Some(wanted) && is_known(stream))
    }

    fn streams(&self) -> Vec<&ffi::AVStream> {
        // SAFETY: the context says how many stream pointers it holds, and they are valid as long as it is.
        unsafe {
            let context = self.context.as_ref();
            (0..context.nb_streams as usize).map(|index| &**context.streams.add(index)).collect()
        }
    }
}

impl Drop for SliceReader {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards.
        unsafe { ffi::avformat_close_input(&raw mut context) };
    }
}

fn kind(stream: &ffi::AVStream) -> Option<MediaKind> {
    // SAFETY: every stream has parameters.
    match unsafe { (*stream.codecpar).codec_type } {
        ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => Some(MediaKind::Video),
        ffi::AVMediaType::AVMEDIA_TYPE_AUDIO => Some(MediaKind::Audio),
        _ => None,
    }
}

fn is_known(stream: &ffi::AVStream) -> bool {
    // SAFETY: every stream has parameters.
    let parameters = unsafe { &*stream.codecpar };
    parameters.width > 0 || parameters.sample_rate > 0
}

/// The path as libav takes it, so that nothing in it is read as a protocol.
pub fn file_url(path: &Path) -> Result<std::ffi::CString, AvError> {
    c_string(&format!("file:{}", path.to_str().ok_or(AvError(ffi::AVERROR(ffi::EINVAL)))?))
}

// SPDX-License-Identifier: Apache-2.0
//! The MP4 being written.

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_sys_next as ffi;

use super::read::{file_url, Description, MediaKind, SliceReader};
use crate::capture::av::frame::Packet;
use crate::capture::av::turn::Turn;
use crate::capture::av::{c_string, AvError, Options};
use crate::capture::mux::TICKS_PER_SECOND;

const TICKS: ffi::AVRational = ffi::AVRational { num: 1, den: 90_000 };

pub struct Mp4Writer<'a> {
    context: NonNull<ffi::AVFormatContext>,
    tracks: Vec<Mp4Track<'a>>,
}

struct Mp4Track<'a> {
    description: &'a Description,
    /// The last decoding time, in units of the stream.
    last: Option<i64>,
}

impl<'a> Mp4Writer<'a> {
    /// The file with its tracks, ready for packets; writing it fails once `stop` is set.
    pub fn create(path: &Path, descriptions: &'a [Description], stop: &'a AtomicBool) -> Result<Self, AvError> {
        let (url, format) = (file_url(path)?, c_string("mp4")?);
        let mut raw = ptr::null_mut();
        // SAFETY: every pointer is checked before use; the context is owned by `mp4` from its first moment on.
        unsafe {
            let made = ffi::avformat_alloc_output_context2(&raw mut raw, ptr::null(), format.as_ptr(), url.as_ptr());
            AvError::check(made)?;
            let context = NonNull::new(raw).ok_or(AvError::OUT_OF_MEMORY)?;
            let mut mp4 = Self { context, tracks: Vec::new() };
            for description in descriptions {
                let stream = NonNull::new(ffi::avformat_new_stream(raw, ptr::null())).ok_or(AvError::OUT_OF_MEMORY)?;
                AvError::check(ffi::avcodec_parameters_copy((*stream.as_ptr()).codecpar, description.raw()))?;
                if description.turn != Turn::NONE {
                    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
                    let bytes = description.turn.matrix().map(i32::to_ne_bytes).concat();
                    let data = ffi::av_stream_new_side_data(stream.as_ptr(), kind, bytes.len());
                    if data.is_null() {
                        return Err(AvError::OUT_OF_MEMORY);
                    }
                    ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
                }
                mp4.tracks.push(Mp4Track { description, last: None });
            }
            // Moving the index to the front takes a while for a large file.
            (*raw).interrupt_callback =
                ffi::AVIOInterruptCB { callback: Some(is_set), opaque: ptr::from_ref(stop).cast_mut().cast() };
            let interrupt = &raw const (*raw).interrupt_callback;
            let flags = ffi::AVIO_FLAG_WRITE;
            AvError::check(ffi::avio_open2(&raw mut (*raw).pb, url.as_ptr(), flags, interrupt, ptr::null_mut()))?;
            let scale = TICKS_PER_SECOND.to_string();
            // Without an option for it, the container's own clock would round the times of pictures.
            let mut options = Options::new(&[("movflags", "+faststart"), ("video_track_timescale", &scale)])?;
            AvError::check(ffi::avformat_write_header(raw, options.as_mut_ptr()))?;
            Ok(mp4)
        }
    }

    /// Whether the slice's tracks go on as the file's begin.
    pub fn takes(&self, piece: &SliceReader) -> bool {
        [MediaKind::Video, MediaKind::Audio].iter().all(|kind| match (self.index(*kind), piece.parameters(*kind)) {
            (Some(index), Some(parameters)) => self.tracks[index].description.continues_as(parameters),
            (None, Some(_)) => false,
            (_, None) => true,
        })
    }

    /// Writes the packet `shift` ticks later than its own times say, into a file that ends at `end` as far as is known.
    pub fn write(&mut self, kind: MediaKind, packet: &mut Packet, shift: i64, end: i64) -> Result<(), AvError> {
        let Some(index) = self.index(kind) else { return Ok(()) };
        // SAFETY: a track has the stream of its number.
        let base = unsafe { (**(*self.context.as_ptr()).streams.add(index)).time_base };
        let track = &mut self.tracks[index];
        let raw = packet.raw_mut();
        if raw.pts == ffi::AV_NOPTS_VALUE || raw.dts == ffi::AV_NOPTS_VALUE {
            return Ok(());
        }
        raw.stream_index = c_int::try_from(index).unwrap_or(0);
        raw.pts += shift;
        raw.dts += shift;
        raw.pos = -1;
        if kind == MediaKind::Video {
            // A picture is seen until the next one. Of the last one, what is read back guesses how long that is.
            raw.duration = (end - raw.pts).max(1);
        }
        // SAFETY: the packet is valid and borrowed exclusively.
        unsafe { ffi::av_packet_rescale_ts(raw, TICKS, base) };
        // Where two slices meet after a hole, the reordering of pictures may reach back into the one before.
        raw.dts = track.last.map_or(raw.dts, |last| raw.dts.max(last + 1));
        raw.pts = raw.pts.max(raw.dts);
        track.last = Some(raw.dts);
        // SAFETY: context and packet are valid; the packet's reference passes to libav.
        AvError::check(unsafe { ffi::av_interleaved_write_frame(self.context.as_ptr(), packet.as_mut_ptr()) }).map(drop)
    }

    /// Writes the index before the media; the file is complete and durable then.
    pub fn finish(self) -> Result<(), AvError> {
        // SAFETY: the header was written, as the MP4 exists; the output is closed here and nowhere else, as closing
        // leaves null behind.
        unsafe {
            AvError::check(ffi::av_write_trailer(self.context.as_ptr()))?;
            AvError::check(ffi::avio_closep(&raw mut (*self.context.as_ptr()).pb)).map(drop)
        }
    }

    fn index(&self, kind: MediaKind) -> Option<usize> {
        self.tracks.iter().position(|track| track.description.kind == kind)
    }
}

impl Drop for Mp4Writer<'_> {
    fn drop(&mut self) {
        // SAFETY: the context is owned by this value and not used afterwards; an output that is closed is null. Without a
        // trailer libav frees the muxer's own state with the context.
        unsafe {
            ffi::avio_closep(&raw mut (*self.context.as_ptr()).pb);
            ffi::avformat_free_context(self.context.as_ptr());
        }
    }
}

unsafe extern "C" fn is_set(stop: *mut c_void) -> c_int {
    // SAFETY: libav passes back the flag that `create` was given, which the MP4 may not outlive.
    c_int::from(unsafe { &*stop.cast::<AtomicBool>() }.load(Ordering::Relaxed))
}

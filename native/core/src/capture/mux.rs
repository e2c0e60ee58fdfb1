// SPDX-License-Identifier: Apache-2.0
//! One MPEG-TS multiplexer for each piece of a recording that runs on, writing into one slice file after another.
//!
//! Being one multiplexer, its continuity counters and time stamps run on across slices; each slice begins with the
//! program tables, so it can be played alone.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ptr::{self, NonNull};
use std::slice;

use ffmpeg_sys_next as ffi;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::av::frame::{no_packet, Packet};
use super::av::parameters::Parameters;
use super::av::{c_string, AvError, Options};
use super::encode::EncoderContext;

/// The clock of MPEG presentation time stamps.
pub const TICKS_PER_SECOND: i64 = 90_000;

/// Multiplexed bytes are handed to the file in pieces of at most this size.
const BUFFER: usize = 32 * 1024;

/// Program tables are repeated at this interval within a slice, in seconds.
const TABLE_INTERVAL: &str = "5";

/// How far the stream's clock runs behind its time stamps, in microseconds: the decoder's buffer. Half of it is how long
/// small packets of sound are gathered before they are written.
const MOST_DELAY: c_int = 400_000;

/// A slice's file and what is known of its bytes so far.
pub struct SliceFile {
    file: File,
    bytes: u64,
    sha256: Sha256,
    md5: Md5,
}

/// What a finished file contains.
pub struct Sealed {
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub md5: [u8; 16],
}

impl SliceFile {
    pub fn new(file: File) -> Self {
        Self { file, bytes: 0, sha256: Sha256::new(), md5: Md5::new() }
    }

    /// Makes the bytes durable.
    pub fn seal(self) -> io::Result<Sealed> {
        self.file.sync_all()?;
        Ok(Sealed { bytes: self.bytes, sha256: self.sha256.finalize().into(), md5: self.md5.finalize().into() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha256.update(bytes);
        self.md5.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Why something was not multiplexed.
#[derive(Debug)]
pub enum MuxError {
    /// Its bytes could not be written.
    Disk(io::Error),
    /// The multiplexer does not take it.
    Refused(AvError),
}

impl fmt::Display for MuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

/// Where the multiplexer's bytes go; libav holds a pointer to it.
#[derive(Default)]
struct MuxOutput {
    file: Option<SliceFile>,
    failure: Option<io::Error>,
}

pub struct Muxer {
    context: NonNull<ffi::AVFormatContext>,
    /// Ours alone, but by way of a pointer, as libav has one, too.
    target: NonNull<MuxOutput>,
    streams: usize,
    header_written: bool,
}

// SAFETY: a format context and its output may be used from any one thread at a time.
unsafe impl Send for Muxer {}

impl Muxer {
    /// A multiplexer for streams as these encoders give them, numbered in this order.
    pub fn new(encoders: &[&EncoderContext]) -> Result<Self, MuxError> {
        let made = Self::with_streams(encoders, |encoder, parameters| {
            // SAFETY: both are valid; the function copies.
            unsafe { ffi::avcodec_parameters_from_context(parameters, encoder.as_ptr()) }
        });
        made.map_err(MuxError::Refused)
    }

    /// A multiplexer for streams that are copied from a source, numbered in this order.
    pub fn of_copies(streams: &[&Parameters]) -> Result<Self, MuxError> {
        let made = Self::with_streams(streams, |original, parameters| {
            // SAFETY: both are valid; the function copies.
            unsafe { ffi::avcodec_parameters_copy(parameters, original.as_ptr()) }
        });
        made.map_err(MuxError::Refused)
    }

    fn with_streams<T>(
        streams: &[T],
        describe: impl Fn(&T, *mut ffi::AVCodecParameters) -> c_int,
    ) -> Result<Self, AvError> {
        let format = c_string("mpegts")?;
        let mut raw = ptr::null_mut();
        // SAFETY: every pointer is checked before use; the context is owned by `muxer` from its first moment on, and so
        // is the target, to which the output keeps the same pointer.
        unsafe {
            let made = ffi::avformat_alloc_output_context2(&raw mut raw, ptr::null(), format.as_ptr(), ptr::null());
            AvError::check(made)?;
            let context = NonNull::new(raw).ok_or(AvError::OUT_OF_MEMORY)?;
            let target = NonNull::from(Box::leak(Box::<MuxOutput>::default()));
            let muxer = Self { context, target, streams: streams.len(), header_written: false };
            (*raw).pb = output_into(target.as_ptr())?;
            // The exact time stamps are kept: shifting negative ones would move the first slice alone.
            (*raw).avoid_negative_ts = ffi::AVFMT_AVOID_NEG_TS_DISABLED;
            (*raw).max_delay = MOST_DELAY;
            for description in streams {
                let stream = NonNull::new(ffi::avformat_new_stream(raw, ptr::null())).ok_or(AvError::OUT_OF_MEMORY)?;
                AvError::check(describe(description, (*stream.as_ptr()).codecpar))?;
            }
            Ok(muxer)
        }
    }

    /// From now on bytes go into `file`, beginning with the program tables.
    pub fn begin(&mut self, file: SliceFile) -> Result<(), MuxError> {
        self.target().file = Some(file);
        let begun = self.write_tables();
        self.judge(begun)
    }

    fn write_tables(&mut self) -> Result<(), AvError> {
        if self.header_written {
            let (name, value) = (c_string("mpegts_flags")?, c_string("+resend_headers")?);
            // SAFETY: the context is valid; the option belongs to the muxer's private data.
            let set = unsafe { ffi::av_opt_set((*self.context.as_ptr()).priv_data, name.as_ptr(), value.as_ptr(), 0) };
            return AvError::check(set).map(drop);
        }
        // A recording may have several multiplexers: that their counters begin anew is no loss of packets.
        let mut options = Options::new(&[
            ("pat_period", TABLE_INTERVAL),
            ("sdt_period", TABLE_INTERVAL),
            ("mpegts_copyts", "1"),
            ("mpegts_flags", "+initial_discontinuity"),
        ])?;
        // SAFETY: the context has its output and all of its streams.
        AvError::check(unsafe { ffi::avformat_write_header(self.context.as_ptr(), options.as_mut_ptr()) })?;
        self.header_written = true;
        Ok(())
    }

    /// Writes a packet of the stream `stream`; packets of a stream come in the order of decoding.
    pub fn write(&mut self, packet: &mut Packet, stream: usize, present: i64, decode: i64) -> Result<(), MuxError> {
        debug_assert!(stream < self.streams);
        let raw = packet.raw_mut();
        raw.stream_index = c_int::try_from(stream).unwrap_or(0);
        raw.pts = present;
        raw.dts = decode;
        raw.duration = 0;
        // SAFETY: context and packet are valid; the stream index was checked; MPEG-TS streams count in 90 kHz.
        let written = unsafe { ffi::av_write_frame(self.context.as_ptr(), packet.as_mut_ptr()) };
        self.judge(AvError::check(written).map(drop))
    }

    /// Hands whole packets that are still buffered to the file.
    pub fn flush(&mut self) -> Result<(), MuxError> {
        // SAFETY: the context and its output are valid.
        unsafe { ffi::avio_flush((*self.context.as_ptr()).pb) };
        self.judge(Ok(()))
    }

    /// Ends the current slice's file and gives it back.
    pub fn end(&mut self) -> Result<Option<SliceFile>, MuxError> {
        if !self.header_written {
            return Ok(self.target().file.take());
        }
        // SAFETY: the context is valid; a null packet flushes the sound that the muxer gathers.
        let flushed = unsafe { ffi::av_write_frame(self.context.as_ptr(), no_packet()) };
        self.judge(AvError::check(flushed).map(drop))?;
        self.flush()?;
        Ok(self.target().file.take())
    }

    fn target(&mut self) -> &mut MuxOutput {
        // SAFETY: the target lives as long as self; libav uses it only within calls that borrow self exclusively.
        unsafe { self.target.as_mut() }
    }

    /// Why writing to the file failed, if it did: libav's own error says less, and may come later.
    fn judge(&mut self, done: Result<(), AvError>) -> Result<(), MuxError> {
        match self.target().failure.take() {
            Some(failure) => Err(MuxError::Disk(failure)),
            None => done.map_err(MuxError::Refused),
        }
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        // SAFETY: the context is owned by this value and not used afterwards. The trailer frees the muxer's buffers; with
        // no file its bytes go nowhere. The output's buffer may have been replaced, so the current one is freed. The target
        // was leaked from a box, and is used by nobody once the output is freed.
        unsafe {
            self.target.as_mut().file = None;
            if self.header_written {
                ffi::av_write_trailer(self.context.as_ptr());
            }
            let context = self.context.as_ptr();
            if !(*context).pb.is_null() {
                ffi::av_freep((&raw mut (*(*context).pb).buffer).cast());
                ffi::avio_context_free(&raw mut (*context).pb);
            }
            ffi::avformat_free_context(context);
            drop(Box::from_raw(self.target.as_ptr()));
        }
    }
}

/// An output of libav whose bytes go to `target`.
///
/// # Safety
/// `target` must stay valid until the output is freed.
unsafe fn output_into(target: *mut MuxOutput) -> Result<*mut ffi::AVIOContext, AvError> {
    // SAFETY: the buffer is handed over to the output; both are checked for null.
    unsafe {
        let buffer = ffi::av_malloc(BUFFER).cast::<u8>();
        if buffer.is_null() {
            return Err(AvError::OUT_OF_MEMORY);
        }
        let size = c_int::try_from(BUFFER).unwrap_or(c_int::MAX);
        let output = ffi::avio_alloc_context(buffer, size, 1, target.cast::<c_void>(), None, Some(write_bytes), None);
        if output.is_null() {
            ffi::av_free(buffer.cast());
            return Err(AvError::OUT_OF_MEMORY);
        }
        Ok(output)
    }
}

/// The pointer type of the bytes differs between `FFmpeg` 5 and 7 (`*mut` and `*const`); both are only read.
trait Bytes {
    fn start(self) -> *const u8;
}

impl Bytes for *const u8 {
    fn start(self) -> *const u8 {
        self
    }
}

impl Bytes for *mut u8 {
    fn start(self) -> *const u8 {
        self.cast_const()
    }
}

/// libav's callback for output.
unsafe extern "C" fn write_bytes<P: Bytes>(opaque: *mut c_void, bytes: P, size: c_int) -> c_int {
    // SAFETY: libav passes back the target given to `output_into`, and a buffer of `size` bytes. Nothing else uses the
    // target meanwhile, as the muxer that owns it is borrowed for the call that led here.
    let (target, bytes) = unsafe {
        let length = usize::try_from(size).unwrap_or(0);
        (&mut *opaque.cast::<MuxOutput>(), slice::from_raw_parts(bytes.start(), length))
    };
    match target.file.as_mut().map(|file| file.write(bytes)) {
        None | Some(Ok(())) => size,
        Some(Err(error)) => {
            target.failure.get_or_insert(error);
            ffi::AVERROR(ffi::EIO)
        }
    }
}

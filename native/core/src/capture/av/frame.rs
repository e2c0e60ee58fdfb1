// SPDX-License-Identifier: Apache-2.0
//! Pictures, blocks of samples and packets, owned and reference-counted by libav.

use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::slice;

use ffmpeg_next::ffi;

use super::AvError;

/// A decoded picture or block of samples.
pub struct Frame(NonNull<ffi::AVFrame>);

// SAFETY: an AVFrame has no thread affinity, and its buffers are reference-counted atomically.
unsafe impl Send for Frame {}
// SAFETY: shared references only read; every change needs `&mut`.
unsafe impl Sync for Frame {}

/// One plane of an 8 bit picture, as rows of `stride` bytes.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    pub bytes: &'a [u8],
    pub stride: usize,
}

impl Frame {
    pub fn empty() -> Result<Self, AvError> {
        // SAFETY: allocates a new frame; null is handled.
        NonNull::new(unsafe { ffi::av_frame_alloc() }).map(Self).ok_or(AvError::OUT_OF_MEMORY)
    }

    /// A picture in I420 with its own buffers, contents undefined. Where width or height is odd, its chroma has half a
    /// sample more than half as many.
    pub fn i420(width: u32, height: u32) -> Result<Self, AvError> {
        Self::picture(ffi::AVPixelFormat::AV_PIX_FMT_YUV420P, width, height)
    }

    /// A picture of any format with its own buffers, contents undefined.
    pub fn picture(format: ffi::AVPixelFormat, width: u32, height: u32) -> Result<Self, AvError> {
        let mut frame = Self::empty()?;
        let raw = frame.raw_mut();
        raw.width = to_c_int(width)?;
        raw.height = to_c_int(height)?;
        raw.format = format as c_int;
        // SAFETY: size and format are set, as the function requires.
        AvError::check(unsafe { ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) })?;
        Ok(frame)
    }

    /// Another reference to the same buffers.
    pub fn share(&self) -> Result<Self, AvError> {
        // SAFETY: the source is a valid frame; null is handled.
        NonNull::new(unsafe { ffi::av_frame_clone(self.0.as_ptr()) }).map(Self).ok_or(AvError::OUT_OF_MEMORY)
    }

    /// Whether nobody else holds the buffers, so that they may be written.
    pub fn is_exclusive(&self) -> bool {
        // SAFETY: the frame is valid; the function only reads reference counts.
        unsafe { ffi::av_frame_is_writable(self.0.as_ptr()) > 0 }
    }

    pub fn raw(&self) -> &ffi::AVFrame {
        // SAFETY: non-null and alive as long as self.
        unsafe { self.0.as_ref() }
    }

    pub fn raw_mut(&mut self) -> &mut ffi::AVFrame {
        // SAFETY: non-null, alive as long as self, and borrowed exclusively.
        unsafe { self.0.as_mut() }
    }

    pub fn as_mut_ptr(&mut self) -> *mut ffi::AVFrame {
        self.0.as_ptr()
    }

    pub fn width(&self) -> u32 {
        u32::try_from(self.raw().width).unwrap_or(0)
    }

    pub fn height(&self) -> u32 {
        u32::try_from(self.raw().height).unwrap_or(0)
    }

    /// Whether the samples are plain 8 bit 4:2:0 planes.
    pub fn is_i420(&self) -> bool {
        let format = self.raw().format;
        format == ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int
            || format == ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as c_int
    }

    pub fn is_full_range(&self) -> bool {
        self.raw().color_range == ffi::AVColorRange::AVCOL_RANGE_JPEG
            || self.raw().format == ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as c_int
    }

    /// Bytes that the picture takes, near enough for a budget.
    pub fn footprint(&self) -> usize {
        self.raw().buf.iter().take_while(|buffer| !buffer.is_null()).fold(PICTURE_OVERHEAD, |sum, buffer| {
            // SAFETY: a non-null entry is a valid buffer reference of this frame.
            sum + unsafe { (**buffer).size }
        })
    }

    /// A plane of an I420 picture: 0 is luma at full size, 1 and 2 are chroma at half size.
    pub fn plane(&self, index: usize) -> Option<Plane<'_>> {
        let (data, stride, rows) = self.plane_parts(index)?;
        // SAFETY: plane_parts checked that the frame is I420 with a positive stride, so rows * stride bytes are its own.
        Some(Plane { bytes: unsafe { slice::from_raw_parts(data, stride * rows) }, stride })
    }

    /// The same plane for writing; the bytes, the stride. `None` when somebody else holds the buffers.
    pub fn plane_mut(&mut self, index: usize) -> Option<(&mut [u8], usize)> {
        if !self.is_exclusive() {
            return None;
        }
        let (data, stride, rows) = self.plane_parts(index)?;
        // SAFETY: as in `plane`; the buffers are exclusive and self is borrowed exclusively.
        Some((unsafe { slice::from_raw_parts_mut(data, stride * rows) }, stride))
    }

    fn plane_parts(&self, index: usize) -> Option<(*mut u8, usize, usize)> {
        let raw = self.raw();
        if !self.is_i420() || index > 2 || raw.data[index].is_null() {
            return None;
        }
        let stride = usize::try_from(raw.linesize[index]).ok().filter(|stride| *stride > 0)?;
        let height = usize::try_from(raw.height).ok()?;
        let rows = if index == 0 { height } else { height.div_ceil(2) };
        Some((raw.data[index], stride, rows))
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut frame = self.0.as_ptr();
        // SAFETY: the frame is owned by this value and not used afterwards.
        unsafe { ffi::av_frame_free(&raw mut frame) };
    }
}

/// What the smallest packet and the smallest picture take: their descriptions, and the padding behind their bytes.
const PACKET_OVERHEAD: usize = 512;
const PICTURE_OVERHEAD: usize = 1024;

/// A piece of compressed media.
pub struct Packet(NonNull<ffi::AVPacket>);

// SAFETY: an AVPacket has no thread affinity, and its buffer is reference-counted atomically.
unsafe impl Send for Packet {}

impl Packet {
    pub fn empty() -> Result<Self, AvError> {
        // SAFETY: allocates a new packet; null is handled.
        NonNull::new(unsafe { ffi::av_packet_alloc() }).map(Self).ok_or(AvError::OUT_OF_MEMORY)
    }

    pub fn raw(&self) -> &ffi::AVPacket {
        // SAFETY: non-null and alive as long as self.
        unsafe { self.0.as_ref() }
    }

    pub fn raw_mut(&mut self) -> &mut ffi::AVPacket {
        // SAFETY: non-null, alive as long as self, and borrowed exclusively.
        unsafe { self.0.as_mut() }
    }

    pub fn as_mut_ptr(&mut self) -> *mut ffi::AVPacket {
        self.0.as_ptr()
    }

    pub fn stream(&self) -> usize {
        usize::try_from(self.raw().stream_index).unwrap_or(usize::MAX)
    }

    fn size(&self) -> usize {
        usize::try_from(self.raw().size).unwrap_or(0)
    }

    /// Bytes that the packet takes while it waits, near enough for a budget: a stream of tiny ones is mostly descriptions.
    pub fn footprint(&self) -> usize {
        self.size() + PACKET_OVERHEAD
    }

    /// Another reference to the same bytes.
    pub fn share(&self) -> Result<Self, AvError> {
        // SAFETY: the source is a valid packet; null is handled.
        NonNull::new(unsafe { ffi::av_packet_clone(self.0.as_ptr()) }).map(Self).ok_or(AvError::OUT_OF_MEMORY)
    }

    /// A packet of these bytes, and nothing else.
    pub fn of(parts: [&[u8]; 2]) -> Result<Self, AvError> {
        let mut packet = Self::empty()?;
        let length = parts[0].len() + parts[1].len();
        let size = c_int::try_from(length).map_err(|_| AvError(ffi::AVERROR(ffi::EINVAL)))?;
        // SAFETY: the new packet has room for both parts, one after the other.
        unsafe {
            AvError::check(ffi::av_new_packet(packet.as_mut_ptr(), size))?;
            let data = packet.raw().data;
            ptr::copy_nonoverlapping(parts[0].as_ptr(), data, parts[0].len());
            ptr::copy_nonoverlapping(parts[1].as_ptr(), data.add(parts[0].len()), parts[1].len());
        }
        Ok(packet)
    }

    pub fn data(&self) -> &[u8] {
        let data = self.raw().data;
        if data.is_null() {
            return &[];
        }
        // SAFETY: the packet owns so many bytes there.
        unsafe { slice::from_raw_parts(data, self.size()) }
    }

    /// Whether decoding can begin here, by what the container or the stream says.
    pub fn is_key(&self) -> bool {
        self.raw().flags & ffi::AV_PKT_FLAG_KEY != 0
    }

    /// A decoder's configuration that holds from this packet on.
    pub fn new_extradata(&self) -> Option<&[u8]> {
        let mut size = 0;
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA;
        // SAFETY: the packet is valid, and owns what is returned together with its size.
        unsafe {
            let data = ffi::av_packet_get_side_data(self.0.as_ptr(), kind, &raw mut size);
            (!data.is_null()).then(|| slice::from_raw_parts(data, size))
        }
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let mut packet = self.0.as_ptr();
        // SAFETY: the packet is owned by this value and not used afterwards.
        unsafe { ffi::av_packet_free(&raw mut packet) };
    }
}

fn to_c_int(value: u32) -> Result<c_int, AvError> {
    c_int::try_from(value).map_err(|_| AvError(ffi::AVERROR(ffi::EINVAL)))
}

/// Copies a rectangle of I420 samples; both pictures must be I420, all numbers even and within the pictures.
pub fn blit(from: &Frame, from_at: (u32, u32), into: &mut Frame, into_at: (u32, u32), size: (u32, u32)) {
    for index in 0..3 {
        let half = u32::from(index > 0);
        let at = |value: u32| (value >> half) as usize;
        let Some(source) = from.plane(index) else { return };
        let Some((target, target_stride)) = into.plane_mut(index) else { return };
        let width = at(size.0);
        for row in 0..at(size.1) {
            let start = (at(from_at.1) + row) * source.stride + at(from_at.0);
            let end = (at(into_at.1) + row) * target_stride + at(into_at.0);
            target[end..end + width].copy_from_slice(&source.bytes[start..start + width]);
        }
    }
}

/// Fills a whole I420 picture with video black.
pub fn blacken(frame: &mut Frame) {
    for (index, value) in [(0, 16_u8), (1, 128), (2, 128)] {
        if let Some((bytes, _)) = frame.plane_mut(index) {
            bytes.fill(value);
        }
    }
}

/// The null pointer libav takes for "flush".
pub fn no_packet() -> *mut ffi::AVPacket {
    ptr::null_mut()
}

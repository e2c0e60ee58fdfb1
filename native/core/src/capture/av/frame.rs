// SPDX-License-Identifier: Apache-2.0
//! Pictures, blocks of samples and packets, owned and reference-counted by libav.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;

use ffmpeg_sys_next as ffi;

use super::turn::Turn;
use super::AvError;
use crate::panics::contained;

/// A decoded picture or block of samples.
pub struct Frame(NonNull<ffi::AVFrame>);

// SAFETY: an AVFrame has no thread affinity, and its buffers are reference-counted atomically.
unsafe impl Send for Frame {}
// SAFETY: shared references only read; every change needs `&mut`.
unsafe impl Sync for Frame {}

/// A picture in I420 that somebody else keeps in memory, and that stays as it is: odd sizes have half a sample of chroma
/// more than half as many.
pub trait PictureBuffer: Send + Sync {
    /// A plane's lines of `stride` bytes each, the last one too.
    fn plane(&self, index: usize) -> Plane<'_>;
}

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

    /// A picture in I420 with its own buffers, all bytes zero. Where width or height is odd, its chroma has half a
    /// sample more than half as many.
    pub fn i420(width: u32, height: u32) -> Result<Self, AvError> {
        Self::picture(ffi::AVPixelFormat::AV_PIX_FMT_YUV420P, width, height)
    }

    /// A picture in the memory of `buffer`, which is not copied, and is dropped with the last reference to it.
    pub fn of_planes(width: u32, height: u32, buffer: Box<dyn PictureBuffer>) -> Result<Self, AvError> {
        let invalid = AvError(ffi::AVERROR(ffi::EINVAL));
        let mut frame = Self::empty()?;
        let owner = Box::new(buffer);
        let raw = frame.raw_mut();
        (raw.width, raw.height) = (to_c_int(width)?, to_c_int(height)?);
        raw.format = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
        let mut size = 0;
        for index in 0..3 {
            let (Plane { bytes, stride }, half) = (owner.plane(index), u32::from(index > 0));
            let (columns, rows) = (width.div_ceil(1 << half) as usize, height.div_ceil(1 << half) as usize);
            if width == 0
                || height == 0
                || stride < columns
                || stride.checked_mul(rows).is_none_or(|end| bytes.len() < end)
            {
                return Err(invalid);
            }
            raw.data[index] = bytes.as_ptr().cast_mut();
            raw.linesize[index] = c_int::try_from(stride).map_err(|_| invalid)?;
            size += bytes.len();
        }
        let owner = Box::into_raw(owner);
        // SAFETY: the first plane is alive until the owner is dropped, which the buffer does once, as it is freed; that nobody
        // writes it, the flag says. Should there be no memory, nobody else has the owner.
        unsafe {
            let flag = ffi::AV_BUFFER_FLAG_READONLY as c_int;
            raw.buf[0] = ffi::av_buffer_create(raw.data[0], size, Some(drop_owner), owner.cast(), flag);
            if raw.buf[0].is_null() {
                drop(Box::from_raw(owner));
                return Err(AvError::OUT_OF_MEMORY);
            }
        }
        Ok(frame)
    }

    /// The same picture, which is to be turned so to be seen as it was meant.
    pub fn turned(mut self, turn: Turn) -> Result<Self, AvError> {
        let matrix: Vec<u8> = turn.matrix().iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        self.add_side_data(ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX, &matrix)?;
        Ok(self)
    }

    /// A block of 16 bit samples, those of all channels of a moment behind each other.
    pub fn pcm(samples: &[i16], channels: usize, rate: u32) -> Result<Self, AvError> {
        let invalid = AvError(ffi::AVERROR(ffi::EINVAL));
        let count = samples.len().checked_div(channels).filter(|count| *count > 0).ok_or(invalid)?;
        let number = |value: usize| c_int::try_from(value).map_err(|_| invalid);
        let mut frame = Self::empty()?;
        let raw = frame.raw_mut();
        raw.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_S16 as c_int;
        (raw.sample_rate, raw.nb_samples) = (to_c_int(rate)?, number(count)?);
        // SAFETY: the fields that the buffer's size follows from are set; it then has room for so many samples of each channel.
        unsafe {
            ffi::av_channel_layout_default(&raw mut raw.ch_layout, number(channels)?);
            AvError::check(ffi::av_frame_get_buffer(raw, 0))?;
            ptr::copy_nonoverlapping(samples.as_ptr().cast::<u8>(), raw.data[0], 2 * count * channels);
        }
        Ok(frame)
    }

    /// A picture of any format with its own buffers, all bytes zero.
    pub fn picture(format: ffi::AVPixelFormat, width: u32, height: u32) -> Result<Self, AvError> {
        Self::numbered(format as c_int, width, height)
    }

    /// A picture of the same size in a format of this number.
    pub fn blank(&self, format: c_int) -> Result<Self, AvError> {
        Self::numbered(format, self.width(), self.height())
    }

    /// A picture in the format that libav gives this number.
    pub fn numbered(format: c_int, width: u32, height: u32) -> Result<Self, AvError> {
        let mut frame = Self::empty()?;
        let raw = frame.raw_mut();
        raw.width = to_c_int(width)?;
        raw.height = to_c_int(height)?;
        raw.format = format;
        // SAFETY: size and format are set, as the function requires.
        AvError::check(unsafe { ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) })?;
        frame.zero();
        Ok(frame)
    }

    /// Buffers come as they were left by others, and bytes that nobody has written are no bytes to read.
    fn zero(&mut self) {
        for buffer in self.raw().buf.iter().take_while(|buffer| !buffer.is_null()) {
            // SAFETY: a non-null entry is a valid buffer of this frame, which was made just now and is nobody else's.
            unsafe { ptr::write_bytes((**buffer).data, 0, (**buffer).size) };
        }
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

    /// What libav knows of the pixel format.
    pub fn format(&self) -> Option<&'static ffi::AVPixFmtDescriptor> {
        // SAFETY: the number comes from a decoder or from us, so it is one of libav's formats; descriptors are static, and
        // null is handled.
        unsafe {
            let format = std::mem::transmute::<c_int, ffi::AVPixelFormat>(self.raw().format);
            ffi::av_pix_fmt_desc_get(format).as_ref()
        }
    }

    /// Whether the samples are red, green and blue themselves.
    pub fn is_rgb(&self) -> bool {
        self.format().is_some_and(|format| format.flags & u64::from(ffi::AV_PIX_FMT_FLAG_RGB as u32) != 0)
    }

    /// Whether black and white are the least and the largest numbers; pictures that do not say so leave room beyond both.
    pub fn is_full_range(&self) -> bool {
        let raw = self.raw();
        raw.color_range == ffi::AVColorRange::AVCOL_RANGE_JPEG
            || FULL_RANGE.iter().any(|(full, _)| raw.format == *full as c_int)
    }

    /// The format whose samples lie in the same way, and whose name says nothing of their range.
    pub fn plain_format(&self) -> c_int {
        let format = self.raw().format;
        FULL_RANGE.iter().find(|(full, _)| format == *full as c_int).map_or(format, |(_, plain)| *plain as c_int)
    }

    /// Whether both fields of the picture were taken at different times, and if so, whether the one with the upper line came
    /// first.
    pub fn interlaced(&self) -> Option<bool> {
        let raw = self.raw();
        (raw.interlaced_frame != 0).then_some(raw.top_field_first != 0)
    }

    /// States the shape of a sample, width over height.
    pub fn set_aspect(&mut self, (width, height): (u32, u32)) {
        let number = |value| c_int::try_from(value).unwrap_or(1);
        self.raw_mut().sample_aspect_ratio = ffi::AVRational { num: number(width), den: number(height) };
    }

    pub fn set_interlaced(&mut self, top_first: bool) {
        let raw = self.raw_mut();
        (raw.interlaced_frame, raw.top_field_first) = (1, c_int::from(top_first));
    }

    pub fn set_progressive(&mut self) {
        self.raw_mut().interlaced_frame = 0;
    }

    /// The first side data of this kind.
    pub fn side_data(&self, kind: ffi::AVFrameSideDataType) -> Option<&[u8]> {
        // SAFETY: the frame is valid, and owns what is returned together with its size.
        unsafe {
            let data = ffi::av_frame_get_side_data(self.0.as_ptr(), kind).as_ref()?;
            (!data.data.is_null()).then(|| slice::from_raw_parts(data.data, data.size))
        }
    }

    pub fn add_side_data(&mut self, kind: ffi::AVFrameSideDataType, bytes: &[u8]) -> Result<(), AvError> {
        // SAFETY: the frame is valid; what is allocated has room for the bytes, and null is handled.
        unsafe {
            let data = ffi::av_frame_new_side_data(self.0.as_ptr(), kind, bytes.len());
            let data = data.as_mut().ok_or(AvError::OUT_OF_MEMORY)?;
            ptr::copy_nonoverlapping(bytes.as_ptr(), data.data, bytes.len());
        }
        Ok(())
    }

    /// Takes over what the other says of itself: colours, shape of samples, side data.
    pub fn describe_as(&mut self, other: &Self) -> Result<(), AvError> {
        // SAFETY: both frames are valid; the function copies.
        AvError::check(unsafe { ffi::av_frame_copy_props(self.as_mut_ptr(), other.0.as_ptr()) }).map(drop)
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
        if !self.is_i420() || index > 2 {
            return None;
        }
        self.any_plane_parts(index)
    }

    /// A plane of a picture in 4:2:0 with so many bytes a sample, 8 or 10 bits of which are used.
    pub fn plane_of_420(&self, index: usize, bytes: usize) -> Option<Plane<'_>> {
        match bytes {
            1 => self.plane(index),
            2 if self.raw().format == TEN_BITS as c_int => self.any_plane(index),
            _ => None,
        }
    }

    /// A plane of a picture in any format; chroma may have fewer lines.
    pub fn any_plane(&self, index: usize) -> Option<Plane<'_>> {
        let (data, stride, rows) = self.any_plane_parts(index)?;
        // SAFETY: `any_plane_parts` gives the plane's own lines.
        Some(Plane { bytes: unsafe { slice::from_raw_parts(data, stride * rows) }, stride })
    }

    /// The same plane for writing; the bytes, the stride. `None` when somebody else holds the buffers.
    pub fn any_plane_mut(&mut self, index: usize) -> Option<(&mut [u8], usize)> {
        if !self.is_exclusive() {
            return None;
        }
        let (data, stride, rows) = self.any_plane_parts(index)?;
        // SAFETY: as in `any_plane`; the buffers are exclusive and self is borrowed exclusively.
        Some((unsafe { slice::from_raw_parts_mut(data, stride * rows) }, stride))
    }

    /// Where the plane begins, its bytes a line, its lines. Pictures that lie upside down in memory have none.
    fn any_plane_parts(&self, index: usize) -> Option<(*mut u8, usize, usize)> {
        let raw = self.raw();
        let data = *raw.data.get(index).filter(|data| !data.is_null())?;
        let stride = usize::try_from(raw.linesize[index]).ok().filter(|stride| *stride > 0)?;
        let height = usize::try_from(raw.height).ok()?;
        let shift = if index == 1 || index == 2 { self.format()?.log2_chroma_h } else { 0 };
        Some((data, stride, height.div_ceil(1 << shift)))
    }
}

/// Frees what a picture of somebody else's memory was made of.
unsafe extern "C" fn drop_owner(owner: *mut c_void, _: *mut u8) {
    // SAFETY: libav calls this once for each buffer, with what it was made with.
    let owner = unsafe { Box::from_raw(owner.cast::<Box<dyn PictureBuffer>>()) };
    // A panic must not get into libav.
    let _ = contained(|| drop(owner));
}

/// 4:2:0 with 10 bits a sample, as this machine reads them.
pub const TEN_BITS: ffi::AVPixelFormat = if cfg!(target_endian = "big") {
    ffi::AVPixelFormat::AV_PIX_FMT_YUV420P10BE
} else {
    ffi::AVPixelFormat::AV_PIX_FMT_YUV420P10LE
};

/// Formats whose name says that they use the full range, and what they are called without that.
const FULL_RANGE: [(ffi::AVPixelFormat, ffi::AVPixelFormat); 5] = [
    (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P, ffi::AVPixelFormat::AV_PIX_FMT_YUV420P),
    (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ422P, ffi::AVPixelFormat::AV_PIX_FMT_YUV422P),
    (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ444P, ffi::AVPixelFormat::AV_PIX_FMT_YUV444P),
    (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ440P, ffi::AVPixelFormat::AV_PIX_FMT_YUV440P),
    (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ411P, ffi::AVPixelFormat::AV_PIX_FMT_YUV411P),
];

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

    /// Takes over what the other says of itself: times, flags, side data.
    pub fn describe_as(&mut self, other: &Self) -> Result<(), AvError> {
        // SAFETY: both packets are valid; the function copies.
        AvError::check(unsafe { ffi::av_packet_copy_props(self.0.as_ptr(), other.0.as_ptr()) }).map(drop)
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

    /// Says how its picture is to be turned.
    pub fn set_turn(&mut self, turn: Turn) -> Result<(), AvError> {
        let bytes = turn.matrix().map(i32::to_ne_bytes).concat();
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        // SAFETY: the packet is valid; what is allocated has room for the bytes, and null is handled.
        unsafe {
            let data = ffi::av_packet_new_side_data(self.0.as_ptr(), kind, bytes.len());
            if data.is_null() {
                return Err(AvError::OUT_OF_MEMORY);
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_new_picture_has_nothing_of_an_old_one() {
        for _ in 0..4 {
            let mut picture = Frame::i420(318, 180).expect("a picture");
            for index in 0..3 {
                let (bytes, _) = picture.plane_mut(index).expect("a plane");
                assert!(bytes.iter().all(|byte| *byte == 0));
                bytes.fill(0xaa);
            }
        }
    }

    /// The planes of a picture of 6x4, each with its number in it; counts its drops.
    struct Foreign([Vec<u8>; 3], Arc<AtomicUsize>);

    impl PictureBuffer for Foreign {
        fn plane(&self, index: usize) -> Plane<'_> {
            Plane { bytes: &self.0[index], stride: 8 }
        }
    }

    impl Drop for Foreign {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_picture_of_somebody_else_is_read_where_it_lies_and_given_back_after_its_last_use() {
        let drops = Arc::<AtomicUsize>::default();
        let planes = || [vec![0; 32], vec![1; 16], vec![2; 16]];
        let foreign = Foreign(planes(), Arc::clone(&drops));
        let luma = foreign.0[0].as_ptr();
        let mut frame = Frame::of_planes(6, 4, Box::new(foreign)).expect("a picture");
        assert_eq!(frame.plane(0).expect("luma").bytes.as_ptr(), luma);
        assert!((0..3).all(|index| frame.plane(index).is_some_and(|plane| usize::from(plane.bytes[5]) == index)));
        assert!(frame.plane_mut(0).is_none(), "nobody writes it");
        let shared = frame.share().expect("a reference");
        drop(frame);
        assert_eq!((drops.load(Ordering::Relaxed), shared.plane(2).expect("chroma").bytes[0]), (0, 2));
        drop(shared);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        for (width, height) in [(0, 4), (9, 4), (6, 5), (6, u32::MAX)] {
            let refused = Frame::of_planes(width, height, Box::new(Foreign(planes(), Arc::clone(&drops))));
            assert!(refused.is_err(), "{width}x{height}");
        }
        assert_eq!(drops.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_picture_says_how_it_is_turned() {
        for degrees in [0, 90, 180, 270] {
            let turn = Turn::clockwise(degrees);
            assert_eq!(Turn::of(&Frame::i420(8, 8).unwrap().turned(turn).unwrap()), turn);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! A decoder for one track of one source, bounded against hostile streams.

use std::ffi::CStr;
use std::ptr::NonNull;

use ffmpeg_sys_next as ffi;

use super::frame::{Frame, Packet};
use super::turn::{self, Turn};
use super::{log_offset, AvError, NANOSECONDS};

/// Pictures with more pixels are refused: 4096x2304 and its portrait twin fit, nothing a conference sends is larger.
const MOST_PIXELS: i64 = 4096 * 2304;

/// A block of more samples is refused: two seconds of the highest rate that is taken.
const MOST_SAMPLES: i64 = 2 * 192_000;

/// The decoders that media of live sources needs, by libav's names, as libav takes such a list. Others are not opened:
/// libav has hundreds for old games and editing suites, which few have looked into and no conference sends.
pub const WANTED: &str = "aac,aac_latm,ac3,adpcm_ima_wav,adpcm_ms,adpcm_swf,alac,amrnb,amrwb,av1,dca,dvvideo,eac3,flac,flv,\
    g722,g726,g726le,gsm,h261,h263,h263p,h264,hevc,libaom-av1,libdav1d,libopus,libspeex,libvpx,libvpx-vp9,mjpeg,mp1float,\
    mp2,mp2float,mp3,mp3float,mpeg1video,mpeg2video,mpeg4,nellymoser,opus,pcm_alaw,pcm_f32be,pcm_f32le,pcm_f64be,\
    pcm_f64le,pcm_mulaw,pcm_s8,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_u8,rawvideo,speex,theora,\
    vc1,vorbis,vp6,vp6a,vp6f,vp8,vp9,wmv3";

/// Decodes packets whose timestamps are nanoseconds into frames whose timestamps are nanoseconds.
pub struct Decoder {
    context: NonNull<ffi::AVCodecContext>,
    presentation: Presentation,
}

/// What a container says of how its pictures are to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presentation {
    /// The shape of a sample, width over height; goes before what the pictures say.
    pub aspect: Option<(u32, u32)>,
    /// Goes behind what the pictures say.
    pub turn: Turn,
}

impl Presentation {
    pub fn of(stream: &ffi::AVStream) -> Self {
        let ratio = stream.sample_aspect_ratio;
        let aspect = match (u32::try_from(ratio.num), u32::try_from(ratio.den)) {
            (Ok(num), Ok(den)) if num > 0 && den > 0 => Some((num, den)),
            _ => None,
        };
        let matrix = side_data(stream, ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX);
        let matrix = matrix.as_deref().and_then(turn::matrix_of_bytes);
        Self { aspect, turn: matrix.map_or(Turn::NONE, |matrix| Turn::of_matrix(&matrix)) }
    }
}

/// What a container says of a stream. `FFmpeg` 5 keeps it with the stream, 7 with the parameters, where a decoder's context has it
/// in both.
fn side_data(stream: &ffi::AVStream, kind: ffi::AVPacketSideDataType) -> Option<Vec<u8>> {
    let mut size = 0;
    // SAFETY: the stream is valid, and owns what is returned together with its size.
    let data = unsafe { ffi::av_stream_get_side_data(stream, kind, &raw mut size) };
    if !data.is_null() {
        // SAFETY: as above.
        return Some(unsafe { std::slice::from_raw_parts(data, size) }.to_vec());
    }
    // SAFETY: the context is checked for null and freed on every way; what it holds is its own, in the number that it says.
    unsafe {
        let mut context = ffi::avcodec_alloc_context3(std::ptr::null());
        if context.is_null() || ffi::avcodec_parameters_to_context(context, stream.codecpar) < 0 {
            ffi::avcodec_free_context(&raw mut context);
            return None;
        }
        let count = usize::try_from((*context).nb_coded_side_data).unwrap_or(0);
        let mut entries = (0..count).map(|index| &*(*context).coded_side_data.add(index));
        let found = entries.find(|entry| entry.type_ == kind && !entry.data.is_null());
        let found = found.map(|entry| std::slice::from_raw_parts(entry.data, entry.size).to_vec());
        ffi::avcodec_free_context(&raw mut context);
        found
    }
}

// SAFETY: a codec context may be used from any one thread at a time.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Opens the decoder libav has for these parameters.
    ///
    /// # Safety
    /// `parameters` must point to the valid parameters of a demuxer's stream.
    pub unsafe fn open(parameters: *const ffi::AVCodecParameters) -> Result<Self, AvError> {
        // SAFETY: the caller vouches for `parameters`; the codec pointer is checked before use, its name is a C string, and the new context is
        // owned by `decoder` from its first moment, so that every early return frees it.
        unsafe {
            let codec = ffi::avcodec_find_decoder((*parameters).codec_id);
            if codec.is_null() || !is_wanted(CStr::from_ptr((*codec).name)) {
                return Err(AvError::NO_DECODER);
            }
            let context = NonNull::new(ffi::avcodec_alloc_context3(codec)).ok_or(AvError::OUT_OF_MEMORY)?;
            let decoder = Self { context, presentation: Presentation::default() };
            AvError::check(ffi::avcodec_parameters_to_context(context.as_ptr(), parameters))?;
            let raw = context.as_ptr();
            (*raw).pkt_timebase = NANOSECONDS;
            (*raw).thread_count = 1;
            (*raw).log_level_offset = log_offset();
            (*raw).max_pixels = MOST_PIXELS;
            (*raw).max_samples = MOST_SAMPLES;
            AvError::check(ffi::avcodec_open2(raw, codec, std::ptr::null_mut()))?;
            Ok(decoder)
        }
    }

    /// The same decoder for pictures that a container wants to be shown like this.
    #[must_use]
    pub fn presented(mut self, presentation: Presentation) -> Self {
        self.presentation = presentation;
        self
    }

    /// What it decodes.
    pub fn codec(&self) -> ffi::AVCodecID {
        // SAFETY: the context is open.
        unsafe { (*self.context.as_ptr()).codec_id }
    }

    /// Its configuration, as the container carries it.
    pub fn configuration(&self) -> &[u8] {
        // SAFETY: the context is open, and owns so many bytes there.
        unsafe {
            let raw = self.context.as_ptr();
            match usize::try_from((*raw).extradata_size) {
                Ok(length) if !(*raw).extradata.is_null() => std::slice::from_raw_parts((*raw).extradata, length),
                _ => &[],
            }
        }
    }

    /// Width and height of its pictures, as far as the container or the stream has told; 0 where neither has.
    pub fn size(&self) -> (u32, u32) {
        // SAFETY: the context is open.
        let (width, height) = unsafe { ((*self.context.as_ptr()).width, (*self.context.as_ptr()).height) };
        (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
    }

    /// Whether the packets from now on are decoded with the filter that smooths the edges of blocks; at first they are. Codecs
    /// without such a filter, and libraries that do not let it be left out, take no notice.
    pub fn deblock(&mut self, wanted: bool) {
        let left_out = if wanted { ffi::AVDiscard::AVDISCARD_DEFAULT } else { ffi::AVDiscard::AVDISCARD_ALL };
        // SAFETY: the context is open, and decodes in this thread; it looks at the field at each slice.
        unsafe { (*self.context.as_ptr()).skip_loop_filter = left_out };
    }

    /// Whether its interlaced pictures are fields: two pictures of half the height for each whole one. H.264, MPEG-2 and the
    /// like are joined by libav, HEVC is not.
    pub fn sends_fields(&self) -> bool {
        self.codec() == ffi::AVCodecID::AV_CODEC_ID_HEVC
    }

    /// Lets the picture say what the container says of it.
    fn present(&self, frame: &mut Frame) -> Result<(), AvError> {
        let Presentation { aspect, turn } = self.presentation;
        if let Some(aspect) = aspect {
            frame.set_aspect(aspect);
        }
        let kind = ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX;
        if turn == Turn::NONE || frame.side_data(kind).is_some() {
            return Ok(());
        }
        frame.add_side_data(kind, &turn.matrix().map(i32::to_ne_bytes).concat())
    }

    /// Feeds one packet; `None` flushes what the decoder still holds.
    pub fn send(&mut self, packet: Option<&mut Packet>) -> Result<(), AvError> {
        let packet = packet.map_or(super::frame::no_packet(), Packet::as_mut_ptr);
        // SAFETY: the context is open, the packet valid or null.
        AvError::check(unsafe { ffi::avcodec_send_packet(self.context.as_ptr(), packet) }).map(drop)
    }

    /// The next decoded frame, or `None` when the decoder wants more input.
    pub fn receive(&mut self) -> Result<Option<Frame>, AvError> {
        let mut frame = Frame::empty()?;
        // SAFETY: the context is open and the frame valid.
        match AvError::check(unsafe { ffi::avcodec_receive_frame(self.context.as_ptr(), frame.as_mut_ptr()) }) {
            Ok(_) => self.present(&mut frame).map(|()| Some(frame)),
            Err(AvError::AGAIN | AvError::END_OF_FILE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_wanted(name: &CStr) -> bool {
    name.to_str().is_ok_and(|name| WANTED.split(',').any(|wanted| wanted == name))
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards.
        unsafe { ffi::avcodec_free_context(&raw mut context) };
    }
}

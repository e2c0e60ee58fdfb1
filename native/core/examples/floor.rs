// SPDX-License-Identifier: Apache-2.0
//! The least that a recording can cost: the same sources decoded and the same pictures and sound encoded, and nothing else.
//! `make bench-native` compares recordings with it.
//!
//! Standard input: a line of JSON, then the composed pictures as raw I420. Reading and demultiplexing a source is a part of
//! decoding it; composing, getting the composed pictures, multiplexing and writing are not counted. The time inside the
//! decoders and encoders alone is told beside.

use std::ffi::CString;
use std::io::{self, BufRead, Read};
use std::ptr::{self, NonNull};
use std::time::Duration;

use cloud_recording_core::capture::api::{AudioProfile, CanvasConfig};
use cloud_recording_core::capture::av::codec::Decoder;
use cloud_recording_core::capture::av::frame::{Frame, Packet};
use cloud_recording_core::capture::av::{self, AvError};
use cloud_recording_core::capture::encode::aac::Aac;
use cloud_recording_core::capture::encode::x264::X264;
use cloud_recording_core::capture::encode::{AudioEncoder, VideoEncoder};
use ffmpeg_sys_next as ffi;
use serde::{Deserialize, Serialize};

/// Slices begin with a key picture every so many seconds.
const SLICE_SECONDS: u64 = 15;

/// Samples are handed to the encoder as the tick does it, this many at a time.
const BLOCK: usize = 3_200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    urls: Vec<String>,
    /// Whether pictures are decoded and encoded, too.
    video: bool,
    width: u32,
    height: u32,
    frames_per_second: u32,
    bitrate_kbps: u32,
    /// The mix as raw 32 bit floats, mono at 48 kHz.
    samples: String,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Report {
    floor_seconds: f64,
    codec_seconds: f64,
}

fn main() {
    av::prepare();
    av::take_over();
    let mut input = io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line).expect("a request on standard input");
    let request: Request = serde_json::from_str(&line).expect("a request as JSON");
    let mut decode = Duration::ZERO;
    let decoders: Duration = request.urls.iter().map(|url| decode_all(url, request.video, &mut decode)).sum();
    let mut encode = encode_samples(&request.samples);
    if request.video {
        encode += encode_pictures(&request, &mut input);
    }
    let report =
        Report { floor_seconds: (decode + encode).as_secs_f64(), codec_seconds: (decoders + encode).as_secs_f64() };
    println!("{}", serde_json::to_string(&report).expect("a report as JSON"));
}

/// The processor time that this thread spends in `work`.
fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let before = processor_time();
    let result = work();
    *spent += processor_time() - before;
    result
}

fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.try_into().expect("a time"), time.tv_nsec.try_into().expect("a time"))
}

/// Decodes an opened source to its end. Adds what that takes to `whole`, and returns the time inside the decoders.
fn decode_all(url: &str, video: bool, whole: &mut Duration) -> Duration {
    let input = Demultiplexer::open(url);
    let (picture, sound) = (ffi::AVMediaType::AVMEDIA_TYPE_VIDEO, ffi::AVMediaType::AVMEDIA_TYPE_AUDIO);
    let kinds = if video { &[picture, sound][..] } else { &[sound] };
    let mut decoders: Vec<(usize, Decoder)> = kinds.iter().filter_map(|kind| input.decoder(*kind)).collect();
    timed(whole, || {
        let mut inside = Duration::ZERO;
        let mut packet = Packet::empty().expect("a packet");
        // SAFETY: context and packet are valid.
        while unsafe { ffi::av_read_frame(input.0.as_ptr(), packet.as_mut_ptr()) } >= 0 {
            if let Some((_, decoder)) = decoders.iter_mut().find(|(index, _)| *index == packet.stream()) {
                timed(&mut inside, || drain(decoder, Some(&mut packet)).expect("decodable media"));
            }
            packet = Packet::empty().expect("a packet");
        }
        for (_, decoder) in &mut decoders {
            timed(&mut inside, || drain(decoder, None).expect("decodable media"));
        }
        inside
    })
}

/// A source as libavformat opens it.
struct Demultiplexer(NonNull<ffi::AVFormatContext>);

impl Demultiplexer {
    fn open(url: &str) -> Self {
        let url = CString::new(url).expect("a URL without a NUL");
        let mut context = ptr::null_mut();
        // SAFETY: the string lives through the calls; a context that could not be opened is freed by libav.
        unsafe {
            let opened = ffi::avformat_open_input(&raw mut context, url.as_ptr(), ptr::null(), ptr::null_mut());
            assert!(opened >= 0, "a source");
            assert!(ffi::avformat_find_stream_info(context, ptr::null_mut()) >= 0, "a source that tells what it is");
        }
        Self(NonNull::new(context).expect("a source"))
    }

    /// The best stream of the kind with a decoder for it, if there is one.
    fn decoder(&self, kind: ffi::AVMediaType) -> Option<(usize, Decoder)> {
        // SAFETY: the context is open, and has a stream of the number that it gives.
        unsafe {
            let index = ffi::av_find_best_stream(self.0.as_ptr(), kind, -1, -1, ptr::null_mut(), 0);
            let index = usize::try_from(index).ok()?;
            let stream = *self.0.as_ref().streams.add(index);
            Some((index, Decoder::open((*stream).codecpar).expect("a decoder")))
        }
    }
}

impl Drop for Demultiplexer {
    fn drop(&mut self) {
        let mut context = self.0.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards.
        unsafe { ffi::avformat_close_input(&raw mut context) };
    }
}

fn drain(decoder: &mut Decoder, packet: Option<&mut Packet>) -> Result<(), AvError> {
    decoder.send(packet)?;
    while decoder.receive()?.is_some() {}
    Ok(())
}

fn encode_samples(path: &str) -> Duration {
    let bytes = std::fs::read(path).expect("the mix");
    let samples: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let mut encoder = Aac::open(AudioProfile::MusicStandard).expect("an encoder");
    let mut spent = Duration::ZERO;
    for block in samples.chunks(BLOCK) {
        let block = [block.to_vec()];
        timed(&mut spent, || encoder.encode(&block).expect("encodable samples"));
    }
    timed(&mut spent, || encoder.finish().expect("the last samples"));
    spent
}

fn encode_pictures(request: &Request, input: &mut impl Read) -> Duration {
    let Request { width, height, frames_per_second, bitrate_kbps, .. } = *request;
    let mut encoder = X264::open(CanvasConfig { width, height, frames_per_second, bitrate_kbps }).expect("an encoder");
    let mut spent = Duration::ZERO;
    for index in 0.. {
        let Some(picture) = read_picture(width, height, input) else { break };
        let key = index % (SLICE_SECONDS * u64::from(frames_per_second)) == 0;
        timed(&mut spent, || encoder.encode(&picture, key).expect("an encodable picture"));
    }
    spent
}

/// The next raw picture, or nothing at the end.
fn read_picture(width: u32, height: u32, input: &mut impl Read) -> Option<Frame> {
    let mut picture = Frame::i420(width, height).expect("a picture");
    for index in 0..3 {
        let half = u32::from(index > 0);
        let (width, height) = ((width >> half) as usize, (height >> half) as usize);
        let (bytes, stride) = picture.plane_mut(index).expect("a plane");
        for row in bytes.chunks_mut(stride).take(height) {
            input.read_exact(&mut row[..width]).ok()?;
        }
    }
    Some(picture)
}

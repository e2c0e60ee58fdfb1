// SPDX-License-Identifier: Apache-2.0
//! The least that a recording can cost: the same sources decoded and the same pictures and sound encoded, and nothing else.
//! `make bench-native` compares recordings with it.
//!
//! Standard input: a line of JSON, then the composed pictures as raw I420. Reading and demultiplexing a source is a part of
//! decoding it; composing, getting the composed pictures, multiplexing and writing are not counted. The time inside the
//! decoders and encoders alone is told beside.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use cloud_recording_core::capture::api::{AudioProfile, CanvasConfig};
use cloud_recording_core::capture::av::codec::Decoder;
use cloud_recording_core::capture::av::frame::{Frame, Packet};
use cloud_recording_core::capture::av::{self, AvError};
use cloud_recording_core::capture::encode::aac::Aac;
use cloud_recording_core::capture::encode::x264::X264;
use cloud_recording_core::capture::encode::{AudioEncoder, VideoEncoder};
use ffmpeg_next::{ffi, format, media};
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
    let mut input = format::input(url).expect("a source");
    let kinds = if video { &[media::Type::Video, media::Type::Audio][..] } else { &[media::Type::Audio] };
    let mut decoders: Vec<(usize, Decoder)> = kinds
        .iter()
        .filter_map(|kind| input.streams().best(*kind))
        // SAFETY: the parameters are those of an open demultiplexer's stream.
        .map(|stream| (stream.index(), unsafe { Decoder::open(stream.parameters().as_ptr()) }.expect("a decoder")))
        .collect();
    timed(whole, || {
        let mut inside = Duration::ZERO;
        let mut packet = Packet::empty().expect("a packet");
        // SAFETY: context and packet are valid.
        while unsafe { ffi::av_read_frame(input.as_mut_ptr(), packet.as_mut_ptr()) } >= 0 {
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

// SPDX-License-Identifier: Apache-2.0
//! An opened source: libavformat under deadlines, within the guard's rules.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::net::IpAddr;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use ffmpeg_sys_next as ffi;

use super::cause::{self, SourceCause, SourceFailure, Stage};
use super::guard::{self, Guard, Refusal};
use super::playlist::Cadence;
use super::reach::{Watch, MOST_REDIRECTS};
use super::resolved_url::ResolvedUrl;
use crate::capture::api::{Access, TrackKind};
use crate::capture::av::codec::{Decoder, Presentation, WANTED};
use crate::capture::av::frame::Packet;
use crate::capture::av::parameters::Parameters;
use crate::capture::av::{c_string, to_nanos, AvError, Options};
use crate::capture::clock::StopSignal;
use crate::capture::timeline::{Pace, Stamp};

/// Containers that are looked for. Scripts of files, session descriptions, devices and the like are not among them.
const FORMATS: &str =
    "aac,ac3,flac,flv,live_flv,h264,hevc,hls,matroska,webm,mov,mp4,mp3,mpeg,mpegts,mpegvideo,ogg,rtp,rtsp,wav";

/// Sound and pictures in no container: nothing says when they are due.
const BARE_SOUND: [&str; 4] = ["aac", "ac3", "flac", "mp3"];
const BARE_PICTURES: [&str; 3] = ["h264", "hevc", "mpegvideo"];

/// What a playlist may lead to: media, and no further playlist of playlists.
const SEGMENTS: &str =
    "max_streams=8:format_whitelist=aac,ac3,flac,h264,hevc,matroska,webm,mov,mp4,mp3,mpeg,mpegts,ogg,wav";

/// Bounds on what is looked at before the first packet, and on what a source may announce.
const LIMITS: [(&str, &str); 11] = [
    ("codec_whitelist", WANTED),
    ("format_whitelist", FORMATS),
    // Each stream may take as much memory as the largest allocation, before libav can be interrupted again. Transport
    // streams and playlists are allowed more when they are opened.
    ("max_streams", "8"),
    // What a playlist leads to is bounded by its content, and not by its name.
    ("extension_picky", "0"),
    ("probesize", "1000000"),
    ("analyzeduration", "1000000"),
    ("seg_format_options", SEGMENTS),
    // Requests on a connection that stays go past our rules.
    ("http_persistent", "0"),
    ("max_probe_packets", "500"),
    // A playlist that does not grow is one that is silent, which has a limit of its own.
    ("max_reload", "100000"),
    // Datagrams that wait to be read: 1.5 MB, where the default is 5.
    ("fifo_size", "8192"),
];

/// No picture and no sound of a live source is as large as this once it is compressed.
const MOST_BYTES: usize = 24 << 20;

pub struct Input {
    context: NonNull<ffi::AVFormatContext>,
    /// Shared with libav, which has a pointer to it; so it must be nothing that is moved as one's own.
    watch: Arc<Watch>,
    is_local_file: bool,
    unread: VecDeque<Packet>,
}

// SAFETY: a format context may be used from any one thread at a time.
unsafe impl Send for Input {}

impl Input {
    /// Connects within `limit`.
    pub fn open(
        url: &str,
        access: &Access,
        guard: &Guard,
        stop: &Arc<StopSignal>,
        limit: Duration,
    ) -> Result<Self, SourceFailure> {
        let mut url = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            match Self::open_at(&url, access, guard, stop, limit) {
                Err(NoInput::Failed(failure)) => return Err(failure),
                Err(NoInput::Redirected(to)) => url = redirected(&url, &to).map_err(SourceFailure::Forbidden)?,
                Ok(input) => return Ok(input),
            }
        }
        Err(SourceFailure::Failed(SourceCause::RedirectedForEver))
    }

    fn open_at(
        url: &str,
        access: &Access,
        guard: &Guard,
        stop: &Arc<StopSignal>,
        limit: Duration,
    ) -> Result<Self, NoInput> {
        let addresses = guard.check(url).map_err(|refusal| match refusal {
            Refusal::Unresolved => SourceFailure::Failed(SourceCause::NameUnknown),
            refusal => SourceFailure::Forbidden(refusal),
        })?;
        let watch = Arc::new(Watch::new(url, addresses.clone(), access, guard, stop));
        watch.allow(limit);
        let local = self_opened(url, addresses, &watch)?;
        match open_context(url, local.as_deref(), &watch) {
            Ok(context) => Ok(Self { context, watch, is_local_file: guard::is_file(url), unread: VecDeque::new() }),
            Err(error) => {
                watch.give_back();
                if let Some(to) = watch.forwarding.findings.take_redirect() {
                    return Err(NoInput::Redirected(to));
                }
                Err(classify(error, &watch, limit, url, Stage::Opening).into())
            }
        }
    }

    /// Reads the next packet, waiting at most `limit` for it.
    pub fn read(&mut self, limit: Duration) -> Result<Packet, SourceFailure> {
        if let Some(packet) = self.unread.pop_front() {
            return Ok(packet);
        }
        let mut packet = Packet::empty().map_err(|error| SourceFailure::Failed(SourceCause::Other(error)))?;
        self.watch.allow(limit);
        loop {
            // SAFETY: context and packet are valid.
            match AvError::check(unsafe { ffi::av_read_frame(self.context.as_ptr(), packet.as_mut_ptr()) }) {
                Ok(_) if packet.footprint() > MOST_BYTES => return Err(SourceFailure::Endless),
                Ok(_) => return Ok(packet),
                Err(AvError::AGAIN) if !self.watch.is_over() => {}
                Err(error) => return Err(classify(error, &self.watch, limit, self.watch.url(), Stage::Reading)),
            }
        }
    }

    /// Takes packets back, to be read again in this order before any other.
    pub fn unread(&mut self, packets: Vec<Packet>) {
        packets.into_iter().rev().for_each(|packet| self.unread.push_front(packet));
    }

    /// Whether media comes as it happens or from a store.
    pub fn pace(&self) -> Pace {
        if self.is_finite() || self.is_segmented() {
            Pace::Stored { lateness: self.cadence().map_or(0, Cadence::lateness) }
        } else {
            Pace::Live
        }
    }

    /// How a playlist that still grows hands out its segments.
    pub fn cadence(&self) -> Option<Cadence> {
        self.watch.cadence()
    }

    /// Whether the source has an end by its nature, so that it will not come back after it.
    pub fn is_finite(&self) -> bool {
        let context = self.context();
        // SAFETY: a non-null output belongs to the context.
        let seekable = self.is_segmented() || unsafe { context.pb.as_ref() }.is_some_and(|input| input.seekable != 0);
        seekable && context.duration != ffi::AV_NOPTS_VALUE && context.duration > 0 || self.is_local_file
    }

    fn is_segmented(&self) -> bool {
        self.is_in(&["hls"])
    }

    /// Whether it consists of pictures that carry no time.
    pub fn is_bare_pictures(&self) -> bool {
        self.is_in(&BARE_PICTURES)
    }

    fn is_in(&self, formats: &[&str]) -> bool {
        // SAFETY: an opened context has a format, whose name is a static C string.
        let name = unsafe { CStr::from_ptr((*self.context().iformat).name) }.to_bytes();
        formats.iter().any(|format| format.as_bytes() == name)
    }

    pub(super) fn context(&self) -> &ffi::AVFormatContext {
        // SAFETY: the context is alive as long as self.
        unsafe { self.context.as_ref() }
    }

    pub(super) fn streams(&self) -> &[*mut ffi::AVStream] {
        let context = self.context();
        if context.streams.is_null() {
            return &[];
        }
        // SAFETY: the context says how many stream pointers it holds.
        unsafe { std::slice::from_raw_parts(context.streams, context.nb_streams as usize) }
    }

    pub(super) fn stream(&self, index: usize) -> Option<&ffi::AVStream> {
        // SAFETY: the pointers in the list are valid as long as the context.
        self.streams().get(index).map(|stream| unsafe { &**stream })
    }

    /// Which kind of media the stream carries, if one that is recorded.
    pub fn track(&self, index: usize) -> Option<TrackKind> {
        // SAFETY: every stream has parameters.
        match self.stream(index).map(|stream| unsafe { (*stream.codecpar).codec_type })? {
            ffi::AVMediaType::AVMEDIA_TYPE_AUDIO => Some(TrackKind::Audio),
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO if !self.is_still(index) => Some(TrackKind::Video),
            _ => None,
        }
    }

    fn is_still(&self, index: usize) -> bool {
        self.stream(index).is_some_and(|stream| stream.disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0)
    }

    /// Has libav find out how long the blocks of bare sound last, by which it gives them their times.
    pub fn learn_bare_sound(&mut self, limit: Duration) {
        if self.is_in(&BARE_SOUND) {
            self.learn(limit);
        }
    }

    pub(super) fn learn(&mut self, limit: Duration) {
        self.watch.allow(limit);
        // SAFETY: the context is open. What is read is kept and read again; what is not learned stays unknown.
        unsafe { ffi::avformat_find_stream_info(self.context.as_ptr(), ptr::null_mut()) };
    }

    /// The codec of the stream as it is now.
    pub fn codec(&self, index: usize) -> Option<ffi::AVCodecID> {
        // SAFETY: every stream has parameters.
        self.stream(index).map(|stream| unsafe { (*stream.codecpar).codec_id })
    }

    /// The name of the stream's codec, where libav has none for it that of RTMP's own numbers.
    pub fn codec_name(&self, index: usize) -> String {
        let Ok(parameters) = self.parameters(index) else { return "an unknown codec".to_owned() };
        if parameters.codec() == ffi::AVCodecID::AV_CODEC_ID_NONE && self.is_in(&["flv", "live_flv"]) {
            return cause::unread_flv(parameters.tag());
        }
        parameters.codec_name()
    }

    pub fn stream_count(&self) -> usize {
        self.streams().len()
    }

    pub fn decoder(&self, index: usize) -> Result<Decoder, AvError> {
        let stream = self.stream(index).ok_or(AvError(ffi::AVERROR_STREAM_NOT_FOUND))?;
        // SAFETY: the parameters belong to a stream of this context.
        let decoder = unsafe { Decoder::open(stream.codecpar) }?;
        Ok(decoder.presented(self.presentation(index)))
    }

    /// How the container wants the stream's pictures to be shown.
    pub fn presentation(&self, index: usize) -> Presentation {
        self.stream(index).map(Presentation::of).unwrap_or_default()
    }

    /// What the container says of the stream.
    pub fn parameters(&self, index: usize) -> Result<Parameters, AvError> {
        let stream = self.stream(index).ok_or(AvError(ffi::AVERROR_STREAM_NOT_FOUND))?;
        // SAFETY: the parameters belong to a stream of this context.
        unsafe { Parameters::copied(stream.codecpar) }
    }

    /// The packet's times on the source's clock.
    pub fn stamp(&self, packet: &Packet) -> Stamp {
        let Some(stream) = self.stream(packet.stream()) else { return Stamp::default() };
        let nanos = |value| to_nanos(value, stream.time_base);
        let raw = packet.raw();
        Stamp { decode: nanos(raw.dts), present: nanos(raw.pts), duration: nanos(raw.duration).unwrap_or(0).max(0) }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // Farewells to a far end that is gone must not take long.
        self.watch.allow(FAREWELL);
        let mut context = self.context.as_ptr();
        // SAFETY: the context is owned by this value and not used afterwards; the watch outlives it.
        unsafe { ffi::avformat_close_input(&raw mut context) };
    }
}

const FAREWELL: Duration = Duration::from_secs(1);

/// Why there is no input.
enum NoInput {
    Failed(SourceFailure),
    /// The server sends on to this URL.
    Redirected(String),
}

impl From<SourceFailure> for NoInput {
    fn from(failure: SourceFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Where an RTSP server's redirect leads from `url`, with the credentials if it stays there.
fn redirected(url: &str, to: &str) -> Result<String, Refusal> {
    let (from, target) = (ResolvedUrl::new(url, Vec::new())?, ResolvedUrl::new(to, Vec::new())?);
    if !target.is_rtsp() {
        return Err(Refusal::Malformed);
    }
    if from.is_over_tls() && !target.is_over_tls() {
        return Err(Refusal::Downgrade);
    }
    Ok(if from.is_of_one_server(&target) { target.with_credentials_of(&from) } else { to.to_owned() })
}

/// The URL for the demuxers that connect by themselves, past the rules: to what was judged.
fn self_opened(url: &str, addresses: Vec<IpAddr>, watch: &Watch) -> Result<Option<String>, SourceFailure> {
    let resolved = ResolvedUrl::new(url, addresses).map_err(SourceFailure::Forbidden)?;
    if resolved.is_rtsp() {
        let Some(server) = resolved.server() else { return Err(SourceFailure::Forbidden(Refusal::Malformed)) };
        let port = watch.forwarding.port_to(server).map_err(SourceFailure::Failed)?;
        return Ok(Some(resolved.through(port)));
    }
    Ok(if url.starts_with("rtp://") { resolved.direct().into_iter().next() } else { None })
}

/// Opens the URL, or instead of it the local one.
fn open_context(text: &str, local: Option<&str>, watch: &Watch) -> Result<NonNull<ffi::AVFormatContext>, AvError> {
    let url = c_string(local.unwrap_or(text))?;
    let whitelist = watch.whitelist();
    // There is no media by UDP within TLS.
    let transport = if text.starts_with("rtsps:") { ("rtsp_transport", "tcp") } else { ("rtsp_flags", "prefer_tcp") };
    let mut pairs = vec![("protocol_whitelist", whitelist.as_str()), transport];
    pairs.extend(LIMITS);
    let mut options = Options::new(&pairs)?;
    // SAFETY: the new context is checked for null; the pointers that it keeps (to the watch) stay valid until it is
    // closed, as `Input` owns both and closes the context first. A failed opening frees the context itself.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(AvError::OUT_OF_MEMORY);
        }
        watch.over(context);
        AvError::check(ffi::avformat_open_input(&raw mut context, url.as_ptr(), ptr::null(), options.as_mut_ptr()))?;
        NonNull::new(context).ok_or(AvError::OUT_OF_MEMORY)
    }
}

/// What an error of libav means for the participant.
fn classify(error: AvError, watch: &Watch, limit: Duration, url: &str, stage: Stage) -> SourceFailure {
    if watch.stop.is_raised() {
        return SourceFailure::Stopped;
    }
    if let Some(refusal) = watch.take_refusal() {
        return SourceFailure::Forbidden(refusal);
    }
    if watch.is_gorged() {
        return SourceFailure::Endless;
    }
    let is_late = error == AvError::INTERRUPTED || watch.is_over();
    if stage == Stage::Reading && cause::is_end(error, url) {
        return watch.take_cause().map_or(SourceFailure::Ended, SourceFailure::Failed);
    }
    match watch.waits_because() {
        Some(cause) => SourceFailure::Failed(cause),
        None if is_late => SourceFailure::TimedOut(limit),
        None if error == AvError::END_OF_FILE => SourceFailure::Ended,
        None => {
            tracing::debug!(detail = %error, "the source fails");
            SourceFailure::Failed(SourceCause::of(error, url, stage))
        }
    }
}

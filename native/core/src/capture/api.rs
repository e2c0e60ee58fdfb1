// SPDX-License-Identifier: Apache-2.0
//! The border between capture (sources, mixing, encoding, slicing) and delivery (journal, upload, playlists, callbacks).
//!
//! Capture produces closed slices and facts; delivery decides what they mean for a recording. But for
//! starting, steering and repairing, neither calls into the other by any other way than the types here, so that each can
//! be tested alone.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::fault::Fatal;
use super::{HostPattern, RoomSelection};
use crate::error::Error;
use crate::livekit::token::Admission;

/// Milliseconds since the Unix epoch, UTC; derived from one anchor plus a monotonic clock, so it never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcMillis(pub i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKinds {
    AudioOnly,
    VideoOnly,
    AudioVideo,
}

/// 48 kHz AAC; channels and bit rate follow from the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioProfile {
    MusicStandard,
    MusicHighQuality,
    MusicHighQualityStereo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoStream {
    High,
    Low,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Float,
    BestFit,
    Vertical,
}

/// Who is to be seen large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaxResolution {
    /// 0 means nobody.
    Uid(u32),
    /// By what a room tells its participants apart.
    Identity(Arc<str>),
}

impl From<u32> for MaxResolution {
    fn from(uid: u32) -> Self {
        Self::Uid(uid)
    }
}

/// How a picture fills its region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Fit {
    /// As the layout has it: what does not fit is cut off, but in Vertical's large region.
    #[default]
    Crop,
    /// Every picture is seen whole, beside background.
    Contain,
}

/// The composed picture: even width and height in pixels, at most 1920x1080 in either orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanvasConfig {
    pub width: u32,
    pub height: u32,
    pub frames_per_second: u32,
    pub bitrate_kbps: u32,
}

/// One participant of a `streams` channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSource {
    pub uid: u32,
    pub name: Option<String>,
    pub url: String,
    /// Whose connection brings no media for so long has left.
    pub silence: Duration,
    pub access: Access,
}

/// A room of LiveKit, whose participants are found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSource {
    pub url: String,
    pub admission: Admission,
    pub access: RoomAccess,
    pub selection: RoomSelection,
    /// Without it, what is encrypted is not recorded.
    pub shared_key: Option<SecretText>,
    /// Who is to be seen large, instead of the uid of the configuration.
    pub max_resolution_identity: Option<String>,
    /// The recorder's own uid, which nobody else gets.
    pub recorder_uid: u32,
}

/// What lets the recorder into a room.
#[derive(Clone, PartialEq, Eq)]
pub enum RoomAccess {
    /// With which tokens are made.
    Key {
        key: SecretText,
        secret: SecretText,
    },
    Token(SecretText),
}

/// What nobody is to see.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretText {
    Given(String),
    /// The file's content, which may be another one later.
    InFile(PathBuf),
}

impl SecretText {
    /// The text as it is now, without the line's end that a file may have behind it.
    ///
    /// # Errors
    /// When there is no such file, or it is empty or no text.
    pub fn read(&self) -> io::Result<String> {
        let path = match self {
            Self::Given(text) => return Ok(text.clone()),
            Self::InFile(path) => path,
        };
        let told = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), told(&error)))?;
        let line = text.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, told(&"is empty")));
        }
        Ok(line.to_owned())
    }
}

/// Without what is secret.
impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

/// Without what is secret.
impl fmt::Debug for RoomAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key { .. } => "Key",
            Self::Token(_) => "Token",
        })
    }
}

impl StreamSource {
    /// Whether both are connected to in the same way, whatever they are called.
    #[must_use]
    pub fn is_reached_as(&self, other: &Self) -> bool {
        (self.uid, &self.url, self.silence, &self.access) == (other.uid, &other.url, other.silence, &other.access)
    }
}

/// What a source's server asks for, and what it is asked for, beside the URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Headers of HTTP by name, in the order in which they are sent. Values may be secret.
    pub headers: Vec<(String, String)>,
    pub trust: Trust,
}

/// How a server proves over TLS that it is the one of the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// By a certificate for its name, signed by an authority of the system.
    #[default]
    System,
    /// The same, or by one of the authorities in this PEM file.
    Authorities(PathBuf),
    /// By the certificate with this SHA-256 of its DER form.
    Certificate([u8; 32]),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Access").field("headers", &names).field("trust", &self.trust).finish()
    }
}

/// Recording without transcoding: slices end where the source has key frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passthrough {
    /// No slice is longer, whatever the source does.
    pub longest_slice: Duration,
}

/// Everything capture needs, already validated by delivery.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    pub sources: Vec<StreamSource>,
    /// A room, instead of sources.
    pub room: Option<RoomSource>,
    pub protocols: Vec<String>,
    pub allow_link_local: bool,
    pub allowed_hosts: Vec<HostPattern>,
    pub kinds: StreamKinds,
    pub audio_profile: AudioProfile,
    pub video_stream: VideoStream,
    pub canvas: CanvasConfig,
    pub layout: Layout,
    /// 0 means nobody.
    pub max_resolution_uid: u32,
    pub fit: Fit,
    pub slice: Duration,
    /// Record the only source as it is, where it can be.
    pub passthrough: Option<Passthrough>,
    /// The recording's time does not begin before, whatever the wall clock says.
    pub earliest: UtcMillis,
    pub directory: PathBuf,
    /// `<filePrefix><sid>_<safe channel>`; a slice is `<stem>_<yyyyMMddHHmmssSSS>.ts`.
    pub file_stem: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrackKind {
    Audio,
    Video,
}

/// A track of the output began or began again; becomes EXT-X-AGORA-TRACK-EVENT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackStart {
    pub kind: TrackKind,
    pub at: UtcMillis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSlice {
    pub file_name: String,
    pub path: PathBuf,
    pub start: UtcMillis,
    /// True where the timeline does not continue the previous slice (first slice, after a pause or gap).
    pub discontinuity: bool,
    pub track_starts: Vec<TrackStart>,
}

/// A slice whose file is complete and fsynced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedSlice {
    pub open: OpenSlice,
    /// From presentation time stamps, in 90 kHz ticks.
    pub duration_ticks: u64,
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub md5: [u8; 16],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    AwaitsPlace,
    AwaitsKeyPicture,
    StandsStill,
}

impl Remark {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AwaitsPlace => "waits for a place: seventeen others are recorded",
            Self::AwaitsKeyPicture => "waiting for a key picture",
            Self::StandsStill => "no new picture comes: the last one stays",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureEvent {
    /// A participant that may come, of whom nothing was known at the start, or who is called otherwise from now on. `identity`:
    /// by what the channel itself tells participants apart, where that is no number.
    Expected { uid: u32, name: Option<String>, identity: Option<String> },
    /// The participant has left, or never came, and is not to come any more.
    Dismissed { uid: u32 },
    /// First decodable media of a participant arrived (again).
    Joined { uid: u32, at: UtcMillis, audio: bool, video: bool },
    /// The kinds of media a joined participant sends changed.
    MediaChanged { uid: u32, audio: bool, video: bool },
    /// `lost`: the connection broke; else the source said that it is over, or fell silent.
    Left { uid: u32, at: UtcMillis, lost: bool, message: String },
    /// What a person wants to know of a participant whose connection stands, and when it is so no longer.
    Remark { uid: u32, remark: Remark, holds: bool },
    /// Not reachable or not decodable; capture retries. `refused`: the far end said no (401, 403, rejected), not "not there".
    Unavailable { uid: u32, refused: bool, message: String },
    /// One kind of media of a participant cannot be recorded, at least for now; the other may well be. `is_news`: it was
    /// not told before, or long ago. `cause`: the same in one word for programs, if there is one.
    TrackLost { uid: u32, track: TrackKind, reason: String, cause: Option<&'static str>, is_news: bool },
    /// What a participant sends of one kind is wrong in part; the rest of it is recorded.
    TrackDamaged { uid: u32, track: TrackKind, reason: String, is_news: bool },
    /// A track is recorded, and for a while nothing was wrong with it any more.
    TrackHealed { uid: u32, track: TrackKind },
    /// A stream that was to be recorded as it is cannot be, and is transcoded from now on.
    Transcoding { uid: u32, reason: String },
    /// The channel itself cannot be entered, or was left; capture retries. `refused`: the far end said no.
    ChannelUnreached { refused: bool, message: String },
    /// The recorder is in the channel.
    ChannelReached,
    /// Somebody had the recorder leave the channel; capture does not retry.
    ThrownOut { message: String },
    /// Nothing could be recorded in [start, stop).
    Gap { start: UtcMillis, stop: UtcMillis, reason: String },
    /// Capture cannot go on; its threads end by themselves.
    Broken(Fatal),
}

/// What capture tells delivery. Called from capture's threads; implementations must not block on the network.
pub trait CaptureSink: Send + Sync {
    /// Returns once the intention is durable: a killed process must know of the file before its first byte.
    fn slice_opened(&self, slice: &OpenSlice) -> Result<(), Error>;
    fn slice_closed(&self, slice: ClosedSlice) -> Result<(), Error>;
    fn event(&self, event: CaptureEvent);

    /// Tells that nothing could be recorded from `start` to `stop`, if there is a time between them.
    fn gap(&self, start: UtcMillis, stop: UtcMillis, reason: String) {
        if start < stop {
            self.event(CaptureEvent::Gap { start, stop, reason });
        }
    }
}

/// Live figures, cheap to read from any thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaptureFigures {
    pub position: Duration,
    pub tick_lateness_p50: Duration,
    pub tick_lateness_p99: Duration,
}

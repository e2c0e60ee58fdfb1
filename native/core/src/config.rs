// SPDX-License-Identifier: Apache-2.0
//! The configuration document: what the published interface has no room for. Parsing checks everything that can be
//! checked without the call that starts a recording; its messages name the field and never repeat a value, as values
//! may be secret.

mod access;
mod objects;
mod room;
mod storage;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::capture::api::Fit;
use crate::capture::HostPattern;
use crate::error::{Code, Error};
use crate::names;
pub use access::Header;
pub use objects::{Encryption, ObjectOptions};
pub use room::LiveKit;
pub use storage::{check_name, AccessKeyFiles, BackupSettings, BucketLocation, CredentialFiles, Storage};

/// As many as the layouts have regions for.
pub const MOST_STREAMS: usize = 17;

/// As many parts as one playlist is made over.
const MOST_PARTS: usize = 1000;

const PROTOCOLS: &[&str] = &["rtmp", "rtmps", "rtsp", "rtsps", "srt", "http", "https", "udp", "rtp", "tcp", "file"];
const SLICE_SECONDS: std::ops::RangeInclusive<u32> = 2..=60;
const WAIT_SECONDS: std::ops::RangeInclusive<u32> = 1..=2_592_000;
const LONGEST_SLICE_SECONDS: u32 = 120;
/// How long after its asked length a slice waits for a key frame, if nothing else is said.
const AWAITS_KEY_FRAME_SECONDS: u32 = 15;
const RECONNECT_SECONDS: std::ops::RangeInclusive<u32> = 1..=3600;
const SILENCE_SECONDS: std::ops::RangeInclusive<u32> = 3..=600;
const LONGEST_FILE_PREFIX: usize = 32;
const NODE_DISK_FREE_PERCENT: std::ops::RangeInclusive<u32> = 0..=90;
const FINAL_UPLOAD_SECONDS: std::ops::RangeInclusive<u32> = 1..=30 * 24 * 3600;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// Taken by the first recorder that uses the document.
    pub recording_id: Option<String>,
    #[serde(default)]
    pub file_prefix: String,
    pub work_dir: Option<PathBuf>,
    /// How many bytes of the work volume the recording may count on, where that is less than the file system says.
    pub work_bytes: Option<u64>,
    #[serde(default)]
    pub work_volume: WorkVolume,
    /// What of a node's disk its kubelet keeps free by evicting pods, in per cent, where that is known.
    pub node_disk_free_percent: Option<u32>,
    #[serde(default = "default_slice_seconds")]
    pub slice_seconds: u32,
    /// How long a channel whose last connection broke is only interrupted.
    #[serde(default = "default_reconnect_seconds")]
    pub reconnect_seconds: u32,
    /// How long nobody may come at first, where that is not the interface's `max_idle_time`.
    pub max_wait_seconds: Option<u32>,
    #[serde(default)]
    pub fit: Fit,
    #[serde(default = "default_outputs")]
    pub outputs: Vec<OutputFormat>,
    #[serde(default = "default_protocols")]
    pub protocols: Vec<String>,
    #[serde(default)]
    pub allow_link_local: bool,
    /// Where sources may lead.
    #[serde(default = "any_host")]
    pub allowed_hosts: Vec<HostPattern>,
    #[serde(default)]
    pub storage: Storage,
    /// For a rescue: where what is left goes, if nothing of the recording is in the bucket yet.
    #[serde(rename = "place")]
    pub location: Option<BucketLocation>,
    pub backup: Option<BackupSettings>,
    /// For a rescue: what was concluded in the backup store comes from there, where the disk that had it is gone.
    #[serde(default)]
    pub from_backup: bool,
    /// For a merge: the parts of the recording, in their order.
    #[serde(default)]
    pub parts: Vec<PartFiles>,
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// How long after the stop the stores may take nothing before that is fatal; null is for ever.
    #[serde(default = "default_final_upload_seconds")]
    pub final_upload_seconds: Option<u32>,
    /// Whether the recording's directory stays when everything in it is delivered and the recorder is released.
    #[serde(default)]
    pub keep_directory: bool,
    #[serde(default)]
    pub log: LogSettings,
}

/// Where the recording's log goes, which says what happened to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSettings {
    pub to: LogTo,
    /// Of the file `<recording id>.log`; `cloud_recording_log` below the current directory unless said.
    pub directory: Option<PathBuf>,
    pub level: LogLevel,
    /// Whether libav's own words are wanted, too. Its log is the whole process's: for programs that have nothing else
    /// to do with libav.
    pub libav: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum LogTo {
    /// Lines of text.
    #[default]
    File,
    /// A JSON object for each line.
    StandardError,
    Off,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum LogLevel {
    #[default]
    Info,
    Debug,
}

/// Whose disk the work volume is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum WorkVolume {
    /// Nobody is harmed where it is full.
    #[default]
    Dedicated,
    /// A Kubernetes node's, whose kubelet evicts pods long before it is full.
    NodeDisk,
}

/// What is made of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum OutputFormat {
    #[serde(rename = "HLS")]
    Hls,
    /// One file of all slices, after the stop.
    #[serde(rename = "MP4")]
    Mp4,
}

/// What a recording left that one process of it made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartFiles {
    #[serde(default)]
    pub file_prefix: String,
    /// The name of its playlist, where that is not the usual one.
    pub playlist: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    /// A channel without a name answers to any.
    pub name: Option<String>,
    #[serde(default)]
    pub streams: Vec<Stream>,
    /// A room of LiveKit, instead of streams.
    pub livekit: Option<LiveKit>,
    /// Record the only stream as it is.
    pub passthrough: Option<PassthroughSettings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassthroughSettings {
    /// What the playlist declares: slices that wait for a key frame are not longer.
    pub longest_slice_seconds: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stream {
    pub uid: u32,
    pub url: Option<String>,
    /// A file that holds the URL, for URLs that carry a key.
    pub url_file: Option<PathBuf>,
    pub name: Option<String>,
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The one certificate to trust, by the digest of its DER form.
    pub certificate_sha256: Option<String>,
    /// Whose connection brings no media for so long has left.
    #[serde(default = "default_silence_seconds")]
    pub silence_seconds: u32,
}

/// What `cr_set_streams` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamList {
    streams: Vec<Stream>,
}

fn any_host() -> Vec<HostPattern> {
    vec![HostPattern::Any]
}

fn default_slice_seconds() -> u32 {
    15
}

fn default_reconnect_seconds() -> u32 {
    60
}

fn default_silence_seconds() -> u32 {
    30
}

#[allow(clippy::unnecessary_wraps)] // null is another value than none
fn default_final_upload_seconds() -> Option<u32> {
    Some(300)
}

fn default_outputs() -> Vec<OutputFormat> {
    vec![OutputFormat::Hls]
}

fn default_protocols() -> Vec<String> {
    PROTOCOLS.iter().map(ToString::to_string).collect()
}

impl Document {
    /// The document in the text; an error names the field that is wrong and says why.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document: Self = parsed(text, "JSON document")?;
        document.check()?;
        Ok(document)
    }

    /// How long nobody may come at first, if the document says so.
    #[must_use]
    pub fn max_wait(&self) -> Option<Duration> {
        self.max_wait_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// The document in the file that `CLOUD_RECORDING_CHANNEL_FILE` names.
    pub fn from_environment() -> Result<Self, Error> {
        let Some(path) = std::env::var_os(CHANNEL_FILE) else {
            return Err(invalid(&format!(
                "no configuration: name its file in {CHANNEL_FILE}, or give it with cr_configure_next"
            )));
        };
        let path = PathBuf::from(path);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| invalid(&format!("{} ({CHANNEL_FILE}): {error}", path.display())))?;
        Self::parse(&text)
    }

    /// The channel by this name, or the one without a name, with its place in the document.
    pub fn channel(&self, name: &str) -> Result<(usize, &Channel), Error> {
        let by_name = self.channels.iter().position(|channel| channel.name.as_deref() == Some(name));
        let index = by_name
            .or_else(|| self.channels.iter().position(|channel| channel.name.is_none()))
            .ok_or_else(|| invalid(&format!("channels: none is named {name:?}, and none is without a name")))?;
        Ok((index, &self.channels[index]))
    }

    /// Where recordings keep their files until they are in the bucket.
    #[must_use]
    pub fn work_directory(&self) -> Option<PathBuf> {
        let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.work_dir
            .clone()
            .or_else(|| from("CLOUD_RECORDING_WORK_DIR"))
            .or_else(|| from("XDG_STATE_HOME").map(|state| state.join("cloud-recording")))
            .or_else(|| from("HOME").map(|home| home.join(".local/state/cloud-recording")))
    }

    #[must_use]
    pub fn final_upload(&self) -> Option<Duration> {
        self.final_upload_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    #[must_use]
    pub fn slice(&self) -> Duration {
        Duration::from_secs(u64::from(self.slice_seconds))
    }

    #[must_use]
    pub fn reconnect(&self) -> Duration {
        Duration::from_secs(u64::from(self.reconnect_seconds))
    }

    /// The longest that a slice of the channel can be.
    #[must_use]
    pub fn longest_slice_seconds(&self, channel: &Channel) -> u32 {
        channel.passthrough.map_or(self.slice_seconds, |passthrough| {
            passthrough.longest_slice_seconds.unwrap_or(self.slice_seconds + AWAITS_KEY_FRAME_SECONDS)
        })
    }

    fn check(&self) -> Result<(), Error> {
        if self.recording_id.as_deref().is_some_and(|id| !names::is_recording_id(id)) {
            return Err(invalid("recordingId: must be 32 lower-case hexadecimal digits"));
        }
        check_file_prefix("filePrefix", &self.file_prefix)?;
        check_parts(&self.parts)?;
        within(self.slice_seconds, &SLICE_SECONDS, || "sliceSeconds".to_owned())?;
        if let Some(percent) = self.node_disk_free_percent {
            within(percent, &NODE_DISK_FREE_PERCENT, || "nodeDiskFreePercent".to_owned())?;
        }
        self.max_wait_seconds
            .map_or(Ok(()), |seconds| within(seconds, &WAIT_SECONDS, || "maxWaitSeconds".to_owned()))?;
        within(self.reconnect_seconds, &RECONNECT_SECONDS, || "reconnectSeconds".to_owned())?;
        if self.final_upload_seconds.is_some_and(|seconds| !FINAL_UPLOAD_SECONDS.contains(&seconds)) {
            let (least, most) = (FINAL_UPLOAD_SECONDS.start(), FINAL_UPLOAD_SECONDS.end());
            return Err(invalid(&format!("finalUploadSeconds: must be from {least} to {most}, or null for ever")));
        }
        if !self.outputs.contains(&OutputFormat::Hls) {
            return Err(invalid("outputs: must have \"HLS\", and may have \"MP4\" beside it"));
        }
        for (index, protocol) in self.protocols.iter().enumerate() {
            if !PROTOCOLS.contains(&protocol.as_str()) {
                return Err(invalid(&format!("protocols[{index}]: must be one of {}", PROTOCOLS.join(", "))));
            }
        }
        self.storage.check("storage")?;
        self.location.as_ref().map_or(Ok(()), |location| location.check("place."))?;
        self.backup.as_ref().map_or(Ok(()), BackupSettings::check)?;
        self.check_channels()
    }

    fn check_channels(&self) -> Result<(), Error> {
        let mut seen = HashSet::new();
        for (index, channel) in self.channels.iter().enumerate() {
            if !seen.insert(channel.name.as_deref()) {
                return Err(invalid(&format!("channels[{index}].name: another channel has it already")));
            }
            channel.check(index)?;
            self.check_passthrough(index, channel)?;
        }
        Ok(())
    }
}

impl Document {
    fn check_passthrough(&self, index: usize, channel: &Channel) -> Result<(), Error> {
        let Some(passthrough) = channel.passthrough else { return Ok(()) };
        let field = format!("channels[{index}].passthrough");
        if channel.streams.len() != 1 {
            let count = channel.streams.len();
            return Err(invalid(&format!(
                "{field}: only a single stream can be recorded as it is, and streams has {count}; leave it out"
            )));
        }
        let least = self.slice_seconds + 1;
        if passthrough.longest_slice_seconds.is_some_and(|most| !(least..=LONGEST_SLICE_SECONDS).contains(&most)) {
            return Err(invalid(&format!(
                "{field}.longestSliceSeconds: must be from {least} (more than sliceSeconds) to {LONGEST_SLICE_SECONDS}"
            )));
        }
        Ok(())
    }
}

impl Channel {
    fn check(&self, index: usize) -> Result<(), Error> {
        if let Some(livekit) = &self.livekit {
            if !self.streams.is_empty() {
                return Err(invalid(&format!("channels[{index}]: must have either streams or livekit")));
            }
            return livekit.check(&format!("channels[{index}].livekit"));
        }
        Stream::check_list(&self.streams, &format!("channels[{index}].streams"))
    }
}

impl Stream {
    /// The streams of a JSON list; an error names the field that is wrong and says why.
    pub fn list(text: &str) -> Result<Vec<Self>, Error> {
        let streams: StreamList = parsed(text, "list of streams")?;
        Self::check_list(&streams.streams, "streams")?;
        Ok(streams.streams)
    }

    fn check_list(streams: &[Self], field: &str) -> Result<(), Error> {
        if streams.is_empty() || streams.len() > MOST_STREAMS {
            return Err(invalid(&format!("{field}: must be from 1 to {MOST_STREAMS}")));
        }
        let mut seen = HashSet::new();
        for (position, stream) in streams.iter().enumerate() {
            if stream.uid == 0 {
                return Err(invalid(&format!("{field}[{position}].uid: must be from 1 to {}", u32::MAX)));
            }
            if !seen.insert(stream.uid) {
                return Err(invalid(&format!("{field}[{position}].uid: another stream of the channel has it already")));
            }
            if stream.url.is_some() == stream.url_file.is_some() {
                return Err(invalid(&format!("{field}[{position}]: must have either url or urlFile")));
            }
            stream.check_access(stream.url.as_deref(), &format!("{field}[{position}]"))?;
            within(stream.silence_seconds, &SILENCE_SECONDS, || format!("{field}[{position}].silenceSeconds"))?;
        }
        Ok(())
    }
}

fn check_file_prefix(field: &str, prefix: &str) -> Result<(), Error> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if prefix.len() <= LONGEST_FILE_PREFIX && prefix.bytes().all(safe) {
        return Ok(());
    }
    Err(invalid(&format!(
        "{field}: must be at most {LONGEST_FILE_PREFIX} of the characters A-Z, a-z, 0-9, '.', '_' and '-'"
    )))
}

fn check_parts(parts: &[PartFiles]) -> Result<(), Error> {
    if parts.len() > MOST_PARTS {
        return Err(invalid(&format!("parts: must be at most {MOST_PARTS}")));
    }
    let mut seen = HashSet::new();
    for (index, part) in parts.iter().enumerate() {
        check_file_prefix(&format!("parts[{index}].filePrefix"), &part.file_prefix)?;
        if !seen.insert(&part.file_prefix) {
            return Err(invalid(&format!("parts[{index}].filePrefix: another part has it already")));
        }
    }
    Ok(())
}

fn within(value: u32, range: &std::ops::RangeInclusive<u32>, field: impl FnOnce() -> String) -> Result<(), Error> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(invalid(&format!("{}: must be from {} to {}", field(), range.start(), range.end())))
}

const CHANNEL_FILE: &str = "CLOUD_RECORDING_CHANNEL_FILE";

fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidParameter, message)
}

/// The text as what it is to be, whole.
fn parsed<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| invalid(&explain(&error)))?;
    deserializer.end().map_err(|_| invalid(&format!("there is something after the end of the {what}")))?;
    Ok(value)
}

/// serde's words without the value they would repeat, after the path of the field they are about.
fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let inner = error.inner();
    let position = format!("line {}, column {}", inner.line(), inner.column());
    let message = inner.to_string();
    let message = message.rsplit_once(" at line").map_or(message.as_str(), |(words, _)| words);
    let message = match message.split_once(", expected ") {
        Some((found, expected)) if !found.starts_with("unknown field") => format!("must be {expected}"),
        _ => message.to_owned(),
    };
    // A URL where a field's name should be is a value, too.
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.rsplit_once("`, expected"));
    let message = match unknown {
        Some((name, expected)) if plain(name) != name => format!("unknown field `…`, expected{expected}"),
        _ => message,
    };
    let path = error.path().to_string();
    match plain(&path) {
        "." | "?" => format!("{message} ({position})"),
        plain if plain != path => format!("{plain}…: {message} ({position})"),
        _ => format!("{path}: {message} ({position})"),
    }
}

/// As far as the text is a name or a path of names.
fn plain(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-[]?".contains(c)));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

// SPDX-License-Identifier: Apache-2.0
//! The configuration document: what the published interface has no room for. Parsing checks everything that can be
//! checked without the call that starts a recording; its messages name the field and never repeat a value, as values
//! may be secret.

mod access;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capture::api::Fit;
use crate::capture::HostPattern;
use crate::error::{Code, Error};
use crate::names;
pub use access::Header;

/// As many as the layouts have regions for.
pub const MOST_STREAMS: usize = 17;

const PROTOCOLS: &[&str] = &["rtmp", "rtmps", "rtsp", "rtsps", "srt", "http", "https", "udp", "rtp", "tcp", "file"];
const SLICE_SECONDS: std::ops::RangeInclusive<u32> = 2..=60;
const WAIT_SECONDS: std::ops::RangeInclusive<u32> = 1..=2_592_000;
const LONGEST_SLICE_SECONDS: u32 = 120;
/// How long after its asked length a slice waits for a key frame, if nothing else is said.
const KEY_FRAME_SECONDS: u32 = 15;
const RECONNECT_SECONDS: std::ops::RangeInclusive<u32> = 1..=3600;
const SILENCE_SECONDS: std::ops::RangeInclusive<u32> = 3..=600;
const LONGEST_FILE_PREFIX: usize = 32;
const FINAL_UPLOAD_SECONDS: std::ops::RangeInclusive<u32> = 1..=30 * 24 * 3600;
const MOST_AFTER_SECONDS: u32 = 24 * 3600;

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
    pub place: Option<BucketPlace>,
    pub backup: Option<BackupSettings>,
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

/// What is different about the bucket from what vendor and region say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub prefix: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub encryption: Option<Encryption>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub storage_class: Option<String>,
    pub credential_files: Option<CredentialFiles>,
}

/// The store that takes what the bucket does not: everything about it, as the interface's call names the bucket alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupSettings {
    pub bucket: String,
    pub credential_files: CredentialFiles,
    /// How long the bucket may fail before slices go to the backup store.
    #[serde(default = "default_after_seconds")]
    pub after_seconds: u32,
    #[serde(default)]
    pub vendor: VendorName,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub prefix: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub encryption: Option<Encryption>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub storage_class: Option<String>,
}

/// Where a recording goes instead, while nothing of it is in the bucket; all else about its bucket stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketPlace {
    pub bucket: String,
    #[serde(default)]
    pub vendor: VendorName,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
}

/// A vendor of the interface by name, or any other server that speaks S3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum VendorName {
    Qiniu,
    #[serde(rename = "AWS")]
    Aws,
    Aliyun,
    #[default]
    S3,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", deny_unknown_fields)]
pub enum Encryption {
    #[serde(rename = "SSE-S3")]
    Bucket {},
    #[serde(rename = "SSE-KMS")]
    Kms {
        #[serde(rename = "keyId")]
        key_id: String,
    },
}

/// Files that hold the bucket's keys; read anew for every request, so that rotation needs no restart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialFiles {
    pub access_key: PathBuf,
    pub secret_key: PathBuf,
    pub session_token: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    /// A channel without a name answers to any.
    pub name: Option<String>,
    pub streams: Vec<Stream>,
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

fn default_after_seconds() -> u32 {
    60
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
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let document: Self =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| invalid(&explain(&error)))?;
        deserializer.end().map_err(|_| invalid("there is something after the end of the JSON document"))?;
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
            passthrough.longest_slice_seconds.unwrap_or(self.slice_seconds + KEY_FRAME_SECONDS)
        })
    }

    fn check(&self) -> Result<(), Error> {
        if self.recording_id.as_deref().is_some_and(|id| !names::is_recording_id(id)) {
            return Err(invalid("recordingId: must be 32 lower-case hexadecimal digits"));
        }
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.file_prefix.len() > LONGEST_FILE_PREFIX || !self.file_prefix.bytes().all(safe) {
            return Err(invalid(&format!(
                "filePrefix: must be at most {LONGEST_FILE_PREFIX} of the characters A-Z, a-z, 0-9, '.', '_' and '-'"
            )));
        }
        within(self.slice_seconds, &SLICE_SECONDS, || "sliceSeconds".to_owned())?;
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
        self.place.as_ref().map_or(Ok(()), |place| place.check("place."))?;
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

impl Storage {
    fn check(&self, field: &str) -> Result<(), Error> {
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(&format!("{field}."), endpoint)?;
        }
        let wrong_part = |part: &str| matches!(part, "" | "." | "..") || part.contains(|c: char| c.is_control());
        if self.prefix.as_deref().is_some_and(|prefix| prefix.split('/').any(wrong_part)) {
            return Err(invalid(&format!("{field}.prefix: must be names joined by '/', with none at either end")));
        }
        Ok(())
    }
}

impl BucketPlace {
    /// The place in the text; an error names the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let place: Self =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| invalid(&explain(&error)))?;
        deserializer.end().map_err(|_| invalid("there is something after the end of the JSON document"))?;
        place.check("")?;
        Ok(place)
    }

    fn check(&self, before: &str) -> Result<(), Error> {
        check_place(before, &self.bucket, self.vendor, self.endpoint.as_deref(), self.region.as_deref())
    }
}

/// What any bucket must have to be found.
fn check_place(
    before: &str,
    bucket: &str,
    vendor: VendorName,
    endpoint: Option<&str>,
    region: Option<&str>,
) -> Result<(), Error> {
    if bucket.is_empty() {
        return Err(invalid(&format!("{before}bucket: is required")));
    }
    if vendor == VendorName::S3 && endpoint.is_none() {
        let message = format!("{before}endpoint: is required, unless {before}vendor names Qiniu, AWS or Aliyun");
        return Err(invalid(&message));
    }
    if vendor != VendorName::S3 && endpoint.is_none() && region.is_none() {
        return Err(invalid(&format!("{before}region: is required where {before}endpoint is left out")));
    }
    endpoint.map_or(Ok(()), |endpoint| check_endpoint(before, endpoint))
}

fn check_endpoint(before: &str, endpoint: &str) -> Result<(), Error> {
    let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    let plain = host.map(|host| host.strip_suffix('/').unwrap_or(host));
    if plain.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@', ' '])) {
        return Err(invalid(&format!("{before}endpoint: must be http:// or https://, a host, and at most a port")));
    }
    Ok(())
}

impl BackupSettings {
    /// How the backup store is reached, as for the bucket.
    #[must_use]
    pub fn storage(&self) -> Storage {
        Storage {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
            prefix: self.prefix.clone(),
            ca_file: self.ca_file.clone(),
            encryption: self.encryption.clone(),
            tags: self.tags.clone(),
            storage_class: self.storage_class.clone(),
            credential_files: Some(self.credential_files.clone()),
        }
    }

    #[must_use]
    pub fn after(&self) -> Duration {
        Duration::from_secs(u64::from(self.after_seconds))
    }

    fn check(&self) -> Result<(), Error> {
        check_place("backup.", &self.bucket, self.vendor, self.endpoint.as_deref(), self.region.as_deref())?;
        if self.after_seconds > MOST_AFTER_SECONDS {
            return Err(invalid(&format!("backup.afterSeconds: must be at most {MOST_AFTER_SECONDS}")));
        }
        self.storage().check("backup")
    }
}

impl Channel {
    fn check(&self, index: usize) -> Result<(), Error> {
        let field = format!("channels[{index}].streams");
        if self.streams.is_empty() || self.streams.len() > MOST_STREAMS {
            return Err(invalid(&format!("{field}: must be from 1 to {MOST_STREAMS}")));
        }
        let mut seen = HashSet::new();
        for (place, stream) in self.streams.iter().enumerate() {
            if stream.uid == 0 {
                return Err(invalid(&format!("{field}[{place}].uid: must be from 1 to {}", u32::MAX)));
            }
            if !seen.insert(stream.uid) {
                return Err(invalid(&format!("{field}[{place}].uid: another stream of the channel has it already")));
            }
            if stream.url.is_some() == stream.url_file.is_some() {
                return Err(invalid(&format!("{field}[{place}]: must have either url or urlFile")));
            }
            stream.check_access(stream.url.as_deref(), &format!("{field}[{place}]"))?;
            within(stream.silence_seconds, &SILENCE_SECONDS, || format!("{field}[{place}].silenceSeconds"))?;
        }
        Ok(())
    }
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

/// serde's words without the value they would repeat, after the path of the field they are about.
fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let inner = error.inner();
    let place = format!("line {}, column {}", inner.line(), inner.column());
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
        "." | "?" => format!("{message} ({place})"),
        plain if plain != path => format!("{plain}…: {message} ({place})"),
        _ => format!("{path}: {message} ({place})"),
    }
}

/// As far as the text is a name or a path of names.
fn plain(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-[]?".contains(c)));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"channels": [{"streams": [{"uid": 1, "url": "rtmp://127.0.0.1/live/a"}]}]}"#;

    #[test]
    fn a_short_document_has_its_defaults() {
        let document = Document::parse(GOOD).unwrap();
        assert_eq!((document.slice(), document.reconnect()), (Duration::from_secs(15), Duration::from_secs(60)));
        assert_eq!(document.channels[0].streams[0].silence_seconds, 30);
        assert_eq!(document.protocols.len(), PROTOCOLS.len());
        assert!(!document.allow_link_local);
        assert_eq!(document.channel("any at all").unwrap().0, 0);
    }

    #[test]
    fn a_full_document_is_taken() {
        let document = Document::parse(
            r#"{"recordingId": "0123456789abcdef0123456789abcdef", "filePrefix": "bak0_", "workDir": "/var/lib/x",
                "workBytes": 1000000, "workVolume": "NodeDisk", "sliceSeconds": 10, "maxWaitSeconds": 3600, "fit": "Contain", "outputs": ["HLS", "MP4"], "protocols": ["rtmp"], "allowLinkLocal": true,
                "storage": {"endpoint": "https://s3.example.com:9000", "region": "eu-west-1", "pathStyle": true,
                  "prefix": "a/b", "caFile": "/ca.pem", "encryption": {"mode": "SSE-KMS", "keyId": "k"},
                  "tags": {"team": "x"}, "storageClass": "STANDARD_IA",
                  "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}},
                "backup": {"vendor": "Aliyun", "region": "hangzhou", "bucket": "spare", "afterSeconds": 0,
                  "prefix": "late", "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}},
                "channels": [{"name": "room", "streams": [{"uid": 1, "urlFile": "/u", "name": "alice"}]},
                  {"streams": [{"uid": 2, "url": "srt://127.0.0.1:1"}]}]}"#,
        )
        .unwrap();
        assert_eq!(document.channel("room").unwrap().0, 0);
        assert_eq!(document.channel("other").unwrap().0, 1);
        let backup = document.backup.unwrap();
        assert_eq!((backup.vendor, backup.after()), (VendorName::Aliyun, Duration::ZERO));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let stream = |stream: &str| format!(r#"{{"channels": [{{"streams": [{stream}]}}]}}"#);
        let backup = |fields: &str| {
            let bucket = if fields.is_empty() { r#""bucket": "", "endpoint": "http://h""# } else { fields };
            format!(r#"{{"backup": {{"credentialFiles": {{"accessKey": "/a", "secretKey": "/s"}}, {bucket}}}}}"#)
        };
        let passthrough = |value: &str| {
            format!(r#"{{"channels": [{{"passthrough": {value}, "streams": [{{"uid": 1, "url": "a"}}]}}]}}"#)
        };
        let table = [
            (r#"{"colour": 1}"#.into(), "colour: unknown field `colour`"),
            (r#"{"storage": {"bukkit": "b"}}"#.into(), "storage.bukkit: unknown field `bukkit`"),
            (stream(r#"{"uid": 1, "url": "a", "pass": "b"}"#), "channels[0].streams[0].pass: unknown field `pass`"),
            (stream(r#"{"uid": "one", "url": "a"}"#), "channels[0].streams[0].uid: must be u32"),
            (stream(r#"{"uid": -1, "url": "a"}"#), "channels[0].streams[0].uid: must be u32"),
            (stream(r#"{"url": "a"}"#), "channels[0].streams[0]: missing field `uid`"),
            (stream(r#"{"uid": 0, "url": "a"}"#), "channels[0].streams[0].uid: must be from 1"),
            (stream(r#"{"uid": 1}"#), "channels[0].streams[0]: must have either url or urlFile"),
            (stream(r#"{"uid": 1, "url": "a", "urlFile": "b"}"#), "channels[0].streams[0]: must have either"),
            (stream(r#"{"uid": 1, "url": "a"}, {"uid": 1, "url": "b"}"#), "channels[0].streams[1].uid: another"),
            (stream(""), "channels[0].streams: must be from 1 to 17"),
            (stream(&[r#"{"uid": 1, "url": "a"}"#; 18].join(",")), "channels[0].streams: must be from 1 to 17"),
            (passthrough(r#"{"bound": 20}"#), "channels[0].passthrough.bound: unknown field"),
            (passthrough("true"), "channels[0].passthrough: must be struct Passthrough"),
            (
                passthrough(r#"{"longestSliceSeconds": 15}"#),
                "channels[0].passthrough.longestSliceSeconds: must be from 16",
            ),
            (passthrough(r#"{"longestSliceSeconds": 121}"#), "channels[0].passthrough.longestSliceSeconds: must be"),
            (
                r#"{"channels": [{"passthrough": {}, "streams": [{"uid": 1, "url": "a"}, {"uid": 2, "url": "b"}]}]}"#
                    .into(),
                "channels[0].passthrough: only a single stream",
            ),
            (r#"{"recordingId": "0123"}"#.into(), "recordingId: must be 32"),
            (r#"{"filePrefix": "a/b"}"#.into(), "filePrefix: must be"),
            (r#"{"workVolume": "Tape"}"#.into(), "workVolume: must be"),
            (r#"{"sliceSeconds": 1}"#.into(), "sliceSeconds: must be from 2 to 60"),
            (r#"{"reconnectSeconds": 0}"#.into(), "reconnectSeconds: must be from 1 to 3600"),
            (
                stream(r#"{"uid": 1, "url": "a", "silenceSeconds": 2}"#),
                "channels[0].streams[0].silenceSeconds: must be from 3 to 600",
            ),
            (r#"{"maxWaitSeconds": 0}"#.into(), "maxWaitSeconds: must be from 1 to 2592000"),
            (r#"{"allowedHosts": ["*", "a b"]}"#.into(), "allowedHosts[1]: must be a host"),
            (r#"{"fit": "Stretch"}"#.into(), "fit: must be `Crop` or `Contain`"),
            (r#"{"outputs": ["MP4"]}"#.into(), "outputs: must have \"HLS\""),
            (r#"{"outputs": ["HLS", "AVI"]}"#.into(), "outputs[1]: must be `HLS` or `MP4`"),
            (r#"{"protocols": ["rtmp", "gopher"]}"#.into(), "protocols[1]: must be one of"),
            (r#"{"storage": {"endpoint": "s3.example.com"}}"#.into(), "storage.endpoint: must be"),
            (r#"{"storage": {"endpoint": "http://u:p@s3"}}"#.into(), "storage.endpoint: must be"),
            (r#"{"storage": {"prefix": "/a"}}"#.into(), "storage.prefix: must be"),
            (r#"{"storage": {"prefix": "a/../b"}}"#.into(), "storage.prefix: must be"),
            (r#"{"storage": {"encryption": {"mode": "rot13"}}}"#.into(), "storage.encryption"),
            (
                r#"{"channels": [{"name": "a", "streams": [{"uid": 1, "url": "a"}]},
                {"name": "a", "streams": [{"uid": 1, "url": "a"}]}]}"#
                    .into(),
                "channels[1].name: another",
            ),
            (backup(""), "backup.bucket: is required"),
            (backup(r#""bucket": "b""#), "backup.endpoint: is required"),
            (backup(r#""bucket": "b", "vendor": "AWS""#), "backup.region: is required"),
            (backup(r#""bucket": "b", "vendor": "Ftp""#), "backup.vendor: must be one of"),
            (backup(r#""bucket": "b", "endpoint": "host""#), "backup.endpoint: must be"),
            (backup(r#""bucket": "b", "endpoint": "http://h", "prefix": "/""#), "backup.prefix: must be"),
            (backup(r#""bucket": "b", "endpoint": "http://h", "afterSeconds": 86401"#), "backup.afterSeconds: must be"),
            (r#"{"finalUploadSeconds": 0}"#.into(), "finalUploadSeconds: must be from 1 to"),
            (r#"{"log": {"to": "hunter2"}}"#.into(), "log.to: "),
            (backup(r#""bucket": "b", "colour": 1"#), "backup.colour: unknown field"),
            (r#"{"backup": {"bucket": "b"}}"#.into(), "backup: missing field `credentialFiles`"),
            ("{".into(), "EOF while parsing an object"),
            (format!("{GOOD} x"), "there is something after the end"),
        ];
        for (text, expected) in table {
            let error = Document::parse(&text).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter);
            assert!(error.message.starts_with(expected), "{text}: {}", error.message);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        use rand::{RngExt as _, SeedableRng as _};
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        for _ in 0..20_000 {
            let mut text = GOOD.as_bytes().to_vec();
            for _ in 0..random.random_range(1..8) {
                let place = random.random_range(0..text.len());
                match random.random_range(0..3) {
                    0 => text[place] = random.random(),
                    1 => drop(text.remove(place)),
                    _ => text.insert(place, random.random()),
                }
            }
            let _ = Document::parse(&String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn messages_never_repeat_a_value() {
        for text in [
            r#"{"channels": [{"streams": [{"uid": "hunter2", "url": "a"}]}]}"#,
            r#"{"storage": {"endpoint": "http://user:hunter2@host"}}"#,
            r#"{"storage": {"credentialFiles": "hunter2"}}"#,
            r#"{"storage": {"encryption": {"mode": "hunter2"}}}"#,
            r#"{"channels": [{"streams": [{"rtmp://user:hunter2@host"}]}]}"#,
            r#"{"channels": [{"streams": [{"rtmp://user:hunter2@host": 1}]}]}"#,
        ] {
            let message = Document::parse(text).unwrap_err().message;
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

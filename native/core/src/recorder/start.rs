// SPDX-License-Identifier: Apache-2.0
//! From the arguments of `StartCloudRecording` and the configuration document to a plan that can be carried out. What the
//! call asks of both together is checked here, each argument in `arguments`, and the document in `config`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::api::{
    AudioProfile, CaptureConfig, Passthrough, RoomSource, StreamKinds, StreamSource, UtcMillis, VideoStream,
};
use crate::catalog::record::{Begun, Expected, VERSION};
use crate::config::{check_name, Channel, Document, OutputFormat, Storage, Stream};
use crate::error::{Code, Error};
use crate::livekit::token::Admission;
use crate::livekit::{ClientLibrary, LibraryAbsent};
use crate::names;
use crate::recorder::arguments::{among, canvas, decryption_secret, invalid, layout, max_idle, required, Request};
use crate::recorder::machine::Timeouts;
use crate::recorder::shared::RecordingTraits;
use crate::recorder::takeover;
use crate::recorder::upload::backup_uploader::BackupStore;
use crate::recorder::volume::{VolumeLimits, WorkDirectory};
use crate::storage::credentials::Credentials;
use crate::storage::request_text::is_header_value;
use crate::storage::target::Target;
use crate::storage::vendor::Vendor;

/// What a recording is going to be.
#[derive(Debug)]
pub struct Plan {
    pub begun: Begun,
    /// The recorder's own in the channel.
    pub uid: u32,
    pub capture: CaptureConfig,
    pub credentials: Credentials,
    pub backup: Option<BackupStore>,
    pub timeouts: Timeouts,
    pub directory: PathBuf,
    pub keep_directory: bool,
    pub volume: WorkDirectory,
}

impl Plan {
    pub fn new(recording_id: &str, document: &Document, request: &Request) -> Result<Self, Error> {
        required("appId", request.app_id)?;
        let channel_name = required("channel_name", request.channel_name)?;
        if request.uid == 0 {
            return Err(invalid("uid: must be from 1 to 4294967295, and nobody else's in the channel"));
        }
        among("ChannelType", request.channel_type, &[(), ()])?;
        let target = target(document, request)?;
        let stem = names::stem(&document.file_prefix, recording_id, channel_name)
            .ok_or_else(|| invalid("channel_name: too long, the names of the recording's files would not fit"))?;
        let (index, channel) = document.channel(channel_name)?;
        let secret = decryption_secret(request, channel.livekit.is_some())?;
        let sources = sources(&document.protocols, &format!("channels[{index}]."), &channel.streams)?;
        let room = room(channel, index, (request, secret), (recording_id, channel_name))?;
        if sources.iter().any(|source| source.uid == request.uid) {
            return Err(invalid("uid: a participant of the channel has it; the recorder needs one of its own"));
        }
        let backup = backup(document, &target)?;
        let directory = document
            .work_directory()
            .ok_or_else(|| Error::new(Code::RecorderInit, "workDir: not configured, and the user has no home"))?
            .join(recording_id);
        Ok(Self {
            uid: request.uid,
            begun: Begun {
                version: VERSION,
                recording_id: recording_id.to_owned(),
                file_prefix: document.file_prefix.clone(),
                channel: channel_name.to_owned(),
                stem: stem.clone(),
                slice_seconds: document.longest_slice_seconds(channel),
                target,
                backup: backup.as_ref().map(|backup| backup.target.clone()),
                participants: sources.iter().map(expected).collect(),
                mp4: document.outputs.contains(&OutputFormat::Mp4),
                origin: Some(takeover::origin(request)),
            },
            credentials: credentials(&document.storage, request)?,
            backup,
            timeouts: timeouts(document, request),
            keep_directory: document.keep_directory,
            volume: WorkDirectory { path: directory.clone(), limits: VolumeLimits::of_document(document) },
            capture: CaptureConfig {
                passthrough: passthrough(document, channel),
                room,
                ..capture(document, request, sources, &directory, stem)?
            },
            directory,
        })
    }

    /// Goes on from what an earlier process recorded: no earlier, and with slices as long as its playlist has declared.
    pub fn continue_from(&mut self, begun: &Begun, earliest: UtcMillis) {
        let longest = Duration::from_secs(u64::from(begun.slice_seconds));
        self.begun.slice_seconds = begun.slice_seconds;
        self.capture.slice = self.capture.slice.min(longest);
        if let Some(passthrough) = &mut self.capture.passthrough {
            passthrough.longest_slice = passthrough.longest_slice.min(longest);
        }
        self.capture.earliest = earliest;
    }
}

fn capture(
    document: &Document,
    request: &Request,
    sources: Vec<StreamSource>,
    directory: &Path,
    file_stem: String,
) -> Result<CaptureConfig, Error> {
    Ok(CaptureConfig {
        sources,
        room: None,
        protocols: document.protocols.clone(),
        allow_link_local: document.allow_link_local,
        allowed_hosts: document.allowed_hosts.clone(),
        fit: document.fit,
        kinds: among(
            "RecordingStreamType",
            request.stream_types,
            &[StreamKinds::AudioOnly, StreamKinds::VideoOnly, StreamKinds::AudioVideo],
        )?,
        audio_profile: among(
            "AudioProfile",
            request.audio_profile,
            &[AudioProfile::MusicStandard, AudioProfile::MusicHighQuality, AudioProfile::MusicHighQualityStereo],
        )?,
        video_stream: among("VideoStreamType", request.video_stream_type, &[VideoStream::High, VideoStream::Low])?,
        canvas: canvas(request)?,
        layout: layout(request.layout)?,
        max_resolution_uid: request.max_resolution_uid,
        slice: document.slice(),
        passthrough: None,
        earliest: UtcMillis(0),
        directory: directory.to_owned(),
        file_stem,
    })
}

fn passthrough(document: &Document, channel: &Channel) -> Option<Passthrough> {
    let longest_slice = Duration::from_secs(u64::from(document.longest_slice_seconds(channel)));
    channel.passthrough.map(|_| Passthrough { longest_slice })
}

fn timeouts(document: &Document, request: &Request) -> Timeouts {
    let idle = max_idle(request.max_idle_time);
    Timeouts {
        first: document.max_wait().unwrap_or(idle),
        idle,
        reconnect: document.reconnect(),
        stores: document.final_upload(),
    }
}

fn target(document: &Document, request: &Request) -> Result<Target, Error> {
    if let Some(directory) = &document.storage.directory {
        let bucket = [("bucket", request.bucket)];
        not_in_the_call(bucket.into_iter().chain(keys(request)), "storage.directory")?;
        return Ok(Target::directory(directory, &document.storage));
    }
    if !document.storage.kind().is_s3() {
        // The interface has numbers neither for it nor for its regions.
        not_in_the_call(keys(request), "storage.vendor")?;
        return Ok(Target::new(Vendor::Aws, "", bucket(request)?, &document.storage));
    }
    let vendor = Vendor::from_number(request.vendor).map_err(|largest| {
        invalid(&format!("CloudStorageConfig.vendor: must be a CloudStorageVendor, 0 to {largest}"))
    })?;
    if document.storage.identity.is_some() && !vendor.knows_identities() {
        return Err(invalid(&format!("storage.identity: {vendor} has none; give access key and secret key")));
    }
    document.storage.objects.check_vendor("storage.objects.", vendor)?;
    let bucket = bucket(request)?;
    let region = vendor
        .region(request.region)
        .map_err(|largest| invalid(&format!("CloudStorageConfig.region: {vendor} has regions 0 to {largest}")))?;
    Ok(Target::new(vendor, region, bucket, &document.storage))
}

fn bucket<'a>(request: &Request<'a>) -> Result<&'a str, Error> {
    let bucket = required("CloudStorageConfig.bucket", request.bucket)?;
    check_name("CloudStorageConfig.bucket", bucket)?;
    Ok(bucket)
}

fn keys<'a>(request: &Request<'a>) -> [(&'static str, Option<&'a str>); 2] {
    [("access_key", request.access_key), ("secret_key", request.secret_key)]
}

/// What the call has for a store that the document's field replaces would be dropped.
fn not_in_the_call<'a>(
    fields: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
    replacing: &str,
) -> Result<(), Error> {
    let given = fields.into_iter().find(|(_, text)| text.is_some_and(|text| !text.is_empty()));
    given.map_or(Ok(()), |(name, _)| {
        Err(invalid(&format!("CloudStorageConfig.{name}: must be empty where the document has {replacing}")))
    })
}

/// A backup store that is the bucket would be none, and its playlist would overwrite the bucket's.
fn backup(document: &Document, bucket: &Target) -> Result<Option<BackupStore>, Error> {
    let backup = document.backup.as_ref().map(BackupStore::new);
    if backup.as_ref().is_some_and(|backup| backup.target.is_at(bucket)) {
        return Err(invalid("backup: is the storage itself; name another bucket, endpoint, directory or prefix"));
    }
    Ok(backup)
}

fn credentials(storage: &Storage, request: &Request) -> Result<Credentials, Error> {
    if storage.identity.is_some() {
        not_in_the_call(keys(request), "storage.identity")?;
    }
    if let Some(credentials) = Credentials::of_document(storage.credential_files.as_ref(), storage) {
        return Ok(credentials);
    }
    if !storage.kind().is_s3() {
        let message = "storage.credentialFiles: is required beside storage.vendor, unless there is storage.identity";
        return Err(invalid(message));
    }
    let access_key = required("CloudStorageConfig.access_key", request.access_key)?;
    if !is_header_value(access_key) {
        return Err(invalid("CloudStorageConfig.access_key: must be printable ASCII text"));
    }
    Ok(Credentials::Given {
        access_key: access_key.to_owned(),
        secret_key: required("CloudStorageConfig.secret_key", request.secret_key)?.to_owned(),
    })
}

/// The streams that a channel which is being recorded is to have from now on, by a JSON list of them.
pub fn other_streams(text: &str, traits: &RecordingTraits) -> Result<Vec<StreamSource>, Error> {
    if traits.passed_through {
        let message = "what is passed through keeps its stream: stop, and record the other one anew";
        return Err(Error::new(Code::InvalidOperation, message));
    }
    if traits.room {
        let message = "a room has no list of streams: who is in it, its server knows";
        return Err(Error::new(Code::InvalidOperation, message));
    }
    let streams = Stream::list(text)?;
    let own = streams.iter().position(|stream| stream.uid == traits.uid);
    if let Some(index) = own {
        return Err(invalid(&format!("streams[{index}].uid: is the recorder's own in the channel")));
    }
    sources(&traits.protocols, "", &streams)
}

/// `owner`: the field that the list is in, if any.
fn sources(protocols: &[String], owner: &str, streams: &[Stream]) -> Result<Vec<StreamSource>, Error> {
    let source = |(index, stream): (usize, &Stream)| {
        let field = format!("{owner}streams[{index}]");
        let url = url(stream, &field)?;
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        // What a Secret holds may be mended later, and is its participant's loss alone: the source's guard says so.
        let of_a_secret = stream.url_file.is_some() && streams.len() > 1 && scheme.is_some();
        if !of_a_secret && !scheme.is_some_and(|scheme| protocols.contains(&scheme)) {
            let allowed = protocols.join(", ");
            return Err(invalid(&format!("{field}: its URL must begin with one of {allowed}, and ://")));
        }
        let silence = Duration::from_secs(u64::from(stream.silence_seconds));
        let access = stream.access(&url, &field)?;
        Ok(StreamSource { uid: stream.uid, name: stream.name.clone(), url, silence, access })
    };
    streams.iter().enumerate().map(source).collect()
}

fn url(stream: &Stream, field: &str) -> Result<String, Error> {
    let Some(path) = &stream.url_file else {
        return stream.url.clone().ok_or_else(|| invalid(&format!("{field}: must have either url or urlFile")));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(&format!("{field}.urlFile: {}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

/// The room that is the channel, if one is.
fn room(
    channel: &Channel,
    index: usize,
    (request, secret): (&Request, Option<&str>),
    (recording_id, channel_name): (&str, &str),
) -> Result<Option<RoomSource>, Error> {
    let Some(livekit) = &channel.livekit else { return Ok(None) };
    let field = format!("channels[{index}].livekit");
    if livekit.max_resolution_identity.is_some() && request.max_resolution_uid != 0 {
        return Err(invalid(&format!("{field}.maxResolutionIdentity: must be left out beside max_resolution_uid")));
    }
    let access = livekit.access(required("appId", request.app_id)?, request.token, &field)?;
    let absent = |absent: LibraryAbsent| Error::new(Code::RecorderInit, format!("{field}: {absent}"));
    ClientLibrary::load().map_err(absent)?;
    Ok(Some(RoomSource {
        url: livekit.url.clone(),
        admission: Admission {
            room: livekit.room.clone().unwrap_or_else(|| channel_name.to_owned()),
            identity: livekit.identity(recording_id),
            hidden: livekit.hidden,
        },
        access,
        selection: livekit.selection(),
        shared_key: livekit.shared_key(secret, &field)?,
        max_resolution_identity: livekit.max_resolution_identity.clone(),
        recorder_uid: request.uid,
    }))
}

fn expected(source: &StreamSource) -> Expected {
    Expected { uid: source.uid, name: source.name.clone(), identity: None }
}

#[cfg(test)]
#[path = "start_tests.rs"]
pub(crate) mod tests;

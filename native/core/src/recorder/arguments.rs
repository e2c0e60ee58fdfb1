// SPDX-License-Identifier: Apache-2.0
//! The arguments of `StartCloudRecording`, and what each of them may be. An error names the argument and never repeats a
//! secret.

use std::time::Duration;

use crate::capture::api::{CanvasConfig, Layout};
use crate::error::{Code, Error};

const LONG_SIDE: u32 = 1920;
const SHORT_SIDE: u32 = 1080;
/// Below this there is no picture to speak of, and encoders refuse.
const LEAST_SIDE: u32 = 16;
const FRAMES_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=60;
/// Far more than 1080p at 60 frames a second can use.
const MOST_KBPS: u32 = 100_000;
const DEFAULT_IDLE: u32 = 30;

/// The arguments as they came: enumerations are numbers, texts may be missing. With C's texts it is `RecorderCoreStart` of
/// abi/src/core.h.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct StartArguments<Text> {
    pub app_id: Text,
    pub channel_name: Text,
    pub token: Text,
    pub uid: u32,
    pub stream_types: i32,
    pub decryption_mode: i32,
    pub secret: Text,
    pub channel_type: i32,
    pub audio_profile: i32,
    pub video_stream_type: i32,
    pub max_idle_time: u32,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub bitrate: u32,
    pub max_resolution_uid: u32,
    pub layout: i32,
    pub vendor: i32,
    pub region: u32,
    pub bucket: Text,
    pub access_key: Text,
    pub secret_key: Text,
}

pub type Request<'a> = StartArguments<Option<&'a str>>;

impl<Text: Copy> StartArguments<Text> {
    /// The same with other texts.
    pub fn with_texts<Other>(&self, text: impl Fn(Text) -> Other) -> StartArguments<Other> {
        StartArguments {
            app_id: text(self.app_id),
            channel_name: text(self.channel_name),
            token: text(self.token),
            uid: self.uid,
            stream_types: self.stream_types,
            decryption_mode: self.decryption_mode,
            secret: text(self.secret),
            channel_type: self.channel_type,
            audio_profile: self.audio_profile,
            video_stream_type: self.video_stream_type,
            max_idle_time: self.max_idle_time,
            width: self.width,
            height: self.height,
            fps: self.fps,
            bitrate: self.bitrate,
            max_resolution_uid: self.max_resolution_uid,
            layout: self.layout,
            vendor: self.vendor,
            region: self.region,
            bucket: text(self.bucket),
            access_key: text(self.access_key),
            secret_key: text(self.secret_key),
        }
    }
}

/// The layout with this number of the interface.
pub fn layout(number: i32) -> Result<Layout, Error> {
    among("MixedVideoLayoutType", number, &[Layout::Float, Layout::BestFit, Layout::Vertical])
}

/// The secret, where the channel is said to be encrypted. The modes are those of another service's channels: of a room, any
/// of them means that it is encrypted in the room's own way; streams are not encrypted by the channel at all.
pub fn decryption_secret<'a>(request: &Request<'a>, of_room: bool) -> Result<Option<&'a str>, Error> {
    among("DecryptionMode", request.decryption_mode, &[(); 4])?;
    if request.decryption_mode == 0 {
        return Ok(None);
    }
    let secret = required("secret", request.secret)?;
    if of_room {
        return Ok(Some(secret));
    }
    Err(invalid("decryption_mode: streams are not encrypted by the channel; use kModeNone"))
}

/// What is composed, where encoders and viewers can take it.
pub fn canvas(request: &Request) -> Result<CanvasConfig, Error> {
    let Request { width, height, fps, bitrate, .. } = *request;
    for (field, side) in [("width", width), ("height", height)] {
        if side < LEAST_SIDE || side % 2 != 0 {
            return Err(invalid(&format!("transcoding_config.{field}: must be even, and at least {LEAST_SIDE}")));
        }
    }
    if width.max(height) > LONG_SIDE || width.min(height) > SHORT_SIDE {
        return Err(invalid(&format!(
            "transcoding_config.width, height: must be at most {LONG_SIDE} x {SHORT_SIDE}, or {SHORT_SIDE} x {LONG_SIDE}"
        )));
    }
    if !FRAMES_PER_SECOND.contains(&fps) {
        let (least, most) = (FRAMES_PER_SECOND.start(), FRAMES_PER_SECOND.end());
        return Err(invalid(&format!("transcoding_config.fps: must be from {least} to {most}")));
    }
    if bitrate == 0 || bitrate > MOST_KBPS {
        return Err(invalid(&format!("transcoding_config.bitrate: must be from 1 to {MOST_KBPS} kbit/s")));
    }
    Ok(CanvasConfig { width, height, frames_per_second: fps, bitrate_kbps: bitrate })
}

/// How long nobody may be there, as the interface means it.
#[must_use]
pub fn max_idle(seconds: u32) -> Duration {
    let seconds = if seconds == 0 { DEFAULT_IDLE } else { seconds };
    Duration::from_secs(u64::from(seconds))
}

/// The text, where the call cannot do without.
pub fn required<'a>(field: &str, text: Option<&'a str>) -> Result<&'a str, Error> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| invalid(&format!("{field}: is required, as UTF-8 text")))
}

/// The member with this number of an enumeration of the interface.
pub fn among<T: Copy>(enumeration: &str, number: i32, members: &[T]) -> Result<T, Error> {
    usize::try_from(number)
        .ok()
        .and_then(|number| members.get(number).copied())
        .ok_or_else(|| invalid(&format!("{enumeration}: must be from 0 to {}", members.len() - 1)))
}

#[must_use]
pub fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidParameter, message)
}

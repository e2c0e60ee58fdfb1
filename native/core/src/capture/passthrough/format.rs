// SPDX-License-Identifier: Apache-2.0
//! Which packets belong together: what a decoder needs to know of them, and where that changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use ffmpeg_sys_next::AVCodecID;

use super::adts::Adts;
use super::h264::{self, Framing, ParameterSets};
use crate::capture::api::TrackKind;
use crate::capture::av::frame::Packet;
use crate::capture::av::parameters::Parameters;
use crate::capture::av::turn::Turn;
use crate::capture::av::AvError;
use crate::capture::clock::Nanos;
use crate::capture::orientation;

/// Packets of one format can be decoded one after the other.
pub struct Format {
    /// No two formats of the process have the same.
    pub serial: u64,
    pub parameters: Parameters,
}

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

impl Format {
    fn new(original: &Parameters, extradata: &[u8]) -> Result<Arc<Self>, String> {
        let mut parameters = original.share().map_err(explain)?;
        parameters.set_extradata(extradata).map_err(explain)?;
        Ok(Arc::new(Self { serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed), parameters }))
    }
}

#[allow(clippy::needless_pass_by_value)] // the shape map_err wants
fn explain(error: AvError) -> String {
    error.to_string()
}

/// So many changes of its format a stream may make at once, and one more in the length of a slice: each begins a slice, and
/// each slice is a file, requests, and a line of the playlist.
const MOST_CHANGES: i64 = 8;

/// How often the format has changed lately.
pub struct Changes {
    /// The time that changes have used up, one slice's length each.
    until: Nanos,
    each: Nanos,
}

impl Changes {
    pub fn new(slice: Nanos) -> Self {
        Self { until: Nanos::MIN / 2, each: slice }
    }

    /// Takes note of a change at `now`; why the stream cannot be copied, if there were too many.
    pub fn note(&mut self, now: Nanos) -> Option<String> {
        self.until = self.until.max(now) + self.each;
        let too_many = self.until - now > MOST_CHANGES.saturating_mul(self.each);
        too_many.then(|| "its format changes again and again, and each change would begin a slice".to_owned())
    }
}

/// Why a stream with these parameters cannot be copied, if so.
pub fn misfit(track: TrackKind, parameters: &Parameters) -> Option<String> {
    let name = parameters.codec_name();
    match (track, parameters.codec()) {
        (TrackKind::Video, AVCodecID::AV_CODEC_ID_H264) | (TrackKind::Audio, AVCodecID::AV_CODEC_ID_AAC) => None,
        (TrackKind::Video, _) => Some(format!("its pictures are {name}, and only H.264 is copied")),
        (TrackKind::Audio, _) => Some(format!("its sound is {name}, and only AAC is copied")),
    }
}

/// A packet as it goes into a transport stream.
pub struct Ready {
    pub packet: Packet,
    pub format: Arc<Format>,
    /// How long it lasts, where the format tells.
    pub duration: Option<Nanos>,
}

/// Follows the format of one track of one connection.
pub enum TrackFormats {
    Pictures(PictureFormats),
    Sound(SoundFormats),
}

impl TrackFormats {
    /// `turn`: how the container wants pictures to be turned.
    pub fn new(track: TrackKind, parameters: Parameters, turn: Turn) -> Self {
        match track {
            TrackKind::Video => Self::Pictures(PictureFormats::new(parameters, turn)),
            TrackKind::Audio => Self::Sound(SoundFormats::new(parameters)),
        }
    }

    /// The packet with its format; `None` for one that cannot be decoded yet, an error for what cannot be copied.
    pub fn ready(&mut self, packet: &Packet) -> Result<Option<Ready>, String> {
        match self {
            Self::Pictures(pictures) => pictures.ready(packet),
            Self::Sound(sound) => sound.ready(packet),
        }
    }
}

pub struct PictureFormats {
    original: Parameters,
    turn: Turn,
    configuration: Vec<u8>,
    framing: Framing,
    /// Of the configuration, or of the last key frame that had its own.
    sets: ParameterSets,
    format: Option<Arc<Format>>,
    /// The configuration has changed; it holds from the next key frame on.
    pending: bool,
}

impl PictureFormats {
    fn new(original: Parameters, turn: Turn) -> Self {
        let configuration = original.extradata().to_vec();
        let (framing, sets) = h264::configuration(&configuration);
        Self { original, turn, configuration, framing, sets, format: None, pending: false }
    }

    fn ready(&mut self, packet: &Packet) -> Result<Option<Ready>, String> {
        if let Some(configuration) = packet.new_extradata().filter(|new| *new != self.configuration) {
            self.configuration = configuration.to_vec();
            (self.framing, self.sets) = h264::configuration(configuration);
            self.pending = true;
        }
        if packet.is_key() {
            self.enter(packet.data())?;
        }
        let Some(format) = self.format.as_ref().filter(|_| !self.pending) else { return Ok(None) };
        let packet = if packet.is_key() { self.turned(packet) } else { packet.share() }.map_err(explain)?;
        Ok(Some(Ready { packet, format: Arc::clone(format), duration: None }))
    }

    /// The key frame with what its container says of its orientation, which a transport stream has no place for, unless it
    /// says so itself.
    fn turned(&self, packet: &Packet) -> Result<Packet, AvError> {
        let own = orientation::stated(packet.data(), AVCodecID::AV_CODEC_ID_H264, self.framing);
        if self.turn == Turn::NONE || own.is_some() {
            return packet.share();
        }
        let bytes = orientation::with_message(packet.data(), self.turn, self.framing);
        let mut turned = Packet::of([&bytes, &[]])?;
        turned.describe_as(packet)?;
        Ok(turned)
    }

    /// Takes note of the parameter sets that hold from this key frame on.
    fn enter(&mut self, key_frame: &[u8]) -> Result<(), String> {
        let own = h264::parameter_sets(key_frame, self.framing);
        let changed = !own.sequence.is_empty() && own.sequence != self.sets.sequence;
        if !own.sequence.is_empty() {
            self.sets.sequence = own.sequence;
        }
        if !own.picture.is_empty() {
            self.sets.picture = own.picture;
        }
        if let Some(profile) = self.sets.foreign_profile() {
            return Err(format!("its pictures are H.264 of profile {profile}, which players of HLS do not decode"));
        }
        if self.sets.sequence.is_empty() || self.format.is_some() && !changed && !self.pending {
            return Ok(());
        }
        let extradata = match self.framing {
            Framing::Lengths(_) => self.configuration.clone(),
            Framing::StartCodes => self.sets.byte_stream(),
        };
        self.format = Some(Format::new(&self.original, &extradata)?);
        self.pending = false;
        Ok(())
    }
}

pub struct SoundFormats {
    original: Parameters,
    /// Where frames have no headers of their own.
    configured: Option<Result<Adts, String>>,
    current: Option<(Adts, Arc<Format>)>,
}

impl SoundFormats {
    fn new(original: Parameters) -> Self {
        let configured = Some(original.extradata()).filter(|bytes| !bytes.is_empty()).map(Adts::of_configuration);
        Self { original, configured, current: None }
    }

    fn ready(&mut self, packet: &Packet) -> Result<Option<Ready>, String> {
        if let Some(configuration) = packet.new_extradata() {
            self.configured = Some(Adts::of_configuration(configuration));
        }
        let data = packet.data();
        let (adts, packet) = match (Adts::of_frame(data), &self.configured) {
            (Some(adts), None) => (adts, packet.share()),
            (None, None) => return Ok(None),
            (_, Some(configured)) => {
                let adts = configured.clone()?;
                let Some(header) = adts.header(data.len()) else { return Ok(None) };
                (adts, Packet::of([&header, data]))
            }
        };
        let known = self.current.take().filter(|(current, _)| *current == adts);
        let format = known.map_or_else(|| self.new_format(adts), |(_, format)| Ok(format))?;
        self.current = Some((adts, Arc::clone(&format)));
        Ok(Some(Ready { packet: packet.map_err(explain)?, format, duration: Some(adts.duration()) }))
    }

    fn new_format(&mut self, adts: Adts) -> Result<Arc<Format>, String> {
        self.original.set_sample_rate(adts.rate());
        Format::new(&self.original, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::clock::SECOND;

    #[test]
    fn a_stream_may_change_now_and_then_but_not_at_each_key_frame() {
        let mut rare = Changes::new(15 * SECOND);
        assert!((0..1000).all(|index| rare.note(index * 20 * SECOND).is_none()));
        let mut burst = Changes::new(15 * SECOND);
        let first = (0..100).position(|_| burst.note(0).is_some());
        assert_eq!(first, Some(8));
        let mut steady = Changes::new(15 * SECOND);
        assert!((0..100).any(|index| steady.note(index * 2 * SECOND).is_some()));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! From a source's packets to pictures and samples in its feed.

use ffmpeg_sys_next as ffi;

use super::deblock::Deblocking;
use super::fields::Fields;
use super::fit::Fitter;
use super::track::TrackFailure;
use super::MediaSelection;
use crate::capture::api::TrackKind;
use crate::capture::av::codec::Decoder;
use crate::capture::av::colour::Colour;
use crate::capture::av::frame::{Frame, Packet};
use crate::capture::av::resample::{ResampleError, Resampler};
use crate::capture::av::scale::{is_readable, ScaleError};
use crate::capture::av::turn::Turn;
use crate::capture::av::AvError;
use crate::capture::clock::{Nanos, SECOND};
use crate::capture::feed::{sample_at, Feed, SAMPLE_RATE};
use crate::capture::orientation::{self, Orientation};
use crate::capture::timeline::Due;

/// Samples further than this (40 ms) from where they should be are put there at once; less is approached gently.
const RESYNC: i64 = SAMPLE_RATE / 25;

/// Less than this (10 ms) is the timestamps' own coarseness.
const TOLERANCE: i64 = SAMPLE_RATE / 100;

/// Gentle means that one sample in so many is added or left out.
const STRETCH: i64 = 200;

/// Errors in a row, without anything decoded, after which a track counts as lost.
const ERRORS: u32 = 250;

/// How far apart pictures are taken to be while their times do not tell.
const USUAL_INTERVAL: Nanos = SECOND / 30;

/// Decodes one track.
pub struct TrackDecoder {
    decoder: Decoder,
    errors: u32,
    /// Whether anything came of it yet.
    decoded: bool,
    /// Whether there was anything yet that decoding can begin with.
    entered: bool,
    /// Whether packets carry no time at all, so that the one they are decoded at is the truth.
    untimed: bool,
    line: MediaPipeline,
}

enum MediaPipeline {
    Video(Box<PicturePipeline>),
    Audio(Box<SamplePipeline>),
}

impl TrackDecoder {
    pub fn new(track: TrackKind, decoder: Decoder, wanted: MediaSelection) -> Self {
        let line = match track {
            TrackKind::Video => MediaPipeline::Video(Box::new(PicturePipeline::new(wanted.colour))),
            TrackKind::Audio => MediaPipeline::Audio(Box::new(SamplePipeline::new(wanted.channels))),
        };
        Self { decoder, errors: 0, decoded: false, entered: false, untimed: false, line }
    }

    pub fn untimed(self, untimed: bool) -> Self {
        Self { untimed, ..self }
    }

    pub fn codec(&self) -> ffi::AVCodecID {
        self.decoder.codec()
    }

    /// Whether decoding cannot begin before a key picture has come.
    pub fn lacks_key_picture(&self) -> bool {
        !self.decoded && !self.entered
    }

    pub fn has_decoded(&self) -> bool {
        self.decoded
    }

    /// Goes on with another decoder, for a source that has changed its codec, on the same line of time.
    pub fn change(&mut self, decoder: Decoder, feed: &Feed) {
        self.finish(feed);
        (self.decoder, self.errors, self.decoded, self.entered) = (decoder, 0, false, false);
    }

    /// Decodes a packet that is due at `due` into the feed; returns when the first of its frames is due, if any came.
    /// Broken packets are passed over, and told of once there are many of them; frames that cannot be used at once. The
    /// next packet may be a good one again. Before anything that decoding can begin with nothing counts as broken.
    pub fn decode(&mut self, packet: &mut Packet, due: Due, feed: &Feed) -> Result<Option<Nanos>, TrackFailure> {
        self.entered |= packet.is_key();
        if let MediaPipeline::Video(line) = &mut self.line {
            let shown_in = feed.shown_in().map(|(region, _)| region);
            let needed = line.deblocking.is_needed(
                packet.is_key(),
                due.decode,
                line.fitter.upright(self.decoder.size()),
                shown_in,
            );
            self.decoder.deblock(needed);
            line.turn(packet, &self.decoder);
        }
        let raw = packet.raw_mut();
        // A packet without times follows the one before; the decoder must not take an estimate for the truth.
        raw.pts = due.present.unwrap_or(ffi::AV_NOPTS_VALUE);
        let is_known = self.untimed || due.present.is_some();
        raw.dts = if is_known { due.decode } else { ffi::AV_NOPTS_VALUE };
        if let Err(error) = self.decoder.send(Some(packet)) {
            return self.endure(error).map(|()| None);
        }
        self.drain(feed)
    }

    /// What was wrong with the frames since this was asked last, though they were used.
    pub fn take_damage(&mut self) -> Option<&'static str> {
        let MediaPipeline::Audio(line) = &mut self.line else { return None };
        let damage = "samples that are no numbers, or far beyond full scale, are recorded as silence";
        std::mem::take(&mut line.silenced).then_some(damage)
    }

    /// Brings out what the decoder holds at the end of a source.
    pub fn finish(&mut self, feed: &Feed) {
        // Whatever comes is welcome, and nothing is lost by an error at the end.
        if self.decoder.send(None).is_ok() {
            let _ = self.drain(feed);
        }
    }

    fn drain(&mut self, feed: &Feed) -> Result<Option<Nanos>, TrackFailure> {
        let (mut first, mut unusable) = (None, None);
        loop {
            match self.decoder.receive() {
                Ok(Some(frame)) => match self.line.put(frame, self.decoder.sends_fields(), feed) {
                    Ok(due) => {
                        first = first.or(Some(due));
                        self.errors = 0;
                        self.decoded = true;
                    }
                    Err(failure) => unusable = Some(failure),
                },
                Ok(None) => return first.map_or_else(|| unusable.map_or(Ok(None), Err), |due| Ok(Some(due))),
                Err(error) => return self.endure(error).map(|()| first),
            }
        }
    }

    fn endure(&mut self, error: AvError) -> Result<(), TrackFailure> {
        self.errors += 1;
        if self.errors > ERRORS && !self.lacks_key_picture() {
            Err(TrackFailure::Undecodable(error))
        } else {
            Ok(())
        }
    }
}

impl MediaPipeline {
    /// Puts a frame into the feed; returns when it is due.
    fn put(&mut self, frame: Frame, fields: bool, feed: &Feed) -> Result<Nanos, TrackFailure> {
        let stamped = frame.raw().best_effort_timestamp;
        match self {
            Self::Video(line) => line.put(frame, stamped, fields, feed),
            Self::Audio(line) => Ok(line.put(&frame, stamped, feed)?),
        }
    }
}

/// Gives each picture its time, and the size it is shown at.
struct PicturePipeline {
    last: Nanos,
    interval: Nanos,
    fields: Fields,
    fitter: Fitter,
    deblocking: Deblocking,
    orientation: Orientation,
}

impl PicturePipeline {
    fn new(colour: Colour) -> Self {
        Self {
            last: 0,
            interval: USUAL_INTERVAL,
            fields: Fields::default(),
            fitter: Fitter::new(colour),
            deblocking: Deblocking::default(),
            orientation: Orientation::default(),
        }
    }

    /// Lets a packet say how its picture is to be turned, by what its stream says.
    fn turn(&mut self, packet: &mut Packet, decoder: &Decoder) {
        let (codec, is_key) = (decoder.codec(), packet.is_key());
        let framing = orientation::framing(codec, decoder.configuration());
        let turn = self.orientation.follow(packet.data(), is_key, codec, framing);
        if turn != Turn::NONE {
            // Without memory for so little it is shown as it came.
            let _ = packet.set_turn(turn);
        }
    }

    /// `fields`: what is interlaced comes as two pictures, one after the other.
    fn put(&mut self, frame: Frame, stamped: Nanos, fields: bool, feed: &Feed) -> Result<Nanos, TrackFailure> {
        let due = if stamped == ffi::AV_NOPTS_VALUE { self.last + self.interval } else { stamped };
        let interval = due - self.last;
        self.interval = if (1..SECOND).contains(&interval) { interval } else { self.interval };
        self.last = due;
        if frame.width() < 2 || frame.height() < 2 {
            return Err(TrackFailure::Size(frame.width(), frame.height()));
        }
        is_readable(&frame)?;
        if let Some((first, frame)) = self.fields.take(due, frame, fields).map_err(ScaleError::Failed)? {
            feed.push_picture(first, self.fitter.fit(frame, feed.shown_in())?);
        }
        Ok(due)
    }
}

/// Keeps a source's samples in one unbroken line that follows their timestamps.
struct SamplePipeline {
    channels: usize,
    resampler: Option<Resampler>,
    next: Option<i64>,
    stretching: bool,
    planes: Vec<Vec<f32>>,
    silenced: bool,
}

impl SamplePipeline {
    fn new(channels: usize) -> Self {
        let planes = vec![Vec::new(); channels];
        Self { channels, resampler: None, next: None, stretching: false, planes, silenced: false }
    }

    fn put(&mut self, frame: &Frame, stamped: i64, feed: &Feed) -> Result<Nanos, ResampleError> {
        let rate = u32::try_from(SAMPLE_RATE).unwrap_or(48_000);
        let mut resampler = match self.resampler.take().filter(|resampler| resampler.takes(frame)) {
            Some(resampler) => resampler,
            None => Resampler::new(frame, rate, self.channels)?,
        };
        let (wanted, at) = match (stamped, self.next) {
            // Whoever tells no time tells nothing of an error either: what is being corrected goes on.
            (ffi::AV_NOPTS_VALUE, Some(next)) => (next, next),
            (ffi::AV_NOPTS_VALUE, None) => return Err(AvError(ffi::AVERROR_INVALIDDATA).into()),
            (stamped, _) => {
                let wanted = sample_at(stamped) - resampler.delay();
                (wanted, self.place(wanted, &mut resampler)?)
            }
        };
        self.planes.iter_mut().for_each(Vec::clear);
        let count = resampler.convert(frame, &mut self.planes)?;
        self.resampler = Some(resampler);
        self.silenced |= feed.push_samples(at, &mut self.planes);
        self.next = Some(at + i64::try_from(count).unwrap_or(0));
        Ok(crate::capture::feed::time_of_sample(wanted))
    }

    /// Where the next samples go: behind the last ones, unless that is too far from where they should be.
    fn place(&mut self, wanted: i64, resampler: &mut Resampler) -> Result<i64, ResampleError> {
        let Some(next) = self.next else { return Ok(wanted) };
        let error = wanted - next;
        if error.abs() > RESYNC {
            if std::mem::take(&mut self.stretching) {
                resampler.stretch(0, 0)?;
            }
            return Ok(wanted);
        }
        if error.abs() > TOLERANCE || self.stretching && error.abs() > TOLERANCE / 4 {
            let delta = i32::try_from(error).unwrap_or(0);
            resampler.stretch(delta, i32::try_from(error.abs() * STRETCH).unwrap_or(i32::MAX))?;
            self.stretching = true;
        } else if std::mem::take(&mut self.stretching) {
            resampler.stretch(0, 0)?;
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "enlarged_tests.rs"]
mod enlarged_tests;

// SPDX-License-Identifier: Apache-2.0
//! From a source's packets to pictures and samples in its feed.

use ffmpeg_sys_next as ffi;

use super::deblock::Deblocking;
use crate::capture::api::TrackKind;
use crate::capture::av::codec::Decoder;
use crate::capture::av::frame::{Frame, Packet};
use crate::capture::av::turn::Turn;
use crate::capture::av::AvError;
use crate::capture::clock::Nanos;
use crate::capture::intake::{ParticipantIntake, TrackFailure};
use crate::capture::orientation::{self, Orientation};
use crate::capture::timeline::Due;

/// Errors in a row, without anything decoded, after which a track counts as lost.
const ERRORS: u32 = 250;

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
    track: TrackKind,
    deblocking: Deblocking,
    orientation: Orientation,
}

impl TrackDecoder {
    pub fn new(track: TrackKind, decoder: Decoder) -> Self {
        Self {
            decoder,
            errors: 0,
            decoded: false,
            entered: false,
            untimed: false,
            track,
            deblocking: Deblocking::default(),
            orientation: Orientation::default(),
        }
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
    pub fn change(&mut self, decoder: Decoder, who: &mut ParticipantIntake) {
        self.finish(who);
        (self.decoder, self.errors, self.decoded, self.entered) = (decoder, 0, false, false);
    }

    /// Decodes a packet that is due at `due` into the intake; returns when the first of its frames is due, if any came.
    /// Broken packets are passed over, and told of once there are many of them; frames that cannot be used at once. The
    /// next packet may be a good one again. Before anything that decoding can begin with nothing counts as broken.
    pub fn decode(
        &mut self,
        packet: &mut Packet,
        due: Due,
        who: &mut ParticipantIntake,
    ) -> Result<Option<Nanos>, TrackFailure> {
        self.entered |= packet.is_key();
        if self.track == TrackKind::Video {
            let size = who.upright(self.decoder.size());
            let needed = self.deblocking.is_needed(packet.is_key(), due.decode, size, who.shown_in());
            self.decoder.deblock(needed);
            self.turn(packet);
        }
        let raw = packet.raw_mut();
        // A packet without times follows the one before; the decoder must not take an estimate for the truth.
        raw.pts = due.present.unwrap_or(ffi::AV_NOPTS_VALUE);
        let is_known = self.untimed || due.present.is_some();
        raw.dts = if is_known { due.decode } else { ffi::AV_NOPTS_VALUE };
        if let Err(error) = self.decoder.send(Some(packet)) {
            return self.endure(error).map(|()| None);
        }
        self.drain(who)
    }

    /// Lets a packet say how its picture is to be turned, by what its stream says.
    fn turn(&mut self, packet: &mut Packet) {
        let (codec, is_key) = (self.decoder.codec(), packet.is_key());
        let framing = orientation::framing(codec, self.decoder.configuration());
        let turn = self.orientation.follow(packet.data(), is_key, codec, framing);
        if turn != Turn::NONE {
            // Without memory for so little it is shown as it came.
            let _ = packet.set_turn(turn);
        }
    }

    /// Brings out what the decoder holds at the end of a source.
    pub fn finish(&mut self, who: &mut ParticipantIntake) {
        // Whatever comes is welcome, and nothing is lost by an error at the end.
        if self.decoder.send(None).is_ok() {
            let _ = self.drain(who);
        }
    }

    fn drain(&mut self, who: &mut ParticipantIntake) -> Result<Option<Nanos>, TrackFailure> {
        let (mut first, mut unusable) = (None, None);
        loop {
            match self.decoder.receive() {
                Ok(Some(frame)) => match self.put(frame, who) {
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

    fn put(&self, frame: Frame, who: &mut ParticipantIntake) -> Result<Nanos, TrackFailure> {
        let stamped = frame.raw().best_effort_timestamp;
        let due = (stamped != ffi::AV_NOPTS_VALUE).then_some(stamped);
        who.put(self.track, frame, due, self.decoder.sends_fields())
    }
}

#[cfg(test)]
#[path = "enlarged_tests.rs"]
mod enlarged_tests;

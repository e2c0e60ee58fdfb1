// SPDX-License-Identifier: Apache-2.0
//! One connection to a source: finds its pace, maps its times, decodes, and notices when it joins, changes, or is silent.

use std::time::{Duration, Instant};

use super::cause::SourceFailure;
use super::decode::TrackDecoder;
use super::frame_pacer::FramePacer;
use super::open::Input;
use super::read_ahead::ReadAhead;
use super::settle::settle;
use super::{CONNECT, KEY_PICTURE};
use crate::capture::api::{TrackKind, VideoStream};
use crate::capture::av::frame::Packet;
use crate::capture::clock::{duration, nanos, Nanos, SECOND};
use crate::capture::intake::{Intake, ParticipantIntake, TrackFailure, LATELY};
use crate::capture::timeline::{Due, Pace, Stamp, Timeline, LEAD};

/// That a key picture is waited for is not told before so long: mostly it comes within a second or two.
const WORTH_TELLING: Nanos = 3 * SECOND;

pub struct DecodeSession<'a> {
    input: Input,
    pace: Pace,
    /// Where packets carry no time.
    pacer: Option<FramePacer>,
    silence: Duration,
    video: VideoStream,
    intake: &'a Intake,
    who: ParticipantIntake,
    /// The chosen stream of each track with its decoder, by `TrackKind as usize`.
    chosen: [Option<(usize, TrackDecoder)>; 2],
    /// When each track's last packet is due.
    reached: [Option<Nanos>; 2],
    /// When the last packet came that is one of media.
    heard: Nanos,
    /// A track that was there cannot be decoded any more.
    spoiled: bool,
    /// When the very first packet was due.
    began: Option<Nanos>,
    ahead: ReadAhead,
    streams_known: usize,
    opened: Instant,
}

impl<'a> DecodeSession<'a> {
    /// A connection of `who`, who has left after so long a silence.
    pub fn new(
        input: Input,
        who: ParticipantIntake,
        (silence, video): (Duration, VideoStream),
        intake: &'a Intake,
    ) -> Self {
        Self {
            input,
            pace: Pace::Live,
            pacer: None,
            silence,
            video,
            intake,
            who,
            chosen: [None, None],
            reached: [None, None],
            heard: intake.clock().now(),
            spoiled: false,
            began: None,
            ahead: ReadAhead::default(),
            streams_known: 0,
            opened: Instant::now(),
        }
    }

    pub fn into_participant(self) -> ParticipantIntake {
        self.who
    }

    /// Plays until something ends it.
    pub fn play(&mut self) -> SourceFailure {
        let ended = self.play_on().err().unwrap_or(SourceFailure::Stopped);
        if ended == SourceFailure::Ended {
            self.play_out();
            for (_, decoder) in self.chosen.iter_mut().flatten() {
                decoder.finish(&mut self.who);
            }
            // It had something to say, and nothing of it was media.
            if !self.who.has_joined() {
                return SourceFailure::Undecodable;
            }
        }
        ended
    }

    fn play_on(&mut self) -> Result<(), SourceFailure> {
        let media = self.intake.media();
        let settled = settle(&mut self.input, |track| media.takes(track))?;
        let start = self.intake.clock().now() + settled.head_start;
        self.pace = settled.pace;
        let mut timeline = Timeline::new(settled.pace, settled.anchor, start);
        self.pacer = self.input.is_bare_pictures().then(|| FramePacer::new(settled.pace, settled.backlog.len()));
        for packet in settled.backlog {
            self.take(packet, &mut timeline)?;
        }
        while !self.intake.stop().is_raised() {
            let packet = self.input.read(self.limit()).map_err(|failure| self.silent(failure))?;
            self.take(packet, &mut timeline)?;
        }
        Ok(())
    }

    /// How long the next packet may take.
    fn limit(&self) -> Duration {
        if !self.who.has_joined() {
            return CONNECT;
        }
        let now = self.intake.clock().now();
        // What is in store already makes no silence.
        let ahead = duration(self.who.last_due() - now + self.pace.lateness());
        self.silence.saturating_sub(duration(now - self.heard)) + ahead
    }

    /// Says of a participant who has fallen silent for how long.
    fn silent(&self, failure: SourceFailure) -> SourceFailure {
        match failure {
            SourceFailure::TimedOut(_) if self.who.has_joined() => SourceFailure::TimedOut(self.silence),
            failure => failure,
        }
    }

    fn take(&mut self, packet: Packet, timeline: &mut Timeline) -> Result<(), SourceFailure> {
        self.choose_streams();
        let Some(track) = self.input.track(packet.stream()).filter(|track| self.intake.media().takes(*track)) else {
            return self.expect_media();
        };
        if !self.follow_change(track, packet.stream()) {
            return self.expect_media();
        }
        let now = self.intake.clock().now();
        let stamp: Stamp = self.input.stamp(&packet);
        let due = match &mut self.pacer {
            Some(pacer) => Due { decode: pacer.next(stamp.duration, now), present: None },
            None => timeline.map(track, stamp, now),
        };
        self.heard = now;
        self.reached[track as usize] = Some(due.decode);
        self.began = self.began.or(Some(due.decode));
        self.ahead.push(track, due, packet);
        self.catch_up();
        self.expect_media()
    }

    /// Decodes what is due soon, until it is time to read on. It rests until half of its lead is used up: waking up for each
    /// packet would cost a tenth of the decoding.
    fn catch_up(&mut self) {
        loop {
            let now = self.intake.clock().now();
            while let Some((track, due, packet)) = self.ahead.pop(now + self.lead()) {
                self.decode(track, due, packet);
            }
            let lead = self.lead();
            let turn = self.turn(now, lead);
            if turn <= now || self.intake.stop().is_raised() {
                return;
            }
            let next = self.ahead.next_due().map_or(turn, |due| turn.min(due - lead));
            self.intake.clock().wait_until(next + lead / 2, self.intake.stop());
        }
    }

    /// How far ahead to decode now. Far, where that takes little memory: a decoder that works for long at a time has what it
    /// needs in the processor's cache, which the decoders of the other sources take from it in between.
    fn lead(&self) -> Nanos {
        if self.who.is_small() {
            self.pace.lead()
        } else {
            LEAD
        }
    }

    /// Decodes, in its time, what was read before the source ended.
    fn play_out(&mut self) {
        while let Some(due) = self.ahead.next_due().filter(|_| !self.intake.stop().is_raised()) {
            self.intake.clock().wait_until(due - LEAD, self.intake.stop());
            let Some((track, due, packet)) = self.ahead.pop(due) else { return };
            self.decode(track, due, packet);
        }
    }

    /// When to read on, so that the source does not run ahead. The track that is behind decides: its packets lie behind
    /// those of the other, and must not come late.
    fn turn(&self, now: Nanos, lead: Nanos) -> Nanos {
        if self.ahead.is_full() {
            return self.ahead.next_due().map_or(now, |due| due - lead);
        }
        let Some(newest) = self.reached.iter().flatten().copied().max() else { return now };
        let tracks = self.chosen.iter().zip(self.reached).filter(|(chosen, _)| chosen.is_some());
        // A track that has not shown up yet may still begin where the other did.
        let reached = tracks.map(|(_, reached)| reached.or(self.began).unwrap_or(now));
        let alive = reached.filter(|reached| newest - reached < nanos(LATELY));
        alive.min().unwrap_or(newest) - lead
    }

    fn decode(&mut self, track: TrackKind, due: Due, mut packet: Packet) {
        self.who.wait_for_room();
        let Some((_, decoder)) = &mut self.chosen[track as usize] else { return };
        let result = decoder.decode(&mut packet, due, &mut self.who);
        match result {
            Ok(Some(first)) => self.who.see(track, first),
            Ok(None) => {}
            Err(failure) => {
                // What could be decoded before has changed into something else, which a new connection tells.
                self.spoiled |= decoder.has_decoded() && matches!(failure, TrackFailure::Undecodable(_));
                self.who.lose(track, &failure);
            }
        }
        self.who.tell_damage();
    }

    /// Picks a stream for each wanted track when streams have appeared.
    fn choose_streams(&mut self) {
        let count = self.input.stream_count();
        let known = std::mem::replace(&mut self.streams_known, count);
        if known == count {
            return;
        }
        for track in [TrackKind::Audio, TrackKind::Video] {
            if self.chosen[track as usize].is_none() && self.intake.media().takes(track) {
                self.choose(track);
            }
        }
        let chosen: Vec<usize> = self.chosen.iter().flatten().map(|(index, _)| *index).collect();
        let is_successor =
            |index: usize| index >= known && chosen.iter().any(|old| *old < known && self.input.succeeds(index, *old));
        let needless: Vec<usize> =
            (0..count).filter(|index| !chosen.contains(index) && !is_successor(*index)).collect();
        for index in needless {
            self.input.discard(index);
        }
    }

    /// Whether this stream is the track's own, now: sources change their codec in one stream or go on in a new one.
    fn follow_change(&mut self, track: TrackKind, stream: usize) -> bool {
        let Some((index, decoder)) = &self.chosen[track as usize] else { return false };
        if *index == stream && self.input.codec(stream) == Some(decoder.codec()) {
            return true;
        }
        if *index != stream && !self.input.succeeds(stream, *index) {
            return false;
        }
        while let Some((track, due, packet)) = self.ahead.pop(Nanos::MAX) {
            self.decode(track, due, packet);
        }
        // What cannot be decoded is passed over, so that the rest of the source is still recorded.
        let changed = match self.input.decoder(stream) {
            Ok(changed) => changed,
            Err(error) => {
                self.who.lose(track, &TrackFailure::NoDecoder(self.input.codec_name(stream), error));
                return false;
            }
        };
        let Some((index, decoder)) = &mut self.chosen[track as usize] else { return false };
        decoder.change(changed, &mut self.who);
        let old = std::mem::replace(index, stream);
        if old != stream {
            self.input.discard(old);
        }
        true
    }

    fn choose(&mut self, track: TrackKind) {
        let Some(index) = self.input.best(track, self.video) else { return };
        // A track that cannot be decoded is as good as none; without any other the source counts as undecodable.
        match self.input.decoder(index) {
            Ok(decoder) => {
                let decoder = TrackDecoder::new(track, decoder);
                self.chosen[track as usize] = Some((index, decoder.untimed(self.input.is_bare_pictures())));
            }
            Err(error) => self.who.lose(track, &TrackFailure::NoDecoder(self.input.codec_name(index), error)),
        }
    }

    /// Fails when no media came for too long, or nothing that can be decoded; tells when a track came or went, and what is
    /// waited for.
    fn expect_media(&mut self) -> Result<(), SourceFailure> {
        self.who.tell_refused();
        self.tell_wait();
        if !self.who.has_joined() {
            return if self.opened.elapsed() > self.beginning() { Err(SourceFailure::Undecodable) } else { Ok(()) };
        }
        let now = self.intake.clock().now();
        if now - self.heard.max(self.who.last_due()) > nanos(self.silence) + self.pace.lateness() {
            return Err(SourceFailure::TimedOut(self.silence));
        }
        if self.spoiled || now - self.who.last_due() > nanos(self.silence.max(KEY_PICTURE)) {
            return Err(SourceFailure::Undecodable);
        }
        self.who.tell_change();
        Ok(())
    }

    /// How long it may take until the first of this connection is decoded.
    fn beginning(&self) -> Duration {
        if self.waits_for_key_picture() {
            KEY_PICTURE
        } else {
            CONNECT
        }
    }

    fn waits_for_key_picture(&self) -> bool {
        let comes = self.reached[TrackKind::Video as usize].is_some();
        comes && self.chosen[TrackKind::Video as usize].as_ref().is_some_and(|(_, decoder)| decoder.lacks_key_picture())
    }

    fn tell_wait(&mut self) {
        let begun = self.began.is_some_and(|began| self.intake.clock().now() - began >= WORTH_TELLING);
        let waits = begun && self.waits_for_key_picture();
        self.who.tell_wait(waits);
    }
}

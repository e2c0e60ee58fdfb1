// SPDX-License-Identifier: Apache-2.0
//! One connection to a source: finds its pace, maps its times, decodes, and notices when it joins, changes, or is silent.

use std::sync::Arc;
use std::time::Instant;

use super::decode::TrackDecoder;
use super::open::{Failure, Input};
use super::settle::settle;
use super::{Surroundings, Wanted, CONNECT, SILENCE};
use crate::capture::api::CaptureEvent;
use crate::capture::av::frame::Packet;
use crate::capture::clock::{duration, nanos, Nanos};
use crate::capture::feed::Feed;
use crate::capture::roster::Member;
use crate::capture::timeline::{Stamp, Timeline, Track, LEAD};

pub struct Session<'a> {
    input: Input,
    uid: u32,
    wanted: Wanted,
    around: &'a Surroundings,
    feed: Arc<Feed>,
    /// The chosen stream of each track with its decoder, by `Track as usize`.
    chosen: [Option<(usize, TrackDecoder)>; 2],
    /// When each track's last frame was due.
    seen: [Option<Nanos>; 2],
    /// When each track's last packet is due.
    reached: [Option<Nanos>; 2],
    told: Option<(bool, bool)>,
    streams_known: usize,
    opened: Instant,
}

impl<'a> Session<'a> {
    pub fn new(input: Input, uid: u32, wanted: Wanted, around: &'a Surroundings) -> Self {
        Self {
            input,
            uid,
            wanted,
            around,
            feed: Arc::new(Feed::new(wanted.channels)),
            chosen: [None, None],
            seen: [None, None],
            reached: [None, None],
            told: None,
            streams_known: 0,
            opened: Instant::now(),
        }
    }

    pub fn has_joined(&self) -> bool {
        self.told.is_some()
    }

    pub fn last_due(&self) -> Nanos {
        self.seen.iter().flatten().copied().max().unwrap_or(0)
    }

    /// Plays until something ends it.
    pub fn play(&mut self) -> Failure {
        let ended = self.play_on().err().unwrap_or(Failure::Stopped);
        if ended == Failure::Ended {
            for (_, decoder) in self.chosen.iter_mut().flatten() {
                decoder.finish(&self.feed);
            }
            // It had something to say, and nothing of it was media.
            if !self.has_joined() {
                return Failure::Undecodable;
            }
        }
        ended
    }

    fn play_on(&mut self) -> Result<(), Failure> {
        let wanted = self.wanted;
        let settled = settle(&mut self.input, |track| wanted.takes(track))?;
        let mut timeline = Timeline::new(settled.pace, settled.anchor, self.around.clock.now());
        for packet in settled.backlog {
            self.take(packet, &mut timeline)?;
        }
        while !self.around.stop.is_raised() {
            let silence = if self.has_joined() { SILENCE } else { CONNECT };
            let ahead = duration(self.last_due() - self.around.clock.now());
            let packet = self.input.read(silence + ahead)?;
            self.take(packet, &mut timeline)?;
        }
        Ok(())
    }

    fn take(&mut self, mut packet: Packet, timeline: &mut Timeline) -> Result<(), Failure> {
        self.choose_streams();
        let Some(track) = self.input.track(packet.stream()).filter(|track| self.wanted.takes(*track)) else {
            return self.expect_media();
        };
        if !matches!(&self.chosen[track as usize], Some((index, _)) if *index == packet.stream()) {
            return self.expect_media();
        }
        let stamp: Stamp = self.input.stamp(&packet);
        let due = timeline.map(track, stamp, self.around.clock.now());
        self.reached[track as usize] = Some(due.decode);
        self.wait_for_turn(due.decode);
        let Some((_, decoder)) = &mut self.chosen[track as usize] else { return Ok(()) };
        match decoder.decode(&mut packet, due, &self.feed) {
            Ok(Some(first)) => self.note(track, first),
            Ok(None) => {}
            Err(_) => return Err(Failure::Undecodable),
        }
        self.expect_media()
    }

    /// Picks a stream for each wanted track when streams have appeared.
    fn choose_streams(&mut self) {
        let count = self.input.stream_count();
        if std::mem::replace(&mut self.streams_known, count) == count {
            return;
        }
        for track in [Track::Audio, Track::Video] {
            if self.chosen[track as usize].is_none() && self.wanted.takes(track) {
                self.choose(track);
            }
        }
        let chosen: Vec<usize> = self.chosen.iter().flatten().map(|(index, _)| *index).collect();
        (0..count).filter(|index| !chosen.contains(index)).for_each(|index| self.input.discard(index));
    }

    fn choose(&mut self, track: Track) {
        let Some(index) = self.input.best(track, self.wanted.video) else { return };
        // A track that cannot be decoded is as good as none; without any other the source counts as undecodable.
        if let Ok(decoder) = self.input.decoder(index) {
            self.chosen[track as usize] = Some((index, TrackDecoder::new(track, decoder, self.wanted.channels)));
        }
    }

    /// Keeps the source from running ahead of the clock or from filling the memory.
    fn wait_for_turn(&self, due: Nanos) {
        let clock = &self.around.clock;
        // The track that is behind sets the pace: its packets come behind those of the other, and must not come late.
        let alive = self.reached.iter().flatten().filter(|reached| due - **reached < nanos(SILENCE));
        let due = alive.copied().min().unwrap_or(due);
        if due - LEAD > clock.now() {
            clock.wait_until(due - LEAD, &self.around.stop);
        }
        while let Some(until) = self.feed.full_until().filter(|until| *until > clock.now()) {
            if self.around.stop.is_raised() {
                return;
            }
            clock.wait_until(until, &self.around.stop);
        }
    }

    /// Takes note of decoded media, and tells when it is the first, or the first of its kind.
    fn note(&mut self, track: Track, due: Nanos) {
        let first = self.told.is_none();
        self.seen[track as usize] = Some(due);
        if first {
            let (audio, video) = self.present();
            let member = Member { uid: self.uid, feed: Arc::clone(&self.feed), audio, video };
            self.told = Some((audio, video));
            self.around.roster.join(member, due);
            let at = self.around.clock.utc(self.around.clock.now());
            self.around.sink.event(CaptureEvent::Joined { uid: self.uid, at, audio, video });
        }
    }

    /// The kinds of media that came lately.
    fn present(&self) -> (bool, bool) {
        let oldest = self.around.clock.now() - nanos(SILENCE);
        let present = |track: Track| self.seen[track as usize].is_some_and(|due| due >= oldest);
        (present(Track::Audio), present(Track::Video))
    }

    /// Packets are no media: fails when nothing decodable came for too long, and tells when a track came or went.
    fn expect_media(&mut self) -> Result<(), Failure> {
        let Some(told) = self.told else {
            return if self.opened.elapsed() > CONNECT { Err(Failure::Undecodable) } else { Ok(()) };
        };
        let present = self.present();
        if present == (false, false) {
            return Err(Failure::TimedOut(SILENCE));
        }
        if present != told {
            self.told = Some(present);
            self.around.roster.change(self.uid, present.0, present.1);
            let (audio, video) = present;
            self.around.sink.event(CaptureEvent::MediaChanged { uid: self.uid, audio, video });
        }
        Ok(())
    }
}

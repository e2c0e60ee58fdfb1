// SPDX-License-Identifier: Apache-2.0
//! The reading half: takes a connection's packets as they are, puts them on the recording's clock, and hands them on.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::format::{misfit, Changes, Ready, TrackFormats};
use super::output::{CopiedPacket, CopyJob, CopyStatus};
use super::timeline::{CopyTimeline, Unordered};
use crate::capture::api::{CaptureEvent, TrackKind};
use crate::capture::av::frame::Packet;
use crate::capture::clock::{duration, lock, nanos, Nanos, SECOND};
use crate::capture::handover::{Gone, Handover, TOO_SLOW};
use crate::capture::intake::presence::MediaPresence;
use crate::capture::intake::LATELY;
use crate::capture::source::open::Input;
use crate::capture::source::settle::settle;
use crate::capture::source::SourceFailure;
use crate::capture::source::{Played, Source, CONNECT, KEY_PICTURE};
use crate::capture::timeline::{Pace, Stamp, LEAD};
use crate::capture::CaptureContext;
use crate::panics::contained;

/// Packets that wait for the disk may take so many bytes.
const MOST_BYTES: usize = 64 << 20;

const TRACKS: [TrackKind; 2] = [TrackKind::Audio, TrackKind::Video];

/// How a connection ended.
pub enum ConnectionEnd {
    Over(Played),
    /// From its next packet on, the stream cannot be copied.
    Misfit {
        input: Box<Input>,
        reason: String,
        /// Whether the participant has been told to be there.
        joined: bool,
    },
}

/// Why packets are no longer taken.
enum CopyStop {
    Failure(SourceFailure),
    Misfit { packet: Packet, reason: String },
}

/// When the writing half has gone, it has told why.
impl From<Gone> for CopyStop {
    fn from(Gone: Gone) -> Self {
        Self::Failure(SourceFailure::Stopped)
    }
}

impl From<SourceFailure> for CopyStop {
    fn from(failure: SourceFailure) -> Self {
        Self::Failure(failure)
    }
}

/// What lasts from one connection to the next.
pub struct Copier {
    jobs: Handover<CopyJob>,
    status: Arc<CopyStatus>,
    /// Until when there has been media.
    reached: Option<Nanos>,
    paused: bool,
    changes: Changes,
}

impl Copier {
    /// For slices of that length.
    pub fn new(jobs: SyncSender<CopyJob>, is_live: bool, status: Arc<CopyStatus>, slice: Nanos) -> Self {
        let jobs = Handover::new(jobs, is_live);
        Self { jobs, status, reached: None, paused: false, changes: Changes::new(slice) }
    }

    /// The recording is over at this time, or goes on elsewhere; without `whole`, what could not be begun yet is left out.
    pub fn finish(self, at: Nanos, whole: bool) {
        // A writing half that has gone has told why.
        let _ = self.jobs.end(CopyJob::Finish { at, whole });
    }

    pub fn play(&mut self, input: Input, source: &Source, parts: &CaptureContext) -> ConnectionEnd {
        let finite = input.is_finite();
        let mut connection = CopySession::new(input, source, parts, self);
        let halt =
            contained(|| connection.play()).unwrap_or_else(|panic| CopyStop::Failure(SourceFailure::Panicked(panic)));
        let joined = connection.presence.has_joined();
        match halt {
            CopyStop::Failure(failure) => {
                if joined && failure != SourceFailure::Stopped {
                    connection.leave(&failure);
                }
                ConnectionEnd::Over(Played { joined, finite, failure })
            }
            CopyStop::Misfit { packet, reason } => {
                let mut input = connection.input;
                input.unread(vec![packet]);
                ConnectionEnd::Misfit { input: Box::new(input), reason, joined }
            }
        }
    }
}

struct CopySession<'a> {
    input: Input,
    source: &'a Source,
    parts: &'a CaptureContext,
    copier: &'a mut Copier,
    pace: Pace,
    /// The chosen stream of each track, by `TrackKind as usize`.
    chosen: [Option<(usize, TrackFormats)>; 2],
    /// By when packets came.
    presence: MediaPresence,
    /// The format of each track's last packet.
    formats: [Option<u64>; 2],
    streams_known: usize,
    opened: Instant,
}

impl<'a> CopySession<'a> {
    fn new(input: Input, source: &'a Source, parts: &'a CaptureContext, copier: &'a mut Copier) -> Self {
        Self {
            input,
            source,
            parts,
            copier,
            pace: Pace::Live,
            chosen: [None, None],
            presence: MediaPresence::default(),
            formats: [None; 2],
            streams_known: 0,
            opened: Instant::now(),
        }
    }

    fn play(&mut self) -> CopyStop {
        self.play_on().err().unwrap_or(CopyStop::Failure(SourceFailure::Stopped))
    }

    fn play_on(&mut self) -> Result<(), CopyStop> {
        let mut line = self.settle()?;
        while !self.parts.stop.is_raised() {
            let silence = if self.presence.has_joined() { self.source.stream.silence } else { CONNECT };
            let ahead = match self.pace {
                Pace::Stored { lateness } => duration(line.end().unwrap_or(0) - self.parts.clock.now() + lateness),
                Pace::Live => Duration::ZERO,
            };
            let packet = self.input.read(silence + ahead).map_err(|failure| match failure {
                SourceFailure::TimedOut(_) => SourceFailure::TimedOut(silence),
                failure => failure,
            })?;
            self.take(packet, &mut line)?;
            self.expect_media()?;
        }
        Ok(())
    }

    /// Finds where the source's clock stands; nothing of what was read for that is lost.
    fn settle(&mut self) -> Result<CopyTimeline, CopyStop> {
        let media = self.source.intake.media();
        let settled = settle(&mut self.input, |track| media.takes(track))?;
        self.pace = settled.pace;
        let stamps = settled.backlog.iter().filter_map(|packet| {
            let track = self.input.track(packet.stream()).filter(|track| media.takes(*track));
            track.and_then(|_| self.input.stamp(packet).decode)
        });
        let oldest = stamps.min().unwrap_or(settled.anchor);
        self.input.unread(settled.backlog);
        let floor = self.copier.reached.unwrap_or(Nanos::MIN / 2);
        Ok(CopyTimeline::new(self.pace, (settled.anchor, oldest), self.parts.clock.now(), floor))
    }

    fn take(&mut self, packet: Packet, line: &mut CopyTimeline) -> Result<(), CopyStop> {
        let unfit = lock(&self.copier.status.misfit).take();
        if let Some(reason) = unfit.or_else(|| self.choose_streams()) {
            return Err(CopyStop::Misfit { packet, reason });
        }
        let Some(track) = self.input.track(packet.stream()) else { return Ok(()) };
        let Some((_, formats)) = self.chosen[track as usize].as_mut().filter(|(index, _)| *index == packet.stream())
        else {
            return Ok(());
        };
        let ready = match formats.ready(&packet) {
            Ok(Some(ready)) => ready,
            Ok(None) => return Ok(()),
            Err(reason) => return Err(CopyStop::Misfit { packet, reason }),
        };
        let before = self.formats[track as usize].replace(ready.format.serial);
        if before.is_some_and(|before| before != ready.format.serial) {
            if let Some(reason) = self.copier.changes.note(self.parts.clock.now()) {
                return Err(CopyStop::Misfit { packet, reason });
            }
        }
        let stamp = self.input.stamp(&packet);
        let stamp = Stamp { duration: ready.duration.unwrap_or(stamp.duration), ..stamp };
        let Ok(placed) = line.place(track, stamp, self.parts.clock.now()) else {
            let Unordered = Unordered;
            let reason = "its pictures are reordered, and nothing tells when each is decoded".to_owned();
            return Err(CopyStop::Misfit { packet, reason });
        };
        if self.pace != Pace::Live && placed.decode - LEAD > self.parts.clock.now() {
            // Half of the lead at once: waking up for each packet would cost more than copying it.
            self.parts.clock.wait_until(placed.decode - LEAD / 2, &self.parts.stop);
        }
        self.note(track);
        self.break_off_silence(placed.decode);
        let Ready { packet: copy, format, .. } = ready;
        self.copier.reached = self.copier.reached.max(Some(placed.end()));
        self.hand_on(CopiedPacket { track, key: packet.is_key(), placed, packet: copy, format })
    }

    /// Picks a stream for each wanted track when streams have appeared; says why one cannot be copied.
    fn choose_streams(&mut self) -> Option<String> {
        if self.input.is_bare_pictures() {
            return Some("its pictures carry no time stamps".to_owned());
        }
        let count = self.input.stream_count();
        if std::mem::replace(&mut self.streams_known, count) == count {
            return None;
        }
        for track in TRACKS.into_iter().filter(|track| self.source.intake.media().takes(*track)) {
            let best = self.input.best(track, self.source.video);
            let Some(index) = best.filter(|_| self.chosen[track as usize].is_none()) else { continue };
            let Ok(parameters) = self.input.parameters(index) else { continue };
            let reason = misfit(track, &parameters);
            if reason.is_some() {
                return reason;
            }
            self.chosen[track as usize] =
                Some((index, TrackFormats::new(track, parameters, self.input.presentation(index).turn)));
        }
        let chosen: Vec<usize> = self.chosen.iter().flatten().map(|(index, _)| *index).collect();
        (0..count).filter(|index| !chosen.contains(index)).for_each(|index| self.input.discard(index));
        None
    }

    /// Where sound is sent and nothing came for a while, nothing was recorded: what follows is another stretch.
    fn break_off_silence(&mut self, next: Nanos) {
        let hole = self.copier.reached.map_or(0, |reached| next - reached);
        if hole > nanos(LATELY) && self.chosen[TrackKind::Audio as usize].is_some() && !self.copier.jobs.owes() {
            self.copier.jobs.owe(CopyJob::Break { reason: "no media came".to_owned(), ended: false });
        }
    }

    /// Gives a packet to the writing half. One that is hopelessly behind ends the output instead of the reading.
    fn hand_on(&mut self, piece: CopiedPacket) -> Result<(), CopyStop> {
        let paused = lock(&self.parts.settings).paused;
        if paused && !std::mem::replace(&mut self.copier.paused, paused) {
            self.copier.jobs.owe(CopyJob::Break { reason: "paused".to_owned(), ended: false });
        }
        self.copier.paused = paused;
        if !self.copier.jobs.settle()? || paused {
            return Ok(());
        }
        let size = piece.packet.footprint();
        if self.parts.clock.is_live() && self.copier.status.bytes.load(Ordering::Relaxed) + size > MOST_BYTES {
            return self.fall_behind();
        }
        self.copier.status.bytes.fetch_add(size, Ordering::Relaxed);
        if !self.copier.jobs.offer(CopyJob::Write(piece))? {
            self.copier.status.bytes.fetch_sub(size, Ordering::Relaxed);
            return self.fall_behind();
        }
        Ok(())
    }

    fn fall_behind(&mut self) -> Result<(), CopyStop> {
        self.copier.jobs.owe(CopyJob::Break { reason: TOO_SLOW.to_owned(), ended: false });
        self.copier.jobs.settle()?;
        Ok(())
    }

    /// Takes note of usable media, and tells when it is the first.
    fn note(&mut self, track: TrackKind) {
        let now = self.parts.clock.now();
        if let Some((audio, video)) = self.presence.see(track, now, now) {
            let (uid, at) = (self.source.stream.uid, self.parts.clock.utc(now));
            self.parts.sink.event(CaptureEvent::Joined { uid, at, audio, video });
        }
    }

    /// Fails when nothing usable came for too long, and tells when a track came or went.
    fn expect_media(&mut self) -> Result<(), CopyStop> {
        if !self.presence.has_joined() {
            let limit = if self.chosen.iter().flatten().count() > 0 { KEY_PICTURE } else { CONNECT };
            return if self.opened.elapsed() > limit { Err(SourceFailure::Undecodable.into()) } else { Ok(()) };
        }
        let silence = self.source.stream.silence;
        let now = self.parts.clock.now();
        if now - self.presence.last().unwrap_or(0) > nanos(silence) {
            return Err(SourceFailure::TimedOut(silence).into());
        }
        if let Some((audio, video)) = self.presence.change(now) {
            let uid = self.source.stream.uid;
            self.parts.sink.event(CaptureEvent::MediaChanged { uid, audio, video });
        }
        Ok(())
    }

    /// Ends the output, as the participant has left.
    fn leave(&mut self, failure: &SourceFailure) {
        let clock = &self.parts.clock;
        if let (Pace::Stored { .. }, Some(reached)) = (self.pace, self.copier.reached) {
            clock.wait_until(reached.min(clock.now() + 2 * SECOND), &self.parts.stop);
        }
        let reason = format!("the participant was away: {failure}");
        self.copier.jobs.owe(CopyJob::Break { reason, ended: *failure == SourceFailure::Ended });
        // Whether the writing half has gone shows with the next packet.
        let _ = self.copier.jobs.settle();
        self.source.tell_left(failure);
    }
}

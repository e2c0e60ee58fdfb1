// SPDX-License-Identifier: Apache-2.0
//! Writes what was encoded: interleaves it, and puts it into slices. It alone waits for the disk: while that stands still,
//! packets wait in memory, and nothing is lost.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::sync::Arc;

use super::api::{CaptureSink, TrackKind, UtcMillis};
use super::av::frame::Packet;
use super::clock::{Clock, Nanos};
use super::fault::Fatal;
use super::output::Grid;
use super::slicer::{Beginning, Slicer, Unwritten};

/// What the encoders hand on, in order.
pub enum EncodedPiece {
    /// Tick 0 is at this time. Comes first, once.
    Begin {
        origin: Nanos,
    },
    /// Output without a hole begins at these ticks.
    BeginStretch {
        ticks: i64,
    },
    Packet(TrackKind, Timed),
    /// All of a tick is here.
    Ticked,
    /// The output ends at these ticks: what is later is left out. A reason tells of what follows.
    EndStretch {
        ticks: i64,
        reason: Option<String>,
    },
    /// The recording is over at this time.
    Finish {
        at: Nanos,
    },
}

pub struct Timed {
    pub ticks: i64,
    pub packet: Packet,
    /// A slice begins here.
    pub cut: bool,
}

pub struct Writer {
    grid: Grid,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn CaptureSink>,
    slicer: Slicer,
    interleaver: EncodedInterleaver,
    /// Whether the next slice is the first of its stretch.
    restart: bool,
    gap: Option<(i64, String)>,
}

impl Writer {
    /// `tracks`: whether there are pictures and sound.
    pub fn new(
        (grid, clock, sink): (Grid, Arc<dyn Clock>, Arc<dyn CaptureSink>),
        slicer: Slicer,
        (video, audio): (bool, bool),
    ) -> Self {
        let interleaver = EncodedInterleaver::new(video, audio);
        Self { grid, clock, sink, slicer, interleaver, restart: false, gap: None }
    }

    /// Works until the recording is over or the encoders have gone.
    pub fn run(mut self, pieces: &Receiver<EncodedPiece>) -> Result<(), Fatal> {
        for piece in pieces {
            match piece {
                EncodedPiece::Begin { origin } => self.grid.origin = origin,
                EncodedPiece::BeginStretch { ticks } => {
                    self.restart = true;
                    self.report_gap(self.grid.utc(&*self.clock, ticks));
                }
                EncodedPiece::Packet(kind, timed) => self.take(kind, timed)?,
                EncodedPiece::Ticked if self.slicer.is_open() => self.slicer.flush()?,
                EncodedPiece::Ticked => {}
                EncodedPiece::EndStretch { ticks, reason } => self.end_stretch(ticks, reason)?,
                EncodedPiece::Finish { at } => {
                    self.report_gap(self.clock.utc(at));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, kind: TrackKind, timed: Timed) -> Result<(), Fatal> {
        self.interleaver.push(kind, timed);
        while let Some((kind, timed)) = self.interleaver.next() {
            self.write(kind, timed)?;
        }
        Ok(())
    }

    fn write(&mut self, kind: TrackKind, mut timed: Timed) -> Result<(), Fatal> {
        if timed.cut {
            if self.slicer.is_open() {
                self.slicer.close(timed.ticks)?;
            }
            let restart = std::mem::take(&mut self.restart);
            let utc = self.grid.utc(&*self.clock, timed.ticks);
            self.slicer.open(Beginning { ticks: timed.ticks, utc, restart }).map_err(Unwritten::of_our_own)?;
        }
        if self.slicer.is_open() {
            self.slicer.write(&mut timed.packet, kind, timed.ticks)?;
        }
        Ok(())
    }

    fn end_stretch(&mut self, end: i64, reason: Option<String>) -> Result<(), Fatal> {
        while let Some((kind, timed)) = self.interleaver.drain() {
            if timed.ticks < end {
                self.write(kind, timed)?;
            }
        }
        self.gap = reason.map(|reason| (end, reason));
        if self.slicer.is_open() {
            self.slicer.close(end)?;
        }
        Ok(())
    }

    /// States what is missing until `stop`.
    fn report_gap(&mut self, stop: UtcMillis) {
        if let Some((start, reason)) = self.gap.take() {
            self.sink.gap(self.grid.utc(&*self.clock, start), stop, reason);
        }
    }
}

/// Orders the packets of both tracks by time, pictures before the sound of the same moment.
struct EncodedInterleaver {
    video: VecDeque<Timed>,
    audio: VecDeque<Timed>,
    both: bool,
}

impl EncodedInterleaver {
    fn new(video: bool, audio: bool) -> Self {
        Self { video: VecDeque::new(), audio: VecDeque::new(), both: video && audio }
    }

    fn push(&mut self, kind: TrackKind, timed: Timed) {
        match kind {
            TrackKind::Video => self.video.push_back(timed),
            TrackKind::Audio => self.audio.push_back(timed),
        }
    }

    /// The next packet, if no packet of the other track can still come before it.
    fn next(&mut self) -> Option<(TrackKind, Timed)> {
        if self.both && (self.video.is_empty() || self.audio.is_empty()) {
            return None;
        }
        self.drain()
    }

    /// The next packet of those that are here.
    fn drain(&mut self) -> Option<(TrackKind, Timed)> {
        let video_first = match (self.video.front(), self.audio.front()) {
            (Some(video), Some(audio)) => video.ticks <= audio.ticks,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if video_first {
            self.video.pop_front().map(|timed| (TrackKind::Video, timed))
        } else {
            self.audio.pop_front().map(|timed| (TrackKind::Audio, timed))
        }
    }
}

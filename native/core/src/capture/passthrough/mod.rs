// SPDX-License-Identifier: Apache-2.0
//! Recording one stream as it is: its packets go into slices without being decoded.
//!
//! One thread reads the source and puts packets on the recording's clock; another interleaves, multiplexes and cuts, so
//! that no disk delays the reading. A stream that transport streams or the players of HLS cannot take is handed over to
//! the composing capture, from that packet on.

mod adts;
mod copy;
mod cutter;
mod format;
pub(crate) mod h264;
mod interleave;
mod output;
mod reorder;
mod timeline;

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::api::{CaptureConfig, CaptureEvent, CaptureSink, ClosedSlice, OpenSlice, UtcMillis};
use super::clock::{lock, nanos, ClockHold, Nanos, SECOND};
use super::fault::Fatal;
use super::intake::Intake;
use super::roster::Roster;
use super::source::open::Input;
use super::source::SourceFailure;
use super::source::{Played, Source};
use super::{CaptureContext, Composing};
use crate::error::Error;
use copy::{ConnectionEnd, Copier};
use output::{CopyStatus, CopyWriter};

/// How many packets the reader may be ahead of the disk. Where time waits for the work, a few are enough.
const BACKLOG: usize = 8192;
const OFFLINE_BACKLOG: usize = 64;

/// How long to wait where only the stop ends a wait.
const A_WHILE: Nanos = 3600 * SECOND;

/// Records the only stream of `config` until the stop.
pub(super) fn run(config: &CaptureConfig, parts: &CaptureContext, presence: ClockHold) -> Result<(), Fatal> {
    let Some(stream) = config.sources.first() else { return Ok(()) };
    let bridge = Arc::new(Bridge { sink: Arc::clone(&parts.sink), change: Mutex::default() });
    let parts = &CaptureContext { sink: Arc::clone(&bridge) as _, ..parts.clone() };
    let intake = Intake::new(parts, config, &Arc::new(Roster::of([stream.uid].into_iter())));
    let source = Source::new(stream.clone(), config, intake);
    let mode = RecordingMode::start(config, parts)?;
    let mut recording = Recording { config, parts, source: &source, bridge, mode, failed: None };
    source.run_with(|input| recording.play(input));
    drop(presence);
    recording.finish()
}

/// How the stream is recorded now.
enum RecordingMode {
    Copying {
        copier: Copier,
        status: Arc<CopyStatus>,
        output: JoinHandle<()>,
    },
    Composing(Composing),
    /// One mode has ended and the other could not begin.
    None,
}

impl RecordingMode {
    fn start(config: &CaptureConfig, parts: &CaptureContext) -> Result<Self, Fatal> {
        let (jobs, received) = sync_channel(if parts.clock.is_live() { BACKLOG } else { OFFLINE_BACKLOG });
        let status = Arc::<CopyStatus>::default();
        let output = CopyWriter::new(config, parts, Arc::clone(&status));
        let output = parts.spawn("copy", move || output.run(&received))?;
        let copier = Copier::new(jobs, parts.clock.is_live(), Arc::clone(&status), nanos(config.slice));
        Ok(Self::Copying { copier, status, output })
    }
}

struct Recording<'a> {
    config: &'a CaptureConfig,
    parts: &'a CaptureContext,
    source: &'a Source,
    bridge: Arc<Bridge>,
    mode: RecordingMode,
    failed: Option<Fatal>,
}

impl Recording<'_> {
    fn play(&mut self, input: Input) -> Played {
        let RecordingMode::Copying { copier, .. } = &mut self.mode else { return self.compose(input) };
        match copier.play(input, self.source, self.parts) {
            ConnectionEnd::Over(played) => played,
            ConnectionEnd::Misfit { input, reason, joined } => {
                if let Err(fatal) = self.transcode(reason, joined) {
                    self.failed = Some(fatal);
                }
                self.compose(*input)
            }
        }
    }

    /// Plays what is composed; where that could not begin, nothing can be recorded.
    fn compose(&mut self, input: Input) -> Played {
        if matches!(self.mode, RecordingMode::Composing(_)) {
            return self.source.play(input);
        }
        self.parts.stop.raise();
        Played { joined: false, finite: false, failure: SourceFailure::Stopped }
    }

    /// Changes over to composing; what was copied is in closed slices by then.
    fn transcode(&mut self, reason: String, joined: bool) -> Result<(), Fatal> {
        let end = self.end_copying(false);
        let uid = self.source.stream.uid;
        self.parts.sink.event(CaptureEvent::Transcoding { uid, reason: reason.clone() });
        *lock(&self.bridge.change) = Change { end: end.map(|end| (end, reason)), joined };
        self.mode = RecordingMode::Composing(self.parts.compose(self.config, self.source.intake.roster())?);
        Ok(())
    }

    /// Ends the copy; returns where the last slice ends.
    fn end_copying(&mut self, whole: bool) -> Option<UtcMillis> {
        let RecordingMode::Copying { copier, status, output } = std::mem::replace(&mut self.mode, RecordingMode::None)
        else {
            return None;
        };
        copier.finish(self.parts.clock.now(), whole);
        let _ = output.join();
        let end = *lock(&status.end);
        end
    }

    /// A source that has ended leaves a recording that goes on until the stop.
    fn finish(mut self) -> Result<(), Fatal> {
        let clock = &self.parts.clock;
        while clock.is_live() && !self.parts.stop.is_raised() {
            clock.wait_until(clock.now() + A_WHILE, &self.parts.stop);
        }
        match self.mode {
            RecordingMode::Composing(composing) => composing.join(),
            _ => drop(self.end_copying(true)),
        }
        self.failed.map_or(Ok(()), Err)
    }
}

/// Joins the copy and what is composed after it: tells what lies between, and that nobody has left.
struct Bridge {
    sink: Arc<dyn CaptureSink>,
    change: Mutex<Change>,
}

#[derive(Default)]
struct Change {
    /// Where the copy ended, and why.
    end: Option<(UtcMillis, String)>,
    /// The participant has been told to be there already.
    joined: bool,
}

impl CaptureSink for Bridge {
    fn slice_opened(&self, slice: &OpenSlice) -> Result<(), Error> {
        let end = lock(&self.change).end.take();
        if let Some((start, reason)) = end {
            self.sink.gap(start, slice.start, format!("changing over to transcoding: {reason}"));
        }
        self.sink.slice_opened(slice)
    }

    fn slice_closed(&self, slice: ClosedSlice) -> Result<(), Error> {
        self.sink.slice_closed(slice)
    }

    fn event(&self, event: CaptureEvent) {
        let joined = |change: &mut Change| std::mem::take(&mut change.joined);
        self.sink.event(match event {
            CaptureEvent::Joined { uid, audio, video, .. } if joined(&mut lock(&self.change)) => {
                CaptureEvent::MediaChanged { uid, audio, video }
            }
            event => event,
        });
    }
}

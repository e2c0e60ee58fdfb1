// SPDX-License-Identifier: Apache-2.0
//! Capture: live sources in, closed TS slices out.
//!
//! A kind of channel hands what its participants send to the intake, which puts it into a feed for each; one tick composes
//! and mixes what the feeds have for its moment; one thread encodes; one multiplexes and cuts, and waits for the disk. No
//! source can delay the tick, and the tick waits for no disk.
//!
//! - `api`: the border to what records and uploads: configuration, events, slices.
//! - `intake`: where participants come in, of whatever kind of channel.
//! - `source`: streams of a network: opening, guarding, decoding, and why one fails.
//! - `room`: a LiveKit room: joining it, who has a place, what comes of whom, and when sound was spoken.
//! - `reconnect`: the pauses between two connections of a source or a room.
//! - `roster`: who is in the channel now, in the layouts' order.
//! - `feed`, `timeline`: pictures and samples that are due, on the recording's clock.
//! - `tick`: the heartbeat: takes what every feed has for its moment.
//! - `geometry`, `participant_regions`, `view`, `canvas`: where each participant is shown, and painting it.
//! - `orientation`: how pictures are to be turned.
//! - `mixer`, `limiter`: the participants' sound as one.
//! - `output`, `encode`: encoders, and where slices begin.
//! - `handover`, `writer`: to the thread that waits for the disk.
//! - `mux`, `slicer`: MPEG-TS, and the slices it is cut into.
//! - `repair`: a playable slice of what a killed process left.
//! - `passthrough`: one participant's stream copied, and not composed.
//! - `av`: packets and pictures of libav, without raw pointers for who uses them.
//! - `clock`, `threads`, `fault`: time as a parameter, the threads of a capture, and whom a failure may end.

pub mod api;
#[allow(clippy::must_use_candidate)] // public for the measuring programs alone
pub mod av;
mod canvas;
pub mod clock;
#[allow(clippy::must_use_candidate)] // likewise
pub mod encode;
pub mod fault;
mod feed;
pub mod geometry;
mod handover;
#[allow(clippy::must_use_candidate)] // likewise: for kinds of channels that are no part of capture
pub mod intake;
mod limiter;
mod mixer;
pub(crate) mod mux;
pub(crate) mod orientation;
mod output;
mod participant_regions;
pub(crate) mod passthrough;
mod reconnect;
mod repair;
mod room;
mod roster;
mod slicer;
mod source;
mod threads;
mod tick;
mod timeline;
mod view;
mod writer;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use api::{CaptureConfig, CaptureFigures, CaptureSink, Layout, MaxResolution, StreamSource, UtcMillis};
use clock::{duration, lock, Clock, ClockHold, MonotonicClock, StopSignal};
use fault::Fatal;
use intake::{ChannelKind, Intake};
use output::EncodeLoop;
use participant_regions::ParticipantRegions;
pub use repair::{repair, whole_ticks};
use room::RoomChannel;
pub use room::{RoomMedia, RoomParticipants, RoomSelection};
use roster::Roster;
use slicer::Naming;
use source::Streams;
pub use source::{try_out, Guard, HostPattern, Refusal, SourceCause, SourceFailure, TlsCause};
use tick::{Lateness, Settings, Tick};

/// A channel being recorded. Dropping it stops it, too.
pub struct Capture {
    parts: CaptureContext,
    threads: Vec<JoinHandle<()>>,
    /// Where the channel's participants come in; none where the only one is copied.
    channel: Option<(Intake, Streams)>,
}

/// What the threads of one capture share.
#[derive(Clone)]
struct CaptureContext {
    clock: Arc<dyn Clock>,
    stop: Arc<StopSignal>,
    sink: Arc<dyn CaptureSink>,
    settings: Arc<Mutex<Settings>>,
    participant_regions: Arc<ParticipantRegions>,
    lateness: Arc<Lateness>,
    naming: Arc<Naming>,
    /// Nanoseconds of media written.
    position: Arc<AtomicI64>,
}

/// The threads that turn what the sources decode into slices.
struct Composing(Vec<JoinHandle<()>>);

impl Capture {
    /// Begins to connect in the background; the output begins with the first media of the first participant.
    ///
    /// # Errors
    /// When the encoders or the threads cannot be had.
    #[allow(clippy::needless_pass_by_value)] // a capture is handed its configuration and its listener
    pub fn start(config: CaptureConfig, sink: Arc<dyn CaptureSink>) -> Result<Self, Fatal> {
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::not_before(config.earliest));
        Self::start_at(&config, &sink, &clock)
    }

    /// The same on another clock: on a virtual one, files are recorded as fast as they can be worked through.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_at(
        config: &CaptureConfig,
        sink: &Arc<dyn CaptureSink>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Fatal> {
        av::prepare();
        let identity = config.room.as_ref().and_then(|room| room.max_resolution_identity.as_deref());
        let max_resolution = identity
            .map_or(MaxResolution::Uid(config.max_resolution_uid), |identity| MaxResolution::Identity(identity.into()));
        let settings = Arc::new(Mutex::new(Settings { layout: config.layout, max_resolution, paused: false }));
        let canvas = (config.canvas.width, config.canvas.height);
        let parts = CaptureContext {
            clock: Arc::clone(clock),
            stop: Arc::default(),
            sink: Arc::clone(sink),
            participant_regions: Arc::new(ParticipantRegions::new(canvas, config.fit, Arc::clone(&settings))),
            settings,
            lateness: Arc::default(),
            naming: Arc::new(Naming::new(config)),
            position: Arc::default(),
        };
        let mut capture = Self { parts, threads: Vec::new(), channel: None };
        // Until every thread has begun: a virtual clock would run away with the ones that wait.
        let _starting = ClockHold::new(clock);
        if config.passthrough.is_some() {
            capture.start_copying(config)?;
        } else {
            let roster = Arc::new(Roster::of(config.sources.iter().map(|stream| stream.uid)));
            capture.threads = capture.parts.compose(config, &roster)?.0;
            let channel = (Intake::new(&capture.parts, config, &roster), Streams::new(config));
            let (intake, streams) = capture.channel.insert(channel);
            match &config.room {
                Some(room) => RoomChannel { source: room, config }.start(intake)?,
                None => streams.start(intake)?,
            }
        }
        Ok(capture)
    }

    /// Arranges the participants differently from the next tick on.
    pub fn set_layout(&self, layout: Layout, max_resolution: impl Into<MaxResolution>) {
        let mut settings = lock(&self.parts.settings);
        settings.layout = layout;
        settings.max_resolution = max_resolution.into();
    }

    /// Has these streams, and no others, in the channel from now on. What is copied keeps its stream.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn set_streams(&self, streams: &[StreamSource]) -> Result<(), Fatal> {
        self.channel.as_ref().map_or(Ok(()), |(intake, kind)| kind.change(intake, streams))
    }

    /// While paused nothing is recorded: the slice is closed, and what follows is told as a gap.
    pub fn set_paused(&self, paused: bool) {
        lock(&self.parts.settings).paused = paused;
    }

    #[must_use]
    pub fn figures(&self) -> CaptureFigures {
        let (tick_lateness_p50, tick_lateness_p99) = self.parts.lateness.percentiles();
        let position = duration(self.parts.position.load(Ordering::Relaxed));
        CaptureFigures { position, tick_lateness_p50, tick_lateness_p99 }
    }

    /// The recording's own time: the wall clock's as it was at the start, plus what has passed since.
    #[must_use]
    pub fn now(&self) -> UtcMillis {
        self.parts.clock.utc(self.parts.clock.now())
    }

    /// Closes the open slice and returns when no thread of the capture runs any more.
    pub fn stop(self) {
        drop(self);
    }

    fn start_copying(&mut self, config: &CaptureConfig) -> Result<(), Fatal> {
        let presence = ClockHold::new(&self.parts.clock);
        let (config, parts) = (config.clone(), self.parts.clone());
        let span = tracing::info_span!("participant", participant = config.sources.first().map(|stream| stream.uid));
        let run = move || span.in_scope(|| passthrough::run(&config, &parts, presence));
        self.threads.push(self.parts.spawn("source", run)?);
        Ok(())
    }
}

impl CaptureContext {
    /// Starts what composes and mixes the members of `roster`, and what encodes and cuts that.
    fn compose(&self, config: &CaptureConfig, roster: &Arc<Roster>) -> Result<Composing, Fatal> {
        let (sender, receiver) = sync_channel(tick::backlog(config, &*self.clock));
        let position = Arc::clone(&self.position);
        let (to_writer, pieces) = sync_channel(output::backlog(config, &*self.clock));
        let (clock, sink) = (Arc::clone(&self.clock), Arc::clone(&self.sink));
        let (output, writer) = EncodeLoop::open(config, Arc::clone(&self.naming), clock, sink, position, to_writer)?;
        let writer = self.spawn("writer", move || writer.run(&pieces))?;
        let output = self.spawn("output", move || output.run(&receiver))?;
        let presence = ClockHold::new(&self.clock);
        let time = (Arc::clone(&self.clock), Arc::clone(&self.stop));
        let scene = (Arc::clone(roster), Arc::clone(&self.participant_regions), Arc::clone(&self.settings));
        let tick = Tick::new(config, time, scene, Arc::clone(&self.lateness), (Arc::clone(&self.sink), sender));
        let tick = self.spawn("tick", move || {
            let _presence = presence;
            tick.run();
            Ok(())
        })?;
        Ok(Composing(vec![writer, output, tick]))
    }

    /// Runs `work` in a thread whose failure or panic breaks the capture instead of the process.
    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<(), Fatal> + Send + 'static,
    ) -> Result<JoinHandle<()>, Fatal> {
        threads::spawn(name, &self.sink, &self.stop, work)
    }
}

impl Composing {
    /// Returns when the threads have ended, as they do after the stop.
    fn join(self) {
        threads::join(self.0);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.parts.stop.raise();
        Composing(std::mem::take(&mut self.threads)).join();
        if let Some((intake, _)) = &self.channel {
            intake.join();
        }
    }
}

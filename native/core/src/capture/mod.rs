// SPDX-License-Identifier: Apache-2.0
//! Capture: live sources in, closed TS slices out.
//!
//! A thread per source decodes into a feed; one tick composes and mixes what the feeds have for its moment; one thread
//! encodes, multiplexes and cuts. No source can delay the tick, and the tick waits for no disk.

pub mod api;
pub(crate) mod av;
mod canvas;
pub mod clock;
mod encode;
mod feed;
pub mod geometry;
mod mixer;
pub(crate) mod mux;
mod output;
mod repair;
mod roster;
mod slicer;
mod source;
mod tick;
mod timeline;
mod utc;

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use api::{CaptureConfig, CaptureEvent, CaptureFigures, CaptureSink, Layout, UtcMillis};
use clock::{duration, lock, Clock, MonotonicClock, Presence, Stop};
use encode::aac;
use output::{Job, Output};
pub use repair::repair;
use roster::Roster;
pub use source::{try_out, Failure, Guard, Refusal};
use source::{Source, Surroundings};
use tick::{Lateness, Settings, Tick};

use crate::error::{Code, Error};

/// A channel being recorded. Dropping it stops it, too.
pub struct Capture {
    clock: Arc<dyn Clock>,
    stop: Arc<Stop>,
    settings: Arc<Mutex<Settings>>,
    lateness: Arc<Lateness>,
    position: Arc<AtomicI64>,
    threads: Vec<JoinHandle<()>>,
}

impl Capture {
    /// Begins to connect in the background; the output begins with the first media of the first participant.
    ///
    /// # Errors
    /// When the encoders or the threads cannot be had.
    #[allow(clippy::needless_pass_by_value)] // a capture is handed its configuration and its listener
    pub fn start(config: CaptureConfig, sink: Arc<dyn CaptureSink>) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
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
    ) -> Result<Self, Error> {
        av::prepare();
        let settings = Settings { layout: config.layout, max_resolution_uid: config.max_resolution_uid, paused: false };
        let mut capture = Self {
            clock: Arc::clone(clock),
            stop: Arc::default(),
            settings: Arc::new(Mutex::new(settings)),
            lateness: Arc::default(),
            position: Arc::default(),
            threads: Vec::new(),
        };
        let (sender, receiver) = sync_channel(tick::backlog(config, &**clock));
        let position = Arc::clone(&capture.position);
        let output = Output::open(config, Arc::clone(clock), Arc::clone(sink), position)?;
        capture.start_output(output, receiver, sink)?;
        let roster = Arc::<Roster>::default();
        capture.start_tick(config, &roster, sender, sink)?;
        capture.start_sources(config, &roster, sink)?;
        Ok(capture)
    }

    /// Arranges the participants differently from the next tick on.
    pub fn set_layout(&self, layout: Layout, max_resolution_uid: u32) {
        let mut settings = lock(&self.settings);
        settings.layout = layout;
        settings.max_resolution_uid = max_resolution_uid;
    }

    /// While paused nothing is recorded: the slice is closed, and what follows is told as a gap.
    pub fn set_paused(&self, paused: bool) {
        lock(&self.settings).paused = paused;
    }

    #[must_use]
    pub fn figures(&self) -> CaptureFigures {
        let (tick_lateness_p50, tick_lateness_p99) = self.lateness.percentiles();
        let position = duration(self.position.load(Ordering::Relaxed));
        CaptureFigures { position, tick_lateness_p50, tick_lateness_p99 }
    }

    /// The recording's own time: the wall clock's as it was at the start, plus what has passed since.
    #[must_use]
    pub fn now(&self) -> UtcMillis {
        self.clock.utc(self.clock.now())
    }

    /// Closes the open slice and returns when no thread of the capture runs any more.
    pub fn stop(self) {
        drop(self);
    }

    fn start_output(&mut self, output: Output, jobs: Receiver<Job>, sink: &Arc<dyn CaptureSink>) -> Result<(), Error> {
        self.spawn("output", sink, move || output.run(&jobs))
    }

    fn start_tick(
        &mut self,
        config: &CaptureConfig,
        roster: &Arc<Roster>,
        jobs: std::sync::mpsc::SyncSender<Job>,
        sink: &Arc<dyn CaptureSink>,
    ) -> Result<(), Error> {
        let presence = Presence::new(&self.clock);
        let time = (Arc::clone(&self.clock), Arc::clone(&self.stop));
        let settings = Arc::clone(&self.settings);
        let tick = Tick::new(config, time, Arc::clone(roster), settings, Arc::clone(&self.lateness), jobs);
        self.spawn("tick", sink, move || {
            let _presence = presence;
            tick.run()
        })
    }

    fn start_sources(
        &mut self,
        config: &CaptureConfig,
        roster: &Arc<Roster>,
        sink: &Arc<dyn CaptureSink>,
    ) -> Result<(), Error> {
        let presences: Vec<_> = config.sources.iter().map(|_| Presence::new(&self.clock)).collect();
        for (stream, presence) in config.sources.iter().zip(presences) {
            let around = Surroundings {
                clock: Arc::clone(&self.clock),
                stop: Arc::clone(&self.stop),
                roster: Arc::clone(roster),
                sink: Arc::clone(sink),
            };
            let source = Source::new(stream.clone(), config, aac::channels(config.audio_profile), around);
            self.spawn(&format!("source-{}", stream.uid), sink, move || {
                let _presence = presence;
                source.run();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Runs `work` in a thread whose failure or panic breaks the capture instead of the process.
    fn spawn(
        &mut self,
        name: &str,
        sink: &Arc<dyn CaptureSink>,
        work: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (sink, stop) = (Arc::clone(sink), Arc::clone(&self.stop));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let worked = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)));
            if let Err(error) = worked {
                stop.raise();
                sink.event(CaptureEvent::Broken(error));
            }
        });
        let thread = thread.map_err(|error| {
            Error::new(Code::RecorderInit, format!("the system gives no thread for capture: {error}"))
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.raise();
        for thread in self.threads.drain(..) {
            // Panics were caught inside and told.
            drop(thread.join());
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Error::new(Code::GeneralError, format!("an internal error ended the capture: {text}"))
}

// SPDX-License-Identifier: Apache-2.0
//! Where decoded pictures and samples become a participant of the recording, whoever brings them.
//!
//! A kind of channel ([`ChannelKind`]) is handed an [`Intake`], finds participants in its own way, and asks for a
//! [`ParticipantIntake`] for each of them: one for each time that somebody comes. What it does with that:
//!
//! ```text
//! intake.spawn("room", work)                      a thread of the kind; it ends once intake.stop() is raised
//! intake.expect(uid, name, identity)              somebody whom the configuration does not name; before the first media
//! let mut who = intake.participant(uid, &warnings)
//! let mut who = who.known_as(identity)            by what the channel tells participants apart, if that is no number
//! let mut who = who.as_screen()                   what is shown is a screen and no person
//! who.picture(frame, Some(due))                   a picture that is to be seen at `due`; the first media joins
//! who.samples(frame, Some(due))                   a block of samples of any rate, format and number of channels
//! who.announce(audio, video)                      what is sent is known (tracks, mutes); else the last media tells
//! who.watch()                                     some times a second: tells of what came or went meanwhile
//! who.leave(lost, message)                        without it nobody leaves: at a stop the recording does
//! intake.dismiss(uid)                             is not to come again: whoever never came is listed no longer
//! ```
//!
//! `due` is on the recording's clock: `intake.clock().now()`, or `intake.at_monotonic(stamp)` for a stamp of the machine's
//! monotonic clock, plus what the channel needs against jitter. What comes after it was due is late: samples are not heard,
//! pictures are passed over by the next. Frames are `Frame::of_planes` for planes that belong to somebody else and are
//! not copied, turned by `Frame::turned`, and `Frame::pcm` for interleaved 16 bit samples. All of it may be done in any
//! thread, that of one participant in one at a time; pictures are scaled and converted in it. Nothing waits for the tick,
//! but memory is bounded only where pictures that are far ahead wait by `who.wait_for_room()`.

mod fields;
mod fit;
mod media_warnings;
mod participant;
mod pictures;
pub(crate) mod presence;
mod samples;
mod track;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::api::{CaptureConfig, CaptureEvent, CaptureSink, StreamKinds, TrackKind, UtcMillis};
use super::av::colour::Colour;
use super::clock::{lock, monotonic_now, nanos, Clock, ClockHold, Nanos, StopSignal};
use super::encode::aac;
use super::fault::Fatal;
use super::participant_regions::ParticipantRegions;
use super::roster::Roster;
use super::{threads, CaptureContext};

pub use fit::Fitted;
pub use media_warnings::MediaWarnings;
pub use participant::ParticipantIntake;
pub use track::TrackFailure;

/// A track that nothing came of for this long is not being sent.
pub const LATELY: Duration = Duration::from_secs(3);

/// What finds the participants of a channel, and hands what they send to the intake.
pub trait ChannelKind {
    /// Starts its threads by `intake.spawn`, and returns.
    ///
    /// # Errors
    /// When the recording cannot begin.
    fn start(&self, intake: &Intake) -> Result<(), Fatal>;
}

/// What of a participant is recorded, and how.
#[derive(Debug, Clone, Copy)]
pub struct MediaSelection {
    pub kinds: StreamKinds,
    pub channels: usize,
    /// What the recording's pictures are converted into.
    pub colour: Colour,
}

impl MediaSelection {
    pub fn takes(self, track: TrackKind) -> bool {
        match track {
            TrackKind::Audio => self.kinds != StreamKinds::VideoOnly,
            TrackKind::Video => self.kinds != StreamKinds::AudioOnly,
        }
    }
}

/// The way into one capture; its clones are the same one.
#[derive(Clone)]
pub struct Intake {
    media: MediaSelection,
    clock: Arc<dyn Clock>,
    stop: Arc<StopSignal>,
    sink: Arc<dyn CaptureSink>,
    roster: Arc<Roster>,
    participant_regions: Arc<ParticipantRegions>,
    /// Those of the channel's kind, which write nothing.
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Intake {
    pub(super) fn new(parts: &CaptureContext, config: &CaptureConfig, roster: &Arc<Roster>) -> Self {
        let colour = Colour::of_recording(config.canvas.width, config.canvas.height);
        Self {
            media: MediaSelection { kinds: config.kinds, channels: aac::channels(config.audio_profile), colour },
            clock: Arc::clone(&parts.clock),
            stop: Arc::clone(&parts.stop),
            sink: Arc::clone(&parts.sink),
            roster: Arc::clone(roster),
            participant_regions: Arc::clone(&parts.participant_regions),
            threads: Arc::default(),
        }
    }

    pub fn media(&self) -> MediaSelection {
        self.media
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Raised when the recording ends.
    pub fn stop(&self) -> &Arc<StopSignal> {
        &self.stop
    }

    pub(super) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// What the clock reads, or read, when the machine's monotonic clock is at `stamp`.
    pub fn at_monotonic(&self, stamp: Duration) -> Nanos {
        self.clock.now() + nanos(stamp) - nanos(monotonic_now())
    }

    /// What has happened now, as events tell it.
    pub fn utc_now(&self) -> UtcMillis {
        self.clock.utc(self.clock.now())
    }

    /// Somebody who may come: there from the first media, or the first announcement on. `warnings` outlast the connection.
    pub fn participant(&self, uid: u32, warnings: &Arc<MediaWarnings>) -> ParticipantIntake {
        ParticipantIntake::new(uid, self.clone(), warnings)
    }

    /// The same way in, for somebody whose part may end before the recording does.
    #[must_use]
    pub fn until(&self, stop: &Arc<StopSignal>) -> Self {
        Self { stop: Arc::clone(stop), ..self.clone() }
    }

    /// Somebody may come who was not announced by the configuration, or is called otherwise now.
    pub fn expect(&self, uid: u32, name: Option<&str>, identity: Option<&str>) {
        let (name, identity) = (name.map(str::to_owned), identity.map(str::to_owned));
        self.event(CaptureEvent::Expected { uid, name, identity });
    }

    /// Whoever has left, or never came, is not waited for any more.
    pub fn dismiss(&self, uid: u32) {
        self.event(CaptureEvent::Dismissed { uid });
    }

    /// Tells of somebody who is not there, and is being waited for.
    pub fn event(&self, event: CaptureEvent) {
        self.sink.event(event);
    }

    /// Runs `work` in a thread whose failure or panic breaks the recording instead of the process. It is to end when the
    /// stop is raised.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn spawn(&self, name: &str, work: impl FnOnce() -> Result<(), Fatal> + Send + 'static) -> Result<(), Fatal> {
        let presence = ClockHold::new(&self.clock);
        let thread = threads::spawn(name, &self.sink, &self.stop, move || {
            let _presence = presence;
            work()
        })?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Waits, not for long, until the threads have ended, as they do after the stop.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        threads::join_or_leave(threads);
    }

    /// For tests: nobody records what is taken in.
    #[cfg(test)]
    pub fn into_nothing(clock: Arc<dyn Clock>, sink: Arc<dyn CaptureSink>, kinds: StreamKinds) -> Self {
        use crate::capture::api::{Fit, Layout, MaxResolution};
        use crate::capture::tick::Settings;
        let settings = Settings { layout: Layout::BestFit, max_resolution: MaxResolution::Uid(0), paused: false };
        Self {
            media: MediaSelection { kinds, channels: 1, colour: Colour::of_recording(64, 64) },
            clock,
            stop: Arc::default(),
            sink,
            roster: Arc::new(Roster::of([7].into_iter())),
            participant_regions: Arc::new(ParticipantRegions::new((64, 64), Fit::Crop, Arc::new(Mutex::new(settings)))),
            threads: Arc::default(),
        }
    }
}

/// What was told, for tests.
#[cfg(test)]
#[derive(Default)]
pub struct KeptEvents(Mutex<Vec<CaptureEvent>>);

#[cfg(test)]
impl KeptEvents {
    pub fn take(&self) -> Vec<CaptureEvent> {
        std::mem::take(&mut *lock(&self.0))
    }
}

#[cfg(test)]
impl CaptureSink for KeptEvents {
    fn slice_opened(&self, _: &super::api::OpenSlice) -> Result<(), crate::error::Error> {
        Ok(())
    }

    fn slice_closed(&self, _: super::api::ClosedSlice) -> Result<(), crate::error::Error> {
        Ok(())
    }

    fn event(&self, event: CaptureEvent) {
        lock(&self.0).push(event);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The recording's own thread: encodes what the tick composed, interleaves it, and cuts it into slices.
//!
//! It alone touches the disk, so the tick never waits for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::Arc;

use super::api::{AudioProfile, CaptureConfig, CaptureEvent, CaptureSink, StreamKinds, TrackKind, UtcMillis};
use super::av::frame::{Frame, Packet};
use super::clock::{nanos, Clock, Nanos, SECOND};
use super::encode::aac::Aac;
use super::encode::x264::X264;
use super::encode::{AudioEncoder, EncodeError, VideoEncoder};
use super::fault::Fatal;
use super::feed::SAMPLE_RATE;
use super::mux::{Muxer, TICKS_PER_SECOND};
use super::slicer::{Beginning, Naming, Slicer, Unwritten};

/// Presentation time of the recording's first picture. Not zero, as time stamps of early sound may lie before it.
const ORIGIN: i64 = TICKS_PER_SECOND;

/// What the tick asks for, in order.
pub enum Job {
    /// Tick 0 is at this time. Comes first, once.
    Begin { origin: Nanos },
    /// The picture of tick `index`, and the samples since the tick before (none at the start of a stretch). No picture:
    /// the encoder was behind, or video is not recorded.
    Tick { index: i64, picture: Option<Frame>, samples: Vec<Vec<f32>> },
    /// The output ends before tick `end`; `samples` are its last. A reason tells of what follows until the next tick.
    Break { end: i64, samples: Vec<Vec<f32>>, reason: Option<String> },
    /// The recording is over at this time.
    Finish { at: Nanos },
}

/// How ticks, samples and presentation times relate.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// When tick 0 is, on the recording's clock.
    pub origin: Nanos,
    pub per_second: i64,
}

impl Grid {
    pub fn time(self, index: i64) -> Nanos {
        self.origin + scaled(index, SECOND, self.per_second)
    }

    /// The first tick that is not before `at`.
    pub fn index(self, at: Nanos) -> i64 {
        let past = at - self.origin;
        let index = i64::try_from(i128::from(past) * i128::from(self.per_second) / i128::from(SECOND)).unwrap_or(0);
        index + i64::from(self.time(index) < at)
    }

    /// The sample with which tick `index` begins, counted from tick 0.
    pub fn sample(self, index: i64) -> i64 {
        scaled(index, SAMPLE_RATE, self.per_second)
    }

    fn ticks(self, index: i64) -> i64 {
        ORIGIN + scaled(index, TICKS_PER_SECOND, self.per_second)
    }

    fn utc(self, clock: &dyn Clock, ticks: i64) -> UtcMillis {
        clock.utc(self.origin + scaled(ticks - ORIGIN, SECOND, TICKS_PER_SECOND))
    }
}

fn scaled(value: i64, factor: i64, divisor: i64) -> i64 {
    i64::try_from(i128::from(value) * i128::from(factor) / i128::from(divisor)).unwrap_or(i64::MAX)
}

pub struct Output {
    grid: Grid,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn CaptureSink>,
    slicer: Slicer,
    video: Option<Box<dyn VideoEncoder>>,
    profile: Option<AudioProfile>,
    audio: Option<Box<dyn AudioEncoder>>,
    interleaver: Interleaver,
    slice_ticks: i64,
    stretch: Option<Stretch>,
    gap: Option<(i64, String)>,
    position: Arc<AtomicI64>,
}

/// A piece of output without a hole.
struct Stretch {
    first: i64,
    next: i64,
    next_cut: i64,
    restart: bool,
}

impl Output {
    /// Opens the encoders; `position` is kept at the nanoseconds of media written.
    pub fn open(
        config: &CaptureConfig,
        naming: Arc<Naming>,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn CaptureSink>,
        position: Arc<AtomicI64>,
    ) -> Result<Self, Fatal> {
        let mut kinds = Vec::new();
        let mut video: Option<Box<dyn VideoEncoder>> = None;
        if config.kinds != StreamKinds::AudioOnly {
            video = Some(Box::new(X264::open(config.canvas).map_err(Fatal::no_encoders)?));
            kinds.push(TrackKind::Video);
        }
        let profile = (config.kinds != StreamKinds::VideoOnly).then_some(config.audio_profile);
        let mut audio = None;
        if let Some(profile) = profile {
            audio = Some(open_audio(profile).map_err(Fatal::no_encoders)?);
            kinds.push(TrackKind::Audio);
        }
        let parameters: Vec<_> =
            video.iter().map(|encoder| encoder.parameters()).chain(audio.iter().map(|e| e.parameters())).collect();
        let muxer = Muxer::new(&parameters).map_err(|error| Fatal::no_muxer(&error))?;
        Ok(Self {
            grid: Grid { origin: 0, per_second: i64::from(config.canvas.frames_per_second) },
            slicer: Slicer::new(naming, Arc::clone(&sink), muxer, kinds),
            clock,
            sink,
            interleaver: Interleaver::new(video.is_some(), audio.is_some()),
            video,
            profile,
            audio,
            slice_ticks: scaled(nanos(config.slice), TICKS_PER_SECOND, SECOND),
            stretch: None,
            gap: None,
            position,
        })
    }

    /// Works until the recording is over or the tick has gone.
    pub fn run(mut self, jobs: &Receiver<Job>) -> Result<(), Fatal> {
        let mut last = None;
        for job in jobs {
            match job {
                Job::Begin { origin } => self.grid.origin = origin,
                Job::Tick { index, picture, samples } => {
                    last = Some(index);
                    self.tick(index, picture.as_ref(), &samples)?;
                }
                Job::Break { end, samples, reason } => self.end_stretch(end, &samples, reason)?,
                Job::Finish { at } => {
                    self.finish(at);
                    return Ok(());
                }
            }
        }
        // The tick died; what was recorded is kept.
        last.map_or(Ok(()), |index| self.end_stretch(index + 1, &[], None))
    }

    fn tick(&mut self, index: i64, picture: Option<&Frame>, samples: &[Vec<f32>]) -> Result<(), Fatal> {
        if self.stretch.is_none() {
            self.begin_stretch(index)?;
        }
        self.encode_samples(samples)?;
        let Some(stretch) = &mut self.stretch else { return Ok(()) };
        stretch.next = index + 1;
        if let (Some(encoder), Some(picture)) = (&mut self.video, picture) {
            let ticks = self.grid.ticks(index);
            let cut = ticks >= stretch.next_cut;
            if cut {
                stretch.next_cut = ticks + self.slice_ticks;
            }
            let packet = encoder.encode(picture, cut)?;
            self.interleaver.video.push_back(Timed { ticks, packet, cut });
        }
        self.write_ready()?;
        self.position.fetch_add(scaled(1, SECOND, self.grid.per_second), Ordering::Relaxed);
        if self.slicer.is_open() {
            self.slicer.flush()?;
        }
        Ok(())
    }

    fn begin_stretch(&mut self, index: i64) -> Result<(), Fatal> {
        let ticks = self.grid.ticks(index);
        if let Some((start, reason)) = self.gap.take() {
            self.report_gap(start, self.grid.utc(&*self.clock, ticks), reason);
        }
        if let (Some(profile), None) = (self.profile, &self.audio) {
            self.audio = Some(open_audio(profile)?);
        }
        self.stretch = Some(Stretch { first: index, next: index, next_cut: ticks, restart: true });
        Ok(())
    }

    fn encode_samples(&mut self, samples: &[Vec<f32>]) -> Result<(), Fatal> {
        let Some(encoder) = self.audio.as_mut().filter(|_| !samples.is_empty()) else { return Ok(()) };
        let packets = encoder.encode(samples)?;
        self.queue_sound(packets, i64::MAX);
        Ok(())
    }

    /// Queues packets of sound that begin within the stretch and before `end`: what lies before is the encoder's priming.
    fn queue_sound(&mut self, packets: Vec<Packet>, end: i64) {
        let Some(stretch) = &mut self.stretch else { return };
        let (base, begin) = (self.grid.sample(stretch.first), self.grid.ticks(stretch.first));
        for packet in packets {
            let ticks = ORIGIN + scaled(base + packet.raw().pts, TICKS_PER_SECOND, SAMPLE_RATE);
            if ticks < begin || ticks >= end {
                continue;
            }
            let cut = self.video.is_none() && ticks >= stretch.next_cut;
            if cut {
                stretch.next_cut = ticks + self.slice_ticks;
            }
            self.interleaver.audio.push_back(Timed { ticks, packet, cut });
        }
    }

    fn write_ready(&mut self) -> Result<(), Fatal> {
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
            let restart = self.stretch.as_mut().is_some_and(|stretch| std::mem::take(&mut stretch.restart));
            let utc = self.grid.utc(&*self.clock, timed.ticks);
            self.slicer.open(Beginning { ticks: timed.ticks, utc, restart }).map_err(Unwritten::of_our_own)?;
        }
        if self.slicer.is_open() {
            self.slicer.write(&mut timed.packet, kind, timed.ticks)?;
        }
        Ok(())
    }

    fn end_stretch(&mut self, end: i64, samples: &[Vec<f32>], reason: Option<String>) -> Result<(), Fatal> {
        if self.stretch.is_none() {
            return Ok(());
        }
        self.encode_samples(samples)?;
        let end_ticks = self.grid.ticks(end);
        if let Some(mut encoder) = self.audio.take() {
            let packets = encoder.finish()?;
            self.queue_sound(packets, end_ticks);
        }
        while let Some((kind, timed)) = self.interleaver.drain() {
            self.write(kind, timed)?;
        }
        self.stretch = None;
        self.gap = reason.map(|reason| (end_ticks, reason));
        if self.slicer.is_open() {
            self.slicer.close(end_ticks)?;
        }
        Ok(())
    }

    fn finish(&mut self, at: Nanos) {
        debug_assert!(self.stretch.is_none(), "the tick breaks before it finishes");
        if let Some((start, reason)) = self.gap.take() {
            self.report_gap(start, self.clock.utc(at), reason);
        }
    }

    fn report_gap(&self, start: i64, stop: UtcMillis, reason: String) {
        let start = self.grid.utc(&*self.clock, start);
        if start < stop {
            self.sink.event(CaptureEvent::Gap { start, stop, reason });
        }
    }
}

fn open_audio(profile: AudioProfile) -> Result<Box<dyn AudioEncoder>, EncodeError> {
    Ok(Box::new(Aac::open(profile)?))
}

struct Timed {
    ticks: i64,
    packet: Packet,
    /// A slice begins here.
    cut: bool,
}

/// Orders the packets of both tracks by time, pictures before the sound of the same moment.
struct Interleaver {
    video: VecDeque<Timed>,
    audio: VecDeque<Timed>,
    both: bool,
}

impl Interleaver {
    fn new(video: bool, audio: bool) -> Self {
        Self { video: VecDeque::new(), audio: VecDeque::new(), both: video && audio }
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

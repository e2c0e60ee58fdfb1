// SPDX-License-Identifier: Apache-2.0
//! Encodes what the tick composed, and says where slices begin. It touches no disk: a writer of its own does, so that
//! neither the tick nor the encoders wait for one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::Arc;

use super::api::{AudioProfile, CaptureConfig, CaptureSink, StreamKinds, TrackKind, UtcMillis};
use super::av::frame::{Frame, Packet};
use super::clock::{nanos, rescaled, Clock, Nanos, SECOND};
use super::encode::aac::Aac;
use super::encode::x264::X264;
use super::encode::{AudioEncoder, EncodeError, VideoEncoder};
use super::fault::Fatal;
use super::feed::SAMPLE_RATE;
use super::handover::TOO_SLOW;
use super::mux::{Muxer, TICKS_PER_SECOND};
use super::slicer::{Naming, Slicer};
use super::writer::{EncodedPiece, Timed, Writer};

/// Presentation time of the recording's first picture. Not zero, as time stamps of early sound may lie before it.
const ORIGIN: i64 = TICKS_PER_SECOND;

/// What the tick asks for, in order.
pub enum EncodeJob {
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
        self.origin + rescaled(index, SECOND, self.per_second)
    }

    /// The first tick that is not before `at`.
    pub fn index(self, at: Nanos) -> i64 {
        let index = rescaled(at - self.origin, self.per_second, SECOND);
        index + i64::from(self.time(index) < at)
    }

    /// The sample with which tick `index` begins, counted from tick 0.
    pub fn sample(self, index: i64) -> i64 {
        rescaled(index, SAMPLE_RATE, self.per_second)
    }

    fn ticks(self, index: i64) -> i64 {
        ORIGIN + rescaled(index, TICKS_PER_SECOND, self.per_second)
    }

    pub fn utc(self, clock: &dyn Clock, ticks: i64) -> UtcMillis {
        clock.utc(self.origin + rescaled(ticks - ORIGIN, SECOND, TICKS_PER_SECOND))
    }
}

/// Memory for what is encoded and waits for the disk.
const BACKLOG_BUDGET: u32 = 48 << 20;

/// How long the disk may stand still, in seconds, before encoding waits for it.
const MOST_BACKLOG: u32 = 30;

/// Packets of sound a second, and a mark for each tick, are no more than so many above the pictures.
const OTHER_PIECES: u32 = 64;

/// How many pieces may wait for the disk. Where time waits for the work, a few are enough.
pub fn backlog(config: &CaptureConfig, clock: &dyn Clock) -> usize {
    if !clock.is_live() {
        return 64;
    }
    // Encoders keep to their bit rate over seconds, not at each moment.
    let bytes_per_second = 2 * 125 * config.canvas.bitrate_kbps.max(256);
    let seconds = (BACKLOG_BUDGET / bytes_per_second).clamp(2, MOST_BACKLOG);
    (seconds * (2 * config.canvas.frames_per_second + OTHER_PIECES)) as usize
}

/// Where pictures have been missing for so long, in seconds, the output ends: a player would show a still.
const LONGEST_STILL: i64 = 1;

pub struct EncodeLoop {
    grid: Grid,
    pieces: SyncSender<EncodedPiece>,
    video: Option<Box<dyn VideoEncoder>>,
    profile: Option<AudioProfile>,
    audio: Option<Box<dyn AudioEncoder>>,
    slice_ticks: i64,
    stretch: Option<EncodedStretch>,
    position: Arc<AtomicI64>,
}

/// A piece of output without a hole.
struct EncodedStretch {
    first: i64,
    next: i64,
    next_cut: i64,
    /// The first of the last ticks that had no picture.
    starved: Option<i64>,
}

/// Why encoding ends before the recording.
enum EncodingEnd {
    Fatal(Fatal),
    /// The writer's thread has ended; it has said why.
    WriterGone,
}

impl From<EncodeError> for EncodingEnd {
    fn from(error: EncodeError) -> Self {
        Self::Fatal(error.into())
    }
}

impl EncodeLoop {
    /// Opens the encoders, whose packets go to the writer through `pieces`; `position` is kept at the nanoseconds of media
    /// encoded.
    pub fn open(
        config: &CaptureConfig,
        naming: Arc<Naming>,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn CaptureSink>,
        position: Arc<AtomicI64>,
        pieces: SyncSender<EncodedPiece>,
    ) -> Result<(Self, Writer), Fatal> {
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
        let grid = Grid { origin: 0, per_second: i64::from(config.canvas.frames_per_second) };
        let slicer = Slicer::new(naming, Arc::clone(&sink), muxer, kinds);
        let writer = Writer::new((grid, clock, sink), slicer, (video.is_some(), audio.is_some()));
        let output = Self {
            grid,
            pieces,
            video,
            profile,
            audio,
            slice_ticks: rescaled(nanos(config.slice), TICKS_PER_SECOND, SECOND),
            stretch: None,
            position,
        };
        Ok((output, writer))
    }

    /// Works until the recording is over or the tick has gone.
    pub fn run(mut self, jobs: &Receiver<EncodeJob>) -> Result<(), Fatal> {
        match self.work(jobs) {
            Ok(()) | Err(EncodingEnd::WriterGone) => Ok(()),
            Err(EncodingEnd::Fatal(fatal)) => Err(fatal),
        }
    }

    fn work(&mut self, jobs: &Receiver<EncodeJob>) -> Result<(), EncodingEnd> {
        let mut last = None;
        for job in jobs {
            match job {
                EncodeJob::Begin { origin } => {
                    self.grid.origin = origin;
                    self.hand_over(EncodedPiece::Begin { origin })?;
                }
                EncodeJob::Tick { index, picture, samples } => {
                    last = Some(index);
                    self.tick(index, picture.as_ref(), &samples)?;
                }
                EncodeJob::Break { end, samples, reason } => self.end_stretch(end, &samples, reason)?,
                EncodeJob::Finish { at } => {
                    debug_assert!(self.stretch.is_none(), "the tick breaks before it finishes");
                    return self.hand_over(EncodedPiece::Finish { at });
                }
            }
        }
        // The tick died; what was recorded is kept.
        last.map_or(Ok(()), |index| self.end_stretch(index + 1, &[], None))
    }

    fn hand_over(&self, piece: EncodedPiece) -> Result<(), EncodingEnd> {
        self.pieces.send(piece).map_err(|_| EncodingEnd::WriterGone)
    }

    fn tick(&mut self, index: i64, picture: Option<&Frame>, samples: &[Vec<f32>]) -> Result<(), EncodingEnd> {
        if self.video.is_some() && picture.is_none() {
            return self.tick_without_picture(index, samples);
        }
        if self.stretch.is_none() {
            self.begin_stretch(index)?;
        }
        self.encode_samples(samples)?;
        let Some(stretch) = &mut self.stretch else { return Ok(()) };
        stretch.next = index + 1;
        stretch.starved = None;
        if let (Some(encoder), Some(picture)) = (&mut self.video, picture) {
            let ticks = self.grid.ticks(index);
            let cut = ticks >= stretch.next_cut;
            if cut {
                stretch.next_cut = ticks + self.slice_ticks;
            }
            let packet = encoder.encode(picture, cut)?;
            self.hand_over(EncodedPiece::Packet(TrackKind::Video, Timed { ticks, packet, cut }))?;
        }
        self.ticked()
    }

    /// The encoder was behind. A picture that is left out is shown a little longer; where it is due at a slice's beginning,
    /// or too many are, the output ends before the first of them and begins again with the next picture.
    fn tick_without_picture(&mut self, index: i64, samples: &[Vec<f32>]) -> Result<(), EncodingEnd> {
        let Some(stretch) = &mut self.stretch else { return Ok(()) };
        let since = *stretch.starved.get_or_insert(index);
        let is_cut_due = self.grid.ticks(index) >= stretch.next_cut;
        if is_cut_due || index - since >= LONGEST_STILL * self.grid.per_second {
            return self.end_stretch(since, &[], Some(TOO_SLOW.to_owned()));
        }
        stretch.next = index + 1;
        self.encode_samples(samples)?;
        self.ticked()
    }

    fn ticked(&mut self) -> Result<(), EncodingEnd> {
        self.position.fetch_add(rescaled(1, SECOND, self.grid.per_second), Ordering::Relaxed);
        self.hand_over(EncodedPiece::Ticked)
    }

    fn begin_stretch(&mut self, index: i64) -> Result<(), EncodingEnd> {
        let ticks = self.grid.ticks(index);
        if let (Some(profile), None) = (self.profile, &self.audio) {
            self.audio = Some(open_audio(profile)?);
        }
        self.stretch = Some(EncodedStretch { first: index, next: index, next_cut: ticks, starved: None });
        self.hand_over(EncodedPiece::BeginStretch { ticks })
    }

    fn encode_samples(&mut self, samples: &[Vec<f32>]) -> Result<(), EncodingEnd> {
        let Some(encoder) = self.audio.as_mut().filter(|_| !samples.is_empty()) else { return Ok(()) };
        let packets = encoder.encode(samples)?;
        self.queue_sound(packets, i64::MAX)
    }

    /// Queues packets of sound that begin within the stretch and before `end`: what lies before is the encoder's priming.
    fn queue_sound(&mut self, packets: Vec<Packet>, end: i64) -> Result<(), EncodingEnd> {
        let Some(stretch) = &mut self.stretch else { return Ok(()) };
        let (base, begin) = (self.grid.sample(stretch.first), self.grid.ticks(stretch.first));
        for packet in packets {
            let ticks = ORIGIN + rescaled(base + packet.raw().pts, TICKS_PER_SECOND, SAMPLE_RATE);
            if ticks < begin || ticks >= end {
                continue;
            }
            let cut = self.video.is_none() && ticks >= stretch.next_cut;
            if cut {
                stretch.next_cut = ticks + self.slice_ticks;
            }
            let piece = EncodedPiece::Packet(TrackKind::Audio, Timed { ticks, packet, cut });
            self.pieces.send(piece).map_err(|_| EncodingEnd::WriterGone)?;
        }
        Ok(())
    }

    fn end_stretch(&mut self, end: i64, samples: &[Vec<f32>], reason: Option<String>) -> Result<(), EncodingEnd> {
        if self.stretch.is_none() {
            return Ok(());
        }
        self.encode_samples(samples)?;
        let end_ticks = self.grid.ticks(end);
        if let Some(mut encoder) = self.audio.take() {
            let packets = encoder.finish()?;
            self.queue_sound(packets, end_ticks)?;
        }
        self.stretch = None;
        self.hand_over(EncodedPiece::EndStretch { ticks: end_ticks, reason })
    }
}

fn open_audio(profile: AudioProfile) -> Result<Box<dyn AudioEncoder>, EncodeError> {
    Ok(Box::new(Aac::open(profile)?))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use super::super::api::{CanvasConfig, CaptureEvent, ClosedSlice, OpenSlice};
    use super::super::av::frame::blacken;
    use super::super::clock::VirtualClock;
    use super::*;
    use crate::config::Document;
    use crate::error::Error;
    use crate::recorder::arguments::Request;
    use crate::recorder::start::tests::request;
    use crate::recorder::start::Plan;

    struct Nobody;

    impl CaptureSink for Nobody {
        fn slice_opened(&self, _: &OpenSlice) -> Result<(), Error> {
            Ok(())
        }

        fn slice_closed(&self, _: ClosedSlice) -> Result<(), Error> {
            Ok(())
        }

        fn event(&self, _: CaptureEvent) {}
    }

    /// Ten pictures a second, in slices of two.
    fn config() -> CaptureConfig {
        let text = r#"{"workDir": "/w", "sliceSeconds": 2, "channels": [{"streams": [{"uid": 1, "url": "udp://127.0.0.1:9"}]}]}"#;
        let request = Request { width: 64, height: 64, fps: 10, ..request() };
        Plan::new("id", &Document::parse(text).unwrap(), &request).unwrap().capture
    }

    /// Where stretches begin and end, in ticks of the recording, when of so many ticks these have no picture.
    fn stretches(count: i64, without_picture: std::ops::Range<i64>) -> Vec<(i64, i64)> {
        let (to_writer, pieces) = sync_channel(100_000);
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(UtcMillis(0)));
        let naming = Arc::new(Naming::new(&config()));
        let (output, writer) =
            EncodeLoop::open(&config(), naming, clock, Arc::new(Nobody), Arc::default(), to_writer).ok().unwrap();
        let (jobs, received) = channel();
        jobs.send(EncodeJob::Begin { origin: 0 }).unwrap();
        for index in 0..count {
            let mut picture = Frame::i420(64, 64).unwrap();
            blacken(&mut picture);
            let picture = (!without_picture.contains(&index)).then_some(picture);
            let samples = if index == 0 { vec![] } else { vec![vec![0.0; 4800]] };
            jobs.send(EncodeJob::Tick { index, picture, samples }).unwrap();
        }
        jobs.send(EncodeJob::Break { end: count, samples: vec![], reason: None }).unwrap();
        jobs.send(EncodeJob::Finish { at: 0 }).unwrap();
        output.run(&received).unwrap();
        drop(writer);
        let index = |ticks: i64| (ticks - ORIGIN) * 10 / TICKS_PER_SECOND;
        let mut found = Vec::new();
        for piece in pieces.try_iter() {
            match piece {
                EncodedPiece::BeginStretch { ticks } => found.push((index(ticks), 0)),
                EncodedPiece::EndStretch { ticks, reason } => {
                    let end = index(ticks);
                    assert_eq!(reason.as_deref(), (end < count).then_some(TOO_SLOW));
                    found.last_mut().unwrap().1 = end;
                }
                _ => {}
            }
        }
        found
    }

    #[test]
    fn where_pictures_are_missing_for_long_the_output_ends_and_begins_again() {
        assert_eq!(stretches(40, 0..0), [(0, 40)]);
        assert_eq!(stretches(40, 5..14), [(0, 40)], "less than a second");
        assert_eq!(stretches(40, 5..30), [(0, 5), (30, 40)]);
        assert_eq!(stretches(40, 25..40), [(0, 25)], "until the end");
        // A slice cannot begin without a picture, and must not be longer than the playlist says.
        assert_eq!(stretches(40, 18..23), [(0, 18), (23, 40)]);
        assert_eq!(stretches(40, 0..3), [(3, 40)], "nothing begins without a picture");
    }

    #[test]
    fn what_waits_for_the_disk_is_bounded_by_memory_and_time() {
        let pieces = |bitrate_kbps| {
            let canvas = CanvasConfig { bitrate_kbps, ..config().canvas };
            backlog(&CaptureConfig { canvas, ..config() }, &super::super::clock::MonotonicClock::new())
        };
        assert_eq!(pieces(500), 30 * 84);
        assert_eq!(pieces(10_000), 20 * 84);
        assert_eq!(pieces(100_000), 2 * 84);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The recording's heartbeat: at each tick it takes whatever the sources have for that moment and hands it on.
//!
//! Nothing here waits for a source or a disk, nor for an encoder but at a pause and at the end.

use std::collections::HashSet;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::api::{CaptureConfig, CaptureEvent, CaptureSink, Layout, MaxResolution, Remark, StreamKinds};
use super::av::frame::Frame;
use super::canvas::{Canvas, CellContent, Composed};
use super::clock::{duration, lock, Clock, Nanos, StopSignal, SECOND};
use super::encode::aac;
use super::feed::sample_at;
use super::geometry::Placement;
use super::handover::{Gone, Handover, TOO_SLOW};
use super::mixer::Mixer;
use super::output::{EncodeJob, Grid};
use super::participant_regions::ParticipantRegions;
use super::roster::{Member, Roster};

/// A tick this late is not made up for: the time until then is a gap.
const STANDSTILL: Nanos = 2 * SECOND;

/// How much the encoder may fall behind, in seconds of ticks, before recording breaks off until it has caught up.
const BACKLOG_SECONDS: usize = 30;

/// Composed pictures on their way to the encoder take at most this much memory.
const PICTURES_BUDGET: usize = 48 << 20;

/// Ticks that lateness is reported over.
const LATENESS_WINDOW: usize = 1024;

/// What may be changed while recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub layout: Layout,
    pub max_resolution: MaxResolution,
    pub paused: bool,
}

/// The lateness of the last ticks.
#[derive(Default)]
pub struct Lateness {
    recent: Mutex<(Vec<Nanos>, usize)>,
}

impl Lateness {
    fn record(&self, late: Nanos) {
        let (recent, next) = &mut *lock(&self.recent);
        if recent.len() < LATENESS_WINDOW {
            recent.push(late);
        } else {
            recent[*next % LATENESS_WINDOW] = late;
        }
        *next += 1;
    }

    /// The median and the 99th percentile.
    pub fn percentiles(&self) -> (Duration, Duration) {
        let mut recent = lock(&self.recent).0.clone();
        recent.sort_unstable();
        let at = |per_cent: usize| recent.get(recent.len() * per_cent / 100).copied().unwrap_or(0);
        (duration(at(50)), duration(at(99)))
    }
}

/// How many jobs the tick may be ahead of the encoder. Where time waits for the work, a few are enough.
pub fn backlog(config: &CaptureConfig, clock: &dyn Clock) -> usize {
    if clock.is_live() {
        BACKLOG_SECONDS * config.canvas.frames_per_second as usize
    } else {
        4
    }
}

/// Composed pictures that may exist at once: a second's worth, within the budget.
fn pool_size(config: &CaptureConfig) -> usize {
    let canvas = config.canvas;
    let bytes = (canvas.width * canvas.height * 3 / 2) as usize;
    (PICTURES_BUDGET / bytes.max(1)).min(canvas.frames_per_second as usize).max(8)
}

pub struct Tick {
    pub clock: Arc<dyn Clock>,
    pub stop: Arc<StopSignal>,
    pub roster: Arc<Roster>,
    participant_regions: Arc<ParticipantRegions>,
    pub settings: Arc<Mutex<Settings>>,
    pub lateness: Arc<Lateness>,
    jobs: Handover<EncodeJob>,
    grid: Grid,
    canvas: Option<Canvas>,
    mixer: Option<Mixer>,
    sink: Arc<dyn CaptureSink>,
    /// Whose picture has stood still for long, as was told.
    still: HashSet<u32>,
    /// The index that follows the last tick handed on, while the output runs on.
    running: Option<i64>,
}

impl Tick {
    pub fn new(
        config: &CaptureConfig,
        (clock, stop): (Arc<dyn Clock>, Arc<StopSignal>),
        (roster, participant_regions, settings): (Arc<Roster>, Arc<ParticipantRegions>, Arc<Mutex<Settings>>),
        lateness: Arc<Lateness>,
        (sink, jobs): (Arc<dyn CaptureSink>, SyncSender<EncodeJob>),
    ) -> Self {
        let video = config.kinds != StreamKinds::AudioOnly;
        let audio = config.kinds != StreamKinds::VideoOnly;
        Self {
            jobs: Handover::new(jobs, clock.is_live()),
            clock,
            stop,
            roster,
            participant_regions,
            settings,
            lateness,
            grid: Grid { origin: 0, per_second: i64::from(config.canvas.frames_per_second) },
            canvas: video.then(|| Canvas::new(config.canvas.width, config.canvas.height, pool_size(config))),
            mixer: audio.then(|| Mixer::new(aac::channels(config.audio_profile))),
            sink,
            still: HashSet::new(),
            running: None,
        }
    }

    /// Ticks from the first media until the stop, or until nobody encodes any more. Nothing that sources send ends it.
    pub fn run(mut self) {
        let Some(origin) = self.first_media() else { return };
        self.grid.origin = origin;
        if self.jobs.send(EncodeJob::Begin { origin }).is_err() {
            return;
        }
        let mut index = 0;
        loop {
            self.clock.wait_until(self.grid.time(index), &self.stop);
            let beaten = if self.stop.is_raised() { self.finish().map(|()| None) } else { self.beat(index).map(Some) };
            match beaten {
                Ok(Some(next)) => index = next,
                Ok(None) | Err(Gone) => return,
            }
        }
    }

    /// Waits until somebody has joined; the output begins with the first media.
    fn first_media(&self) -> Option<Nanos> {
        let step = SECOND / self.grid.per_second;
        while !self.stop.is_raised() {
            if let Some(due) = self.roster.first_due() {
                return Some(due.max(self.clock.now()));
            }
            self.clock.wait_until(self.clock.now() + step, &self.stop);
        }
        None
    }

    /// One tick; returns the index of the next.
    fn beat(&mut self, index: i64) -> Result<i64, Gone> {
        let (at, now) = (self.grid.time(index), self.clock.now());
        let late = now - at;
        self.lateness.record(late.max(0));
        if late > STANDSTILL {
            let seconds = duration(late).as_secs_f32();
            self.break_off(Some(format!("the recorder's process stood still for {seconds:.1} s")))?;
            return Ok(self.grid.index(now));
        }
        let paused = lock(&self.settings).paused;
        let members = self.roster.members();
        if paused || !self.jobs.settle()? {
            if paused {
                self.break_off(Some("paused".to_owned()))?;
            }
            for member in &members {
                member.feed.skip_to(at);
            }
            return Ok(index + 1);
        }
        let picture = self.compose(&members, at);
        self.watch_stills(&members, at);
        let samples = self.running.map_or_else(Vec::new, |_| self.samples_before(index, &members));
        self.send(EncodeJob::Tick { index, picture, samples }, index)?;
        Ok(index + 1)
    }

    /// The picture of the moment; none where there is no memory for it now.
    fn compose(&mut self, members: &[Member], at: Nanos) -> Option<Frame> {
        let canvas = self.canvas.as_mut()?;
        let step = SECOND / self.grid.per_second;
        let contents = seen(self.participant_regions.seat(members), members, at, step);
        let Composed { picture, unpainted } = canvas.compose(&contents).unwrap_or_default();
        for (uid, error) in unpainted {
            for member in members.iter().filter(|member| member.uid == uid) {
                member.feed.refuse_picture(error.clone());
            }
        }
        picture
    }

    /// Tells whose picture has begun to stand still, or moves again.
    fn watch_stills(&mut self, members: &[Member], at: Nanos) {
        self.still.retain(|uid| members.iter().any(|member| member.uid == *uid));
        for Member { uid, feed, .. } in members {
            let holds = feed.stands_still(at);
            if holds == self.still.contains(uid) {
                continue;
            }
            if holds {
                self.still.insert(*uid);
            } else {
                self.still.remove(uid);
                tracing::info!(participant = uid, "pictures come again");
            }
            self.sink.event(CaptureEvent::Remark { uid: *uid, remark: Remark::StandsStill, holds });
        }
    }

    /// The mix of the interval that ends with tick `index`.
    fn samples_before(&mut self, index: i64, members: &[Member]) -> Vec<Vec<f32>> {
        let Some(mixer) = &mut self.mixer else { return Vec::new() };
        let (from, to) = (self.grid.sample(index - 1), self.grid.sample(index));
        let origin = sample_at(self.grid.origin);
        let count = usize::try_from(to - from).unwrap_or(0);
        mixer.mix(members.iter().map(|member| &member.feed), origin + from, count)
    }

    /// Hands a tick on. An encoder that is hopelessly behind breaks the output off instead of the heartbeat.
    fn send(&mut self, job: EncodeJob, index: i64) -> Result<(), Gone> {
        if self.jobs.offer(job)? {
            self.running = Some(index + 1);
        } else if let Some(end) = self.running.take() {
            self.jobs.owe(EncodeJob::Break { end, samples: Vec::new(), reason: Some(TOO_SLOW.to_owned()) });
        }
        Ok(())
    }

    /// Ends the running output, if any, after its last tick.
    fn break_off(&mut self, reason: Option<String>) -> Result<(), Gone> {
        self.jobs.flush()?;
        let Some(end) = self.running.take() else { return Ok(()) };
        let members = self.roster.members();
        let samples = self.samples_before(end, &members);
        self.jobs.send(EncodeJob::Break { end, samples, reason })
    }

    fn finish(&mut self) -> Result<(), Gone> {
        let at = self.clock.now();
        self.break_off(None)?;
        self.jobs.send(EncodeJob::Finish { at })
    }
}

/// What lies at each place at the moment `at`, where pictures are asked for every `step`.
fn seen(places: Vec<Placement>, members: &[Member], at: Nanos, step: Nanos) -> Vec<(Placement, CellContent)> {
    for unseen in members.iter().filter(|member| !places.iter().any(|place| place.uid == member.uid)) {
        unseen.feed.pass_over_pictures(at);
    }
    let content = |place: Placement| {
        let member = members.iter().find(|member| member.uid == place.uid)?;
        let content = match (member.feed.picture(at, step), member.video) {
            (Some(picture), _) => CellContent::Picture(picture),
            (None, true) => CellContent::Black,
            (None, false) => CellContent::Transparent,
        };
        Some((place, content))
    };
    places.into_iter().filter_map(content).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::geometry::{places, MOST_USERS};
    use crate::capture::intake::Fitted;

    #[test]
    fn pictures_of_those_whom_the_layout_has_no_room_for_do_not_pile_up() {
        const SIZE: (u32, u32) = (640, 360);
        let members: Vec<Member> = (1..).map(Member::somebody).take(MOST_USERS).collect();
        let uids: Vec<u32> = members.iter().map(|member| member.uid).collect();
        let nobody_large = || places(Layout::Vertical, 0, SIZE, &uids);
        assert_eq!(nobody_large().len(), MOST_USERS - 1, "the large region is kept free");
        for at in (1..=30).map(|index| index * SECOND / 15) {
            for member in &members {
                let picture = Frame::i420(SIZE.0, SIZE.1).expect("a picture");
                member.feed.push_picture(at, Fitted::known(picture));
            }
            assert_eq!(seen(nobody_large(), &members, at, SECOND / 15).len(), MOST_USERS - 1);
        }
        assert!(members.iter().all(|member| member.feed.is_small()));
    }
}

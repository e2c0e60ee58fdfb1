// SPDX-License-Identifier: Apache-2.0
//! An hour of a source whose clock drifts, from its packets' arrival to mixed samples and shown pictures.
#![allow(clippy::cast_precision_loss)] // measuring

use std::collections::HashMap;

use super::*;
use crate::capture::api::TrackKind;
use crate::capture::clock::{MILLISECOND, SECOND};
use crate::capture::intake::Fitted;
use crate::capture::timeline::{Pace, Stamp, Timeline};

const BLOCK: i64 = 1024;
const PICTURE: Nanos = SECOND / 10;
const TICK: Nanos = SECOND / 50;
const HERTZ: f32 = 440.0;

/// A source that flashes and beeps for 200 ms every ten seconds of its own time, over a soft tone that never stops.
const PERIOD: Nanos = 10 * SECOND;
const LIT: Nanos = 200 * MILLISECOND;

fn is_lit(at: Nanos) -> bool {
    at.rem_euclid(PERIOD) < LIT
}

/// The sample `index` of the source: the beep swells over 10 ms, as a sudden one would be a click itself.
fn sample(index: i64) -> f32 {
    let into = index.rem_euclid(sample_at(PERIOD)) as f32 / SAMPLE_RATE as f32;
    let swell = (into * 100.0).min((0.2 - into) * 100.0).clamp(0.0, 1.0);
    let turns = (index % SAMPLE_RATE) as f32 * HERTZ / SAMPLE_RATE as f32;
    (0.1 + 0.7 * swell) * (turns.fract() * std::f32::consts::TAU).sin()
}

/// After so many blocks the steady tone is at the same phase again.
const REPETITION: i64 = 75;

/// The blocks of the source; the steady ones are made once.
#[derive(Default)]
struct Blocks(HashMap<i64, Frame>);

impl Blocks {
    fn at(&mut self, first: i64) -> Frame {
        let (begin, end) = (first.rem_euclid(sample_at(PERIOD)), (first + BLOCK).rem_euclid(sample_at(PERIOD)));
        if begin < sample_at(LIT) || end < BLOCK {
            return block(first);
        }
        let steady = self.0.entry(first / BLOCK % REPETITION).or_insert_with(|| block(first));
        steady.share().expect("a reference")
    }
}

fn block(first: i64) -> Frame {
    let mut frame = Frame::empty().expect("a frame");
    let raw = frame.raw_mut();
    raw.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP as i32;
    raw.sample_rate = i32::try_from(SAMPLE_RATE).unwrap();
    raw.nb_samples = i32::try_from(BLOCK).unwrap();
    let samples: Vec<f32> = (first..first + BLOCK).map(sample).collect();
    // SAFETY: the fields that the buffer's size follows from are set; it then holds `BLOCK` floats.
    unsafe {
        ffi::av_channel_layout_default(&raw mut raw.ch_layout, 1);
        assert_eq!(ffi::av_frame_get_buffer(raw, 0), 0);
        std::ptr::copy_nonoverlapping(samples.as_ptr().cast::<u8>(), raw.data[0], size_of_val(&samples[..]));
    }
    frame
}

fn picture(lit: bool) -> Frame {
    let mut frame = Frame::i420(16, 16).expect("a picture");
    frame.plane_mut(0).expect("a plane").0.fill(if lit { 235 } else { 16 });
    frame
}

/// The source's side: hands out what has arrived by a moment of our clock.
struct Drifting {
    per_million: i64,
    timeline: Timeline,
    line: SamplePipeline,
    feed: Feed,
    blocks: Blocks,
    sounded: i64,
    pictured: Nanos,
}

impl Drifting {
    fn new(per_million: i64) -> Self {
        Self {
            per_million,
            timeline: Timeline::new(Pace::Live, 0, 0),
            line: SamplePipeline::new(1),
            feed: Feed::new(1),
            blocks: Blocks::default(),
            sounded: 0,
            pictured: 0,
        }
    }

    fn arrive(&mut self, now: Nanos) {
        let source_now = now + now / 1_000_000 * self.per_million;
        while self.pictured <= source_now {
            let stamp = Stamp { decode: Some(self.pictured), present: Some(self.pictured), duration: PICTURE };
            let due = self.timeline.map(TrackKind::Video, stamp, now);
            self.feed.push_picture(due.decode, Fitted::known(picture(is_lit(self.pictured))));
            self.pictured += PICTURE;
        }
        while time_of_sample(self.sounded + BLOCK) <= source_now {
            let at = time_of_sample(self.sounded);
            let stamp = Stamp { decode: Some(at), present: Some(at), duration: time_of_sample(BLOCK) };
            let due = self.timeline.map(TrackKind::Audio, stamp, now);
            self.line.put(&self.blocks.at(self.sounded), Some(due.decode), &self.feed).expect("samples");
            self.sounded += BLOCK;
        }
    }
}

/// What came out: when flashes and beeps began, and the largest deviation from a steady tone.
#[derive(Default)]
struct Seen {
    flashes: Vec<Nanos>,
    beeps: Vec<Nanos>,
    roughest: f32,
}

/// Watches the tick's side of the feed for `length`.
fn watch(per_million: i64, length: Nanos) -> Seen {
    let (mut source, mut seen) = (Drifting::new(per_million), Seen::default());
    let (mut was_lit, mut loud_until) = (false, 0);
    let mut joined = vec![0.0; 2];
    for index in 1..length / TICK {
        let (from, to) = (sample_at((index - 1) * TICK), sample_at(index * TICK));
        source.arrive(index * TICK);
        let lit =
            source.feed.picture(index * TICK, 0).is_some_and(|shown| shown.frame.plane(0).unwrap().bytes[0] > 128);
        if lit && !was_lit {
            seen.flashes.push(index * TICK);
        }
        was_lit = lit;
        let mut mix = vec![vec![0.0; usize::try_from(to - from).unwrap()]];
        source.feed.mix_into(from, &mut mix);
        if let Some(at) = (from..).zip(&mix[0]).find(|(_, value)| **value > 0.4).map(|(at, _)| at) {
            if at - loud_until > SAMPLE_RATE {
                seen.beeps.push(time_of_sample(at));
            }
            loud_until = to;
        }
        joined.extend_from_slice(&mix[0]);
        // What is heard in the first second began with a fade.
        if from > SAMPLE_RATE {
            seen.roughest = seen.roughest.max(roughness(&joined));
        }
        joined.drain(..joined.len() - 2);
    }
    seen
}

/// The largest deviation from a steady tone: zero for a pure one; an edge of any height shows in it with that height.
fn roughness(samples: &[f32]) -> f32 {
    let steady = 2.0 * (std::f32::consts::TAU * HERTZ / SAMPLE_RATE as f32).cos();
    samples.windows(3).fold(0.0, |most, three| most.max((three[2] - steady * three[1] + three[0]).abs()))
}

#[test]
fn flash_and_beep_of_a_clock_that_drifts_stay_together_for_an_hour_without_a_click() {
    for per_million in [100, -100] {
        let seen = watch(per_million, 3600 * SECOND);
        assert!(seen.flashes.len() >= 358, "{} flashes", seen.flashes.len());
        // Whatever is lit from the beginning counts for both or for neither.
        let skews = seen
            .flashes
            .iter()
            .filter(|at| **at > SECOND)
            .map(|flash| seen.beeps.iter().map(|beep| flash - beep).min_by_key(|skew| skew.abs()).expect("a beep"));
        let worst = skews.max_by_key(|skew| skew.abs()).expect("a flash");
        assert!(worst.abs() <= 60 * MILLISECOND, "{worst} ns at {per_million} ppm");
        assert!(seen.roughest < 0.004, "an edge of {} at {per_million} ppm", seen.roughest);
    }
}

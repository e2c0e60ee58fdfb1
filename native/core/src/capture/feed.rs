// SPDX-License-Identifier: Apache-2.0
//! What a source hands to the tick: decoded pictures and samples, each with the time it is due.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use super::av::frame::Frame;
use super::canvas::Unpaintable;
use super::clock::{lock, rescaled, Nanos, MILLISECOND, SECOND};
use super::geometry::{Fill, Region};
use super::intake::Fitted;
use super::mixer::gate;

/// Output's samples per second.
pub const SAMPLE_RATE: i64 = 48_000;

/// A picture that no other follows for so long, or for twice the time since the one before it, has stood still.
const LONG_HOLD: Nanos = 10 * SECOND;

/// By how much more than half a step a picture may be off, so that a rounded time is no reason to leave one out.
const MOST_SLACK: Nanos = 5 * MILLISECOND;

/// Pictures of one source that wait for their time may take so many bytes; the source waits beyond.
const PICTURE_BUDGET: usize = 48 << 20;

/// A source whose waiting pictures take less may decode far ahead.
const SMALL: usize = 2 << 20;

/// The index of the sample that is due at `at`.
pub fn sample_at(at: Nanos) -> i64 {
    rescaled(at, SAMPLE_RATE, SECOND)
}

/// When the sample `index` is due.
pub fn time_of_sample(index: i64) -> Nanos {
    rescaled(index, SECOND, SAMPLE_RATE)
}

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(0);

/// One participant's media between its source thread and the tick. Never blocks either for long.
pub struct Feed {
    pictures: Mutex<PictureQueue>,
    samples: Mutex<SampleQueue>,
}

#[derive(Default)]
struct PictureQueue {
    waiting: VecDeque<(Nanos, Frame)>,
    bytes: usize,
    shown: Option<ShownPicture>,
    /// How long after their moments pictures are due, lately.
    phase: Nanos,
    shown_in: Option<(Region, Fill)>,
    refused: Option<Unpaintable>,
}

struct ShownPicture {
    frame: Frame,
    due: Nanos,
    /// How long it is shown before it counts as standing still.
    usual: Nanos,
    serial: u64,
}

/// A picture that is to be seen now; no two pictures of the process have the same serial number.
pub struct Picture {
    pub frame: Frame,
    pub serial: u64,
}

impl Feed {
    pub fn new(channels: usize) -> Self {
        Self { pictures: Mutex::default(), samples: Mutex::new(SampleQueue::new(channels)) }
    }

    /// Tells the source where its pictures are shown from now on.
    pub fn show_in(&self, region: Region, fill: Fill) {
        lock(&self.pictures).shown_in = Some((region, fill));
    }

    /// Where pictures are shown, as soon as that is known.
    pub fn shown_in(&self) -> Option<(Region, Fill)> {
        lock(&self.pictures).shown_in
    }

    pub fn push_picture(&self, due: Nanos, fitted: Fitted) {
        let frame = fitted.into_frame();
        let mut pictures = lock(&self.pictures);
        pictures.bytes += frame.footprint();
        // Timestamps that run back a little would hide the pictures behind them.
        let due = pictures.waiting.back().map_or(due, |(last, _)| due.max(*last));
        pictures.waiting.push_back((due, frame));
    }

    /// The time until which the source has to wait because its pictures take too much memory.
    pub fn full_until(&self, now: Nanos) -> Option<Nanos> {
        let mut pictures = lock(&self.pictures);
        if pictures.bytes > PICTURE_BUDGET {
            // Between two ticks that are far apart, many pictures are due that nobody will see.
            pictures.drop_unseen(now);
        }
        let next = pictures.waiting.iter().map(|(due, _)| *due).find(|due| *due > now);
        next.filter(|_| pictures.bytes > PICTURE_BUDGET)
    }

    /// Whether the pictures that wait take little memory.
    pub fn is_small(&self) -> bool {
        lock(&self.pictures).bytes < SMALL
    }

    /// The picture for the moment `at`, if there was any yet. The last one stays.
    ///
    /// Pictures are asked for every `step`; each appears at the moment that is nearest to its time.
    pub fn picture(&self, at: Nanos, step: Nanos) -> Option<Picture> {
        let mut pictures = lock(&self.pictures);
        pictures.advance(at, step);
        let shown = pictures.shown.as_ref()?;
        Some(Picture { frame: shown.frame.share().ok()?, serial: shown.serial })
    }

    /// The picture that is shown cannot be painted: it is forgotten, and its source is to hear of it.
    pub fn refuse_picture(&self, why: Unpaintable) {
        let mut pictures = lock(&self.pictures);
        pictures.shown = None;
        pictures.refused = Some(why);
    }

    /// Nothing is to be seen any more, neither what is shown nor what waits.
    pub fn hide(&self) {
        let mut pictures = lock(&self.pictures);
        pictures.waiting.clear();
        (pictures.bytes, pictures.shown) = (0, None);
    }

    /// Why a picture was refused since this was asked last.
    pub fn take_refused(&self) -> Option<Unpaintable> {
        lock(&self.pictures).refused.take()
    }

    /// Whether the picture that is shown at `at` has been there for longer than is usual for its source.
    pub fn stands_still(&self, at: Nanos) -> bool {
        lock(&self.pictures).shown.as_ref().is_some_and(|shown| at - shown.due > shown.usual)
    }

    /// Takes samples, one vector per channel, through the mixer's gate; tells whether it had to silence any.
    pub fn push_samples(&self, at: i64, planes: &mut [Vec<f32>]) -> bool {
        let silenced = gate(planes);
        lock(&self.samples).push(at, planes);
        silenced
    }

    /// Adds the samples of [from, from + length of a plane) to `mix`, and forgets them and all before.
    pub fn mix_into(&self, from: i64, mix: &mut [Vec<f32>]) {
        lock(&self.samples).mix_into(from, mix);
    }

    /// Forgets the pictures that were due before `at` but for the last: the layout has no room for this participant. Whoever
    /// cannot be made to wait, as people in a room, would fill the memory with them.
    pub fn pass_over_pictures(&self, at: Nanos) {
        lock(&self.pictures).advance(at, 0);
    }

    /// Forgets what was due before `at`: nothing is recorded now.
    pub fn skip_to(&self, at: Nanos) {
        self.pass_over_pictures(at);
        lock(&self.samples).drop_before(sample_at(at));
    }
}

impl PictureQueue {
    /// Forgets the pictures that are due and followed by another that is due.
    fn drop_unseen(&mut self, now: Nanos) {
        let due = self.waiting.partition_point(|(due, _)| *due <= now);
        self.waiting.drain(..due.saturating_sub(1));
        self.bytes = self.waiting.iter().map(|(_, frame)| frame.footprint()).sum();
    }

    fn advance(&mut self, at: Nanos, step: Nanos) {
        let gone = self.choose(at, step);
        let Some((due, frame)) = self.waiting.drain(..gone).next_back() else { return };
        self.bytes = self.waiting.iter().map(|(_, frame)| frame.footprint()).sum();
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let interval = self.shown.as_ref().map_or(0, |last| due - last.due);
        self.phase = (self.phase + (due - at - self.phase) / 4).clamp(-step / 2, step / 2);
        self.shown = Some(ShownPicture { frame, due, usual: LONG_HOLD.max(2 * interval), serial });
    }

    /// How many waiting pictures are over when the one for the moment `at` is taken: none, where the shown one stays.
    ///
    /// It is the newest that is due within half a step: so each appears within half a step of its time. Where rounding would
    /// decide, it is the one that is as far from the moment as those before it were: or a source with as many pictures a
    /// second as are asked for, or twice as many, would stutter.
    fn choose(&self, at: Nanos, step: Nanos) -> usize {
        let (latest, slack) = (at + step / 2, (step / 8).min(MOST_SLACK));
        let until = |time: Nanos| self.waiting.partition_point(|(due, _)| *due <= time);
        let distance = |index: &usize| self.due(*index).map_or(Nanos::MAX, |due| (due - at - self.phase).abs());
        (until(latest - slack)..=until(latest + slack)).min_by_key(distance).unwrap_or(0)
    }

    /// When the shown picture is due (0), or a waiting one (counted from 1).
    fn due(&self, index: usize) -> Option<Nanos> {
        match index.checked_sub(1) {
            None => self.shown.as_ref().map(|shown| shown.due),
            Some(index) => self.waiting.get(index).map(|(due, _)| *due),
        }
    }
}

/// Sound that begins, ends, or goes on elsewhere is faded over so many samples (5 ms): an edge is heard as a click.
const FADE: usize = 240;

/// Samples further apart than this are no continuation; silence is not stored for longer either.
const LONGEST_HOLE: i64 = 10 * SAMPLE_RATE;

/// Samples by their index on the output's time line; one queue per channel, all equally long.
struct SampleQueue {
    start: i64,
    planes: Vec<VecDeque<f32>>,
    /// What is due before has been mixed or passed over.
    past: i64,
    /// Silence was mixed last, so what comes next is faded in.
    dry: bool,
}

impl SampleQueue {
    fn new(channels: usize) -> Self {
        Self { start: 0, planes: vec![VecDeque::new(); channels], past: 0, dry: true }
    }

    fn end(&self) -> i64 {
        self.start + i64::try_from(self.planes[0].len()).unwrap_or(0)
    }

    fn clear(&mut self) {
        self.planes.iter_mut().for_each(VecDeque::clear);
    }

    fn push(&mut self, at: i64, planes: &[Vec<f32>]) {
        if self.planes[0].is_empty() || (at - self.end()).abs() > LONGEST_HOLE {
            self.clear();
            self.start = at.max(self.past);
            self.dry |= self.start > self.past;
        }
        let hole = usize::try_from(at - self.end()).unwrap_or(0);
        let overlap = usize::try_from(self.end() - at).unwrap_or(0);
        if overlap >= planes.first().map_or(0, Vec::len) {
            return;
        }
        let begins = std::mem::take(&mut self.dry) || hole > 0;
        for (queue, plane) in self.planes.iter_mut().zip(planes) {
            if hole > 0 {
                fade_out(queue);
                queue.extend(std::iter::repeat_n(0.0, hole));
            }
            cross_fade(queue, &plane[..overlap]);
            let fresh = queue.len();
            queue.extend(&plane[overlap..]);
            if begins {
                fade_in(queue, fresh);
            }
        }
    }

    fn mix_into(&mut self, from: i64, mix: &mut [Vec<f32>]) {
        self.drop_before(from);
        let length = mix.first().map_or(0, Vec::len);
        let offset = usize::try_from(self.start - from).unwrap_or(0).min(length);
        self.dry |= self.planes[0].len() < length - offset;
        for (queue, sum) in self.planes.iter_mut().zip(mix) {
            if self.dry {
                fade_out(queue);
            }
            let count = queue.len().min(length - offset);
            for (sum, sample) in sum[offset..].iter_mut().zip(queue.drain(..count)) {
                *sum += sample;
            }
        }
        self.past = self.past.max(from + i64::try_from(length).unwrap_or(0));
        self.start = self.start.max(self.past);
    }

    fn drop_before(&mut self, index: i64) {
        let late = usize::try_from(index - self.start).unwrap_or(0);
        let count = late.min(self.planes[0].len());
        self.planes.iter_mut().for_each(|queue| drop(queue.drain(..count)));
        self.start = self.start.max(index);
        self.past = self.past.max(index);
    }
}

/// How loud a sample is that is `index` samples behind the beginning of a fade of `length`.
#[allow(clippy::cast_precision_loss)] // fades are short
fn rising(index: usize, length: usize) -> f32 {
    (index + 1) as f32 / (length + 1) as f32
}

fn fade_in(queue: &mut VecDeque<f32>, from: usize) {
    let length = FADE.min(queue.len() - from);
    queue.iter_mut().skip(from).take(length).enumerate().for_each(|(index, sample)| *sample *= rising(index, length));
}

fn fade_out(queue: &mut VecDeque<f32>) {
    let length = FADE.min(queue.len());
    queue.iter_mut().rev().take(length).enumerate().for_each(|(index, sample)| *sample *= rising(index, length));
}

/// Turns the end of the queue into the end of `other`, which lies at the same place.
fn cross_fade(queue: &mut VecDeque<f32>, other: &[f32]) {
    let length = FADE.min(queue.len()).min(other.len());
    let skipped = queue.len() - length;
    let others = &other[other.len() - length..];
    for (index, (sample, other)) in queue.iter_mut().skip(skipped).zip(others).enumerate() {
        *sample += (other - *sample) * rising(index, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(queue: &mut SampleQueue, from: i64, count: usize) -> Vec<f32> {
        let mut mix = vec![vec![0.0; count]];
        queue.mix_into(from, &mut mix);
        mix.remove(0)
    }

    const LONG: usize = 4 * FADE;

    /// A queue that has just played something at full scale, up to the sample `LONG`.
    fn playing() -> SampleQueue {
        let mut queue = SampleQueue::new(1);
        queue.push(0, &[vec![1.0; LONG]]);
        mixed(&mut queue, 0, LONG);
        queue
    }

    fn signed(count: usize) -> i64 {
        i64::try_from(count).unwrap()
    }

    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).fold(0.0, |most, pair| most.max((pair[1] - pair[0]).abs()))
    }

    fn is(sample: f32, expected: f32) -> bool {
        (sample - expected).abs() < f32::EPSILON
    }

    #[test]
    fn samples_that_follow_each_other_pass_as_they_are() {
        let mut queue = playing();
        queue.push(signed(LONG), &[vec![1.0; 3]]);
        queue.push(signed(LONG) + 3, &[vec![2.0; 3]]);
        let found = mixed(&mut queue, signed(LONG), 6);
        assert!(found[..3].iter().all(|sample| is(*sample, 1.0)) && found[3..].iter().all(|sample| is(*sample, 2.0)));
    }

    #[test]
    fn samples_are_mixed_where_they_are_due_and_holes_are_silent_without_a_click() {
        let mut queue = playing();
        queue.push(signed(LONG), &[vec![1.0; LONG]]);
        queue.push(signed(LONG) * 3, &[vec![1.0; LONG]]);
        let found = mixed(&mut queue, signed(LONG), 4 * LONG);
        assert!((1..LONG - FADE).chain(2 * LONG + FADE..3 * LONG - FADE).all(|at| is(found[at], 1.0)));
        assert!((LONG..2 * LONG).chain(3 * LONG..4 * LONG).all(|at| is(found[at], 0.0)));
        assert!(steepest(&found) < 0.01, "{}", steepest(&found));
    }

    #[test]
    fn what_is_late_is_dropped_and_what_lies_over_the_end_is_blended_in() {
        let mut queue = playing();
        mixed(&mut queue, signed(LONG), LONG);
        queue.push(signed(LONG), &[vec![1.0; 2 * LONG]]);
        queue.push(signed(LONG) * 2, &[vec![0.5; 2 * LONG]]);
        let found = mixed(&mut queue, signed(LONG) * 2, 3 * LONG);
        assert!(found[0] < 0.01 && is(found[LONG - FADE - 1], 1.0), "late ones are gone, the rest begins softly");
        assert!(found[LONG..2 * LONG - FADE].iter().all(|sample| is(*sample, 0.5)));
        assert!(found[2 * LONG..].iter().all(|sample| is(*sample, 0.0)));
        assert!(steepest(&found) < 0.01, "{}", steepest(&found));
    }

    #[test]
    fn times_that_jumped_far_ahead_do_not_keep_later_samples_from_being_heard() {
        let mut queue = playing();
        queue.push(signed(LONG) + 100 * SAMPLE_RATE, &[vec![1.0; LONG]]);
        queue.push(signed(LONG), &[vec![0.5; LONG]]);
        assert!(is(mixed(&mut queue, signed(LONG), LONG)[LONG / 2], 0.5));
    }

    #[test]
    fn a_picture_stays_until_the_next_and_stands_still_after_a_while() {
        let feed = Feed::new(1);
        feed.push_picture(10 * SECOND, Fitted::known(Frame::i420(16, 16).expect("a small picture")));
        assert!(feed.picture(9 * SECOND, 0).is_none(), "not due yet");
        assert!(feed.picture(10 * SECOND, 0).is_some());
        assert!(feed.picture(3600 * SECOND, 0).is_some(), "held");
        assert!(!feed.stands_still(20 * SECOND) && feed.stands_still(20 * SECOND + 1));
        feed.push_picture(40 * SECOND, Fitted::known(Frame::i420(16, 16).expect("a small picture")));
        assert!(feed.picture(40 * SECOND, 0).is_some() && !feed.stands_still(40 * SECOND));
        assert!(!feed.stands_still(100 * SECOND) && feed.stands_still(101 * SECOND), "slides have a pace of their own");
    }

    /// The index of the picture that each of the first ticks shows, one tick a 15th of a second.
    fn shown_at_ticks(dues: impl Iterator<Item = Nanos>, ticks: i64) -> Vec<i64> {
        let feed = Feed::new(1);
        for (due, index) in dues.zip(0..) {
            let mut frame = Frame::i420(16, 16).expect("a small picture");
            frame.raw_mut().pts = index;
            feed.push_picture(due, Fitted::known(frame));
        }
        let shown = |tick| feed.picture(tick * SECOND / 15, SECOND / 15).expect("a picture").frame.raw().pts;
        (0..ticks).map(shown).collect()
    }

    #[test]
    fn times_that_are_rounded_to_either_side_of_a_tick_neither_repeat_nor_leave_out_a_picture() {
        let rounded =
            (0..60).map(|index| index * SECOND / 15 + [0, 9_000_000, -9_000_000][usize::try_from(index % 3).unwrap()]);
        assert_eq!(shown_at_ticks(rounded, 50), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_source_with_more_or_fewer_pictures_than_ticks_keeps_its_pace() {
        for shift in [0, 16, 17, 33, -16] {
            let dues = |rate: i64| {
                (0..120).map(move |index| index * SECOND / rate + shift * MILLISECOND + index % 2 * MILLISECOND)
            };
            let double = shown_at_ticks(dues(30), 50);
            assert!(double.windows(2).skip(2).all(|pair| pair[1] - pair[0] == 2), "{shift}: {double:?}");
            let same = shown_at_ticks(dues(15), 50);
            assert!(same.windows(2).skip(2).all(|pair| pair[1] - pair[0] == 1), "{shift}: {same:?}");
        }
        let fewer = shown_at_ticks((0..60).map(|index| index * SECOND / 10), 50);
        assert!(fewer.iter().zip(0..).all(|(shown, tick): (&i64, i64)| (shown - tick * 2 / 3).abs() <= 1), "{fewer:?}");
    }

    #[test]
    fn each_picture_appears_within_half_a_tick_of_its_time() {
        let step = SECOND / 15;
        for (rate, shift) in [(5, 0), (10, 20), (15, 30), (24, 7), (25, 0), (30, 16), (50, 3), (60, 8)] {
            let due = |index: i64| index * SECOND / rate + shift * MILLISECOND;
            let shown = shown_at_ticks((0..200).map(due), 45);
            for (pair, tick) in shown.windows(2).zip(1..).skip(2).filter(|(pair, _)| pair[0] != pair[1]) {
                let off = tick * step - due(pair[1]);
                assert!(off.abs() <= step / 2 + 6 * MILLISECOND, "{rate}: {} ms at {tick}", off / MILLISECOND);
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! When pictures are due that carry no time: at the pace at which they come, or, stored ones, at that of their stream.

use crate::capture::clock::{Nanos, MILLISECOND, SECOND};
use crate::capture::timeline::{Pace, JITTER, LEAD};

/// Where a stream tells no pace.
const USUAL: Nanos = SECOND / 25;

/// Over how many pictures the pace is judged.
const MEMORY: i64 = 64;

/// The share of its distance from the picture's arrival that each time is moved by.
const PULL: i64 = 16;

/// A picture further than this from where it should be has had a hold-up: the pace begins anew from there.
const ASTRAY: Nanos = 2 * JITTER;

pub struct FramePacer {
    pace: Pace,
    /// How many pictures are still to be placed that had come before the first was, and how far apart they are.
    stored: i64,
    interval: Nanos,
    /// How many intervals were measured, up to what is remembered.
    measured: i64,
    arrived: Option<Nanos>,
    last: Option<Nanos>,
}

impl FramePacer {
    /// A pacer whose first `stored` pictures were read at once.
    pub fn new(pace: Pace, stored: usize) -> Self {
        let stored = i64::try_from(stored).unwrap_or(0);
        Self { pace, stored, interval: USUAL, measured: 0, arrived: None, last: None }
    }

    /// When the next picture is due, which arrived at `now` and lasts for `duration`, if the stream is right.
    pub fn next(&mut self, duration: Nanos, now: Nanos) -> Nanos {
        let told = if (MILLISECOND..=SECOND).contains(&duration) { duration } else { USUAL };
        let due = match (self.pace, self.last) {
            (Pace::Stored { .. }, last) => last.map_or(now + JITTER, |last| last + told),
            (Pace::Live, None) => now + JITTER - (self.stored - 1).max(0) * told,
            (Pace::Live, Some(last)) if self.stored > 0 => last + told,
            (Pace::Live, Some(last)) => self.follow(last, now),
        };
        if self.stored > 0 {
            (self.stored, self.interval) = (self.stored - 1, told);
        }
        self.arrived = Some(now);
        self.last = Some(due);
        due
    }

    fn follow(&mut self, last: Nanos, now: Nanos) -> Nanos {
        let step = (now - self.arrived.unwrap_or(now)).min(SECOND);
        self.measured = (self.measured + 1).min(MEMORY);
        self.interval += (step - self.interval) / self.measured;
        let (expected, target) = (last + self.interval, now + JITTER);
        if (target - expected).abs() > ASTRAY {
            return target.max(last + MILLISECOND);
        }
        (expected + (target - expected) / PULL).clamp(last + MILLISECOND, now + LEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When pictures are due that arrive at these times.
    fn dues(arrivals: impl Iterator<Item = Nanos>) -> Vec<Nanos> {
        let mut pacer = FramePacer::new(Pace::Live, 1);
        arrivals.map(|at| pacer.next(USUAL, at)).collect()
    }

    #[test]
    fn pictures_follow_each_other_at_the_pace_they_come_whatever_their_stream_says() {
        for interval in [SECOND / 60, SECOND / 30, SECOND / 10, SECOND / 3] {
            let found = dues((0..200).map(|index| index * interval + (index % 3) * 5 * MILLISECOND));
            for (pair, index) in found.windows(2).zip(0..) {
                let step = pair[1] - pair[0];
                assert!(index < 20 || (step - interval).abs() < 3 * MILLISECOND, "{step} of {interval} at {index}");
            }
            let late = (0..200).zip(found).map(|(index, due)| due - index * interval - JITTER);
            assert!(late.skip(20).all(|late| late.abs() < 60 * MILLISECOND));
        }
    }

    #[test]
    fn pictures_that_come_in_bursts_are_spread() {
        let found = dues((0..500).map(|index| index / 5 * SECOND / 5));
        assert!(found.windows(2).skip(100).all(|pair| (20..60).contains(&((pair[1] - pair[0]) / MILLISECOND))));
    }

    #[test]
    fn stored_pictures_keep_the_pace_of_their_stream_and_those_read_at_once_lie_before_the_newest() {
        let mut file = FramePacer::new(Pace::Stored { lateness: 0 }, 1);
        assert_eq!([0, 0, 7].map(|now| file.next(SECOND / 30, now)), [0, 1, 2].map(|n| JITTER + n * (SECOND / 30)));
        let mut live = FramePacer::new(Pace::Live, 3);
        let found = [SECOND; 3].map(|now| live.next(SECOND / 10, now));
        assert_eq!(found, [8, 9, 10].map(|tenths| tenths * SECOND / 10 + JITTER));
    }

    #[test]
    fn after_a_hold_up_pictures_go_on_with_those_that_come_then() {
        let step = SECOND / 25;
        let found = dues((0..100).map(|index| index * step + if index < 50 { 0 } else { 5 * SECOND }));
        assert!((found[50] - (50 * step + 5 * SECOND + JITTER)).abs() < 60 * MILLISECOND, "{}", found[50]);
        assert!(found.windows(2).all(|pair| pair[1] > pair[0]));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Turns peaks down before they come, so smoothly that the turning is not heard.
//!
//! For each sample the gain is known that brings it below the ceiling. The gain in force is the least of those of the next
//! few milliseconds, falls back to one slowly, and is averaged over those milliseconds: it runs down in a straight line
//! that ends where the peak begins, and never is above what any sample needs.

use std::collections::VecDeque;

/// Peaks above this are turned down; everything below passes bit by bit as it is.
const CEILING: f32 = 0.95;

/// How far ahead it looks, and how long the gain takes to come down: 5 ms.
pub const AHEAD: usize = 240;

/// The share of its loss that the gain wins back per sample: about 200 ms to recover.
const RECOVERY: f32 = 1.05e-4;

#[derive(Default)]
pub struct Limiter {
    /// What the gain is to be, for each of the last `AHEAD` samples; their average is the gain.
    wanted: VecDeque<f32>,
    sum: f64,
    /// How many samples ago the gain was last to be less than one.
    rested: usize,
}

impl Limiter {
    /// Limits the first `count` samples of the planes, which have `AHEAD` more to look at.
    pub fn limit(&mut self, planes: &mut [Vec<f32>], count: usize) {
        let at_rest = self.wanted.is_empty() || self.rested >= AHEAD;
        if at_rest && !planes.iter().any(|plane| is_loud(&plane[..count + AHEAD])) {
            return;
        }
        let needed = needed(planes, count + AHEAD);
        let mut least = Least::default();
        needed[..AHEAD - 1].iter().enumerate().for_each(|(index, gain)| least.push(index, *gain));
        for index in 0..count {
            least.push(index + AHEAD - 1, needed[index + AHEAD - 1]);
            let gain = self.step(least.since(index));
            for plane in &mut *planes {
                plane[index] *= gain;
            }
        }
    }

    /// The gain of the next sample, given the least that any of those ahead needs.
    fn step(&mut self, least: f32) -> f32 {
        let Some(before) = self.wanted.back() else { return self.begin(least) };
        let recovered = before + (1.0 - before) * RECOVERY;
        let next = least.min(if recovered > 0.999 { 1.0 } else { recovered });
        self.rested = if next < 1.0 { 0 } else { self.rested + 1 };
        self.wanted.push_back(next);
        self.sum += f64::from(next) - self.wanted.pop_front().map_or(0.0, f64::from);
        if self.rested >= AHEAD {
            // What adding up has rounded away is not taken along.
            self.sum = self.wanted.iter().map(|gain| f64::from(*gain)).sum();
        }
        self.gain()
    }

    /// The sound begins: there is nothing before it that could be turned down slowly.
    fn begin(&mut self, least: f32) -> f32 {
        self.wanted = VecDeque::from(vec![least; AHEAD]);
        self.sum = self.wanted.iter().map(|gain| f64::from(*gain)).sum();
        self.gain()
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // a gain, and a small number
    fn gain(&self) -> f32 {
        ((self.sum / AHEAD as f64) as f32).min(1.0)
    }
}

/// Whether any sample is above the ceiling. It looks at all of them, without a branch: that is quicker than stopping early.
fn is_loud(plane: &[f32]) -> bool {
    plane.iter().fold(false, |loud, sample| loud | (sample.abs() > CEILING))
}

/// The gain that brings each of the first `count` samples below the ceiling, one if it is.
fn needed(planes: &[Vec<f32>], count: usize) -> Vec<f32> {
    let mut gains = vec![0.0_f32; count];
    for plane in planes {
        gains.iter_mut().zip(plane).for_each(|(peak, sample)| *peak = peak.max(sample.abs()));
    }
    for peak in &mut gains {
        *peak = if *peak > CEILING { CEILING / *peak } else { 1.0 };
    }
    gains
}

/// The least of the values that were pushed since some index; indices only grow.
#[derive(Default)]
struct Least(VecDeque<(usize, f32)>);

impl Least {
    fn push(&mut self, index: usize, value: f32) {
        while self.0.back().is_some_and(|(_, last)| *last >= value) {
            self.0.pop_back();
        }
        self.0.push_back((index, value));
    }

    fn since(&mut self, index: usize) -> f32 {
        while self.0.front().is_some_and(|(known, _)| *known < index) {
            self.0.pop_front();
        }
        self.0.front().map_or(1.0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 48_000;

    fn sine(amplitude: f32, count: usize) -> Vec<f32> {
        (0..count).map(|index| amplitude * (f32::from(u16::try_from(index % 480).unwrap()) * 0.0131).sin()).collect()
    }

    /// All that can be limited of these samples, in blocks like those of ticks.
    fn limited(samples: &[f32]) -> Vec<f32> {
        let mut limiter = Limiter::default();
        let blocks = samples.windows(3200 + AHEAD).step_by(3200);
        let limit = |block: &[f32]| {
            let mut planes = [block.to_vec()];
            limiter.limit(&mut planes, 3200);
            planes[0][..3200].to_vec()
        };
        blocks.flat_map(limit).collect()
    }

    fn gains(before: &[f32], after: &[f32]) -> Vec<f32> {
        let heard = before.iter().zip(after).filter(|(before, _)| before.abs() > 0.01);
        heard.map(|(before, after)| after / before).collect()
    }

    #[test]
    fn quiet_sound_is_not_touched() {
        let before = sine(0.94, LONG);
        let after = limited(&before);
        assert_eq!(before[..after.len()], after);
    }

    #[test]
    fn a_sudden_peak_is_turned_down_without_a_step_and_the_gain_comes_back() {
        let before = [sine(0.3, LONG), sine(4.0, LONG / 4), sine(0.3, 3 * LONG)].concat();
        let after = limited(&before);
        assert!(after.iter().all(|sample| sample.abs() <= CEILING + 1e-5), "nothing is above the ceiling");
        let gains = gains(&before, &after);
        let steepest = gains.windows(2).fold(0.0_f32, |most, pair| most.max((pair[1] - pair[0]).abs()));
        // Samples near zero, whose gain cannot be told, lie between some.
        assert!(steepest < 0.02, "the gain runs down over 5 ms instead of dropping: {steepest}");
        assert!((gains[LONG / 2] - 1.0).abs() < 1e-6, "long before, nothing is turned down");
        assert!((gains.last().unwrap() - 1.0).abs() < 1e-6, "two seconds later, nothing is any more");
        let held = &after[LONG + 4800..LONG + 9600];
        let loudest = held.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
        assert!(loudest > 0.9, "no more is taken away than has to be: {loudest}");
    }

    #[test]
    fn loud_sound_is_below_the_ceiling_from_its_first_sample_on() {
        assert!(limited(&sine(8.0, LONG)).iter().all(|sample| sample.abs() <= CEILING + 1e-5));
    }
}

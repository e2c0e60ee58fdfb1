// SPDX-License-Identifier: Apache-2.0
//! Sums the participants' samples and keeps the sum below full scale without harshness.

use std::sync::Arc;

use super::feed::Feed;

/// Peaks above this are turned down; everything below passes bit by bit as it is.
const CEILING: f32 = 0.95;

/// The gain follows peaks of blocks of this many samples (1.3 ms), ramping over a block so that no step is heard.
const BLOCK: usize = 64;

/// The share of its loss that the gain wins back per block: about 200 ms to recover.
const RECOVERY: f32 = 0.0067;

/// What lies further beyond full scale (18 dB) is no sound, but a broken decoder or a wrong format.
const LOUDEST: f32 = 8.0;

/// Nobody hears less; processors are slow with numbers that are nearly zero.
const SOFTEST: f32 = 1e-15;

/// The gate that every sample of a participant passes on its way into the mix: what is no number, or beyond all measure, is
/// silence. Tells whether there was any such.
pub fn gate(planes: &mut [Vec<f32>]) -> bool {
    let mut wrong = false;
    for sample in planes.iter_mut().flatten() {
        // Of a number that is none, every comparison is false.
        let sound = sample.abs() <= LOUDEST;
        wrong |= !sound;
        *sample = if sound && sample.abs() >= SOFTEST { *sample } else { 0.0 };
    }
    wrong
}

/// Mixes blocks of samples; one per recording, as the limiter remembers its gain.
pub struct Mixer {
    channels: usize,
    gain: f32,
}

impl Mixer {
    pub fn new(channels: usize) -> Self {
        Self { channels, gain: 1.0 }
    }

    /// The mix of all feeds over `count` samples from the index `from` on.
    pub fn mix<'a>(&mut self, feeds: impl Iterator<Item = &'a Arc<Feed>>, from: i64, count: usize) -> Vec<Vec<f32>> {
        let mut planes = vec![vec![0.0; count]; self.channels];
        feeds.for_each(|feed| feed.mix_into(from, &mut planes));
        self.limit(&mut planes);
        planes
    }

    fn limit(&mut self, planes: &mut [Vec<f32>]) {
        let count = planes[0].len();
        for start in (0..count).step_by(BLOCK) {
            let range = start..(start + BLOCK).min(count);
            let peak = planes.iter().flat_map(|plane| &plane[range.clone()]).fold(0.0_f32, |peak, s| peak.max(s.abs()));
            let wanted = if peak > CEILING { CEILING / peak } else { 1.0 };
            let next = wanted.min(self.gain + (1.0 - self.gain) * RECOVERY);
            if self.gain < 1.0 || next < 1.0 {
                ramp(planes, range, self.gain.min(wanted), next);
            }
            self.gain = if next > 0.9999 { 1.0 } else { next };
        }
    }
}

fn ramp(planes: &mut [Vec<f32>], range: std::ops::Range<usize>, from: f32, to: f32) {
    #[allow(clippy::cast_precision_loss)] // blocks are short
    let step = (to - from) / range.len() as f32;
    for plane in planes {
        let mut gain = from;
        for sample in &mut plane[range.clone()] {
            *sample *= gain;
            gain += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(amplitude: f32, count: usize) -> Vec<f32> {
        (0..count).map(|index| amplitude * (f32::from(u16::try_from(index % 480).unwrap()) * 0.0131).sin()).collect()
    }

    #[test]
    fn only_numbers_of_a_sensible_size_pass_the_gate() {
        let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -9.0];
        for value in bad {
            let mut planes = vec![vec![0.5, value, -0.5]];
            assert!(gate(&mut planes), "{value}");
            assert_eq!(planes, [vec![0.5, 0.0, -0.5]], "{value}");
        }
        let mut planes = vec![vec![1.5, f32::MIN_POSITIVE / 2.0, -8.0, 1e-6]];
        assert!(!gate(&mut planes), "loud or soft is nothing wrong");
        assert_eq!(planes, [vec![1.5, 0.0, -8.0, 1e-6]]);
    }

    #[test]
    fn quiet_sound_is_not_touched() {
        let mut mixer = Mixer::new(1);
        let before = vec![sine(0.9, 4800)];
        let mut after = before.clone();
        mixer.limit(&mut after);
        assert_eq!(before, after);
    }

    #[test]
    fn loud_sound_stays_below_full_scale_and_the_gain_recovers() {
        let mut mixer = Mixer::new(2);
        let mut loud = vec![sine(4.0, 48_000), sine(3.0, 48_000)];
        mixer.limit(&mut loud);
        assert!(loud.iter().flatten().all(|sample| sample.abs() <= 1.0));
        let mut quiet = vec![sine(0.5, 96_000), sine(0.5, 96_000)];
        mixer.limit(&mut quiet);
        assert!((mixer.gain - 1.0).abs() < f32::EPSILON, "gain {}", mixer.gain);
    }
}

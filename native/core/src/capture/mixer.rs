// SPDX-License-Identifier: Apache-2.0
//! Sums the participants' samples and keeps the sum below full scale without harshness.

use std::sync::Arc;

use super::feed::Feed;
use super::limiter::{Limiter, AHEAD};

/// What lies further beyond full scale (12 dB) is no sound, but a broken decoder or a wrong format.
const LOUDEST: f32 = 4.0;

/// Nobody hears less; processors are slow with numbers that are nearly zero.
const SOFTEST: f32 = 1e-15;

/// The gate that every sample of a participant passes on its way into the mix: what is no number, or beyond all measure, is
/// silence. Tells whether there was any such.
pub fn gate(planes: &mut [Vec<f32>]) -> bool {
    let mut wrong = false;
    for plane in planes {
        // Without branches, as a processor's vectors want it. Of a number that is none, every comparison is false.
        for sample in plane {
            let sound = sample.abs() <= LOUDEST;
            wrong |= !sound;
            *sample = if sound & (sample.abs() >= SOFTEST) { *sample } else { 0.0 };
        }
    }
    wrong
}

/// Mixes blocks of samples; one per recording, as the limiter remembers its gain.
pub struct Mixer {
    limiter: Limiter,
    /// What was mixed beyond the last block already, and the sample that follows it.
    ahead: Vec<Vec<f32>>,
    next: i64,
}

impl Mixer {
    pub fn new(channels: usize) -> Self {
        Self { limiter: Limiter::default(), ahead: vec![Vec::new(); channels], next: 0 }
    }

    /// The mix of all feeds over `count` samples from the index `from` on. The limiter sees a little more, so that the gain
    /// is down when a peak comes: the sources have decoded that long before it is due.
    pub fn mix<'a>(&mut self, feeds: impl Iterator<Item = &'a Arc<Feed>>, from: i64, count: usize) -> Vec<Vec<f32>> {
        if from + signed(self.ahead[0].len()) != self.next {
            self.ahead.iter_mut().for_each(Vec::clear);
            self.limiter = Limiter::default();
        }
        let known = self.ahead[0].len();
        let start = from + signed(known);
        let mut fresh = vec![vec![0.0; count + AHEAD - known]; self.ahead.len()];
        feeds.for_each(|feed| feed.mix_into(start, &mut fresh));
        self.next = from + signed(count + AHEAD);
        let mut planes = std::mem::take(&mut self.ahead);
        planes.iter_mut().zip(&fresh).for_each(|(plane, fresh)| plane.extend_from_slice(fresh));
        self.ahead = planes.iter().map(|plane| plane[count..].to_vec()).collect();
        self.limiter.limit(&mut planes, count);
        for plane in &mut planes {
            plane.truncate(count);
        }
        planes
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_a_sensible_size_pass_the_gate() {
        let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -4.1];
        for value in bad {
            let mut planes = vec![vec![0.5, value, -0.5]];
            assert!(gate(&mut planes), "{value}");
            assert_eq!(planes, [vec![0.5, 0.0, -0.5]], "{value}");
        }
        let mut planes = vec![vec![1.5, f32::MIN_POSITIVE / 2.0, -4.0, 1e-6]];
        assert!(!gate(&mut planes), "loud or soft is nothing wrong");
        assert_eq!(planes, [vec![1.5, 0.0, -4.0, 1e-6]]);
    }

    fn fed(samples: &[f32]) -> Arc<Feed> {
        let feed = Arc::new(Feed::new(1));
        feed.push_samples(0, &mut [samples.to_vec()]);
        feed
    }

    #[test]
    fn blocks_of_any_size_join_to_what_one_block_would_be() {
        let samples: Vec<f32> = (0..9600_u16).map(|index| f32::from(index % 97) / 30.0 - 1.5).collect();
        let whole = Mixer::new(1).mix([&fed(&samples)].into_iter(), 0, 9000);
        let (mut mixer, feed, mut at) = (Mixer::new(1), fed(&samples), 0);
        let mut pieces = Vec::new();
        for count in [1, 960, 3200, 7, AHEAD, 4000] {
            pieces.extend(mixer.mix([&feed].into_iter(), at, count).remove(0));
            at += signed(count);
        }
        assert!(whole[0].iter().zip(&pieces).all(|(one, other)| (one - other).abs() < 1e-5));
        assert!(pieces.iter().all(|sample| sample.abs() <= 1.0));
    }

    #[test]
    fn sound_is_where_it_is_due() {
        let mut samples = vec![0.0; 9600];
        samples[5000] = 0.5;
        let feed = fed(&samples);
        let mut mixer = Mixer::new(1);
        let blocks = [0, 3200].map(|from| mixer.mix([&feed].into_iter(), from, 3200).remove(0));
        let heard = blocks.concat();
        assert_eq!(heard.iter().position(|sample| *sample != 0.0), Some(5000));
    }
}

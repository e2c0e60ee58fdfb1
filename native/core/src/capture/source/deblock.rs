// SPDX-License-Identifier: Apache-2.0
//! Whether a source's pictures are decoded with the filter that smooths the edges of their blocks.
//!
//! The filter is a fifth of what decoding costs, and nobody sees its work in a picture that is shown at a quarter of its size.
//! But each picture is made from those before it: without the filter they stray further and further from what was sent, until
//! a key picture begins anew. So it is left out only of streams whose key pictures follow each other closely, and a
//! participant that is enlarged looks as it should from the next one on.

use crate::capture::clock::{Nanos, SECOND};
use crate::capture::geometry::Region;

/// A picture is shown small when it has at least so many times the width and the height of its region.
const SMALL: u32 = 4;

/// The longest that pictures may stray.
const CLOSELY: Nanos = 3 * SECOND;

#[derive(Default)]
pub struct Deblocking {
    picture: (u32, u32),
    last_key: Option<Nanos>,
    follow_closely: bool,
}

impl Deblocking {
    /// Takes note of a decoded picture's size.
    pub fn note_size(&mut self, width: u32, height: u32) {
        self.picture = (width, height);
    }

    /// Whether the packet that is due at `at` has to be decoded with the filter. Each of the stream's packets is asked for, in
    /// order.
    pub fn is_needed(&mut self, is_key: bool, at: Nanos, shown_in: Option<Region>) -> bool {
        let passed = self.last_key.map(|key| at - key);
        if is_key {
            self.follow_closely = passed.is_some_and(is_close);
            self.last_key = Some(at);
        } else if !passed.is_some_and(is_close) {
            self.follow_closely = false;
        }
        !(self.follow_closely && shown_in.is_some_and(|region| self.is_small_in(region)))
    }

    fn is_small_in(&self, region: Region) -> bool {
        let (width, height) = self.picture;
        region.width.saturating_mul(SMALL) <= width && region.height.saturating_mul(SMALL) <= height
    }
}

fn is_close(passed: Nanos) -> bool {
    (0..=CLOSELY).contains(&passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL_REGION: Region = Region { x: 512, y: 46, width: 64, height: 46 };

    /// Whether each of the packets needs the filter; they are (second, is key, region).
    fn needed(packets: &[(i64, bool, Option<Region>)]) -> Vec<bool> {
        let mut deblocking = Deblocking::default();
        deblocking.note_size(640, 360);
        packets.iter().map(|(at, key, region)| deblocking.is_needed(*key, at * SECOND, *region)).collect()
    }

    fn keys_each(seconds: i64, region: Option<Region>) -> Vec<bool> {
        needed(&(0..12).map(|at| (at, at % seconds == 0, region)).collect::<Vec<_>>())
    }

    #[test]
    fn it_is_left_out_of_small_pictures_once_two_key_pictures_were_close() {
        let mut expected = vec![false; 12];
        expected[..2].fill(true);
        assert_eq!(keys_each(2, Some(SMALL_REGION)), expected);
        expected[..3].fill(true);
        assert_eq!(keys_each(3, Some(SMALL_REGION)), expected);
    }

    #[test]
    fn it_is_needed_where_key_pictures_are_rare() {
        assert_eq!(keys_each(4, Some(SMALL_REGION)), [true; 12]);
        assert_eq!(keys_each(100, Some(SMALL_REGION)), [true; 12]);
    }

    #[test]
    fn it_is_needed_where_pictures_are_seen_well_or_it_is_not_known_how() {
        for (width, height) in [(640, 360), (320, 180), (162, 90), (160, 92)] {
            assert_eq!(keys_each(1, Some(Region { width, height, ..SMALL_REGION })), [true; 12], "{width}x{height}");
        }
        assert_eq!(keys_each(1, None), [true; 12]);
        assert!(!keys_each(1, Some(Region { width: 160, height: 90, ..SMALL_REGION }))[11]);
    }

    #[test]
    fn it_is_needed_again_when_key_pictures_stay_away_or_times_jump_and_from_the_moment_of_enlarging() {
        let small = Some(SMALL_REGION);
        let large = Some(Region { width: 512, height: 360, ..SMALL_REGION });
        let away = [(0, true, small), (1, true, small), (4, false, small), (5, false, small), (6, true, small)];
        assert_eq!(needed(&away), [true, false, false, true, true]);
        let back = [(100, true, small), (101, true, small), (1, false, small), (1, true, small), (2, true, small)];
        assert_eq!(needed(&back), [true, false, true, true, false]);
        assert_eq!(needed(&[(0, true, small), (1, true, small), (2, false, large)]), [true, false, true]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Whether a source's pictures are decoded with the filter that smooths the edges of their blocks.
//!
//! The filter is a fifth of what decoding costs, and nobody sees its work in a picture that is shown at a quarter of its size.
//! But each picture is made from those before it: without the filter they stray further and further from what was sent, until
//! a key picture begins anew. So it is left out only of streams whose key pictures have followed each other closely for a
//! while, and a participant that is enlarged looks as it should from the next one on. Where it is shown at half of its size,
//! straying for long would be seen: the filter is left out of the last pictures before a key picture alone, and only once key
//! pictures have come for so long that the next one can be counted on.

use crate::capture::clock::{Nanos, SECOND};
use crate::capture::geometry::Region;

/// A picture is shown small, or halved, when it has at least so many times the width and the height of its region.
const SMALL: u32 = 4;
const HALVED: u32 = 2;

/// One in so many of the pictures between two key pictures, the last, may stray where they are shown halved.
const LAST: Nanos = 4;

/// How far apart key pictures may be. Where the next one does not come in time, the filter is back, but pictures have strayed.
const CLOSELY: Nanos = 3 * SECOND;

/// So many in a row, after another, make it likely that the next one is close, too: some streams have key pictures when
/// somebody joins, and then none for long. Where straying would be seen, there have to be more.
const IN_A_ROW: u32 = 3;
const IN_A_LONG_ROW: u32 = 10;

#[derive(Default)]
pub struct Deblocking {
    last_key: Option<Nanos>,
    /// The farthest that one of the row was from the one before.
    apart: Nanos,
    close_in_a_row: u32,
}

impl Deblocking {
    /// Whether the packet that is due at `at`, of a stream of pictures of this size, has to be decoded with the filter. Each of
    /// the stream's packets is asked for, in order.
    pub fn is_needed(&mut self, is_key: bool, at: Nanos, size: (u32, u32), shown_in: Option<Region>) -> bool {
        let since = self.last_key.map(|key| at.saturating_sub(key)).filter(|since| (0..=CLOSELY).contains(since));
        if since.is_none() {
            self.close_in_a_row = 0;
        } else if is_key {
            self.close_in_a_row = self.close_in_a_row.saturating_add(1);
        }
        if is_key {
            (self.last_key, self.apart) = (Some(at), since.map_or(0, |since| since.max(self.apart)));
        }
        let strayed = self.last_key.map_or(0, |key| at.saturating_sub(key));
        !shown_in.is_some_and(|region| self.may_stray(strayed, region, size))
    }

    /// Whether a picture that comes so long after its key picture may stray, where it is shown there.
    fn may_stray(&self, strayed: Nanos, region: Region, (width, height): (u32, u32)) -> bool {
        let fits =
            |times: u32| region.width.saturating_mul(times) <= width && region.height.saturating_mul(times) <= height;
        let is_last = strayed > 0 && (self.apart - self.apart / LAST..=self.apart).contains(&strayed);
        self.close_in_a_row >= IN_A_ROW && fits(SMALL)
            || self.close_in_a_row >= IN_A_LONG_ROW && fits(HALVED) && is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL_REGION: Region = Region { x: 512, y: 46, width: 64, height: 46 };

    /// Whether each of the packets needs the filter; they are (second, is key, region).
    fn needed(packets: &[(i64, bool, Option<Region>)]) -> Vec<bool> {
        let mut deblocking = Deblocking::default();
        packets.iter().map(|(at, key, region)| deblocking.is_needed(*key, at * SECOND, (640, 360), *region)).collect()
    }

    fn keys_each(seconds: i64, region: Option<Region>) -> Vec<bool> {
        needed(&(0..12).map(|at| (at, at % seconds == 0, region)).collect::<Vec<_>>())
    }

    #[test]
    fn it_is_left_out_of_small_pictures_once_key_pictures_were_close_in_a_row() {
        for seconds in [1, 2, 3] {
            let first = 3 * seconds;
            let expected: Vec<bool> = (0..12).map(|at| at < first).collect();
            assert_eq!(keys_each(seconds, Some(SMALL_REGION)), expected);
        }
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

    /// Which of the packets, four a second, need the filter; those of `keys` are key pictures.
    fn needed_of_four_a_second(keys: &[i64], count: i64, (width, height): (u32, u32)) -> Vec<bool> {
        let mut deblocking = Deblocking::default();
        let region = Region { width, height, ..SMALL_REGION };
        let need =
            |packet: i64| deblocking.is_needed(keys.contains(&packet), packet * SECOND / 4, (640, 360), Some(region));
        (0..count).map(need).collect()
    }

    #[test]
    fn it_is_left_out_of_halved_pictures_in_the_last_quarter_before_the_next_key_picture_is_due() {
        let keys: Vec<i64> = (0..=12).map(|group| 8 * group).collect();
        let needed = needed_of_four_a_second(&keys, 107, (320, 180));
        assert_eq!(needed[..80], [true; 80]);
        assert_eq!(needed[80..88], [true, true, true, true, true, true, false, false]);
        assert_eq!(needed[88..96], needed[80..88]);
        // The next one stays away.
        assert_eq!(needed[96..], [true, true, true, true, true, true, false, false, false, true, true]);
        for size in [(322, 180), (320, 182)] {
            assert_eq!(needed_of_four_a_second(&keys, 107, size), [true; 107]);
        }
    }

    #[test]
    fn a_key_picture_between_two_does_not_make_halved_pictures_stray_earlier() {
        let keys: Vec<i64> = (0..=11).map(|group| 8 * group).chain([91, 99]).collect();
        let needed = needed_of_four_a_second(&keys, 99, (320, 180));
        assert_eq!(needed[88..91], [true; 3]);
        assert_eq!(needed[91..], [true, true, true, true, true, true, false, false]);
    }

    /// The filter's need after four key pictures in three seconds.
    fn needed_after_close_keys(packets: &[(i64, bool, Option<Region>)]) -> Vec<bool> {
        let close = (0..4).map(|at| (at, true, Some(SMALL_REGION)));
        let needed = needed(&close.chain(packets.iter().copied()).collect::<Vec<_>>());
        assert_eq!(needed[..4], [true, true, true, false]);
        needed[4..].to_vec()
    }

    #[test]
    fn it_is_needed_again_when_key_pictures_stay_away_or_times_jump_and_from_the_moment_of_enlarging() {
        let small = Some(SMALL_REGION);
        let large = Some(Region { width: 512, height: 360, ..SMALL_REGION });
        let away = [(6, false, small), (7, false, small), (8, true, small), (9, true, small), (10, true, small)];
        assert_eq!(needed_after_close_keys(&away), [false, true, true, true, true]);
        assert_eq!(needed_after_close_keys(&[(2, false, small), (4, false, small)]), [true, true]);
        assert_eq!(needed_after_close_keys(&[(i64::MAX / SECOND, true, small)]), [true]);
        assert_eq!(needed_after_close_keys(&[(4, false, large), (4, false, small)]), [true, false]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! When a live playlist is put. Each put repeats the whole text, which grows with the recording: were it put with every
//! slice, a long recording of short slices would send little else. Pure.

use std::time::Duration;

/// Of the media, what playlists may take in per cent.
const SHARE: u64 = 4;
/// So many bytes may be put in any case: a recording's first minutes are listed slice by slice.
const ALLOWANCE: u64 = 256 << 10;
/// Where no slice came for so long, nothing soon makes up for what a put costs, and what there is shall be listed.
const QUIET: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct PlaylistSchedule {
    spent: u64,
}

impl PlaylistSchedule {
    /// Whether a playlist of so many bytes is put now; `media` are the bytes of slices that were put, `quiet` is for how
    /// long there has been no new one.
    #[must_use]
    pub fn is_due(&self, bytes: u64, media: u64, quiet: Duration) -> bool {
        quiet >= QUIET || self.spent + bytes <= ALLOWANCE + media / 100 * SHARE
    }

    /// How long to wait with a playlist that is not due, if nothing comes meanwhile.
    #[must_use]
    pub fn interval(quiet: Duration) -> Duration {
        QUIET.saturating_sub(quiet)
    }

    pub fn put(&mut self, bytes: u64) {
        self.spent += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a slice adds to a playlist.
    const LINE: u64 = 95;

    /// Bytes of playlists, and the most slices that ever were not listed, of so many slices of this size.
    fn recording(slices: u64, bytes: u64) -> (u64, u64) {
        let (mut pace, mut listed, mut most) = (PlaylistSchedule::default(), 0, 0);
        for count in 1..=slices {
            if pace.is_due(count * LINE, count * bytes, Duration::ZERO) {
                pace.put(count * LINE);
                listed = count;
            }
            most = most.max(count - listed);
        }
        (pace.spent, most)
    }

    #[test]
    fn playlists_take_a_few_per_cent_of_what_is_sent_however_long_it_lasts() {
        for (seconds, kbps) in [(2, 500), (15, 500), (15, 2000), (60, 64)] {
            let (slices, bytes) = (86_400 / seconds, seconds * kbps * 125);
            let (spent, most) = recording(slices, bytes);
            assert!(spent <= ALLOWANCE + slices * bytes * SHARE / 100, "{seconds} s: {spent}");
            // What is missing is a small part of what has been recorded.
            assert!(most <= 2 + slices * LINE * 100 / (SHARE * bytes), "{seconds} s: {most} of {slices}");
        }
        let (of_an_hour, _) = recording(1800, 125_000);
        assert!(of_an_hour < 1800 * 1800 * LINE / 2 / 10, "a tenth of what it was: {of_an_hour}");
    }

    #[test]
    fn the_first_minutes_are_listed_slice_by_slice() {
        assert_eq!(recording(70, 125_000).1, 0);
        assert_eq!(recording(300, 3_000_000).1, 0);
    }

    #[test]
    fn where_nothing_comes_what_there_is_gets_listed() {
        let pace = PlaylistSchedule { spent: 10 * ALLOWANCE };
        assert!(!pace.is_due(1, 0, Duration::from_secs(29)));
        assert!(pace.is_due(1, 0, QUIET));
        assert_eq!(PlaylistSchedule::interval(Duration::from_secs(29)), Duration::from_secs(1));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Puts a source's time stamps on the recording's clock without bending them: one offset for both tracks.
//!
//! Only where stamps jump does a new offset take over, which continues where the media before ended; both tracks change to
//! it, so that they keep their distance.

use crate::capture::api::TrackKind;
use crate::capture::clock::{Nanos, MILLISECOND, SECOND};
use crate::capture::timeline::{Pace, Stamp};

/// Decoding times may run back by so much before they count as a jump: senders round.
const BACKWARD: Nanos = 300 * MILLISECOND;

/// A picture is presented at most so much after it is decoded.
const MOST_REORDERING: Nanos = 3 * SECOND;

/// The least distance of two decoding times: more than one tick of the multiplexer's clock.
const LEAST_STEP: Nanos = 12_000;

/// Durations while a track's steps do not tell.
const USUAL: [Nanos; 2] = [21 * MILLISECOND, 33 * MILLISECOND];

/// Where a packet lies on the recording's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub decode: Nanos,
    pub present: Nanos,
    pub duration: Nanos,
}

impl Placed {
    pub fn end(self) -> Nanos {
        self.present + self.duration
    }
}

/// Presentation times run back, and nothing tells the times of decoding.
#[derive(Debug, PartialEq, Eq)]
pub struct Unordered;

#[derive(Clone, Copy)]
struct LastPlaced {
    offset: Nanos,
    placed: Placed,
}

pub struct CopyTimeline {
    forward: Nanos,
    begin: Nanos,
    offset: Nanos,
    tracks: [Option<LastPlaced>; 2],
}

impl CopyTimeline {
    /// A line on which the stamp `anchor` is at `now`, or as much later as it takes for `oldest` not to be before `floor`.
    pub fn new(pace: Pace, (anchor, oldest): (Nanos, Nanos), now: Nanos, floor: Nanos) -> Self {
        // What comes as it happens cannot be ahead; a stored slide show may have nothing for a while.
        let forward = match pace {
            Pace::Live => 3 * SECOND,
            Pace::Stored { .. } => 10 * SECOND,
        };
        let offset = (now - anchor).max(floor - oldest);
        Self { forward, begin: oldest + offset, offset, tracks: [None; 2] }
    }

    /// Until when there is media.
    pub fn end(&self) -> Option<Nanos> {
        self.tracks.iter().flatten().map(|last| last.placed.end()).max()
    }

    /// Places a packet that arrived at `now`. Decoding times of a track never run back.
    pub fn place(&mut self, track: TrackKind, stamp: Stamp, now: Nanos) -> Result<Placed, Unordered> {
        let last = self.tracks[track as usize];
        let Some(decode) = stamp.decode.or(stamp.present) else {
            let offset = last.map_or(self.offset, |last| last.offset);
            let at = last.map_or(now, |last| last.placed.decode + last.placed.duration);
            return Ok(self.keep(track, last, offset, (at, at), stamp.duration));
        };
        let offset = self.offset_for(last, decode, now);
        let placed = decode + offset;
        let present = stamp.present.map_or(placed, |present| present + offset);
        let ran_back = |last: &LastPlaced| last.offset == offset && present <= last.placed.present;
        if track == TrackKind::Video && stamp.decode.is_none() && last.as_ref().is_some_and(ran_back) {
            return Err(Unordered);
        }
        Ok(self.keep(track, last, offset, (placed, present), stamp.duration))
    }

    fn keep(
        &mut self,
        track: TrackKind,
        last: Option<LastPlaced>,
        offset: Nanos,
        (decode, present): (Nanos, Nanos),
        duration: Nanos,
    ) -> Placed {
        let earliest = last.map_or(Nanos::MIN, |last| last.placed.decode + LEAST_STEP);
        let at = decode.max(earliest);
        let step = last.map_or(0, |last| at - last.placed.decode);
        let usual = last.map_or(USUAL[track as usize], |last| last.placed.duration);
        let known = [duration, step].into_iter().find(|value| (MILLISECOND..=SECOND).contains(value));
        // A presentation time far from its decoding time is no reordering but nonsense.
        let ahead = present - at;
        let present = if (0..=MOST_REORDERING).contains(&ahead) { present } else { at };
        let placed = Placed { decode: at, present, duration: known.unwrap_or(usual) };
        self.tracks[track as usize] = Some(LastPlaced { offset, placed });
        placed
    }

    /// The track's own offset as long as its stamps go on, else the newest one, else one that continues behind everything.
    fn offset_for(&mut self, last: Option<LastPlaced>, decode: Nanos, now: Nanos) -> Nanos {
        let end = self.end().unwrap_or(self.begin);
        let earliest = last.map_or(self.begin - MOST_REORDERING, |last| last.placed.decode - BACKWARD);
        let latest = now.max(end) + self.forward;
        let own = last.map_or(self.offset, |last| last.offset);
        let fits = |offset: &Nanos| (earliest..=latest).contains(&(decode + offset));
        if let Some(offset) = [own, self.offset].into_iter().find(fits) {
            return offset;
        }
        self.offset = end - decode;
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Nanos = 40 * MILLISECOND;

    fn stamp(decode: Nanos, present: Nanos) -> Stamp {
        Stamp { decode: Some(decode), present: Some(present), duration: STEP }
    }

    /// Places stamps that arrive in real time, and returns the presentation times.
    fn line(pace: Pace) -> CopyTimeline {
        CopyTimeline::new(pace, (0, 0), 100 * SECOND, 0)
    }

    #[test]
    fn stamps_are_moved_and_never_bent() {
        let mut line = line(Pace::Live);
        for (index, ahead) in (0..).zip([2, 4, 1, 0, 3, 2]) {
            let at = index * STEP;
            let placed = line.place(TrackKind::Video, stamp(at, at + ahead * STEP), 100 * SECOND + at + 7).unwrap();
            assert_eq!((placed.decode, placed.present), (100 * SECOND + at, 100 * SECOND + at + ahead * STEP));
            assert_eq!(placed.duration, STEP);
        }
    }

    #[test]
    fn both_tracks_continue_behind_a_jump_with_their_distance_kept() {
        for jump in [7200 * SECOND, -50 * SECOND, 11 * SECOND, -SECOND] {
            let mut line = line(Pace::Live);
            let mut now = 100 * SECOND;
            for index in 0..25 {
                let at = index * STEP;
                now = 100 * SECOND + at;
                line.place(TrackKind::Audio, stamp(at, at), now).unwrap();
                line.place(TrackKind::Video, stamp(at + STEP, at + STEP), now).unwrap();
            }
            let end = line.end().unwrap();
            let at = 25 * STEP + jump;
            let sound = line.place(TrackKind::Audio, stamp(at, at), now).unwrap();
            let picture = line.place(TrackKind::Video, stamp(at + STEP, at + STEP), now).unwrap();
            assert_eq!(sound.decode, end, "{jump}");
            assert_eq!(picture.decode - sound.decode, STEP, "{jump}");
        }
    }

    #[test]
    fn a_track_that_has_not_jumped_yet_stays_where_it_is() {
        let mut line = line(Pace::Live);
        line.place(TrackKind::Audio, stamp(0, 0), 100 * SECOND).unwrap();
        line.place(TrackKind::Video, stamp(0, 0), 100 * SECOND).unwrap();
        line.place(TrackKind::Audio, stamp(900 * SECOND, 900 * SECOND), 100 * SECOND).unwrap();
        let old = line.place(TrackKind::Video, stamp(STEP, STEP), 100 * SECOND).unwrap();
        assert_eq!(old.decode, 100 * SECOND + STEP);
        let new = line.place(TrackKind::Video, stamp(900 * SECOND + STEP, 900 * SECOND + STEP), 100 * SECOND).unwrap();
        assert_eq!(new.decode, 100 * SECOND + 2 * STEP);
    }

    #[test]
    fn time_that_really_passed_is_no_jump() {
        let mut line = line(Pace::Live);
        line.place(TrackKind::Video, stamp(0, 0), 100 * SECOND).unwrap();
        let later = line.place(TrackKind::Video, stamp(60 * SECOND, 60 * SECOND), 160 * SECOND).unwrap();
        assert_eq!(later.decode, 160 * SECOND);
    }

    #[test]
    fn decoding_times_never_run_back_and_missing_ones_continue() {
        let mut line = line(Pace::Live);
        let mut last = line.place(TrackKind::Video, stamp(0, 0), 100 * SECOND).unwrap();
        for at in [STEP, STEP, STEP - MILLISECOND, 2 * STEP] {
            let placed = line.place(TrackKind::Video, stamp(at, at), 100 * SECOND).unwrap();
            assert!(placed.decode > last.decode && placed.present >= placed.decode);
            last = placed;
        }
        let unstamped = line.place(TrackKind::Video, Stamp::default(), 100 * SECOND).unwrap();
        assert_eq!(unstamped.decode, last.decode + last.duration);
    }

    #[test]
    fn reordered_pictures_without_decoding_times_are_told() {
        let mut line = line(Pace::Stored { lateness: 0 });
        let only = |present| Stamp { decode: None, present: Some(present), duration: STEP };
        assert!(line.place(TrackKind::Video, only(0), 100 * SECOND).is_ok());
        assert!(line.place(TrackKind::Video, only(3 * STEP), 100 * SECOND).is_ok());
        assert_eq!(line.place(TrackKind::Video, only(STEP), 100 * SECOND), Err(Unordered));
    }

    #[test]
    fn a_new_connection_begins_behind_the_one_before() {
        let mut line = CopyTimeline::new(Pace::Live, (5 * SECOND, 0), 100 * SECOND, 97 * SECOND);
        assert_eq!(line.place(TrackKind::Video, stamp(0, 0), 100 * SECOND).unwrap().decode, 97 * SECOND);
        let mut line = CopyTimeline::new(Pace::Live, (5 * SECOND, 0), 100 * SECOND, 0);
        assert_eq!(line.place(TrackKind::Video, stamp(0, 0), 100 * SECOND).unwrap().decode, 95 * SECOND);
    }
}

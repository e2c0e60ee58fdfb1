// SPDX-License-Identifier: Apache-2.0
//! Which media a participant sends, by what came of each track lately. Pure.

use super::LATELY;
use crate::capture::api::TrackKind;
use crate::capture::clock::{nanos, Nanos, SECOND};

/// Pictures that come slowly still come.
const SLOWEST_PACE: Nanos = 10 * SECOND;

/// Audio and video, each whether it is there.
pub type Present = (bool, bool);

#[derive(Debug)]
pub struct MediaPresence {
    /// When each track's last media was.
    seen: [Option<Nanos>; 2],
    /// How long each track may be silent: a slide show has its own pace.
    patience: [Nanos; 2],
    told: Option<Present>,
    /// What the participant says, where it does.
    stated: Option<Present>,
}

impl Default for MediaPresence {
    fn default() -> Self {
        Self { seen: [None; 2], patience: [nanos(LATELY); 2], told: None, stated: None }
    }
}

impl MediaPresence {
    pub fn has_joined(&self) -> bool {
        self.told.is_some()
    }

    pub fn has_seen(&self, track: TrackKind) -> bool {
        self.seen[track as usize].is_some()
    }

    /// Whether the participant says that nothing of the track is sent.
    pub fn is_withheld(&self, track: TrackKind) -> bool {
        self.stated.is_some_and(|(audio, video)| !if track == TrackKind::Audio { audio } else { video })
    }

    /// When the last media was.
    pub fn last(&self) -> Option<Nanos> {
        self.seen.iter().flatten().copied().max()
    }

    /// The participant says what there is, from now on. Returns that, if it has joined by it.
    pub fn state(&mut self, present: Present) -> Option<Present> {
        self.stated = Some(present);
        self.told.is_none().then(|| *self.told.insert(present))
    }

    /// There was media of the track at `at`. What there is at `now`, if it is the first: the participant has joined.
    pub fn see(&mut self, track: TrackKind, at: Nanos, now: Nanos) -> Option<Present> {
        self.seen[track as usize] = Some(at);
        self.told.is_none().then(|| *self.told.insert(self.at(now)))
    }

    /// The same of a track whose media may come at a slow pace of its own.
    pub fn see_paced(&mut self, track: TrackKind, at: Nanos, now: Nanos) -> Option<Present> {
        if let Some(before) = self.seen[track as usize] {
            self.patience[track as usize] = (2 * (at - before)).clamp(nanos(LATELY), SLOWEST_PACE);
        }
        self.see(track, at, now)
    }

    /// What there is at `now`, if it is something else than was told last of a participant who has joined.
    pub fn change(&mut self, now: Nanos) -> Option<Present> {
        let present = self.at(now);
        self.told.as_mut().filter(|told| **told != present).map(|told| {
            *told = present;
            present
        })
    }

    fn at(&self, now: Nanos) -> Present {
        let is_there =
            |track: TrackKind| self.seen[track as usize].is_some_and(|at| at >= now - self.patience[track as usize]);
        self.stated.unwrap_or_else(|| (is_there(TrackKind::Audio), is_there(TrackKind::Video)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_there_while_it_keeps_its_pace() {
        let mut presence = MediaPresence::default();
        assert_eq!(presence.change(0), None);
        assert_eq!(presence.see_paced(TrackKind::Video, 0, 0), Some((false, true)));
        assert_eq!(presence.see_paced(TrackKind::Video, 4 * SECOND, 4 * SECOND), None);
        assert_eq!(presence.see(TrackKind::Audio, 4 * SECOND, 4 * SECOND), None);
        assert_eq!(presence.change(4 * SECOND), Some((true, true)));
        let sound_gone = 4 * SECOND + nanos(LATELY) + 1;
        assert_eq!(presence.change(sound_gone), Some((false, true)));
        assert_eq!(presence.change(sound_gone), None);
        assert_eq!(presence.change(4 * SECOND + 8 * SECOND + 1), Some((false, false)));
        assert_eq!(presence.last(), Some(4 * SECOND));
    }

    #[test]
    fn what_a_participant_says_counts_more_than_what_came_lately() {
        let mut presence = MediaPresence::default();
        assert_eq!(presence.state((true, false)), Some((true, false)));
        assert_eq!(presence.see(TrackKind::Video, 0, 0), None);
        assert_eq!(presence.change(100 * SECOND), None, "silence is no leaving");
        assert_eq!(presence.state((true, true)), None);
        assert_eq!(presence.change(100 * SECOND), Some((true, true)));
    }
}

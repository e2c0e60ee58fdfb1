// SPDX-License-Identifier: Apache-2.0
//! Puts a source's timestamps on the recording's clock.
//!
//! Both tracks of a source share one mapping, so their relation is kept whatever the network does. The mapping is an
//! offset; it is moved in small steps when the source's clock drifts, at once when the source came late for good, and a
//! track whose timestamps jump or wrap gets a new offset that continues where its old one ended.

use super::api::TrackKind;
use super::clock::{Nanos, MILLISECOND, SECOND};

/// How long after its arrival media is due. Absorbs the network's jitter.
pub const JITTER: Nanos = 300 * MILLISECOND;

/// A source is not read further than this ahead of the clock; one whose media is stored, not further than the second. When the
/// layout changes, pictures that are ready have the old size for so long.
pub const LEAD: Nanos = 500 * MILLISECOND;
const STORED_LEAD: Nanos = SECOND;

/// Timestamps further ahead than this, beyond what is read ahead, are a jump and no hole.
const FORWARD_JUMP: Nanos = 3 * SECOND;

/// The same where pictures alone are stored: slides are as far apart.
const FORWARD_JUMP_OF_SLIDES: Nanos = 10 * SECOND;

/// Decoding timestamps may not run back; more than this is a jump or a wrap, less is a sender's rounding.
const BACKWARD_JUMP: Nanos = 300 * MILLISECOND;

/// Drift is judged over this long and corrected by at most `SLEW_STEP` each time (half a per cent).
const WINDOW: Nanos = 2 * SECOND;
const SLEW_STEP: Nanos = 10 * MILLISECOND;

/// The least time before it is due at which media should arrive: less is too close to being late, more is needless
/// delay. The upper bound is below `LEAD`, as nothing is read, and so nothing arrives, earlier than that.
const CLOSE: Nanos = JITTER / 4;
const AMPLE: Nanos = JITTER + 100 * MILLISECOND;

/// Lateness up to this, in a window, makes the delay grow at once; whoever is later than that has had a hold-up.
const MOST_GROWTH: Nanos = 2 * JITTER;

/// How long a picture and a block of sound last where nothing tells.
const USUAL_PICTURE: Nanos = SECOND / 25;
const USUAL_BLOCK: Nanos = SECOND * 1024 / 48_000;

/// Offsets that are remembered for a track that has not followed a jump yet.
const MOST_EPOCHS: usize = 8;

/// How a source hands out its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As it happens: what comes late is past.
    Live,
    /// In stored pieces (files, segments): what comes late moves the rest, so that nothing is lost. The next piece may
    /// come by `lateness` later than the one before it lasts.
    Stored { lateness: Nanos },
}

impl Pace {
    /// How far ahead of the clock the source is read.
    pub fn lead(self) -> Nanos {
        match self {
            Self::Live => LEAD,
            Self::Stored { .. } => STORED_LEAD,
        }
    }

    /// How late a piece may come.
    pub fn lateness(self) -> Nanos {
        match self {
            Self::Live => 0,
            Self::Stored { lateness } => lateness,
        }
    }
}

/// When a packet is due by its decoding timestamp (estimated, where it has none), and when it is to be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub decode: Nanos,
    pub present: Option<Nanos>,
}

/// A packet's own times, in nanoseconds of the source's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamp {
    pub decode: Option<Nanos>,
    pub present: Option<Nanos>,
    pub duration: Nanos,
}

#[derive(Clone, Copy)]
struct LastDue {
    epoch: usize,
    due: Nanos,
    duration: Nanos,
    stamp: Option<Nanos>,
}

/// The slack (time left until due) of what arrived in the current window.
struct Slack {
    since: Nanos,
    least: Nanos,
    most: Nanos,
    /// By how much the offset grew in it because something was late.
    grown: Nanos,
}

pub struct Timeline {
    pace: Pace,
    /// Offsets from the source's clock to ours; a jump appends one, and tracks follow one by one.
    epochs: Vec<Nanos>,
    tracks: [Option<LastDue>; 2],
    slack: Option<Slack>,
}

impl Timeline {
    /// Anchors the source so that its timestamp `newest` is due one jitter buffer after `now`.
    #[must_use]
    pub fn new(pace: Pace, newest: Nanos, now: Nanos) -> Self {
        Self { pace, epochs: vec![now + JITTER - newest], tracks: [None; 2], slack: None }
    }

    /// When a packet of `track` that arrived at `now` is due.
    pub fn map(&mut self, track: TrackKind, stamp: Stamp, now: Nanos) -> Due {
        let last = self.tracks[track as usize];
        let continued = last.map_or(now + JITTER, |last| last.due + last.duration);
        let Some(decode) = stamp.decode.or(stamp.present) else {
            self.remember(track, last.map_or(self.newest_epoch(), |last| last.epoch), continued, stamp);
            return Due { decode: continued, present: None };
        };
        if let Some(last) = last.filter(|last| last.stamp == Some(decode)) {
            return self.go_on_without_times(track, last, stamp, now);
        }
        let epoch = self.epoch_for(last, decode, continued, now);
        let mut due = decode + self.epochs[epoch];
        if epoch == self.newest_epoch() {
            due += self.follow(due - now, now);
        }
        self.remember(track, epoch, due, stamp);
        // A presentation time far from its decoding time is no reordering but nonsense.
        let ahead = stamp.present.map_or(0, |present| present - decode);
        let ahead = if (-BACKWARD_JUMP..=FORWARD_JUMP).contains(&ahead) { ahead } else { 0 };
        Due { decode: due, present: Some(due + ahead) }
    }

    fn newest_epoch(&self) -> usize {
        self.epochs.len() - 1
    }

    fn remember(&mut self, track: TrackKind, epoch: usize, due: Nanos, stamp: Stamp) {
        let duration = stamp.duration.clamp(0, SECOND);
        self.tracks[track as usize] = Some(LastDue { epoch, due, duration, stamp: stamp.decode.or(stamp.present) });
    }

    /// A time that stands still is none: the sender has lost its clock, and packets follow each other as they usually do.
    fn go_on_without_times(&mut self, track: TrackKind, last: LastDue, stamp: Stamp, now: Nanos) -> Due {
        let (usual, present) = match track {
            TrackKind::Audio => (USUAL_BLOCK, false),
            TrackKind::Video => (USUAL_PICTURE, true),
        };
        let next = last.due + if stamp.duration > 0 { stamp.duration.min(SECOND) } else { usual };
        let due = match self.pace {
            Pace::Live if next < now => now + JITTER,
            Pace::Live => next.min(now + LEAD),
            Pace::Stored { .. } => next,
        };
        self.remember(track, last.epoch, due, stamp);
        Due { decode: due, present: present.then_some(due) }
    }

    /// The track's own offset while its timestamps go on, the newest one when they jumped with the other track, or a
    /// new one that continues where the track ended.
    fn epoch_for(&mut self, last: Option<LastDue>, decode: Nanos, continued: Nanos, now: Nanos) -> usize {
        let earliest = last.map_or(now - FORWARD_JUMP, |last| last.due - BACKWARD_JUMP);
        let latest = now + self.pace.lead() + self.forward_jump();
        let plausible = |offset: Nanos| (earliest..=latest).contains(&(decode + offset));
        let own = last.map_or(self.newest_epoch(), |last| last.epoch);
        for epoch in [own, self.newest_epoch()] {
            if plausible(self.epochs[epoch]) {
                return epoch;
            }
        }
        let resumed = if continued >= now { continued } else { now + JITTER };
        // Slack measured on the old offset says nothing about the new one.
        self.slack = None;
        self.epochs.push(resumed - decode);
        self.forget_old_epochs();
        self.newest_epoch()
    }

    fn forward_jump(&self) -> Nanos {
        match (self.pace, self.tracks[TrackKind::Audio as usize]) {
            (Pace::Stored { .. }, None) => FORWARD_JUMP_OF_SLIDES,
            _ => FORWARD_JUMP,
        }
    }

    /// A source whose timestamps jump all the time must not make the list grow.
    fn forget_old_epochs(&mut self) {
        let surplus = self.epochs.len().saturating_sub(MOST_EPOCHS);
        self.epochs.drain(..surplus);
        for last in self.tracks.iter_mut().flatten() {
            last.epoch = last.epoch.saturating_sub(surplus);
        }
    }

    /// Moves the newest offset where the slack of arriving packets asks for it; returns by how much.
    fn follow(&mut self, slack: Nanos, now: Nanos) -> Nanos {
        if let Pace::Stored { lateness } = self.pace {
            // As far as it takes for the next pieces to come in time: better one pause than many.
            return if slack < 0 { self.shift(JITTER + lateness - slack) } else { 0 };
        }
        let window = self.slack.get_or_insert(Slack { since: now, least: slack, most: slack, grown: 0 });
        window.least = window.least.min(slack);
        window.most = window.most.max(slack);
        let late = (-MOST_GROWTH..0).contains(&slack).then(|| (CLOSE - slack).min(MOST_GROWTH - window.grown));
        if let Some(growth) = late.filter(|growth| *growth > 0) {
            // What is late now will be again: senders gather sound for a while, so it comes behind its pictures.
            window.grown += growth;
            window.least += growth;
            window.most += growth;
            return self.shift(growth);
        }
        if now - window.since < WINDOW {
            return 0;
        }
        let (least, most) = (window.least, window.most);
        self.slack = None;
        if most < 0 {
            self.shift(JITTER - most)
        } else if least < CLOSE {
            self.shift(SLEW_STEP.min(JITTER / 2 - least))
        } else if least > AMPLE {
            self.shift(-SLEW_STEP)
        } else {
            0
        }
    }

    fn shift(&mut self, by: Nanos) -> Nanos {
        let newest = self.newest_epoch();
        self.epochs[newest] += by;
        by
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;

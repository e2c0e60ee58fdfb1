// SPDX-License-Identifier: Apache-2.0
//! Where slices begin and end when nothing may be re-encoded. Pure: packets in the order of decoding in, steps out.
//!
//! A slice ends at the first key frame after the asked length. Where none comes, it ends at the bound that the playlist
//! has declared, between two pictures, and the stream runs on in the next slice. A stream that changes, or gains or loses
//! a track, begins again at a key frame.

use crate::capture::api::TrackKind;
use crate::capture::mux::TICKS_PER_SECOND;

/// A track was there lately if its last packet is not older than this.
const RECENT: i64 = 2 * TICKS_PER_SECOND;

/// A track without packets for so long has gone.
const GONE: i64 = 3 * TICKS_PER_SECOND;

/// So long before the bound a slice ends at the first picture that is presented behind all before it: players like no
/// slice between pictures that are sent out of their order.
const ORDERLY: i64 = TICKS_PER_SECOND / 2;

/// What is known of a packet; times in ticks of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketFacts {
    pub track: TrackKind,
    pub key: bool,
    pub decode: i64,
    pub present: i64,
    pub duration: i64,
    /// Packets of one format can be decoded one after the other.
    pub format: u64,
}

impl PacketFacts {
    fn end(&self) -> i64 {
        self.present + self.duration
    }
}

/// The tracks of a piece of output, by `TrackKind as usize`.
pub type TracksPresent = [bool; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutStep {
    /// The packet cannot be decoded here, or lies before the beginning.
    Drop,
    Write,
    /// The slice ends at `at`, and the next begins there with this packet.
    Cut {
        at: i64,
    },
    /// The output begins (again) at `at` with this packet and these tracks. A slice that is open ends at `end`.
    Begin {
        end: i64,
        at: i64,
        tracks: TracksPresent,
    },
    /// Nothing came for longer than a slice may last: the slice ends at `end`. The packet is to be looked at again.
    Hole {
        end: i64,
    },
}

#[derive(Debug, Clone, Copy)]
pub struct SliceLimits {
    /// From here on a slice ends at a key frame.
    pub slice: i64,
    /// No slice is longer.
    pub longest: i64,
}

/// A piece of output that runs on without a discontinuity.
struct Stretch {
    tracks: TracksPresent,
    formats: [u64; 2],
    /// Where it begins.
    begin: i64,
    /// Where the open slice begins.
    start: i64,
    /// How much later pictures are presented than decoded.
    delay: i64,
    ends: [i64; 2],
    /// The sound's format has changed; the next key frame begins again.
    stale: bool,
}

pub struct Cutter {
    limits: SliceLimits,
    stretch: Option<Stretch>,
    /// When the last packet of each track was decoded, written or not.
    seen: [Option<i64>; 2],
    waiting_since: Option<i64>,
    /// Up to here there is output.
    floor: i64,
}

impl Cutter {
    pub fn new(limits: SliceLimits) -> Self {
        Self { limits, stretch: None, seen: [None; 2], waiting_since: None, floor: i64::MIN }
    }

    /// The open slice's start and what has been written until now.
    pub fn open_slice(&self) -> Option<(i64, i64)> {
        self.stretch.as_ref().map(|stretch| (stretch.start, self.end_of(stretch)))
    }

    /// Whether packets of this format do not go on from what was written of the track.
    pub fn changes(&self, track: TrackKind, format: u64) -> bool {
        let known = self.stretch.as_ref().map(|stretch| stretch.formats[track as usize]);
        known.is_some_and(|known| known != 0 && known != format)
    }

    /// Ends the output; returns where the open slice ends.
    pub fn end(&mut self) -> Option<i64> {
        let end = self.stretch.as_ref().map(|stretch| self.end_of(stretch));
        self.stretch = None;
        self.seen = [None; 2];
        self.waiting_since = None;
        self.floor = self.floor.max(end.unwrap_or(self.floor));
        end
    }

    fn end_of(&self, stretch: &Stretch) -> i64 {
        let end = stretch.ends.into_iter().max().unwrap_or(stretch.start);
        end.clamp(stretch.start, stretch.start + self.limits.longest)
    }

    /// What to do with a packet; `others_wait` tells whether packets of the other track follow at once.
    pub fn step(&mut self, facts: PacketFacts, others_wait: bool) -> CutStep {
        let hole = self.hole_before(&facts);
        if let Some(end) = hole {
            self.end();
            return CutStep::Hole { end };
        }
        self.seen[facts.track as usize] = Some(facts.decode);
        let step = match &self.stretch {
            None => self.begin(facts, others_wait),
            Some(_) => self.go_on(facts, others_wait),
        };
        self.apply(step, &facts);
        step
    }

    fn hole_before(&self, facts: &PacketFacts) -> Option<i64> {
        let end = self.end_of(self.stretch.as_ref()?);
        (facts.decode - end > self.limits.longest).then_some(end)
    }

    /// Whether the track is there, or was a moment ago.
    fn is_around(&self, track: TrackKind, at: i64) -> bool {
        self.seen[track as usize].is_some_and(|seen| at - seen <= RECENT)
    }

    /// Pictures begin at a key frame. Sound alone begins where no pictures are, or where they have had no key frame for
    /// as long as a slice may last.
    fn begin(&mut self, facts: PacketFacts, others_wait: bool) -> CutStep {
        let since = *self.waiting_since.get_or_insert(facts.decode);
        let overdue = facts.decode - since >= self.limits.longest;
        let pictures = others_wait || self.is_around(TrackKind::Video, facts.decode);
        match facts.track {
            TrackKind::Video if facts.key => self.begin_with_pictures(&facts, others_wait),
            TrackKind::Audio if !pictures || overdue => self.begin_at(facts.present, [true, false]),
            _ => CutStep::Drop,
        }
    }

    fn begin_with_pictures(&self, facts: &PacketFacts, others_wait: bool) -> CutStep {
        let sound = others_wait || self.is_around(TrackKind::Audio, facts.decode);
        self.begin_at(facts.present, [sound, true])
    }

    fn begin_at(&self, at: i64, tracks: TracksPresent) -> CutStep {
        let at = at.max(self.floor);
        let end = self.stretch.as_ref().map_or(at, |stretch| at.min(stretch.start + self.limits.longest));
        CutStep::Begin { end, at, tracks }
    }

    fn go_on(&self, facts: PacketFacts, others_wait: bool) -> CutStep {
        let Some(stretch) = &self.stretch else { return CutStep::Drop };
        let index = facts.track as usize;
        let known = stretch.tracks[index];
        let changed = known && self.changes(facts.track, facts.format);
        match facts.track {
            TrackKind::Video if facts.key => {
                let sound = others_wait || self.is_around(TrackKind::Audio, facts.decode);
                let sound_is_new = sound && !stretch.tracks[TrackKind::Audio as usize];
                if !known || changed || stretch.stale || sound_is_new {
                    return self.begin_with_pictures(&facts, others_wait);
                }
                self.cut_at_key(stretch, &facts)
            }
            _ if !known => CutStep::Drop,
            TrackKind::Video => self.cut_if_overlong(stretch, &facts, facts.decode + stretch.delay),
            TrackKind::Audio if !stretch.tracks[TrackKind::Video as usize] => {
                let full = facts.present - stretch.start >= self.limits.slice;
                match (changed, full) {
                    (true, _) => self.begin_at(facts.present, [true, false]),
                    (false, true) => CutStep::Cut { at: facts.present.min(stretch.start + self.limits.longest) },
                    (false, false) => self.cut_if_overlong(stretch, &facts, facts.present),
                }
            }
            // A slice's sound is of one format, and does not begin before the pictures.
            TrackKind::Audio if changed || facts.present < stretch.begin => CutStep::Drop,
            // Pictures decide, unless they do not come any more.
            TrackKind::Audio if facts.present <= stretch.start + self.limits.longest + RECENT => CutStep::Write,
            TrackKind::Audio if facts.present - stretch.ends[TrackKind::Video as usize] > GONE => {
                self.begin_at(facts.present, [true, false])
            }
            TrackKind::Audio => self.cut_if_overlong(stretch, &facts, facts.present),
        }
    }

    fn cut_at_key(&self, stretch: &Stretch, facts: &PacketFacts) -> CutStep {
        if facts.present - stretch.start < self.limits.slice {
            return self.cut_if_overlong(stretch, facts, facts.present);
        }
        let sound = TrackKind::Audio as usize;
        if stretch.tracks[sound] && facts.present - stretch.ends[sound] > GONE {
            return self.begin_at(facts.present, [false, true]);
        }
        CutStep::Cut { at: facts.present.min(stretch.start + self.limits.longest) }
    }

    /// Cuts before a packet with which the slice would be longer than the bound; `boundary` is where it would be cut.
    fn cut_if_overlong(&self, stretch: &Stretch, facts: &PacketFacts, boundary: i64) -> CutStep {
        let bound = stretch.start + self.limits.longest;
        let orderly = facts.end() > stretch.ends[facts.track as usize];
        let latest = if orderly { bound - ORDERLY } else { bound };
        // A picture that is presented before the cut would leave a slice with nothing but it without a length.
        let belongs_before = facts.end() <= boundary.min(bound);
        if boundary + facts.duration <= latest || belongs_before {
            return CutStep::Write;
        }
        CutStep::Cut { at: boundary.clamp(stretch.start + 1, bound) }
    }

    fn apply(&mut self, step: CutStep, facts: &PacketFacts) {
        let index = facts.track as usize;
        if let (CutStep::Drop, Some(stretch)) = (step, &mut self.stretch) {
            stretch.stale |= stretch.tracks[index] && ![0, facts.format].contains(&stretch.formats[index]);
        }
        let stretch = match (step, &mut self.stretch) {
            (CutStep::Begin { at, tracks, .. }, stretch) => stretch.insert(Stretch {
                tracks,
                formats: [0; 2],
                begin: at,
                start: at,
                delay: 0,
                ends: [at; 2],
                stale: false,
            }),
            (CutStep::Cut { at }, Some(stretch)) => {
                stretch.start = at;
                stretch
            }
            (CutStep::Write, Some(stretch)) => stretch,
            _ => return,
        };
        stretch.formats[index] = facts.format;
        stretch.ends[index] = stretch.ends[index].max(facts.end());
        if facts.track == TrackKind::Video && facts.key {
            stretch.delay = facts.present - facts.decode;
        }
        self.floor = self.floor.max(stretch.start);
        self.waiting_since = None;
    }
}

#[cfg(test)]
#[path = "cutter_tests.rs"]
mod tests;

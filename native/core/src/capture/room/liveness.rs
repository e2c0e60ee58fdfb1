// SPDX-License-Identifier: Apache-2.0
//! Who sends nothing any more, though the server has not noticed: it takes it twenty seconds. Pure.

use crate::capture::clock::{Nanos, SECOND};

/// Whose packets have ceased for so long is gone: sound that is silent is still sent a few times a second. Figures are
/// up to a second old, and somebody who dies is to be gone within four.
const SILENCE: Nanos = 5 * SECOND / 2;

/// How much came of one track, and when that was more than before.
#[derive(Debug, Clone, Default)]
pub struct Received {
    bytes: u64,
    grown: Option<Nanos>,
}

impl Received {
    /// So many bytes have come until `now`.
    pub fn note(&mut self, bytes: u64, now: Nanos) {
        if bytes != self.bytes || self.grown.is_none() {
            (self.bytes, self.grown) = (bytes, Some(now));
        }
    }

    /// Nothing has come until `now`; that is not known before it was asked for.
    pub fn note_nothing(&mut self, now: Nanos) {
        self.grown.get_or_insert(now);
    }

    /// From `now` on something should come: what did not before is no matter.
    pub fn await_from(&mut self, now: Nanos) {
        self.grown = self.grown.map(|_| now);
    }

    /// When something came last, as far as is known.
    pub fn last(&self) -> Option<Nanos> {
        self.grown.filter(|_| self.bytes > 0)
    }
}

/// What is known of a track of somebody.
#[derive(Debug, Clone, Copy)]
pub struct TrackPulse<'a> {
    pub muted: bool,
    /// It may be still, as a screen on which nothing moves: then nothing of it is sent, for as long as that lasts.
    pub may_be_still: bool,
    pub received: &'a Received,
}

/// Whether somebody with these tracks is gone: of all that is not muted nothing comes any more, and something should.
pub fn is_gone<'a>(tracks: impl Iterator<Item = TrackPulse<'a>>, now: Nanos) -> bool {
    let mut missed = false;
    for pulse in tracks.filter(|pulse| !pulse.muted) {
        // Of what has not come yet nothing is known.
        let Some(grown) = pulse.received.grown else { return false };
        if now - grown < SILENCE {
            return false;
        }
        missed |= !pulse.may_be_still;
    }
    missed
}

/// A track that somebody offers, wanted and not muted, of which nothing has come so far.
#[derive(Debug, Clone, Copy)]
pub struct DueTrack {
    /// It was there before the recorder was.
    pub found: bool,
    /// As of a pulse.
    pub may_be_still: bool,
}

/// Whether somebody with these tracks may have died before the recorder came: something should come, and nobody has done
/// anything since that shows life.
pub fn may_be_dead(tracks: impl Iterator<Item = DueTrack>) -> bool {
    let mut missed = false;
    for track in tracks {
        if !track.found {
            return false;
        }
        missed |= !track.may_be_still;
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it was asked for first of what never came.
    const NEVER: Nanos = 99;

    #[test]
    fn dead_may_be_whoever_was_there_before_and_should_send_something() {
        let (found, still) = (true, true);
        for (tracks, expected) in [
            (vec![], false),
            (vec![(found, !still)], true),
            (vec![(found, still)], false),
            (vec![(found, still), (found, !still)], true),
            (vec![(found, !still), (!found, !still)], false),
            (vec![(!found, !still)], false),
        ] {
            let due =
                tracks.iter().map(|(found, may_be_still)| DueTrack { found: *found, may_be_still: *may_be_still });
            assert_eq!(may_be_dead(due), expected, "{tracks:?}");
        }
    }

    #[test]
    fn who_was_muted_for_long_is_not_gone_at_once_when_that_ends() {
        let mut received = Received::default();
        received.note(100, SECOND);
        let gone = |received: &Received, now| {
            is_gone([TrackPulse { muted: false, may_be_still: false, received }].into_iter(), now)
        };
        assert!(gone(&received, 60 * SECOND));
        received.await_from(60 * SECOND);
        received.note(100, 61 * SECOND);
        assert!(!gone(&received, 62 * SECOND));
        assert!(gone(&received, 63 * SECOND));
    }

    #[test]
    fn gone_is_of_whom_nothing_comes_that_is_not_muted() {
        let came = |at: Option<Nanos>| {
            let mut received = Received::default();
            match at {
                Some(NEVER) => {
                    received.note_nothing(NEVER * SECOND);
                    received.note_nothing((NEVER + 1) * SECOND);
                    assert_eq!(received.last(), None);
                }
                Some(at) => {
                    received.note(100, at * SECOND);
                    received.note(100, 50 * SECOND);
                }
                None => {}
            }
            received
        };
        let (muted, screen) = (true, true);
        for (tracks, now, expected) in [
            (vec![], 60, false),
            (vec![(!muted, !screen, Some(50))], 52, false),
            (vec![(!muted, !screen, Some(50))], 53, true),
            (vec![(!muted, !screen, Some(52))], 54, false),
            (vec![(!muted, !screen, Some(40)), (!muted, !screen, Some(52))], 54, false),
            (vec![(!muted, !screen, Some(40)), (muted, !screen, Some(52))], 54, true),
            (vec![(muted, !screen, Some(40))], 60, false),
            (vec![(!muted, screen, Some(50))], 600, false),
            (vec![(!muted, screen, Some(50)), (muted, !screen, Some(50))], 600, false),
            (vec![(!muted, screen, Some(52)), (!muted, !screen, Some(50))], 54, false),
            (vec![(!muted, screen, Some(50)), (!muted, !screen, Some(50))], 53, true),
            (vec![(!muted, !screen, None)], 60, false),
            (vec![(!muted, !screen, Some(NEVER))], NEVER + 2, false),
            (vec![(!muted, !screen, Some(NEVER))], NEVER + 3, true),
        ] {
            let received: Vec<_> = tracks.iter().map(|(muted, screen, at)| (*muted, *screen, came(*at))).collect();
            let pulses = received.iter().map(|(muted, screen, received)| TrackPulse {
                muted: *muted,
                may_be_still: *screen,
                received,
            });
            assert_eq!(is_gone(pulses, now * SECOND), expected, "{tracks:?} at {now}");
        }
    }
}

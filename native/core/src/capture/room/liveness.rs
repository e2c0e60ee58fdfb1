// SPDX-License-Identifier: Apache-2.0
//! Who sends nothing any more, though the server has not noticed: it takes it twenty seconds. Pure.

use crate::capture::clock::{Nanos, SECOND};

/// Whose packets have ceased for so long is gone: sound that is silent is still sent a few times a second.
const SILENCE: Nanos = 3 * SECOND;

/// A screen on which nothing moves may be sent seldom.
const SCREEN_SILENCE: Nanos = 10 * SECOND;

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
}

/// What is known of a track of somebody.
#[derive(Debug, Clone, Copy)]
pub struct TrackPulse<'a> {
    pub muted: bool,
    pub screen: bool,
    pub received: &'a Received,
}

/// Whether somebody with these tracks is gone: of all that is not muted nothing comes any more.
pub fn is_gone<'a>(tracks: impl Iterator<Item = TrackPulse<'a>>, now: Nanos) -> bool {
    let mut silent = 0;
    for pulse in tracks.filter(|pulse| !pulse.muted) {
        // Of what has not come yet nothing is known.
        let Some(grown) = pulse.received.grown else { return false };
        if now - grown < if pulse.screen { SCREEN_SILENCE } else { SILENCE } {
            return false;
        }
        silent += 1;
    }
    silent > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_is_of_whom_nothing_comes_that_is_not_muted() {
        let came = |at: Option<Nanos>| {
            let mut received = Received::default();
            if let Some(at) = at {
                received.note(100, at * SECOND);
                received.note(100, 50 * SECOND);
            }
            received
        };
        let (muted, screen) = (true, true);
        for (tracks, now, expected) in [
            (vec![], 60, false),
            (vec![(!muted, !screen, Some(50))], 52, false),
            (vec![(!muted, !screen, Some(50))], 53, true),
            (vec![(!muted, !screen, Some(40)), (!muted, !screen, Some(52))], 54, false),
            (vec![(!muted, !screen, Some(40)), (muted, !screen, Some(52))], 54, true),
            (vec![(muted, !screen, Some(40))], 60, false),
            (vec![(!muted, screen, Some(50))], 59, false),
            (vec![(!muted, screen, Some(50))], 60, true),
            (vec![(!muted, screen, Some(50)), (!muted, !screen, Some(50))], 55, false),
            (vec![(!muted, !screen, None)], 60, false),
        ] {
            let received: Vec<_> = tracks.iter().map(|(muted, screen, at)| (*muted, *screen, came(*at))).collect();
            let pulses = received.iter().map(|(muted, screen, received)| TrackPulse {
                muted: *muted,
                screen: *screen,
                received,
            });
            assert_eq!(is_gone(pulses, now * SECOND), expected, "{tracks:?} at {now}");
        }
    }
}

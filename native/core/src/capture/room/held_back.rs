// SPDX-License-Identifier: Apache-2.0
//! How long the client library holds a track's media back, by its own running totals. Pure.

use crate::capture::clock::{Nanos, MILLISECOND, SECOND};

/// What a buffer against the network's jitter can be believed to hold.
pub const MOST_HELD: Nanos = 300 * MILLISECOND;

/// What is held as long as the network is quiet, which counts before anything is known.
pub const USUAL: Nanos = 30 * MILLISECOND;

/// Further off, what was taken to be held is plainly wrong.
const JUMP: Nanos = 150 * MILLISECOND;

/// What is found moves what is taken to be held by one part in so many: from one second to the next it is off by what the
/// network's jitter happens to do.
const WEIGHT: Nanos = 4;

/// Of a running total of seconds, and of how many pieces took them, what one piece took lately.
#[derive(Debug, Default)]
pub struct Lately {
    totals: (f64, u64),
}

impl Lately {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // seconds that media is held back are few
    pub fn of(&mut self, seconds: f64, pieces: u64) -> Option<Nanos> {
        let (earlier, count) = std::mem::replace(&mut self.totals, (seconds, pieces));
        (pieces > count && seconds >= earlier)
            .then(|| ((seconds - earlier) / (pieces - count) as f64 * SECOND as f64) as Nanos)
    }
}

/// What is taken to be held back, as far as it is known.
#[derive(Debug)]
pub struct HeldBack {
    held: Nanos,
    known: bool,
}

impl Default for HeldBack {
    fn default() -> Self {
        Self { held: USUAL, known: false }
    }
}

impl HeldBack {
    pub fn get(&self) -> Nanos {
        self.held
    }

    /// So much was held back lately.
    pub fn note(&mut self, found: Nanos) {
        let off = found.clamp(0, MOST_HELD) - self.held;
        self.held += if std::mem::replace(&mut self.known, true) && off.abs() <= JUMP { off / WEIGHT } else { off };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken to be held back when so many milliseconds were, second after second.
    fn taken(found: impl IntoIterator<Item = Nanos>) -> Vec<Nanos> {
        let mut held = HeldBack::default();
        let second = |found: Nanos| {
            held.note(found * MILLISECOND);
            held.get() / MILLISECOND
        };
        found.into_iter().map(second).collect()
    }

    #[test]
    fn what_is_found_first_counts_at_once_and_later_it_is_approached() {
        assert_eq!(taken([100, 100, 60, 60, 60, 60]), [100, 100, 90, 82, 76, 72]);
        assert_eq!(taken([20, 20, 200]), [20, 20, 200], "far off is plainly wrong");
        assert_eq!(taken([4000, -20]), [300, 0], "nonsense is bounded");
    }

    #[test]
    fn totals_that_do_not_grow_tell_nothing() {
        let mut lately = Lately::default();
        let found =
            [(0.0, 0), (48.0, 4800), (48.0, 4800), (1.0, 9600), (1.0, 9700)].map(|(sum, of)| lately.of(sum, of));
        assert_eq!(found, [None, Some(10 * MILLISECOND), None, None, Some(0)]);
    }
}

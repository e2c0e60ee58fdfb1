// SPDX-License-Identifier: Apache-2.0
//! How long the client library holds a track's media back, by its own running totals. Pure.

use std::collections::VecDeque;

use crate::capture::clock::{Nanos, MILLISECOND, SECOND};

/// What a buffer against the network's jitter can be believed to hold.
pub const MOST_HELD: Nanos = 300 * MILLISECOND;

/// What it holds, with what it takes to play or to decode, as long as the network is quiet.
pub const USUAL: Nanos = 30 * MILLISECOND;

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

/// What is taken to be held back: the middle one of the last `OF` that were found, as if what is usual had been found first. Of
/// one it is what was found last.
#[derive(Debug)]
pub struct HeldBack<const OF: usize> {
    found: VecDeque<Nanos>,
}

impl<const OF: usize> Default for HeldBack<OF> {
    fn default() -> Self {
        Self { found: VecDeque::from([USUAL]) }
    }
}

impl<const OF: usize> HeldBack<OF> {
    pub fn get(&self) -> Nanos {
        let mut sorted: Vec<Nanos> = self.found.iter().copied().collect();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) / 2]
    }

    /// So much was held back lately.
    pub fn note(&mut self, found: Nanos) {
        self.found.truncate(OF - 1);
        self.found.push_front(found.clamp(0, MOST_HELD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken to be held back when so many milliseconds were, second after second.
    fn taken<const OF: usize>(found: impl IntoIterator<Item = Nanos>) -> Vec<Nanos> {
        let mut held = HeldBack::<OF>::default();
        assert_eq!(held.get(), USUAL);
        let second = |found: Nanos| {
            held.note(found * MILLISECOND);
            held.get() / MILLISECOND
        };
        found.into_iter().map(second).collect()
    }

    #[test]
    fn one_that_is_far_off_moves_nothing_where_the_middle_of_five_counts() {
        assert_eq!(taken::<5>([146, 740, 25, 35, 24, 47, 25, 1, 71]), [30, 146, 30, 35, 35, 35, 25, 25, 25]);
        assert_eq!(taken::<5>([20, 20, 20, 90, 90, 90]), [20, 20, 20, 20, 20, 90], "what lasts counts");
    }

    #[test]
    fn what_was_found_last_counts_at_once_where_it_alone_does() {
        assert_eq!(taken::<1>([44, 67, 241, 158]), [44, 67, 241, 158]);
        assert_eq!(taken::<1>([4000, -20]), [300, 0], "nonsense is bounded");
    }

    #[test]
    fn totals_that_do_not_grow_tell_nothing() {
        let mut lately = Lately::default();
        let found =
            [(0.0, 0), (48.0, 4800), (48.0, 4800), (1.0, 9600), (1.0, 9700)].map(|(sum, of)| lately.of(sum, of));
        assert_eq!(found, [None, Some(10 * MILLISECOND), None, None, Some(0)]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! How long to wait between two connections of the same source or room.

use std::time::Duration;

use super::clock::nanos;

/// Pauses between attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A connection that ends sooner after joining is flapping: the next pause is longer, as after a failure.
const STEADY: Duration = Duration::from_secs(20);

/// The pauses of one source or room.
pub struct ReconnectPauses {
    next: Duration,
}

impl ReconnectPauses {
    pub fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    /// The pause before the next connection, in nanoseconds, after one that `lasted` so many; none where nobody joined.
    pub fn after(&mut self, lasted: Option<i64>) -> i64 {
        if lasted.is_some_and(|lasted| lasted >= nanos(STEADY)) {
            self.next = FIRST_PAUSE;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        nanos(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew_after_what_was_steady_alone() {
        let mut pauses = ReconnectPauses::new();
        let flapping = Some(nanos(STEADY) - 1);
        let seen: Vec<_> = [None, flapping, None, None, None, None].map(|lasted| pauses.after(lasted)).to_vec();
        assert_eq!(seen, [500, 1000, 2000, 4000, 8000, 8000].map(|millis| nanos(Duration::from_millis(millis))));
        assert_eq!(pauses.after(Some(nanos(STEADY))), nanos(FIRST_PAUSE));
    }
}

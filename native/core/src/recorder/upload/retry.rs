// SPDX-License-Identifier: Apache-2.0
//! When what a store refuses is tried again: after pauses that grow; and which causes were reported.

use std::collections::HashSet;
use std::mem::{discriminant, Discriminant};
use std::time::Duration;

use crate::storage::failure::StoreCause;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Default)]
pub struct RetryState {
    reported: HashSet<Discriminant<StoreCause>>,
    attempts: u32,
}

impl RetryState {
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.attempts == 0
    }

    pub fn is_new(&mut self, cause: &StoreCause) -> bool {
        self.reported.insert(discriminant(cause))
    }

    /// True if anything had failed.
    pub fn recover(&mut self) -> bool {
        !std::mem::take(self).reported.is_empty()
    }

    /// How long to wait before the next attempt: doubling, with jitter, so that recorders do not come back all at once.
    pub fn pause(&mut self) -> Duration {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_until_the_store_recovers() {
        let mut retry = RetryState::default();
        assert!(!retry.recover());
        assert!(retry.is_new(&StoreCause::AccessDenied));
        assert!(!retry.is_new(&StoreCause::AccessDenied));
        assert!(retry.is_new(&StoreCause::Timeout));
        assert!(retry.recover());
        assert!(retry.is_new(&StoreCause::AccessDenied));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut retry = RetryState::default();
        assert!(retry.is_clear());
        assert!(retry.pause() <= FIRST_PAUSE);
        assert!(!retry.is_clear());
        let late = (0..40).map(|_| retry.pause()).last().unwrap();
        assert!(late >= LONGEST_PAUSE / 2 && late <= LONGEST_PAUSE);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! When what a store refuses is tried again: after pauses that grow; and which causes were reported.

use std::collections::HashSet;
use std::mem::{discriminant, Discriminant};
use std::time::Duration;

use crate::storage::failure::StoreCause;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A store is left alone for so long at its own wish: one that is wrong about it must not stop uploads.
const LONGEST_WISH: Duration = Duration::from_secs(120);

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

    /// How long to wait before the next attempt: doubling, with jitter, so that recorders do not come back all at once,
    /// and no shorter than the store wants it.
    pub fn pause(&mut self, wish: Option<Duration>) -> Duration {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        let pause = longest.mul_f64(rand::random_range(0.5..=1.0));
        wish.map_or(pause, |wish| pause.max(wish.min(LONGEST_WISH).mul_f64(rand::random_range(1.0..=1.2))))
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
        assert!(retry.pause(None) <= FIRST_PAUSE);
        assert!(!retry.is_clear());
        let late = (0..40).map(|_| retry.pause(None)).last().unwrap();
        assert!(late >= LONGEST_PAUSE / 2 && late <= LONGEST_PAUSE);
    }

    #[test]
    fn a_store_is_left_alone_for_as_long_as_it_wants_and_no_longer_than_is_sensible() {
        let pause = |wish: u64| RetryState::default().pause(Some(Duration::from_secs(wish)));
        assert!(pause(0) <= FIRST_PAUSE);
        let short = pause(30);
        assert!(short >= Duration::from_secs(30) && short <= Duration::from_secs(36), "{short:?}");
        let long = pause(u64::MAX / 4);
        assert!(long >= LONGEST_WISH && long <= LONGEST_WISH.mul_f64(1.2), "{long:?}");
    }
}

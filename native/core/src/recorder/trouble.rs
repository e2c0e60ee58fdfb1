// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a store at present: told once for each kind, and tried again after pauses that grow.

use std::collections::HashSet;
use std::mem::{discriminant, Discriminant};
use std::time::Duration;

use crate::storage::failure::Cause;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Default)]
pub struct Trouble {
    told: HashSet<Discriminant<Cause>>,
    attempts: u32,
}

impl Trouble {
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.attempts == 0
    }

    pub fn is_new(&mut self, cause: &Cause) -> bool {
        self.told.insert(discriminant(cause))
    }

    /// True if there was trouble.
    pub fn heal(&mut self) -> bool {
        !std::mem::take(self).told.is_empty()
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
    fn each_kind_of_trouble_is_told_once_until_it_heals() {
        let mut trouble = Trouble::default();
        assert!(!trouble.heal());
        assert!(trouble.is_new(&Cause::AccessDenied));
        assert!(!trouble.is_new(&Cause::AccessDenied));
        assert!(trouble.is_new(&Cause::Timeout));
        assert!(trouble.heal());
        assert!(trouble.is_new(&Cause::AccessDenied));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut trouble = Trouble::default();
        assert!(trouble.is_none());
        assert!(trouble.pause() <= FIRST_PAUSE);
        assert!(!trouble.is_none());
        let late = (0..40).map(|_| trouble.pause()).last().unwrap();
        assert!(late >= LONGEST_PAUSE / 2 && late <= LONGEST_PAUSE);
    }
}

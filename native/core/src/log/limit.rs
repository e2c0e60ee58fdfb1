// SPDX-License-Identifier: Apache-2.0
//! How many lines of one kind there are in a minute, so that a failing store does not flood the log. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Far more of one kind than a healthy recording has.
const MOST: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

pub struct LineLimit<Kind> {
    kinds: HashMap<Kind, LineCount>,
}

struct LineCount {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl<Kind: Eq + Hash> LineLimit<Kind> {
    pub fn new() -> Self {
        Self { kinds: HashMap::new() }
    }

    /// Whether a line of this kind is written: then with the number of those like it that were not since the last one.
    pub fn admit(&mut self, kind: Kind, now: Instant) -> Option<u64> {
        let count = self.kinds.entry(kind).or_insert(LineCount { since: now, lines: 0, left_out: 0 });
        if now.duration_since(count.since) >= MINUTE {
            (count.since, count.lines) = (now, 0);
        }
        if count.lines == MOST {
            count.left_out += 1;
            return None;
        }
        count.lines += 1;
        Some(std::mem::take(&mut count.left_out))
    }

    /// A line that was admitted was not written after all.
    pub fn lost(&mut self, kind: &Kind, left_out: u64) {
        if let Some(count) = self.kinds.get_mut(kind) {
            count.left_out += left_out + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_so_many_lines_in_a_minute_and_the_next_says_how_many_were_left_out() {
        let mut limit = LineLimit::new();
        let start = Instant::now();
        for _ in 0..MOST {
            assert_eq!(limit.admit('a', start), Some(0));
        }
        assert_eq!(limit.admit('a', start + MINUTE / 2), None);
        assert_eq!(limit.admit('a', start + MINUTE / 2), None);
        assert_eq!(limit.admit('b', start + MINUTE / 2), Some(0));
        assert_eq!(limit.admit('a', start + MINUTE), Some(2));
        limit.lost(&'a', 2);
        assert_eq!(limit.admit('a', start + MINUTE), Some(3));
        assert_eq!(limit.admit('a', start + MINUTE), Some(0));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! How much memory libav's calls take: what a source sends may ask for more than there is.

use std::sync::atomic::{AtomicUsize, Ordering};

/// All calls of libav that are under way may take so much memory together. Containers are read into memory as far as their
/// headers and lists go, and a hostile one never ends.
const MOST_GROWTH: usize = 96 << 20;

/// Only calls that took a part of this size can be the cause.
const OWN_PART: usize = MOST_GROWTH / 6;

/// Memory is given back to the system after a call that took so much and failed: or the next would begin from there.
const WORTH_GIVING_BACK: usize = 32 << 20;

const PAGE: usize = 4096;

/// What the calls under way have taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// What memory a call has taken, as far as it was the first to touch it: what is used again makes nothing grow.
#[derive(Default)]
pub struct Growth {
    /// What its thread had touched as the call began.
    before: Option<usize>,
    own: usize,
}

impl Growth {
    /// Whether the call is beyond all measure.
    pub fn measure(&mut self) -> bool {
        let now = touched_by_this_thread();
        let own = now.saturating_sub(*self.before.get_or_insert(now));
        TAKEN.fetch_add(own.saturating_sub(self.own), Ordering::Relaxed);
        self.own = self.own.max(own);
        self.own > OWN_PART && TAKEN.load(Ordering::Relaxed) > MOST_GROWTH
    }

    /// The call has failed, and what it had allocated is free again.
    pub fn give_back(&self) {
        if self.own > WORTH_GIVING_BACK {
            // SAFETY: may be called at any time; it only looks after memory that nobody has.
            unsafe { libc::malloc_trim(0) };
        }
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.own, Ordering::Relaxed);
    }
}

fn touched_by_this_thread() -> usize {
    // SAFETY: the structure holds numbers alone, so that zero is a value of each; the call only fills them in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    usize::try_from(usage.ru_minflt).unwrap_or(0) * PAGE
}

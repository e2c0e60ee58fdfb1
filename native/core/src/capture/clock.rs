// SPDX-License-Identifier: Apache-2.0
//! Time as a parameter: the machine's clock for recording, a virtual one for tests and for work faster than real time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::api::UtcMillis;
use crate::locked::Locked;

/// Nanoseconds since the clock was made.
pub type Nanos = i64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

/// `duration` in nanoseconds, at most what the type holds.
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// `nanos` as a duration; nothing when negative.
#[must_use]
pub fn duration(nanos: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// `value` in another unit, of which `factor` are as long as `divisor` of its own; rounded down.
#[must_use]
pub fn rescaled(value: i64, factor: i64, divisor: i64) -> i64 {
    i64::try_from((i128::from(value) * i128::from(factor)).div_euclid(i128::from(divisor))).unwrap_or(i64::MAX)
}

/// Tells the threads of one capture to end, and wakes those that wait.
#[derive(Debug, Default)]
pub struct StopSignal {
    raised: AtomicBool,
    guard: Mutex<()>,
    changed: Condvar,
    dependents: Mutex<Vec<Weak<Self>>>,
}

impl StopSignal {
    pub fn raise(&self) {
        let guard = lock(&self.guard);
        self.raised.store(true, Ordering::SeqCst);
        drop(guard);
        self.changed.notify_all();
        let dependents = std::mem::take(&mut *lock(&self.dependents));
        dependents.iter().filter_map(Weak::upgrade).for_each(|dependent| dependent.raise());
    }

    /// A signal for a part of the work, which is raised with this one, or before.
    #[must_use]
    pub fn dependent(&self) -> Arc<Self> {
        let dependent = Arc::<Self>::default();
        let mut dependents = lock(&self.dependents);
        dependents.retain(|known| known.strong_count() > 0);
        dependents.push(Arc::downgrade(&dependent));
        drop(dependents);
        // It may have been raised just before anybody knew.
        if self.is_raised() {
            dependent.raise();
        }
        dependent
    }

    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    fn wait(&self, timeout: Duration) {
        let guard = lock(&self.guard);
        let woken = self.changed.wait_timeout_while(guard, timeout, |()| !self.is_raised());
        drop(woken);
    }
}

/// The machine's monotonic clock, from which `MonotonicClock` is made.
#[must_use]
pub fn monotonic_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

/// What the parts of a capture know of time.
pub trait Clock: Send + Sync {
    /// Never runs backwards, and does not care what is done to the wall clock.
    fn now(&self) -> Nanos;

    /// The wall clock's reading when this clock was made.
    fn anchor(&self) -> UtcMillis;

    /// Returns at `deadline`, or earlier when `stop` is raised.
    fn wait_until(&self, deadline: Nanos, stop: &StopSignal);

    /// False where time waits for the work, so that nothing is ever late.
    fn is_live(&self) -> bool;

    /// A thread that waits by this clock begins its work; `leave` ends it.
    fn enter(&self) {}

    fn leave(&self) {}

    /// Anchor plus monotonic time: names and time stamps stay in order even while the wall clock is set.
    fn utc(&self, at: Nanos) -> UtcMillis {
        UtcMillis(self.anchor().0 + at.div_euclid(MILLISECOND))
    }
}

/// Marks the current thread as one that the clock must not outrun, until dropped.
pub struct ClockHold(Arc<dyn Clock>);

impl ClockHold {
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        clock.enter();
        Self(Arc::clone(clock))
    }
}

impl Drop for ClockHold {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// `CLOCK_MONOTONIC` with one reading of the wall clock.
pub struct MonotonicClock {
    origin: Instant,
    anchor: UtcMillis,
}

impl MonotonicClock {
    #[must_use]
    pub fn new() -> Self {
        Self::not_before(UtcMillis(0))
    }

    /// A clock that begins at `earliest` where the wall clock is behind that: it may have been set back since an earlier
    /// process recorded up to there.
    #[must_use]
    pub fn not_before(earliest: UtcMillis) -> Self {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let utc = UtcMillis(i64::try_from(utc.as_millis()).unwrap_or(0));
        Self { origin: Instant::now(), anchor: utc.max(earliest) }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Nanos {
        nanos(self.origin.elapsed())
    }

    fn anchor(&self) -> UtcMillis {
        self.anchor
    }

    fn wait_until(&self, deadline: Nanos, stop: &StopSignal) {
        let left = deadline - self.now();
        if left > 0 && !stop.is_raised() {
            stop.wait(duration(left));
        }
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Time that stands still while any thread works, and jumps to the next deadline once all of them wait.
///
/// An hour of a recording passes as fast as its media can be worked through, and always in the same order.
pub struct VirtualClock {
    anchor: UtcMillis,
    state: Mutex<VirtualState>,
}

#[derive(Default)]
struct VirtualState {
    now: Nanos,
    workers: usize,
    waiting: Vec<(Nanos, Thread)>,
}

impl VirtualClock {
    #[must_use]
    pub fn new(anchor: UtcMillis) -> Self {
        Self { anchor, state: Mutex::default() }
    }
}

impl VirtualState {
    /// Wakes those alone whose time has come: with many sources, waking all of them would cost more than their work.
    fn advance_if_all_wait(&mut self) {
        if self.waiting.len() < self.workers {
            return;
        }
        if let Some(next) = self.waiting.iter().map(|(deadline, _)| *deadline).min() {
            self.now = self.now.max(next);
            self.waiting.iter().filter(|(deadline, _)| *deadline <= self.now).for_each(|(_, thread)| thread.unpark());
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Nanos {
        lock(&self.state).now
    }

    fn anchor(&self) -> UtcMillis {
        self.anchor
    }

    fn wait_until(&self, deadline: Nanos, stop: &StopSignal) {
        let current = thread::current();
        let mut state = lock(&self.state);
        state.waiting.push((deadline, current.clone()));
        state.advance_if_all_wait();
        while state.now < deadline && !stop.is_raised() {
            drop(state);
            // The time-out only serves a stop, which has no part in virtual time.
            thread::park_timeout(Duration::from_millis(20));
            state = lock(&self.state);
        }
        state.waiting.retain(|(_, thread)| thread.id() != current.id());
    }

    fn is_live(&self) -> bool {
        false
    }

    fn enter(&self) {
        lock(&self.state).workers += 1;
    }

    fn leave(&self) {
        let mut state = lock(&self.state);
        state.workers -= 1;
        state.advance_if_all_wait();
    }
}

/// Locks, also after another thread panicked: such a panic already ends the capture.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.locked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_moves_only_when_every_worker_waits() {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(UtcMillis(0)));
        let stop = Arc::new(StopSignal::default());
        let presences = [ClockHold::new(&clock), ClockHold::new(&clock)];
        let threads: Vec<_> = presences
            .into_iter()
            .zip([3, 5])
            .map(|(presence, step)| {
                let (clock, stop) = (Arc::clone(&clock), Arc::clone(&stop));
                thread::spawn(move || {
                    for count in 1..=60 / step {
                        clock.wait_until(count * step * SECOND, &stop);
                        assert_eq!(clock.now(), count * step * SECOND);
                    }
                    drop(presence);
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("the worker saw the time it waited for");
        }
        assert_eq!(clock.now(), 60 * SECOND);
    }

    #[test]
    fn a_stop_of_the_whole_stops_its_parts_and_not_the_other_way_round() {
        let whole = StopSignal::default();
        let [part, other] = [whole.dependent(), whole.dependent()];
        part.raise();
        assert!(!whole.is_raised() && !other.is_raised());
        whole.raise();
        assert!(other.is_raised() && whole.dependent().is_raised());
    }

    #[test]
    fn a_stop_ends_a_wait_at_once() {
        let clock = MonotonicClock::new();
        let stop = StopSignal::default();
        stop.raise();
        clock.wait_until(3600 * SECOND, &stop);
        assert!(clock.now() < 60 * SECOND);
    }
}

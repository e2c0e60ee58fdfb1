// SPDX-License-Identifier: Apache-2.0
//! What is missing of a recording, and why: holes between slices, with the reasons that were stated. Pure.

/// Starts are rounded to milliseconds, durations are not: ends and starts this close are the same moment.
pub const ROUNDING: i64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub start: i64,
    pub stop: i64,
    pub reason: String,
}

/// What was stated of gaps, found by time: there may be thousands, and as many holes that they explain.
pub struct GapExplanations<'a> {
    by_start: Vec<&'a Gap>,
    /// For each, where the last of those up to it stops.
    stops: Vec<i64>,
    /// When the recording was taken up again.
    resumed: &'a [i64],
}

impl<'a> GapExplanations<'a> {
    #[must_use]
    pub fn new(gaps: &'a [Gap], resumed: &'a [i64]) -> Self {
        let mut by_start: Vec<&Gap> = gaps.iter().collect();
        by_start.sort_by_key(|gap| gap.start);
        let stops = by_start.iter().scan(i64::MIN, |latest, gap| {
            *latest = gap.stop.max(*latest);
            Some(*latest)
        });
        Self { stops: stops.collect(), by_start, resumed }
    }

    /// Those that stop after `from` and start before `to`, in the order of their starts.
    fn within(&self, from: i64, to: i64) -> impl Iterator<Item = &'a Gap> + '_ {
        let first = self.stops.partition_point(|stop| *stop <= from);
        let last = self.by_start.partition_point(|gap| gap.start < to);
        self.by_start[first.min(last)..last].iter().filter(move |gap| gap.stop > from).copied()
    }

    /// The hole as gaps with the reasons that were stated for its parts.
    pub fn explain(&self, start: i64, stop: i64, gaps: &mut Vec<Gap>) {
        let mut at = start;
        for gap in self.within(start + ROUNDING, stop - ROUNDING) {
            if gap.start > at + ROUNDING {
                gaps.push(self.unstated(at, gap.start));
                at = gap.start;
            }
            let end = if gap.stop > stop - ROUNDING { stop } else { gap.stop };
            if end > at {
                gaps.push(Gap { start: at, stop: end, reason: gap.reason.clone() });
                at = end;
            }
        }
        if at < stop {
            gaps.push(self.unstated(at, stop));
        }
    }

    fn unstated(&self, start: i64, stop: i64) -> Gap {
        let restarted = self.resumed.iter().any(|at| (start..=stop).contains(at));
        let reason = if restarted { "RecorderRestarted" } else { "NotRecorded" };
        Gap { start, stop, reason: reason.to_owned() }
    }
}

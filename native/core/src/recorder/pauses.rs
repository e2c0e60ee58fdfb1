// SPDX-License-Identifier: Apache-2.0
//! The times during which capture was paused by order, and why. Pure.

use crate::recorder::machine::Pause;
use crate::recorder::shared::PauseStatus;

#[derive(Default)]
pub struct Pauses(Vec<PauseSpan>);

struct PauseSpan {
    start: i64,
    stop: Option<i64>,
    pause: Pause,
    /// When the first of those began that followed each other up to this one.
    since: i64,
}

impl Pauses {
    /// Another pause, or none, from now on.
    pub fn set(&mut self, pause: Option<Pause>, now: i64) {
        let mut since = now;
        if let Some(span) = self.0.last_mut().filter(|span| span.stop.is_none()) {
            span.stop = Some(now);
            since = span.since;
        }
        if let Some(pause) = pause {
            self.0.push(PauseSpan { start: now, stop: None, pause, since });
        }
    }

    /// The pause that is under way, for the snapshot.
    #[must_use]
    pub fn status(&self) -> Option<PauseStatus> {
        let span = self.0.last().filter(|span| span.stop.is_none())?;
        Some(PauseStatus { reason: span.pause.reason(), since: span.since })
    }

    /// Since when the recording is paused for its present reason, and the reason.
    #[must_use]
    pub fn under_way(&self) -> Option<(i64, &'static str)> {
        let span = self.0.last().filter(|span| span.stop.is_none())?;
        Some((span.start, span.pause.reason()))
    }

    /// Why nothing was recorded in that time, if it was by order.
    #[must_use]
    pub fn reason(&self, start: i64, stop: i64) -> Option<&'static str> {
        let overlaps = |span: &&PauseSpan| span.start < stop && span.stop.is_none_or(|end| end > start);
        self.0.iter().find(overlaps).map(|span| span.pause.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_goes_on_under_another_reason_and_each_gap_has_its_own() {
        let mut pauses = Pauses::default();
        assert_eq!((pauses.status(), pauses.under_way()), (None, None));
        pauses.set(Some(Pause::Asked), 10);
        pauses.set(Some(Pause::WorkVolumeFull), 20);
        assert_eq!(pauses.status(), Some(PauseStatus { reason: "WorkVolumeFull", since: 10 }));
        assert_eq!(pauses.under_way(), Some((20, "WorkVolumeFull")));
        pauses.set(None, 30);
        assert_eq!((pauses.status(), pauses.under_way()), (None, None));
        for (start, stop, reason) in
            [(0, 10, None), (0, 11, Some("Paused")), (20, 30, Some("WorkVolumeFull")), (30, 40, None)]
        {
            assert_eq!(pauses.reason(start, stop), reason, "{start} to {stop}");
        }
        pauses.set(Some(Pause::Asked), 50);
        assert_eq!(pauses.status(), Some(PauseStatus { reason: "Paused", since: 50 }));
        assert_eq!(pauses.reason(60, 70), Some("Paused"));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Who was there when, as the catalog is to have it: who is back within a minute has not been away.
//!
//! A source that joins and leaves thousands of times would fill journal and manifest otherwise. How often somebody came back
//! is counted, and stands with the presence.

use std::collections::BTreeMap;

use crate::catalog::record::Record;

/// Whoever is away for longer has left.
const AWAY_MILLISECONDS: i64 = 60_000;

#[derive(Debug, Default)]
pub struct Attendance(BTreeMap<u32, Stay>);

#[derive(Debug, Default)]
struct Stay {
    /// Since when the participant is away.
    left: Option<i64>,
    returns: u32,
}

impl Attendance {
    /// What is to be written when a participant joins; nothing for one who is there, or was a moment ago.
    pub fn joined(&mut self, uid: u32, at: i64) -> Option<Record> {
        let Some(stay) = self.0.get_mut(&uid) else {
            self.0.insert(uid, Stay::default());
            return Some(Record::Joined { uid, at });
        };
        if stay.left.take().is_some() {
            stay.returns += 1;
        }
        None
    }

    pub fn left(&mut self, uid: u32, at: i64) {
        if let Some(stay) = self.0.get_mut(&uid) {
            stay.left = Some(at);
        }
    }

    /// What is to be written of one who will not come back.
    pub fn dismissed(&mut self, uid: u32, at: i64) -> Option<Record> {
        self.0.remove(&uid).map(|stay| stay.ended(uid, at))
    }

    /// Who has been away for long enough at `now`.
    pub fn gone(&mut self, now: i64) -> Vec<Record> {
        let is_gone = |stay: &Stay| stay.left.is_some_and(|left| now - left >= AWAY_MILLISECONDS);
        let gone = self.0.iter().filter(|(_, stay)| is_gone(stay)).map(|(uid, stay)| stay.ended(*uid, now)).collect();
        self.0.retain(|_, stay| !is_gone(stay));
        gone
    }

    /// Everybody leaves with the recorder at `at`, who did not before.
    pub fn end(&mut self, at: i64) -> Vec<Record> {
        std::mem::take(&mut self.0).iter().map(|(uid, stay)| stay.ended(*uid, at)).collect()
    }
}

impl Stay {
    fn ended(&self, uid: u32, at: i64) -> Record {
        Record::Left { uid, at: self.left.unwrap_or(at), returns: self.returns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_short_absences_are_one_presence_and_counted() {
        let mut attendance = Attendance::default();
        assert_eq!(attendance.joined(1, 0), Some(Record::Joined { uid: 1, at: 0 }));
        for round in 1..=5000 {
            attendance.left(1, round * 10_000);
            assert_eq!(attendance.gone(round * 10_000 + 5_000), []);
            assert_eq!(attendance.joined(1, round * 10_000 + 9_000), None);
        }
        assert_eq!(attendance.end(60_000_000), [Record::Left { uid: 1, at: 60_000_000, returns: 5000 }]);
        assert_eq!(attendance.end(60_000_000), []);
    }

    #[test]
    fn who_stays_away_has_left_when_it_was_so_and_begins_anew() {
        let mut attendance = Attendance::default();
        attendance.joined(1, 0);
        attendance.joined(2, 0);
        attendance.left(1, 1000);
        assert_eq!(attendance.gone(60_999), []);
        assert_eq!(attendance.gone(61_000), [Record::Left { uid: 1, at: 1000, returns: 0 }]);
        assert_eq!(attendance.joined(1, 62_000), Some(Record::Joined { uid: 1, at: 62_000 }));
        attendance.left(2, 63_000);
        let (first, second) =
            (Record::Left { uid: 1, at: 64_000, returns: 0 }, Record::Left { uid: 2, at: 63_000, returns: 0 });
        assert_eq!(attendance.end(64_000), [first, second]);
    }

    #[test]
    fn who_is_dismissed_left_when_it_was_so_and_is_written_down_at_once() {
        let mut attendance = Attendance::default();
        attendance.joined(1, 0);
        attendance.left(1, 500);
        assert_eq!(attendance.dismissed(1, 700), Some(Record::Left { uid: 1, at: 500, returns: 0 }));
        assert_eq!(attendance.dismissed(1, 800), None);
        assert_eq!(attendance.end(900), []);
    }
}

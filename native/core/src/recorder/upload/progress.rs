// SPDX-License-Identifier: Apache-2.0
//! How much of a recording is in the bucket. Pure.

use crate::catalog::ledger::{Ledger, Mp4State};

/// The percentage of a recording's files that are verified in the bucket: its slices, and at the end the playlist, the
/// manifest, and the MP4 if one is made.
#[must_use]
pub fn percent(ledger: &Ledger) -> u32 {
    let slices = ledger.counts().0;
    let lists = if ledger.is_stopped() { 2 } else { 0 };
    let (more, more_verified) = match ledger.mp4() {
        Some(Mp4State::Wanted) if ledger.is_stopped() => (1, 0),
        Some(Mp4State::Delivered { .. }) => (1, 1),
        _ => (0, 0),
    };
    let verified = slices.delivered + more_verified + if ledger.is_concluded() { lists } else { 0 };
    match slices.written + more + lists {
        0 => 0,
        files => u32::try_from(verified * 100 / files).unwrap_or(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{begun, delivered, ledger, slice};
    use crate::catalog::record::Record;

    #[test]
    fn an_mp4_counts_from_the_stop_on_and_not_if_it_is_given_up() {
        let wanted = Record::Begun(Box::new(crate::catalog::record::Begun { mp4: true, ..begun() }));
        let mut catalog = ledger([wanted].into_iter().chain(slice("a", 0, 15_000)).chain([delivered("a")]));
        assert_eq!(percent(&catalog), 100);
        catalog.apply(Record::Stopped { at: 15_000 });
        assert_eq!(percent(&catalog), 25);
        catalog.apply(Record::Mp4Delivered { file: "f".into(), bytes: 1, sha256: "s".into() });
        assert_eq!(percent(&catalog), 50);
        catalog.apply(Record::Mp4GivenUp { file: "f".into(), reason: "r".into() });
        assert_eq!(percent(&catalog), 33);
    }

    #[test]
    fn progress_is_of_verified_files_and_whole_only_at_the_end() {
        let mut catalog = ledger([]);
        assert_eq!(percent(&catalog), 0);
        for record in slice("a", 0, 15_000).into_iter().chain(slice("b", 15_000, 15_000)) {
            catalog.apply(record);
        }
        catalog.apply(delivered("a"));
        assert_eq!(percent(&catalog), 50);
        catalog.apply(delivered("b"));
        assert_eq!(percent(&catalog), 100);
        catalog.apply(Record::Stopped { at: 30_000 });
        assert_eq!(percent(&catalog), 50);
        catalog.apply(Record::Concluded);
        assert_eq!(percent(&catalog), 100);
    }
}

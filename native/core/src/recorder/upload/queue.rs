// SPDX-License-Identifier: Apache-2.0
//! Which slices are to be brought where next. Pure.

use crate::catalog::ledger::{Complete, Ledger, Slice};
use crate::storage::read_back::Known;

/// So many slices are under way at once, unless they are large: memory is bounded.
pub const MOST_AT_ONCE: usize = 3;
const MOST_BYTES_AT_ONCE: u64 = 16 << 20;

/// A complete slice to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteSlice {
    pub file: String,
    pub start: i64,
    pub complete: Complete,
}

impl CompleteSlice {
    #[must_use]
    pub fn new(slice: &Slice, complete: &Complete) -> Self {
        Self { file: slice.file.clone(), start: slice.start, complete: complete.clone() }
    }

    /// What a store that has it gives back.
    #[must_use]
    pub fn known(&self) -> Known<'_> {
        Known { bytes: Some(self.complete.bytes), sha256: Some(&self.complete.sha256) }
    }
}

/// The oldest slices that the bucket does not have; those that only the backup store has, where it gives the file. After
/// them, what was found in the place of damaged ones.
#[must_use]
pub fn for_bucket(ledger: &Ledger, backup_gives: impl Fn(&str) -> bool, most: usize) -> Vec<CompleteSlice> {
    some(ledger, most, |file, complete| !complete.delivered && (!complete.backed_up || backup_gives(file)))
}

/// The oldest slices that no store has.
#[must_use]
pub fn for_backup(ledger: &Ledger) -> Vec<CompleteSlice> {
    beyond(ledger, 0)
}

/// The oldest slices that no store has, behind those that a bucket which takes what it is given is about to get. Those
/// may be in the backup store: the bucket gets the oldest first, wherever it is, and what waits behind these waits long.
#[must_use]
pub fn behind_the_bucket(ledger: &Ledger) -> Vec<CompleteSlice> {
    beyond(ledger, MOST_AT_ONCE)
}

fn beyond(ledger: &Ledger, mut others: usize) -> Vec<CompleteSlice> {
    some(ledger, MOST_AT_ONCE, |_, complete| {
        let is_others = !complete.delivered && others > 0;
        others -= usize::from(is_others);
        !complete.is_stored() && !is_others
    })
}

fn some(ledger: &Ledger, most: usize, mut wanted: impl FnMut(&str, &Complete) -> bool) -> Vec<CompleteSlice> {
    let mut bytes = 0;
    let slices = ledger.slices().iter().filter_map(|slice| Some((&slice.file, slice.start, slice.complete()?)));
    let damaged = ledger.damaged().iter().map(|damaged| (&damaged.aside, damaged.start, &damaged.found));
    slices
        .chain(damaged)
        .filter(|(file, _, complete)| wanted(file, complete))
        .take(most)
        .take_while(|(_, _, complete)| {
            let first = bytes == 0;
            bytes += complete.bytes;
            first || bytes <= MOST_BYTES_AT_ONCE
        })
        .map(|(file, start, complete)| CompleteSlice { file: file.clone(), start, complete: complete.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{delivered, ledger, slice};
    use crate::catalog::record::Record;

    fn catalog() -> Ledger {
        let records = ["a", "b", "c", "d", "e"].iter().zip(0..).flat_map(|(file, at)| slice(file, at * 1000, 1000));
        let mut catalog = ledger(records);
        catalog.apply(delivered("a"));
        catalog.apply(Record::BackedUp { file: "b".into() });
        catalog.apply(Record::BackedUp { file: "c".into() });
        catalog
    }

    fn files(slices: Vec<CompleteSlice>) -> Vec<String> {
        slices.into_iter().map(|slice| slice.file).collect()
    }

    #[test]
    fn the_bucket_gets_the_oldest_first_wherever_it_is() {
        assert_eq!(files(for_bucket(&catalog(), |_| true, MOST_AT_ONCE)), ["b", "c", "d"]);
        assert_eq!(files(for_bucket(&catalog(), |file| file != "b", MOST_AT_ONCE)), ["c", "d", "e"]);
        assert_eq!(files(for_bucket(&catalog(), |_| false, MOST_AT_ONCE)), ["d", "e"]);
        assert_eq!(files(for_bucket(&catalog(), |_| true, 1)), ["b"]);
    }

    #[test]
    fn what_is_damaged_goes_after_the_slices() {
        let mut catalog = catalog();
        let aside = "d_bad.ts".to_owned();
        catalog.apply(Record::Damaged { file: "d".into(), aside, bytes: 1, sha256: String::new() });
        assert_eq!(files(for_bucket(&catalog, |_| true, 9)), ["b", "c", "e", "d_bad.ts"]);
        assert_eq!(files(for_backup(&catalog)), ["e", "d_bad.ts"]);
    }

    #[test]
    fn the_backup_store_gets_what_no_store_has() {
        assert_eq!(files(for_backup(&catalog())), ["d", "e"]);
    }

    #[test]
    fn behind_a_bucket_that_is_slow_it_gets_the_oldest_that_are_not_its_turn() {
        let records =
            ["a", "b", "c", "d", "e", "f"].iter().zip(0..).flat_map(|(file, at)| slice(file, at * 1000, 1000));
        let mut catalog = ledger(records);
        catalog.apply(delivered("a"));
        assert_eq!(files(behind_the_bucket(&catalog)), ["e", "f"]);
        catalog.apply(Record::BackedUp { file: "e".into() });
        assert_eq!(files(behind_the_bucket(&catalog)), ["f"]);
        catalog.apply(Record::BackedUp { file: "f".into() });
        assert_eq!(files(behind_the_bucket(&catalog)), [""; 0]);
    }

    /// Files leave the disk only up to the first that no store has: none may wait behind all that was backed up before.
    #[test]
    fn where_room_is_scarce_again_nothing_waits_behind_what_is_backed_up() {
        let all = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let mut catalog = ledger(all.iter().zip(0..).flat_map(|(file, at)| slice(file, at * 1000, 1000)));
        for file in ["d", "e", "f"] {
            catalog.apply(Record::BackedUp { file: file.into() });
        }
        catalog.apply(delivered("a"));
        catalog.apply(delivered("b"));
        assert_eq!(files(for_bucket(&catalog, |_| true, MOST_AT_ONCE)), ["c", "d", "e"]);
        assert_eq!(files(behind_the_bucket(&catalog)), ["g", "h", "i"]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Reading back what was put into a store.

use std::path::Path;

use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::Store;

/// So many times in a row a file comes with other content until it is not the way there that spoils it.
pub const WRONG_TIMES: u32 = 3;

/// What was put under a name, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub bytes: Option<u64>,
    /// Hexadecimal digits.
    pub sha256: Option<&'a str>,
}

/// That a file which was put cannot be had any more, where that is what the failure says, in words.
#[must_use]
pub fn lost(name: &str, failure: &StoreError) -> Option<String> {
    match failure.cause {
        StoreCause::FileGone => Some(gone(name)),
        StoreCause::Unverified => Some(format!("{name} is not what was stored under its name")),
        _ => None,
    }
}

/// That a file which was put is not there, in words.
#[must_use]
pub fn gone(name: &str) -> String {
    format!("{name} is not where it was stored any more")
}

/// Writes the file into a new one. One that comes with other content than was put is asked for so many times in a row,
/// and leaves nothing then: `StoreCause::Unverified`.
pub async fn read_back(
    store: &dyn Store,
    name: &str,
    known: Known<'_>,
    path: &Path,
    times: u32,
) -> Result<(), StoreError> {
    let mut wrong = 0;
    loop {
        let failure = match once(store, name, known, path).await {
            Err(failure) if failure.cause == StoreCause::Unverified => failure,
            done => return done,
        };
        wrong += 1;
        if wrong >= times {
            let _ = std::fs::remove_file(path);
            return Err(failure);
        }
    }
}

async fn once(store: &dyn Store, name: &str, known: Known<'_>, path: &Path) -> Result<(), StoreError> {
    let found = store.get_file(name, known.bytes, path).await?;
    if known.sha256.is_none_or(|put| put == found) {
        return Ok(());
    }
    Err(StoreError::new(StoreCause::Unverified, "what it gives back is not what was put there"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::test_support::{Scratch, StoreDouble};

    const PUT: &str = "a";

    /// Gives files of these digests, one after the other.
    fn giving(digests: &[&'static str]) -> StoreDouble {
        let left = Mutex::new(digests.iter().rev().copied().collect::<Vec<_>>());
        let get_file = move |_: &str, path: &Path| {
            std::fs::write(path, "content").unwrap();
            let given = left.lock().unwrap().pop();
            given.map(str::to_owned).ok_or_else(|| StoreError::new(StoreCause::FileGone, "gone"))
        };
        StoreDouble { get_file: Some(Box::new(get_file)), ..StoreDouble::default() }
    }

    #[tokio::test]
    async fn a_file_that_is_spoilt_on_its_way_is_asked_for_again_and_one_that_stays_wrong_is_not_kept() {
        for (given, times, expected) in [
            (&[PUT][..], 1, None),
            (&["b", "c", PUT], WRONG_TIMES, None),
            (&["b", PUT], 1, Some(StoreCause::Unverified)),
            (&["b", "b", "b", PUT], WRONG_TIMES, Some(StoreCause::Unverified)),
            (&["b"], WRONG_TIMES, Some(StoreCause::FileGone)),
        ] {
            let scratch = Scratch::new();
            let path = scratch.path().join("slice");
            let known = Known { bytes: Some(7), sha256: Some(PUT) };
            let outcome = read_back(&giving(given), "slice", known, &path, times).await;
            assert_eq!(outcome.err().map(|failure| failure.cause), expected, "{given:?}");
            assert_eq!(path.exists(), expected != Some(StoreCause::Unverified), "{given:?}");
        }
    }
}

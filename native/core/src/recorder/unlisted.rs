// SPDX-License-Identifier: Apache-2.0
//! Slices that a part has in the store and not in its playlist: a recorder puts that with later slices where it alone would
//! be much of what is sent, and a pod that is lost meanwhile puts none. Each is found by its name, which is when it starts:
//! where the one before ends.

use crate::capture::whole_ticks;
use crate::catalog::merge::ReadPart;
use crate::catalog::part_playlist::ListedSlice;
use crate::catalog::playlist::microseconds;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::Store;

/// As large a slice is read to learn how long it is.
const MOST_BYTES: u64 = 64 << 20;
/// No slice is longer than an hour.
const MOST_TICKS: u64 = 3600 * 90_000;
/// More are unlisted nowhere: of a day at 500 kbit/s in slices of 15 s the last 16.
const MOST_SLICES: usize = 64;

/// Adds to a part without an end what the store has behind its last slice. `stem` is what the names of its files begin with.
pub async fn add(part: &mut ReadPart, stem: &str, store: &dyn Store) -> Result<(), StoreError> {
    for _ in 0..MOST_SLICES {
        let Some(last) = part.open_end() else { break };
        let Some(slice) = next(last, stem, store).await? else { break };
        tracing::info!(file = slice.file, "the store has this slice, which its part's playlist does not list yet");
        part.extend(slice);
    }
    Ok(())
}

async fn next(last: &ListedSlice, stem: &str, store: &dyn Store) -> Result<Option<ListedSlice>, StoreError> {
    for start in last.next_starts() {
        let slice = ListedSlice::named(stem, start);
        match store.get(&slice.file, MOST_BYTES).await {
            Ok(content) => {
                let ticks = whole_ticks(content.as_slice()).filter(|ticks| (1..=MOST_TICKS).contains(ticks));
                return Ok(ticks.map(|ticks| ListedSlice { microseconds: microseconds(ticks), ..slice }));
            }
            // Of what is not there a store that does not let its objects be listed says that it must not be read. What is
            // too large to be looked at stays unlisted.
            Err(failure) if is_absent(&failure.cause) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn is_absent(cause: &StoreCause) -> bool {
    matches!(cause, StoreCause::FileGone | StoreCause::AccessDenied | StoreCause::Other)
}

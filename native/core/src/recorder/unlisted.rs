// SPDX-License-Identifier: Apache-2.0
//! Slices that a part has in the store and not in its playlist: a recorder puts that with later slices where it alone would
//! be much of what is sent, lists nothing behind a slice that the store has yet to take, and a pod that is lost meanwhile
//! puts none. Also slices that the playlist lists and the store has no more. The store's list tells both. A key that may not
//! list has each looked for by its name, which is when it starts.

use std::collections::{HashMap, HashSet};

use crate::capture::whole_ticks;
use crate::catalog::merge::ReadPart;
use crate::catalog::part_playlist::ListedSlice;
use crate::catalog::playlist::microseconds;
use crate::recorder::upload::queue::MOST_AT_ONCE;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::Store;

/// As large a slice is read to learn how long it is.
const MOST_BYTES: u64 = 64 << 20;
/// No slice is longer than an hour.
const MOST_TICKS: u64 = 3600 * 90_000;
/// More are unlisted nowhere: of a day at 500 kbit/s in slices of 15 s the last 16.
const MOST_SLICES: usize = 256;
/// So many that a list lacks are asked for by name, the newest; of older ones it is believed.
const MOST_ASKED: usize = 32;
/// So many that the store did not take may be before one that it took: those that were under way with it.
const MOST_MISSING: u64 = MOST_AT_ONCE as u64 - 1;

/// Brings a part to what the store has of it: without slices that are gone, as by a rule of the bucket's, and, if it has no
/// end, with those behind its last one. `stem` is what the names of its files begin with.
pub async fn reconcile(part: &mut ReadPart, stem: &str, store: &dyn Store) -> Result<(), StoreError> {
    let before = format!("{stem}_");
    match store.list(&before, &before).await {
        Ok(names) => {
            let last = part.listed().last().map(|last| last.file.clone());
            let behind = names.iter().filter(|name| last.as_ref().is_none_or(|last| *name > last));
            lose_gone(part, &names, store).await?;
            let behind = behind.filter(|_| part.has_open_end()).filter_map(|name| ListedSlice::of_file(stem, name));
            add_named(part, behind.collect(), store).await
        }
        Err(failure) if is_refused(&failure.cause) && part.has_open_end() => {
            tracing::info!(%failure, "the store does not list its files: slices that no playlist lists are looked for by name");
            add_guessed(part, stem, store).await
        }
        Err(failure) if is_refused(&failure.cause) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// A list may lag behind what the store has: of those that it lacks the newest are asked for, each by itself.
async fn lose_gone(part: &mut ReadPart, names: &[String], store: &dyn Store) -> Result<(), StoreError> {
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    let unnamed = part.listed().iter().map(|slice| slice.file.clone()).filter(|file| !names.contains(file.as_str()));
    let mut gone: Vec<String> = unnamed.collect();
    let asked = gone.split_off(gone.len().saturating_sub(MOST_ASKED));
    for file in asked {
        match store.get(&file, 0).await {
            Err(failure) if failure.cause == StoreCause::FileGone => gone.push(file),
            // Of nothing that may be there it is said that it is not.
            Ok(_) => {}
            Err(failure) if is_absent(&failure.cause) => {}
            Err(failure) => return Err(failure),
        }
    }
    if !gone.is_empty() {
        part.lose(&gone.into_iter().collect());
        let file = part.first_gone();
        tracing::warn!(file, "slices from this one on that this part's playlist lists are in the store no more");
    }
    Ok(())
}

async fn add_named(part: &mut ReadPart, slices: Vec<ListedSlice>, store: &dyn Store) -> Result<(), StoreError> {
    let mut slices = slices.into_iter();
    for named in slices.by_ref().take(MOST_SLICES) {
        if let Some(slice) = measured(named, store).await? {
            extend(part, slice);
        }
    }
    if let Some(slice) = slices.next() {
        tracing::warn!(file = slice.file, "slices from this one on are in no playlist: too many were yet to be listed");
    }
    Ok(())
}

async fn add_guessed(part: &mut ReadPart, stem: &str, store: &dyn Store) -> Result<(), StoreError> {
    for _ in 0..MOST_SLICES {
        let Some(slice) = guessed(part, stem, store).await? else { break };
        extend(part, slice);
    }
    Ok(())
}

fn extend(part: &mut ReadPart, slice: ListedSlice) {
    tracing::info!(file = slice.file, "the store has this slice, which its part's playlist does not list yet");
    part.extend(slice);
}

/// The next one that is there: it runs on from the last, or is as far behind as slices of the usual length would be that
/// are not there.
async fn guessed(part: &ReadPart, stem: &str, store: &dyn Store) -> Result<Option<ListedSlice>, StoreError> {
    let Some((last, usual)) = part.listed().last().zip(usual_length(part.listed())) else { return Ok(None) };
    for start in (0..=MOST_MISSING).flat_map(|missing| last.starts_behind(missing * usual)) {
        if let Some(slice) = measured(ListedSlice::named(stem, start), store).await? {
            return Ok(Some(slice));
        }
    }
    Ok(None)
}

/// The length of most slices, in microseconds.
fn usual_length(slices: &[ListedSlice]) -> Option<u64> {
    let mut counts = HashMap::new();
    for slice in slices {
        *counts.entry(slice.microseconds).or_insert(0_usize) += 1;
    }
    counts.into_iter().max_by_key(|(length, count)| (*count, *length)).map(|(length, _)| length)
}

/// The slice with its length, if it is there and one.
async fn measured(slice: ListedSlice, store: &dyn Store) -> Result<Option<ListedSlice>, StoreError> {
    match store.get(&slice.file, MOST_BYTES).await {
        Ok(content) => {
            let ticks = whole_ticks(content.as_slice()).filter(|ticks| (1..=MOST_TICKS).contains(ticks));
            Ok(ticks.map(|ticks| ListedSlice { microseconds: microseconds(ticks), ..slice }))
        }
        // Of what is not there a store that does not let its objects be listed says that it must not be read. What is too
        // large to be looked at stays unlisted.
        Err(failure) if is_absent(&failure.cause) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether there is no list, whatever is in the store: it is not allowed, or the server knows no such request.
fn is_refused(cause: &StoreCause) -> bool {
    is_absent(cause) || matches!(cause, StoreCause::Refusal(_) | StoreCause::Server(501))
}

fn is_absent(cause: &StoreCause) -> bool {
    matches!(cause, StoreCause::FileGone | StoreCause::AccessDenied | StoreCause::Other)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::test_support::StoreDouble;

    const STEM: &str = "id_room";

    /// A part of so many slices of 15 s, which has its end.
    fn part(slices: usize) -> ReadPart {
        let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-ALLOW-CACHE:YES\n\
                        #EXT-X-TARGETDURATION:15\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n"
            .to_owned();
        for number in 0..slices {
            let file = ListedSlice::named(STEM, i64::try_from(number).unwrap() * 15_000).file;
            writeln!(text, "#EXTINF:15.000000,\n{file}").unwrap();
        }
        ReadPart::new("", STEM, "id_room.m3u8", &(text + "#EXT-X-ENDLIST\n")).unwrap()
    }

    fn files(part: &ReadPart) -> Vec<String> {
        part.listed().iter().map(|slice| slice.file.clone()).collect()
    }

    #[tokio::test]
    async fn a_list_that_lags_takes_no_slice_away_and_one_that_does_not_each_that_is_gone() {
        let mut part = part(MOST_ASKED + 5);
        let all = files(&part);
        // The last three are there, and not in the list yet.
        let (gone, kept) = all.split_at(all.len() - 4);
        let (gone, kept) = (gone.to_vec(), kept.to_vec());
        let listed = kept[..1].to_vec();
        let get = move |name: &str| {
            let is_gone = gone.iter().any(|file| file == name);
            Err(StoreError::new(if is_gone { StoreCause::FileGone } else { StoreCause::Other }, "too large, or gone"))
        };
        let list = move |_: &str| Ok(listed.clone());
        let store = StoreDouble { get: Some(Box::new(get)), list: Some(Box::new(list)), ..StoreDouble::default() };
        reconcile(&mut part, STEM, &store).await.unwrap();
        assert_eq!(files(&part), kept);
    }

    #[test]
    fn most_slices_have_the_usual_length() {
        let of = |lengths: &[u64]| {
            let slices: Vec<_> =
                lengths.iter().map(|length| ListedSlice { microseconds: *length, ..ListedSlice::default() }).collect();
            usual_length(&slices)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3]), Some(3));
        assert_eq!(of(&[3, 15, 15, 7]), Some(15));
        assert_eq!(of(&[3, 15]), Some(15));
    }
}

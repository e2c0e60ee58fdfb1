// SPDX-License-Identifier: Apache-2.0
//! Opens a recording's catalog, and brings it in order where an earlier process died over it.

use std::path::Path;

use crate::capture::api::{OpenSlice, TrackKind, TrackStart, UtcMillis};
use crate::capture::repair;
use crate::catalog::ledger::{Ledger, Slice, SliceContent};
use crate::catalog::record::{Begun, Record};
use crate::catalog::Catalog;
use crate::error::{Code, Error};
use crate::storage::target::Target;

/// What the catalog says about the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviousRun {
    /// A new recording.
    None,
    /// An earlier process recorded until it died.
    Died,
    /// An earlier process had stopped recording; only the upload is left, if anything.
    Stopped,
}

/// A recording's catalog in order.
pub struct Opened {
    pub catalog: Catalog,
    pub past: PreviousRun,
    /// What was written into it as the beginning.
    pub begun: Begun,
    /// Nothing is recorded before.
    pub earliest: UtcMillis,
}

/// The recording's catalog, with this beginning written into it.
pub fn open(directory: &Path, begun: &Begun, now: UtcMillis) -> Result<Opened, Error> {
    let catalog = Catalog::open(directory, &begun.file_prefix)?;
    let past = past(&catalog.ledger(), begun, directory)?;
    let declared = catalog.ledger().declared_slice_seconds();
    let begun = Begun { slice_seconds: declared.unwrap_or(begun.slice_seconds), ..begun.clone() };
    let changed = catalog.ledger().begun() != Some(&begun);
    if changed && !catalog.ledger().is_concluded() {
        catalog.write(Record::Begun(Box::new(begun.clone()))).map_err(at_start)?;
    }
    close_open_slices(&catalog, directory).map_err(at_start)?;
    let latest = UtcMillis(catalog.ledger().latest());
    // Behind what was repaired: the end of that is the end of the earlier process.
    if past == PreviousRun::Died {
        catalog.write(Record::Resumed { at: now.max(latest).0 }).map_err(at_start)?;
    }
    let earliest = UtcMillis(catalog.ledger().latest());
    Ok(Opened { catalog, past, begun, earliest })
}

fn past(ledger: &Ledger, begun: &Begun, directory: &Path) -> Result<PreviousRun, Error> {
    let Some(earlier) = ledger.begun() else { return Ok(PreviousRun::None) };
    check(ledger, earlier, begun, directory)?;
    Ok(if ledger.is_stopped() { PreviousRun::Stopped } else { PreviousRun::Died })
}

/// Whether the recording may go on like this. A place stays the place: what was delivered is said to be there.
fn check(ledger: &Ledger, earlier: &Begun, begun: &Begun, directory: &Path) -> Result<(), Error> {
    if earlier.stem != begun.stem {
        let message = format!("{}: holds the recording of another channel", directory.display());
        return Err(Error::new(Code::RecorderInit, message));
    }
    if ledger.has_reached_bucket() && !earlier.target.is_at(&begun.target) {
        let (here, there) = (earlier.target.location(), begun.target.location());
        let message = format!(
            "storage: files of this recording are in {here}, so it cannot go on in {there}; name the first, or begin \
             another recording"
        );
        return Err(Error::new(Code::InvalidParameter, message));
    }
    check_backup(ledger, begun.backup.as_ref())
}

/// Whether what is only in a backup store can be brought home from the one that is named.
pub fn check_backup(ledger: &Ledger, named: Option<&Target>) -> Result<(), Error> {
    let there = ledger.begun().and_then(|begun| begun.backup.as_ref());
    let message = match (there.filter(|_| ledger.counts().0.away > 0), named) {
        (None, _) => return Ok(()),
        (Some(there), Some(named)) if there.is_at(named) => return Ok(()),
        (Some(there), None) => {
            format!("backup: is left out, but files of this recording are in {}; name it again", there.location())
        }
        (Some(there), Some(named)) => format!(
            "backup: files of this recording are in {}, so they cannot be brought home from {}; name the first",
            there.location(),
            named.location()
        ),
    };
    Err(Error::new(Code::InvalidParameter, message))
}

/// Closes in the catalog what no process writes any more: the playable part of it is kept.
pub fn close_open_slices(catalog: &Catalog, directory: &Path) -> Result<(), Error> {
    let left_open: Vec<OpenSlice> = catalog
        .ledger()
        .slices()
        .iter()
        .filter(|slice| slice.content == SliceContent::Open)
        .map(|slice| open_slice(slice, directory))
        .collect();
    for slice in left_open {
        let record = match repair(&slice)? {
            Some(closed) => Record::closed(&closed),
            None => Record::Empty { file: slice.file_name },
        };
        catalog.write(record)?;
    }
    Ok(())
}

fn open_slice(slice: &Slice, directory: &Path) -> OpenSlice {
    let kind = |audio| if audio { TrackKind::Audio } else { TrackKind::Video };
    OpenSlice {
        file_name: slice.file.clone(),
        path: directory.join(&slice.file),
        start: UtcMillis(slice.start),
        discontinuity: slice.discontinuity,
        track_starts: slice
            .tracks
            .iter()
            .map(|track| TrackStart { kind: kind(track.audio), at: UtcMillis(track.at) })
            .collect(),
    }
}

/// What fails before the recording has begun is a failure to begin.
fn at_start(error: impl Into<Error>) -> Error {
    Error { code: Code::RecorderInit, ..error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{begun, delivered, slice};
    use crate::config::Storage;
    use crate::storage::vendor::Vendor;
    use crate::test_support::Scratch;

    fn at(bucket: &str, endpoint: &str) -> Target {
        let storage = Storage { endpoint: Some(endpoint.to_owned()), ..Storage::default() };
        Target::new(Vendor::Aws, "us-east-1", bucket, &storage)
    }

    /// A catalog that an earlier process left with these facts.
    fn left(scratch: &Scratch, begun: Begun, records: impl IntoIterator<Item = Record>) {
        let catalog = Catalog::open(scratch.path(), "").unwrap();
        catalog.write(Record::Begun(Box::new(begun))).unwrap();
        records.into_iter().for_each(|record| catalog.write(record).unwrap());
    }

    fn refusal(scratch: &Scratch, begun: &Begun) -> String {
        let error = open(scratch.path(), begun, UtcMillis(1)).err().expect("it is refused");
        assert_eq!(error.code, Code::InvalidParameter);
        error.message
    }

    #[test]
    fn a_recording_goes_on_in_another_place_only_while_the_first_has_nothing() {
        let scratch = Scratch::new();
        let here = Begun { target: at("films", "http://s3.one"), ..begun() };
        let there = |bucket: &str, endpoint: &str| Begun { target: at(bucket, endpoint), ..begun() };
        left(&scratch, here.clone(), slice("a", 1, 15_000));
        assert!(open(scratch.path(), &there("corrected", "http://s3.one"), UtcMillis(1)).is_ok());
        left(&scratch, here.clone(), [delivered("a")]);
        for (bucket, endpoint) in [("other", "http://s3.one"), ("films", "http://s3.two")] {
            let message = refusal(&scratch, &there(bucket, endpoint));
            for location in [here.target.location(), at(bucket, endpoint).location()] {
                assert!(message.contains(&location), "{message}");
            }
        }
        assert!(open(scratch.path(), &here, UtcMillis(1)).is_ok());
        left(&scratch, here.clone(), [Record::Stopped { at: 15_001 }, Record::Concluded]);
        refusal(&scratch, &there("other", "http://s3.one"));
    }

    #[test]
    fn what_is_in_a_backup_store_comes_home_from_there() {
        let scratch = Scratch::new();
        let backed = |bucket: &str| Begun { backup: Some(at(bucket, "http://s3.two")), ..begun() };
        left(&scratch, backed("spare"), slice("a", 1, 15_000));
        assert!(open(scratch.path(), &begun(), UtcMillis(1)).is_ok());
        left(&scratch, backed("spare"), [Record::BackedUp { file: "a".into() }]);
        assert!(refusal(&scratch, &begun()).contains(r#"are in bucket "spare" at http://s3.two; name it again"#));
        assert!(refusal(&scratch, &backed("other")).contains(r#"bucket "other""#));
        assert!(open(scratch.path(), &backed("spare"), UtcMillis(1)).is_ok());
    }

    #[test]
    fn the_playlist_keeps_what_it_declared_once_it_has_slices() {
        for (earlier, later) in [(8, 2), (2, 8)] {
            let scratch = Scratch::new();
            let lasting = |slice_seconds| Begun { slice_seconds, ..begun() };
            left(&scratch, lasting(60), []);
            assert_eq!(open(scratch.path(), &lasting(earlier), UtcMillis(1)).unwrap().begun, lasting(earlier));
            left(&scratch, lasting(earlier), slice("a", 1, 1000));
            let opened = open(scratch.path(), &lasting(later), UtcMillis(1)).unwrap();
            assert_eq!(opened.begun, lasting(earlier));
            assert_eq!(opened.catalog.ledger().begun(), Some(&lasting(earlier)));
        }
    }

    #[test]
    fn time_goes_on_from_what_was_recorded_although_the_clock_was_set_back() {
        let scratch = Scratch::new();
        left(&scratch, begun(), slice("a", 100_000, 15_000));
        let opened = open(scratch.path(), &begun(), UtcMillis(50_000)).unwrap();
        assert_eq!((opened.past, opened.earliest), (PreviousRun::Died, UtcMillis(115_000)));
        assert_eq!(opened.catalog.ledger().latest(), 115_000);
        drop(opened);
        let opened = open(scratch.path(), &begun(), UtcMillis(200_000)).unwrap();
        assert_eq!(opened.earliest, UtcMillis(200_000));
    }
}

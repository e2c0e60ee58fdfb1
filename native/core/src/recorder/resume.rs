// SPDX-License-Identifier: Apache-2.0
//! Opens a recording's books, and brings them in order where an earlier process died over them.

use std::path::Path;

use crate::books::ledger::{Content, Slice};
use crate::books::record::{Begun, Record};
use crate::books::Books;
use crate::capture::api::{OpenSlice, TrackKind, TrackStart, UtcMillis};
use crate::capture::repair;
use crate::error::{Code, Error};

/// What the books say about the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// A new recording.
    None,
    /// An earlier process recorded until it died.
    Died,
    /// An earlier process had stopped recording; only the upload is left, if anything.
    Stopped,
}

/// The recording's books, with this beginning written into them.
pub fn open(directory: &Path, begun: &Begun, now: UtcMillis) -> Result<(Books, Past), Error> {
    let mut books = Books::open(directory, &begun.file_prefix)?;
    let past = match books.ledger().begun() {
        None => Past::None,
        Some(earlier) if earlier.stem != begun.stem => {
            let message = format!("{}: holds the recording of another channel", directory.display());
            return Err(Error::new(Code::RecorderInit, message));
        }
        Some(_) if begun.backup.is_none() && is_away(&books) => {
            let message = "backup: is left out, but files of this recording are in a backup store; name it again";
            return Err(Error::new(Code::InvalidParameter, message));
        }
        Some(_) if books.ledger().is_stopped() => Past::Stopped,
        Some(_) => Past::Died,
    };
    let changed = books.ledger().begun() != Some(begun);
    if changed && !books.ledger().is_concluded() {
        books.write(Record::Begun(Box::new(begun.clone()))).map_err(at_start)?;
    }
    settle(&mut books, directory).map_err(at_start)?;
    // Behind what was repaired: the end of that is the end of the earlier process.
    if past == Past::Died {
        books.write(Record::Resumed { at: now.0 }).map_err(at_start)?;
    }
    Ok((books, past))
}

/// Whether the backup store has what the bucket has not.
#[must_use]
pub fn is_away(books: &Books) -> bool {
    books.ledger().counts().0.away > 0
}

/// Closes in the books what no process writes any more: the playable part of it is kept.
pub fn settle(books: &mut Books, directory: &Path) -> Result<(), Error> {
    let left_open: Vec<OpenSlice> = books
        .ledger()
        .slices()
        .iter()
        .filter(|slice| slice.content == Content::Open)
        .map(|slice| open_slice(slice, directory))
        .collect();
    for slice in left_open {
        let record = match repair(&slice)? {
            Some(closed) => Record::closed(&closed),
            None => Record::Empty { file: slice.file_name },
        };
        books.write(record)?;
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
fn at_start(error: Error) -> Error {
    Error { code: Code::RecorderInit, ..error }
}

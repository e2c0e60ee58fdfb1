// SPDX-License-Identifier: Apache-2.0
//! One MP4 of a recording's slices: what was encoded once is copied packet by packet, with its index at the front, so that
//! a player may begin before it has the whole file.
//!
//! Each slice lies where the playlist has it, behind the sum of the lengths before it: what was not recorded takes no time
//! here either. Within a slice sound and picture keep their distance to the tick.
//!
//! - `read`: the packets of a slice.
//! - `write`: the MP4 of them, with its index.
//! - `fed`: the same of slices that come one after the other.

pub mod fed;
mod read;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::capture::av::{self, AvError};
use read::{Description, MediaKind, SliceReader};
use write::Mp4Writer;

/// A slice's file and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceInput {
    pub path: PathBuf,
    /// In 90 kHz ticks.
    pub ticks: u64,
    /// Whether the file is there for this alone, and goes once it was read.
    pub temporary: bool,
}

/// Why there is no MP4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mp4Error {
    /// Codec, size or rate are not those of the slices before: one MP4 cannot hold both without transcoding.
    Changed(PathBuf),
    Unreadable(PathBuf, AvError),
    Unwritable(AvError),
    Stopped,
}

impl fmt::Display for Mp4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Changed(path) => write!(
                f,
                "from {} on the recording has another codec, picture size or sample rate, which one MP4 cannot hold \
                 without transcoding",
                name(path)
            ),
            Self::Unreadable(path, error) => write!(f, "{} cannot be read: {error}", name(path)),
            Self::Unwritable(error) => write!(f, "the file cannot be written: {error}"),
            Self::Stopped => f.write_str("it was called off"),
        }
    }
}

/// Makes the file `into` of `count` slices in their order, each read once. What is there of it after a failure is the
/// caller's to remove.
///
/// # Errors
/// As `Mp4Error` says; `Stopped` once `stop` is set, or where there are fewer slices.
pub fn make(
    slices: impl IntoIterator<Item = SliceInput>,
    count: usize,
    into: &Path,
    stop: &AtomicBool,
) -> Result<(), Mp4Error> {
    av::prepare();
    // Its tables have an entry for each packet of the recording.
    let _room = av::LargeAllocations::allow();
    let mut slices = slices.into_iter();
    let (descriptions, looked_at) = look(&mut slices)?;
    let mut mp4 = Mp4Writer::create(into, &descriptions, stop).map_err(unwritable)?;
    let mut at = 0;
    let mut copied = 0;
    for slice in looked_at.into_iter().chain(slices) {
        copy(&slice, at, &mut mp4, stop)?;
        at += i64::try_from(slice.ticks).unwrap_or(i64::MAX / 4);
        copied += 1;
        if slice.temporary {
            // One that cannot be removed takes room for a while, and that is all.
            let _ = std::fs::remove_file(&slice.path);
        }
    }
    if copied != count {
        return Err(Mp4Error::Stopped);
    }
    mp4.finish().map_err(unwritable)
}

/// The tracks of the recording, each as the first slice that knows it describes it, and the slices that were taken for
/// that: one that a dying recorder left may lack the first packet of a track.
fn look(slices: &mut impl Iterator<Item = SliceInput>) -> Result<(Vec<Description>, Vec<SliceInput>), Mp4Error> {
    let mut found: Vec<Description> = Vec::new();
    let mut looked_at = Vec::new();
    for slice in slices {
        let piece = open(&slice)?;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let known = found.iter().any(|description| description.kind == kind);
            if let Some(description) = piece.describe(kind).filter(|_| !known) {
                found.push(description.map_err(unwritable)?);
            }
        }
        let is_known = |kind: &MediaKind| found.iter().any(|description| description.kind == *kind);
        let all_known = piece.announced().iter().all(is_known);
        for pictures in found.iter_mut().filter(|found| found.kind == MediaKind::Video && looked_at.is_empty()) {
            let unreadable = |error| Mp4Error::Unreadable(slice.path.clone(), error);
            pictures.turn = open(&slice)?.turn().map_err(unreadable)?;
        }
        looked_at.push(slice);
        if all_known {
            break;
        }
    }
    found.sort_by_key(|description| description.kind);
    Ok((found, looked_at))
}

/// Copies the slice to the time `at`.
fn copy(slice: &SliceInput, at: i64, mp4: &mut Mp4Writer, stop: &AtomicBool) -> Result<(), Mp4Error> {
    let unreadable = |error| Mp4Error::Unreadable(slice.path.clone(), error);
    let mut piece = open(slice)?;
    let Some(start) = piece.start() else { return Ok(()) };
    let end = at + i64::try_from(slice.ticks).unwrap_or(i64::MAX / 4);
    if !mp4.takes(&piece) {
        return Err(Mp4Error::Changed(slice.path.clone()));
    }
    while let Some((kind, mut packet)) = piece.next().map_err(unreadable)? {
        if stop.load(Ordering::Relaxed) {
            return Err(Mp4Error::Stopped);
        }
        mp4.write(kind, &mut packet, at - start, end).map_err(unwritable)?;
    }
    Ok(())
}

fn unwritable(error: AvError) -> Mp4Error {
    match error {
        AvError::INTERRUPTED => Mp4Error::Stopped,
        error => Mp4Error::Unwritable(error),
    }
}

fn open(slice: &SliceInput) -> Result<SliceReader, Mp4Error> {
    SliceReader::open(&slice.path).map_err(|error| Mp4Error::Unreadable(slice.path.clone(), error))
}

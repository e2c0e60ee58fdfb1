// SPDX-License-Identifier: Apache-2.0
//! Makes a playable slice of a file that a killed process left open.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::api::{ClosedSlice, OpenSlice};
use super::mux::TICKS_PER_SECOND;
use super::slicer::sync_directory;
use crate::error::{Code, Error};

const PACKET: usize = 188;
const SYNC: u8 = 0x47;

/// The time stamps' range; they begin again at zero after it.
const WRAP: i64 = 1 << 33;

/// Cuts the file after its last whole piece of media, measures it, and makes it durable. `None` when nothing playable is in
/// it (or it was never created); such a file is removed.
///
/// # Errors
/// When the file cannot be read or written.
pub fn repair(open: &OpenSlice) -> Result<Option<ClosedSlice>, Error> {
    repair_file(open).map_err(|error| {
        let path = open.path.display();
        Error::new(Code::RecorderFailed, format!("the slice {path} of an earlier process cannot be repaired: {error}"))
    })
}

fn repair_file(open: &OpenSlice) -> io::Result<Option<ClosedSlice>> {
    let bytes = match fs::read(&open.path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(found) = measure(&bytes) else {
        fs::remove_file(&open.path)?;
        sync_parent(&open.path)?;
        return Ok(None);
    };
    let kept = &bytes[..found.length];
    let file = OpenOptions::new().write(true).open(&open.path)?;
    file.set_len(found.length as u64)?;
    file.sync_all()?;
    sync_parent(&open.path)?;
    Ok(Some(ClosedSlice {
        open: open.clone(),
        duration_ticks: found.ticks,
        bytes: found.length as u64,
        sha256: Sha256::digest(kept).into(),
        md5: Md5::digest(kept).into(),
    }))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

struct Measured {
    length: usize,
    ticks: u64,
}

/// A piece of media as it begins in the stream.
struct Unit {
    at: usize,
    video: bool,
    pts: i64,
}

/// Finds the last whole unit of media and the time from the first to its end.
fn measure(bytes: &[u8]) -> Option<Measured> {
    let packets = bytes.chunks_exact(PACKET).take_while(|packet| packet[0] == SYNC).count();
    let units = units(&bytes[..packets * PACKET]);
    // The last unit begins but nothing tells that it is whole, so the file ends where it begins.
    let (last, whole) = units.split_last()?;
    let leading = whole.iter().any(|unit| unit.video);
    let times: Vec<i64> = whole.iter().filter(|unit| unit.video == leading).map(|unit| unit.pts).collect();
    let first = *times.first()?;
    // What is presented before the first may follow it.
    let since_first = |pts: &i64| (pts - first + WRAP / 2).rem_euclid(WRAP) - WRAP / 2;
    let latest = times.iter().map(since_first).max()? - times.iter().map(since_first).min()?;
    let step = times.windows(2).map(|pair| (pair[1] - pair[0]).rem_euclid(WRAP)).min();
    // A unit alone lasts as long as it takes to be seen.
    let ticks = latest + step.unwrap_or(TICKS_PER_SECOND / 25);
    Some(Measured { length: last.at, ticks: u64::try_from(ticks).ok()? })
}

fn units(bytes: &[u8]) -> Vec<Unit> {
    let starts = bytes.chunks_exact(PACKET).enumerate().filter(|(_, packet)| packet[1] & 0x40 != 0);
    starts.filter_map(|(index, packet)| unit(packet, index * PACKET)).collect()
}

/// The unit that begins in this packet: its payload starts with a PES header that has a time stamp.
fn unit(packet: &[u8], at: usize) -> Option<Unit> {
    let has_payload = packet[3] & 0x10 != 0;
    let adaptation = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
    let pes = packet.get(4 + adaptation..).filter(|_| has_payload)?;
    let [0, 0, 1, stream, _, _, _, flags, _, stamp @ ..] = pes else { return None };
    if flags & 0x80 == 0 {
        return None;
    }
    // 33 bits in three groups, each followed by a marker bit.
    let byte = |index: usize| stamp.get(index).copied().map(i64::from);
    let high = (byte(0)? >> 1) & 0x07;
    let middle = ((byte(1)? << 8) | byte(2)?) >> 1;
    let low = ((byte(3)? << 8) | byte(4)?) >> 1;
    let pts = (high << 30) | (middle << 15) | low;
    Some(Unit { at, video: stream & 0xf0 == 0xe0, pts })
}

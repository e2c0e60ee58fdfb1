// SPDX-License-Identifier: Apache-2.0
//! Makes a playable slice of a file that a killed process left open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::api::{ClosedSlice, OpenSlice};
use super::mux::TICKS_PER_SECOND;
use crate::durable::sync_directory;
use crate::error::{Code, Error};

const PACKET: usize = 188;
const SYNC: u8 = 0x47;

/// How much of a file is in memory at a time, in bytes.
const READ: usize = 1 << 16;

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
    let file = match OpenOptions::new().read(true).write(true).open(&open.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(found) = measure(BufReader::with_capacity(READ, &file))? else {
        fs::remove_file(&open.path)?;
        sync_parent(&open.path)?;
        return Ok(None);
    };
    file.set_len(found.length)?;
    file.sync_all()?;
    sync_parent(&open.path)?;
    let (sha256, md5) = digests(&file)?;
    Ok(Some(ClosedSlice { open: open.clone(), duration_ticks: found.ticks, bytes: found.length, sha256, md5 }))
}

/// How long a slice lasts that was closed by who wrote it, in ticks of 90 kHz. `None` when nothing playable is in it.
#[must_use]
pub fn whole_ticks(slice: impl Read) -> Option<u64> {
    units(slice).ok().and_then(|units| span(&units))
}

fn digests(mut file: &File) -> io::Result<([u8; 32], [u8; 16])> {
    file.rewind()?;
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    let mut piece = vec![0; READ];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((sha256.finalize().into(), md5.finalize().into())),
            read => {
                sha256.update(&piece[..read]);
                md5.update(&piece[..read]);
            }
        }
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

struct Measured {
    length: u64,
    ticks: u64,
}

/// A piece of media as it begins in the stream.
struct PesUnit {
    at: u64,
    video: bool,
    pts: i64,
}

/// Finds the last whole unit of media and the time from the first to its end.
fn measure(file: impl Read) -> io::Result<Option<Measured>> {
    let units = units(file)?;
    // The last unit begins but nothing tells that it is whole, so the file ends where it begins.
    let Some((last, whole)) = units.split_last() else { return Ok(None) };
    Ok(span(whole).map(|ticks| Measured { length: last.at, ticks }))
}

/// From the first unit to the end of the last; `None` without any.
fn span(whole: &[PesUnit]) -> Option<u64> {
    let leading = whole.iter().any(|unit| unit.video);
    let times: Vec<i64> = whole.iter().filter(|unit| unit.video == leading).map(|unit| unit.pts).collect();
    let first = *times.first()?;
    // What is presented before the first may follow it.
    let since_first = |pts: &i64| (pts - first + WRAP / 2).rem_euclid(WRAP) - WRAP / 2;
    let latest = times.iter().map(since_first).max()? - times.iter().map(since_first).min()?;
    let step = times.windows(2).map(|pair| (pair[1] - pair[0]).rem_euclid(WRAP)).min();
    // A unit alone lasts as long as it takes to be seen.
    u64::try_from(latest + step.unwrap_or(TICKS_PER_SECOND / 25)).ok()
}

/// The units that begin in the file, up to the first byte that is none of a transport stream.
fn units(mut file: impl Read) -> io::Result<Vec<PesUnit>> {
    let mut units = Vec::new();
    let mut packet = [0; PACKET];
    for index in 0.. {
        match file.read_exact(&mut packet) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            result => result?,
        }
        if packet[0] != SYNC {
            break;
        }
        if packet[1] & 0x40 != 0 {
            units.extend(unit(&packet, index * PACKET as u64));
        }
    }
    Ok(units)
}

/// The unit that begins in this packet: its payload starts with a PES header that has a time stamp.
fn unit(packet: &[u8], at: u64) -> Option<PesUnit> {
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
    Some(PesUnit { at, video: stream & 0xf0 == 0xe0, pts })
}

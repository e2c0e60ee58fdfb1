// SPDX-License-Identifier: Apache-2.0
//! What something is by its first bytes, and whether it may be read: a playlist is looked at whole before libav sees it.

use ffmpeg_sys_next as ffi;

use super::peek::Peek;
use super::playlist::{self, Cadence};
use crate::capture::av::AvError;

pub enum FirstBytes {
    Playlist(Option<Cadence>),
    TransportStream,
    Other,
}

pub enum Unsound {
    Endless,
    Broken(AvError),
}

pub fn judge(
    peek: &mut Peek,
    is_root: bool,
    follow: impl FnOnce(&str) -> Option<String>,
) -> Result<FirstBytes, Unsound> {
    if peek.beginning(playlist::HEAD.len()).map_err(Unsound::Broken)? != playlist::HEAD {
        if !is_root {
            return Ok(FirstBytes::Other);
        }
        let beginning = peek.beginning(SYNC_LENGTH).map_err(Unsound::Broken)?;
        return Ok(if is_transport_stream(beginning) { FirstBytes::TransportStream } else { FirstBytes::Other });
    }
    let text = peek.beginning(playlist::MOST_BYTES + 1).map_err(Unsound::Broken)?;
    if text.len() > playlist::MOST_BYTES {
        return Err(Unsound::Endless);
    }
    if !playlist::is_sound(text, is_root) {
        return Err(Unsound::Broken(AvError(ffi::AVERROR_INVALIDDATA)));
    }
    let cadence = Cadence::of(text);
    if let Some(other) = std::str::from_utf8(text).ok().and_then(follow) {
        peek.replace(other.as_bytes()).map_err(Unsound::Broken)?;
    }
    Ok(FirstBytes::Playlist(cadence))
}

/// Three packets, of 188 bytes or of 192, and what may come before the first.
const SYNC_LENGTH: usize = 4 * 192;

fn is_transport_stream(beginning: &[u8]) -> bool {
    let is_sync = |at: usize| beginning.get(at) == Some(&0x47);
    let begins = |at: usize, packet: usize| (0..3).all(|index| is_sync(at + index * packet));
    [188, 192].into_iter().any(|packet| (0..packet).any(|at| begins(at, packet)))
}

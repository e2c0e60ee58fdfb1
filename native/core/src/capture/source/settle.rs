// SPDX-License-Identifier: Apache-2.0
//! The first packets of a connection: they tell how a source hands out its media, and where its clock stands.

use std::time::{Duration, Instant};

use super::cause::SourceFailure;
use super::open::Input;
use super::playlist::Cadence;
use super::CONNECT;
use crate::capture::api::TrackKind;
use crate::capture::av::frame::Packet;
use crate::capture::clock::{Nanos, MILLISECOND};
use crate::capture::timeline::Pace;

/// A read that takes longer has emptied what was stored at the far end: from there on media comes as it happens.
const BLOCKED: Duration = Duration::from_millis(8);

/// More stored media than this, in time or in bytes, belongs to a source that is no live one.
const MOST_BACKLOG: Nanos = 4_000 * MILLISECOND;
const MOST_BACKLOG_BYTES: usize = 16 << 20;

/// What was read until the far end had nothing stored any more.
pub struct Settled {
    pub backlog: Vec<Packet>,
    pub pace: Pace,
    /// The time stamp that stands for now: the newest of a live source, the oldest of a stored one.
    pub anchor: Nanos,
    /// How long to hold everything back, so that what follows does not come late.
    pub head_start: Nanos,
}

/// Reads what the far end had stored, so that a live source is anchored at its newest media and not at its oldest.
pub fn settle(input: &mut Input, wants: impl Fn(TrackKind) -> bool) -> Result<Settled, SourceFailure> {
    let (mut backlog, began) = (Vec::new(), Instant::now());
    let (mut oldest, mut newest, mut bytes) = (Nanos::MAX, Nanos::MIN, 0);
    let mut pace = input.pace();
    loop {
        let started = Instant::now();
        let packet = match input.read(CONNECT) {
            // All that there is has come at once: it is to be played from its beginning.
            Err(SourceFailure::Ended) if !backlog.is_empty() && (newest >= oldest || input.is_bare_pictures()) => {
                let anchor = if input.is_bare_pictures() { 0 } else { oldest };
                return Ok(Settled { backlog, pace: Pace::Stored { lateness: 0 }, anchor, head_start: 0 });
            }
            read => read?,
        };
        let blocked = started.elapsed() >= BLOCKED && !backlog.is_empty();
        bytes += packet.footprint();
        let wanted = input.track(packet.stream()).is_some_and(&wants);
        // Some containers tell only when a picture is to be seen.
        let stamp = input.stamp(&packet);
        if let Some(stamp) = stamp.decode.or(stamp.present).filter(|_| wanted) {
            (oldest, newest) = (oldest.min(stamp), newest.max(stamp));
        }
        backlog.push(packet);
        if input.is_bare_pictures() {
            if pace == Pace::Live && bytes > MOST_BACKLOG_BYTES {
                pace = Pace::Stored { lateness: 0 };
            }
            if blocked || pace != Pace::Live {
                return Ok(Settled { backlog, pace, anchor: 0, head_start: 0 });
            }
            continue;
        }
        if newest < oldest {
            if bytes > MOST_BACKLOG_BYTES || began.elapsed() > CONNECT {
                return Err(SourceFailure::Undecodable);
            }
            continue;
        }
        if pace == Pace::Live && (newest - oldest > MOST_BACKLOG || bytes > MOST_BACKLOG_BYTES) {
            pace = Pace::Stored { lateness: 0 };
        }
        let anchor = match pace {
            Pace::Stored { .. } => oldest,
            Pace::Live if blocked => newest,
            Pace::Live => continue,
        };
        let head_start = input.cadence().map_or(0, Cadence::head_start);
        return Ok(Settled { backlog, pace, anchor, head_start });
    }
}

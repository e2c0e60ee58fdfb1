// SPDX-License-Identifier: Apache-2.0
//! The facts that a journal holds, one JSON document a line. Readers of older journals rely on these names.

use serde::{Deserialize, Serialize};

use crate::capture::api::{ClosedSlice, OpenSlice, TrackKind, TrackStart, UtcMillis};
use crate::names;
use crate::storage::target::Target;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all_fields = "camelCase")]
pub enum Record {
    /// The first line: what the recording is and where it goes.
    Begun(Box<Begun>),
    /// Another process took the recording over.
    Resumed {
        at: i64,
    },
    /// A slice's file may exist from now on.
    Opened {
        file: String,
        start: i64,
        discontinuity: bool,
        tracks: Vec<TrackRecord>,
    },
    /// The slice's file is complete.
    Closed {
        file: String,
        ticks: u64,
        bytes: u64,
        sha256: String,
        md5: String,
    },
    /// Nothing playable was in the slice's file.
    Empty {
        file: String,
    },
    /// The slice is in the bucket, verified.
    Delivered {
        file: String,
        /// The store proved nothing, and does not let the key look.
        #[serde(default, skip_serializing_if = "is_false")]
        unproved: bool,
    },
    /// The slice's file is not what was written: it is kept under a name of its own, and a gap stands for the slice.
    Damaged {
        file: String,
        aside: String,
        bytes: u64,
        sha256: String,
    },
    Gap {
        start: i64,
        stop: i64,
        reason: String,
    },
    /// A participant whom nobody named at the beginning, or who is called otherwise from now on.
    Participant(Expected),
    Joined {
        uid: u32,
        at: i64,
    },
    Left {
        uid: u32,
        at: i64,
        /// How often the participant was away for a moment and came back.
        #[serde(default, skip_serializing_if = "is_zero")]
        returns: u32,
    },
    /// The recorder left the channel; nothing is recorded any more.
    Stopped {
        at: i64,
    },
    /// The slice is in the backup store, verified.
    BackedUp {
        file: String,
    },
    /// Everything is stored, some of it in the backup store only.
    ConcludedInBackup,
    /// What was backed up is home; the playlist follows under this name. Before anything was told to be backed up: the bucket
    /// has another recording's playlist under the usual name, and this one's, and what is beside it, is named like this.
    #[serde(rename = "ComingHome")]
    PlaylistRestored {
        playlist: String,
    },
    /// The recording's MP4 is in the bucket, verified.
    #[serde(rename = "Filmed")]
    Mp4Delivered {
        file: String,
        bytes: u64,
        sha256: String,
    },
    /// There will be no MP4; the reason was told.
    #[serde(rename = "NotFilmed")]
    Mp4GivenUp {
        file: String,
        reason: String,
    },
    /// Everything is in the bucket.
    Concluded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    pub version: u32,
    pub recording_id: String,
    pub file_prefix: String,
    pub channel: String,
    pub stem: String,
    pub slice_seconds: u32,
    pub target: Target,
    #[serde(default)]
    pub backup: Option<Target>,
    pub participants: Vec<Expected>,
    /// Whether an MP4 is wanted, too.
    #[serde(default)]
    pub mp4: bool,
    /// A digest of who records: App ID, channel and uid.
    #[serde(default)]
    pub origin: Option<String>,
}

/// The version of the journal's format that this code writes.
pub const VERSION: u32 = 1;

/// A participant that the configuration names, or that came by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    pub uid: u32,
    pub name: Option<String>,
    /// What the channel itself calls the participant by, where that is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackRecord {
    pub audio: bool,
    pub at: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde wants
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape that serde wants
fn is_false(value: &bool) -> bool {
    !value
}

/// Times are milliseconds of the years 1970 to 9999, and no slice is longer than a year: sums of them hold in their types.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;
const MOST_TICKS: u64 = 90_000 * 86_400 * 366;

impl Record {
    /// Whether the figures can be a recording's. A damaged disk can make a line of any.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        match self {
            Self::Opened { start, tracks, .. } => {
                TIMES.contains(start) && tracks.iter().all(|track| TIMES.contains(&track.at))
            }
            Self::Damaged { bytes, .. } => i64::try_from(*bytes).is_ok(),
            Self::Closed { ticks, bytes, .. } => *ticks <= MOST_TICKS && i64::try_from(*bytes).is_ok(),
            Self::Gap { start, stop, .. } => TIMES.contains(start) && TIMES.contains(stop),
            Self::Resumed { at } | Self::Joined { at, .. } | Self::Left { at, .. } | Self::Stopped { at } => {
                TIMES.contains(at)
            }
            _ => true,
        }
    }

    /// The last moment that the fact tells of; a slice's end follows from its start.
    #[must_use]
    pub fn latest(&self) -> Option<i64> {
        match self {
            Self::Opened { start, .. } => Some(*start),
            Self::Gap { stop, .. } => Some(*stop),
            Self::Resumed { at } | Self::Joined { at, .. } | Self::Left { at, .. } | Self::Stopped { at } => Some(*at),
            _ => None,
        }
    }

    #[must_use]
    pub fn opened(slice: &OpenSlice) -> Self {
        let track = |start: &TrackStart| TrackRecord { audio: start.kind == TrackKind::Audio, at: start.at.0 };
        Self::Opened {
            file: slice.file_name.clone(),
            start: slice.start.0,
            discontinuity: slice.discontinuity,
            tracks: slice.track_starts.iter().map(track).collect(),
        }
    }

    #[must_use]
    pub fn closed(slice: &ClosedSlice) -> Self {
        Self::Closed {
            file: slice.open.file_name.clone(),
            ticks: slice.duration_ticks,
            bytes: slice.bytes,
            sha256: names::hex(&slice.sha256),
            md5: names::hex(&slice.md5),
        }
    }

    #[must_use]
    pub fn gap(start: UtcMillis, stop: UtcMillis, reason: &str) -> Self {
        Self::Gap { start: start.0, stop: stop.0, reason: reason.to_owned() }
    }
}

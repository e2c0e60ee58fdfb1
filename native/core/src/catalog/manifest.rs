// SPDX-License-Identifier: Apache-2.0
//! The manifest: every file of a recording with its size, digest and time, who was there, and every gap with its reason.

use serde::Serialize;

use crate::capture::api::UtcMillis;
use crate::catalog::ledger::{self, Ledger, Mp4State, Slice};
use crate::names;

/// The name of the manifest in the recording's directory, after the file prefix.
pub const FILE: &str = "manifest.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    version: u32,
    recording_id: &'a str,
    channel: &'a str,
    start_time: Option<String>,
    stop_time: Option<String>,
    recorded_milliseconds: u64,
    gap_milliseconds: i64,
    files: Vec<ManifestFile<'a>>,
    gaps: Vec<ManifestGap>,
    participants: Vec<ManifestParticipant<'a>>,
    /// What was found in the place of slices; no playlist lists it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<ManifestDamage<'a>>,
    /// Files that were asked for and could not be made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestDamage<'a> {
    name: &'a str,
    /// The slice that it was to be.
    slice: &'a str,
    size: u64,
    sha256: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
}

#[derive(Serialize)]
struct Missing<'a> {
    name: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFile<'a> {
    name: &'a str,
    size: u64,
    sha256: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    /// Where the file is, if not in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    /// False where the store proved nothing of what it holds, and did not let the key look.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
}

const BACKUP: &str = "backup";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestGap {
    start_time: String,
    stop_time: String,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestParticipant<'a> {
    uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// What the channel itself calls the participant by, where that is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    presences: Vec<ManifestPresence>,
    /// Presences that are not listed, as there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    presences_left_out: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestPresence {
    join_time: String,
    leave_time: Option<String>,
    /// How often the participant was away for less than a minute meanwhile.
    #[serde(skip_serializing_if = "is_zero")]
    returns: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde wants
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The playlist's part in the manifest.
pub struct PlaylistFile<'a> {
    pub name: &'a str,
    pub size: u64,
    pub sha256: &'a str,
    pub in_backup: bool,
}

/// The manifest's text; `None` before the recording has begun.
#[must_use]
pub fn manifest(ledger: &Ledger, playlist: &PlaylistFile) -> Option<String> {
    let begun = ledger.begun()?;
    let time = |at: i64| names::utc_rfc3339(UtcMillis(at));
    let gaps = ledger.gaps();
    let list = ManifestFile {
        name: playlist.name,
        size: playlist.size,
        sha256: playlist.sha256,
        start_time: None,
        duration_seconds: None,
        store: playlist.in_backup.then_some(BACKUP),
        verified: None,
    };
    let manifest = Manifest {
        version: 1,
        recording_id: &begun.recording_id,
        channel: &begun.channel,
        start_time: ledger.start().map(time),
        stop_time: ledger.stop().map(time),
        recorded_milliseconds: ledger.recorded_milliseconds(),
        gap_milliseconds: gaps.iter().map(|gap| gap.stop - gap.start).sum(),
        files: std::iter::once(list).chain(ledger.slices().iter().filter_map(file)).chain(mp4(ledger)).collect(),
        gaps: gaps
            .into_iter()
            .map(|gap| ManifestGap { start_time: time(gap.start), stop_time: time(gap.stop), reason: gap.reason })
            .collect(),
        participants: ledger
            .participants()
            .iter()
            .map(|expected| ManifestParticipant {
                uid: expected.uid,
                name: expected.name.as_deref(),
                identity: expected.identity.as_deref(),
                presences: ledger
                    .presences()
                    .iter()
                    .filter(|presence| presence.uid == expected.uid)
                    .map(|presence| ManifestPresence {
                        join_time: time(presence.joined),
                        leave_time: presence.left.map(time),
                        returns: presence.returns.into(),
                    })
                    .collect(),
                presences_left_out: ledger.presences_left_out(expected.uid),
            })
            .collect(),
        damaged: damaged(ledger),
        missing: missing(ledger),
    };
    serde_json::to_string_pretty(&manifest).ok().map(|text| text + "\n")
}

fn damaged(ledger: &Ledger) -> Vec<ManifestDamage<'_>> {
    fn describe(damaged: &ledger::DamagedSlice) -> ManifestDamage<'_> {
        ManifestDamage {
            name: &damaged.aside,
            slice: &damaged.file,
            size: damaged.found.bytes,
            sha256: &damaged.found.sha256,
            store: damaged.found.is_away().then_some(BACKUP),
        }
    }
    ledger.damaged().iter().map(describe).collect()
}

#[allow(clippy::cast_precision_loss)] // milliseconds stay far below 2^52
fn mp4(ledger: &Ledger) -> Option<ManifestFile<'_>> {
    let Some(Mp4State::Delivered { file, bytes, sha256 }) = ledger.mp4() else { return None };
    Some(ManifestFile {
        name: file,
        size: *bytes,
        sha256,
        start_time: ledger.start().map(|at| names::utc_rfc3339(UtcMillis(at))),
        duration_seconds: Some(ledger.recorded_milliseconds() as f64 / 1000.0),
        store: None,
        verified: None,
    })
}

fn missing(ledger: &Ledger) -> Vec<Missing<'_>> {
    match ledger.mp4() {
        Some(Mp4State::GivenUp { file, reason }) => vec![Missing { name: file, reason }],
        _ => vec![],
    }
}

#[allow(clippy::cast_precision_loss)] // ticks stay far below 2^52
fn file(slice: &Slice) -> Option<ManifestFile<'_>> {
    let complete = slice.complete()?;
    Some(ManifestFile {
        name: &slice.file,
        size: complete.bytes,
        sha256: &complete.sha256,
        start_time: Some(names::utc_rfc3339(UtcMillis(slice.start))),
        duration_seconds: Some((complete.ticks * 100 / 9) as f64 / 1_000_000.0),
        store: complete.is_away().then_some(BACKUP),
        verified: complete.unproved.then_some(false),
    })
}

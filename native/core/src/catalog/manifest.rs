// SPDX-License-Identifier: Apache-2.0
//! The manifest: every file of a recording with its size, digest and time, who was there, and every gap with its reason.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::capture::api::UtcMillis;
use crate::catalog::ledger::{self, Ledger, Mp4State, Slice};
use crate::names;

/// The name of the manifest in the recording's directory, after the file prefix.
pub const FILE: &str = "manifest.json";

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest<'a> {
    pub version: u32,
    pub recording_id: Cow<'a, str>,
    pub channel: Cow<'a, str>,
    pub start_time: Option<String>,
    pub stop_time: Option<String>,
    pub recorded_milliseconds: u64,
    pub gap_milliseconds: i64,
    pub files: Vec<ManifestFile<'a>>,
    pub gaps: Vec<ManifestGap>,
    pub participants: Vec<ManifestParticipant<'a>>,
    /// What was found in the place of slices; no playlist lists it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<ManifestDamage<'a>>,
    /// Files that were asked for and could not be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing<'a>>,
    /// Of whose files this is the manifest, where that is several parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ManifestPart>,
}

/// The version that this release writes, and reads.
pub(super) const VERSION: u32 = 1;

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestPart {
    pub file_prefix: String,
    pub playlist: String,
    /// None of a part that ended without one.
    pub manifest: Option<String>,
    pub start_time: Option<String>,
    pub stop_time: Option<String>,
    pub recorded_milliseconds: u64,
    pub slices: usize,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestDamage<'a> {
    name: Cow<'a, str>,
    /// The slice that it was to be.
    slice: Cow<'a, str>,
    size: u64,
    sha256: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Cow<'a, str>>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Missing<'a> {
    pub name: Cow<'a, str>,
    pub reason: Cow<'a, str>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestFile<'a> {
    pub name: Cow<'a, str>,
    /// None, as is the digest, of a file that no manifest tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Where the file is, if not in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Cow<'a, str>>,
    /// False where the store proved nothing of what it holds, and did not let the key look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}

pub(super) const BACKUP: &str = "backup";

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestGap {
    pub start_time: String,
    pub stop_time: String,
    pub reason: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestParticipant<'a> {
    pub uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// What the channel itself calls the participant by, where that is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Cow<'a, str>>,
    pub presences: Vec<ManifestPresence>,
    /// Presences that are not listed, as there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub presences_left_out: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestPresence {
    join_time: String,
    leave_time: Option<String>,
    /// How often the participant was away for less than a minute meanwhile.
    #[serde(default, skip_serializing_if = "is_zero")]
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
        name: playlist.name.into(),
        size: Some(playlist.size),
        sha256: Some(playlist.sha256.into()),
        start_time: None,
        duration_seconds: None,
        store: playlist.in_backup.then_some(BACKUP.into()),
        verified: None,
    };
    let manifest = Manifest {
        version: VERSION,
        recording_id: begun.recording_id.as_str().into(),
        channel: begun.channel.as_str().into(),
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
            // Whom nobody named, and who never was there, is nobody.
            .filter(|expected| expected.identity.is_none() || ledger.was_there(expected.uid))
            .map(|expected| ManifestParticipant {
                uid: expected.uid,
                name: expected.name.as_deref().map(Cow::from),
                identity: expected.identity.as_deref().map(Cow::from),
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
        parts: vec![],
    };
    manifest.text()
}

impl Manifest<'_> {
    pub(super) fn text(&self) -> Option<String> {
        serde_json::to_string_pretty(self).ok().map(|text| text + "\n")
    }
}

fn damaged(ledger: &Ledger) -> Vec<ManifestDamage<'_>> {
    fn describe(damaged: &ledger::DamagedSlice) -> ManifestDamage<'_> {
        ManifestDamage {
            name: damaged.aside.as_str().into(),
            slice: damaged.file.as_str().into(),
            size: damaged.found.bytes,
            sha256: damaged.found.sha256.as_str().into(),
            store: damaged.found.is_away().then_some(BACKUP.into()),
        }
    }
    ledger.damaged().iter().map(describe).collect()
}

#[allow(clippy::cast_precision_loss)] // milliseconds stay far below 2^52
fn mp4(ledger: &Ledger) -> Option<ManifestFile<'_>> {
    let Some(Mp4State::Delivered { file, bytes, sha256 }) = ledger.mp4() else { return None };
    Some(ManifestFile {
        name: file.as_str().into(),
        size: Some(*bytes),
        sha256: Some(sha256.as_str().into()),
        start_time: ledger.start().map(|at| names::utc_rfc3339(UtcMillis(at))),
        duration_seconds: Some(ledger.recorded_milliseconds() as f64 / 1000.0),
        store: None,
        verified: None,
    })
}

fn missing(ledger: &Ledger) -> Vec<Missing<'_>> {
    match ledger.mp4() {
        Some(Mp4State::GivenUp { file, reason }) => {
            vec![Missing { name: file.as_str().into(), reason: reason.as_str().into() }]
        }
        _ => vec![],
    }
}

#[allow(clippy::cast_precision_loss)] // ticks stay far below 2^52
fn file(slice: &Slice) -> Option<ManifestFile<'_>> {
    let complete = slice.complete()?;
    Some(ManifestFile {
        name: slice.file.as_str().into(),
        size: Some(complete.bytes),
        sha256: Some(complete.sha256.as_str().into()),
        start_time: Some(names::utc_rfc3339(UtcMillis(slice.start))),
        duration_seconds: Some((complete.ticks * 100 / 9) as f64 / 1_000_000.0),
        store: complete.is_away().then_some(BACKUP.into()),
        verified: complete.unproved.then_some(false),
    })
}

// SPDX-License-Identifier: Apache-2.0
//! Several parts of a recording as one: a playlist and a manifest over all of them, from what their own say.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use chrono::DateTime;
use sha2::{Digest, Sha256};

use crate::capture::api::UtcMillis;
use crate::catalog::gaps::ROUNDING;
use crate::catalog::manifest::{
    Manifest, ManifestFile, ManifestGap, ManifestPart, ManifestParticipant, Missing, BACKUP, VERSION,
};
use crate::catalog::part_playlist::{ListedSlice, PartPlaylist};
use crate::causes;
use crate::names;

/// Why nothing is recorded after one part's end and before the next one's start.
const BETWEEN_PARTS: &str = "BetweenParts";
/// The same between two slices of a part that ended without a manifest.
const NOT_RECORDED: &str = "NotRecorded";

/// Why a slice that a part had put is in nothing over all parts.
const GONE: &str = "it is not where it was stored any more";

/// Whose parts they are.
pub struct WholeRecording<'a> {
    pub recording_id: &'a str,
    pub channel: &'a str,
}

/// One part, as its playlist and its manifest have it.
pub struct ReadPart {
    pub file_prefix: String,
    pub playlist_name: String,
    playlist: PartPlaylist,
    /// As a file of the manifest to be.
    playlist_file: ManifestFile<'static>,
    manifest: Option<(String, Manifest<'static>)>,
    /// Slices that its playlist lists and the store does not have any more.
    gone: Vec<ListedSlice>,
}

/// What parts are together: the playlist, and what the manifest says of it.
pub struct MergedPlaylist {
    /// What the names of all that is over the parts begin with.
    pub stem: String,
    pub text: String,
    pub slices: usize,
    pub microseconds: u64,
}

/// One file over all parts beside the playlist.
pub enum MergedMp4 {
    Unasked,
    Stored { name: String, bytes: u64, sha256: String },
    Missing { name: String, reason: String },
}

/// A slice as its part tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSlice {
    pub file: String,
    /// Its length, in 90 kHz ticks.
    pub ticks: u64,
    /// None, as is the digest, of a slice that no manifest tells of.
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
}

impl ReadPart {
    /// `stem` is what the names of the part's files begin with. The error says what is wrong with the playlist.
    pub fn new(file_prefix: &str, stem: &str, playlist_name: &str, text: &str) -> Result<Self, String> {
        Ok(Self {
            file_prefix: file_prefix.to_owned(),
            playlist_name: playlist_name.to_owned(),
            playlist: PartPlaylist::parse(text, stem)?,
            playlist_file: described(playlist_name.to_owned(), text),
            manifest: None,
            gone: Vec::new(),
        })
    }

    /// With the part's manifest: it must be of this recording and this part. The error says what is wrong with it.
    pub fn with_manifest(
        mut self,
        whole: &WholeRecording,
        stem: &str,
        name: &str,
        text: &[u8],
    ) -> Result<Self, String> {
        let manifest: Manifest<'static> =
            serde_json::from_slice(text).map_err(|error| format!("is no manifest: {error}"))?;
        if manifest.version != VERSION {
            return Err(format!("is a manifest of version {}, and this release reads {VERSION}", manifest.version));
        }
        if (manifest.recording_id.as_ref(), manifest.channel.as_ref()) != (whole.recording_id, whole.channel) {
            return Err("is the manifest of another recording".to_owned());
        }
        let is_own = |file: &ManifestFile| file.name.starts_with(stem) && !file.name.contains('/');
        if !manifest.files.iter().all(is_own) {
            return Err("names a file that is none of this part".to_owned());
        }
        let listed: HashSet<&str> = self.playlist.slices.iter().map(|slice| slice.file.as_str()).collect();
        let mut away = manifest.files.iter().filter(|file| file.store.as_deref() == Some(BACKUP));
        if let Some(file) = away.find(|file| listed.contains(file.name.as_ref())) {
            return Err(format!("says that {} is in the backup store", file.name));
        }
        self.manifest = Some((name.to_owned(), manifest));
        Ok(self)
    }

    /// Whether nobody says that its last slice is the last one.
    #[must_use]
    pub fn has_open_end(&self) -> bool {
        !self.playlist.is_ended && self.manifest.is_none()
    }

    #[must_use]
    pub fn listed(&self) -> &[ListedSlice] {
        &self.playlist.slices
    }

    /// With a slice behind its last one.
    pub fn extend(&mut self, slice: ListedSlice) {
        let is_behind_hole = self.listed().last().is_some_and(|last| !slice.follows(last));
        self.playlist.slices.push(ListedSlice { discontinuity: is_behind_hole, dated: is_behind_hole, ..slice });
    }

    /// Without slices that the store does not have any more.
    pub fn lose(&mut self, files: &HashSet<String>) {
        let mut follows_hole = false;
        for slice in std::mem::take(&mut self.playlist.slices) {
            if files.contains(&slice.file) {
                follows_hole = true;
                self.gone.push(slice);
                continue;
            }
            let (discontinuity, dated) = (slice.discontinuity || follows_hole, slice.dated || follows_hole);
            self.playlist.slices.push(ListedSlice { discontinuity, dated, ..slice });
            follows_hole = false;
        }
    }

    /// The first slice that the store does not have any more.
    #[must_use]
    pub fn first_gone(&self) -> Option<&str> {
        self.gone.first().map(|slice| slice.file.as_str())
    }

    /// Its slices, in order.
    #[must_use]
    pub fn slices(&self) -> Vec<StoredSlice> {
        let told = self.manifest.iter().flat_map(|(_, manifest)| &manifest.files);
        let told: HashMap<&str, &ManifestFile> = told.map(|file| (file.name.as_ref(), file)).collect();
        let of = |slice: &ListedSlice| {
            let known = told.get(slice.file.as_str());
            StoredSlice {
                file: slice.file.clone(),
                // Exactly what the playlist's microseconds were made of.
                ticks: (slice.microseconds * 9 + 50) / 100,
                bytes: known.and_then(|file| file.size),
                sha256: known.and_then(|file| file.sha256.as_deref().map(str::to_owned)),
            }
        };
        self.playlist.slices.iter().map(of).collect()
    }

    fn start(&self) -> Option<i64> {
        let stated = self.manifest.as_ref().and_then(|(_, manifest)| millis(manifest.start_time.as_deref()));
        stated.or_else(|| self.playlist.slices.first().map(|slice| slice.start))
    }

    fn stop(&self) -> Option<i64> {
        let stated = self.manifest.as_ref().and_then(|(_, manifest)| millis(manifest.stop_time.as_deref()));
        stated.or_else(|| self.playlist.slices.last().map(ListedSlice::stop))
    }

    fn listed_microseconds(&self) -> u64 {
        self.playlist.slices.iter().map(|slice| slice.microseconds).sum()
    }

    fn recorded_milliseconds(&self) -> u64 {
        let gone = self.gone.iter().map(|slice| slice.microseconds).sum::<u64>() / 1000;
        let stated = self.manifest.as_ref().map(|(_, manifest)| manifest.recorded_milliseconds.saturating_sub(gone));
        stated.unwrap_or_else(|| self.listed_microseconds() / 1000)
    }

    /// Its files: of a part without a manifest those that its playlist lists, which nobody told more of.
    fn files(&self) -> Vec<ManifestFile<'static>> {
        match &self.manifest {
            Some((_, manifest)) => {
                let gone: HashSet<&str> = self.gone.iter().map(|slice| slice.file.as_str()).collect();
                let files = manifest.files.iter().filter(|file| !gone.contains(file.name.as_ref()));
                files.cloned().collect()
            }
            None => {
                std::iter::once(&self.playlist_file).cloned().chain(self.playlist.slices.iter().map(untold)).collect()
            }
        }
    }

    fn gaps(&self) -> Vec<ManifestGap> {
        let lost = |slice: &ListedSlice| gap(slice.start, slice.start, slice.stop(), causes::FILE_LOST);
        let mut gaps: Vec<_> = self.gone.iter().filter_map(lost).collect();
        match &self.manifest {
            Some((_, manifest)) => gaps.extend(manifest.gaps.iter().cloned()),
            None => gaps.extend(self.not_recorded()),
        }
        gaps.sort_by(|former, later| former.start_time.cmp(&later.start_time));
        gaps
    }

    /// What is between two slices that the playlist lists.
    fn not_recorded(&self) -> Vec<ManifestGap> {
        let mut slices: Vec<_> = self.playlist.slices.iter().chain(&self.gone).collect();
        slices.sort_by_key(|slice| slice.start);
        let pairs = slices.iter().zip(slices.iter().skip(1));
        let between = |(former, later): (&&ListedSlice, &&ListedSlice)| {
            gap(former.stop() + ROUNDING, former.stop(), later.start, NOT_RECORDED)
        };
        pairs.filter_map(between).collect()
    }

    /// What was asked for and is not there.
    fn missing(&self) -> Vec<Missing<'static>> {
        let stated = self.manifest.iter().flat_map(|(_, manifest)| manifest.missing.iter().cloned());
        let gone = |slice: &ListedSlice| Missing { name: slice.file.clone().into(), reason: GONE.into() };
        stated.chain(self.gone.iter().map(gone)).collect()
    }

    fn described(&self) -> ManifestPart {
        ManifestPart {
            file_prefix: self.file_prefix.clone(),
            playlist: self.playlist_name.clone(),
            manifest: self.manifest.as_ref().map(|(name, _)| name.clone()),
            start_time: self.start().map(time),
            stop_time: self.stop().map(time),
            recorded_milliseconds: self.recorded_milliseconds(),
            slices: self.playlist.slices.len(),
        }
    }
}

/// The parts as one, in their order; `stem` is of the names of what is over them, and follows from the playlist. None where
/// not one of them has a slice.
#[must_use]
pub fn merge(parts: &[ReadPart], stem: impl FnOnce(&str) -> String) -> Option<MergedPlaylist> {
    let text = playlist(parts)?;
    Some(MergedPlaylist {
        stem: stem(&text),
        text,
        slices: parts.iter().map(|part| part.playlist.slices.len()).sum(),
        microseconds: parts.iter().map(ReadPart::listed_microseconds).sum(),
    })
}

impl MergedPlaylist {
    /// The MP4 of the very slices that this playlist lists, as an earlier manifest over parts tells of it.
    #[must_use]
    pub fn mp4_of(&self, manifest: &[u8]) -> Option<MergedMp4> {
        let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
        let file = |name: String| manifest.files.iter().find(|file| file.name == name);
        let (list, mp4) = (file(names::playlist(&self.stem))?, file(names::mp4(&self.stem))?);
        if list.sha256 != described(names::playlist(&self.stem), &self.text).sha256 {
            return None;
        }
        let (bytes, sha256) = (mp4.size?, mp4.sha256.as_deref()?.to_owned());
        Some(MergedMp4::Stored { name: names::mp4(&self.stem), bytes, sha256 })
    }

    /// The manifest over these parts, whose playlist this is.
    #[must_use]
    pub fn manifest(&self, whole: &WholeRecording, parts: &[ReadPart], mp4: &MergedMp4) -> Option<String> {
        let mut manifest = manifest(whole, parts, described(names::playlist(&self.stem), &self.text));
        match mp4 {
            MergedMp4::Unasked => {}
            MergedMp4::Stored { name, bytes, sha256 } => manifest.files.push(ManifestFile {
                size: Some(*bytes),
                sha256: Some(sha256.clone().into()),
                start_time: manifest.start_time.clone(),
                duration_seconds: Some(seconds(self.microseconds)),
                ..named(name.clone().into())
            }),
            MergedMp4::Missing { name, reason } => {
                manifest.missing.push(Missing { name: name.clone().into(), reason: reason.clone().into() });
            }
        }
        manifest.text()
    }
}

fn playlist(parts: &[ReadPart]) -> Option<String> {
    let listed = || parts.iter().flat_map(|part| &part.playlist.slices);
    let rounded = listed().map(|slice| (slice.microseconds + 500_000) / 1_000_000).max()?;
    let declared = parts.iter().map(|part| u64::from(part.playlist.target_seconds)).max()?;
    let mut text = format!(
        "#EXTM3U\n\
         #EXT-X-VERSION:3\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-ALLOW-CACHE:YES\n\
         #EXT-X-TARGETDURATION:{}\n",
        rounded.max(declared)
    );
    let mut is_first = true;
    for part in parts {
        for (index, slice) in part.playlist.slices.iter().enumerate() {
            let begins_part = index == 0;
            // Writing to a String cannot fail.
            let _ = segment(&mut text, slice, begins_part, is_first);
            is_first = false;
        }
    }
    text.push_str("#EXT-X-ENDLIST\n");
    Some(text)
}

/// A slice as its own playlist has it; one that begins a part never runs on from the one before.
fn segment(text: &mut String, slice: &ListedSlice, begins_part: bool, is_first: bool) -> std::fmt::Result {
    if (begins_part || slice.discontinuity) && !is_first {
        writeln!(text, "#EXT-X-DISCONTINUITY")?;
    }
    if begins_part || slice.discontinuity || slice.dated {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", time(slice.start))?;
    }
    for event in &slice.tracks {
        writeln!(text, "#EXT-X-AGORA-TRACK-EVENT:{event}")?;
    }
    writeln!(text, "#EXTINF:{}.{:06},", slice.microseconds / 1_000_000, slice.microseconds % 1_000_000)?;
    writeln!(text, "{}", slice.file)
}

fn manifest(whole: &WholeRecording, parts: &[ReadPart], playlist: ManifestFile<'static>) -> Manifest<'static> {
    let gaps = gaps(parts);
    let of = |gap: &ManifestGap| Some(millis(Some(&gap.stop_time))?.saturating_sub(millis(Some(&gap.start_time))?));
    let own = || parts.iter().filter_map(|part| part.manifest.as_ref().map(|(_, manifest)| manifest));
    Manifest {
        version: VERSION,
        recording_id: whole.recording_id.to_owned().into(),
        channel: whole.channel.to_owned().into(),
        start_time: parts.iter().filter_map(ReadPart::start).min().map(time),
        stop_time: parts.iter().filter_map(ReadPart::stop).max().map(time),
        recorded_milliseconds: parts.iter().map(ReadPart::recorded_milliseconds).fold(0, u64::saturating_add),
        gap_milliseconds: gaps.iter().filter_map(of).fold(0, i64::saturating_add),
        files: std::iter::once(playlist).chain(parts.iter().flat_map(ReadPart::files)).collect(),
        gaps,
        participants: participants(own()),
        damaged: own().flat_map(|manifest| manifest.damaged.clone()).collect(),
        missing: parts.iter().flat_map(ReadPart::missing).collect(),
        parts: parts.iter().map(ReadPart::described).collect(),
    }
}

/// The gaps of each part, and those between them.
fn gaps(parts: &[ReadPart]) -> Vec<ManifestGap> {
    let mut gaps = Vec::new();
    let mut end = None;
    for part in parts {
        if let (Some(end), Some(start)) = (end, part.start()) {
            gaps.extend(gap(end, end, start, BETWEEN_PARTS));
        }
        gaps.extend(part.gaps());
        end = end.max(part.stop());
    }
    gaps
}

/// What is missing from `start` to `stop`, if anything is after `least`.
fn gap(least: i64, start: i64, stop: i64, reason: &str) -> Option<ManifestGap> {
    let stated = || ManifestGap { start_time: time(start), stop_time: time(stop), reason: reason.to_owned() };
    (stop > least).then(stated)
}

/// Who was there in any part, each once: in a room by identity, else by uid.
fn participants<'a>(manifests: impl Iterator<Item = &'a Manifest<'static>>) -> Vec<ManifestParticipant<'static>> {
    let mut all: Vec<ManifestParticipant<'static>> = Vec::new();
    let mut places = HashMap::new();
    for participant in manifests.flat_map(|manifest| &manifest.participants) {
        let who = participant.identity.as_deref().ok_or(participant.uid);
        let place = *places.entry(who).or_insert(all.len());
        let Some(known) = all.get_mut(place) else {
            all.push(participant.clone());
            continue;
        };
        known.name = participant.name.clone().or(known.name.take());
        known.presences.extend(participant.presences.iter().cloned());
        known.presences_left_out = known.presences_left_out.saturating_add(participant.presences_left_out);
    }
    all
}

fn described(name: String, text: &str) -> ManifestFile<'static> {
    ManifestFile {
        size: Some(text.len() as u64),
        sha256: Some(names::hex(&Sha256::digest(text)).into()),
        ..named(name.into())
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of a recording stay far below 2^52
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000_000.0
}

fn untold(slice: &ListedSlice) -> ManifestFile<'static> {
    ManifestFile {
        start_time: Some(time(slice.start)),
        duration_seconds: Some(seconds(slice.microseconds)),
        ..named(slice.file.clone().into())
    }
}

fn named(name: Cow<'static, str>) -> ManifestFile<'static> {
    ManifestFile {
        name,
        size: None,
        sha256: None,
        start_time: None,
        duration_seconds: None,
        store: None,
        verified: None,
    }
}

fn time(at: i64) -> String {
    names::utc_rfc3339(UtcMillis(at))
}

fn millis(text: Option<&str>) -> Option<i64> {
    DateTime::parse_from_rfc3339(text?).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;

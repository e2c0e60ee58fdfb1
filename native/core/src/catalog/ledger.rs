// SPDX-License-Identifier: Apache-2.0
//! The ledger: a recording's slices, gaps and participants, as its journal tells them. Pure: no file, no clock.

use std::collections::HashMap;

use serde::Serialize;

use crate::catalog::gaps::{Gap, GapExplanations, ROUNDING};
use crate::catalog::record::{Begun, Expected, Record, TrackRecord};
use crate::names;

const TICKS_PER_MILLISECOND: u64 = 90;

/// A recording ends with its last slice; only a longer time after it is a gap.
const LEAVING: i64 = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    pub file: String,
    pub start: i64,
    pub discontinuity: bool,
    pub tracks: Vec<TrackRecord>,
    pub content: SliceContent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SliceContent {
    /// Being written, or left so by a process that died.
    Open,
    /// Nothing playable was in it.
    Empty,
    /// It was complete, and is gone: a gap with its reason stands for it.
    Lost,
    Complete(Complete),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    pub ticks: u64,
    pub bytes: u64,
    pub sha256: String,
    pub md5: String,
    /// In the bucket.
    pub delivered: bool,
    /// On the store's word alone.
    pub unproved: bool,
    /// In the backup store; it stays there.
    pub backed_up: bool,
}

/// A slice's file that is not what was written, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSlice {
    pub file: String,
    /// Its name since then.
    pub aside: String,
    /// When the slice began.
    pub start: i64,
    pub found: Complete,
}

/// A time that a participant was in the channel; `left` is `None` while the participant still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub uid: u32,
    pub joined: i64,
    pub left: Option<i64>,
    /// How often the participant was away for a moment meanwhile.
    pub returns: u32,
}

/// So many presences of one participant are kept, the last among them.
const MOST_PRESENCES: usize = 1000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredCount {
    pub written: u64,
    pub delivered: u64,
    /// In the backup store only.
    pub away: u64,
}

/// What became of the MP4 that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state")]
pub enum Mp4State {
    Wanted,
    Delivered { file: String, bytes: u64, sha256: String },
    GivenUp { file: String, reason: String },
}

#[derive(Debug, Default)]
pub struct Ledger {
    begun: Option<Begun>,
    slices: Vec<Slice>,
    damaged: Vec<DamagedSlice>,
    /// So many of the first slices are in the bucket, or nothing is to be put of them.
    settled: usize,
    stated: Vec<Gap>,
    /// Everybody who ever was to come, by what each is called now.
    participants: Vec<Expected>,
    presences: Vec<Presence>,
    /// How many presences of a participant are not among them.
    left_out: HashMap<u32, u64>,
    resumed: Vec<i64>,
    /// The last moment that was told.
    latest: i64,
    stopped: Option<i64>,
    concluded_in_backup: bool,
    late_playlists: Vec<String>,
    /// What the names of playlist, manifest and MP4 begin with, where it is not the slices' stem.
    own_stem: Option<String>,
    mp4: Option<Mp4State>,
    concluded: bool,
}

impl Complete {
    #[must_use]
    pub fn milliseconds(&self) -> i64 {
        i64::try_from(self.ticks / TICKS_PER_MILLISECOND).unwrap_or(i64::MAX)
    }

    /// In some store.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.delivered || self.backed_up
    }

    /// In the backup store only.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.backed_up && !self.delivered
    }
}

impl Slice {
    /// Whether nothing more becomes of it but what `stored` says of it.
    fn is_settled(&self, stored: impl Fn(&Complete) -> bool) -> bool {
        match &self.content {
            SliceContent::Open => false,
            SliceContent::Empty | SliceContent::Lost => true,
            SliceContent::Complete(complete) => stored(complete),
        }
    }

    #[must_use]
    pub fn complete(&self) -> Option<&Complete> {
        match &self.content {
            SliceContent::Complete(complete) => Some(complete),
            SliceContent::Open | SliceContent::Empty | SliceContent::Lost => None,
        }
    }
}

impl Ledger {
    pub fn apply(&mut self, record: Record) {
        self.enter(record);
        let is_settled = |slice: &Slice| slice.is_settled(|complete| complete.delivered);
        self.settled += self.slices[self.settled..].iter().take_while(|slice| is_settled(slice)).count();
    }

    fn enter(&mut self, record: Record) {
        self.latest = self.latest.max(record.latest().unwrap_or(0));
        match record {
            Record::Begun(begun) => {
                begun.participants.iter().cloned().for_each(|participant| self.know(participant));
                self.begun = Some(*begun);
            }
            Record::Participant(participant) => self.know(participant),
            Record::Resumed { at } => {
                self.resumed.push(at);
                // Nobody was in the channel of a process that had died; what it has recorded tells how long it lived.
                self.leave_all(self.end_of_slices().unwrap_or_default());
            }
            Record::Opened { file, start, discontinuity, tracks } => {
                self.slices.push(Slice { file, start, discontinuity, tracks, content: SliceContent::Open });
            }
            Record::Closed { file, ticks, bytes, sha256, md5 } => {
                let complete =
                    Complete { ticks, bytes, sha256, md5, delivered: false, unproved: false, backed_up: false };
                self.set(&file, SliceContent::Complete(complete));
                self.latest = self.latest.max(self.end_of_slices().unwrap_or(0));
            }
            Record::Damaged { file, aside, bytes, sha256 } => self.set_aside(file, aside, bytes, sha256),
            Record::Empty { file } => {
                self.damaged.retain(|damaged| damaged.aside != file);
                match self.content(&file) {
                    Some(content @ SliceContent::Open) => *content = SliceContent::Empty,
                    Some(content @ SliceContent::Complete(_)) => *content = SliceContent::Lost,
                    _ => {}
                }
            }
            Record::Delivered { file, unproved } => {
                if let Some(complete) = self.file(&file) {
                    complete.delivered = true;
                    complete.unproved = unproved;
                }
            }
            Record::BackedUp { file } => {
                if let Some(complete) = self.file(&file) {
                    complete.backed_up = true;
                }
            }
            Record::ConcludedInBackup => self.concluded_in_backup = true,
            Record::PlaylistRestored { playlist } if self.concluded_in_backup => self.late_playlists.push(playlist),
            Record::PlaylistRestored { playlist } => self.own_stem = names::stem_of(&playlist).map(str::to_owned),
            Record::Gap { start, stop, reason } => self.stated.push(Gap { start, stop, reason }),
            Record::Joined { uid, at } => self.join(uid, at),
            Record::Left { uid, at, returns } => self.leave(uid, at, returns),
            Record::Stopped { .. } => {
                // A wall clock that was set back ends nothing before it was recorded.
                self.stopped = Some(self.latest);
                self.leave_all(self.latest);
            }
            Record::Mp4Delivered { file, bytes, sha256 } => {
                self.mp4 = Some(Mp4State::Delivered { file, bytes, sha256 });
            }
            Record::Mp4GivenUp { file, reason } => self.mp4 = Some(Mp4State::GivenUp { file, reason }),
            Record::Concluded => self.concluded = true,
        }
    }

    #[must_use]
    pub fn begun(&self) -> Option<&Begun> {
        self.begun.as_ref()
    }

    #[must_use]
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    #[must_use]
    pub fn damaged(&self) -> &[DamagedSlice] {
        &self.damaged
    }

    #[must_use]
    pub fn participants(&self) -> &[Expected] {
        &self.participants
    }

    #[must_use]
    pub fn presences(&self) -> &[Presence] {
        &self.presences
    }

    /// Whether the participant ever was in the channel.
    #[must_use]
    pub fn was_there(&self, uid: u32) -> bool {
        self.presences.iter().any(|presence| presence.uid == uid)
    }

    /// How many presences of the participant there were beside those.
    #[must_use]
    pub fn presences_left_out(&self, uid: u32) -> u64 {
        self.left_out.get(&uid).copied().unwrap_or(0)
    }

    /// The last moment that the catalog tells of: whoever takes the recording up goes on from there, whatever became of the
    /// wall clock.
    #[must_use]
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// How long the playlist says that slices are, where it lists any: players rely on it, so it stays.
    #[must_use]
    pub fn declared_slice_seconds(&self) -> Option<u32> {
        let recorded = self.slices.iter().any(|slice| slice.complete().is_some());
        self.begun.as_ref().filter(|_| recorded).map(|begun| begun.slice_seconds)
    }

    /// Whether the bucket has any file of the recording.
    #[must_use]
    pub fn has_reached_bucket(&self) -> bool {
        self.concluded || self.files().any(|complete| complete.delivered)
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    #[must_use]
    pub fn is_concluded(&self) -> bool {
        self.concluded
    }

    /// Whether all was stored once while the bucket did not take all.
    #[must_use]
    pub fn is_concluded_in_backup(&self) -> bool {
        self.concluded_in_backup
    }

    /// The names that playlists have come home under.
    #[must_use]
    pub fn late_playlists(&self) -> &[String] {
        &self.late_playlists
    }

    /// The name of the bucket's playlist; none before the recording has begun.
    #[must_use]
    pub fn playlist_name(&self) -> Option<String> {
        let usual = names::playlist(self.list_stem()?);
        Some(self.late_playlists.last().cloned().unwrap_or(usual))
    }

    /// What the names of the recording's files begin with that are no slices; none before the recording has begun.
    #[must_use]
    pub fn list_stem(&self) -> Option<&str> {
        let begun = self.begun.as_ref()?;
        Some(self.own_stem.as_deref().unwrap_or(&begun.stem))
    }

    /// Whether that is another one than slices have, as somebody else's files have the usual names.
    #[must_use]
    pub fn is_named_apart(&self) -> bool {
        self.own_stem.is_some()
    }

    /// When the recording began: with its first slice, even if that is lost.
    #[must_use]
    pub fn start(&self) -> Option<i64> {
        let recorded = |slice: &&Slice| matches!(slice.content, SliceContent::Complete(_) | SliceContent::Lost);
        self.slices.iter().find(recorded).map(|slice| slice.start)
    }

    /// When the recording ended: with its last slice, or with the gap after it.
    #[must_use]
    pub fn stop(&self) -> Option<i64> {
        let stopped = self.stopped?;
        let end = self.end_of_slices().or(self.start())?;
        Some(if stopped - end > LEAVING { stopped } else { end })
    }

    /// Whether recording is over and the bucket has every file.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.is_stopped() && self.files().all(|complete| complete.delivered)
    }

    /// The slices, and the files of damaged ones.
    fn files(&self) -> impl Iterator<Item = &Complete> {
        self.slices.iter().filter_map(Slice::complete).chain(self.damaged.iter().map(|damaged| &damaged.found))
    }

    /// Whether the file is on the work volume only, as far as the catalog knows.
    #[must_use]
    pub fn is_wanted(&self, file: &str) -> bool {
        let known =
            self.slices.iter().rev().find(|slice| slice.file == file).is_some_and(|slice| slice.complete().is_some())
                || self.is_set_aside(file);
        known && !self.is_stored(file)
    }

    /// Whether it is what was found in the place of a slice.
    #[must_use]
    pub fn is_set_aside(&self, file: &str) -> bool {
        self.damaged.iter().any(|damaged| damaged.aside == file)
    }

    /// Whether a store has the slice.
    #[must_use]
    pub fn is_stored(&self, file: &str) -> bool {
        let slice = self.slices.iter().rev().find(|slice| slice.file == file).and_then(Slice::complete);
        let damaged = || self.damaged.iter().find(|damaged| damaged.aside == file).map(|damaged| &damaged.found);
        slice.or_else(damaged).is_some_and(Complete::is_stored)
    }

    /// The MP4, if one was asked for.
    #[must_use]
    pub fn mp4(&self) -> Option<&Mp4State> {
        let wanted = self.begun.as_ref().filter(|begun| begun.mp4).map(|_| &Mp4State::Wanted);
        wanted.and(self.mp4.as_ref()).or(wanted)
    }

    /// How many slices there are, and how many bytes they have.
    #[must_use]
    pub fn counts(&self) -> (StoredCount, StoredCount) {
        let mut slices = StoredCount::default();
        let mut bytes = StoredCount::default();
        for complete in self.slices.iter().filter_map(Slice::complete) {
            slices.written += 1;
            bytes.written += complete.bytes;
            if complete.delivered {
                slices.delivered += 1;
                bytes.delivered += complete.bytes;
            } else if complete.is_away() {
                slices.away += 1;
                bytes.away += complete.bytes;
            }
        }
        (slices, bytes)
    }

    /// How much media waits on the work volume alone.
    #[must_use]
    pub fn pending_milliseconds(&self) -> i64 {
        let waits = |complete: &&Complete| !complete.is_stored();
        self.slices.iter().filter_map(Slice::complete).filter(waits).map(Complete::milliseconds).sum()
    }

    /// The slices up to the first that is not in the bucket: what a playlist may list while more may come.
    pub fn unbroken(&self) -> impl Iterator<Item = (&Slice, &Complete)> {
        self.slices[..self.settled].iter().filter_map(|slice| Some((slice, slice.complete()?)))
    }

    /// Those of them that come behind the first `seen` slices of any kind, and how many there are now.
    pub fn unbroken_since(&self, seen: usize) -> (impl Iterator<Item = (&Slice, &Complete)>, usize) {
        let new = self.slices[seen.min(self.settled)..self.settled].iter();
        (new.filter_map(|slice| Some((slice, slice.complete()?))), self.settled)
    }

    /// The slices in the backup store, up to the first that is in no store yet: what the playlist there may list.
    pub fn backed_up(&self) -> impl Iterator<Item = (&Slice, &Complete)> {
        let complete = self.slices.iter().take_while(|slice| slice.is_settled(Complete::is_stored));
        complete.filter_map(|slice| Some((slice, slice.complete()?))).filter(|(_, complete)| complete.backed_up)
    }

    /// The end of the last slice of the unbroken run.
    #[must_use]
    pub fn durable_until(&self) -> Option<i64> {
        let last = self.slices[..self.settled].iter().rev().find_map(|slice| Some((slice, slice.complete()?)));
        last.map(|(slice, complete)| slice.start + complete.milliseconds())
    }

    #[must_use]
    pub fn recorded_milliseconds(&self) -> u64 {
        self.slices.iter().filter_map(Slice::complete).map(|complete| complete.ticks).sum::<u64>()
            / TICKS_PER_MILLISECOND
    }

    /// What is missing between the recording's start and its stop (or its last slice): together with the slices,
    /// exactly that time.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let explanations = GapExplanations::new(&self.stated, &self.resumed);
        let mut end = self.start();
        for (slice, complete) in self.slices.iter().filter_map(|slice| Some((slice, slice.complete()?))) {
            if let Some(end) = end.filter(|end| slice.start - end > ROUNDING) {
                explanations.explain(end, slice.start, &mut gaps);
            }
            end = Some(slice.start + complete.milliseconds());
        }
        if let (Some(end), Some(stop)) = (end, self.stop()) {
            if stop > end {
                explanations.explain(end, stop, &mut gaps);
            }
        }
        gaps
    }

    /// The end of the last slice.
    #[must_use]
    pub fn end_of_slices(&self) -> Option<i64> {
        let last = self.slices.iter().rev().find_map(|slice| Some((slice, slice.complete()?)));
        last.map(|(slice, complete)| slice.start + complete.milliseconds())
    }

    fn know(&mut self, participant: Expected) {
        match self.participants.iter_mut().find(|known| known.uid == participant.uid) {
            Some(known) => *known = participant,
            None => self.participants.push(participant),
        }
    }

    fn join(&mut self, uid: u32, at: i64) {
        let of = |presence: &Presence| presence.uid == uid;
        if self.presences.iter().filter(|presence| of(presence)).count() >= MOST_PRESENCES {
            let last = self.presences.iter().rposition(of);
            last.map(|last| self.presences.remove(last));
            *self.left_out.entry(uid).or_default() += 1;
        }
        self.presences.push(Presence { uid, joined: at, left: None, returns: 0 });
    }

    fn leave(&mut self, uid: u32, at: i64, returns: u32) {
        if let Some(presence) = self.presences.iter_mut().rev().find(|presence| presence.uid == uid) {
            presence.left = presence.left.or(Some(at));
            presence.returns = presence.returns.max(returns);
        }
    }

    fn leave_all(&mut self, at: i64) {
        for presence in &mut self.presences {
            presence.left = presence.left.or(Some(at.max(presence.joined)));
        }
    }

    fn set(&mut self, file: &str, content: SliceContent) {
        if let Some(slot) = self.content(file) {
            *slot = content;
        }
    }

    fn set_aside(&mut self, file: String, aside: String, bytes: u64, sha256: String) {
        let Some(slice) = self.slices.iter_mut().rev().find(|slice| slice.file == file) else { return };
        let SliceContent::Complete(complete) = std::mem::replace(&mut slice.content, SliceContent::Lost) else {
            return;
        };
        let found = Complete { bytes, sha256, delivered: false, unproved: false, backed_up: false, ..complete };
        self.damaged.push(DamagedSlice { file, aside, start: slice.start, found });
    }

    /// What is known of the file of this name, be it a slice or what was found in the place of one.
    fn file(&mut self, name: &str) -> Option<&mut Complete> {
        let slice = self.slices.iter_mut().rev().find(|slice| slice.file == name);
        match slice.map(|slice| &mut slice.content) {
            Some(SliceContent::Complete(complete)) => Some(complete),
            Some(_) => None,
            None => self.damaged.iter_mut().find(|damaged| damaged.aside == name).map(|damaged| &mut damaged.found),
        }
    }

    /// The slice is one of the last, so the search begins there.
    fn content(&mut self, file: &str) -> Option<&mut SliceContent> {
        self.slices.iter_mut().rev().find(|slice| slice.file == file).map(|slice| &mut slice.content)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
pub(crate) mod tests;

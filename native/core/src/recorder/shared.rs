// SPDX-License-Identifier: Apache-2.0
//! What a recorder's session shows to other threads, and how they reach it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::capture::api::{CaptureFigures, Layout, MaxResolution, StreamSource};
use crate::catalog::ledger::{Ledger, Mp4State, StoredCount};
use crate::catalog::Catalog;
use crate::config::{self, BucketLocation};
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::log::Log;
use crate::recorder::directory_cleanup::DirectoryCleanup;
use crate::recorder::machine::{BucketHealth, FailureCause, Machine, State};
use crate::recorder::participants::{Participant, ParticipantState, Participants};
use crate::recorder::recording_log;
use crate::recorder::upload::progress;
use crate::recorder::upload::relocation::{moved, RelocateRequest};

/// Lists in a snapshot are the last so many; totals stand beside them.
const LAST: usize = 20;

/// A move interrupts whatever the uploader waits for.
const MOVED_WITHIN: Duration = Duration::from_secs(20);

/// What others ask of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    Stop,
    SetPaused(bool),
    /// The channel's streams from now on.
    SetStreams(Vec<StreamSource>),
    SetLayout(Layout, MaxResolution),
    /// The instance was released: record no more, upload what there is.
    Detach,
    /// The instance was cancelled: neither record nor upload any more.
    Cancel,
}

/// What stays as it is while somebody records, and decides what may change.
#[derive(Debug, Clone)]
pub struct RecordingTraits {
    /// Whether nothing is composed, so that there is no layout to change, nor who is in it.
    pub passed_through: bool,
    /// The channel is a room.
    pub room: bool,
    pub protocols: Vec<String>,
    /// The recorder's own number in the channel.
    pub uid: u32,
}

pub struct Shared {
    pub recording_id: String,
    pub log: Log,
    pub control: OnceLock<UnboundedSender<Control>>,
    traits: OnceLock<RecordingTraits>,
    pub directory_cleanup: DirectoryCleanup,
    pub moves: OnceLock<UnboundedSender<RelocateRequest>>,
    catalog: OnceLock<Arc<Catalog>>,
    view: Mutex<SessionView>,
}

/// Nothing is recorded at present, by order; the gap that it makes is in no list before it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PauseStatus {
    pub reason: &'static str,
    /// In milliseconds UTC.
    pub since: i64,
}

/// What the session has published of itself.
#[derive(Debug, Clone, Default)]
struct SessionView {
    state: State,
    participants: Participants,
    in_channel: Option<bool>,
    last_error: Option<Error>,
    bucket_health: BucketHealth,
    failure_causes: VecDeque<FailureCause>,
    work_volume_full: bool,
    pause: Option<PauseStatus>,
    figures: CaptureFigures,
    /// On the work volume, before recording pauses.
    bytes_left: Option<u64>,
}

impl Shared {
    #[must_use]
    pub fn new(recording_id: String, log: &config::LogSettings) -> Self {
        Self {
            log: Log::new(log, &recording_id),
            recording_id,
            control: OnceLock::new(),
            traits: OnceLock::new(),
            directory_cleanup: DirectoryCleanup::default(),
            moves: OnceLock::new(),
            catalog: OnceLock::new(),
            view: Mutex::default(),
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.view.locked().state
    }

    /// Told once, as the recording starts.
    pub fn begin_as(&self, traits: RecordingTraits) {
        // A recorder starts once.
        let _ = self.traits.set(traits);
    }

    /// Nothing before the recording starts.
    #[must_use]
    pub fn traits(&self) -> Option<&RecordingTraits> {
        self.traits.get()
    }

    /// Set once, as the recording starts.
    pub fn show_catalog(&self, catalog: Arc<Catalog>) {
        // A recorder starts once.
        let _ = self.catalog.set(catalog);
    }

    pub fn publish(&self, machine: &Machine, figures: Option<CaptureFigures>) {
        let mut view = self.view.locked();
        view.state = machine.state();
        view.participants = machine.participants().clone();
        view.in_channel = machine.in_channel();
        view.last_error = machine.last_error().cloned();
        view.bucket_health = machine.bucket_health().clone();
        view.failure_causes.clone_from(machine.failure_causes());
        view.work_volume_full = machine.is_volume_full();
        view.figures = figures.unwrap_or(view.figures);
    }

    pub fn publish_pause(&self, pause: Option<PauseStatus>) {
        self.view.locked().pause = pause;
    }

    pub fn publish_bytes_left(&self, bytes_left: Option<u64>) {
        self.view.locked().bytes_left = bytes_left;
    }

    /// Has the files go elsewhere; the error says why they cannot.
    pub fn move_to(&self, location: BucketLocation) -> Result<(), Error> {
        let refused = |message| Error::new(Code::InvalidOperation, message);
        let catalog = self.catalog.get().ok_or_else(|| refused("nothing is being recorded"))?;
        // What is refused anyway must not interrupt an upload.
        moved(&catalog.ledger(), &location)?;
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let asked = self.moves.get().is_some_and(|moves| moves.send(RelocateRequest { location, answer }).is_ok());
        if !asked {
            return Err(refused("everything is uploaded already"));
        }
        answered.recv_timeout(MOVED_WITHIN).unwrap_or_else(|_| Err(refused("the uploader does not answer")))
    }

    /// The session cannot say anything any more, or never began. What is stored stays so.
    pub fn publish_failure(&self, error: Error) {
        let mut view = self.view.locked();
        if view.state != State::Uploaded {
            view.state = State::Failed;
            view.last_error = Some(error);
        }
    }

    /// False where no session is there to hear it.
    pub fn send(&self, control: Control) -> bool {
        let Some(sender) = self.control.get() else { return false };
        recording_log::control(&control);
        sender.send(control).is_ok()
    }

    /// The snapshot of `cr_status`.
    #[must_use]
    pub fn snapshot(&self) -> String {
        let view = self.view.locked().clone();
        let snapshot = match self.catalog.get() {
            Some(catalog) => Snapshot::of(&self.recording_id, view, &catalog.ledger()),
            None => Snapshot::without_catalog(&self.recording_id, view),
        };
        serde_json::to_string(&snapshot).unwrap_or_default()
    }
}

/// The snapshot of a recording that nobody records any more: what its catalog says, and how the bucket is.
#[must_use]
pub fn snapshot_of_catalog(recording_id: &str, state: State, bucket_health: BucketHealth, ledger: &Ledger) -> String {
    let view = SessionView { state, bucket_health, ..SessionView::default() };
    serde_json::to_string(&Snapshot::of(recording_id, view, ledger)).unwrap_or_default()
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot<'a> {
    state: State,
    recording_id: &'a str,
    playlist: String,
    /// Whether it is put at the end, and was not yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    playlist_pending: bool,
    start_time: Option<i64>,
    stop_time: Option<i64>,
    slices: Totals,
    bytes: Totals,
    progress_percent: u32,
    last_durable_slice_time: Option<i64>,
    recorded_milliseconds: u64,
    gap_milliseconds: i64,
    gap_count: usize,
    gaps: Vec<SnapshotGap>,
    /// Media that is on the work volume alone.
    pending_milliseconds: i64,
    /// What may still be written there before recording pauses; absent while nothing is recorded.
    volume_free_bytes: Option<u64>,
    participants: Vec<Participant>,
    participant_count: usize,
    somebody_joined: bool,
    /// Whether the recorder is in the room, where the channel is one and that is known.
    in_channel: Option<bool>,
    storage: BucketHealth,
    /// Of the newest failures that callbacks told.
    failure_causes: VecDeque<FailureCause>,
    pause: Option<PauseStatus>,
    work_volume_full: bool,
    position_milliseconds: u64,
    tick_lateness_microseconds: SnapshotLateness,
    last_error: Option<LastError>,
    /// What became of the MP4, if one was asked for.
    mp4: Option<Mp4State>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    written: u64,
    uploaded: u64,
    backed_up: u64,
    pending: u64,
}

#[derive(Debug, Serialize)]
struct SnapshotGap {
    start: i64,
    stop: i64,
    reason: String,
}

#[derive(Debug, Default, Serialize)]
struct SnapshotLateness {
    p50: u64,
    p99: u64,
}

#[derive(Debug, Serialize)]
struct LastError {
    code: i32,
    message: String,
}

impl<'a> Snapshot<'a> {
    fn of(recording_id: &'a str, view: SessionView, ledger: &Ledger) -> Self {
        let (slices, bytes) = ledger.counts();
        let gaps = ledger.gaps();
        Self {
            playlist: ledger.playlist_name().unwrap_or_default(),
            playlist_pending: ledger.begun().is_some_and(|begun| begun.target.is_write_once())
                && !ledger.is_concluded(),
            start_time: ledger.start(),
            stop_time: ledger.stop(),
            slices: Totals::new(slices),
            bytes: Totals::new(bytes),
            progress_percent: progress::percent(ledger),
            last_durable_slice_time: ledger.durable_until(),
            recorded_milliseconds: ledger.recorded_milliseconds(),
            gap_milliseconds: gaps.iter().map(|gap| gap.stop - gap.start).sum(),
            gap_count: gaps.len(),
            gaps: last(gaps).map(|gap| SnapshotGap { start: gap.start, stop: gap.stop, reason: gap.reason }).collect(),
            pending_milliseconds: ledger.pending_milliseconds(),
            mp4: ledger.mp4().cloned(),
            ..Self::without_catalog(recording_id, view)
        }
    }

    fn without_catalog(recording_id: &'a str, view: SessionView) -> Self {
        let participants = view.participants.listed().to_vec();
        Self {
            state: view.state,
            recording_id,
            participant_count: participants.iter().filter(|one| one.state == ParticipantState::Joined).count(),
            participants: last(participants).collect(),
            somebody_joined: view.participants.somebody_joined(),
            in_channel: view.in_channel,
            storage: view.bucket_health,
            failure_causes: view.failure_causes,
            pause: view.pause,
            work_volume_full: view.work_volume_full,
            volume_free_bytes: view.bytes_left.filter(|_| view.state.captures()),
            position_milliseconds: milliseconds(view.figures.position),
            tick_lateness_microseconds: SnapshotLateness {
                p50: microseconds(view.figures.tick_lateness_p50),
                p99: microseconds(view.figures.tick_lateness_p99),
            },
            last_error: view.last_error.map(|error| LastError { code: error.code as i32, message: error.message }),
            ..Self::default()
        }
    }
}

impl Totals {
    fn new(count: StoredCount) -> Self {
        let StoredCount { written, delivered, away } = count;
        Self { written, uploaded: delivered, backed_up: away, pending: written - delivered - away }
    }
}

fn last<T>(items: Vec<T>) -> impl Iterator<Item = T> {
    let surplus = items.len().saturating_sub(LAST);
    items.into_iter().skip(surplus)
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn microseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::record::Record;
    use crate::catalog::tests::stalled;

    #[test]
    fn the_status_is_answered_while_the_disk_stands_still() {
        let (catalog, other_end, writer) = stalled(Record::Stopped { at: 1 });
        let shared = Shared::new("0".repeat(32), &config::LogSettings::default());
        shared.show_catalog(Arc::clone(&catalog));
        let (answer, answered) = std::sync::mpsc::channel();
        std::thread::spawn(move || answer.send(shared.snapshot()));
        let snapshot = answered.recv_timeout(Duration::from_secs(10)).expect("an answer");
        assert!(snapshot.contains("\"stopTime\":null"), "{snapshot}");
        assert!(!writer.is_finished());
        drop((other_end, catalog));
        assert!(writer.join().unwrap().is_err());
    }
}

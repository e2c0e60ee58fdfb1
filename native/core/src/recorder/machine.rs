// SPDX-License-Identifier: Apache-2.0
//! The life of one recording as a pure state machine: inputs in, actions out, time as a parameter. It does nothing itself.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::capture::api::{CaptureEvent, TrackKind};
use crate::catalog::record::Expected;
use crate::causes;
use crate::error::{Code, Error};
use crate::recorder::callbacks::Callback;
use crate::recorder::participants::{ParticipantIssue, Participants};
use crate::recorder::upload::error::RecordingError;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum State {
    #[default]
    Idle,
    Connecting,
    Recording,
    /// The connection to everybody who was there broke, and is being made again.
    Reconnecting,
    Paused,
    Stopping,
    Uploading,
    Uploaded,
    BackedUp,
    Failed,
}

impl State {
    /// Whether the recorder is in the channel.
    #[must_use]
    pub fn captures(self) -> bool {
        matches!(self, Self::Connecting | Self::Recording | Self::Reconnecting | Self::Paused)
    }
}

/// Why nothing is recorded for a while; the names are part of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    Asked,
    WorkVolumeFull,
    /// In a kind of channel that the recorder joins: whoever speaks there meanwhile is not heard.
    NotInChannel,
}

impl Pause {
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Asked => "Paused",
            Self::WorkVolumeFull => causes::WORK_VOLUME_FULL,
            Self::NotInChannel => "NotInChannel",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Tell(Callback),
    /// Pause capture, or resume it.
    SetPaused(Option<Pause>),
    StopCapture,
}

/// What the uploads tell of themselves; whoever tells it never asks. `Machine::upload_event` says what becomes of it.
#[derive(Debug)]
pub enum UploadEvent {
    /// With the code of the store that refuses.
    Failed(Error),
    /// Something is not tried any more, with the cause in one word: a slice that is lost, where it is the reason of the gap
    /// that stands for it, or the MP4. The rest goes on without it.
    GivenUp {
        cause: &'static str,
        error: Error,
    },
    /// A store took something, or gave it back.
    Answered,
    /// The bucket takes everything that is put, for the first time or again.
    BucketAnswers,
    /// The bucket refuses something, whatever else it takes; told for each cause anew.
    BucketFails {
        cause: &'static str,
        fact: String,
    },
    /// Files go elsewhere from now on.
    Moved,
    BackupRecovered,
    /// Everything is stored, some of it in the backup store only; its playlist has this name.
    BackedUp {
        playlist: String,
    },
    /// Everything is in the bucket; the playlist has this name.
    Concluded {
        playlist: String,
    },
    /// Nothing is uploaded any more in this process.
    Broken(RecordingError),
}

/// Whether the bucket takes what is put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum BucketState {
    /// Nothing was put yet, or not since the files go elsewhere.
    #[default]
    Untried,
    Ready,
    Failing,
}

/// `storage` of the snapshot (`cr_status`), in these words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BucketHealth {
    state: BucketState,
    /// Since when it is in this state, in milliseconds UTC.
    since: Option<i64>,
    /// Why it fails, in one word for programs.
    cause: Option<&'static str>,
    /// The same in words for people, without a way out.
    message: String,
}

impl BucketHealth {
    pub fn answers(&mut self, at: i64) {
        *self = Self { state: BucketState::Ready, since: Some(at), ..Self::default() };
    }

    /// Another cause is the same failure going on.
    pub fn fails(&mut self, cause: &'static str, message: String, at: i64) {
        let since = self.since.filter(|_| self.state == BucketState::Failing).unwrap_or(at);
        *self = Self { state: BucketState::Failing, since: Some(since), cause: Some(cause), message };
    }

    /// Whether it has taken something, and refuses nothing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == BucketState::Ready
    }
}

/// Why a failure happened that a callback told, which itself has a message and a code alone: one of `failureCauses` of the
/// snapshot (`cr_status`), by which whoever has the callback finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureCause {
    /// As the callback has it.
    message: String,
    /// In one word for programs.
    cause: &'static str,
    /// In words for people, without a way out.
    fact: String,
}

/// How many of the newest causes a snapshot tells: callbacks wait for their reader, who looks once for several.
const LAST_CAUSES: usize = 8;

/// How long the recorder waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// With nobody in the channel before anybody came.
    pub first: Duration,
    /// With nobody in the channel after somebody was.
    pub idle: Duration,
    /// For connections that broke, before they count as lost for good.
    pub reconnect: Duration,
    /// For stores that take nothing after the stop; for ever, where that is left out.
    pub stores: Option<Duration>,
}

/// The connection to everybody broke.
struct Loss {
    cause: String,
    /// How much longer it is only an interruption.
    left: Duration,
}

/// How what is being stopped shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    Stopped,
    ByItself,
    Fatal,
}

pub struct Machine {
    state: State,
    participants: Participants,
    playlist: String,
    timeouts: Timeouts,
    idle_left: Duration,
    loss: Option<Loss>,
    /// The connection to everybody broke, and neither they nor the recorder have come back since.
    cut_off: bool,
    /// Whether the recorder itself is where its participants are, in a kind of channel that it joins.
    in_channel: Option<bool>,
    upload_left: Option<Duration>,
    paused: bool,
    volume_full: bool,
    /// What capture was told last.
    pause: Option<Pause>,
    ending: Ending,
    last_error: Option<Error>,
    /// The newest error of a participant's track.
    media_error: Option<(u32, TrackKind, Error)>,
    bucket_health: BucketHealth,
    failure_causes: VecDeque<FailureCause>,
    actions: VecDeque<Action>,
}

impl Machine {
    #[must_use]
    pub fn new(participants: Participants, playlist: String, timeouts: Timeouts) -> Self {
        let idle_left = if participants.somebody_joined() { timeouts.idle } else { timeouts.first };
        Self {
            state: State::Idle,
            participants,
            playlist,
            timeouts,
            idle_left,
            loss: None,
            cut_off: false,
            in_channel: None,
            upload_left: timeouts.stores,
            paused: false,
            volume_full: false,
            pause: None,
            ending: Ending::Stopped,
            last_error: None,
            media_error: None,
            bucket_health: BucketHealth::default(),
            failure_causes: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    #[must_use]
    pub fn participants(&self) -> &Participants {
        &self.participants
    }

    #[must_use]
    pub fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    #[must_use]
    pub fn in_channel(&self) -> Option<bool> {
        self.in_channel
    }

    #[must_use]
    pub fn bucket_health(&self) -> &BucketHealth {
        &self.bucket_health
    }

    /// Of the failures that were told, oldest first.
    #[must_use]
    pub fn failure_causes(&self) -> &VecDeque<FailureCause> {
        &self.failure_causes
    }

    #[must_use]
    pub fn is_volume_full(&self) -> bool {
        self.volume_full
    }

    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The recorder goes to its channel.
    pub fn connect(&mut self) {
        self.state = State::Connecting;
        self.tell(Callback::Connecting);
    }

    /// The recorder goes back to its channel after an earlier process had died.
    pub fn resume(&mut self) {
        self.connect();
        let message = "an earlier recorder of this recording ended without a stop; what it had recorded is kept";
        self.recorder_failure(Code::RecorderExit, message.to_owned());
    }

    /// An earlier process had stopped this recording already: only its upload is left.
    pub fn resume_stopped(&mut self) {
        self.state = State::Stopping;
        self.capture_stopped(true, 0);
    }

    pub fn event(&mut self, event: &CaptureEvent) {
        match event {
            CaptureEvent::Expected { uid, name, identity } => {
                self.participants.expect(Expected { uid: *uid, name: name.clone(), identity: identity.clone() });
            }
            CaptureEvent::Dismissed { uid } => self.dismissed(*uid),
            CaptureEvent::Joined { uid, at, audio, video } => {
                self.participants.joined(*uid, at.0, *audio, *video);
                self.idle_left = self.timeouts.idle;
                self.loss = None;
                self.cut_off = false;
                self.forget(&[Code::Disconnected]);
                self.apply_pause();
                if self.state == State::Connecting {
                    self.state = State::Recording;
                    self.tell(Callback::Started);
                    self.apply_pause();
                }
            }
            CaptureEvent::MediaChanged { uid, audio, video } => self.participants.media_changed(*uid, *audio, *video),
            CaptureEvent::Left { uid, at, lost, message } => self.left(*uid, at.0, *lost, message),
            CaptureEvent::Unavailable { uid, refused, message } => {
                self.participants.unavailable(*uid, *refused, message.clone());
                if self.state == State::Connecting && self.participants.is_refused() {
                    self.fail(Error::new(Code::ConnectError, format!("the channel refuses the recorder: {message}")));
                }
            }
            CaptureEvent::Remark { uid, remark, holds } => self.participants.remark(*uid, *remark, *holds),
            CaptureEvent::Transcoding { uid, reason } => {
                let message = format!("participant {uid} is transcoded and not passed through: {reason}");
                self.recorder_failure(Code::RecorderFailed, message);
            }
            CaptureEvent::TrackLost { uid, track, reason, cause, is_news } => {
                self.media_failed(*uid, ParticipantIssue::Lost(*track), (reason, *cause), *is_news);
            }
            CaptureEvent::TrackDamaged { uid, track, reason, is_news } => {
                self.media_failed(*uid, ParticipantIssue::Damaged(*track), (reason, None), *is_news);
            }
            CaptureEvent::TrackHealed { uid, track } => self.healed(*uid, *track),
            CaptureEvent::Broken(fatal) => self.fail(fatal.error().clone()),
            CaptureEvent::ChannelUnreached { refused, message } => self.channel_unreached(*refused, message),
            CaptureEvent::ChannelReached => {
                self.in_channel = Some(true);
                self.cut_off = false;
                self.forget(&[Code::ConnectError]);
                self.apply_pause();
            }
            CaptureEvent::ThrownOut { message } => self.thrown_out(message),
            CaptureEvent::Gap { .. } => {}
        }
    }

    /// Time went by.
    pub fn pass(&mut self, elapsed: Duration) {
        if self.state == State::Uploading {
            self.wait_for_stores(elapsed);
        } else {
            self.wait_for_users(elapsed);
        }
    }

    /// A program waits for the end of the upload, but not for ever.
    fn wait_for_stores(&mut self, elapsed: Duration) {
        let Some((most, left)) = self.timeouts.stores.zip(self.upload_left.as_mut()) else { return };
        *left = left.saturating_sub(elapsed);
        if left.is_zero() {
            let last = self.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            let message = format!("no store took anything for {} s after the stop{last}", most.as_secs());
            self.fail(Error::new(Code::UploaderFailed, message));
        }
    }

    /// What the uploads tell.
    pub fn upload_event(&mut self, event: UploadEvent, at: i64) {
        match event {
            UploadEvent::Failed(error) => self.store_failed(error),
            UploadEvent::GivenUp { cause, error } => {
                self.note_cause(&error.message, cause, error.message.clone());
                self.upload_failed(error);
            }
            UploadEvent::Answered => self.store_answered(),
            UploadEvent::BucketAnswers => self.bucket_answers(at),
            UploadEvent::BucketFails { cause, fact } => self.bucket_fails(cause, fact, at),
            UploadEvent::Moved => self.bucket_moved(),
            UploadEvent::BackupRecovered => self.backup_recovered(),
            UploadEvent::BackedUp { playlist } => self.backed_up(playlist),
            UploadEvent::Concluded { playlist } => self.upload_concluded(playlist),
            UploadEvent::Broken(error) => self.fail(error.into()),
        }
    }

    /// A store took or gave something.
    fn store_answered(&mut self) {
        self.upload_left = self.timeouts.stores;
    }

    /// The idle clock runs only where somebody could be heard.
    fn wait_for_users(&mut self, elapsed: Duration) {
        if !self.state.captures() || !self.participants.is_empty() {
            return;
        }
        if let Some(loss) = &mut self.loss {
            loss.left = loss.left.saturating_sub(elapsed);
            if loss.left.is_zero() {
                self.give_up_reconnecting();
            }
        } else if !self.is_paused() {
            self.idle_left = self.idle_left.saturating_sub(elapsed);
            if self.idle_left.is_zero() {
                self.recorder_failure(Code::NoUsers, self.loneliness());
                self.leave(Ending::ByItself);
            }
        }
    }

    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.apply_pause();
    }

    /// The work volume has reached its limit, or has room again.
    pub fn set_volume_full(&mut self, full: bool) {
        if self.volume_full != full && self.state.captures() {
            self.volume_full = full;
            // Paused first: who is told may look.
            self.apply_pause();
            if full {
                let message = "the work volume is nearly full: recording pauses until uploads have made room";
                self.note_cause(message, causes::WORK_VOLUME_FULL, message.to_owned());
                self.recorder_failure(Code::RecorderFailed, message.to_owned());
            }
        }
    }

    pub fn stop(&mut self) {
        if self.state.captures() {
            self.leave(Ending::Stopped);
        }
    }

    /// The recording cannot be carried on to its end. What was recorded is still uploaded, if it can be.
    pub fn fail(&mut self, error: Error) {
        match self.state {
            // It has had its end, and nothing is told any more.
            State::Uploaded | State::Failed => return,
            State::BackedUp => {}
            State::Connecting | State::Recording | State::Reconnecting | State::Paused => {
                self.end_fatally(&error);
                self.actions.push_back(Action::StopCapture);
            }
            State::Idle | State::Stopping | State::Uploading => self.end_fatally(&error),
        }
        self.last_error = Some(error);
    }

    fn end_fatally(&mut self, error: &Error) {
        self.tell(error.clone().into());
        self.ending = Ending::Fatal;
        self.state = State::Failed;
    }

    /// Capture has ended, and everything it made is in the catalog.
    pub fn capture_stopped(&mut self, anything_recorded: bool, at: i64) {
        self.participants.end(at);
        self.in_channel = self.in_channel.map(|_| false);
        if self.ending == Ending::Fatal {
            return;
        }
        if !anything_recorded && self.ending == Ending::Stopped {
            self.recorder_failure(Code::NoRecordedData, "the recording ended before anything was recorded".to_owned());
        }
        self.state = State::Uploading;
        self.tell(Callback::Stopped);
    }

    /// The bucket, whose health tells the cause just before, or the backup store.
    fn store_failed(&mut self, error: Error) {
        let BucketHealth { cause, message, .. } = &self.bucket_health;
        if let Some(cause) = cause.filter(|_| error.code != Code::BackupFailed) {
            let fact = message.clone();
            self.note_cause(&error.message, cause, fact);
        }
        self.upload_failed(error);
    }

    fn note_cause(&mut self, message: &str, cause: &'static str, fact: String) {
        if self.failure_causes.len() == LAST_CAUSES {
            self.failure_causes.pop_front();
        }
        self.failure_causes.push_back(FailureCause { message: message.to_owned(), cause, fact });
    }

    fn upload_failed(&mut self, error: Error) {
        if self.ending == Ending::Fatal {
            return;
        }
        // After that callback nothing is told any more; the snapshot still shows it.
        if self.state != State::BackedUp {
            self.tell(Callback::UploaderFailure { code: error.code, message: error.message.clone() });
        }
        self.last_error = Some(error);
    }

    /// The bucket takes what is put.
    fn bucket_answers(&mut self, at: i64) {
        self.bucket_health.answers(at);
        self.upload_recovered();
    }

    fn bucket_fails(&mut self, cause: &'static str, fact: String, at: i64) {
        self.bucket_health.fails(cause, fact, at);
    }

    /// Nothing is known of the other place yet, and what was wrong with the first is no matter.
    fn bucket_moved(&mut self) {
        self.bucket_health = BucketHealth::default();
        self.upload_recovered();
    }

    fn upload_recovered(&mut self) {
        self.forget(&[Code::UploaderInit, Code::UploaderFailed]);
    }

    fn backup_recovered(&mut self) {
        self.forget(&[Code::BackupFailed]);
    }

    /// Told while the recorder is in the channel: after the stop nothing comes but how it ends, and what fails.
    pub fn upload_progressed(&mut self, percent: u32, playlist: Option<String>) {
        if self.state.captures() {
            self.playlist = playlist.unwrap_or_else(|| std::mem::take(&mut self.playlist));
            self.tell(Callback::UploadingProgress { percent, playlist: self.playlist.clone() });
        }
    }

    /// Everything is stored, some of it in the backup store only.
    fn backed_up(&mut self, playlist: String) {
        if self.state == State::Uploading {
            self.state = State::BackedUp;
            self.tell(Callback::BackedUp { playlist });
        }
    }

    /// Everything is in the bucket. Of uploaded and backed up one is told, whatever comes home after that.
    fn upload_concluded(&mut self, playlist: String) {
        match self.state {
            State::Uploading => {
                self.state = State::Uploaded;
                self.tell(Callback::Uploaded { playlist });
            }
            State::BackedUp => {
                self.state = State::Uploaded;
                self.last_error = None;
            }
            _ => {}
        }
    }

    /// The channel is its participants' connections: it is lost with the last of them. Their sources are tried again in any
    /// case.
    fn left(&mut self, uid: u32, at: i64, lost: bool, message: &str) {
        self.participants.left(uid, at, message.to_owned());
        if lost && self.state.captures() && self.participants.is_empty() {
            self.loss = Some(Loss { cause: message.to_owned(), left: self.timeouts.reconnect });
            self.cut_off = true;
            self.apply_pause();
        }
    }

    /// A channel that refuses everybody from the beginning is not going to be recorded; for any other somebody may come back.
    fn channel_unreached(&mut self, refused: bool, message: &str) {
        self.in_channel = Some(false);
        if refused && self.state == State::Connecting && !self.participants.somebody_joined() {
            self.fail(Error::new(Code::ConnectError, format!("the channel refuses the recorder: {message}")));
        } else if self.state.captures() {
            self.apply_pause();
            self.recorder_failure(Code::ConnectError, format!("the recorder is not in the channel: {message}"));
        }
    }

    /// Somebody had the recorder leave: that is a stop, as they may do, and no reason to come back.
    fn thrown_out(&mut self, message: &str) {
        self.in_channel = Some(false);
        if self.state.captures() {
            self.recorder_failure(Code::Disconnected, format!("the recording ends: {message}"));
            self.leave(Ending::ByItself);
        }
    }

    /// Told by name: what is not recorded of somebody is not seen to be missing until it is too late.
    fn media_failed(
        &mut self,
        uid: u32,
        issue: ParticipantIssue,
        (reason, cause): (&str, Option<&'static str>),
        is_news: bool,
    ) {
        let message = issue.message(reason);
        if self.participants.set_issue(uid, issue, message.clone(), cause) && is_news {
            let message = format!("participant {}: {message}", self.participants.name(uid));
            if let Some(cause) = cause {
                self.note_cause(&message, cause, message.clone());
            }
            self.recorder_failure(Code::RecorderFailed, message);
            self.media_error = self.last_error.clone().zip(issue.track()).map(|(error, track)| (uid, track, error));
        }
    }

    fn healed(&mut self, uid: u32, track: TrackKind) {
        self.participants.healed(uid, track);
        self.media_error_is_over(|of, kind| (of, kind) == (uid, track));
    }

    /// Of somebody who is not to come again nothing is missed any more.
    fn dismissed(&mut self, uid: u32) {
        self.participants.dismiss(uid);
        self.media_error_is_over(|of, _| of == uid);
    }

    fn media_error_is_over(&mut self, is_it: impl Fn(u32, TrackKind) -> bool) {
        if let Some((_, _, error)) = self.media_error.take_if(|(of, track, _)| is_it(*of, *track)) {
            // Another error may have come meanwhile, which is not over.
            self.last_error.take_if(|last| *last == error);
        }
    }

    /// From here on it is as if everybody had left: a participant whose machine is gone looks the same.
    fn give_up_reconnecting(&mut self) {
        let Some(Loss { cause, .. }) = self.loss.take() else { return };
        let (tried, idle) = (self.timeouts.reconnect.as_secs(), self.timeouts.idle.as_secs());
        let message = format!(
            "the connection to everybody in the channel was lost and could not be made again for {tried} s ({cause}); \
             unless somebody comes within {idle} s, the recording ends"
        );
        self.recorder_failure(Code::Disconnected, message);
        self.apply_pause();
    }

    fn loneliness(&self) -> String {
        if self.participants.somebody_joined() {
            format!("nobody was in the channel for {} s", self.timeouts.idle.as_secs())
        } else {
            let shut_out = |error: &&Error| self.in_channel == Some(false) && error.code == Code::ConnectError;
            let why = self
                .last_error
                .as_ref()
                .filter(shut_out)
                .map(|error| format!(": {}", error.message))
                .unwrap_or_default();
            format!("nobody came to the channel within {} s{why}", self.timeouts.first.as_secs())
        }
    }

    /// What was wrong is so no longer.
    fn forget(&mut self, codes: &[Code]) {
        if self.last_error.as_ref().is_some_and(|error| codes.contains(&error.code)) {
            self.last_error = None;
        }
    }

    fn leave(&mut self, ending: Ending) {
        self.ending = ending;
        self.state = State::Stopping;
        self.actions.push_back(Action::StopCapture);
    }

    fn is_paused(&self) -> bool {
        self.paused || self.volume_full
    }

    /// Whether nobody can be heard, as the recorder is outside of the channel where they were. A room that is closed behind
    /// the last one has nobody to be heard.
    fn is_outside(&self) -> bool {
        self.in_channel == Some(false) && self.cut_off
    }

    /// Brings capture in line with what pauses it; before anybody has joined there is nothing to pause.
    fn apply_pause(&mut self) {
        if !matches!(self.state, State::Recording | State::Reconnecting | State::Paused) {
            return;
        }
        let pause = match (self.volume_full, self.paused, self.is_outside()) {
            (true, _, _) => Some(Pause::WorkVolumeFull),
            (false, true, _) => Some(Pause::Asked),
            (false, false, true) => Some(Pause::NotInChannel),
            (false, false, false) => None,
        };
        self.state = match (pause, &self.loss) {
            (Some(Pause::WorkVolumeFull | Pause::Asked), _) => State::Paused,
            (Some(Pause::NotInChannel), _) | (None, Some(_)) => State::Reconnecting,
            (None, None) => State::Recording,
        };
        if std::mem::replace(&mut self.pause, pause) != pause {
            self.actions.push_back(Action::SetPaused(pause));
        }
    }

    fn recorder_failure(&mut self, code: Code, message: String) {
        self.last_error = Some(Error::new(code, message.clone()));
        self.tell(Callback::RecorderFailure { code, message });
    }

    fn tell(&mut self, callback: Callback) {
        self.actions.push_back(Action::Tell(callback));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

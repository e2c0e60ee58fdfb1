// SPDX-License-Identifier: Apache-2.0
//! The life of one recording as a pure state machine: inputs in, orders out, time as a parameter. It does nothing itself.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::capture::api::{CaptureEvent, TrackKind};
use crate::error::{Code, Error};
use crate::recorder::callbacks::Callback;
use crate::recorder::health::BucketHealth;
use crate::recorder::participants::Participants;

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
}

impl Pause {
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Asked => "Paused",
            Self::WorkVolumeFull => "WorkVolumeFull",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Tell(Callback),
    /// Hold capture, or let it go on.
    SetPaused(Option<Pause>),
    StopCapture,
}

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
    Idle,
    Fatal,
}

pub struct Machine {
    state: State,
    roster: Participants,
    playlist: String,
    patience: Timeouts,
    idle_left: Duration,
    loss: Option<Loss>,
    upload_left: Option<Duration>,
    paused: bool,
    volume_full: bool,
    ending: Ending,
    last_error: Option<Error>,
    bucket: BucketHealth,
    orders: VecDeque<Action>,
}

impl Machine {
    #[must_use]
    pub fn new(roster: Participants, playlist: String, patience: Timeouts) -> Self {
        let idle_left = if roster.somebody_joined() { patience.idle } else { patience.first };
        Self {
            state: State::Idle,
            roster,
            playlist,
            patience,
            idle_left,
            loss: None,
            upload_left: patience.stores,
            paused: false,
            volume_full: false,
            ending: Ending::Stopped,
            last_error: None,
            bucket: BucketHealth::default(),
            orders: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    #[must_use]
    pub fn roster(&self) -> &Participants {
        &self.roster
    }

    #[must_use]
    pub fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    #[must_use]
    pub fn bucket(&self) -> &BucketHealth {
        &self.bucket
    }

    #[must_use]
    pub fn is_volume_full(&self) -> bool {
        self.volume_full
    }

    pub fn next_order(&mut self) -> Option<Action> {
        self.orders.pop_front()
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
            CaptureEvent::Joined { uid, at, audio, video } => {
                self.roster.joined(*uid, at.0, *audio, *video);
                self.idle_left = self.patience.idle;
                self.loss = None;
                self.forget(&[Code::Disconnected]);
                self.settle();
                if self.state == State::Connecting {
                    self.state = State::Recording;
                    self.tell(Callback::Started);
                    self.hold();
                }
            }
            CaptureEvent::MediaChanged { uid, audio, video } => self.roster.media_changed(*uid, *audio, *video),
            CaptureEvent::Left { uid, at, lost, message } => self.left(*uid, at.0, *lost, message),
            CaptureEvent::Unavailable { uid, refused, message } => {
                self.roster.unavailable(*uid, *refused, message.clone());
                if self.state == State::Connecting && self.roster.is_refused() {
                    self.fail(Error::new(Code::ConnectError, format!("the channel refuses the recorder: {message}")));
                }
            }
            CaptureEvent::Remark { uid, message } => self.roster.remark(*uid, message.clone()),
            CaptureEvent::Transcoding { uid, reason } => {
                let message = format!("participant {uid} is transcoded and not passed through: {reason}");
                self.recorder_failure(Code::RecorderFailed, message);
            }
            CaptureEvent::TrackLost { uid, track, reason } => {
                self.complain(*uid, *track, &format!("cannot be recorded: {reason}"));
            }
            CaptureEvent::TrackDamaged { uid, track, reason } => {
                self.complain(*uid, *track, &format!("is damaged: {reason}"));
            }
            CaptureEvent::Broken(fatal) => self.fail(fatal.error().clone()),
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
        let Some((most, left)) = self.patience.stores.zip(self.upload_left.as_mut()) else { return };
        *left = left.saturating_sub(elapsed);
        if left.is_zero() {
            let last = self.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            let message = format!("no store took anything for {} s after the stop{last}", most.as_secs());
            self.fail(Error::new(Code::UploaderFailed, message));
        }
    }

    /// A store took or gave something.
    pub fn store_answered(&mut self) {
        self.upload_left = self.patience.stores;
    }

    /// The idle clock runs only where somebody could be heard.
    fn wait_for_users(&mut self, elapsed: Duration) {
        if !self.state.captures() || !self.roster.is_empty() {
            return;
        }
        if let Some(loss) = &mut self.loss {
            loss.left = loss.left.saturating_sub(elapsed);
            if loss.left.is_zero() {
                self.give_up_reconnecting();
            }
        } else if !self.is_held() {
            self.idle_left = self.idle_left.saturating_sub(elapsed);
            if self.idle_left.is_zero() {
                self.recorder_failure(Code::NoUsers, self.loneliness());
                self.leave(Ending::Idle);
            }
        }
    }

    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.hold();
    }

    /// The work volume has reached its limit, or has room again.
    pub fn set_volume_full(&mut self, full: bool) {
        if self.volume_full != full && self.state.captures() {
            self.volume_full = full;
            // Held first: who is told may look.
            self.hold();
            if full {
                let message = "the work volume is nearly full: recording pauses until uploads have made room";
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
                self.orders.push_back(Action::StopCapture);
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
        self.roster.end(at);
        if self.ending == Ending::Fatal {
            return;
        }
        if !anything_recorded && self.ending == Ending::Stopped {
            self.recorder_failure(Code::NoRecordedData, "the recording ended before anything was recorded".to_owned());
        }
        self.state = State::Uploading;
        self.tell(Callback::Stopped);
    }

    pub fn upload_failed(&mut self, error: Error) {
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
    pub fn bucket_answers(&mut self, at: i64) {
        self.bucket.answers(at);
        self.upload_recovered();
    }

    pub fn bucket_fails(&mut self, cause: &'static str, fact: String, at: i64) {
        self.bucket.fails(cause, fact, at);
    }

    /// Nothing is known of the other place yet, and what was wrong with the first is no matter.
    pub fn bucket_moved(&mut self) {
        self.bucket = BucketHealth::default();
        self.upload_recovered();
    }

    fn upload_recovered(&mut self) {
        self.forget(&[Code::UploaderInit, Code::UploaderFailed]);
    }

    pub fn backup_recovered(&mut self) {
        self.forget(&[Code::BackupFailed]);
    }

    /// Told while the recorder is in the channel: after the stop nothing comes but how it ends, and what fails.
    pub fn upload_progressed(&mut self, percent: u32) {
        if self.state.captures() {
            self.tell(Callback::UploadingProgress { percent, playlist: self.playlist.clone() });
        }
    }

    /// Everything is stored, some of it in the backup store only.
    pub fn backed_up(&mut self, playlist: String) {
        if self.state == State::Uploading {
            self.state = State::BackedUp;
            self.tell(Callback::BackedUp { playlist });
        }
    }

    /// Everything is in the bucket. Of uploaded and backed up one is told, whatever comes home after that.
    pub fn upload_concluded(&mut self, playlist: String) {
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
        self.roster.left(uid, at, message.to_owned());
        if lost && self.state.captures() && self.roster.is_empty() {
            self.loss = Some(Loss { cause: message.to_owned(), left: self.patience.reconnect });
            self.settle();
        }
    }

    /// Told by name: what is not recorded of somebody is not seen to be missing until it is too late.
    fn complain(&mut self, uid: u32, track: TrackKind, words: &str) {
        let what = if track == TrackKind::Audio { "sound" } else { "picture" };
        let message = format!("the {what} {words}");
        if self.roster.complain(uid, &message) {
            self.recorder_failure(Code::RecorderFailed, format!("participant {}: {message}", self.roster.name(uid)));
        }
    }

    /// From here on it is as if everybody had left: a participant whose machine is gone looks the same.
    fn give_up_reconnecting(&mut self) {
        let Some(Loss { cause, .. }) = self.loss.take() else { return };
        let (tried, idle) = (self.patience.reconnect.as_secs(), self.patience.idle.as_secs());
        let message = format!(
            "the connection to everybody in the channel was lost and could not be made again for {tried} s ({cause}); \
             unless somebody comes within {idle} s, the recording ends"
        );
        self.recorder_failure(Code::Disconnected, message);
        self.settle();
    }

    fn loneliness(&self) -> String {
        if self.roster.somebody_joined() {
            format!("nobody was in the channel for {} s", self.patience.idle.as_secs())
        } else {
            format!("nobody came to the channel within {} s", self.patience.first.as_secs())
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
        self.orders.push_back(Action::StopCapture);
    }

    fn is_held(&self) -> bool {
        self.paused || self.volume_full
    }

    /// Brings capture in line with what holds it; before anybody has joined there is nothing to hold.
    fn hold(&mut self) {
        let pause = match (self.volume_full, self.paused) {
            (true, _) => Some(Pause::WorkVolumeFull),
            (false, true) => Some(Pause::Asked),
            (false, false) => None,
        };
        let was_held = self.state == State::Paused;
        if self.settle() && (was_held || pause.is_some()) {
            self.orders.push_back(Action::SetPaused(pause));
        }
    }

    /// Where a recording stands that has begun and is not being ended; false for any other.
    fn settle(&mut self) -> bool {
        let is_under_way = matches!(self.state, State::Recording | State::Reconnecting | State::Paused);
        if is_under_way {
            self.state = match (self.is_held(), &self.loss) {
                (true, _) => State::Paused,
                (false, Some(_)) => State::Reconnecting,
                (false, None) => State::Recording,
            };
        }
        is_under_way
    }

    fn recorder_failure(&mut self, code: Code, message: String) {
        self.last_error = Some(Error::new(code, message.clone()));
        self.tell(Callback::RecorderFailure { code, message });
    }

    fn tell(&mut self, callback: Callback) {
        self.orders.push_back(Action::Tell(callback));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::api::UtcMillis;
    use crate::catalog::record::Expected;

    const PATIENCE: Timeouts = Timeouts {
        first: Duration::from_secs(90),
        idle: Duration::from_secs(30),
        reconnect: Duration::from_secs(60),
        stores: Some(Duration::from_secs(300)),
    };

    fn machine() -> Machine {
        let expected = [1, 2].map(|uid| Expected { uid, name: None });
        Machine::new(Participants::new(&expected, false), "p.m3u8".into(), PATIENCE)
    }

    fn orders(machine: &mut Machine) -> Vec<Action> {
        std::iter::from_fn(|| machine.next_order()).collect()
    }

    fn connected() -> Machine {
        let mut machine = machine();
        machine.connect();
        assert_eq!(orders(&mut machine), [Action::Tell(Callback::Connecting)]);
        machine
    }

    fn recording() -> Machine {
        let mut machine = connected();
        machine.event(&joined(1));
        assert_eq!(orders(&mut machine), [Action::Tell(Callback::Started)]);
        machine
    }

    fn joined(uid: u32) -> CaptureEvent {
        CaptureEvent::Joined { uid, at: UtcMillis(1), audio: true, video: true }
    }

    fn left(uid: u32) -> CaptureEvent {
        CaptureEvent::Left { uid, at: UtcMillis(2), lost: false, message: "gone".into() }
    }

    fn lost(uid: u32) -> CaptureEvent {
        CaptureEvent::Left { uid, at: UtcMillis(2), lost: true, message: "reset".into() }
    }

    fn unavailable(uid: u32, refused: bool) -> CaptureEvent {
        CaptureEvent::Unavailable { uid, refused, message: "no".into() }
    }

    fn uploaded() -> [Action; 1] {
        [Action::Tell(Callback::Uploaded { playlist: "p.m3u8".into() })]
    }

    fn fatal(code: Code, message: &str) -> Action {
        Action::Tell(Callback::FatalError { code, message: message.into() })
    }

    fn uploading() -> Machine {
        let mut machine = recording();
        machine.stop();
        machine.capture_stopped(true, 5);
        assert_eq!(orders(&mut machine), [Action::StopCapture, Action::Tell(Callback::Stopped)]);
        machine
    }

    #[test]
    fn a_recording_is_connected_started_stopped_and_uploaded_once() {
        let mut machine = recording();
        machine.event(&joined(2));
        machine.stop();
        machine.stop();
        assert_eq!(orders(&mut machine), [Action::StopCapture]);
        machine.capture_stopped(true, 5);
        assert_eq!(orders(&mut machine), [Action::Tell(Callback::Stopped)]);
        machine.upload_concluded("p.m3u8".into());
        machine.upload_concluded("p.m3u8".into());
        assert_eq!(orders(&mut machine), uploaded());
        assert_eq!(machine.state(), State::Uploaded);
    }

    #[test]
    fn nobody_ever_and_everybody_left_both_end_the_recording_each_in_its_own_time() {
        let table = [
            (false, Duration::from_secs(90), "nobody came to the channel within 90 s"),
            (true, Duration::from_secs(30), "nobody was in the channel for 30 s"),
        ];
        for (somebody, patience, message) in table {
            let mut machine = if somebody { recording() } else { connected() };
            if somebody {
                machine.pass(Duration::from_secs(3600));
                machine.event(&left(1));
            }
            machine.pass(patience.checked_sub(Duration::from_secs(1)).unwrap());
            assert_eq!(orders(&mut machine), []);
            machine.pass(Duration::from_secs(1));
            let failure = Callback::RecorderFailure { code: Code::NoUsers, message: message.to_owned() };
            assert_eq!(orders(&mut machine), [Action::Tell(failure), Action::StopCapture]);
            machine.capture_stopped(somebody, 5);
            assert_eq!(orders(&mut machine), [Action::Tell(Callback::Stopped)]);
            machine.upload_concluded("p.m3u8".into());
            assert_eq!(orders(&mut machine), uploaded());
        }
    }

    #[test]
    fn the_idle_clock_begins_anew_when_somebody_comes_and_stands_still_while_paused() {
        let mut machine = recording();
        machine.event(&left(1));
        machine.pass(Duration::from_secs(29));
        machine.set_paused(true);
        machine.pass(Duration::from_secs(3600));
        machine.set_paused(false);
        machine.event(&joined(2));
        machine.event(&left(2));
        machine.pass(Duration::from_secs(29));
        let pause = |pause| Action::SetPaused(pause);
        assert_eq!(orders(&mut machine), [pause(Some(Pause::Asked)), pause(None)]);
        machine.pass(Duration::from_secs(1));
        assert_eq!(machine.state(), State::Stopping);
    }

    #[test]
    fn a_lost_channel_is_reconnected_to_in_silence_while_the_idle_clock_stands_still() {
        let mut machine = recording();
        machine.event(&joined(2));
        machine.event(&lost(1));
        assert_eq!((orders(&mut machine), machine.state()), (vec![], State::Recording));
        machine.event(&lost(2));
        machine.event(&unavailable(2, false));
        machine.pass(Duration::from_secs(59));
        assert_eq!((orders(&mut machine), machine.state()), (vec![], State::Reconnecting));
        machine.event(&joined(1));
        machine.pass(Duration::from_secs(3600));
        assert_eq!((orders(&mut machine), machine.state(), machine.last_error()), (vec![], State::Recording, None));
    }

    #[test]
    fn a_channel_that_is_lost_for_good_is_told_once_and_a_whole_idle_time_before_the_end() {
        let mut machine = recording();
        machine.event(&lost(1));
        machine.pass(Duration::from_secs(60));
        let told = orders(&mut machine);
        assert!(matches!(
            &told[..],
            [Action::Tell(Callback::RecorderFailure { code: Code::Disconnected, message })] if message.contains("(reset)")
        ));
        assert_eq!(machine.state(), State::Recording);
        machine.pass(Duration::from_secs(29));
        assert_eq!(orders(&mut machine), []);
        machine.event(&joined(1));
        assert_eq!((orders(&mut machine), machine.last_error()), (vec![], None));
        machine.event(&lost(1));
        machine.pass(Duration::from_secs(60));
        assert_eq!(orders(&mut machine).len(), 1, "another loss is told again");
        machine.pass(Duration::from_secs(30));
        assert_eq!(machine.state(), State::Stopping);
    }

    #[test]
    fn a_pause_outranks_reconnecting_and_leaves_it_as_it_was() {
        let mut machine = recording();
        machine.event(&lost(1));
        machine.set_paused(true);
        assert_eq!(machine.state(), State::Paused);
        machine.set_paused(false);
        assert_eq!(machine.state(), State::Reconnecting);
        let pause = |pause| Action::SetPaused(pause);
        assert_eq!(orders(&mut machine), [pause(Some(Pause::Asked)), pause(None)]);
        machine.set_paused(true);
        machine.event(&joined(1));
        assert_eq!(machine.state(), State::Paused);
        machine.set_paused(false);
        assert_eq!(machine.state(), State::Recording);
        machine.event(&lost(1));
        machine.stop();
        machine.pass(Duration::from_secs(60));
        assert_eq!(machine.state(), State::Stopping);
    }

    #[test]
    fn who_ends_properly_does_not_disconnect() {
        let mut machine = recording();
        machine.event(&joined(2));
        machine.event(&lost(1));
        machine.event(&left(2));
        assert_eq!(orders(&mut machine), []);
    }

    #[test]
    fn a_channel_that_refuses_every_source_is_fatal_only_before_anybody_joined() {
        let mut machine = connected();
        machine.event(&unavailable(1, true));
        machine.event(&unavailable(2, false));
        assert_eq!(machine.state(), State::Connecting);
        machine.event(&unavailable(2, true));
        let fatal = fatal(Code::ConnectError, "the channel refuses the recorder: no");
        assert_eq!(orders(&mut machine), [fatal, Action::StopCapture]);
        machine.capture_stopped(false, 5);
        machine.upload_concluded("p.m3u8".into());
        assert_eq!((orders(&mut machine), machine.state()), (vec![], State::Failed));

        let mut machine = recording();
        machine.event(&left(1));
        machine.event(&unavailable(1, true));
        machine.event(&unavailable(2, true));
        assert_eq!((orders(&mut machine), machine.state()), (vec![], State::Recording));
    }

    #[test]
    fn a_track_that_cannot_be_recorded_is_told_once_by_name_and_ends_nothing() {
        let expected = [Expected { uid: 1, name: Some("alice".into()) }];
        let mut machine = Machine::new(Participants::new(&expected, false), "p.m3u8".into(), PATIENCE);
        let lost = |reason: &str| CaptureEvent::TrackLost { uid: 1, track: TrackKind::Video, reason: reason.into() };
        machine.event(&joined(1));
        machine.event(&lost("no decoder"));
        machine.event(&lost("no decoder"));
        let message = "participant 1 (alice): the picture cannot be recorded: no decoder".to_owned();
        let told = Callback::RecorderFailure { code: Code::RecorderFailed, message };
        assert_eq!(orders(&mut machine), [Action::Tell(told)]);
        assert_eq!(machine.roster().participants()[0].message, "the picture cannot be recorded: no decoder");
    }

    #[test]
    fn nothing_follows_a_fatal_error() {
        let mut machine = recording();
        machine.fail(Error::new(Code::RecorderFailed, "disk"));
        machine.fail(Error::new(Code::GeneralError, "again"));
        machine.stop();
        machine.capture_stopped(true, 5);
        machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
        machine.upload_progressed(50);
        machine.upload_concluded("p.m3u8".into());
        assert_eq!(orders(&mut machine), [fatal(Code::RecorderFailed, "disk"), Action::StopCapture]);
        assert_eq!(machine.last_error().unwrap().message, "disk");
    }

    #[test]
    fn a_failure_after_the_stop_is_fatal_until_the_recording_has_ended() {
        let error = || Error::new(Code::RecorderFailed, "journal");
        let mut stopping = recording();
        stopping.stop();
        orders(&mut stopping);
        stopping.fail(error());
        stopping.capture_stopped(true, 5);
        assert_eq!(orders(&mut stopping), [fatal(Code::RecorderFailed, "journal")]);

        let mut machine = uploading();
        machine.fail(error());
        machine.fail(error());
        machine.upload_concluded("p.m3u8".into());
        assert_eq!(orders(&mut machine), [fatal(Code::RecorderFailed, "journal")]);

        let mut uploaded = uploading();
        uploaded.upload_concluded("p.m3u8".into());
        orders(&mut uploaded);
        uploaded.fail(error());
        assert_eq!((orders(&mut uploaded), uploaded.last_error()), (vec![], None));

        let mut backed_up = uploading();
        backed_up.backed_up("p.m3u8".into());
        orders(&mut backed_up);
        backed_up.fail(error());
        assert_eq!((orders(&mut backed_up), backed_up.last_error()), (vec![], Some(&error())));
    }

    #[test]
    fn stores_that_take_nothing_after_the_stop_for_too_long_are_fatal() {
        let mut machine = uploading();
        machine.pass(Duration::from_secs(299));
        machine.store_answered();
        machine.upload_failed(Error::new(Code::UploaderFailed, "no such bucket"));
        orders(&mut machine);
        machine.pass(Duration::from_secs(299));
        assert_eq!(orders(&mut machine), []);
        machine.pass(Duration::from_secs(1));
        let message = "no store took anything for 300 s after the stop (no such bucket)";
        assert_eq!(orders(&mut machine), [fatal(Code::UploaderFailed, message)]);
        machine.pass(Duration::from_secs(300));
        assert_eq!(orders(&mut machine), []);
    }

    #[test]
    fn while_it_records_and_once_it_is_stored_the_stores_have_time() {
        let mut machine = recording();
        machine.pass(Duration::from_secs(3600));
        assert_eq!(orders(&mut machine), []);
        let mut machine = uploading();
        machine.backed_up("p.m3u8".into());
        orders(&mut machine);
        machine.pass(Duration::from_secs(3600));
        assert_eq!(orders(&mut machine), []);

        let mut machine =
            Machine::new(Participants::new(&[], false), "p.m3u8".into(), Timeouts { stores: None, ..PATIENCE });
        machine.resume_stopped();
        orders(&mut machine);
        machine.pass(Duration::from_secs(1_000_000));
        assert_eq!(orders(&mut machine), []);
    }

    #[test]
    fn progress_is_told_while_it_records() {
        let mut machine = recording();
        machine.upload_progressed(50);
        let told = Action::Tell(Callback::UploadingProgress { percent: 50, playlist: "p.m3u8".into() });
        assert_eq!(orders(&mut machine), [told]);
        let mut machine = uploading();
        machine.upload_progressed(60);
        assert_eq!(orders(&mut machine), []);
    }

    #[test]
    fn a_stop_before_anything_was_recorded_says_so() {
        let mut machine = connected();
        machine.stop();
        machine.capture_stopped(false, 5);
        let orders = orders(&mut machine);
        assert!(matches!(
            &orders[..],
            [
                Action::StopCapture,
                Action::Tell(Callback::RecorderFailure { code: Code::NoRecordedData, .. }),
                Action::Tell(Callback::Stopped)
            ]
        ));
    }

    #[test]
    fn a_full_work_volume_outranks_a_pause_and_waits_for_the_first_to_join() {
        let mut machine = connected();
        machine.set_paused(true);
        assert_eq!(orders(&mut machine), []);
        machine.event(&joined(1));
        machine.set_volume_full(true);
        machine.set_paused(false);
        machine.set_volume_full(false);
        let pauses: Vec<_> = orders(&mut machine)
            .into_iter()
            .filter_map(|order| if let Action::SetPaused(pause) = order { Some(pause) } else { None })
            .collect();
        let (asked, full) = (Some(Pause::Asked), Some(Pause::WorkVolumeFull));
        assert_eq!(pauses, [asked, full, full, None]);
        assert_eq!(machine.state(), State::Recording);
    }

    #[test]
    fn what_was_backed_up_comes_home_in_silence() {
        let mut machine = recording();
        machine.backed_up("p.m3u8".into());
        assert_eq!((orders(&mut machine), machine.state()), (vec![], State::Recording));
        machine.stop();
        machine.capture_stopped(true, 5);
        orders(&mut machine);
        machine.upload_failed(Error::new(Code::BackupFailed, "backup"));
        assert_eq!(orders(&mut machine).len(), 1);
        machine.backup_recovered();
        machine.backed_up("p.m3u8".into());
        let told = Action::Tell(Callback::BackedUp { playlist: "p.m3u8".into() });
        assert_eq!((orders(&mut machine), machine.state()), (vec![told], State::BackedUp));
        machine.backed_up("p.m3u8".into());
        machine.upload_progressed(50);
        machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
        machine.upload_concluded("p_1_0.m3u8".into());
        assert_eq!((orders(&mut machine), machine.state()), (vec![], State::Uploaded));
    }

    #[test]
    fn an_error_of_the_upload_is_forgotten_when_it_heals() {
        let mut machine = recording();
        machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
        assert!(machine.last_error().is_some());
        machine.bucket_answers(0);
        assert!(machine.last_error().is_none());
    }
}

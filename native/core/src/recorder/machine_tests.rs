// SPDX-License-Identifier: Apache-2.0
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
    let expected = [1, 2].map(|uid| Expected { uid, name: None, identity: None });
    Machine::new(Participants::new(&expected, false), "p.m3u8".into(), PATIENCE)
}

fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.next_action()).collect()
}

fn connected() -> Machine {
    let mut machine = machine();
    machine.connect();
    assert_eq!(actions(&mut machine), [Action::Tell(Callback::Connecting)]);
    machine
}

fn recording() -> Machine {
    let mut machine = connected();
    machine.event(&joined(1));
    assert_eq!(actions(&mut machine), [Action::Tell(Callback::Started)]);
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
    assert_eq!(actions(&mut machine), [Action::StopCapture, Action::Tell(Callback::Stopped)]);
    machine
}

#[test]
fn a_recording_is_connected_started_stopped_and_uploaded_once() {
    let mut machine = recording();
    machine.event(&joined(2));
    machine.stop();
    machine.stop();
    assert_eq!(actions(&mut machine), [Action::StopCapture]);
    machine.capture_stopped(true, 5);
    assert_eq!(actions(&mut machine), [Action::Tell(Callback::Stopped)]);
    machine.upload_concluded("p.m3u8".into());
    machine.upload_concluded("p.m3u8".into());
    assert_eq!(actions(&mut machine), uploaded());
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
        assert_eq!(actions(&mut machine), []);
        machine.pass(Duration::from_secs(1));
        let failure = Callback::RecorderFailure { code: Code::NoUsers, message: message.to_owned() };
        assert_eq!(actions(&mut machine), [Action::Tell(failure), Action::StopCapture]);
        machine.capture_stopped(somebody, 5);
        assert_eq!(actions(&mut machine), [Action::Tell(Callback::Stopped)]);
        machine.upload_concluded("p.m3u8".into());
        assert_eq!(actions(&mut machine), uploaded());
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
    assert_eq!(actions(&mut machine), [pause(Some(Pause::Asked)), pause(None)]);
    machine.pass(Duration::from_secs(1));
    assert_eq!(machine.state(), State::Stopping);
}

#[test]
fn whoever_was_not_named_keeps_a_channel_from_being_idle_and_who_is_taken_out_leaves_it_so() {
    let mut machine = recording();
    machine.event(&left(1));
    machine.event(&CaptureEvent::Expected { uid: 77, name: None, identity: Some("carol".into()) });
    machine.event(&joined(77));
    machine.pass(Duration::from_secs(3600));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Recording));
    machine.event(&left(77));
    machine.event(&CaptureEvent::Dismissed { uid: 77 });
    machine.pass(Duration::from_secs(29));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Recording), "leaving is no loss");
    machine.pass(Duration::from_secs(1));
    assert_eq!(machine.state(), State::Stopping);
}

#[test]
fn a_lost_channel_is_reconnected_to_in_silence_while_the_idle_clock_stands_still() {
    let mut machine = recording();
    machine.event(&joined(2));
    machine.event(&lost(1));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Recording));
    machine.event(&lost(2));
    machine.event(&unavailable(2, false));
    machine.pass(Duration::from_secs(59));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Reconnecting));
    machine.event(&joined(1));
    machine.pass(Duration::from_secs(3600));
    assert_eq!((actions(&mut machine), machine.state(), machine.last_error()), (vec![], State::Recording, None));
}

#[test]
fn a_channel_that_is_lost_for_good_is_told_once_and_a_whole_idle_time_before_the_end() {
    let mut machine = recording();
    machine.event(&lost(1));
    machine.pass(Duration::from_secs(60));
    let told = actions(&mut machine);
    assert!(matches!(
        &told[..],
        [Action::Tell(Callback::RecorderFailure { code: Code::Disconnected, message })] if message.contains("(reset)")
    ));
    assert_eq!(machine.state(), State::Recording);
    machine.pass(Duration::from_secs(29));
    assert_eq!(actions(&mut machine), []);
    machine.event(&joined(1));
    assert_eq!((actions(&mut machine), machine.last_error()), (vec![], None));
    machine.event(&lost(1));
    machine.pass(Duration::from_secs(60));
    assert_eq!(actions(&mut machine).len(), 1, "another loss is told again");
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
    assert_eq!(actions(&mut machine), [pause(Some(Pause::Asked)), pause(None)]);
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
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn a_channel_that_cannot_be_entered_is_final_only_where_it_refuses_before_anybody_joined() {
    let unreached = |refused| CaptureEvent::ChannelUnreached { refused, message: "no".into() };
    let told = |code, message: &str| Action::Tell(Callback::RecorderFailure { code, message: message.into() });
    let mut machine = connected();
    machine.event(&unreached(false));
    assert_eq!(actions(&mut machine), [told(Code::ConnectError, "the recorder is not in the channel: no")]);
    assert_eq!(machine.in_channel(), Some(false));
    machine.event(&CaptureEvent::ChannelReached);
    assert_eq!((machine.state(), machine.last_error()), (State::Connecting, None));
    assert_eq!(machine.in_channel(), Some(true));
    let mut machine = connected();
    machine.event(&unreached(true));
    let fatal = fatal(Code::ConnectError, "the channel refuses the recorder: no");
    assert_eq!(actions(&mut machine), [fatal, Action::StopCapture]);
    let mut machine = recording();
    machine.event(&unreached(true));
    assert_eq!(actions(&mut machine), [told(Code::ConnectError, "the recorder is not in the channel: no")]);
    assert_eq!(machine.state(), State::Recording);
}

#[test]
fn nothing_is_recorded_while_nobody_is_heard_because_the_recorder_is_outside() {
    let unreached = CaptureEvent::ChannelUnreached { refused: false, message: "no".into() };
    let pause = |pause| Action::SetPaused(pause);
    let (outside, full) = (Some(Pause::NotInChannel), Some(Pause::WorkVolumeFull));
    let mut machine = recording();
    machine.event(&CaptureEvent::ChannelReached);
    machine.event(&unreached);
    assert_eq!(machine.state(), State::Recording, "somebody is still heard");
    actions(&mut machine);
    machine.event(&lost(1));
    assert_eq!((actions(&mut machine), machine.state()), (vec![pause(outside)], State::Reconnecting));
    machine.set_volume_full(true);
    machine.set_volume_full(false);
    let pauses = actions(&mut machine).into_iter().filter(|action| matches!(action, Action::SetPaused(_)));
    assert_eq!(pauses.collect::<Vec<_>>(), [pause(full), pause(outside)]);
    machine.pass(PATIENCE.reconnect);
    actions(&mut machine);
    assert_eq!(machine.state(), State::Reconnecting, "it is still outside");
    machine.event(&CaptureEvent::ChannelReached);
    assert_eq!((actions(&mut machine), machine.state()), (vec![pause(None)], State::Recording));
    machine.event(&joined(1));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Recording));
    machine.event(&lost(1));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Reconnecting), "others may be in the channel");
    let mut machine = recording();
    machine.event(&left(1));
    machine.event(&unreached);
    assert!(!actions(&mut machine).contains(&pause(outside)), "nobody was there any more");
}

#[test]
fn whoever_has_stopped_is_in_no_channel_and_in_a_kind_that_is_not_joined_it_says_nothing() {
    for (joins, expected) in [(true, Some(false)), (false, None)] {
        let mut machine = recording();
        if joins {
            machine.event(&CaptureEvent::ChannelReached);
        }
        machine.stop();
        machine.capture_stopped(true, 5);
        assert_eq!(machine.in_channel(), expected);
    }
}

#[test]
fn who_waits_in_vain_outside_of_the_channel_says_why() {
    let mut machine = connected();
    machine.event(&CaptureEvent::ChannelUnreached { refused: false, message: "no".into() });
    actions(&mut machine);
    machine.pass(PATIENCE.first);
    let message = "nobody came to the channel within 90 s: the recorder is not in the channel: no";
    let told = Callback::RecorderFailure { code: Code::NoUsers, message: message.into() };
    assert_eq!(actions(&mut machine)[0], Action::Tell(told));
}

#[test]
fn who_is_thrown_out_ends_the_recording_as_a_stop_does() {
    let thrown_out = CaptureEvent::ThrownOut { message: "removed".into() };
    for (mut machine, anything) in [(connected(), false), (recording(), true)] {
        machine.event(&thrown_out);
        let told =
            Callback::RecorderFailure { code: Code::Disconnected, message: "the recording ends: removed".into() };
        assert_eq!(actions(&mut machine), [Action::Tell(told), Action::StopCapture]);
        machine.event(&thrown_out);
        machine.capture_stopped(anything, 5);
        assert_eq!(actions(&mut machine), [Action::Tell(Callback::Stopped)]);
    }
}

#[test]
fn a_channel_that_refuses_every_source_is_fatal_only_before_anybody_joined() {
    let mut machine = connected();
    machine.event(&unavailable(1, true));
    machine.event(&unavailable(2, false));
    assert_eq!(machine.state(), State::Connecting);
    machine.event(&unavailable(2, true));
    let fatal = fatal(Code::ConnectError, "the channel refuses the recorder: no");
    assert_eq!(actions(&mut machine), [fatal, Action::StopCapture]);
    machine.capture_stopped(false, 5);
    machine.upload_concluded("p.m3u8".into());
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Failed));

    let mut machine = recording();
    machine.event(&left(1));
    machine.event(&unavailable(1, true));
    machine.event(&unavailable(2, true));
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Recording));
}

#[test]
fn a_track_that_cannot_be_recorded_is_told_once_by_name_and_ends_nothing() {
    let expected = [Expected { uid: 1, name: Some("alice".into()), identity: None }];
    let mut machine = Machine::new(Participants::new(&expected, false), "p.m3u8".into(), PATIENCE);
    let lost = |reason: &str, is_news| {
        let (uid, track, reason) = (1, TrackKind::Video, reason.into());
        CaptureEvent::TrackLost { uid, track, reason, cause: None, is_news }
    };
    machine.event(&joined(1));
    machine.event(&lost("no decoder", true));
    machine.event(&lost("no decoder", true));
    let message = "participant 1 (alice): the picture cannot be recorded: no decoder".to_owned();
    let told = Callback::RecorderFailure { code: Code::RecorderFailed, message };
    assert_eq!(actions(&mut machine), [Action::Tell(told)]);
    let shown = |machine: &Machine| machine.participants().listed()[0].message.clone();
    assert_eq!(shown(&machine), "the picture cannot be recorded: no decoder");

    machine.event(&CaptureEvent::TrackHealed { uid: 1, track: TrackKind::Audio });
    assert!(machine.last_error().is_some());
    machine.event(&CaptureEvent::TrackHealed { uid: 1, track: TrackKind::Video });
    assert_eq!((shown(&machine), machine.last_error()), (String::new(), None));
    machine.event(&lost("no decoder", false));
    assert_eq!(
        (shown(&machine).is_empty(), actions(&mut machine)),
        (false, vec![]),
        "shown, and told not so soon again"
    );
    machine.event(&lost("too small", true));
    machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
    machine.event(&CaptureEvent::TrackHealed { uid: 1, track: TrackKind::Video });
    assert_eq!(machine.last_error().map(|error| error.code), Some(Code::UploaderFailed), "another is not over");
}

#[test]
fn what_was_wrong_with_somebody_s_media_is_over_when_they_are_not_to_come_again() {
    let encrypted = |uid| {
        let (track, reason, cause) = (TrackKind::Audio, "another key".into(), Some(causes::DECRYPTION_FAILED));
        CaptureEvent::TrackLost { uid, track, reason, cause, is_news: true }
    };
    let mut machine = recording();
    machine.event(&joined(2));
    machine.event(&encrypted(2));
    machine.event(&left(1));
    machine.event(&CaptureEvent::Dismissed { uid: 1 });
    assert!(machine.last_error().is_some(), "it is not the error of whoever left");
    machine.event(&lost(2));
    assert!(machine.last_error().is_some(), "who is waited for is still missed");
    machine.event(&CaptureEvent::Dismissed { uid: 2 });
    assert_eq!(machine.last_error(), None);

    machine.event(&joined(2));
    machine.event(&encrypted(2));
    machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
    machine.event(&CaptureEvent::Dismissed { uid: 2 });
    assert_eq!(machine.last_error().map(|error| error.code), Some(Code::UploaderFailed), "another is not over");
}

#[test]
fn nothing_follows_a_fatal_error() {
    let mut machine = recording();
    machine.fail(Error::new(Code::RecorderFailed, "disk"));
    machine.fail(Error::new(Code::GeneralError, "again"));
    machine.stop();
    machine.capture_stopped(true, 5);
    machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
    machine.upload_progressed(50, None);
    machine.upload_concluded("p.m3u8".into());
    assert_eq!(actions(&mut machine), [fatal(Code::RecorderFailed, "disk"), Action::StopCapture]);
    assert_eq!(machine.last_error().unwrap().message, "disk");
}

#[test]
fn a_failure_after_the_stop_is_fatal_until_the_recording_has_ended() {
    let error = || Error::new(Code::RecorderFailed, "journal");
    let mut stopping = recording();
    stopping.stop();
    actions(&mut stopping);
    stopping.fail(error());
    stopping.capture_stopped(true, 5);
    assert_eq!(actions(&mut stopping), [fatal(Code::RecorderFailed, "journal")]);

    let mut machine = uploading();
    machine.fail(error());
    machine.fail(error());
    machine.upload_concluded("p.m3u8".into());
    assert_eq!(actions(&mut machine), [fatal(Code::RecorderFailed, "journal")]);

    let mut uploaded = uploading();
    uploaded.upload_concluded("p.m3u8".into());
    actions(&mut uploaded);
    uploaded.fail(error());
    assert_eq!((actions(&mut uploaded), uploaded.last_error()), (vec![], None));

    let mut backed_up = uploading();
    backed_up.backed_up("p.m3u8".into());
    actions(&mut backed_up);
    backed_up.fail(error());
    assert_eq!((actions(&mut backed_up), backed_up.last_error()), (vec![], Some(&error())));
}

#[test]
fn stores_that_take_nothing_after_the_stop_for_too_long_are_fatal() {
    let mut machine = uploading();
    machine.pass(Duration::from_secs(299));
    machine.store_answered();
    machine.upload_failed(Error::new(Code::UploaderFailed, "no such bucket"));
    actions(&mut machine);
    machine.pass(Duration::from_secs(299));
    assert_eq!(actions(&mut machine), []);
    machine.pass(Duration::from_secs(1));
    let message = "no store took anything for 300 s after the stop (no such bucket)";
    assert_eq!(actions(&mut machine), [fatal(Code::UploaderFailed, message)]);
    machine.pass(Duration::from_secs(300));
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn while_it_records_and_once_it_is_stored_the_stores_have_time() {
    let mut machine = recording();
    machine.pass(Duration::from_secs(3600));
    assert_eq!(actions(&mut machine), []);
    let mut machine = uploading();
    machine.backed_up("p.m3u8".into());
    actions(&mut machine);
    machine.pass(Duration::from_secs(3600));
    assert_eq!(actions(&mut machine), []);

    let mut machine =
        Machine::new(Participants::new(&[], false), "p.m3u8".into(), Timeouts { stores: None, ..PATIENCE });
    machine.resume_stopped();
    actions(&mut machine);
    machine.pass(Duration::from_secs(1_000_000));
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn progress_is_told_while_it_records() {
    let mut machine = recording();
    machine.upload_progressed(50, None);
    let told = Action::Tell(Callback::UploadingProgress { percent: 50, playlist: "p.m3u8".into() });
    assert_eq!(actions(&mut machine), [told]);
    let mut machine = uploading();
    machine.upload_progressed(60, None);
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn a_stop_before_anything_was_recorded_says_so() {
    let mut machine = connected();
    machine.stop();
    machine.capture_stopped(false, 5);
    let actions = actions(&mut machine);
    assert!(matches!(
        &actions[..],
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
    assert_eq!(actions(&mut machine), []);
    machine.event(&joined(1));
    machine.set_volume_full(true);
    machine.set_paused(false);
    machine.set_volume_full(false);
    let pauses: Vec<_> = actions(&mut machine)
        .into_iter()
        .filter_map(|order| if let Action::SetPaused(pause) = order { Some(pause) } else { None })
        .collect();
    let (asked, full) = (Some(Pause::Asked), Some(Pause::WorkVolumeFull));
    assert_eq!(pauses, [asked, full, None]);
    assert_eq!(machine.state(), State::Recording);
}

#[test]
fn what_was_backed_up_comes_home_in_silence() {
    let mut machine = recording();
    machine.backed_up("p.m3u8".into());
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Recording));
    machine.stop();
    machine.capture_stopped(true, 5);
    actions(&mut machine);
    machine.upload_failed(Error::new(Code::BackupFailed, "backup"));
    assert_eq!(actions(&mut machine).len(), 1);
    machine.backup_recovered();
    machine.backed_up("p.m3u8".into());
    let told = Action::Tell(Callback::BackedUp { playlist: "p.m3u8".into() });
    assert_eq!((actions(&mut machine), machine.state()), (vec![told], State::BackedUp));
    machine.backed_up("p.m3u8".into());
    machine.upload_progressed(50, None);
    machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
    machine.upload_concluded("p_1_0.m3u8".into());
    assert_eq!((actions(&mut machine), machine.state()), (vec![], State::Uploaded));
}

#[test]
fn an_error_of_the_upload_is_forgotten_when_it_heals() {
    let mut machine = recording();
    machine.upload_failed(Error::new(Code::UploaderFailed, "bucket"));
    assert!(machine.last_error().is_some());
    machine.bucket_answers(0);
    assert!(machine.last_error().is_none());
}

#[test]
fn a_failure_begins_once_and_ends_when_something_is_taken() {
    let mut health = BucketHealth::default();
    health.fails("Timeout", "no answer".into(), 10);
    health.fails("NoSuchBucket", "none".into(), 20);
    assert_eq!((health.since, health.cause), (Some(10), Some("NoSuchBucket")));
    health.answers(30);
    assert_eq!(
        health,
        BucketHealth { state: BucketState::Ready, since: Some(30), cause: None, message: String::new() }
    );
    health.fails("Timeout", String::new(), 40);
    assert_eq!(health.since, Some(40));
}

#[test]
fn each_failure_that_is_told_keeps_its_own_cause_whatever_comes_after_it() {
    let mut machine = machine();
    machine.connect();
    for (at, cause) in [(1, "AccessDenied"), (2, "StorageTimeout")] {
        machine.upload_event(UploadEvent::BucketFails { cause, fact: format!("fact of {cause}") }, at);
        machine.upload_event(UploadEvent::Failed(Error::new(Code::UploaderFailed, format!("told of {cause}"))), at);
    }
    machine.upload_event(UploadEvent::BucketAnswers, 3);
    machine.upload_event(UploadEvent::Failed(Error::new(Code::BackupFailed, "the spare one".to_owned())), 4);
    let lost = Error::new(Code::UploaderFailed, "a slice".to_owned());
    machine.upload_event(UploadEvent::GivenUp { cause: "FileLost", error: lost }, 4);
    let causes: Vec<_> = machine.failure_causes().iter().map(|one| (one.message.as_str(), one.cause)).collect();
    let refused = [("told of AccessDenied", "AccessDenied"), ("told of StorageTimeout", "StorageTimeout")];
    assert_eq!(causes, [refused[0], refused[1], ("a slice", "FileLost")]);
    for _ in 0..LAST_CAUSES {
        let error = Error::new(Code::UploaderFailed, "no MP4".to_owned());
        machine.upload_event(UploadEvent::GivenUp { cause: "MP4NotMade", error }, 5);
    }
    assert_eq!(machine.failure_causes().len(), LAST_CAUSES);
    assert!(machine.failure_causes().iter().all(|one| one.cause == "MP4NotMade"));
}

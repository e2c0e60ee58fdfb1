// SPDX-License-Identifier: Apache-2.0
//! What a recording's log says of what happens to it.

use std::path::Path;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::capture::api::{CaptureEvent, MaxResolution};
use crate::catalog::ledger::Ledger;
use crate::error::Error;
use crate::recorder::callbacks::Callback;
use crate::recorder::machine::Pause;
use crate::recorder::shared::Control;
use crate::recorder::start::Plan;
use crate::storage::failure::StoreError;

/// What was asked of `function` is not done.
pub fn call_refused(function: &str, error: &Error) {
    error!(code = error.code as i32, "{function} is refused: {error}");
}

/// What is about to be recorded.
pub fn starting(plan: &Plan) {
    let begun = &plan.begun;
    info!(
        directory = %plan.directory.display(),
        storage = %begun.target.location(),
        participants = begun.participants.len(),
        "channel {:?} is going to be recorded",
        begun.channel
    );
}

pub fn callback(callback: &Callback) {
    match callback {
        Callback::Connecting => info!("OnRecordingConnecting"),
        Callback::Started => info!("OnRecordingStarted"),
        Callback::Stopped => info!("OnRecordingStopped"),
        Callback::Uploaded { playlist } => info!(file = playlist, "OnRecordingUploaded"),
        Callback::BackedUp { playlist } => warn!(file = playlist, "OnRecordingBackedUp"),
        Callback::UploadingProgress { percent, .. } => info!(percent, "OnRecordingUploadingProgress"),
        Callback::RecorderFailure { code, message } => warn!(code = *code as i32, "OnRecorderFailure: {message}"),
        Callback::UploaderFailure { code, message } => warn!(code = *code as i32, "OnUploaderFailure: {message}"),
        Callback::FatalError { code, message } => error!(code = *code as i32, "OnRecordingFatalError: {message}"),
    }
}

pub fn control(control: &Control) {
    match control {
        Control::Stop => info!("StopCloudRecording: the recorder leaves the channel"),
        Control::Detach => info!("Release(false): nothing more is recorded or told; what is left is uploaded"),
        Control::Cancel => info!("Release(true): nothing more is recorded, uploaded or told; what is left stays"),
        Control::SetPaused(true) => info!("cr_set_paused: to pause"),
        Control::SetPaused(false) => info!("cr_set_paused: to go on"),
        Control::SetStreams(streams) => info!(participants = streams.len(), "cr_set_streams: another list of streams"),
        Control::SetLayout(layout, MaxResolution::Uid(uid)) => {
            info!(maxResolutionUid = uid, "cr_set_layout: {layout:?}");
        }
        Control::SetLayout(layout, MaxResolution::Identity(identity)) => {
            info!(maxResolutionIdentity = &**identity, "cr_set_layout_by_identity: {layout:?}");
        }
    }
}

pub fn paused(pause: Option<Pause>) {
    match pause {
        Some(Pause::Asked) => info!("recording is paused, as it was asked to"),
        Some(Pause::NotInChannel) => info!("recording is paused, as the recorder is not in the channel"),
        Some(Pause::WorkVolumeFull) => warn!("recording is paused, as the work volume is nearly full"),
        None => info!("recording goes on"),
    }
}

pub fn capture_event(event: &CaptureEvent) {
    match event {
        CaptureEvent::Expected { uid, name, identity } => {
            info!(participant = uid, participantName = name, identity, "is expected");
        }
        CaptureEvent::Dismissed { uid } => info!(participant = uid, "is not expected any more"),
        CaptureEvent::Joined { uid, audio, video, .. } => info!(participant = uid, audio, video, "joined"),
        CaptureEvent::MediaChanged { uid, audio, video } => info!(participant = uid, audio, video, "sends other media"),
        // Many leave just so, and whoever did not is tried again; that everybody is lost is told by a callback.
        CaptureEvent::Left { uid, lost: true, message, .. } => info!(participant = uid, "connection lost: {message}"),
        CaptureEvent::Left { uid, message, .. } => info!(participant = uid, "left: {message}"),
        CaptureEvent::Unavailable { uid, refused: true, message } => warn!(participant = uid, "refused: {message}"),
        CaptureEvent::Unavailable { uid, message, .. } => info!(participant = uid, "not there yet: {message}"),
        CaptureEvent::ChannelReached => info!("in the channel"),
        // Told by a callback.
        CaptureEvent::ThrownOut { message } => debug!("thrown out of the channel: {message}"),
        CaptureEvent::ChannelUnreached { message, .. } => debug!("not in the channel: {message}"),
        CaptureEvent::Transcoding { uid, reason } => debug!(participant = uid, "transcoded from now on: {reason}"),
        CaptureEvent::TrackLost { uid, reason, .. } => debug!(participant = uid, "a track is lost: {reason}"),
        CaptureEvent::TrackDamaged { uid, reason, .. } => debug!(participant = uid, "a track is damaged: {reason}"),
        CaptureEvent::TrackHealed { uid, track } => info!(participant = uid, ?track, "a track is all right again"),
        CaptureEvent::Remark { uid, remark, holds: true } => info!(participant = uid, "{}", remark.words()),
        CaptureEvent::Remark { uid, remark, .. } => debug!(participant = uid, "no longer: {}", remark.words()),
        CaptureEvent::Gap { start, stop, reason } => {
            info!(milliseconds = stop.0 - start.0, reason, "nothing was recorded for a while");
        }
        CaptureEvent::Broken(fatal) => error!(code = fatal.error().code as i32, "capture broke: {}", fatal.error()),
    }
}

/// A store has verified the slice.
pub fn stored(store: &str, file: &str) {
    info!(store, slice = file, "stored");
}

/// A store did not take something, and is asked again after the pause.
pub fn retry(store: &str, failure: &StoreError, pause: Duration) {
    let seconds = pause.as_secs_f64();
    warn!(store, cause = failure.cause.word(), detail = failure.detail, "not stored; tried again in {seconds:.1} s");
}

/// A rescue has nobody to call back.
pub fn given_up(cause: &'static str, error: &Error) {
    warn!(cause, code = error.code as i32, "{error}");
}

/// What the stores do not have yet stays, and this is how to deliver it.
pub fn left_on_disk(ledger: &Ledger, directory: &Path) {
    let (slices, _) = ledger.counts();
    let slices = slices.written - slices.delivered;
    if slices > 0 && !ledger.is_concluded() {
        warn!(
            slices,
            "what the {} does not have is kept in {}: start again with the same recordingId, or with the same App ID, \
             channel and uid, or call cr_rescue",
            ledger.begun().map_or("bucket", |begun| begun.target.noun()),
            directory.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::api::UtcMillis;
    use crate::config::LogSettings;
    use crate::log::Log;
    use crate::storage::failure::StoreCause;
    use crate::test_support::Scratch;

    #[test]
    fn who_leaves_is_no_warning_however_the_connection_ends() {
        let scratch = Scratch::new();
        let settings = LogSettings { directory: Some(scratch.path().to_owned()), ..LogSettings::default() };
        let log = Log::new(&settings, "a");
        let entered = log.enter();
        for lost in [true, false] {
            capture_event(&CaptureEvent::Left {
                uid: 7,
                at: UtcMillis(1),
                lost,
                message: "the connection broke".to_owned(),
            });
        }
        drop((entered, log));
        let text = std::fs::read_to_string(scratch.path().join("a.log")).unwrap();
        assert_eq!(
            (text.matches("the connection broke").count(), text.to_uppercase().matches("WARN").count()),
            (2, 0),
            "{text}"
        );
    }

    #[test]
    fn a_retry_names_its_cause_as_the_status_does() {
        let scratch = Scratch::new();
        let settings = LogSettings { directory: Some(scratch.path().to_owned()), ..LogSettings::default() };
        let log = Log::new(&settings, "a");
        let entered = log.enter();
        let causes = [StoreCause::Server(503), StoreCause::QuotaExceeded, StoreCause::Refusal("BadDigest".to_owned())];
        for cause in causes {
            retry("bucket", &StoreError::new(cause, "words"), Duration::from_secs(1));
        }
        drop((entered, log));
        let text = std::fs::read_to_string(scratch.path().join("a.log")).unwrap();
        let logged: Vec<_> = text.split_whitespace().filter_map(|word| word.strip_prefix("cause=")).collect();
        assert_eq!(logged, ["StorageServerError", "StorageFull", "UploadRefused"]);
    }
}

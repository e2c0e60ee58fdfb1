// SPDX-License-Identifier: Apache-2.0
//! One participant of a `streams` channel: a thread that connects, decodes into a feed, and comes back after losses.

mod call;
mod cause;
mod cookies;
mod deblock;
mod decode;
mod first_bytes;
mod forward;
mod frame_pacer;
mod growth;
mod guard;
mod hosts;
mod numbering;
pub mod open;
mod peek;
mod playlist;
mod reach;
mod read_ahead;
mod redirect;
mod resolve;
mod resolved_url;
mod rtsp;
mod session;
pub mod settle;
mod stream_choice;
mod streams;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::api::{Access, CaptureConfig, CaptureEvent, StreamSource, VideoStream};
use super::av;
use super::clock::SECOND;
use super::intake::{Intake, MediaWarnings};
use super::reconnect::ReconnectPauses;
use crate::panics::contained;
pub use cause::{SourceCause, SourceFailure, TlsCause};
pub use guard::{Guard, Refusal};
pub use hosts::HostPattern;
use open::Input;
use session::DecodeSession;
pub use streams::Streams;

/// A source that cannot be opened in this time, or sends no media in it, is unavailable.
pub const CONNECT: Duration = Duration::from_secs(10);

/// A source that sends pictures, none of which can be decoded before a key picture, is waited for so long: cameras that
/// save bits send one a minute.
pub const KEY_PICTURE: Duration = Duration::from_secs(60);

/// How one connection went: whether the participant joined, whether the source has an end by its nature, why it ended.
pub struct Played {
    pub joined: bool,
    pub finite: bool,
    pub failure: SourceFailure,
}

/// Why a source is given up before the recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    Removed,
    /// Another one follows for the same participant.
    Changed,
    /// It has ended by itself.
    Over,
}

impl Farewell {
    fn words(self) -> &'static str {
        match self {
            Self::Removed => "was taken out of the channel's streams",
            Self::Changed => "the stream was changed",
            Self::Over => "the stream is over",
        }
    }
}

pub struct Source {
    pub stream: StreamSource,
    guard: Guard,
    pub video: VideoStream,
    pub intake: Intake,
    media_warnings: Arc<MediaWarnings>,
    farewell: Arc<OnceLock<Farewell>>,
}

impl Source {
    pub fn new(stream: StreamSource, config: &CaptureConfig, intake: Intake) -> Self {
        let guard = Guard::new(&config.protocols, config.allow_link_local);
        let guard = guard.among(&config.allowed_hosts).until(intake.stop());
        let (video, media_warnings, farewell) = (config.video_stream, Arc::default(), Arc::default());
        Self { stream, guard, video, intake, media_warnings, farewell }
    }

    /// One that is given up where that says why, and its stop is raised.
    pub fn with_farewell(self, farewell: &Arc<OnceLock<Farewell>>) -> Self {
        Self { farewell: Arc::clone(farewell), ..self }
    }

    pub fn farewell(&self) -> Option<Farewell> {
        self.farewell.get().copied()
    }

    /// Has ended; true if that is by itself.
    fn is_over(&self) -> bool {
        self.farewell.set(Farewell::Over).is_ok()
    }

    /// Plays the source again and again until the stop, or until a source that has an end has ended.
    pub fn run(&self) {
        self.run_with(|input| self.play(input));
    }

    /// The same with another way to play a connection.
    pub fn run_with(&self, mut play: impl FnMut(Input) -> Played) {
        let mut pauses = ReconnectPauses::new();
        let mut failing: Option<(SourceFailure, u32)> = None;
        let clock = self.intake.clock();
        while !self.intake.stop().is_raised() {
            let began = clock.now();
            let fail = |failure| Played { joined: false, finite: false, failure };
            let played = contained(|| self.open().map_or_else(fail, &mut play));
            let Played { joined, finite, failure } =
                played.unwrap_or_else(|panic| fail(SourceFailure::Panicked(panic)));
            // What was broken off for the stop failed by no fault of its own.
            if failure == SourceFailure::Stopped
                || !joined && self.intake.stop().is_raised()
                || joined && finite && failure == SourceFailure::Ended
            {
                return;
            }
            if joined {
                failing = None;
            } else {
                failing = Some(self.fail_again(failure, failing));
            }
            let pause = pauses.after(joined.then(|| clock.now() - began));
            clock.wait_until(clock.now() + pause, self.intake.stop());
        }
    }

    /// Counts failures of one kind in a row, and tells of what is news.
    fn fail_again(&self, failure: SourceFailure, before: Option<(SourceFailure, u32)>) -> (SourceFailure, u32) {
        let times = before.filter(|(known, _)| *known == failure).map_or(0, |(_, times)| times);
        let turned = failure.is_refusal(times + 1) != failure.is_refusal(times);
        if times == 0 || turned {
            self.tell_unavailable(&failure, times + 1);
        }
        (failure, times + 1)
    }

    fn open(&self) -> Result<Input, SourceFailure> {
        let mut input = Input::open(&self.stream.url, &self.stream.access, &self.guard, self.intake.stop(), CONNECT)?;
        input.tell_pictures_apart(CONNECT);
        input.learn_bare_sound(CONNECT);
        Ok(input)
    }

    /// One connection to its end, into the intake.
    pub fn play(&self, input: Input) -> Played {
        let finite = input.is_finite();
        let who = self.intake.participant(self.stream.uid, &self.media_warnings);
        let mut session = DecodeSession::new(input, who, (self.stream.silence, self.video), &self.intake);
        let failure = contained(|| session.play()).unwrap_or_else(SourceFailure::Panicked);
        let who = session.into_participant();
        let joined = who.has_joined();
        if let Some(farewell) = self.farewell() {
            who.leave(false, farewell.words().to_owned());
        } else if joined && failure != SourceFailure::Stopped {
            // At a stop nobody leaves: the recording does.
            // What is still to be shown of a source that ended properly is shown.
            let clock = self.intake.clock();
            clock.wait_until(who.last_due().min(clock.now() + 2 * SECOND), self.intake.stop());
            who.leave(failure.is_loss(), failure.to_string());
        }
        Played { joined, finite, failure }
    }

    fn tell_unavailable(&self, failure: &SourceFailure, times: u32) {
        self.intake.event(CaptureEvent::Unavailable {
            uid: self.stream.uid,
            refused: failure.is_refusal(times),
            message: failure.to_string(),
        });
    }

    pub fn tell_left(&self, failure: &SourceFailure) {
        self.intake.event(CaptureEvent::Left {
            uid: self.stream.uid,
            at: self.intake.utc_now(),
            lost: failure.is_loss(),
            message: failure.to_string(),
        });
    }
}

/// Connects to a source and reads some packets of it, without recording them: what a capture of it would do first.
///
/// # Errors
/// As the participant's error would tell.
pub fn try_out(
    url: &str,
    access: &Access,
    guard: &Guard,
    packets: usize,
    limit: Duration,
) -> Result<(), SourceFailure> {
    av::prepare();
    let mut input = Input::open(url, access, guard, &Arc::default(), limit)?;
    (0..packets).try_for_each(|_| input.read(limit).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::api::{StreamKinds, UtcMillis};
    use crate::capture::clock::{Clock, ClockHold, Nanos, VirtualClock};
    use crate::capture::intake::KeptEvents;
    use crate::test_support::Scratch;

    /// A quarter of a second of silence, as a WAVE file.
    fn silence() -> Vec<u8> {
        let head = b"RIFF\x24\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\x1f\0\0";
        [&head[..], &[128; 0x1f00]].concat()
    }

    /// Plays a source of that file in virtual time, each connection as `play` says, and returns when each began, and what
    /// was told.
    fn played(mut play: impl FnMut(&Source, Input, usize) -> Played) -> (Vec<Nanos>, Vec<CaptureEvent>) {
        let scratch = Scratch::new();
        let path = scratch.path().join("silence.wav");
        std::fs::write(&path, silence()).unwrap();
        let stream = StreamSource {
            uid: 7,
            name: None,
            url: path.to_str().unwrap().to_owned(),
            access: Access::default(),
            silence: CONNECT,
        };
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(UtcMillis(0)));
        let _presence = ClockHold::new(&clock);
        let events = Arc::<KeptEvents>::default();
        let intake = Intake::into_nothing(Arc::clone(&clock), Arc::clone(&events) as _, StreamKinds::AudioVideo);
        let guard = Guard::new(&["file".to_owned()], false);
        let source = Source {
            stream,
            guard,
            video: VideoStream::High,
            intake,
            media_warnings: Arc::default(),
            farewell: Arc::default(),
        };
        let mut began = Vec::new();
        source.run_with(|input| {
            began.push(clock.now());
            play(&source, input, began.len())
        });
        (began, events.take())
    }

    fn ended(joined: bool, failure: SourceFailure) -> Played {
        Played { joined, finite: false, failure }
    }

    #[test]
    fn a_panic_ends_one_connection_is_told_and_tried_again() {
        let (began, told) = played(|source, input, count| match count {
            1 | 2 => panic!("a sample too many"),
            _ => source.play(input),
        });
        assert_eq!(began.len(), 3);
        let unavailable: Vec<&str> = told
            .iter()
            .filter_map(|event| {
                if let CaptureEvent::Unavailable { message, .. } = event {
                    Some(message.as_str())
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(unavailable, ["an internal error, worth reporting: a sample too many"]);
        assert!(told.iter().any(|event| matches!(event, CaptureEvent::Joined { uid: 7, .. })), "{told:?}");
    }

    #[test]
    fn who_joins_and_leaves_again_and_again_is_asked_for_less_and_less_often() {
        let (began, _) = played(|source, _, count| {
            let clock = source.intake.clock();
            let (lasting, stopped) = (if count == 20 { 60 * SECOND } else { SECOND }, count == 30);
            clock.wait_until(clock.now() + lasting, source.intake.stop());
            ended(true, if stopped { SourceFailure::Stopped } else { SourceFailure::Ended })
        });
        let pauses: Vec<Nanos> = began.windows(2).map(|pair| (pair[1] - pair[0]) / (SECOND / 2) - 2).collect();
        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 16], "in half seconds");
        assert_eq!(pauses[18..22], [16, 1 + 2 * 59, 2, 4], "who stayed for long comes back at once");
    }
}

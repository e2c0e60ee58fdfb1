// SPDX-License-Identifier: Apache-2.0
//! One participant of a `streams` channel: a thread that connects, decodes into a feed, and comes back after losses.

mod call;
mod cause;
mod cookies;
mod deblock;
mod decode;
mod fields;
mod first_bytes;
mod fit;
mod forward;
mod frame_pacer;
mod growth;
mod guard;
mod hosts;
mod media_warnings;
mod numbering;
pub mod open;
mod peek;
mod playlist;
pub mod presence;
mod reach;
mod read_ahead;
mod redirect;
mod resolve;
mod resolved_url;
mod rtsp;
mod session;
pub mod settle;
mod track;

use std::sync::Arc;
use std::time::Duration;

use super::api::{Access, CaptureConfig, CaptureEvent, CaptureSink, StreamKinds, StreamSource, TrackKind, VideoStream};
use super::av;
use super::av::colour::Colour;
use super::clock::{nanos, Clock, StopSignal, SECOND};
use super::fault::contained;
use super::participant_regions::ParticipantRegions;
use super::roster::Roster;
pub use cause::{SourceCause, TlsCause};
pub use fit::Fitted;
pub use guard::{Guard, Refusal};
pub use hosts::HostPattern;
use media_warnings::MediaWarnings;
use open::Input;
pub use open::SourceFailure;
use session::DecodeSession;

/// A source that cannot be opened in this time, or sends no media in it, is unavailable.
pub const CONNECT: Duration = Duration::from_secs(10);

/// A source that sends pictures, none of which can be decoded before a key picture, is waited for so long: cameras that
/// save bits send one a minute.
pub const KEY_PICTURE: Duration = Duration::from_secs(60);

/// A track that nothing came of for this long is not being sent.
pub const LATELY: Duration = Duration::from_secs(3);

/// Pauses between attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Who leaves sooner after joining is flapping: the next pause is longer, as after a failure.
const STEADY: Duration = Duration::from_secs(20);

/// What all sources of a capture share.
pub struct SourceContext {
    pub clock: Arc<dyn Clock>,
    pub stop: Arc<StopSignal>,
    pub roster: Arc<Roster>,
    pub participant_regions: Arc<ParticipantRegions>,
    pub sink: Arc<dyn CaptureSink>,
}

/// What is taken from a source.
#[derive(Debug, Clone, Copy)]
pub struct MediaSelection {
    pub kinds: StreamKinds,
    pub video: VideoStream,
    pub channels: usize,
    /// What the recording's pictures are converted into.
    pub colour: Colour,
}

impl MediaSelection {
    pub fn takes(self, track: TrackKind) -> bool {
        match track {
            TrackKind::Audio => self.kinds != StreamKinds::VideoOnly,
            TrackKind::Video => self.kinds != StreamKinds::AudioOnly,
        }
    }
}

/// How one connection went: whether the participant joined, whether the source has an end by its nature, why it ended.
pub struct Played {
    pub joined: bool,
    pub finite: bool,
    pub failure: SourceFailure,
}

pub struct Source {
    pub stream: StreamSource,
    guard: Guard,
    pub media: MediaSelection,
    pub context: SourceContext,
    media_warnings: MediaWarnings,
}

impl Source {
    pub fn new(stream: StreamSource, config: &CaptureConfig, channels: usize, context: SourceContext) -> Self {
        let guard = Guard::new(&config.protocols, config.allow_link_local);
        let guard = guard.among(&config.allowed_hosts).until(&context.stop);
        let colour = Colour::of_recording(config.canvas.width, config.canvas.height);
        let media = MediaSelection { kinds: config.kinds, video: config.video_stream, channels, colour };
        Self { stream, guard, media, context, media_warnings: MediaWarnings::default() }
    }

    /// Plays the source again and again until the stop, or until a source that has an end has ended.
    pub fn run(self) {
        self.run_with(|input| self.play(input));
    }

    /// The same with another way to play a connection.
    pub fn run_with(&self, mut play: impl FnMut(Input) -> Played) {
        let mut pause = FIRST_PAUSE;
        let mut failing: Option<(SourceFailure, u32)> = None;
        let clock = &self.context.clock;
        while !self.context.stop.is_raised() {
            let began = clock.now();
            let fail = |failure| Played { joined: false, finite: false, failure };
            let played = contained(|| self.open().map_or_else(fail, &mut play));
            let Played { joined, finite, failure } =
                played.unwrap_or_else(|panic| fail(SourceFailure::Panicked(panic)));
            // What was broken off for the stop failed by no fault of its own.
            if failure == SourceFailure::Stopped
                || !joined && self.context.stop.is_raised()
                || joined && finite && failure == SourceFailure::Ended
            {
                return;
            }
            if joined {
                failing = None;
                pause = if clock.now() - began < nanos(STEADY) { pause } else { FIRST_PAUSE };
            } else {
                failing = Some(self.fail_again(failure, failing));
            }
            clock.wait_until(clock.now() + nanos(pause), &self.context.stop);
            pause = (pause * 2).min(LONGEST_PAUSE);
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
        let mut input = Input::open(&self.stream.url, &self.stream.access, &self.guard, &self.context.stop, CONNECT)?;
        input.tell_pictures_apart(CONNECT);
        input.learn_bare_sound(CONNECT);
        Ok(input)
    }

    /// One connection to its end, into a feed of the roster.
    pub fn play(&self, input: Input) -> Played {
        let finite = input.is_finite();
        let who = (self.stream.uid, self.stream.silence);
        let mut session = DecodeSession::new(input, who, self.media, &self.context, &self.media_warnings);
        let failure = contained(|| session.play()).unwrap_or_else(SourceFailure::Panicked);
        let joined = session.has_joined();
        // At a stop nobody leaves: the recording does.
        if joined && failure != SourceFailure::Stopped {
            // What is still to be shown of a source that ended properly is shown.
            self.context
                .clock
                .wait_until(session.last_due().min(self.context.clock.now() + 2 * SECOND), &self.context.stop);
            self.context.roster.leave(self.stream.uid);
            self.tell_left(&failure);
        }
        Played { joined, finite, failure }
    }

    fn tell_unavailable(&self, failure: &SourceFailure, times: u32) {
        self.context.sink.event(CaptureEvent::Unavailable {
            uid: self.stream.uid,
            refused: failure.is_refusal(times),
            message: failure.to_string(),
        });
    }

    pub fn tell_left(&self, failure: &SourceFailure) {
        self.context.sink.event(CaptureEvent::Left {
            uid: self.stream.uid,
            at: self.context.clock.utc(self.context.clock.now()),
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
    use std::sync::Mutex;

    use super::*;
    use crate::capture::api::{ClosedSlice, Fit, Layout, OpenSlice, UtcMillis};
    use crate::capture::clock::{lock, ClockHold, Nanos, VirtualClock};
    use crate::capture::tick::Settings;
    use crate::error::Error;
    use crate::test_support::Scratch;

    #[derive(Default)]
    struct Events(Mutex<Vec<CaptureEvent>>);

    impl CaptureSink for Events {
        fn slice_opened(&self, _: &OpenSlice) -> Result<(), Error> {
            Ok(())
        }

        fn slice_closed(&self, _: ClosedSlice) -> Result<(), Error> {
            Ok(())
        }

        fn event(&self, event: CaptureEvent) {
            lock(&self.0).push(event);
        }
    }

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
        let events = Arc::<Events>::default();
        let settings = Settings { layout: Layout::BestFit, max_resolution_uid: 0, paused: false };
        let context = SourceContext {
            clock: Arc::clone(&clock),
            stop: Arc::default(),
            roster: Arc::new(Roster::of([7].into_iter())),
            participant_regions: Arc::new(ParticipantRegions::new((64, 64), Fit::Crop, Arc::new(Mutex::new(settings)))),
            sink: Arc::clone(&events) as _,
        };
        let media = MediaSelection {
            kinds: StreamKinds::AudioVideo,
            video: VideoStream::High,
            channels: 1,
            colour: Colour::of_recording(64, 64),
        };
        let guard = Guard::new(&["file".to_owned()], false);
        let source = Source { stream, guard, media, context, media_warnings: MediaWarnings::default() };
        let mut began = Vec::new();
        source.run_with(|input| {
            began.push(clock.now());
            play(&source, input, began.len())
        });
        let told = std::mem::take(&mut *lock(&events.0));
        (began, told)
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
            let clock = &source.context.clock;
            let (lasting, stopped) = (if count == 20 { 60 * SECOND } else { SECOND }, count == 30);
            clock.wait_until(clock.now() + lasting, &source.context.stop);
            ended(true, if stopped { SourceFailure::Stopped } else { SourceFailure::Ended })
        });
        let pauses: Vec<Nanos> = began.windows(2).map(|pair| (pair[1] - pair[0]) / (SECOND / 2) - 2).collect();
        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 16], "in half seconds");
        assert_eq!(pauses[18..22], [16, 1 + 2 * 59, 2, 4], "who stayed for long comes back at once");
    }
}

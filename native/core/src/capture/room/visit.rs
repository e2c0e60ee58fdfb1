// SPDX-License-Identifier: Apache-2.0
//! One stay in a room: who comes, goes, shows and mutes what, and their media on its way into the intake.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decryption::{Arrival, Decrypted, Decryption, Undecrypted};
use super::held_back::MOST_HELD;
use super::liveness::{is_gone, may_be_dead, DueTrack, Received, TrackPulse};
use super::picture_clock::PictureClock;
use super::seating::{Offer, SeatKey, Tracks, SCREEN};
use super::sound_clock::SoundClock;
use super::trouble::RoomTrouble;
use super::RoomAttendance;
use crate::capture::api::{CaptureEvent, Remark, SecretText, TrackKind, VideoStream};
use crate::capture::av::frame::{Frame, PictureBuffer, Plane};
use crate::capture::av::turn::Turn;
use crate::capture::clock::{nanos, rescaled, Nanos, MILLISECOND, SECOND};
use crate::capture::feed::SAMPLE_RATE;
use crate::capture::intake::{ParticipantIntake, TrackFailure};
use crate::livekit::client::{self, Attendees, RoomClient, TrackStream};
use crate::livekit::{
    Attendee, DisconnectReason, InboundRtpStreamStats, ParticipantKind, Publication, RoomEvent, RoomNews, RoomPicture,
    RoomSound, SubscribedTrack, TrackSource, VideoRotation,
};

/// How long after they came sound and pictures are due: what the buffers against the network's jitter hold, and a little for
/// a busy machine.
const DELAY: Nanos = MOST_HELD + 100 * MILLISECOND;

/// How long those who are there first are waited for: what they send, they are going to send soon.
const FIRST_MEDIA: Duration = Duration::from_secs(2);

/// How often it is looked at what came or went, and how often figures are asked for.
const WATCH: Duration = Duration::from_millis(250);
const FIGURES: Duration = Duration::from_secs(1);

/// How often the key is tried again while it is not everybody's.
const KEY_AGAIN: Duration = Duration::from_secs(10);

/// So many blocks and pictures are handed on before it is looked at anything else.
const BATCH: usize = 256;

pub struct Visit<'a> {
    // Streams are let go of before the room is.
    streams: HashMap<u64, StreamState>,
    seats: BTreeMap<SeatKey, Seat>,
    offered: Vec<OfferedTrack>,
    attendees: BTreeMap<String, Attendee>,
    questions: HashMap<u64, u64>,
    /// The connection is being made again.
    interrupted: bool,
    told_waiting: Vec<SeatKey>,
    decryption: Decryption,
    /// Of everybody it was said what they send.
    announced: bool,
    room: RoomClient,
    attendance: &'a mut RoomAttendance,
}

/// A track that somebody offers, and what of it comes.
struct OfferedTrack {
    identity: String,
    publication: Publication,
    /// It was there before the recorder was.
    found: bool,
    wanted: bool,
    /// How large its pictures are to be, as the server was told last.
    asked: Option<(u32, u32)>,
}

/// Whether a track of a participant comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Yes,
    No,
    /// It is not known yet whether it can be decrypted.
    Soon,
    Encrypted(Undecrypted),
}

struct StreamState {
    stream: TrackStream,
    seat: SeatKey,
    track: String,
    sound: SoundClock,
    pictures: PictureClock,
    received: Received,
    /// Its sound is not that of nothing.
    heard: bool,
    encrypted: bool,
    opened: Nanos,
    /// Of the last picture.
    size: (u32, u32),
}

struct Seat {
    tracks: Tracks,
    who: Option<ParticipantIntake>,
    opened: Instant,
    /// Nothing comes any more of somebody whom the server still takes to be there.
    silent: bool,
}

impl StreamState {
    /// What the client library says of how it holds the track's media back.
    fn heed(&mut self, inbound: &InboundRtpStreamStats) {
        let emitted = inbound.jitter_buffer_emitted_count;
        if self.stream.is_video() {
            let decoded = (inbound.total_decode_time, inbound.frames_decoded.into());
            self.pictures.figures((inbound.jitter_buffer_delay, emitted), decoded);
        } else {
            self.sound.figures(inbound.jitter_buffer_delay, emitted);
        }
    }
}

impl<'a> Visit<'a> {
    pub fn new(room: RoomClient, present: Attendees, attendance: &'a mut RoomAttendance) -> Self {
        let mut visit = Self {
            streams: HashMap::new(),
            seats: BTreeMap::new(),
            offered: Vec::new(),
            attendees: BTreeMap::new(),
            questions: HashMap::new(),
            interrupted: false,
            told_waiting: Vec::new(),
            decryption: Decryption::new(attendance.source.shared_key.is_some()),
            announced: false,
            room,
            attendance,
        };
        for (attendee, publications) in present {
            let identity = attendee.identity.clone();
            visit.attendees.insert(identity.clone(), attendee);
            for publication in publications {
                visit.offer(identity.clone(), publication, true);
            }
        }
        visit.reseat();
        visit
    }

    /// Until the stop: then nothing. Or until the server says that it is over.
    pub fn stay(&mut self) -> Option<DisconnectReason> {
        let stop = Arc::clone(self.attendance.intake.stop());
        let (mut watched, mut asked, mut keyed) = (Instant::now(), Instant::now(), Instant::now());
        while !stop.is_raised() {
            for _ in 0..BATCH {
                let within = WATCH.saturating_sub(watched.elapsed());
                let Some(event) = self.room.next(within) else { break };
                if let Some(reason) = self.take(event) {
                    return Some(reason);
                }
            }
            if watched.elapsed() >= WATCH {
                watched = Instant::now();
                self.watch();
            }
            if asked.elapsed() >= FIGURES {
                asked = Instant::now();
                self.ask();
            }
            if keyed.elapsed() >= KEY_AGAIN {
                keyed = Instant::now();
                self.try_key_again();
            }
        }
        None
    }

    /// Everybody leaves as the recorder does: for a while, where it may come back. Whoever was not recorded so far is somebody
    /// new then.
    pub fn end(mut self, trouble: &RoomTrouble) {
        for (key, seat) in std::mem::take(&mut self.seats) {
            match seat.who {
                Some(who) if who.has_joined() => who.leave(!trouble.refused, trouble.message.clone()),
                Some(_) => self.dismiss(&key),
                None => {}
            }
        }
        for key in std::mem::take(&mut self.told_waiting) {
            self.dismiss(&key);
        }
    }

    fn take(&mut self, event: RoomEvent) -> Option<DisconnectReason> {
        match event {
            RoomEvent::Picture { stream, picture } => self.show(stream, picture),
            RoomEvent::Sound { stream, sound } => self.play(stream, &sound),
            RoomEvent::Figures { answer, inbound } => {
                client::forget_question(answer);
                let stream = self.questions.remove(&answer).and_then(|stream| self.streams.get_mut(&stream));
                let now = self.attendance.intake.clock().now();
                match (stream, inbound) {
                    (Some(state), Some(inbound)) => {
                        state.received.note(inbound.bytes_received, now);
                        state.heed(&inbound);
                    }
                    // There are no figures of what never came.
                    (Some(state), None) => state.received.note_nothing(now),
                    (None, _) => {}
                }
            }
            RoomEvent::News(news) => return self.hear(news),
            RoomEvent::Connected(_) | RoomEvent::Left => {}
        }
        None
    }

    fn hear(&mut self, news: RoomNews) -> Option<DisconnectReason> {
        match news {
            RoomNews::ParticipantJoined(attendee) => {
                self.attendees.insert(attendee.identity.clone(), attendee);
            }
            RoomNews::ParticipantLeft { identity } => {
                self.attendees.remove(&identity);
                self.decryption.forget(&identity);
                self.offered.retain(|offered| offered.identity != identity);
                self.reseat();
            }
            RoomNews::Renamed { identity, name } => {
                if let Some(attendee) = self.attendees.get_mut(&identity) {
                    attendee.name = name;
                }
                self.rename(&identity);
            }
            RoomNews::Published { identity, publication } => {
                self.offer(identity, publication, false);
                self.reseat();
            }
            RoomNews::Unpublished { track } => {
                self.offered.retain(|offered| offered.publication.track != track);
                self.reseat();
            }
            RoomNews::Subscribed(track) => self.open(track),
            RoomNews::Unsubscribed { track } => self.streams.retain(|_, state| state.track != track),
            RoomNews::NotSubscribed { identity, track, why } => {
                tracing::warn!(detail = why, "a track of {identity:?} ({track}) is not sent");
            }
            RoomNews::Muted { track, muted } => {
                let now = self.attendance.intake.clock().now();
                for state in self.streams.values_mut().filter(|state| state.track == track) {
                    state.received.await_from(now);
                }
                if let Some(offered) = self.offered.iter_mut().find(|offered| offered.publication.track == track) {
                    offered.publication.muted = muted;
                }
                self.announce();
            }
            RoomNews::Decryption { identity, state } => {
                self.decryption.note(&identity, state);
                self.announce();
            }
            RoomNews::Reconnecting => self.interrupted = true,
            RoomNews::Reconnected => {
                self.interrupted = false;
                if self.attendance.told.is_some() {
                    self.attendance.reached();
                }
                self.reseat();
            }
            RoomNews::Disconnected(reason) => return Some(reason),
            RoomNews::Ended => return Some(DisconnectReason::UnknownReason),
        }
        None
    }

    fn rename(&mut self, identity: &str) {
        for key in [false, true].map(|screen| SeatKey { identity: identity.to_owned(), screen }) {
            if !self.seats.contains_key(&key) {
                continue;
            }
            let key = &key;
            let (name, identity) = self.called(key);
            let uid = self.attendance.seating.uid(key);
            self.attendance.intake.expect(uid, name.as_deref(), Some(&identity));
        }
    }

    fn offer(&mut self, identity: String, publication: Publication, found: bool) {
        // What a room's recorders send is no part of what happens in it.
        let kind = self.attendees.get(&identity).map(|attendee| attendee.kind);
        if kind != Some(ParticipantKind::Egress) {
            self.offered.push(OfferedTrack { identity, publication, found, wanted: false, asked: None });
        }
    }

    /// Gives seats to those who are there, and asks for what is recorded of them.
    fn reseat(&mut self) {
        let offer = |offered: &OfferedTrack| Offer {
            identity: offered.identity.clone(),
            track: offered.publication.track.clone(),
            source: offered.publication.source,
            is_video: offered.publication.is_video,
        };
        let offers: Vec<Offer> = self.offered.iter().map(offer).collect();
        let (seated, waiting) = self.attendance.seating.assign(&offers);
        self.tell_waiting(waiting, &seated);
        let gone: Vec<SeatKey> =
            self.seats.keys().filter(|key| !seated.iter().any(|(other, _)| other == *key)).cloned().collect();
        for key in gone {
            let lost = self.interrupted;
            let message = match (lost, self.attendees.contains_key(&key.identity)) {
                (true, _) => "the connection to the LiveKit server broke",
                (false, true) => "sends nothing any more",
                (false, false) => "left the room",
            };
            if let Some(who) = self.seats.remove(&key).and_then(|seat| seat.who) {
                who.leave(lost, message.to_owned());
            }
            if !lost {
                self.dismiss(&key);
            }
        }
        for (key, tracks) in seated {
            let uid = self.attendance.seating.uid(&key);
            let warnings = self.attendance.warnings(uid);
            let (name, identity) = self.called(&key);
            let screen = key.screen;
            let seat = self.seats.entry(key).or_insert_with(|| Seat {
                tracks: Tracks::default(),
                who: None,
                opened: Instant::now(),
                silent: false,
            });
            if seat.who.is_none() && !seat.silent {
                self.attendance.intake.expect(uid, name.as_deref(), Some(&identity));
                let who = self.attendance.intake.participant(uid, &warnings).known_as(&identity);
                seat.who = Some(if screen { who.as_screen() } else { who });
            }
            seat.tracks = tracks;
        }
        self.subscribe();
        self.announce();
    }

    /// The name and the identity of a participant; a screen has those of its owner.
    fn called(&self, key: &SeatKey) -> (Option<String>, String) {
        let name = self.attendees.get(&key.identity).map(|attendee| attendee.name.clone());
        let name = name.filter(|name| !name.is_empty());
        if key.screen {
            let owner = name.unwrap_or_else(|| key.identity.clone());
            return (Some(format!("{owner} (screen)")), format!("{}{SCREEN}", key.identity));
        }
        (name, key.identity.clone())
    }

    fn subscribe(&mut self) {
        // What is asked for while the connection is being made again reaches nobody: it is asked once that is done.
        if self.interrupted {
            return;
        }
        for offered in &mut self.offered {
            let track = Some(&offered.publication.track);
            let has = |seat: &Seat| seat.tracks.audio.as_ref() == track || seat.tracks.video.as_ref() == track;
            let decrypted = !offered.publication.encrypted || self.decryption.has_key();
            let wanted = self.seats.values().any(has) && decrypted;
            if std::mem::replace(&mut offered.wanted, wanted) != wanted {
                offered.asked = None;
                self.room.subscribe(&offered.publication, wanted);
                if wanted && offered.publication.is_video && self.attendance.video == VideoStream::Low {
                    self.room.prefer_smallest(&offered.publication);
                }
            }
        }
    }

    /// Has no larger pictures sent than are shown, of those who send several sizes; where that changes, and only then.
    fn ask_for_sizes(&mut self) {
        if self.interrupted || self.attendance.video == VideoStream::Low {
            return;
        }
        for offered in self.offered.iter_mut().filter(|offered| offered.wanted && offered.publication.is_video) {
            let track = Some(&offered.publication.track);
            let seat = self.seats.values().find(|seat| seat.tracks.video.as_ref() == track);
            let Some(who) = seat.and_then(|seat| seat.who.as_ref()) else { continue };
            let needed = who.needed_of(offered.publication.size);
            if needed.is_some() && needed != offered.asked {
                offered.asked = needed;
                self.room.prefer_size(&offered.publication, needed.unwrap_or_default());
            }
        }
    }

    /// Says what each participant sends: tracks that are there, not muted, and not encrypted with what nobody here knows.
    fn announce(&mut self) {
        self.announced = !self.interrupted;
        // Who is in the room again before the recorder is, is not heard yet.
        if self.interrupted {
            return;
        }
        let begun = self.attendance.intake.roster().first_due().is_some();
        let sent: BTreeMap<SeatKey, ([Sent; 2], bool)> = self
            .seats
            .iter()
            .map(|(key, seat)| (key.clone(), (self.sent(seat), self.is_doubtful(key, seat))))
            .collect();
        for (key, seat) in &mut self.seats {
            let (Some(who), Some((sent, is_doubtful))) = (&mut seat.who, sent.get(key)) else { continue };
            if *is_doubtful {
                self.announced = false;
                continue;
            }
            let awaited = sent.contains(&Sent::Soon);
            self.announced &= !awaited;
            // A recording that began before its first media came would begin with nothing.
            if (!begun || awaited) && seat.opened.elapsed() < FIRST_MEDIA {
                self.announced = false;
                continue;
            }
            let [audio, video] = sent;
            who.announce(*audio == Sent::Yes, *video == Sent::Yes);
            for (kind, sent) in [(TrackKind::Audio, audio), (TrackKind::Video, video)] {
                if let Sent::Encrypted(why) = sent {
                    who.lose(kind, &TrackFailure::Encrypted(*why));
                }
            }
        }
    }

    /// Whether somebody was there before the recorder was, and nothing has come of them since, though something should: the
    /// server lists those who died for twenty seconds.
    fn is_doubtful(&self, key: &SeatKey, seat: &Seat) -> bool {
        let joined = seat.who.as_ref().is_some_and(ParticipantIntake::has_joined);
        let heard = |state: &StreamState| state.seat.identity == key.identity && state.received.last().is_some();
        if joined || self.streams.values().any(heard) {
            return false;
        }
        let of_identity = self.offered.iter().filter(|offered| offered.identity == key.identity);
        let due = of_identity.filter(|offered| offered.wanted && !offered.publication.muted);
        may_be_dead(due.map(|offered| DueTrack { found: offered.found, may_be_still: may_be_still(offered) }))
    }

    /// Whether sound and pictures of a participant come.
    fn sent(&self, seat: &Seat) -> [Sent; 2] {
        [&seat.tracks.audio, &seat.tracks.video].map(|track| {
            let offered = self.offered.iter().find(|offered| Some(&offered.publication.track) == track.as_ref());
            let Some(OfferedTrack { identity, publication, .. }) = offered.filter(|offered| !offered.publication.muted)
            else {
                return Sent::No;
            };
            if !publication.encrypted {
                return Sent::Yes;
            }
            let stream = self.streams.values().find(|state| state.track == publication.track);
            match self.decrypted(identity, stream) {
                Decrypted::Yes => Sent::Yes,
                Decrypted::NotYet => Sent::Soon,
                Decrypted::No(why) => Sent::Encrypted(why),
            }
        })
    }

    /// The media of a track begins to come.
    fn open(&mut self, track: SubscribedTrack) {
        let (name, is_video) = (track.track.clone(), track.is_video);
        let wanted =
            self.seats.iter().find(|(_, seat)| [&seat.tracks.audio, &seat.tracks.video].contains(&&Some(name.clone())));
        let Some(seat) = wanted.map(|(key, _)| key.clone()) else { return };
        let channels = u32::try_from(self.attendance.intake.media().channels).unwrap_or(1);
        let Some(stream) = self.room.stream(track, channels) else {
            tracing::warn!(is_video, "LiveKit's client library gives no stream of the track {name}");
            return;
        };
        let number = stream.number();
        let encrypted = self.offered.iter().any(|each| each.publication.track == name && each.publication.encrypted);
        let opened = self.attendance.intake.clock().now();
        self.streams.insert(
            number,
            StreamState {
                stream,
                seat,
                track: name,
                sound: SoundClock::default(),
                pictures: PictureClock::default(),
                received: Received::default(),
                heard: false,
                encrypted,
                opened,
                size: (0, 0),
            },
        );
    }

    /// Whether what comes of the track is what was sent.
    fn is_clear(&self, state: &StreamState) -> bool {
        !state.encrypted || self.decrypted(&state.seat.identity, Some(state)) == Decrypted::Yes
    }

    /// How it is with an encrypted track of somebody, whose stream is there as soon as it was opened.
    fn decrypted(&self, identity: &str, stream: Option<&StreamState>) -> Decrypted {
        let arrival = stream.map(|state| Arrival { opened: state.opened, received: &state.received });
        self.decryption.of(identity, arrival, self.attendance.intake.clock().now())
    }

    /// Who is to be shown or heard by what comes of this stream, and its state; nobody while it is not what was sent.
    fn whose(&mut self, stream: u64) -> Option<(&mut StreamState, &mut ParticipantIntake)> {
        if !self.is_clear(self.streams.get(&stream)?) {
            return None;
        }
        let state = self.streams.get_mut(&stream)?;
        let who = self.seats.get_mut(&state.seat)?.who.as_mut()?;
        Some((state, who))
    }

    /// The key may have been mended meanwhile, here or there.
    fn try_key_again(&self) {
        if !self.decryption.is_failing() {
            return;
        }
        match self.attendance.source.shared_key.as_ref().map(SecretText::read) {
            Some(Ok(key)) => self.room.set_shared_key(&key),
            Some(Err(error)) => tracing::warn!("the shared key cannot be read again: {error}"),
            None => {}
        }
    }

    /// When it was, by the recording's clock.
    fn came(&self, at: Instant) -> Nanos {
        self.attendance.intake.clock().now() - nanos(at.elapsed())
    }

    fn show(&mut self, stream: u64, picture: RoomPicture) {
        let shown_at = Duration::from_micros(u64::try_from(picture.shown_at).unwrap_or(0));
        let shown_at = self.attendance.intake.at_monotonic(shown_at);
        let came = self.came(picture.came);
        let Some((state, who)) = self.whose(stream) else { return };
        let due = state.pictures.sent(shown_at, came) + DELAY;
        let turn = turn(picture.rotation);
        let (width, height) = picture.size();
        if std::mem::replace(&mut state.size, (width, height)) != (width, height) {
            tracing::debug!("the pictures of {:?} are {width}x{height}", state.seat.identity);
        }
        let frame = Frame::of_planes(width, height, Box::new(picture));
        let frame = frame.and_then(|frame| if turn == Turn::NONE { Ok(frame) } else { frame.turned(turn) });
        // What is no picture is passed over, as one that was lost on the way.
        if let Ok(frame) = frame {
            who.picture(frame, Some(due));
        }
    }

    fn play(&mut self, stream: u64, sound: &RoomSound) {
        let came = self.came(sound.came);
        let Some((state, who)) = self.whose(stream) else { return };
        let (samples, channels) = (sound.samples(), sound.channels());
        // Of a track of which nothing has come so far the library hands on silence.
        state.heard = state.heard || state.received.last().is_some() || samples.iter().any(|sample| *sample != 0);
        if !state.heard {
            return;
        }
        let Some(count) = samples.len().checked_div(channels).and_then(|count| i64::try_from(count).ok()) else {
            return;
        };
        let due = state.sound.spoken(came, rescaled(count, SECOND, SAMPLE_RATE)) + DELAY;
        if let Ok(frame) = Frame::pcm(samples, channels, client::SAMPLE_RATE) {
            who.samples(frame, Some(due));
        }
    }

    /// Tells what came or went, and of those of whom nothing comes any more, before the server does.
    fn watch(&mut self) {
        let now = self.attendance.intake.clock().now();
        let mut back = false;
        for (key, seat) in &mut self.seats {
            if let Some(who) = &mut seat.who {
                who.watch();
            }
            let muted = |track: &str| {
                let offered = self.offered.iter().find(|offered| offered.publication.track == track);
                offered.is_none_or(|offered| offered.publication.muted)
            };
            let of_identity = self.streams.values().filter(|state| state.seat.identity == key.identity);
            let pulses = of_identity.map(|state| TrackPulse {
                muted: muted(&state.track),
                may_be_still: state.seat.screen && state.stream.is_video(),
                received: &state.received,
            });
            let gone = is_gone(pulses, now);
            back |= seat.silent && !gone;
            seat.silent = gone;
            if let Some(who) = seat.who.take_if(|_| gone) {
                who.leave(true, "nothing comes any more: the connection broke".to_owned());
            }
        }
        self.ask_for_sizes();
        if back {
            self.reseat();
        } else if !self.announced {
            self.announce();
        }
        // While media still comes, only the signalling is gone.
        if self.interrupted && self.seats.values().all(|seat| seat.who.is_none()) {
            self.attendance.tell(RoomTrouble::interrupted());
        }
    }

    fn ask(&mut self) {
        for (number, state) in &self.streams {
            self.questions.insert(self.room.ask_figures(&state.stream), *number);
        }
    }

    /// Tells of those for whom there is no place, and when that is so no longer.
    fn tell_waiting(&mut self, waiting: Vec<SeatKey>, seated: &[(SeatKey, Tracks)]) {
        let told = std::mem::take(&mut self.told_waiting);
        for key in told.iter().filter(|key| !waiting.contains(key)) {
            if seated.iter().any(|(other, _)| other == key) {
                self.remark_waiting(key, false);
            } else {
                self.dismiss(key);
            }
        }
        for key in waiting.iter().filter(|key| !told.contains(key)) {
            let uid = self.attendance.seating.uid(key);
            let (name, identity) = self.called(key);
            self.attendance.intake.expect(uid, name.as_deref(), Some(&identity));
            self.remark_waiting(key, true);
        }
        self.told_waiting = waiting;
    }

    fn remark_waiting(&mut self, key: &SeatKey, holds: bool) {
        let uid = self.attendance.seating.uid(key);
        self.attendance.intake.event(CaptureEvent::Remark { uid, remark: Remark::AwaitsPlace, holds });
    }

    /// Is not to come again, as far as is known: what is wrong is over with that, and news if it is so once more.
    fn dismiss(&mut self, key: &SeatKey) {
        let uid = self.attendance.seating.uid(key);
        self.attendance.intake.dismiss(uid);
        self.attendance.warnings.remove(&uid);
    }
}

/// Of a screen on which nothing moves nothing is sent.
fn may_be_still(offered: &OfferedTrack) -> bool {
    offered.publication.is_video && offered.publication.source == TrackSource::SourceScreenshare
}

fn turn(rotation: VideoRotation) -> Turn {
    Turn::clockwise(match rotation {
        VideoRotation::VideoRotation0 => 0,
        VideoRotation::VideoRotation90 => 90,
        VideoRotation::VideoRotation180 => 180,
        VideoRotation::VideoRotation270 => 270,
    })
}

impl PictureBuffer for RoomPicture {
    fn plane(&self, index: usize) -> Plane<'_> {
        let (bytes, stride) = RoomPicture::plane(self, index).unwrap_or_default();
        Plane { bytes, stride }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! One participant from its coming to its leaving: its media goes into its feed, and who listens hears of it.

use std::sync::Arc;

use super::pictures::PicturePipeline;
use super::presence::MediaPresence;
use super::samples::SamplePipeline;
use super::{Intake, MediaWarnings, TrackFailure};
use crate::capture::api::{CaptureEvent, Remark, TrackKind};
use crate::capture::av::frame::Frame;
use crate::capture::clock::{Nanos, SECOND};
use crate::capture::feed::Feed;
use crate::capture::geometry::{needed, Region};
use crate::capture::roster::Member;

/// A track of which nothing was lost or damaged for so long is all right again.
const HEALED: Nanos = 5 * SECOND;

const SILENCED: &str = "samples that are no numbers, or far beyond full scale, are recorded as silence";

pub struct ParticipantIntake {
    uid: u32,
    identity: Option<Arc<str>>,
    screen: bool,
    intake: Intake,
    feed: Arc<Feed>,
    pictures: PicturePipeline,
    samples: SamplePipeline,
    /// By when frames were due.
    presence: MediaPresence,
    warnings: Arc<MediaWarnings>,
    told_wait: bool,
    /// When something was wrong with each track last, if that is not over, by `TrackKind as usize`.
    troubled: [Option<Nanos>; 2],
    /// Whether this connection has told of it.
    told_trouble: [bool; 2],
}

impl ParticipantIntake {
    pub(super) fn new(uid: u32, intake: Intake, warnings: &Arc<MediaWarnings>) -> Self {
        let media = intake.media();
        Self {
            uid,
            identity: None,
            screen: false,
            feed: Arc::new(Feed::new(media.channels)),
            pictures: PicturePipeline::new(media.colour),
            samples: SamplePipeline::new(media.channels),
            presence: MediaPresence::default(),
            warnings: Arc::clone(warnings),
            told_wait: false,
            troubled: [None; 2],
            told_trouble: [false; 2],
            intake,
        }
    }

    /// By what the channel tells this one from the others.
    #[must_use]
    pub fn known_as(self, identity: &str) -> Self {
        Self { identity: Some(identity.into()), ..self }
    }

    /// What is shown is a screen: it is seen whole, and in the place of honour.
    #[must_use]
    pub fn as_screen(self) -> Self {
        Self { screen: true, ..self }
    }

    /// Takes a picture that is to be seen at `due`; without that, at its pace after the one before.
    pub fn picture(&mut self, frame: Frame, due: Option<Nanos>) {
        self.take(TrackKind::Video, frame, due);
    }

    /// Takes samples, the first of which is to be heard at `due`; without that, right after the last ones.
    pub fn samples(&mut self, frame: Frame, due: Option<Nanos>) {
        self.take(TrackKind::Audio, frame, due);
    }

    fn take(&mut self, track: TrackKind, frame: Frame, due: Option<Nanos>) {
        // What is still on its way of what was muted meanwhile is not to be seen or heard.
        if !self.intake.media().takes(track) || self.presence.is_withheld(track) {
            return;
        }
        match self.put(track, frame, due, false) {
            Ok(due) => self.see(track, due),
            Err(failure) => self.lose(track, &failure),
        }
        self.tell_damage();
    }

    /// Says which media is sent from now on: it is not taken from what came lately any more. The last picture does not stay
    /// where none is sent. Who has not come yet has come.
    pub fn announce(&mut self, audio: bool, video: bool) {
        let media = self.intake.media();
        let present = (audio && media.takes(TrackKind::Audio), video && media.takes(TrackKind::Video));
        let now = self.intake.clock().now();
        if !present.1 {
            self.feed.hide();
        }
        if let Some(present) = self.presence.state(present) {
            self.join(present, now, now);
        }
        self.tell_change();
    }

    /// Tells what came or went since the last time, and what could not be shown.
    pub fn watch(&mut self) {
        self.tell_refused();
        self.tell_change();
    }

    /// Has left: `lost` where that was not by its own will. Who never came leaves nothing.
    pub fn leave(self, lost: bool, message: String) {
        if self.has_joined() {
            self.intake.roster().leave(self.uid);
            let at = self.intake.utc_now();
            self.intake.event(CaptureEvent::Left { uid: self.uid, at, lost, message });
        }
    }

    pub fn has_joined(&self) -> bool {
        self.presence.has_joined()
    }

    /// When the last media is due that came.
    pub fn last_due(&self) -> Nanos {
        self.presence.last().unwrap_or(0)
    }

    /// Where the pictures are shown, as soon as that is known: larger ones are of no use.
    pub fn shown_in(&self) -> Option<Region> {
        self.feed.shown_in().map(|(region, _)| region)
    }

    /// How large a picture of this size has to come for what is seen of it, as soon as that is known.
    pub fn needed_of(&self, size: (u32, u32)) -> Option<(u32, u32)> {
        let (region, fill) = self.feed.shown_in()?;
        // What swaps the sides once swaps them back.
        Some(self.upright(needed(self.upright(size), region, fill)))
    }

    /// A size as the last picture's was, turned as it is shown.
    pub fn upright(&self, size: (u32, u32)) -> (u32, u32) {
        self.pictures.upright(size)
    }

    #[cfg(test)]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Whether the pictures that wait take little memory.
    pub fn is_small(&self) -> bool {
        self.feed.is_small()
    }

    /// Waits until the pictures that wait for their time leave memory for more.
    pub fn wait_for_room(&self) {
        let (clock, stop) = (self.intake.clock(), self.intake.stop());
        while let Some(until) = self.feed.full_until(clock.now()) {
            if stop.is_raised() {
                return;
            }
            clock.wait_until(until, stop);
        }
    }

    /// Puts a frame into the feed, and tells nobody; returns when it is due. `fields`: what is interlaced comes as two
    /// pictures, one after the other.
    pub(in crate::capture) fn put(
        &mut self,
        track: TrackKind,
        frame: Frame,
        due: Option<Nanos>,
        fields: bool,
    ) -> Result<Nanos, TrackFailure> {
        match track {
            TrackKind::Video => self.pictures.put(frame, due, fields, &self.feed),
            TrackKind::Audio => Ok(self.samples.put(&frame, due, &self.feed)?),
        }
    }

    /// Takes note of media, and tells when it is the first.
    pub(in crate::capture) fn see(&mut self, track: TrackKind, due: Nanos) {
        let now = self.intake.clock().now();
        if !self.presence.has_seen(track) && self.warnings.heal(track) {
            // An earlier connection may have told of it what is over now.
            self.troubled[track as usize].get_or_insert(now);
        }
        self.heal(track);
        if let Some(present) = self.presence.see_paced(track, due, now) {
            self.join(present, now, due);
        }
    }

    fn join(&mut self, (audio, video): (bool, bool), now: Nanos, due: Nanos) {
        let intake = &self.intake;
        let (feed, identity) = (Arc::clone(&self.feed), self.identity.clone());
        let member = Member { uid: self.uid, identity, feed, audio, video, screen: self.screen };
        let joined = CaptureEvent::Joined { uid: self.uid, at: intake.clock().utc(now), audio, video };
        intake.roster().join(member, (now, due), || intake.event(joined));
        // The first tick is a lead away, and pictures of full size would wait for it.
        intake.participant_regions.seat(&intake.roster().members());
        // Whoever joins begins without a remark.
        self.told_wait = false;
    }

    /// A track is not recorded, at least for now.
    pub fn lose(&mut self, track: TrackKind, failure: &TrackFailure) {
        let (uid, reason, now) = (self.uid, failure.to_string(), self.intake.clock().now());
        let is_news = self.warnings.is_new_loss(track, &reason, now);
        if self.begins_trouble(track, now) || is_news {
            self.intake.event(CaptureEvent::TrackLost { uid, track, reason, cause: failure.cause(), is_news });
        }
    }

    /// Tells what was wrong with frames, though they were used.
    pub(in crate::capture) fn tell_damage(&mut self) {
        if !self.samples.take_silenced() {
            return;
        }
        let (uid, track, now) = (self.uid, TrackKind::Audio, self.intake.clock().now());
        let is_news = self.warnings.is_news(track, SILENCED, now);
        if self.begins_trouble(track, now) || is_news {
            self.intake.event(CaptureEvent::TrackDamaged { uid, track, reason: SILENCED.to_owned(), is_news });
        }
    }

    /// Notes trouble with a track; true if it has only begun.
    fn begins_trouble(&mut self, track: TrackKind, now: Nanos) -> bool {
        self.troubled[track as usize] = Some(now);
        !std::mem::replace(&mut self.told_trouble[track as usize], true)
    }

    /// Takes back what was told of a track, once it has come for a while without any trouble.
    fn heal(&mut self, track: TrackKind) {
        let now = self.intake.clock().now();
        let troubled = &mut self.troubled[track as usize];
        if troubled.is_some_and(|at| now - at >= HEALED) {
            *troubled = None;
            self.told_trouble[track as usize] = false;
            self.warnings.heal(track);
            self.intake.event(CaptureEvent::TrackHealed { uid: self.uid, track });
        }
    }

    /// Tells of pictures that the canvas could not take.
    pub(in crate::capture) fn tell_refused(&mut self) {
        if let Some(refused) = self.feed.take_refused() {
            self.lose(TrackKind::Video, &TrackFailure::Unpaintable(refused));
        }
    }

    /// Tells when a track came or went.
    pub(in crate::capture) fn tell_change(&mut self) {
        if let Some((audio, video)) = self.presence.change(self.intake.clock().now()) {
            self.intake.roster().change(self.uid, audio, video);
            self.intake.event(CaptureEvent::MediaChanged { uid: self.uid, audio, video });
        }
    }

    /// Tells when it begins or ends that nothing can be decoded before a key picture.
    pub(in crate::capture) fn tell_wait(&mut self, waits: bool) {
        if std::mem::replace(&mut self.told_wait, waits) == waits {
            return;
        }
        let remark = Remark::AwaitsKeyPicture;
        self.intake.event(CaptureEvent::Remark { uid: self.uid, remark, holds: waits });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::api::{StreamKinds, UtcMillis};
    use crate::capture::clock::{StopSignal, VirtualClock};
    use crate::capture::intake::KeptEvents;

    /// What was told of somebody whose part `play` plays.
    fn told(kinds: StreamKinds, play: impl FnOnce(ParticipantIntake, &Intake)) -> Vec<CaptureEvent> {
        let sink = Arc::<KeptEvents>::default();
        let intake = Intake::into_nothing(Arc::new(VirtualClock::new(UtcMillis(0))), Arc::clone(&sink) as _, kinds);
        play(intake.participant(7, &Arc::default()), &intake);
        sink.take()
    }

    fn picture() -> Frame {
        Frame::i420(64, 64).expect("a picture")
    }

    fn sound() -> Frame {
        Frame::pcm(&[0; 960], 2, 48_000).expect("samples")
    }

    const AT: UtcMillis = UtcMillis(0);

    #[test]
    fn who_brings_media_joins_with_the_first_and_leaves_once() {
        let events = told(StreamKinds::AudioVideo, |mut who, intake| {
            who.samples(sound(), Some(SECOND));
            who.picture(picture(), Some(SECOND));
            assert_eq!(intake.roster().first_due(), Some(SECOND));
            who.watch();
            who.leave(true, "gone".to_owned());
            assert!(intake.roster().members().is_empty());
        });
        let left = CaptureEvent::Left { uid: 7, at: AT, lost: true, message: "gone".to_owned() };
        let joined = CaptureEvent::Joined { uid: 7, at: AT, audio: true, video: false };
        assert_eq!(events, [joined, CaptureEvent::MediaChanged { uid: 7, audio: true, video: true }, left]);
    }

    #[test]
    fn who_says_what_is_sent_is_there_without_media_and_keeps_it_through_silence() {
        let events = told(StreamKinds::AudioVideo, |mut who, intake| {
            who.announce(true, false);
            who.announce(true, true);
            intake.clock().enter();
            intake.clock().wait_until(60 * SECOND, &StopSignal::default());
            who.watch();
            who.announce(false, true);
        });
        let joined = CaptureEvent::Joined { uid: 7, at: AT, audio: true, video: false };
        let changed = |audio, video| CaptureEvent::MediaChanged { uid: 7, audio, video };
        assert_eq!(events, [joined, changed(true, true), changed(false, true)]);
    }

    #[test]
    fn the_last_picture_is_gone_when_it_is_said_that_none_is_sent() {
        told(StreamKinds::AudioVideo, |mut who, _| {
            who.announce(true, true);
            who.picture(picture(), Some(0));
            assert!(who.feed().picture(SECOND, 0).is_some());
            who.announce(true, false);
            who.picture(picture(), Some(0));
            assert!(who.feed().picture(SECOND, 0).is_none());
            who.announce(true, true);
            who.picture(picture(), Some(0));
            assert!(who.feed().picture(SECOND, 0).is_some());
        });
    }

    #[test]
    fn what_is_not_recorded_is_not_taken_and_who_never_came_does_not_leave() {
        let events = told(StreamKinds::AudioOnly, |mut who, _| {
            who.picture(picture(), Some(SECOND));
            who.leave(false, "bye".to_owned());
        });
        assert_eq!(events, []);
        let events = told(StreamKinds::AudioOnly, |mut who, _| who.announce(true, true));
        assert_eq!(events, [CaptureEvent::Joined { uid: 7, at: AT, audio: true, video: false }]);
    }

    #[test]
    fn a_picture_that_cannot_be_shown_is_told_of_and_the_sound_is_recorded() {
        let events = told(StreamKinds::AudioVideo, |mut who, _| {
            who.picture(Frame::i420(64, 1).expect("a picture"), Some(0));
            who.samples(sound(), Some(0));
        });
        let lost = |event: &CaptureEvent| matches!(event, CaptureEvent::TrackLost { track: TrackKind::Video, .. });
        assert!(lost(&events[0]), "{events:?}");
        assert_eq!(events[1..], [CaptureEvent::Joined { uid: 7, at: AT, audio: true, video: false }]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The participants as the snapshot has them: who is there, with what, and what is wrong with whom.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::capture::api::{Remark, TrackKind};
use crate::catalog::record::Expected;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ParticipantState {
    Connecting,
    Joined,
    Left,
    /// The far end said no.
    Refused,
    /// Not reachable, or nothing that can be decoded.
    Failed,
}

/// What may be wrong with a participant; each is told by itself and ends by itself. In the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParticipantIssue {
    /// Not in the channel.
    Away,
    Lost(TrackKind),
    Damaged(TrackKind),
    Remark(Remark),
}

impl ParticipantIssue {
    #[must_use]
    pub fn track(self) -> Option<TrackKind> {
        match self {
            Self::Lost(track) | Self::Damaged(track) => Some(track),
            Self::Away | Self::Remark(_) => None,
        }
    }

    #[must_use]
    pub fn message(self, reason: &str) -> String {
        let what = |track| if track == TrackKind::Audio { "sound" } else { "picture" };
        match self {
            Self::Lost(track) => format!("the {} cannot be recorded: {reason}", what(track)),
            Self::Damaged(track) => format!("the {} is damaged: {reason}", what(track)),
            Self::Away | Self::Remark(_) => reason.to_owned(),
        }
    }
}

/// What is told of an issue: in words, and in one word for programs where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    message: String,
    cause: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    pub uid: u32,
    pub name: Option<String>,
    /// What the channel itself calls the participant by, where that is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    pub state: ParticipantState,
    pub audio: bool,
    pub video: bool,
    pub join_time: Option<i64>,
    pub leave_time: Option<i64>,
    /// What stands of the issues.
    pub message: String,
    /// Why sound or picture is not recorded, in one word for programs, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    #[serde(skip)]
    issues: BTreeMap<ParticipantIssue, Trouble>,
    /// Is not to come any more.
    #[serde(skip)]
    dismissed: bool,
}

impl Participant {
    fn expected(expected: Expected) -> Self {
        Self {
            uid: expected.uid,
            name: expected.name,
            identity: expected.identity,
            state: ParticipantState::Connecting,
            audio: false,
            video: false,
            join_time: None,
            leave_time: None,
            message: String::new(),
            cause: None,
            issues: BTreeMap::new(),
            dismissed: false,
        }
    }

    fn set(&mut self, issue: ParticipantIssue, message: String, cause: Option<&'static str>) {
        if message.is_empty() {
            return self.clear(issue);
        }
        self.issues.insert(issue, Trouble { message, cause });
        self.sum_up();
    }

    fn clear(&mut self, issue: ParticipantIssue) {
        self.issues.remove(&issue);
        self.sum_up();
    }

    fn sum_up(&mut self) {
        self.message = self.issues.values().map(|trouble| trouble.message.as_str()).collect::<Vec<_>>().join("; ");
        self.cause = self.issues.values().find_map(|trouble| trouble.cause);
    }

    /// Of whom is not there, nothing else is known.
    fn away(&mut self, message: String) {
        self.issues.clear();
        self.set(ParticipantIssue::Away, message, None);
    }
}

/// Where there are more, those who have left are forgotten for new ones.
const MOST_LISTED: usize = 20;

#[derive(Debug, Clone, Default)]
pub struct Participants {
    participants: Vec<Participant>,
    somebody_joined: bool,
}

impl Participants {
    #[must_use]
    pub fn new(expected: &[Expected], somebody_joined: bool) -> Self {
        Self { participants: expected.iter().cloned().map(Participant::expected).collect(), somebody_joined }
    }

    /// Somebody may come, or is called otherwise from now on.
    pub fn expect(&mut self, expected: Expected) {
        let known = self.find(expected.uid).filter(|participant| !participant.dismissed);
        if let Some(participant) = known {
            (participant.name, participant.identity) = (expected.name, expected.identity);
            return;
        }
        self.participants.retain(|participant| participant.uid != expected.uid);
        let has_gone = |participant: &Participant| participant.state == ParticipantState::Left;
        if self.participants.len() >= MOST_LISTED {
            let gone = self.participants.iter().position(has_gone);
            gone.map(|gone| self.participants.remove(gone));
        }
        self.participants.push(Participant::expected(expected));
    }

    /// Whoever has left stays listed for a while; who never came does not.
    pub fn dismiss(&mut self, uid: u32) {
        self.participants.retain(|participant| participant.uid != uid || participant.join_time.is_some());
        if let Some(participant) = self.find(uid) {
            participant.dismissed = true;
            participant.state = ParticipantState::Left;
        }
    }

    pub fn joined(&mut self, uid: u32, at: i64, audio: bool, video: bool) {
        self.somebody_joined = true;
        if self.find(uid).is_none() {
            self.expect(Expected { uid, name: None, identity: None });
        }
        if let Some(participant) = self.find(uid) {
            *participant = Participant {
                state: ParticipantState::Joined,
                audio,
                video,
                join_time: Some(at),
                leave_time: None,
                ..participant.clone()
            };
            // What was found of its media before anything of it was decoded stands.
            for over in [
                ParticipantIssue::Away,
                ParticipantIssue::Remark(Remark::AwaitsPlace),
                ParticipantIssue::Remark(Remark::AwaitsKeyPicture),
            ] {
                participant.clear(over);
            }
        }
    }

    pub fn media_changed(&mut self, uid: u32, audio: bool, video: bool) {
        if let Some(participant) = self.find(uid) {
            (participant.audio, participant.video) = (audio, video);
        }
    }

    /// The connection stands, so whoever was out of reach is on the way.
    pub fn remark(&mut self, uid: u32, remark: Remark, holds: bool) {
        if let Some(participant) = self.find(uid) {
            if matches!(participant.state, ParticipantState::Failed | ParticipantState::Refused) {
                participant.state = ParticipantState::Connecting;
                participant.clear(ParticipantIssue::Away);
            }
            let words = if holds { remark.words() } else { "" };
            participant.set(ParticipantIssue::Remark(remark), words.to_owned(), None);
        }
    }

    pub fn left(&mut self, uid: u32, at: i64, message: String) {
        if let Some(participant) = self.find(uid) {
            participant.state = ParticipantState::Left;
            (participant.audio, participant.video) = (false, false);
            participant.leave_time = Some(at);
            participant.away(message);
        }
    }

    /// Whoever was there and cannot be reached any more has left, whatever the far end says of it meanwhile.
    pub fn unavailable(&mut self, uid: u32, refused: bool, message: String) {
        if let Some(participant) = self.find(uid) {
            participant.state = match (refused, participant.leave_time) {
                (true, _) => ParticipantState::Refused,
                (false, Some(_)) => ParticipantState::Left,
                (false, None) => ParticipantState::Failed,
            };
            participant.away(message);
        }
    }

    /// Notes what is wrong with a participant's media; false where that is known already.
    pub fn set_issue(
        &mut self,
        uid: u32,
        issue: ParticipantIssue,
        message: String,
        cause: Option<&'static str>,
    ) -> bool {
        let known = |told: &Trouble| told.message == message && told.cause == cause;
        let news = |participant: &&mut Participant| !participant.issues.get(&issue).is_some_and(known);
        let Some(participant) = self.find(uid).filter(news) else {
            return false;
        };
        participant.set(issue, message, cause);
        true
    }

    /// Nothing is wrong with the track any more.
    pub fn healed(&mut self, uid: u32, track: TrackKind) {
        if let Some(participant) = self.find(uid) {
            participant.clear(ParticipantIssue::Lost(track));
            participant.clear(ParticipantIssue::Damaged(track));
        }
    }

    /// How a message calls a participant: the number, and the name, or else the identity, where there is one.
    #[must_use]
    pub fn name(&self, uid: u32) -> String {
        let known = self.participants.iter().find(|participant| participant.uid == uid);
        match known.and_then(|participant| participant.name.as_ref().or(participant.identity.as_ref())) {
            Some(name) => format!("{uid} ({name})"),
            None => uid.to_string(),
        }
    }

    /// Everybody leaves as the recorder does.
    pub fn end(&mut self, at: i64) {
        for participant in self.participants.iter_mut().filter(|each| each.state == ParticipantState::Joined) {
            participant.state = ParticipantState::Left;
            participant.leave_time = Some(at);
        }
    }

    #[must_use]
    pub fn listed(&self) -> &[Participant] {
        &self.participants
    }

    #[must_use]
    pub fn somebody_joined(&self) -> bool {
        self.somebody_joined
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.participants.iter().any(|each| each.state == ParticipantState::Joined)
    }

    /// Whether the channel refuses the recorder: every source said no, and nobody was ever there.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.somebody_joined
            && !self.participants.is_empty()
            && self.participants.iter().all(|each| each.state == ParticipantState::Refused)
    }

    fn find(&mut self, uid: u32) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|participant| participant.uid == uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::DECRYPTION_FAILED;

    fn expected(uid: u32) -> Expected {
        Expected { uid, name: None, identity: None }
    }

    const CONNECTING: ParticipantState = ParticipantState::Connecting;

    fn states(participants: &Participants) -> Vec<(u32, ParticipantState)> {
        participants.listed().iter().map(|participant| (participant.uid, participant.state)).collect()
    }

    #[test]
    fn who_comes_unannounced_is_listed_and_who_is_dismissed_only_after_having_been_there() {
        let mut participants = Participants::new(&[expected(1), expected(2)], false);
        participants.joined(7, 10, true, true);
        assert!(!participants.is_empty(), "whoever it is, the channel is not empty");
        participants.expect(Expected { name: Some("carol".to_owned()), ..expected(7) });
        assert_eq!(participants.name(7), "7 (carol)");
        participants.left(7, 20, "gone".to_owned());
        participants.dismiss(7);
        participants.dismiss(2);
        assert_eq!(states(&participants), [(1, CONNECTING), (7, ParticipantState::Left)]);
        participants.expect(expected(7));
        assert_eq!(states(&participants), [(1, CONNECTING), (7, CONNECTING)], "and comes again as a new one");
    }

    #[test]
    fn a_room_that_thousands_pass_through_lists_the_last_of_them_and_all_who_are_there() {
        let mut participants = Participants::new(&[], false);
        assert!(!participants.is_refused(), "nobody is there to refuse anything");
        participants.joined(1, 0, true, true);
        for uid in 2..2000 {
            participants.expect(expected(uid));
            participants.joined(uid, 0, true, true);
            participants.left(uid, 1, String::new());
        }
        assert_eq!(participants.listed().len(), MOST_LISTED);
        assert_eq!(states(&participants)[0], (1, ParticipantState::Joined));
        assert_eq!(participants.listed().last().map(|last| last.uid), Some(1999));
    }

    #[test]
    fn what_a_participant_is_waited_for_is_shown_until_it_is_there() {
        let mut participants = Participants::new(&[expected(1)], false);
        let shown =
            |participants: &Participants| (participants.listed()[0].state, participants.listed()[0].message.clone());
        participants.unavailable(1, false, "not there yet".to_owned());
        let (remark, waiting) = (Remark::AwaitsKeyPicture, "waiting for a key picture".to_owned());
        participants.remark(1, remark, true);
        assert_eq!(shown(&participants), (ParticipantState::Connecting, waiting.clone()));
        participants.joined(1, 10, true, false);
        assert_eq!(shown(&participants), (ParticipantState::Joined, String::new()));
        participants.remark(1, remark, true);
        assert_eq!(shown(&participants), (ParticipantState::Joined, waiting));
        participants.remark(1, remark, false);
        assert_eq!(shown(&participants), (ParticipantState::Joined, String::new()));
    }

    #[test]
    fn each_trouble_is_shown_for_as_long_as_it_stands_whatever_else_begins_and_ends() {
        let mut participants = Participants::new(&[expected(1)], false);
        let shown = |participants: &Participants| participants.listed()[0].message.clone();
        let lost = ParticipantIssue::Lost(TrackKind::Video);
        let complaint = lost.message("no decoder");
        assert!(participants.set_issue(1, lost, complaint.clone(), None));
        participants.joined(1, 10, true, false);
        assert_eq!(shown(&participants), complaint, "it was found before the sound came");
        participants.remark(1, Remark::StandsStill, true);
        assert_eq!(shown(&participants), format!("{complaint}; {}", Remark::StandsStill.words()));
        assert!(!participants.set_issue(1, lost, complaint.clone(), None));
        participants.remark(1, Remark::StandsStill, false);
        assert_eq!(shown(&participants), complaint);
        participants.healed(1, TrackKind::Audio);
        assert_eq!(shown(&participants), complaint);
        participants.healed(1, TrackKind::Video);
        assert_eq!(shown(&participants), "");
        participants.set_issue(1, lost, complaint, None);
        participants.left(1, 20, "gone".to_owned());
        participants.joined(1, 30, true, true);
        assert_eq!(shown(&participants), "", "another connection tells of itself");
    }

    #[test]
    fn the_cause_of_a_lost_track_stands_beside_whatever_else_is_told_until_every_such_track_has_healed() {
        let mut participants = Participants::new(&[expected(1)], false);
        participants.joined(1, 10, false, false);
        let shown = |participants: &Participants| participants.listed()[0].cause;
        let [sound, picture] = [TrackKind::Audio, TrackKind::Video].map(ParticipantIssue::Lost);
        assert!(participants.set_issue(1, sound, sound.message("no decoder"), None));
        assert_eq!(shown(&participants), None);
        assert!(participants.set_issue(1, sound, sound.message("a key"), Some(DECRYPTION_FAILED)));
        assert!(participants.set_issue(1, picture, picture.message("a key"), Some(DECRYPTION_FAILED)));
        participants.remark(1, Remark::StandsStill, true);
        participants.healed(1, TrackKind::Audio);
        assert_eq!(shown(&participants), Some(DECRYPTION_FAILED));
        let snapshot = serde_json::to_value(participants.listed()).expect("JSON");
        assert_eq!(snapshot[0]["cause"], DECRYPTION_FAILED);
        participants.healed(1, TrackKind::Video);
        assert_eq!(shown(&participants), None);
        assert!(participants.set_issue(1, sound, sound.message("a key"), Some(DECRYPTION_FAILED)));
        participants.left(1, 20, "gone".to_owned());
        assert_eq!(shown(&participants), None, "of whom is not there, nothing else is known");
    }

    #[test]
    fn a_participant_who_left_stays_left_while_nobody_answers() {
        let mut participants = Participants::new(&[expected(1)], false);
        participants.unavailable(1, false, "not there yet".to_owned());
        assert_eq!(participants.listed()[0].state, ParticipantState::Failed);
        participants.joined(1, 10, true, true);
        participants.left(1, 20, "ended".to_owned());
        participants.unavailable(1, false, "nothing under this name".to_owned());
        assert_eq!(
            (participants.listed()[0].state, participants.listed()[0].leave_time),
            (ParticipantState::Left, Some(20))
        );
        participants.unavailable(1, true, "401".to_owned());
        assert_eq!(participants.listed()[0].state, ParticipantState::Refused);
    }
}

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    pub uid: u32,
    pub name: Option<String>,
    pub state: ParticipantState,
    pub audio: bool,
    pub video: bool,
    pub join_time: Option<i64>,
    pub leave_time: Option<i64>,
    /// What stands of the issues.
    pub message: String,
    #[serde(skip)]
    issues: BTreeMap<ParticipantIssue, String>,
}

impl Participant {
    fn set(&mut self, issue: ParticipantIssue, message: Option<String>) {
        match message.filter(|message| !message.is_empty()) {
            Some(message) => self.issues.insert(issue, message),
            None => self.issues.remove(&issue),
        };
        self.message = self.issues.values().cloned().collect::<Vec<_>>().join("; ");
    }

    /// Of whom is not there, nothing else is known.
    fn away(&mut self, message: String) {
        self.issues.clear();
        self.set(ParticipantIssue::Away, Some(message));
    }
}

#[derive(Debug, Clone, Default)]
pub struct Participants {
    participants: Vec<Participant>,
    somebody_joined: bool,
}

impl Participants {
    #[must_use]
    pub fn new(expected: &[Expected], somebody_joined: bool) -> Self {
        let participant = |expected: &Expected| Participant {
            uid: expected.uid,
            name: expected.name.clone(),
            state: ParticipantState::Connecting,
            audio: false,
            video: false,
            join_time: None,
            leave_time: None,
            message: String::new(),
            issues: BTreeMap::new(),
        };
        Self { participants: expected.iter().map(participant).collect(), somebody_joined }
    }

    pub fn joined(&mut self, uid: u32, at: i64, audio: bool, video: bool) {
        self.somebody_joined = true;
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
            participant.set(ParticipantIssue::Away, None);
            participant.set(ParticipantIssue::Remark(Remark::AwaitsKeyPicture), None);
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
                participant.set(ParticipantIssue::Away, None);
            }
            participant.set(ParticipantIssue::Remark(remark), holds.then(|| remark.words().to_owned()));
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
    pub fn set_issue(&mut self, uid: u32, issue: ParticipantIssue, message: String) -> bool {
        let known = |participant: &&mut Participant| participant.issues.get(&issue) == Some(&message);
        let Some(participant) = self.find(uid).filter(|participant| !known(participant)) else {
            return false;
        };
        participant.set(issue, Some(message));
        true
    }

    /// Nothing is wrong with the track any more.
    pub fn healed(&mut self, uid: u32, track: TrackKind) {
        if let Some(participant) = self.find(uid) {
            participant.set(ParticipantIssue::Lost(track), None);
            participant.set(ParticipantIssue::Damaged(track), None);
        }
    }

    /// How a message calls a participant: the number, and the name where there is one.
    #[must_use]
    pub fn name(&self, uid: u32) -> String {
        let known = self.participants.iter().find(|participant| participant.uid == uid);
        match known.and_then(|participant| participant.name.as_ref()) {
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
        !self.somebody_joined && self.participants.iter().all(|each| each.state == ParticipantState::Refused)
    }

    fn find(&mut self, uid: u32) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|participant| participant.uid == uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_participant_is_waited_for_is_shown_until_it_is_there() {
        let mut participants = Participants::new(&[Expected { uid: 1, name: None }], false);
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
        let mut participants = Participants::new(&[Expected { uid: 1, name: None }], false);
        let shown = |participants: &Participants| participants.listed()[0].message.clone();
        let lost = ParticipantIssue::Lost(TrackKind::Video);
        let complaint = lost.message("no decoder");
        assert!(participants.set_issue(1, lost, complaint.clone()));
        participants.joined(1, 10, true, false);
        assert_eq!(shown(&participants), complaint, "it was found before the sound came");
        participants.remark(1, Remark::StandsStill, true);
        assert_eq!(shown(&participants), format!("{complaint}; {}", Remark::StandsStill.words()));
        assert!(!participants.set_issue(1, lost, complaint.clone()));
        participants.remark(1, Remark::StandsStill, false);
        assert_eq!(shown(&participants), complaint);
        participants.healed(1, TrackKind::Audio);
        assert_eq!(shown(&participants), complaint);
        participants.healed(1, TrackKind::Video);
        assert_eq!(shown(&participants), "");
        participants.set_issue(1, lost, complaint);
        participants.left(1, 20, "gone".to_owned());
        participants.joined(1, 30, true, true);
        assert_eq!(shown(&participants), "", "another connection tells of itself");
    }

    #[test]
    fn a_participant_who_left_stays_left_while_nobody_answers() {
        let mut participants = Participants::new(&[Expected { uid: 1, name: None }], false);
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

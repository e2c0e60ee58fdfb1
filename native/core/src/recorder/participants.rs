// SPDX-License-Identifier: Apache-2.0
//! The participants as they are now.

use serde::Serialize;

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
    pub message: String,
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
                message: String::new(),
                ..participant.clone()
            };
        }
    }

    pub fn media_changed(&mut self, uid: u32, audio: bool, video: bool) {
        if let Some(participant) = self.find(uid) {
            (participant.audio, participant.video) = (audio, video);
        }
    }

    /// The connection stands, so whoever was out of reach is on the way.
    pub fn remark(&mut self, uid: u32, message: String) {
        if let Some(participant) = self.find(uid) {
            if matches!(participant.state, ParticipantState::Failed | ParticipantState::Refused) {
                participant.state = ParticipantState::Connecting;
            }
            participant.message = message;
        }
    }

    pub fn left(&mut self, uid: u32, at: i64, message: String) {
        if let Some(participant) = self.find(uid) {
            participant.state = ParticipantState::Left;
            (participant.audio, participant.video) = (false, false);
            participant.leave_time = Some(at);
            participant.message = message;
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
            participant.message = message;
        }
    }

    /// Notes what is wrong with a participant's media; false where that is known already.
    pub fn complain(&mut self, uid: u32, message: &str) -> bool {
        let Some(participant) = self.find(uid).filter(|participant| participant.message != message) else {
            return false;
        };
        message.clone_into(&mut participant.message);
        true
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
    pub fn participants(&self) -> &[Participant] {
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
        let mut roster = Participants::new(&[Expected { uid: 1, name: None }], false);
        let shown = |roster: &Participants| (roster.participants()[0].state, roster.participants()[0].message.clone());
        roster.unavailable(1, false, "not there yet".to_owned());
        roster.remark(1, "waiting".to_owned());
        assert_eq!(shown(&roster), (ParticipantState::Connecting, "waiting".to_owned()));
        roster.joined(1, 10, true, false);
        roster.remark(1, "waiting".to_owned());
        assert_eq!(shown(&roster), (ParticipantState::Joined, "waiting".to_owned()));
        roster.remark(1, String::new());
        assert_eq!(shown(&roster), (ParticipantState::Joined, String::new()));
    }

    #[test]
    fn a_participant_who_left_stays_left_while_nobody_answers() {
        let mut roster = Participants::new(&[Expected { uid: 1, name: None }], false);
        roster.unavailable(1, false, "not there yet".to_owned());
        assert_eq!(roster.participants()[0].state, ParticipantState::Failed);
        roster.joined(1, 10, true, true);
        roster.left(1, 20, "ended".to_owned());
        roster.unavailable(1, false, "nothing under this name".to_owned());
        assert_eq!(
            (roster.participants()[0].state, roster.participants()[0].leave_time),
            (ParticipantState::Left, Some(20))
        );
        roster.unavailable(1, true, "401".to_owned());
        assert_eq!(roster.participants()[0].state, ParticipantState::Refused);
    }
}

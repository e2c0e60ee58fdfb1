// SPDX-License-Identifier: Apache-2.0
//! Why a room could not be joined, or was left, in words that name the cause and no secret. Pure.

use crate::capture::source::Refusal;
use crate::livekit::client::JoinFailure;
use crate::livekit::DisconnectReason;

/// What the recorder is let in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Key,
    Token,
}

/// What keeps the recorder out of the room. `refused`: asking again is of no use until somebody changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTrouble {
    pub refused: bool,
    pub message: String,
}

impl RoomTrouble {
    pub fn refused(message: impl Into<String>) -> Self {
        Self { refused: true, message: message.into() }
    }

    fn passing(message: impl Into<String>) -> Self {
        Self { refused: false, message: message.into() }
    }

    /// The client library tries to come back, and nothing comes of anybody meanwhile.
    pub fn interrupted() -> Self {
        Self::passing("the connection to the LiveKit server broke")
    }

    /// The server's address is not one to go to.
    pub fn of_address(refusal: &Refusal) -> Self {
        Self { refused: *refusal != Refusal::Unresolved, message: format!("the LiveKit server's URL: {refusal}") }
    }

    /// It is in a file that cannot be read now.
    pub fn unreadable(what: &str, error: &std::io::Error) -> Self {
        Self::passing(format!("{what} cannot be read: {error}"))
    }

    pub fn of_joining(failure: &JoinFailure, pass: Pass) -> Self {
        match failure {
            JoinFailure::Stopped => Self::passing("the recording was stopped"),
            JoinFailure::TimedOut => Self::passing("the LiveKit server does not answer"),
            JoinFailure::Failed(said) => Self::of_words(said, pass),
        }
    }

    /// The client library tells by words alone, and repeats the token in them.
    fn of_words(said: &str, pass: Pass) -> Self {
        match (status(said), pass) {
            (Some(401), Pass::Key) => {
                Self::refused("the LiveKit server does not accept the API key with this secret (401)")
            }
            (Some(401), Pass::Token) => Self::refused(
                "the LiveKit server does not accept the token (401): is it signed with the secret of its API key?",
            ),
            (Some(403), _) => Self::refused("the LiveKit server does not allow the recorder to join the room (403)"),
            (Some(404), _) => {
                Self::passing("the room does not exist, and the LiveKit server makes none by itself (404)")
            }
            _ => Self::passing(format!("the LiveKit server cannot be reached: {}", without_token(said))),
        }
    }

    pub fn of_leaving(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::DuplicateIdentity => {
                Self::refused("somebody with the recorder's identity has joined the room, and takes its place")
            }
            DisconnectReason::ParticipantRemoved => Self::refused("the recorder was removed from the room"),
            DisconnectReason::RoomDeleted => Self::passing("the room was deleted"),
            DisconnectReason::RoomClosed => Self::passing("the room was closed, as nobody was in it"),
            DisconnectReason::ServerShutdown => Self::passing("the LiveKit server shuts down"),
            DisconnectReason::UnknownReason => Self::interrupted(),
            other => Self::passing(format!("the connection to the LiveKit server broke ({})", other.as_str_name())),
        }
    }
}

/// The status of HTTP in "client error: 401 Unauthorized - …".
fn status(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("client error: ")?;
    rest.split(' ').next()?.parse().ok()
}

fn without_token(said: &str) -> String {
    let words = said.strip_prefix("engine: ").unwrap_or(said);
    let words = words.strip_prefix("signal failure: ").unwrap_or(words);
    let is_secret = |word: &&str| word.contains("eyJ") || word.contains("access_token");
    words.split(' ').filter(|word| !is_secret(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_words_and_none_has_the_token() {
        for (said, pass, refused, expected) in [
            (
                "engine: signal failure: client error: 401 Unauthorized - invalid token: eyJhbGci.eyJ.x, error",
                Pass::Key,
                true,
                "API key",
            ),
            (
                "engine: signal failure: client error: 401 Unauthorized - invalid authorization token",
                Pass::Token,
                true,
                "accept the token",
            ),
            ("engine: signal failure: client error: 403 Forbidden - no", Pass::Key, true, "403"),
            (
                "engine: signal failure: client error: 404 Not Found - requested room does not exist",
                Pass::Key,
                false,
                "does not exist",
            ),
            (
                "engine: signal failure: transport connection error: IO error: Connection refused (os error 111)",
                Pass::Key,
                false,
                "cannot be reached: transport connection error: IO error: Connection refused (os error 111)",
            ),
            (
                "engine: something about ws://h/rtc?access_token=eyJhbGci and more",
                Pass::Key,
                false,
                "something about and more",
            ),
        ] {
            let trouble = RoomTrouble::of_joining(&JoinFailure::Failed(said.to_owned()), pass);
            assert_eq!((trouble.refused, trouble.message.contains(expected)), (refused, true), "{trouble:?}");
            assert!(!trouble.message.contains("eyJ"), "{trouble:?}");
        }
    }
}

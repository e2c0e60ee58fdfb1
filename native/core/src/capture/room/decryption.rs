// SPDX-License-Identifier: Apache-2.0
//! Whether what comes of tracks that are encrypted end to end is what was sent, by what the client library says of
//! each participant. Pure.
//!
//! Packets that come before the library decrypts them are played as they are, which is noise: a track is held back until
//! that is over. With another key than the sender's nothing of the track comes out, and the library says so.

use std::collections::HashMap;
use std::fmt;

use super::liveness::Received;
use crate::capture::clock::{Nanos, MILLISECOND, SECOND};
use crate::livekit::EncryptionState;

/// What came of a track before it was decrypted has been played so long after the track was opened.
const SETTLED: Nanos = 300 * MILLISECOND;

/// Packets that come for so long, and of which the library says nothing, are not decrypted.
const UNHEARD: Nanos = 5 * SECOND;

/// Why nothing of an encrypted track is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecrypted {
    NoKey,
    OtherKey,
    /// The sender has several keys, and uses one that is not the first.
    LaterKey,
    Unheard,
}

impl fmt::Display for Undecrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => "it is encrypted end to end, and the recorder was given no key",
            Self::OtherKey => "it is encrypted end to end with another key than the recorder's",
            Self::LaterKey => {
                "it is encrypted end to end with a key of an index other than 0, and the recorder has the one of index 0"
            }
            Self::Unheard => "it is encrypted end to end, and nothing of it could be decrypted so far",
        })
    }
}

/// What is known of an encrypted track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decrypted {
    Yes,
    NotYet,
    No(Undecrypted),
}

/// Of a track whose media comes, or is going to.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub opened: Nanos,
    pub received: &'a Received,
}

#[derive(Debug, Default)]
pub struct Decryption {
    has_key: bool,
    /// What was said last of each participant, by identity.
    said: HashMap<String, Result<(), Undecrypted>>,
}

impl Decryption {
    pub fn new(has_key: bool) -> Self {
        Self { has_key, said: HashMap::new() }
    }

    pub fn has_key(&self) -> bool {
        self.has_key
    }

    /// The library says how it fares with what somebody sends.
    pub fn note(&mut self, identity: &str, state: EncryptionState) {
        let said = match state {
            EncryptionState::Ok => Ok(()),
            EncryptionState::MissingKey => Err(Undecrypted::LaterKey),
            EncryptionState::DecryptionFailed | EncryptionState::InternalError => Err(Undecrypted::OtherKey),
            EncryptionState::New | EncryptionState::KeyRatcheted | EncryptionState::EncryptionFailed => return,
        };
        self.said.insert(identity.to_owned(), said);
    }

    /// Somebody left.
    pub fn forget(&mut self, identity: &str) {
        self.said.remove(identity);
    }

    /// Whether somebody's media is not decrypted: another key may be the right one.
    pub fn is_failing(&self) -> bool {
        self.said.values().any(Result::is_err)
    }

    /// What is known of an encrypted track of somebody; `arrival` as soon as it was opened.
    pub fn of(&self, identity: &str, arrival: Option<Arrival<'_>>, now: Nanos) -> Decrypted {
        if !self.has_key {
            return Decrypted::No(Undecrypted::NoKey);
        }
        match (self.said.get(identity), arrival) {
            (Some(Err(why)), _) => Decrypted::No(*why),
            (Some(Ok(())), Some(Arrival { opened, .. })) if now - opened >= SETTLED => Decrypted::Yes,
            (None, Some(Arrival { opened, received })) if received.last().is_some_and(|at| at - opened >= UNHEARD) => {
                Decrypted::No(Undecrypted::Unheard)
            }
            _ => Decrypted::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_held_back_until_the_library_says_that_it_is_decrypted() {
        let (mut received, nothing) = (Received::default(), Received::default());
        received.note(10, SECOND);
        received.note(20, SECOND + UNHEARD);
        let came = |received| Some(Arrival { opened: SECOND, received });
        let settled = SECOND + SETTLED;
        let no = Decrypted::No;
        let failed = EncryptionState::DecryptionFailed;
        for (said, arrival, now, expected) in [
            (vec![], None, settled, Decrypted::NotYet),
            (vec![], came(&nothing), 60 * SECOND, Decrypted::NotYet),
            (vec![], came(&received), 2 * UNHEARD, no(Undecrypted::Unheard)),
            (vec![EncryptionState::Ok], came(&received), settled - 1, Decrypted::NotYet),
            (vec![EncryptionState::Ok], came(&received), settled, Decrypted::Yes),
            (vec![EncryptionState::Ok], None, settled, Decrypted::NotYet),
            (vec![EncryptionState::New], came(&nothing), settled, Decrypted::NotYet),
            (vec![EncryptionState::Ok, EncryptionState::KeyRatcheted], came(&nothing), settled, Decrypted::Yes),
            (vec![failed], came(&nothing), SECOND, no(Undecrypted::OtherKey)),
            (vec![EncryptionState::Ok, failed], came(&received), settled, no(Undecrypted::OtherKey)),
            (vec![failed, EncryptionState::Ok], came(&received), settled, Decrypted::Yes),
            (vec![EncryptionState::MissingKey], came(&received), settled, no(Undecrypted::LaterKey)),
        ] {
            let mut decryption = Decryption::new(true);
            for state in &said {
                decryption.note("ann", *state);
            }
            assert_eq!(decryption.of("ann", arrival, now), expected, "{said:?} at {now}");
            assert_eq!(decryption.of("bob", None, now), Decrypted::NotYet);
        }
    }

    #[test]
    fn without_a_key_nothing_is_waited_for_and_who_leaves_is_no_failure_any_more() {
        assert_eq!(Decryption::new(false).of("ann", None, 0), Decrypted::No(Undecrypted::NoKey));
        let mut decryption = Decryption::new(true);
        decryption.note("ann", EncryptionState::DecryptionFailed);
        assert!(decryption.is_failing());
        decryption.forget("ann");
        assert!(!decryption.is_failing());
    }
}

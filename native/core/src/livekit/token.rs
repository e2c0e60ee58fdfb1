// SPDX-License-Identifier: Apache-2.0
//! The tokens that let somebody into a room: made with an API key, or given and read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// The server's clock may be so far behind ours.
const LEEWAY: Duration = Duration::from_secs(300);

/// A token is for one join; the server renews it for those who are in the room.
const VALID: Duration = Duration::from_secs(600);

/// Who comes, and to which room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    pub room: String,
    pub identity: String,
    /// Nobody in the room sees the recorder.
    pub hidden: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    exp: u64,
    #[serde(default)]
    video: Grants,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Grants {
    room: String,
    room_join: bool,
    /// Who does not say so may.
    can_subscribe: Option<bool>,
    can_publish: Option<bool>,
    can_publish_data: Option<bool>,
    hidden: bool,
    recorder: bool,
}

/// What is wrong with a token that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFault {
    NoToken,
    NoIdentity,
    NotForJoining,
    NotForListening,
    Expired,
    OtherRoom(String),
}

impl std::fmt::Display for TokenFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoToken => f.write_str("is no access token of LiveKit"),
            Self::NoIdentity => f.write_str("names no identity (sub)"),
            Self::NotForJoining => f.write_str("does not allow to join a room (roomJoin)"),
            Self::NotForListening => f.write_str("does not allow to subscribe (canSubscribe)"),
            Self::Expired => f.write_str("has expired; make a new one"),
            Self::OtherRoom(room) => write!(f, "is for the room {room:?}"),
        }
    }
}

/// A token for one join, signed with the secret of the API key.
#[must_use]
pub fn mint((key, secret): (&str, &str), admission: &Admission, now: SystemTime) -> String {
    let now = seconds(now);
    let claims = Claims {
        iss: key.to_owned(),
        sub: admission.identity.clone(),
        nbf: now.saturating_sub(LEEWAY.as_secs()),
        exp: now + (LEEWAY + VALID).as_secs(),
        video: Grants {
            room: admission.room.clone(),
            room_join: true,
            can_subscribe: Some(true),
            can_publish: Some(false),
            can_publish_data: Some(false),
            hidden: admission.hidden,
            recorder: true,
        },
    };
    let signed = format!("{}.{}", encoded(r#"{"alg":"HS256","typ":"JWT"}"#), encoded(&json(&claims)));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Checks what can be seen of a given token, whose signature the server alone can check.
///
/// # Errors
/// When nobody could join the room with it now.
pub fn check(token: &str, room: &str, now: SystemTime) -> Result<(), TokenFault> {
    let mut parts = token.split('.');
    let payload = parts.nth(1).filter(|_| parts.count() == 1).ok_or(TokenFault::NoToken)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map_err(|_| TokenFault::NoToken)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenFault::NoToken)?;
    match claims {
        Claims { sub, .. } if sub.is_empty() => Err(TokenFault::NoIdentity),
        Claims { video: Grants { room_join: false, .. }, .. } => Err(TokenFault::NotForJoining),
        Claims { video: Grants { can_subscribe: Some(false), .. }, .. } => Err(TokenFault::NotForListening),
        Claims { exp, .. } if exp != 0 && exp <= seconds(now) => Err(TokenFault::Expired),
        Claims { video: Grants { room: other, .. }, .. } if other != room => Err(TokenFault::OtherRoom(other)),
        _ => Ok(()),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn json(claims: &Claims) -> String {
    serde_json::to_string(claims).unwrap_or_default()
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn given(claims: &str) -> String {
        format!("{}.{}.c2ln", encoded("{}"), encoded(claims))
    }

    #[test]
    fn a_minted_token_is_signed_by_the_secret_and_lets_its_bearer_only_listen() {
        let admission = Admission { room: "会议".to_owned(), identity: "recorder-1".to_owned(), hidden: true };
        let token = mint(("key", "secret"), &admission, at(1_000_000));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&claims).unwrap(),
            serde_json::json!({
                "iss": "key", "sub": "recorder-1", "nbf": 999_700, "exp": 1_000_900,
                "video": {
                    "room": "会议", "roomJoin": true, "canSubscribe": true, "canPublish": false, "canPublishData": false,
                    "hidden": true, "recorder": true,
                },
            })
        );
        assert_eq!(check(&token, "会议", at(1_000_000)), Ok(()));
    }

    #[test]
    fn what_is_wrong_with_a_given_token_is_told_before_anybody_is_asked() {
        let room = r#""room":"a","roomJoin":true"#;
        for (token, expected) in [
            ("nonsense".to_owned(), Err(TokenFault::NoToken)),
            ("a.b.c".to_owned(), Err(TokenFault::NoToken)),
            (given("{}"), Err(TokenFault::NoIdentity)),
            (given(r#"{"sub":"r","exp":1000,"video":{"room":"a"}}"#), Err(TokenFault::NotForJoining)),
            (
                given(&format!(r#"{{"sub":"r","exp":1000,"video":{{{room},"canSubscribe":false}}}}"#)),
                Err(TokenFault::NotForListening),
            ),
            (given(&format!(r#"{{"sub":"r","exp":500,"video":{{{room}}}}}"#)), Err(TokenFault::Expired)),
            (
                given(r#"{"sub":"r","exp":1000,"video":{"room":"b","roomJoin":true}}"#),
                Err(TokenFault::OtherRoom("b".to_owned())),
            ),
            (given(&format!(r#"{{"sub":"r","exp":1000,"name":"x","video":{{{room},"agent":true}}}}"#)), Ok(())),
        ] {
            assert_eq!(check(&token, "a", at(500)), expected, "{token}");
        }
    }
}

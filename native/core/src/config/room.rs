// SPDX-License-Identifier: Apache-2.0
//! What the document says of a LiveKit room.

use std::path::PathBuf;

use serde::Deserialize;

use super::invalid;
use crate::capture::api::{RoomAccess, SecretText};
use crate::capture::{RoomMedia, RoomParticipants, RoomSelection};
use crate::error::Error;

const SCHEMES: [&str; 4] = ["ws", "wss", "http", "https"];

/// What LiveKit's server takes for a room's name, and for an identity.
const LONGEST_NAME: usize = 256;

/// Where the room is, and who the recorder is in it.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveKit {
    /// Of the server.
    pub url: String,
    /// The call's `appId`, unless said.
    pub api_key: Option<String>,
    pub api_key_file: Option<PathBuf>,
    pub api_secret: Option<String>,
    pub api_secret_file: Option<PathBuf>,
    /// A ready one, where there is no secret; the call's `token`, unless said.
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    /// What the people in the room encrypt their media with, end to end; the call's `secret`, unless said.
    pub shared_key: Option<String>,
    pub shared_key_file: Option<PathBuf>,
    /// The room's name, where it is not the channel's.
    pub room: Option<String>,
    pub identity: Option<String>,
    /// Nobody in the room sees the recorder.
    #[serde(default = "yes")]
    pub hidden: bool,
    /// Who is recorded, and what of them.
    #[serde(default)]
    pub participants: RoomParticipants,
    #[serde(default)]
    pub sources: Vec<RoomMedia>,
    /// Who is to be seen large.
    pub max_resolution_identity: Option<String>,
}

fn yes() -> bool {
    true
}

/// Without what is secret.
impl std::fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKit").field("room", &self.room).field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl LiveKit {
    pub(super) fn check(&self, field: &str) -> Result<(), Error> {
        let scheme = self.url.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            return Err(invalid(&format!("{field}.url: must begin with one of {}, and ://", SCHEMES.join(", "))));
        }
        for (name, given, file) in [
            ("apiKey", &self.api_key, &self.api_key_file),
            ("apiSecret", &self.api_secret, &self.api_secret_file),
            ("token", &self.token, &self.token_file),
            ("sharedKey", &self.shared_key, &self.shared_key_file),
        ] {
            if given.is_some() && file.is_some() {
                return Err(invalid(&format!("{field}: must have either {name} or {name}File")));
            }
        }
        let has_secret = self.api_secret.is_some() || self.api_secret_file.is_some();
        if has_secret && (self.token.is_some() || self.token_file.is_some()) {
            return Err(invalid(&format!("{field}: must have either a token or an API secret")));
        }
        if (self.api_key.is_some() || self.api_key_file.is_some()) && !has_secret {
            return Err(invalid(&format!("{field}.apiKey: is of no use without apiSecret or apiSecretFile")));
        }
        if self.shared_key.as_ref().is_some_and(String::is_empty) {
            return Err(invalid(&format!("{field}.sharedKey: must not be empty")));
        }
        let RoomParticipants { include, exclude } = &self.participants;
        let names = [
            ("room", self.room.as_slice()),
            ("identity", self.identity.as_slice()),
            ("maxResolutionIdentity", self.max_resolution_identity.as_slice()),
        ];
        for (name, values) in
            names.into_iter().chain([("participants.include", &include[..]), ("participants.exclude", exclude)])
        {
            if values.iter().any(|value| value.is_empty() || value.len() > LONGEST_NAME) {
                return Err(invalid(&format!("{field}.{name}: must be from 1 to {LONGEST_NAME} bytes long")));
            }
        }
        Ok(())
    }

    /// What lets the recorder in: what the document has, or what was handed to the call as App ID and token.
    ///
    /// # Errors
    /// When there is nothing of the kind, or it is in a file that cannot be read.
    pub fn access(&self, app_id: &str, token: Option<&str>, field: &str) -> Result<RoomAccess, Error> {
        let of = |value: &Option<String>, file: &Option<PathBuf>, name: &str| {
            secret_text(value.as_ref(), file.as_ref(), &format!("{field}.{name}File"))
        };
        if let Some(secret) = of(&self.api_secret, &self.api_secret_file, "apiSecret")? {
            let key = of(&self.api_key, &self.api_key_file, "apiKey")?;
            return Ok(RoomAccess::Key { key: key.unwrap_or_else(|| SecretText::Given(app_id.to_owned())), secret });
        }
        let given = of(&self.token, &self.token_file, "token")?;
        let called = token.filter(|token| !token.is_empty()).map(|token| SecretText::Given(token.to_owned()));
        given.or(called).map(RoomAccess::Token).ok_or_else(|| {
            invalid(&format!("{field}: nothing lets the recorder in; give it apiSecret, or token, or the call a token"))
        })
    }

    /// What decrypts the room: what the document has, or what was handed to the call as `secret`.
    ///
    /// # Errors
    /// When it is in a file that cannot be read.
    pub fn shared_key(&self, secret: Option<&str>, field: &str) -> Result<Option<SecretText>, Error> {
        let key =
            secret_text(self.shared_key.as_ref(), self.shared_key_file.as_ref(), &format!("{field}.sharedKeyFile"))?;
        Ok(key.or_else(|| secret.map(|secret| SecretText::Given(secret.to_owned()))))
    }

    /// What of the room is recorded.
    #[must_use]
    pub fn selection(&self) -> RoomSelection {
        RoomSelection { participants: self.participants.clone(), sources: self.sources.clone() }
    }

    /// The identity that the recorder has in the room.
    #[must_use]
    pub fn identity(&self, recording_id: &str) -> String {
        self.identity.clone().unwrap_or_else(|| format!("recorder-{recording_id}"))
    }
}

/// What the document has, itself or in a file, which has to be there from the beginning.
fn secret_text(value: Option<&String>, file: Option<&PathBuf>, field: &str) -> Result<Option<SecretText>, Error> {
    let text = match (value, file) {
        (Some(value), _) => SecretText::Given(value.clone()),
        (None, Some(file)) => SecretText::InFile(file.clone()),
        (None, None) => return Ok(None),
    };
    text.read().map_err(|error| invalid(&format!("{field}: {error}")))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Document;

    fn parsed(fields: &str) -> Result<LiveKit, String> {
        let text = format!(r#"{{"channels": [{{"livekit": {{"url": "wss://example.com"{fields}}}}}]}}"#);
        Document::parse(&text)
            .map(|document| document.channels[0].livekit.clone().expect("a room"))
            .map_err(|error| error.message)
    }

    #[test]
    fn what_lets_the_recorder_in_comes_from_the_document_or_the_call() {
        let given = |text: &str| SecretText::Given(text.to_owned());
        let key = |key: &str| Ok(RoomAccess::Key { key: given(key), secret: given("s3cret") });
        let token = |token: &str| Ok(RoomAccess::Token(given(token)));
        for (fields, called, expected) in [
            (r#", "apiKey": "k", "apiSecret": "s3cret""#, Some("t"), key("k")),
            (r#", "apiSecret": "s3cret""#, None, key("app")),
            (r#", "token": "mine""#, Some("t"), token("mine")),
            ("", Some("t"), token("t")),
        ] {
            assert_eq!(parsed(fields).unwrap().access("app", called, "livekit"), expected, "{fields}");
        }
        assert!(parsed("").unwrap().access("app", Some(""), "livekit").is_err());
        let directory = crate::test_support::Scratch::new();
        let file = directory.path().join("one");
        std::fs::write(&file, "one\n").unwrap();
        let of_file = || SecretText::InFile(file.clone());
        let place = file.display();
        for (fields, expected) in [
            (
                format!(r#", "apiKeyFile": "{place}", "apiSecretFile": "{place}""#),
                RoomAccess::Key { key: of_file(), secret: of_file() },
            ),
            (format!(r#", "tokenFile": "{place}""#), RoomAccess::Token(of_file())),
        ] {
            assert_eq!(parsed(&fields).unwrap().access("app", None, "livekit"), Ok(expected), "{fields}");
        }
        let none = parsed(r#", "tokenFile": "/none""#).unwrap().access("app", None, "livekit").unwrap_err();
        assert!(none.message.starts_with("livekit.tokenFile: /none: No such file"), "{none}");
        assert_eq!(parsed("").unwrap().identity("ab"), "recorder-ab");
    }

    #[test]
    fn the_shared_key_comes_from_the_document_its_file_or_the_call_and_a_line_s_end_is_none_of_it() {
        let directory = crate::test_support::Scratch::new();
        let [whole, empty] = ["whole", "empty"].map(|name| directory.path().join(name));
        std::fs::write(&whole, " s3cret \r\n").unwrap();
        std::fs::write(&empty, "\n").unwrap();
        let file = |path: &Path| format!(r#", "sharedKeyFile": "{}""#, path.display());
        for (fields, called, expected) in [
            (String::new(), None, None),
            (String::new(), Some("called"), Some("called")),
            (r#", "sharedKey": " s3cret""#.to_owned(), Some("called"), Some(" s3cret")),
            (file(&whole), Some("called"), Some(" s3cret ")),
        ] {
            let key = parsed(&fields).unwrap().shared_key(called, "livekit").unwrap();
            assert_eq!(key.as_ref().map(|key| key.read().unwrap()).as_deref(), expected, "{fields}");
            assert!(!format!("{key:?}").contains("s3cret"));
        }
        for (path, said) in [(&empty, "is empty"), (&directory.path().join("none"), "No such file")] {
            let wrong = parsed(&file(path)).unwrap().shared_key(None, "livekit").unwrap_err().message;
            assert!(wrong.starts_with("livekit.sharedKeyFile: /") && wrong.contains(said), "{wrong}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name_and_without_its_value() {
        for (fields, expected) in [
            (r#", "apiKey": "s3cret""#, "channels[0].livekit.apiKey"),
            (r#", "apiKeyFile": "/s3cret""#, "channels[0].livekit.apiKey"),
            (r#", "apiKey": "k", "apiKeyFile": "/s3cret", "apiSecret": "s3cret""#, "either apiKey or apiKeyFile"),
            (r#", "apiSecret": "s3cret", "token": "s3cret""#, "either a token or an API secret"),
            (r#", "apiSecret": "s3cret", "apiSecretFile": "/s3cret""#, "apiSecretFile"),
            (r#", "sharedKey": "s3cret", "sharedKeyFile": "/s3cret""#, "either sharedKey or sharedKeyFile"),
            (r#", "sharedKey": """#, "channels[0].livekit.sharedKey"),
            (r#", "room": """#, "channels[0].livekit.room"),
            (r#", "participants": {"exclude": ["ann", ""]}"#, "channels[0].livekit.participants.exclude"),
            (r#", "participants": {"only": []}"#, "channels[0].livekit.participants"),
            (r#", "maxResolutionIdentity": """#, "channels[0].livekit.maxResolutionIdentity"),
            (r#", "sources": ["Keyboard"]"#, "channels[0].livekit.sources[0]: must be one of `Camera`"),
            (r#", "secret": "s3cret""#, "secret"),
        ] {
            let message = parsed(fields).unwrap_err();
            assert!(message.contains(expected) && !message.contains("s3cret"), "{message}");
        }
        let wrong = Document::parse(r#"{"channels": [{"livekit": {"url": "rtmp://example.com"}}]}"#).unwrap_err();
        assert!(wrong.message.contains("channels[0].livekit.url"), "{wrong}");
        let both = r#"{"channels": [{"streams": [{"uid": 1, "url": "rtmp://h/a"}], "livekit": {"url": "ws://h"}}]}"#;
        assert!(Document::parse(both).unwrap_err().message.contains("either streams or livekit"));
        assert!(!format!("{:?}", parsed(r#", "apiSecret": "s3cret""#)).contains("s3cret"));
    }
}

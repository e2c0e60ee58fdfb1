// SPDX-License-Identifier: Apache-2.0
//! What a stream of the document says beside its URL: headers, and whom to trust.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{invalid, Stream};
use crate::capture::api::{Access, Trust};
use crate::error::Error;

const MOST_HEADERS: usize = 16;

/// Names, values and the URL have to fit into what libav sends at once.
const LONGEST_HEADERS: usize = 2048;

/// Those that belong to the connection, or to what is read from it.
const RESERVED: [&str; 9] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    pub name: String,
    pub value: Option<String>,
    /// A file that holds the value, for such as are secret.
    pub value_file: Option<PathBuf>,
}

impl Stream {
    /// What is asked for and of the server at `url`, with the values of files. Errors name the field below `field`, and
    /// repeat no value.
    pub fn access(&self, url: &str, field: &str) -> Result<Access, Error> {
        self.check_access(Some(url), field)?;
        let value = |(index, header): (usize, &Header)| {
            let field = format!("{field}.headers[{index}].valueFile");
            let value = match (&header.value, &header.value_file) {
                (None, Some(path)) => text(path, &field)?,
                (value, _) => value.clone().unwrap_or_default(),
            };
            check_value(&value, &field)?;
            Ok((header.name.clone(), value))
        };
        let headers: Vec<(String, String)> =
            self.headers.iter().enumerate().map(value).collect::<Result<_, Error>>()?;
        check_length(headers.iter().map(|(name, value)| name.len() + value.len()).sum(), field)?;
        Ok(Access { headers, trust: self.trust(field)? })
    }

    /// The same as far as it can be told without files; the URL may be in one.
    pub(super) fn check_access(&self, url: Option<&str>, field: &str) -> Result<(), Error> {
        let scheme = url.map(|url| url.split("://").next().unwrap_or_default());
        if !self.headers.is_empty() && scheme.is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
            return Err(invalid(&format!("{field}.headers: only http and https have headers, and the URL is neither")));
        }
        let trusts = [(self.ca_file.is_some(), "caFile"), (self.certificate_sha256.is_some(), "certificateSha256")];
        for (_, name) in trusts.into_iter().filter(|(is_given, _)| *is_given) {
            if scheme.is_some_and(|scheme| !matches!(scheme, "https" | "rtmps" | "rtsps")) {
                let schemes = "https, rtmps and rtsps";
                return Err(invalid(&format!(
                    "{field}.{name}: only {schemes} have certificates; the URL is none of them"
                )));
            }
        }
        self.trust(field)?;
        self.check_headers(field)
    }

    fn check_headers(&self, field: &str) -> Result<(), Error> {
        if self.headers.len() > MOST_HEADERS {
            return Err(invalid(&format!("{field}.headers: must be at most {MOST_HEADERS}")));
        }
        for (index, header) in self.headers.iter().enumerate() {
            let field = format!("{field}.headers[{index}]");
            let name = header.name.as_str();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~".contains(&byte)) {
                return Err(invalid(&format!("{field}.name: must be the name of an HTTP header")));
            }
            if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(invalid(&format!("{field}.name: this header is the recorder's own to send")));
            }
            if self.headers[..index].iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
                return Err(invalid(&format!("{field}.name: another header has it already")));
            }
            if header.value.is_some() == header.value_file.is_some() {
                return Err(invalid(&format!("{field}: must have either value or valueFile")));
            }
            header.value.as_ref().map_or(Ok(()), |value| check_value(value, &format!("{field}.value")))?;
        }
        let given = |header: &Header| header.name.len() + header.value.as_ref().map_or(0, String::len);
        check_length(self.headers.iter().map(given).sum(), field)
    }

    fn trust(&self, field: &str) -> Result<Trust, Error> {
        match (&self.ca_file, &self.certificate_sha256) {
            (None, None) => Ok(Trust::System),
            (Some(file), None) => Ok(Trust::Authorities(file.clone())),
            (None, Some(digest)) => sha256(digest).map(Trust::Certificate).ok_or_else(|| {
                invalid(&format!("{field}.certificateSha256: must be 64 hexadecimal digits, with or without colons"))
            }),
            (Some(_), Some(_)) => {
                Err(invalid(&format!("{field}: must have at most one of caFile and certificateSha256")))
            }
        }
    }
}

pub(super) fn text(path: &Path, field: &str) -> Result<String, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| invalid(&format!("{field}: {}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

fn check_value(value: &str, field: &str) -> Result<(), Error> {
    if value.is_empty() || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(invalid(&format!("{field}: must be one line of printable ASCII characters")));
    }
    Ok(())
}

fn check_length(length: usize, field: &str) -> Result<(), Error> {
    if length > LONGEST_HEADERS {
        return Err(invalid(&format!("{field}.headers: must be at most {LONGEST_HEADERS} bytes together")));
    }
    Ok(())
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let is_hexadecimal = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    let pair = |index: usize| u8::from_str_radix(std::str::from_utf8(&digits[2 * index..2 * index + 2]).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = is_hexadecimal.then(|| (0..32).map(pair).collect()).flatten();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::test_support::Scratch;

    fn stream(fields: &str) -> Result<Stream, Error> {
        let text = format!(r#"{{"channels": [{{"streams": [{{"uid": 1, {fields}}}]}}]}}"#);
        Document::parse(&text).map(|document| document.channels[0].streams[0].clone())
    }

    #[test]
    fn headers_and_trust_are_handed_on_with_what_files_hold() {
        let scratch = Scratch::new();
        let file = scratch.path().join("authorization");
        std::fs::write(&file, "Bearer hunter2\n").unwrap();
        let url = r#""url": "https://h/a.m3u8""#;
        let fields = format!(
            r#"{url}, "headers": [{{"name": "Referer", "value": "https://a/"}}, {{"name": "Authorization", "valueFile": "{}"}}]"#,
            file.display()
        );
        let access = stream(&fields).unwrap().access("https://h/a.m3u8", "f").unwrap();
        let expected = [("Referer", "https://a/"), ("Authorization", "Bearer hunter2")];
        assert_eq!(access.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!format!("{access:?}").contains("hunter2"));
        std::fs::write(&file, "two\nlines").unwrap();
        let error = stream(&fields).unwrap().access("https://h/a.m3u8", "f").unwrap_err();
        assert!(error.message.starts_with("f.headers[1].valueFile: must be one line"), "{}", error.message);
        let digest = "Ab:".repeat(31) + "ab";
        let pinned = stream(&format!(r#"{url}, "certificateSha256": "{digest}""#)).unwrap();
        assert_eq!(pinned.access("https://h/a", "f").unwrap().trust, Trust::Certificate([0xab; 32]));
        let own = stream(&format!(r#"{url}, "caFile": "/ca.pem""#)).unwrap();
        assert_eq!(own.access("https://h/a", "f").unwrap().trust, Trust::Authorities("/ca.pem".into()));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_repeated() {
        let header = |header: &str| format!(r#""url": "http://h/a", "headers": [{header}]"#);
        let long = "x".repeat(LONGEST_HEADERS);
        let table = [
            (header(r#"{"name": "A B", "value": "hunter2"}"#), "headers[0].name: must be"),
            (header(r#"{"name": "Host", "value": "hunter2"}"#), "headers[0].name: this header"),
            (header(r#"{"name": "A", "value": "b"}, {"name": "a", "value": "c"}"#), "headers[1].name: another"),
            (header(r#"{"name": "A"}"#), "headers[0]: must have either"),
            (header(r#"{"name": "A", "value": "hunter2\r\nB: c"}"#), "headers[0].value: must be one line"),
            (header(&format!(r#"{{"name": "A", "value": "{long}"}}"#)), "headers: must be at most"),
            (r#""url": "rtmp://h/a", "headers": [{"name": "A", "value": "b"}]"#.into(), "headers: only http"),
            (r#""url": "http://h/a", "caFile": "/a""#.into(), "caFile: only https"),
            (r#""url": "srt://h:1", "certificateSha256": "ab""#.into(), "certificateSha256: only https"),
            (r#""url": "rtsps://h/a", "certificateSha256": "ab""#.into(), "certificateSha256: must be 64"),
        ];
        for (fields, expected) in table {
            let error = stream(&fields).unwrap_err();
            let message = error.message.strip_prefix("channels[0].streams[0].").unwrap_or(&error.message);
            assert!(message.starts_with(expected), "{fields}: {}", error.message);
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
        let both = format!(r#""url": "https://h/a", "caFile": "/a", "certificateSha256": "{}""#, "ab".repeat(32));
        assert!(stream(&both).unwrap_err().message.contains("at most one of caFile and certificateSha256"));
    }
}

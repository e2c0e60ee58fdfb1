// SPDX-License-Identifier: Apache-2.0
//! What passes between libav and an RTSP server, so far as it must be changed on the way: libav talks to a local address,
//! the server must be asked for its own name, and redirects are not libav's to follow.

use std::net::IpAddr;

use md5::{Digest, Md5};

use crate::names::hex;

/// Longer ones are no server's.
const LONGEST_HEAD: usize = 64 << 10;
const LONGEST_BODY: usize = 1 << 20;

const INTERLEAVED: u8 = b'$';

/// One unit of the talk.
#[derive(Debug, PartialEq, Eq)]
pub enum RtspUnit {
    /// Media, with its four bytes before.
    Media(Vec<u8>),
    /// A request or an answer: the lines before the empty one, and what follows that.
    Message { head: String, body: Vec<u8> },
}

/// It is no RTSP, or does not end.
#[derive(Debug, PartialEq, Eq)]
pub struct NotRtsp;

/// Takes a direction of the talk apart.
#[derive(Default)]
pub struct RtspUnits {
    held: Vec<u8>,
}

impl RtspUnits {
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole unit, if there is one. Media that follows each other is one unit.
    pub fn pop(&mut self) -> Result<Option<RtspUnit>, NotRtsp> {
        let media = self.media();
        if media > 0 {
            return Ok(Some(RtspUnit::Media(self.take(media))));
        }
        if self.held.first().is_none_or(|first| *first == INTERLEAVED) {
            return Ok(None);
        }
        let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if self.held.len() > LONGEST_HEAD { Err(NotRtsp) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&self.held[..end]).map_err(|_| NotRtsp)?.to_owned();
        let length = match value(&head, "content-length") {
            Some(length) => length.parse().ok().filter(|length| *length <= LONGEST_BODY).ok_or(NotRtsp)?,
            None => 0,
        };
        if self.held.len() < end + 4 + length {
            return Ok(None);
        }
        let body = self.take(end + 4 + length).split_off(end + 4);
        Ok(Some(RtspUnit::Message { head, body }))
    }

    /// The length of the whole packets of media at the beginning.
    fn media(&self) -> usize {
        let mut end = 0;
        while let Some([INTERLEAVED, _, high, low]) = self.held.get(end..end + 4) {
            let next = end + 4 + usize::from(u16::from_be_bytes([*high, *low]));
            if next > self.held.len() {
                break;
            }
            end = next;
        }
        end
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.held.split_off(length);
        std::mem::replace(&mut self.held, rest)
    }
}

/// The two names of one server: `rtsp://127.0.0.1:PORT` for libav, and its own.
#[derive(Debug, Clone)]
pub struct ServerNames {
    pub local: String,
    pub own: String,
    /// User name and password as the URL has them.
    pub credentials: Option<String>,
    /// The server's address, where media by UDP comes from and reports go to.
    pub address: IpAddr,
}

/// What an answer is for the forwarder.
#[derive(Debug, PartialEq, Eq)]
pub enum RtspReply {
    Message(Vec<u8>),
    Redirect(String),
}

impl ServerNames {
    /// A request as the server is to see it.
    pub fn request(&self, head: &str, body: &[u8]) -> Vec<u8> {
        let method = head.split(' ').next().unwrap_or_default();
        let lines = head.split("\r\n").map(|line| {
            let changed = swap(line, &self.local, &self.own);
            match changed.strip_prefix("Authorization: Digest ") {
                Some(fields) if changed != line => self
                    .answer_challenge(method, fields)
                    .map_or(changed.clone(), |fields| format!("Authorization: Digest {fields}")),
                _ => changed,
            }
        });
        message(&lines.collect::<Vec<_>>(), body)
    }

    /// An answer (or a request of the server) as libav is to see it.
    pub fn answer(&self, head: &str, body: &[u8]) -> RtspReply {
        let status = head.strip_prefix("RTSP/1.0 ").and_then(|rest| rest.get(..3));
        if status.is_some_and(|status| status.starts_with('3')) {
            // Without a place to go to it is an answer like any other that libav does not take.
            if let Some(location) = value(head, "location") {
                return RtspReply::Redirect(location.to_owned());
            }
        }
        let lines = head.split("\r\n").map(|line| {
            let line = swap(line, &self.own, &self.local);
            if is_header(&line, "transport") {
                self.with_source(&line)
            } else {
                line
            }
        });
        RtspReply::Message(message(&lines.collect::<Vec<_>>(), body))
    }

    /// Names the server's address as the one that media by UDP comes from: libav would send its reports to the forwarder's,
    /// or to wherever the server says.
    fn with_source(&self, line: &str) -> String {
        if line.contains("/TCP") || !line.contains("client_port") {
            return line.to_owned();
        }
        let kept: Vec<&str> = line.split(';').filter(|field| !field.trim_start().starts_with("source=")).collect();
        format!("{};source={}", kept.join(";"), self.address)
    }

    /// The fields of a digest answer anew, for the URI that they have now.
    fn answer_challenge(&self, method: &str, fields: &str) -> Option<String> {
        let credentials = percent_decoded(self.credentials.as_deref()?);
        let (user, password) = credentials.split_once(':')?;
        let field = |name: &str| digest_field(fields, name);
        let (realm, nonce, uri) = (field("realm")?, field("nonce")?, field("uri")?);
        let mut secret = md5(&format!("{user}:{realm}:{password}"));
        if field("algorithm").is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("MD5-sess")) {
            secret = md5(&format!("{secret}:{nonce}:{}", field("cnonce")?));
        }
        let request = md5(&format!("{method}:{uri}"));
        let response = match field("qop") {
            Some(qop) => md5(&format!("{secret}:{nonce}:{}:{}:{qop}:{request}", field("nc")?, field("cnonce")?)),
            None => md5(&format!("{secret}:{nonce}:{request}")),
        };
        Some(fields.replace(field("response")?, &response))
    }
}

fn message(lines: &[String], body: &[u8]) -> Vec<u8> {
    [lines.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name))
}

/// The value of a header.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let line = head.split("\r\n").skip(1).find(|line| is_header(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// Replaces a name where it stands for itself, and not for the beginning of another.
fn swap(line: &str, from: &str, to: &str) -> String {
    let mut swapped = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let ends = after.chars().next().is_none_or(|next| matches!(next, '/' | '?' | ' ' | '"' | ';' | ','));
        swapped.push_str(before);
        swapped.push_str(if ends { to } else { from });
        rest = after;
    }
    swapped + rest
}

/// A field of a digest answer, without its quotes.
fn digest_field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = fields;
    loop {
        let (found, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if found.trim_start_matches([',', ' ']) == name {
            return Some(value);
        }
        rest = next;
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let byte = bytes.get(at..at + 3).filter(|three| three[0] == b'%');
        let byte = byte.and_then(|three| u8::from_str_radix(std::str::from_utf8(&three[1..]).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn md5(text: &str) -> String {
    hex(&Md5::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> ServerNames {
        ServerNames {
            local: "rtsp://127.0.0.1:4000".to_owned(),
            own: "rtsps://cam.example:7441".to_owned(),
            credentials: Some("admin:p%40ss".to_owned()),
            address: [192, 0, 2, 7].into(),
        }
    }

    #[test]
    fn a_talk_is_taken_apart_into_messages_and_media() {
        let talk =
            b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-length: 3\r\n\r\nabc$\x00\x00\x02hi$\x01\x00\x01!$\x00\x00\x09par";
        for step in [1, 7, talk.len()] {
            let mut units = RtspUnits::default();
            let mut found = Vec::new();
            for bytes in talk.chunks(step) {
                units.push(bytes);
                while let Some(unit) = units.pop().unwrap() {
                    found.push(unit);
                }
            }
            let RtspUnit::Message { head, body } = &found[0] else { panic!("{found:?}") };
            assert_eq!((head.lines().count(), body.as_slice()), (3, &b"abc"[..]));
            let media: Vec<u8> = found[1..]
                .iter()
                .flat_map(|unit| match unit {
                    RtspUnit::Media(media) => media.clone(),
                    RtspUnit::Message { .. } => panic!("{unit:?}"),
                })
                .collect();
            assert_eq!(media, b"$\x00\x00\x02hi$\x01\x00\x01!", "what is not whole yet waits");
        }
    }

    #[test]
    fn what_is_no_rtsp_ends_the_talk() {
        let mut units = RtspUnits::default();
        units.push(&vec![b'x'; LONGEST_HEAD + 1]);
        assert_eq!(units.pop(), Err(NotRtsp));
        let mut units = RtspUnits::default();
        units.push(b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
        assert_eq!(units.pop(), Err(NotRtsp));
    }

    #[test]
    fn the_server_is_asked_for_its_own_name_with_an_answer_for_it() {
        let head = "DESCRIBE rtsp://127.0.0.1:4000/live RTSP/1.0\r\nCSeq: 2\r\nAuthorization: Digest \
                    username=\"admin\", realm=\"IP Camera\", nonce=\"abc\", uri=\"rtsp://127.0.0.1:4000/live\", \
                    response=\"00000000000000000000000000000000\"";
        let sent = String::from_utf8(names().request(head, b"")).unwrap();
        assert!(sent.starts_with("DESCRIBE rtsps://cam.example:7441/live RTSP/1.0\r\n"), "{sent}");
        let secret = md5("admin:IP Camera:p@ss");
        let response = md5(&format!("{secret}:abc:{}", md5("DESCRIBE:rtsps://cam.example:7441/live")));
        assert!(sent.contains(&format!("uri=\"rtsps://cam.example:7441/live\", response=\"{response}\"")), "{sent}");
        assert!(sent.ends_with("\r\n\r\n"));
    }

    #[test]
    fn libav_sees_its_own_address_and_follows_nothing() {
        let head =
            "RTSP/1.0 200 OK\r\nContent-Base: rtsps://cam.example:7441/live/\r\nX: rtsps://cam.example:74410/a\r\n\
                    Transport: RTP/AVP;unicast;client_port=5-6;server_port=7-8;source=169.254.169.254;ssrc=1";
        let RtspReply::Message(seen) = names().answer(head, b"v=0") else { panic!("it is a message") };
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.contains("Content-Base: rtsp://127.0.0.1:4000/live/\r\n"), "{seen}");
        assert!(seen.contains("X: rtsps://cam.example:74410/a\r\n"), "another port is another server: {seen}");
        assert!(seen.contains("ssrc=1;source=192.0.2.7\r\n") && !seen.contains("169.254"), "{seen}");
        assert!(seen.ends_with("\r\n\r\nv=0"));
        let moved = names().answer("RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://10.0.0.1/b", b"");
        assert_eq!(moved, RtspReply::Redirect("rtsp://10.0.0.1/b".to_owned()));
    }
}

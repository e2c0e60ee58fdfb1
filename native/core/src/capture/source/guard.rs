// SPDX-License-Identifier: Apache-2.0
//! What a source's URL may reach: allowed protocols only, and no link-local address by whatever name.
//!
//! Clouds serve credentials on link-local addresses, so a recording must not be a way to ask for them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};

/// Protocols that others are carried by: allowed below an allowed protocol, never by themselves.
const CARRIERS: [(&str, &[&str]); 7] = [
    ("rtmp", &["tcp"]),
    ("rtmps", &["tls", "tcp"]),
    ("rtsp", &["rtp", "udp", "tcp"]),
    ("rtsps", &["rtp", "udp", "tls", "tcp"]),
    ("http", &["tcp"]),
    ("https", &["tls", "tcp"]),
    ("rtp", &["udp"]),
];

/// Why a URL is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Protocol(String),
    LinkLocal,
    Unresolved,
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(protocol) => write!(f, "the protocol '{protocol}' is not allowed here"),
            Self::LinkLocal => f.write_str("the URL leads to a link-local address, which is not allowed here"),
            Self::Unresolved => f.write_str("the host's name cannot be resolved"),
            Self::Malformed => f.write_str("the URL cannot be understood"),
        }
    }
}

/// The rules of one recording.
#[derive(Debug, Clone)]
pub struct Guard {
    allowed: Vec<String>,
    allow_link_local: bool,
}

/// A URL taken apart as far as the rules go.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
}

impl Guard {
    pub fn new(allowed: &[String], allow_link_local: bool) -> Self {
        Self { allowed: allowed.to_vec(), allow_link_local }
    }

    /// Checks a URL that a user or a playlist named. Resolves its host's name.
    pub fn check(&self, url: &str) -> Result<(), Refusal> {
        let parts = parts(url)?;
        if !self.allowed.iter().any(|allowed| allowed == parts.scheme) {
            return Err(Refusal::Protocol(parts.scheme.to_owned()));
        }
        if self.allow_link_local || parts.host.is_empty() {
            return Ok(());
        }
        // Ports play no part in resolving.
        let mut addresses = (parts.host, 0).to_socket_addrs().map_err(|_| Refusal::Unresolved)?;
        if addresses.any(|address| is_link_local(address.ip())) {
            return Err(Refusal::LinkLocal);
        }
        Ok(())
    }

    /// Everything libav may open for an allowed URL, in its list syntax.
    pub fn whitelist(&self) -> String {
        let mut names: Vec<&str> = self.allowed.iter().map(String::as_str).collect();
        for (protocol, carriers) in CARRIERS {
            if self.allowed.iter().any(|allowed| allowed == protocol) {
                names.extend(carriers);
            }
        }
        // Encrypted segments are read through a protocol of their own, over one that is checked itself.
        names.push("crypto");
        names.sort_unstable();
        names.dedup();
        names.join(",")
    }
}

/// The scheme in the form that libav takes it, and the host without brackets; a bare path is a file.
fn parts(url: &str) -> Result<Parts<'_>, Refusal> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return match url.split_once(':') {
            Some((scheme, _)) if is_scheme(scheme) => Ok(Parts { scheme, host: "" }),
            _ => Ok(Parts { scheme: "file", host: "" }),
        };
    };
    // A nested form such as "crypto+http" counts by what it carries.
    let scheme = scheme.rsplit('+').next().unwrap_or(scheme);
    if !is_scheme(scheme) {
        return Err(Refusal::Malformed);
    }
    if scheme == "file" {
        return Ok(Parts { scheme, host: "" });
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    Ok(Parts { scheme, host })
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.')
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => embedded_v4(address).map_or(address.is_unicast_link_local(), |v4| v4.is_link_local()),
    }
}

/// The IPv4 address inside a mapped one, or inside NAT64's well-known prefix.
fn embedded_v4(address: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    let [prefix @ .., high, low] = address.segments();
    let nat64 = prefix == NAT64;
    let embedded = || std::net::Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    nat64.then(embedded).or_else(|| address.to_ipv4_mapped())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(&allowed.iter().map(ToString::to_string).collect::<Vec<_>>(), false)
    }

    #[test]
    fn only_listed_protocols_are_opened() {
        let guard = guard(&["rtmp", "http"]);
        assert_eq!(guard.check("rtmp://127.0.0.1/live/a"), Ok(()));
        for url in ["file:///etc/passwd", "/etc/passwd", "tcp://127.0.0.1:80", "concat:a|b", "https://127.0.0.1/"] {
            assert!(matches!(guard.check(url), Err(Refusal::Protocol(_))), "{url}");
        }
        assert_eq!(guard.check("RTMP://127.0.0.1/"), Err(Refusal::Malformed));
        assert_eq!(guard.whitelist(), "crypto,http,rtmp,tcp");
    }

    #[test]
    fn link_local_addresses_are_refused_in_every_spelling() {
        let guard = guard(&["http", "rtmp", "udp"]);
        for url in [
            "http://169.254.169.254/latest/",
            "http://user:secret@169.254.0.1:8080/",
            "http://2852039166/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]:80/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "udp://169.254.1.1:5000",
        ] {
            assert_eq!(guard.check(url), Err(Refusal::LinkLocal), "{url}");
        }
        assert_eq!(guard.check("rtmp://127.0.0.1:1935/live"), Ok(()));
        assert_eq!(guard.check("udp://@:5000"), Ok(()), "a listener has no host");
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What a source's URL may reach: allowed protocols only, and no link-local address by whatever name.
//!
//! Clouds serve credentials on link-local addresses, so a recording must not be a way to ask for them. What was judged
//! here are addresses, and those are what is connected to (`resolved_url`): a name may mean another one a moment later.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use super::hosts::HostPattern;
use super::resolve;
use crate::capture::clock::StopSignal;

/// Protocols that others are carried by: allowed below an allowed protocol, never by themselves. TLS is not among them: it
/// is no matter of libav's (`forward`).
const CARRIERS: [(&str, &[&str]); 7] = [
    ("rtmp", &["tcp"]),
    ("rtmps", &["rtmp", "tcp"]),
    ("rtsp", &["rtp", "udp", "tcp"]),
    ("rtsps", &["rtp", "tcp"]),
    ("http", &["tcp"]),
    ("https", &["http", "tcp"]),
    ("rtp", &["udp"]),
];

/// What a message may name as a protocol where no "://" shows that it is one: anything else before a colon may be a key.
const UNSLASHED: [&str; 9] = ["async", "cache", "concat", "concatf", "crypto", "data", "fd", "pipe", "subfile"];

/// libav copies URLs and hosts into arrays of a fixed size. What is cut there must not be another host than the one that
/// was checked here.
const LONGEST_URL: usize = 4095;
const LONGEST_HOST: usize = 253;

/// Metadata services that are not link-local: of Alibaba Cloud and Azure, and of AWS and Google Cloud by IPv6.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Why a URL is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Protocol(String),
    /// A link-local address, or another one that clouds serve credentials at.
    LinkLocal,
    /// A source that is reached by TLS would send on to one that is not.
    Downgrade,
    /// A host that the administrator does not list.
    Host,
    /// Something that came over a network refers to a file of this machine.
    LocalFile,
    Unresolved,
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(protocol) => write!(f, "the protocol '{protocol}' is not allowed here"),
            Self::LinkLocal => f.write_str(
                "the URL leads to a link-local address or to a cloud's metadata service, which is not allowed here",
            ),
            Self::Host => f.write_str("the URL leads to a host that the administrator does not allow"),
            Self::Downgrade => f.write_str("the source redirects from TLS to a connection without it"),
            Self::LocalFile => {
                f.write_str("the source refers to a file of the recorder's machine, which is not allowed")
            }
            Self::Unresolved => f.write_str("the host's name cannot be resolved"),
            Self::Malformed => f.write_str("the URL cannot be understood"),
        }
    }
}

/// The rules of one recording.
#[derive(Debug, Clone)]
pub struct Guard {
    allowed: Vec<String>,
    hosts: Vec<HostPattern>,
    allow_link_local: bool,
    refused: Vec<IpAddr>,
    loopback_alone: bool,
    stop: Arc<StopSignal>,
}

/// A URL taken apart as far as the rules go. Without "//" there is no host; only a file's URL is complete then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlParts<'a> {
    pub scheme: &'a str,
    pub host: Option<&'a str>,
    pub port: Option<u16>,
    /// User name and password as they are written, without the sign after them.
    pub credentials: Option<&'a str>,
    /// Where host and port lie in the URL, brackets and colon included.
    pub place: Range<usize>,
}

const FILE: UrlParts<'static> = UrlParts { scheme: "file", host: None, port: None, credentials: None, place: 0..0 };

impl Guard {
    #[must_use]
    pub fn new(allowed: &[String], allow_link_local: bool) -> Self {
        Self {
            allowed: allowed.to_vec(),
            hosts: vec![HostPattern::Any],
            allow_link_local,
            refused: Vec::new(),
            loopback_alone: false,
            stop: Arc::default(),
        }
    }

    /// The same rules, where names are looked up until the stop.
    #[must_use]
    pub fn until(mut self, stop: &Arc<StopSignal>) -> Self {
        self.stop = Arc::clone(stop);
        self
    }

    /// The same rules, where no other hosts are reached than these, whatever leads there.
    #[must_use]
    pub fn among(mut self, hosts: &[HostPattern]) -> Self {
        self.hosts = hosts.to_vec();
        self
    }

    /// The same rules, with one more address that counts as link-local.
    #[must_use]
    pub fn refusing(mut self, address: IpAddr) -> Self {
        self.refused.push(address);
        self
    }

    /// The same rules, where only numeric addresses of the loopback are reached: whatever a source says, nothing leaves
    /// the machine.
    #[must_use]
    pub fn within_loopback(mut self) -> Self {
        self.loopback_alone = true;
        self
    }

    /// Checks a URL that the configuration named. Resolves its host's name, and returns the addresses that were judged: a
    /// file and a listener have none.
    pub fn check(&self, url: &str) -> Result<Vec<IpAddr>, Refusal> {
        self.judge(url, |host| resolve::addresses(host, || self.stop.is_raised()))
    }

    /// The same with another way to resolve names.
    pub fn judge(&self, url: &str, resolve: impl FnOnce(&str) -> Option<Vec<IpAddr>>) -> Result<Vec<IpAddr>, Refusal> {
        let parts = parts(url)?;
        if !self.allowed.iter().any(|allowed| allowed == parts.scheme) {
            return Err(Refusal::Protocol(parts.scheme.to_owned()));
        }
        let Some(host) = parts.host else {
            // libav would find a host in it all the same.
            return if parts == FILE { Ok(Vec::new()) } else { Err(Refusal::Malformed) };
        };
        if self.loopback_alone && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
            return Err(Refusal::Unresolved);
        }
        if host.is_empty() {
            return Ok(Vec::new());
        }
        if !self.hosts.iter().any(|listed| listed.matches(host)) {
            return Err(Refusal::Host);
        }
        let addresses = resolve(host).filter(|addresses| !addresses.is_empty()).ok_or(Refusal::Unresolved)?;
        if addresses.iter().any(|address| self.refuses(*address)) {
            return Err(Refusal::LinkLocal);
        }
        Ok(addresses)
    }

    /// Checks a URL that a source at `root` named: a playlist's segment, a redirect's target. Only a file leads to files.
    pub fn check_reference(&self, root: &str, url: &str) -> Result<Vec<IpAddr>, Refusal> {
        if is_file(url) && !is_file(root) {
            return Err(Refusal::LocalFile);
        }
        self.check(url)
    }

    fn refuses(&self, address: IpAddr) -> bool {
        self.refused.contains(&address) || !self.allow_link_local && serves_credentials(address)
    }

    /// Everything libav may open for an allowed URL, in its list syntax.
    #[must_use]
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

/// Whether libav would take the URL for a file's.
pub fn is_file(url: &str) -> bool {
    parts(url) == Ok(FILE)
}

/// The scheme in the form that libav takes it, and the host without brackets; a bare path is a file.
pub fn parts(url: &str) -> Result<UrlParts<'_>, Refusal> {
    if url.len() > LONGEST_URL {
        return Err(Refusal::Malformed);
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return match url.split_once(':') {
            Some(("file", _)) => Ok(FILE),
            Some((scheme, _)) if UNSLASHED.contains(&scheme) => Ok(UrlParts { scheme, ..FILE }),
            Some((scheme, _)) if is_scheme(scheme) => Err(Refusal::Malformed),
            _ => Ok(FILE),
        };
    };
    // An encrypted URL counts by what it carries. No other may be nested.
    let scheme = scheme.strip_prefix("crypto+").unwrap_or(scheme);
    if !is_scheme(scheme) {
        return Err(Refusal::Malformed);
    }
    if scheme == "file" {
        return Ok(FILE);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, place) = match authority.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(literal) => literal.split_once(']').ok_or(Refusal::Malformed)?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().map_err(|_| Refusal::Malformed)?),
        None if port.is_empty() => None,
        None => return Err(Refusal::Malformed),
    };
    if host.len() > LONGEST_HOST {
        return Err(Refusal::Malformed);
    }
    let end = url.len() - rest.len() + authority.len();
    Ok(UrlParts { scheme, host: Some(host), port, credentials, place: end - place.len()..end })
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.')
}

fn serves_credentials(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| address.is_link_local() || METADATA_V4.contains(&address);
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || METADATA_V6.contains(&address) || embedded_v4(address).is_some_and(v4)
        }
    }
}

/// The IPv4 address that an IPv6 address leads to: a mapped or compatible one, by NAT64 (its well-known and its local
/// prefix), or by 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] | [0x2002, high, low, ..] => {
            joined(high, low)
        }
        _ => address.to_ipv4(),
    }
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
        assert_eq!(guard.check("rtmp://127.0.0.1/live/a"), Ok(vec![[127, 0, 0, 1].into()]));
        for url in ["file:///etc/passwd", "/etc/passwd", "tcp://127.0.0.1:80", "concat:a|b", "https://127.0.0.1/"] {
            assert!(matches!(guard.check(url), Err(Refusal::Protocol(_))), "{url}");
        }
        assert_eq!(guard.check("RTMP://127.0.0.1/"), Err(Refusal::Malformed));
        assert_eq!(guard.whitelist(), "crypto,http,rtmp,tcp");
    }

    #[test]
    fn only_listed_hosts_are_reached() {
        let guard = guard(&["http"]).among(&["127.0.0.0/8".parse().unwrap(), "*.example.com".parse().unwrap()]);
        let resolve = |_: &str| Some(vec![IpAddr::from([10, 0, 0, 1])]);
        assert!(guard.judge("http://127.0.0.1/", resolve).is_ok());
        assert!(guard.judge("http://a.example.com/", resolve).is_ok());
        for url in ["http://10.0.0.1/", "http://example.org/", "http://a.example.com.evil.net/", "http://[::2]/"] {
            assert_eq!(guard.judge(url, resolve), Err(Refusal::Host), "{url}");
        }
    }

    #[test]
    fn what_libav_would_read_otherwise_is_refused() {
        let guard = guard(&["http", "file"]);
        let long = format!("http://{}127.0.0.1/", "0".repeat(300));
        let malformed = [
            "http:/169.254.169.254/+http://127.0.0.1/",
            "http:169.254.169.254/latest/",
            "http:/169.254.169.254/",
            "http:127.0.0.1",
            "http://127.0.0.1:80x/",
            "http://[::1]x/",
            &long,
        ];
        for url in malformed.into_iter().chain(["user:hunter2@host/a", "subfile,,start,0,end,9,,:file:///etc/passwd"]) {
            assert!(matches!(guard.check(url), Err(Refusal::Malformed | Refusal::Unresolved)), "{url}");
        }
        assert_eq!(guard.check(&format!("http://127.0.0.1/{}", "a".repeat(5000))), Err(Refusal::Malformed));
    }

    #[test]
    fn only_a_file_leads_to_files() {
        let guard = guard(&["http", "file"]);
        let (network, local) = ("http://127.0.0.1/a.m3u8", "/var/lib/a.m3u8");
        for url in ["file:///etc/passwd", "/etc/passwd", "file:/etc/passwd", "a.ts", "Hunter:2"] {
            assert_eq!(guard.check_reference(network, url), Err(Refusal::LocalFile), "{url}");
            assert_eq!(guard.check_reference(local, url), Ok(Vec::new()), "{url}");
        }
        assert!(guard.check_reference(network, "http://127.0.0.1/a.ts").is_ok());
        assert_eq!(guard.check_reference(local, "data:a"), Err(Refusal::Protocol("data".to_owned())));
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
            "http://100.100.100.200/latest/",
            "http://168.63.129.16/",
            "http://[fd00:ec2::254]/latest/",
            "http://[fd20:ce::254]/",
            "http://[::ffff:100.100.100.200]/",
            "http://[64:ff9b::6464:64c8]/",
            "http://[64:ff9b:1::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[::169.254.169.254]/",
        ] {
            assert_eq!(guard.check(url), Err(Refusal::LinkLocal), "{url}");
        }
        for url in ["rtmp://127.0.0.1:1935/live", "http://100.100.100.201/", "http://[::1]/", "http://[fd00:ec2::253]/"]
        {
            assert!(guard.check(url).is_ok(), "{url}");
        }
        assert_eq!(guard.check("udp://@:5000"), Ok(Vec::new()), "a listener has no host");
    }

    #[test]
    fn a_url_is_taken_apart_where_libav_does_it() {
        let table = [
            ("rtsps://u:p@cam.example:322/a?b@c", Some("cam.example"), Some(322), Some("u:p"), "cam.example:322"),
            ("http://[::1]:8080/a", Some("::1"), Some(8080), None, "[::1]:8080"),
            ("srt://host", Some("host"), None, None, "host"),
            ("udp://@:5000", Some(""), Some(5000), Some(""), ":5000"),
        ];
        for (url, host, port, credentials, place) in table {
            let found = parts(url).unwrap();
            assert_eq!((found.host, found.port, found.credentials), (host, port, credentials), "{url}");
            assert_eq!(&url[found.place], place, "{url}");
        }
    }
}

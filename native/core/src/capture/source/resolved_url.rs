// SPDX-License-Identifier: Apache-2.0
//! How libav is brought to an address that was judged, and the server to hear its own name all the same: libav looks up
//! every name once more by itself, and would connect to what that one means by then.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::forward::{Rtsp, Server};
use super::guard::{self, Refusal};

/// Protocols over TLS with what is inside of it, and the ports that are meant where a URL names none.
const OVER_TLS: [(&str, &str); 3] = [("https", "http"), ("rtmps", "rtmp"), ("rtsps", "rtsp")];
const PORTS: [(&str, u16); 6] =
    [("http", 80), ("https", 443), ("rtmp", 1935), ("rtmps", 443), ("rtsp", 554), ("rtsps", 322)];

/// A URL with the addresses that its host was judged by.
#[derive(Debug)]
pub struct ResolvedUrl<'a> {
    url: &'a str,
    parts: guard::UrlParts<'a>,
    addresses: Vec<IpAddr>,
}

impl<'a> ResolvedUrl<'a> {
    pub fn new(url: &'a str, addresses: Vec<IpAddr>) -> Result<Self, Refusal> {
        Ok(Self { url, parts: guard::parts(url)?, addresses })
    }

    pub fn is_http(&self) -> bool {
        self.inner_scheme() == "http"
    }

    pub fn is_rtsp(&self) -> bool {
        self.inner_scheme() == "rtsp"
    }

    pub fn is_over_tls(&self) -> bool {
        OVER_TLS.iter().any(|(outer, _)| *outer == self.parts.scheme)
    }

    /// The server, where its connections are carried by this process.
    pub fn server(&self) -> Option<Server> {
        let host = self.parts.host.filter(|host| !host.is_empty())?;
        if !self.is_over_tls() && !self.is_rtsp() {
            return None;
        }
        let port = self.port()?;
        Some(Server {
            addresses: self.addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
            name: host.to_owned(),
            over_tls: self.is_over_tls(),
            rtsp: self.is_rtsp().then(|| Rtsp {
                own: format!("{}://{}", self.parts.scheme, self.place()),
                credentials: self.parts.credentials.map(str::to_owned),
            }),
        })
    }

    /// This URL with the other's user name and password, unless it has its own.
    pub fn with_credentials_of(&self, other: &Self) -> String {
        match (self.parts.credentials, other.parts.credentials) {
            (None, Some(credentials)) => self.at(self.parts.scheme, &format!("{credentials}@{}", self.place())),
            _ => self.url.to_owned(),
        }
    }

    /// The URL by which libav reaches the server at a local port.
    pub fn through(&self, port: u16) -> String {
        self.at(self.inner_scheme(), &format!("{}:{port}", Ipv4Addr::LOCALHOST))
    }

    /// The URLs that lead to each address, to be tried in this order; a file's and a listener's is its own.
    pub fn direct(&self) -> Vec<String> {
        if self.addresses.is_empty() {
            return vec![self.url.to_owned()];
        }
        let place = |address: &IpAddr| match (address, self.parts.port) {
            (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
            (IpAddr::V4(v4), None) => v4.to_string(),
            (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
            (IpAddr::V6(v6), None) => format!("[{v6}]"),
        };
        self.addresses.iter().map(|address| self.at(self.parts.scheme, &place(address))).collect()
    }

    /// Host and port as the URL has them.
    pub fn place(&self) -> &'a str {
        &self.url[self.parts.place.clone()]
    }

    pub fn url(&self) -> &'a str {
        self.url
    }

    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub fn host(&self) -> &'a str {
        self.parts.host.unwrap_or_default()
    }

    /// What an RTMP server is told that it was connected as: libav would tell the address.
    pub fn rtmp_location(&self) -> Option<String> {
        if self.inner_scheme() != "rtmp" {
            return None;
        }
        let (host, port) = (self.host(), self.port()?);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Some(format!("{}://{host}:{port}/{}", self.parts.scheme, application(&self.url[self.parts.place.end..])))
    }

    /// Whether both URLs are of one server, so that what is meant for one may be sent to the other. A server may ask for
    /// TLS instead of a connection without it.
    pub fn is_of_one_server(&self, other: &Self) -> bool {
        let same_host = self.host().eq_ignore_ascii_case(other.host());
        let same_port = self.parts.scheme == other.parts.scheme && self.port() == other.port();
        let upgraded = (self.parts.scheme, self.port()) == ("http", Some(80))
            && (other.parts.scheme, other.port()) == ("https", Some(443));
        same_host && (same_port || upgraded)
    }

    fn port(&self) -> Option<u16> {
        let usual = || PORTS.iter().find(|(scheme, _)| *scheme == self.parts.scheme).map(|(_, port)| *port);
        self.parts.port.or_else(usual)
    }

    fn inner_scheme(&self) -> &'a str {
        OVER_TLS.iter().find(|(outer, _)| *outer == self.parts.scheme).map_or(self.parts.scheme, |(_, inner)| inner)
    }

    fn at(&self, scheme: &str, place: &str) -> String {
        let credentials = self.parts.credentials.map(|credentials| format!("{credentials}@")).unwrap_or_default();
        format!("{scheme}://{credentials}{place}{}", &self.url[self.parts.place.end..])
    }
}

/// The application in a path of RTMP, as libav finds it.
fn application(path: &str) -> &str {
    let whole = path.strip_prefix('/').unwrap_or(path);
    if path.split_once('?').is_some_and(|(_, query)| query.contains("slist=")) {
        return whole;
    }
    if path.starts_with("/ondemand/") {
        return "ondemand";
    }
    let Some(first) = whole.find('/') else { return whole };
    let rest = &whole[first + 1..];
    match (rest.find('/'), rest.find(':')) {
        // A colon is of the stream's name, before which there may be an instance of the application.
        (Some(second), colon) if colon.is_none_or(|colon| colon > second) => &whole[..=first + second],
        _ => &whole[..first],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved<'a>(url: &'a str, addresses: &[&str]) -> ResolvedUrl<'a> {
        ResolvedUrl::new(url, addresses.iter().map(|address| address.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn libav_is_given_addresses_alone() {
        let both = ["192.0.2.1", "2001:db8::1"];
        let table = [
            ("http://u:p@h.example/a?b", vec!["http://u:p@192.0.2.1/a?b", "http://u:p@[2001:db8::1]/a?b"]),
            (
                "srt://h.example:9000?streamid=x",
                vec!["srt://192.0.2.1:9000?streamid=x", "srt://[2001:db8::1]:9000?streamid=x"],
            ),
        ];
        for (url, expected) in table {
            assert_eq!(resolved(url, &both).direct(), expected);
            assert_eq!(resolved(url, &both).server(), None, "{url}");
        }
        assert_eq!(resolved("udp://@:5000", &[]).direct(), ["udp://@:5000"]);
        assert_eq!(resolved("/a/b.ts", &[]).direct(), ["/a/b.ts"]);
    }

    #[test]
    fn what_is_carried_by_this_process_keeps_its_name() {
        let table = [
            ("https://h.example/a", 443, "http://127.0.0.1:9/a", None),
            ("rtmps://h.example:1/a/b", 1, "rtmp://127.0.0.1:9/a/b", None),
            ("rtsp://u:p@h.example/a", 554, "rtsp://u:p@127.0.0.1:9/a", Some("rtsp://h.example")),
            ("rtsps://h.example:7441/a", 7441, "rtsp://127.0.0.1:9/a", Some("rtsps://h.example:7441")),
        ];
        for (url, port, local, own) in table {
            let resolved = resolved(url, &["192.0.2.1"]);
            let server = resolved.server().unwrap();
            assert_eq!(server.addresses, [SocketAddr::new([192, 0, 2, 1].into(), port)], "{url}");
            assert_eq!((server.name.as_str(), server.over_tls), ("h.example", !url.starts_with("rtsp:")), "{url}");
            assert_eq!(server.rtsp.map(|rtsp| rtsp.own).as_deref(), own, "{url}");
            assert_eq!(resolved.through(9), local);
        }
    }

    #[test]
    fn an_rtmp_server_is_told_its_own_name_and_the_application() {
        let table = [
            ("rtmp://h/live/name", "rtmp://h:1935/live"),
            ("rtmps://h:444/live/inst/name", "rtmps://h:444/live/inst"),
            ("rtmp://[::1]/live/mp4:dir/name", "rtmp://[::1]:1935/live"),
            ("rtmp://h/live", "rtmp://h:1935/live"),
            ("rtmp://h/ondemand/a/b", "rtmp://h:1935/ondemand"),
        ];
        for (url, location) in table {
            assert_eq!(resolved(url, &["127.0.0.1"]).rtmp_location().as_deref(), Some(location), "{url}");
        }
        assert_eq!(resolved("http://h/a", &["127.0.0.1"]).rtmp_location(), None);
    }

    #[test]
    fn one_server_is_one_host_and_port() {
        let table = [
            ("http://h/a", "http://H:80/b", true),
            ("http://h/a", "https://h/b", true),
            ("https://h/a", "http://h/b", false),
            ("http://h/a", "http://h:8080/b", false),
            ("http://h/a", "http://h.example/b", false),
        ];
        for (one, other, expected) in table {
            assert_eq!(resolved(one, &[]).is_of_one_server(&resolved(other, &[])), expected, "{one} {other}");
        }
    }
}

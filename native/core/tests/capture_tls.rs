// SPDX-License-Identifier: Apache-2.0
//! Whoever a source's server is over TLS has to prove it, by each protocol alike, before a byte reaches it: media is read
//! of none that has not, and of each that has.

mod capture_support;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use capture_support::hostile::{reply, Server};
use capture_support::servers::{free_port, wait_for_listener, MediaServer};
use capture_support::tls::{self_signed, Authority, Certificate, Terminator};
use capture_support::*;
use cloud_recording_core::capture::api::{Access, Trust};
use cloud_recording_core::capture::{try_out, Guard, Refusal, SourceCause, SourceFailure, TlsCause};

const PLAYLIST: &str = "Content-Type: application/vnd.apple.mpegurl\r\n";

/// Of one source by each protocol: its scheme, the port of the server without TLS, and the path.
struct Sources {
    each: Vec<(&'static str, u16, &'static str)>,
    _running: Vec<Running>,
    _http: Server,
    _media: MediaServer,
}

impl Sources {
    fn start(scratch: &Scratch) -> Self {
        let file = source(scratch, "media.ts", &colour_and_tone("red", 440, 3.0));
        let bytes = std::fs::read(file).unwrap();
        let list = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n/media.ts\n#EXT-X-ENDLIST\n";
        let http = Server::start(move |path, stream| match path {
            "list" => reply(stream, "200 OK", PLAYLIST, list),
            _ => reply(stream, "200 OK", "", &bytes),
        });
        let (media, rtsp) = (MediaServer::start(scratch), free_port());
        let publisher = publish("red", 440, &format!("-f flv {}", media.rtmp_url("a")));
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/testbed/rtsp-server");
        let camera = Running::program(&program, &[&rtsp.to_string(), "0xffff0000", "440"]);
        wait_for_listener(rtsp);
        let each = vec![
            ("https", http.port, "media.ts"),
            ("https", http.port, "list"),
            ("rtmps", media.rtmp, "live/a"),
            ("rtsps", rtsp, "live"),
        ];
        Self { each, _running: vec![publisher, camera], _http: http, _media: media }
    }
}

fn read(url: &str, trust: &Trust) -> Result<(), SourceFailure> {
    let guard = Guard::new(&["https", "rtmps", "rtsps"].map(str::to_owned), false);
    let access = Access { trust: trust.clone(), ..Access::default() };
    try_out(url, &access, &guard, 1, Duration::from_secs(20))
}

#[test]
fn a_server_that_does_not_prove_itself_is_never_asked_for_media() {
    let scratch = Scratch::new("tls-refused");
    let (sources, authority) = (Sources::start(&scratch), Authority::new());
    let trusting = Trust::Authorities(authority.file(&scratch.path("ca.pem")));
    let empty = scratch.path("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let good = || authority.certificate("localhost", 2001, 2101);
    let table: [(Certificate, Trust, TlsCause); 8] = [
        (good(), Trust::System, TlsCause::Untrusted),
        (self_signed("localhost", 2001, 2101), trusting.clone(), TlsCause::Untrusted),
        (Authority::new().certificate("localhost", 2001, 2101), trusting.clone(), TlsCause::Untrusted),
        (authority.certificate("other.example", 2001, 2101), trusting.clone(), TlsCause::WrongName),
        (authority.certificate("localhost", 2001, 2002), trusting.clone(), TlsCause::Expired),
        (authority.certificate("localhost", 2100, 2101), trusting, TlsCause::NotYetValid),
        (good(), Trust::Certificate([7; 32]), TlsCause::OtherCertificate),
        (good(), Trust::Authorities(empty), TlsCause::Authorities),
    ];
    for (certificate, trust, expected) in table {
        for (scheme, port, path) in &sources.each {
            let terminator = Terminator::start(&certificate, *port);
            let failure = read(&format!("{scheme}://localhost:{}/{path}", terminator.port), &trust);
            let failure = failure.expect_err("it is refused");
            assert_eq!(failure, SourceFailure::Failed(SourceCause::Tls(expected.clone())), "{scheme} {path} {trust:?}");
            assert!(failure.is_refusal(1), "{failure}");
            assert_eq!(terminator.passed_on(), 0, "{scheme}: nothing was said to a server that proved nothing");
        }
    }
}

#[test]
fn a_server_that_proves_itself_is_recorded_by_each_protocol() {
    let scratch = Scratch::new("tls-proved");
    let (sources, authority, camera) = (Sources::start(&scratch), Authority::new(), self_signed("camera", 2001, 2002));
    let trusting = Trust::Authorities(authority.file(&scratch.path("ca.pem")));
    let pinned = Trust::Certificate(camera.sha256());
    let good = authority.certificate("localhost", 2001, 2101);
    for (certificate, trust) in [(&good, trusting), (&camera, pinned)] {
        for (scheme, port, path) in &sources.each {
            let terminator = Terminator::start(certificate, *port);
            let url = format!("{scheme}://localhost:{}/{path}", terminator.port);
            assert_eq!(read(&url, &trust), Ok(()), "{scheme} {path} {trust:?}");
        }
    }
}

#[test]
fn no_redirect_leads_out_of_tls() {
    let (scratch, authority) = (Scratch::new("tls-downgrade"), Authority::new());
    let plain = Server::start_at(Ipv4Addr::new(127, 0, 0, 2), |_, stream| reply(stream, "200 OK", "", b"media"));
    let target = plain.url("media.ts");
    let server = Server::start(move |_, stream| reply(stream, "302 Found", &format!("Location: {target}\r\n"), b""));
    let terminator = Terminator::start(&authority.certificate("localhost", 2001, 2101), server.port);
    let access = Access { trust: Trust::Authorities(authority.file(&scratch.path("ca.pem"))), ..Access::default() };
    let guard = Guard::new(&["https", "http"].map(str::to_owned), false);
    let url = format!("https://localhost:{}/a", terminator.port);
    let failure = try_out(&url, &access, &guard, 1, Duration::from_secs(20));
    assert_eq!(failure, Err(SourceFailure::Forbidden(Refusal::Downgrade)));
    assert!(plain.requests().is_empty(), "nobody was asked");
}

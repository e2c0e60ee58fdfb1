// SPDX-License-Identifier: Apache-2.0
//! Why a source cannot be recorded is told by its cause, in words that name no part of its URL and repeat nothing of
//! libav's.

mod capture_support;

use std::time::Duration;

use capture_support::hostile::{reply, Server};
use capture_support::servers::{free_port, free_udp_port, MediaServer};
use capture_support::*;
use cloud_recording_core::capture::api::Access;
use cloud_recording_core::capture::{try_out, Guard, SourceCause, SourceFailure};

const PLAYLIST: &str = "Content-Type: application/vnd.apple.mpegurl\r\n";

fn read(url: &str, limit: Duration) -> SourceFailure {
    let allowed = ["http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt", "tcp", "file"].map(str::to_owned);
    let failure = try_out(url, &Access::default(), &Guard::new(&allowed, false), 10_000, limit);
    failure.expect_err("it fails")
}

fn assert_told(url: &str, limit: u64, expected: &SourceCause) {
    let failure = read(url, Duration::from_secs(limit));
    assert_eq!(failure, SourceFailure::Failed(expected.clone()), "{url}");
    let words = failure.to_string();
    for foreign in ["://", "Input/output", "Invalid", "Operation not permitted", "patches"] {
        assert!(!words.contains(foreign), "{words}");
    }
}

#[test]
fn a_host_that_is_not_there_is_told_as_what_it_is() {
    for scheme in ["http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "tcp"] {
        let path = if scheme == "tcp" { "" } else { "/live/a" };
        assert_told(&format!("{scheme}://127.0.0.1:{}{path}", free_port()), 20, &SourceCause::Refused);
        assert_told(&format!("{scheme}://no-such-host.invalid:1935{path}"), 60, &SourceCause::NameUnknown);
    }
    assert_told("/no/such/file.ts", 20, &SourceCause::NoFile);
}

#[test]
fn what_a_server_answers_is_told_by_its_number() {
    let scratch = Scratch::new("causes-answers");
    let avi = std::fs::read(source(&scratch, "a.avi", &colour_and_tone("red", 440, 1.0))).unwrap();
    let server = Server::start(move |path, stream| match path {
        "400" | "401" | "403" | "404" | "500" | "503" => reply(stream, &format!("{path} No"), "", b""),
        "segment" => reply(stream, "403 Forbidden", "", b""),
        "list" => {
            let segments = "#EXTINF:2,\nsegment\n".repeat(3);
            let body = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}");
            reply(stream, "200 OK", PLAYLIST, body.as_bytes())
        }
        "a.avi" => reply(stream, "200 OK", "", &avi),
        _ => reply(stream, "200 OK", "Content-Type: text/html\r\n", b"<html>Sign in, please</html>"),
    });
    for status in [400, 401, 403, 404] {
        assert_told(&server.url(&status.to_string()), 20, &SourceCause::Status(status));
    }
    for status in ["500", "503"] {
        assert_told(&server.url(status), 20, &SourceCause::Status(5));
    }
    assert_told(&server.url("list"), 4, &SourceCause::ReferenceStatus(403));
    assert_told(&server.url("a.avi"), 20, &SourceCause::Container);
    assert_told(&server.url("page"), 20, &SourceCause::NoMedia);
}

#[test]
fn a_wrong_passphrase_and_a_stream_that_is_not_there_are_told() {
    let (scratch, port) = (Scratch::new("causes-servers"), free_udp_port());
    let listener = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=0123456789abc&pbkeylen=16");
    let _server = publish("red", 440, &format!("-f mpegts {listener}"));
    // What listens by UDP cannot be waited for: until it does, nobody answers.
    for (query, with_passphrase) in [("?passphrase=another-passphrase", true), ("", false)] {
        let url = format!("srt://127.0.0.1:{port}{query}");
        let deadline = std::time::Instant::now() + PATIENCE;
        let told = std::iter::repeat_with(|| read(&url, Duration::from_secs(4)));
        let mut told = told.take_while(|_| std::time::Instant::now() < deadline);
        let expected = SourceFailure::Failed(SourceCause::SrtRejected { with_passphrase });
        assert!(told.any(|failure| failure == expected), "{url}");
    }
    let media = MediaServer::start(&scratch);
    assert_told(&media.rtmp_url("nobody"), 20, &SourceCause::RtmpRefused);
}

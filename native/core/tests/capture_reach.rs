// SPDX-License-Identifier: Apache-2.0
//! What a source may make the recorder open: redirects and playlists lead no further than the configuration's own URLs
//! may, and whatever is refused is refused before a single byte is sent to it.
//!
//! Nothing here talks to a link-local address: an address of the loopback stands for them.

mod capture_support;

use std::net::Ipv4Addr;
use std::time::Duration;

use capture_support::hostile::{reply, Server};
use capture_support::servers;
use capture_support::*;
use cloud_recording_core::capture::api::{Access, CaptureEvent};
use cloud_recording_core::capture::{try_out, Guard, Refusal, SourceCause, SourceFailure};

/// Stands for a link-local address.
const FORBIDDEN: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

const PLAYLIST: &str = "Content-Type: application/vnd.apple.mpegurl\r\n";

fn guard() -> Guard {
    let allowed = ["http", "rtsp", "udp", "file"].map(str::to_owned);
    Guard::new(&allowed, false).refusing(FORBIDDEN.into())
}

/// Opens the URL and reads the first piece of media.
fn read(url: &str) -> Result<(), SourceFailure> {
    try_out(url, &Access::default(), &guard(), 1, Duration::from_secs(20))
}

/// A server where nobody may go. It would answer.
fn forbidden() -> Server {
    Server::start_at(FORBIDDEN, |_, stream| reply(stream, "200 OK", "", b"the machine's credentials"))
}

fn media(scratch: &Scratch) -> Vec<u8> {
    let path = scratch.path("media.ts");
    ffmpeg(&format!("{} {}", colour_and_tone("red", 440, 3.0), path.display()));
    std::fs::read(path).expect("a file")
}

fn moved(stream: &mut std::net::TcpStream, to: &str) -> std::io::Result<()> {
    reply(stream, "302 Found", &format!("Location: {to}\r\n"), b"")
}

fn list(segments: &str) -> Vec<u8> {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:3\n{segments}#EXT-X-ENDLIST\n").into_bytes()
}

#[test]
fn a_redirect_to_a_forbidden_address_is_never_followed() {
    let forbidden = forbidden();
    let target = forbidden.url("latest/credentials");
    let server = Server::start(move |path, stream| match path {
        "far" => moved(stream, "near"),
        _ => moved(stream, &target),
    });
    assert_eq!(forbidden.address(), FORBIDDEN);
    for path in ["near", "far"] {
        assert_eq!(read(&server.url(path)), Err(SourceFailure::Forbidden(Refusal::LinkLocal)), "{path}");
    }
    assert!(forbidden.requests().is_empty(), "nobody was asked");
}

#[test]
fn a_playlist_leads_to_no_forbidden_address_by_any_way() {
    let (scratch, forbidden) = (Scratch::new("reach-playlist"), forbidden());
    let (media, target) = (media(&scratch), forbidden.url("a.ts"));
    let key = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{target}\"\n#EXTINF:3,\na.ts\n");
    let server = Server::start(move |path, stream| match path {
        "segment.m3u8" => reply(stream, "200 OK", PLAYLIST, &list(&format!("#EXTINF:3,\n{target}\n"))),
        "key.m3u8" => reply(stream, "200 OK", PLAYLIST, &list(&key)),
        "moved.m3u8" => reply(stream, "200 OK", PLAYLIST, &list("#EXTINF:3,\nmoved.ts\n")),
        "choice.m3u8" => {
            let body = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n");
            reply(stream, "200 OK", PLAYLIST, body.as_bytes())
        }
        "moved.ts" => moved(stream, &target),
        _ => reply(stream, "200 OK", "", &media),
    });
    for path in ["segment.m3u8", "key.m3u8", "moved.m3u8", "choice.m3u8"] {
        assert_eq!(read(&server.url(path)), Err(SourceFailure::Forbidden(Refusal::LinkLocal)), "{path}");
    }
    assert!(forbidden.requests().is_empty(), "nobody was asked");
}

#[test]
fn what_came_over_a_network_opens_no_file_and_no_other_protocol() {
    let scratch = Scratch::new("reach-file");
    std::fs::write(scratch.path("secret.ts"), media(&scratch)).unwrap();
    let secret = scratch.path("secret.ts").display().to_string();
    let targets = [
        format!("file://{secret}"),
        format!("file:{secret}"),
        format!("crypto:file:{secret}"),
        format!("concat:{secret}"),
        format!("subfile,,start,0,end,1000,,:{secret}"),
        "data:video/mp2t;base64,R0AAEAAA".to_owned(),
        "tcp://127.0.0.1:9/a.ts".to_owned(),
    ];
    for target in targets {
        let redirect = target.clone();
        let server = Server::start(move |path, stream| match path {
            "a.m3u8" => reply(stream, "200 OK", PLAYLIST, &list(&format!("#EXTINF:3,\n{redirect}\n"))),
            _ => moved(stream, &redirect),
        });
        for path in ["a.m3u8", "moved.ts"] {
            let failure = read(&server.url(path)).expect_err("it is not played");
            // libav may take some for a path on the server, where they are nothing but another redirect.
            let harmless = matches!(failure, SourceFailure::Forbidden(_) | SourceFailure::Failed(_));
            assert!(harmless, "{path} {target}: {failure}");
        }
    }
    let list = list(&format!("#EXTINF:3,\n{secret}\n"));
    std::fs::write(scratch.path("local.m3u8"), list).unwrap();
    assert_eq!(read(scratch.path("local.m3u8").to_str().unwrap()), Ok(()), "a file may lead to files");
}

#[test]
fn allowed_redirects_are_followed_with_their_cookies() {
    let scratch = Scratch::new("reach-allowed");
    let media = media(&scratch);
    let (bytes, parts) = (media.clone(), list("#EXTINF:3,\nparts/a.ts\n"));
    let elsewhere = Server::start_at(Ipv4Addr::new(127, 0, 0, 2), move |path, stream| match path {
        "deep/list.m3u8" => reply(stream, "200 OK", PLAYLIST, &parts),
        "deep/parts/a.ts" => moved(stream, "b.ts"),
        "deep/parts/b.ts" => reply(stream, "200 OK", "", &bytes),
        _ => reply(stream, "404 Not Found", "", b""),
    });
    let to = elsewhere.url("deep/list.m3u8");
    let server = Server::start(move |path, stream| match path {
        "list.m3u8" => moved(stream, &to),
        "media.ts" => reply(stream, "301 Moved", "Location: /media/1.ts\r\nSet-Cookie: pass=27; Path=/\r\n", b""),
        "media/1.ts" => moved(stream, "2.ts"),
        "media/2.ts" => reply(stream, "200 OK", "", &media),
        _ => moved(stream, "round-and-round"),
    });
    assert_eq!(read(&server.url("media.ts")), Ok(()));
    assert!(server.requests().last().unwrap().contains("Cookie: pass=27"), "{:?}", server.requests());
    assert_eq!(read(&server.url("list.m3u8")), Ok(()), "parts are looked for where the list is");
    assert_eq!(read(&server.url("round-and-round")), Err(SourceFailure::Failed(SourceCause::RedirectedForEver)));
}

fn access(headers: &[(&str, &str)]) -> Access {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Access { headers, ..Access::default() }
}

/// The values of a header in each request for a path.
fn sent(server: &Server, path: &str, name: &str) -> Vec<Option<String>> {
    let of_path = server.requests().into_iter().filter(|head| head.split(' ').nth(1) == Some(path));
    let value = |head: String| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    of_path.map(value).collect()
}

#[test]
fn headers_go_to_the_sources_own_server_and_across_no_redirect() {
    let scratch = Scratch::new("reach-headers");
    let media = media(&scratch);
    let body = media.clone();
    let other = Server::start_at(Ipv4Addr::new(127, 0, 0, 2), move |_, stream| reply(stream, "200 OK", "", &body));
    let (named, moved_to) = (other.url("named.ts"), other.url("moved.ts"));
    let server = Server::start(move |path, stream| match path {
        "list.m3u8" => {
            let segments = format!("#EXTINF:3,\nown.ts\n#EXTINF:3,\n{named}\n#EXTINF:3,\nmoved.ts\n");
            reply(stream, "200 OK", PLAYLIST, &list(&segments))
        }
        "moved.ts" => moved(stream, &moved_to),
        _ => reply(stream, "200 OK", "", &media),
    });
    let access = access(&[("Authorization", "Bearer 27"), ("Referer", "https://a/"), ("User-Agent", "Player/1")]);
    // By name, which the server is to hear although an address is connected to.
    let url = format!("http://localhost:{}/list.m3u8", server.port);
    assert_eq!(try_out(&url, &access, &guard(), 400, Duration::from_secs(20)), Ok(()));
    for path in ["/list.m3u8", "/own.ts", "/moved.ts"] {
        let host = format!("localhost:{}", server.port);
        for (name, value) in
            [("authorization", "Bearer 27"), ("referer", "https://a/"), ("user-agent", "Player/1"), ("host", &host)]
        {
            let values = sent(&server, path, name);
            assert!(
                !values.is_empty() && values.iter().all(|sent| sent.as_deref() == Some(value)),
                "{path}: {values:?}"
            );
        }
    }
    assert_eq!(sent(&other, "/named.ts", "authorization"), [None], "a secret is its own server's");
    assert_eq!(sent(&other, "/named.ts", "referer"), [Some("https://a/".to_owned())]);
    assert_eq!(sent(&other, "/moved.ts", "authorization"), [None]);
    assert_eq!(sent(&other, "/moved.ts", "referer"), [None], "nothing crosses a redirect");
    assert_ne!(sent(&other, "/moved.ts", "user-agent"), [Some("Player/1".to_owned())]);
}

#[test]
fn a_redirect_of_rtsp_is_judged_before_it_is_followed() {
    let forbidden = forbidden();
    let program = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/testbed/rtsp-server");
    let port = servers::free_port();
    let _camera = Running::program(&program, &[&port.to_string(), "0xffff0000", "440"]);
    servers::wait_for_listener(port);
    let targets = [
        (
            format!("rtsp://{}:{}/live", forbidden.address(), forbidden.port),
            Err(SourceFailure::Forbidden(Refusal::LinkLocal)),
        ),
        (format!("http://127.0.0.1:{port}/live"), Err(SourceFailure::Forbidden(Refusal::Malformed))),
        (format!("rtsp://127.0.0.1:{port}/live"), Ok(())),
    ];
    for (target, expected) in targets {
        let location = target.clone();
        let server = Server::start(move |_, stream| {
            use std::io::Write;
            write!(stream, "RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: {location}\r\n\r\n")
        });
        let url = format!("rtsp://localhost:{}/old", server.port);
        assert_eq!(read(&url), expected, "{target}");
        let asked = server.requests();
        assert!(asked.iter().all(|head| head.contains(&format!(" {url} "))), "by its own name: {asked:?}");
    }
    assert!(forbidden.requests().is_empty(), "nobody was asked");
}

/// A broadcast of so many sounds beside its picture, of so many seconds.
fn broadcast(scratch: &Scratch, sounds: usize, seconds: u32) -> Vec<u8> {
    let path = scratch.path("broadcast.ts");
    let maps = "-map 1:a ".repeat(sounds);
    ffmpeg(&format!(
        "-f lavfi -i testsrc=size=320x180:rate=15:duration={seconds} -f lavfi -i sine=frequency=440:duration={seconds} \
         -map 0:v {maps} -c:v libx264 -preset ultrafast -g 15 -c:a mp2 -b:a 64k {}",
        path.display()
    ));
    std::fs::read(path).expect("a file")
}

#[test]
fn a_broadcast_of_forty_streams_is_recorded() {
    let scratch = Scratch::new("reach-broadcast");
    let bytes = broadcast(&scratch, 39, 8);
    let server = Server::start(move |_, stream| reply(stream, "200 OK", "", &bytes));
    let mut settings = config(&scratch.path("work"), &[&server.url("broadcast")]);
    settings.slice = Duration::from_secs(2);
    let (capture, memory) = start(settings);
    memory.wait_for("the broadcast to join", joined(1));
    memory.wait_for("its end", left(1));
    capture.stop();
    let recording = joined_file(&scratch, &memory.take().closed);
    assert!(tone(&samples(&recording, 0)[24_000..72_000], 440.0) > 0.03, "one sound is heard");
}

#[test]
fn what_comes_and_ends_at_once_is_recorded_the_first_time() {
    let scratch = Scratch::new("reach-short");
    let bytes = broadcast(&scratch, 1, 3);
    let server = Server::start(move |_, stream| reply(stream, "200 OK", "", &bytes));
    let (capture, memory) = start(config(&scratch.path("work"), &[&server.url("short")]));
    memory.wait_for("the source to join", joined(1));
    memory.wait_for("its end", left(1));
    capture.stop();
    let failed = |event: &CaptureEvent| matches!(event, CaptureEvent::Unavailable { .. });
    let events = memory.take().events;
    let first = events.iter().find(|event| failed(event) || matches!(event, CaptureEvent::Joined { .. }));
    assert!(first.is_some_and(|event| !failed(event)), "{events:?}");
}

#[test]
fn a_playlist_is_one_whatever_its_name_and_its_type() {
    let scratch = Scratch::new("reach-names");
    let media = media(&scratch);
    let server = Server::start(move |path, stream| match path {
        "master" | "master.php?a=b" => {
            let variants = (0..12).map(|index| format!("#EXT-X-STREAM-INF:BANDWIDTH={}\nlist?{index}\n", 1000 + index));
            let body = format!("#EXTM3U\n{}", variants.collect::<String>());
            reply(stream, "200 OK", "Content-Type: text/plain\r\n", body.as_bytes())
        }
        path if path.starts_with("list") => {
            reply(stream, "200 OK", "Content-Type: text/plain\r\n", &list("#EXTINF:3,\nsegment?1\n"))
        }
        _ => reply(stream, "200 OK", "", &media),
    });
    for path in ["master", "master.php?a=b", "list"] {
        assert_eq!(read(&server.url(path)), Ok(()), "{path}");
    }
}

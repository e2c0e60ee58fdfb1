// SPDX-License-Identifier: Apache-2.0
//! Sources as people have them: without time stamps, and from packagers that begin anew.
#![allow(clippy::cast_precision_loss)] // measuring

mod capture_support;

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use capture_support::hostile::{reply, Server};
use capture_support::servers::free_port;
use capture_support::*;

/// What a live publisher of this form is recorded as, for so many seconds after it has joined.
fn recorded(name: &str, media: &str, url: &str, seconds: u64) -> (Scratch, Told) {
    let scratch = Scratch::new(&format!("unstamped-{name}"));
    let (listening, asked) = match url.split_once("://") {
        Some(("tcp", _)) => (format!("{url}?listen=1"), url),
        _ => (format!("-listen 1 {url}"), url),
    };
    let _publisher = Running::ffmpeg(&format!("-re {media} -flush_packets 1 {listening}"));
    let mut configuration = config(&scratch.path("work"), &[asked]);
    configuration.protocols.push("tcp".to_owned());
    let (capture, memory) = start(configuration);
    let asked = Instant::now();
    memory.wait_for("the source to join", joined(1));
    assert!(asked.elapsed() < Duration::from_secs(20), "{name}: {:?}", asked.elapsed());
    record_for(&capture, Duration::from_secs(seconds));
    capture.stop();
    let told = memory.take();
    assert!(left(1)(&told).is_none(), "{name}: {:?}", told.events);
    (scratch, told)
}

const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=600";

#[test]
fn sound_without_time_stamps_is_recorded_at_once_and_without_a_hole() {
    let forms = [("adts", "-c:a aac -f adts"), ("mp3", "-c:a libmp3lame -f mp3"), ("ac3", "-c:a ac3 -f ac3")];
    for (name, form) in forms {
        let url = format!("http://127.0.0.1:{}/radio", free_port());
        let (scratch, told) = recorded(name, &format!("{SOUND} {form}"), &url, 6);
        let sound = samples(&joined_file(&scratch, &told.closed), 0);
        let heard: Vec<bool> = sound[4800..].chunks_exact(2400).map(|block| tone(block, 440.0) > 0.04).collect();
        assert!(heard.len() > 100 && !heard.contains(&false), "{name}: {heard:?}");
    }
}

#[test]
fn pictures_without_time_stamps_are_shown_at_the_pace_they_come() {
    for (name, protocol, rate, codec) in [
        ("h264-25", "tcp", 25, "libx264 -preset ultrafast -tune zerolatency -g 25 -f h264"),
        ("h264-10", "http", 10, "libx264 -preset ultrafast -tune zerolatency -g 10 -f h264"),
        ("h264-b", "tcp", 30, "libx264 -preset ultrafast -bf 2 -g 30 -f h264"),
        ("hevc-15", "tcp", 15, "libx265 -preset ultrafast -x265-params log-level=0:keyint=15 -f hevc"),
    ] {
        let url = format!("{protocol}://127.0.0.1:{}", free_port());
        // White for every other second.
        let picture = "drawbox=t=fill:c=white:enable='lt(mod(t,2),1)'";
        let media = format!("-f lavfi -i color=c=black:size=320x180:rate={rate}:duration=600,{picture}");
        let (scratch, told) = recorded(name, &format!("{media} -pix_fmt yuv420p -c:v {codec}"), &url, 12);
        let white: Vec<bool> =
            brightness(&joined_file(&scratch, &told.closed)).into_iter().map(|luma| luma > 128).collect();
        let runs: Vec<usize> = white.chunk_by(|a, b| a == b).map(<[bool]>::len).collect();
        // The first and the last are cut, and the pace is found within the first seconds.
        let whole = &runs[3..runs.len() - 1];
        assert!(whole.len() >= 5 && whole.iter().all(|length| (13..=17).contains(length)), "{name}: {runs:?}");
    }
}

/// A live packager: it lists the last five of its segments of a second each, and after some begins with others from 0.
struct Packager {
    begun: OnceLock<Instant>,
}

/// How many segments the first packager has, how many of them there are when it is first asked, and of how many it lists.
const FIRST: usize = 10;
const READY: usize = 7;
const LISTED: usize = 5;

impl Packager {
    /// The playlist now; `names` are those of the two packagers' segments.
    fn playlist(&self, names: [&str; 2]) -> String {
        let seconds = self.begun.get_or_init(Instant::now).elapsed().as_secs() as usize;
        let count = READY + seconds;
        let (name, count) = if count <= FIRST { (names[0], count) } else { (names[1], count - FIRST) };
        let first = count.saturating_sub(LISTED);
        let segments = (first..count).map(|number| format!("#EXTINF:1.000000,\n{name}{number}.ts\n"));
        let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n";
        format!("{head}#EXT-X-MEDIA-SEQUENCE:{first}\n{}", segments.collect::<String>())
    }
}

fn segments(scratch: &Scratch, name: &str, colour: &str, hertz: u32) {
    let media = colour_and_tone(colour, hertz, 30.0);
    let files = scratch.path(&format!("{name}%d.ts"));
    let list = scratch.path(&format!("{name}.m3u8"));
    ffmpeg(&format!(
        "{media} -f hls -hls_time 1 -hls_list_size 0 -hls_segment_filename {} {}",
        files.display(),
        list.display()
    ));
}

#[test]
fn a_packager_that_begins_its_numbers_anew_is_recorded_without_a_loss() {
    let scratch = Scratch::new("renumbering");
    segments(&scratch, "a", "red", 440);
    segments(&scratch, "b", "blue", 880);
    let directory = scratch.0.clone();
    let packager = Packager { begun: OnceLock::new() };
    let server = Server::start(move |path, stream| {
        if path == "live.m3u8" {
            return reply(stream, "200 OK", "", packager.playlist(["a", "b"]).as_bytes());
        }
        reply(stream, "200 OK", "", &fs::read(directory.join(path))?)
    });
    let (capture, memory) = start(config(&scratch.path("work"), &[&server.url("live.m3u8")]));
    memory.wait_for("the source to join", joined(1));
    record_for(&capture, Duration::from_secs(12));
    capture.stop();
    let told = memory.take();
    assert!(left(1)(&told).is_none(), "{:?}", told.events);
    let sound = samples(&joined_file(&scratch, &told.closed), 0);
    let heard = |hertz| sound.chunks_exact(2400).filter(|block| tone(block, hertz) > 0.04).count();
    let silent = sound.chunks_exact(2400).filter(|block| tone(block, 440.0).max(tone(block, 880.0)) < 0.04).count();
    // Of the first packager everything from three segments before its end then, of the second everything from its first.
    let expected = 20 * (FIRST - READY + 3);
    assert!(heard(440.0).abs_diff(expected) <= 3, "{} of {expected}", heard(440.0));
    assert!(silent <= 3 && heard(880.0) > 100, "{silent} silent, {} of the second", heard(880.0));
    let asked = server.requests();
    assert!((0..3).all(|number| asked.iter().any(|head| head.contains(&format!("/b{number}.ts")))), "{asked:?}");
}

// SPDX-License-Identifier: Apache-2.0
//! Sources as people have them: without time stamps, and from packagers that begin anew.
#![allow(clippy::cast_precision_loss)] // measuring

mod capture_support;

use std::time::{Duration, Instant};

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

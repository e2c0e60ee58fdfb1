// SPDX-License-Identifier: Apache-2.0
//! One stream recorded as it is: what is in the slices is what the source sent, bit for bit, and strict players take it.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // measuring

mod capture_support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use capture_support::servers::{free_udp_port, MediaServer};
use capture_support::*;
use cloud_recording_core::capture::api::{CaptureConfig, CaptureEvent, ClosedSlice, Passthrough, StreamKinds};
use cloud_recording_core::capture::repair;
use cloud_recording_core::error::Code;

const TICKS: u64 = 90_000;

/// Slices of four seconds, eight at most.
fn passed_through(directory: &Path, url: &str) -> CaptureConfig {
    let mut config = config(directory, &[url]);
    config.slice = Duration::from_secs(4);
    config.passthrough = Some(Passthrough { longest_slice: Duration::from_secs(8) });
    config.protocols.push("tcp".to_owned());
    config
}

/// A source file made by the `ffmpeg` command.
fn source(scratch: &Scratch, name: &str, arguments: &str) -> String {
    let path = scratch.path(name).to_str().unwrap().to_owned();
    ffmpeg(&format!("{arguments} {path}"));
    path
}

fn moving(seconds: u32, size: &str, rate: u32) -> String {
    format!(
        "-f lavfi -i testsrc2=size={size}:rate={rate}:duration={seconds} \
         -f lavfi -i sine=frequency=440:sample_rate=44100:duration={seconds} -pix_fmt yuv420p"
    )
}

const H264: &str = "-c:v libx264 -preset veryfast -sc_threshold 0";

/// The digest of a stream's payload, without what containers add or repeat: parameter sets, delimiters and headers.
fn payload(file: &Path, stream: &str) -> String {
    let bare = match (stream, file.extension().is_some_and(|extension| extension == "ts")) {
        ("v", true) => "-bsf:v filter_units=remove_types=7|8|9",
        ("v", false) => "-bsf:v h264_mp4toannexb,filter_units=remove_types=7|8|9",
        (_, true) => "-bsf:a aac_adtstoasc",
        (_, false) => "",
    };
    let arguments = format!("-v error -i {} -map 0:{stream} -c copy -copyinkf {bare} -f md5 -", file.display());
    let output = Command::new("ffmpeg").args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The digest of each packet of sound.
fn packets_of_sound(file: &Path) -> Vec<String> {
    let bare = if file.extension().is_some_and(|extension| extension == "ts") { "-bsf:a aac_adtstoasc" } else { "" };
    let arguments = format!("-v error -i {} -map 0:a -c copy {bare} -f framemd5 -", file.display());
    let output = Command::new("ffmpeg").args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let packets = text.lines().filter(|line| !line.starts_with('#'));
    packets.map(|line| line.split(',').nth(5).unwrap_or_default().trim().to_owned()).collect()
}

/// Whatever a decoder complains of in the file.
fn complaints(file: &Path) -> String {
    let arguments = ["-v", "warning", "-xerror", "-i", file.to_str().unwrap(), "-f", "null", "-"];
    let output = Command::new("ffmpeg").args(arguments).stdin(Stdio::null()).output().unwrap();
    // What the null muxer says is about overlapping sound of the sources.
    let lines = String::from_utf8(output.stderr).unwrap();
    lines.lines().filter(|line| !line.starts_with("[null")).map(|line| format!("{line}\n")).collect()
}

/// Promises that hold for every passed-through recording.
fn assert_valid(told: &Told, longest_seconds: u64) {
    for (open, closed) in told.opened.iter().zip(&told.closed) {
        assert_eq!(*open, closed.open);
        assert!(closed.duration_ticks > 0, "{closed:?}");
        assert!(closed.duration_ticks <= longest_seconds * TICKS, "{} is above the bound", closed.duration_ticks);
    }
    assert_eq!(told.opened.len(), told.closed.len(), "{:?}", told.events);
    assert!(told.closed[0].open.discontinuity);
    for pair in told.closed.windows(2) {
        let end = pair[0].open.start.0 + i64::try_from(pair[0].duration_ticks / 90).unwrap();
        let hole = pair[1].open.start.0 - end;
        assert!(hole.abs() <= 1 || pair[1].open.discontinuity && hole > 0, "{hole} ms in {:?}", told.closed);
    }
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Broken(_))), "{:?}", told.events);
}

fn assert_copied(scratch: &Scratch, told: &Told, original: &Path) {
    let file = joined_file(scratch, &told.closed);
    assert_eq!(payload(&file, "v"), payload(original, "v"), "{:?}", told.events);
    let (sound, all) = (packets_of_sound(&file), packets_of_sound(original));
    assert!(all.ends_with(&sound), "{:?}", told.events);
    assert!(all.len() - sound.len() <= 8, "only what comes before the first picture is left out");
    assert_eq!(complaints(&file), "");
}

fn seconds(closed: &[ClosedSlice]) -> Vec<f64> {
    closed.iter().map(|slice| slice.duration_ticks as f64 / TICKS as f64).collect()
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

/// The steps between presentation times, in the order of presentation.
fn steps(file: &Path, stream: &str) -> Vec<f64> {
    sorted(times(file, stream)).windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_stream_with_reordered_pictures_is_copied_bit_for_bit_and_cut_at_key_frames() {
    for name in ["reordered.flv", "reordered.mp4", "reordered.ts"] {
        let scratch = Scratch::new(&format!("copy-{name}"));
        let arguments = format!("{} {H264} -bf 3 -g 50 -c:a aac -ac 1", moving(13, "320x180", 25));
        let url = source(&scratch, name, &arguments);
        let told = record_offline(&passed_through(&scratch.path("work"), &url));
        assert_valid(&told, 8);
        let lengths = seconds(&told.closed);
        assert_eq!(lengths[..3], [4.0, 4.0, 4.0], "{name}: {lengths:?}");
        assert!(lengths.len() == 4 && (lengths[3] - 1.0).abs() < 0.05, "{name}: {lengths:?}");
        assert!(told.closed[1..].iter().all(|slice| !slice.open.discontinuity && slice.open.track_starts.is_empty()));
        assert_copied(&scratch, &told, Path::new(&url));
        for slice in &told.closed {
            assert_eq!(complaints(&slice.open.path), "", "{name}: each slice can be played alone");
        }
        let file = joined_file(&scratch, &told.closed);
        assert!(steps(&file, "v").iter().all(|step| (step - 0.04).abs() < 0.002), "{name}: {:?}", steps(&file, "v"));
        // The container may round to milliseconds.
        assert!(steps(&file, "a").iter().all(|step| (step - 1024.0 / 44_100.0).abs() < 0.002), "{name}");
        let last = |file: &Path, stream| *sorted(times(file, stream)).last().unwrap();
        let shift = |file: &Path| last(file, "a") - last(file, "v");
        assert!((shift(&file) - shift(Path::new(&url))).abs() < 0.03, "{name}: sound and picture keep their distance");
    }
}

#[test]
fn pictures_at_uneven_distances_are_copied() {
    let scratch = Scratch::new("copy-vfr");
    let uneven = "-vf select='mod(n\\,7)*mod(n\\,11)' -fps_mode vfr";
    let arguments = format!(
        "{} {H264} -bf 2 -g 20 {uneven} -c:a aac -ac 2 -video_track_timescale 90000",
        moving(12, "320x180", 25)
    );
    let url = source(&scratch, "uneven.mp4", &arguments);
    let told = record_offline(&passed_through(&scratch.path("work"), &url));
    assert_valid(&told, 8);
    assert_copied(&scratch, &told, Path::new(&url));
    let (there, here) = (steps(Path::new(&url), "v"), steps(&joined_file(&scratch, &told.closed), "v"));
    assert_eq!(there.len(), here.len());
    assert!(there.iter().zip(&here).all(|(there, here)| (there - here).abs() < 0.001), "{there:?} {here:?}");
}

#[test]
fn where_no_key_frame_comes_a_slice_ends_at_the_bound_and_nothing_is_lost() {
    let scratch = Scratch::new("copy-long-gop");
    let arguments = format!("{} {H264} -bf 2 -g 1000 -c:a aac", moving(30, "320x180", 25));
    let url = source(&scratch, "long.flv", &arguments);
    let told = record_offline(&passed_through(&scratch.path("work"), &url));
    assert_valid(&told, 8);
    let lengths = seconds(&told.closed);
    assert!(lengths[..3].iter().all(|length| *length > 7.0), "{lengths:?}");
    assert!(told.closed[1..].iter().all(|slice| !slice.open.discontinuity), "the stream runs on");
    assert_copied(&scratch, &told, Path::new(&url));
    for slice in &told.closed {
        let repaired = repair(&slice.open).unwrap().expect("a slice that a killed process left is playable");
        assert!(repaired.duration_ticks <= slice.duration_ticks + TICKS / 25, "{}", repaired.duration_ticks);
    }
}

/// Transport streams one after the other in one file, as a sender that is set up anew would send them.
fn one_after_the_other(scratch: &Scratch, name: &str, parts: &[String]) -> String {
    let bytes: Vec<u8> = parts.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    let path = scratch.path(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn height(file: &Path) -> String {
    let arguments = ["-v", "error", "-select_streams", "v", "-show_entries", "stream=height", "-of", "csv=p=0"];
    let output = Command::new("ffprobe").args(arguments).arg(file).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().trim_end_matches(',').to_owned()
}

#[test]
fn another_picture_size_or_sound_begins_another_slice_with_a_discontinuity() {
    let scratch = Scratch::new("copy-change");
    let first = format!("{} {H264} -bf 2 -g 25 -c:a aac -ac 1", moving(6, "320x180", 25));
    let second = format!("{} {H264} -bf 2 -g 25 -c:a aac -ac 2 -output_ts_offset 6", moving(6, "640x360", 25));
    let parts = [source(&scratch, "first.ts", &first), source(&scratch, "second.ts", &second)];
    let url = one_after_the_other(&scratch, "both.ts", &parts);
    let told = record_offline(&passed_through(&scratch.path("work"), &url));
    assert_valid(&told, 8);
    let restarts: Vec<&ClosedSlice> = told.closed.iter().filter(|slice| slice.open.discontinuity).collect();
    assert_eq!(restarts.len(), 2, "{:?}", told.closed);
    assert!(restarts.iter().all(|slice| slice.open.track_starts.len() == 2));
    let heights: Vec<String> = told.closed.iter().map(|slice| height(&slice.open.path)).collect();
    assert_eq!(heights, ["180", "180", "360", "360"]);
    for slice in &told.closed {
        assert_eq!(complaints(&slice.open.path), "", "each slice can be played alone");
    }
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Gap { .. })), "{:?}", told.events);
    let file = joined_file(&scratch, &told.closed);
    assert_eq!(payload(&file, "v"), payload(Path::new(&url), "v"));
}

/// So many pictures of the size, from that time on.
fn pictures(scratch: &Scratch, name: &str, (size, count): (&str, u32), at: f64) -> String {
    let arguments = format!(
        "-f lavfi -i testsrc2=size={size}:rate=25 -frames:v {count} -pix_fmt yuv420p {H264} -bf 0 -g 25 -muxdelay 0 \
         -output_ts_offset {at:.4}"
    );
    source(scratch, name, &arguments)
}

#[test]
fn slices_that_begin_within_a_millisecond_have_names_of_their_own() {
    let scratch = Scratch::new("copy-names");
    let parts = [
        pictures(&scratch, "first.ts", ("320x180", 150), 0.0),
        pictures(&scratch, "second.ts", ("640x360", 1), 6.0),
        pictures(&scratch, "third.ts", ("320x180", 150), 6.0004),
    ];
    let url = one_after_the_other(&scratch, "all.ts", &parts);
    let mut config = passed_through(&scratch.path("work"), &url);
    config.kinds = StreamKinds::VideoOnly;
    let told = record_offline(&config);
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Broken(_))), "{:?}", told.events);
    let starts: Vec<i64> = told.closed.iter().map(|slice| slice.open.start.0).collect();
    assert!(starts.windows(2).any(|pair| pair[1] - pair[0] == 1), "{starts:?}");
    assert!(starts.windows(2).all(|pair| pair[1] > pair[0]), "{starts:?}");
    let file = joined_file(&scratch, &told.closed);
    assert_eq!(payload(&file, "v"), payload(Path::new(&url), "v"));
}

#[test]
fn a_stream_whose_format_changes_at_each_key_frame_is_transcoded_and_the_reason_told() {
    let scratch = Scratch::new("copy-changes");
    let part = |index: u32| {
        let size = if index % 2 == 0 { "320x180" } else { "640x360" };
        pictures(&scratch, &format!("{index}.ts"), (size, 10), f64::from(index) * 0.4)
    };
    let parts: Vec<String> = (0..30).map(part).collect();
    let url = one_after_the_other(&scratch, "all.ts", &parts);
    let mut config = passed_through(&scratch.path("work"), &url);
    config.kinds = StreamKinds::VideoOnly;
    let told = record_offline(&config);
    let reason = told.events.iter().find_map(|event| match event {
        CaptureEvent::Transcoding { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("its format changes again and again, and each change would begin a slice"));
    assert!(told.closed.len() <= 16, "{} slices of 12 s", told.closed.len());
    let recorded: f64 = seconds(&told.closed).iter().sum();
    assert!(recorded > 10.0, "{recorded} s of 12: {:?}", told.events);
}

#[test]
fn jumping_time_stamps_leave_no_trace_in_the_copy() {
    for offset in ["5000", "0", "95443.2"] {
        let scratch = Scratch::new(&format!("copy-jump-{offset}"));
        let part = |offset: &str| {
            format!("{} {H264} -bf 2 -g 25 -c:a aac -output_ts_offset {offset}", moving(6, "320x180", 25))
        };
        let parts = [source(&scratch, "first.ts", &part("10")), source(&scratch, "second.ts", &part(offset))];
        let url = one_after_the_other(&scratch, "both.ts", &parts);
        let told = record_offline(&passed_through(&scratch.path("work"), &url));
        assert_valid(&told, 8);
        let file = joined_file(&scratch, &told.closed);
        assert_eq!(payload(&file, "v"), payload(Path::new(&url), "v"));
        let gaps: Vec<f64> = steps(&file, "v").into_iter().filter(|step| (step - 0.04).abs() > 0.002).collect();
        assert!(gaps.len() <= 1 && gaps.iter().all(|gap| *gap < 0.2), "{offset}: {gaps:?}");
        assert!(times(&file, "v").len() == 300);
    }
}

#[test]
fn only_the_wanted_kind_is_copied() {
    let scratch = Scratch::new("copy-kinds");
    let arguments = format!("{} {H264} -bf 2 -g 25 -c:a aac", moving(10, "320x180", 25));
    let url = source(&scratch, "both.flv", &arguments);
    for (kinds, here, absent) in [(StreamKinds::AudioOnly, "a", "v"), (StreamKinds::VideoOnly, "v", "a")] {
        let work = scratch.path(here);
        let mut config = passed_through(&work, &url);
        config.kinds = kinds;
        let told = record_offline(&config);
        assert_valid(&told, 8);
        assert!(told.closed.len() == 3, "{:?}", seconds(&told.closed));
        assert!(told.closed[0].open.track_starts.len() == 1);
        let file = joined_file(&scratch, &told.closed);
        assert_eq!(payload(&file, here), payload(Path::new(&url), here));
        assert!(times(&file, absent).is_empty());
    }
}

#[test]
fn what_transport_streams_cannot_carry_is_transcoded_and_the_reason_told() {
    for (name, arguments, reason) in [
        ("flv1.flv", "-c:v flv1 -c:a aac", "only H.264 is copied"),
        ("mp3.mp4", "-c:v libx264 -g 25 -c:a mp3", "only AAC is copied"),
        ("ten-bits.mp4", "-c:v libx264 -g 25 -pix_fmt yuv420p10le -c:a aac", "profile 110"),
        ("no-decoding-times.mkv", "-c:v libx264 -bf 3 -g 25 -c:a aac", "when each is decoded"),
    ] {
        let scratch = Scratch::new(&format!("copy-misfit-{name}"));
        let url = source(&scratch, name, &format!("{} {arguments}", moving(6, "320x180", 25)));
        let told = record_offline(&passed_through(&scratch.path("work"), &url));
        assert_valid(&told, 8);
        let told_reason = told.events.iter().find_map(|event| match event {
            CaptureEvent::Transcoding { uid: 1, reason } => Some(reason.clone()),
            _ => None,
        });
        assert!(told_reason.as_ref().is_some_and(|told| told.contains(reason)), "{name}: {:?}", told.events);
        let recorded: f64 = seconds(&told.closed).iter().sum();
        assert!(recorded > 5.5, "{name}: {recorded} s are recorded");
        let file = joined_file(&scratch, &told.closed);
        assert_eq!(height(&file), "240", "{name}: the canvas' height");
        assert_eq!(complaints(&file), "");
    }
}

/// A publisher of a moving picture with key frames every second, for as long as the test runs.
fn publish_moving(target: &str) -> Running {
    Running::ffmpeg(&format!("-re {} {H264} -tune zerolatency -g 25 -c:a aac {target}", moving(600, "320x180", 25)))
}

#[test]
fn a_publisher_that_comes_back_is_recorded_on_with_the_gap_stated() {
    let scratch = Scratch::new("copy-rtmp");
    let server = MediaServer::start(&scratch);
    let url = server.rtmp_url("alice");
    let publisher = publish_moving(&format!("-f flv {url}"));
    let (capture, memory) = start(passed_through(&scratch.path("work"), &url));
    memory.wait_for("the first slice to be cut", |told| (!told.closed.is_empty()).then_some(()));
    drop(publisher);
    memory.wait_for("the publisher to leave", left(1));
    let before =
        memory.wait_for("the last slice", |told| (told.closed.len() == told.opened.len()).then_some(told.closed.len()));
    let _publisher = publish_moving(&format!("-f flv {url}"));
    memory.wait_for("the publisher's return", |told| (told.closed.len() > before).then_some(()));
    capture.stop();
    let told = memory.take();
    assert_valid(&told, 8);
    assert_unbroken(&told);
    let gaps: Vec<&str> = told
        .events
        .iter()
        .filter_map(|event| if let CaptureEvent::Gap { reason, .. } = event { Some(reason.as_str()) } else { None })
        .collect();
    assert!(gaps.len() == 1 && gaps[0].starts_with("the participant was away: "), "{gaps:?}");
    let restarts: Vec<usize> = (0..told.closed.len()).filter(|index| told.closed[*index].open.discontinuity).collect();
    assert_eq!(restarts, [0, before]);
    assert_eq!(complaints(&joined_file(&scratch, &told.closed)), "");
}

#[test]
fn a_pause_closes_the_slice_of_a_copy_and_a_stop_ends_the_last() {
    let scratch = Scratch::new("copy-pause");
    let url = format!("udp://127.0.0.1:{}", free_udp_port());
    let _publisher = publish_moving(&format!("-f mpegts {url}"));
    let (capture, memory) = start(passed_through(&scratch.path("work"), &url));
    memory.wait_for("the source to join", joined(1));
    record_for(&capture, Duration::from_secs(2));
    capture.set_paused(true);
    memory.wait_for("the slice to close", |told| (told.closed.len() == 1).then_some(()));
    let paused_at = capture.figures().position;
    thread::sleep(Duration::from_secs(1));
    assert_eq!(capture.figures().position, paused_at);
    capture.set_paused(false);
    memory.wait_for("the gap", |told| {
        told.events
            .iter()
            .find(|event| matches!(event, CaptureEvent::Gap { reason, .. } if reason == "paused"))
            .map(drop)
    });
    record_for(&capture, Duration::from_secs(2));
    capture.stop();
    let told = memory.take();
    assert_valid(&told, 8);
    assert_unbroken(&told);
    assert_eq!(told.closed.len(), 2);
    assert!(told.closed.iter().all(|slice| slice.open.discontinuity && slice.open.track_starts.len() == 2));
    for slice in &told.closed {
        assert_eq!(complaints(&slice.open.path), "", "each is whole");
    }
}

#[test]
fn a_work_volume_that_cannot_be_written_breaks_the_copy() {
    let scratch = Scratch::new("copy-unwritable");
    let url = format!("udp://127.0.0.1:{}", free_udp_port());
    let _publisher = publish_moving(&format!("-f mpegts {url}"));
    let mut config = passed_through(&scratch.path("work"), &url);
    config.directory = scratch.path("never-made");
    let (capture, memory) = start(config);
    let code = memory.wait_for("the capture to break", |told| {
        told.events.iter().find_map(|event| match event {
            CaptureEvent::Broken(error) => Some(error.error().code),
            _ => None,
        })
    });
    assert_eq!(code, Code::RecorderFailed);
    capture.stop();
}

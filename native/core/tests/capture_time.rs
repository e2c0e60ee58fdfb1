// SPDX-License-Identifier: Apache-2.0
//! Time: the output never has a hole, and flash and beep stay together, whatever a source does.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // measuring

mod capture_support;

use std::fs;
use std::path::Path;

use capture_support::restamp::{restamp, Unit, WRAP};
use capture_support::*;
use cloud_recording_core::capture::api::{CaptureEvent, ClosedSlice};

const SECOND: i64 = 90_000;

/// Every picture and every block of sound begins where the one before ended, over all slices, whose lengths add up.
fn assert_gapless(scratch: &Scratch, closed: &[ClosedSlice]) {
    let file = joined_file(scratch, closed);
    let (video, audio) = (ticks(&file, "v"), ticks(&file, "a"));
    let steps = |stamps: &[i64]| stamps.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    assert!(steps(&video).iter().all(|step| *step == SECOND / 15), "{:?}", steps(&video));
    assert!(steps(&audio).iter().all(|step| *step == 1920), "{:?}", steps(&audio));
    let length: u64 = closed.iter().map(|slice| slice.duration_ticks).sum();
    assert_eq!(length, video.len() as u64 * 6000);
    for pair in closed.windows(2) {
        let milliseconds = i64::try_from(pair[0].duration_ticks / 90).unwrap();
        assert!((pair[1].open.start.0 - pair[0].open.start.0 - milliseconds).abs() <= 1);
    }
}

/// The source of the tests: a flash and a beep each second, each block of sound on its own, 25 pictures a second.
fn flashing(scratch: &Scratch, name: &str, seconds: u32, more: &str) -> Vec<u8> {
    let codecs = "-c:v libx264 -preset ultrafast -tune zerolatency -g 25";
    let arguments = flash_and_beep(seconds, 48_000, codecs, "-c:a aac -ac 1");
    fs::read(source(scratch, name, &format!("{arguments} {more} -muxdelay 0 -pes_payload_size 0"))).unwrap()
}

fn record_bytes(scratch: &Scratch, bytes: &[u8]) -> Told {
    let url = scratch.path("changed.ts");
    fs::write(&url, bytes).unwrap();
    record_offline(&config(&scratch.path("work"), &[url.to_str().unwrap()]))
}

/// `at` is three seconds into the source, and so is everything that follows.
fn is_past(unit: Unit, origin: i64) -> bool {
    unit.ticks >= origin + 3 * SECOND
}

#[test]
fn time_stamps_that_jump_wrap_or_run_back_leave_no_hole_and_keep_flash_and_beep_together() {
    let scratch = Scratch::new("restamped");
    let original = flashing(&scratch, "original.ts", 8, "");
    let origin = ticks(&scratch.path("original.ts"), "v")[0];
    type Change = Box<dyn Fn(Unit) -> i64>;
    let jump = |by: i64| -> Change { Box::new(move |unit| unit.ticks + if is_past(unit, origin) { by } else { 0 }) };
    let cases: Vec<(&str, Change)> = vec![
        ("forward", jump(1000 * SECOND)),
        ("a little forward", jump(2 * SECOND)),
        ("backward", jump(-1000 * SECOND + WRAP)),
        ("a little backward", jump(-SECOND)),
        ("wrap", Box::new(move |unit| unit.ticks - origin - 3 * SECOND + WRAP)),
        // Every second picture is stamped as if it came before the one that it follows.
        ("not monotonic", Box::new(|unit| unit.ticks + if unit.video && unit.index % 2 == 1 { -5400 } else { 0 })),
        ("uneven", Box::new(|unit| unit.ticks + if unit.video { 0 } else { (unit.index as i64 * 7919) % 900 })),
    ];
    for (name, change) in cases {
        let mut bytes = original.clone();
        restamp(&mut bytes, change);
        let case = Scratch::new(&format!("restamped-{}", name.replace(' ', "-")));
        let told = record_bytes(&case, &bytes);
        assert_gapless(&case, &told.closed);
        let (flashes, beeps) = assert_in_step(&case, &told);
        assert!(flashes >= 7 && beeps >= 7, "{name}: {flashes} flashes and {beeps} beeps of 8");
        let left = told.events.iter().filter(|event| matches!(event, CaptureEvent::Left { .. })).count();
        assert_eq!(left, 1, "{name}: nobody leaves before the end");
    }
}

#[test]
fn time_stamps_that_stand_still_are_passed_over() {
    let scratch = Scratch::new("standing");
    let mut bytes = flashing(&scratch, "original.ts", 8, "");
    let origin = ticks(&scratch.path("original.ts"), "v")[0];
    restamp(&mut bytes, |unit| if is_past(unit, origin) { 0 } else { unit.ticks });
    let told = record_bytes(&scratch, &bytes);
    assert_gapless(&scratch, &told.closed);
    let (flashes, beeps) = flashes_and_beeps(&scratch, &told);
    assert!(flashes.len() >= 7 && beeps.len() >= 7, "{flashes:?} {beeps:?}");
}

fn joined_parts(scratch: &Scratch, parts: &[(&str, u32, &str, &str)]) -> Vec<u8> {
    let part = |(name, rate, video, audio): &(&str, u32, &str, &str)| {
        fs::read(source(scratch, name, &flash_and_beep(4, *rate, video, audio))).unwrap()
    };
    parts.iter().flat_map(part).collect()
}

#[test]
fn a_source_may_change_its_codecs_in_the_middle() {
    let scratch = Scratch::new("codecs");
    let parts = [
        ("first.ts", 44_100, "-c:v libx264 -preset ultrafast -g 25 -bf 2", "-c:a aac -ac 1"),
        ("second.ts", 48_000, "-s 640x360 -c:v mpeg2video -b:v 1M -g 12", "-c:a mp2 -ac 2 -mpegts_start_pid 0x300"),
        ("third.ts", 48_000, "-c:v libx264 -preset ultrafast -g 25", "-c:a ac3 -ac 6 -mpegts_start_pid 0x500"),
    ];
    let told = record_bytes(&scratch, &joined_parts(&scratch, &parts));
    assert_gapless(&scratch, &told.closed);
    let (flashes, beeps) = assert_in_step(&scratch, &told);
    assert!(flashes >= 10 && beeps >= 10, "{flashes} flashes and {beeps} beeps of 12; {:?}", told.events);
}

#[test]
fn pictures_at_uneven_times_are_shown_when_they_are_due() {
    let scratch = Scratch::new("uneven");
    // Ten pictures each second in a burst, then none until the next second begins.
    let flash = "-f lavfi -i color=c=black:size=320x180:rate=25:duration=8,drawbox=t=fill:c=white:enable='lt(mod(t,1),0.2)',select='lt(mod(n,25),10)'";
    let beep = "-f lavfi -i aevalsrc='0.4*sin(2*PI*1000*t)*lt(mod(t,1),0.2)':s=48000:d=8";
    let url = source(
        &scratch,
        "uneven.mkv",
        &format!("{flash} {beep} -fps_mode vfr -c:v libx264 -preset ultrafast -g 10 -pix_fmt yuv420p -c:a aac"),
    );
    let told = record_offline(&config(&scratch.path("work"), &[&url]));
    assert_gapless(&scratch, &told.closed);
    let (flashes, _) = assert_in_step(&scratch, &told);
    assert!(flashes >= 7, "{flashes}");
}

#[test]
fn one_who_goes_leaves_no_hole_in_any_slice() {
    let scratch = Scratch::new("going");
    let long = source(&scratch, "long.flv", &colour_and_tone("red", 440, 36.0));
    let short = source(&scratch, "short.flv", &colour_and_tone("blue", 880, 7.0));
    let told = record_offline(&config(&scratch.path("work"), &[&long, &short]));
    assert!(told.closed.len() >= 3);
    assert_gapless(&scratch, &told.closed);
}

fn slow_pictures(scratch: &Scratch) -> String {
    source(scratch, "slides.mkv", "-f lavfi -i color=c=red:size=320x180:rate=1/3:duration=24 -f lavfi -i sine=frequency=440:duration=24 -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -c:a aac")
}

#[test]
fn a_slide_show_stays_visible_between_its_pictures() {
    let scratch = Scratch::new("slides");
    let told = record_offline(&config(&scratch.path("work"), &[&slow_pictures(&scratch)]));
    let file = joined_file(&scratch, &told.closed);
    for second in 7..20 {
        let colour = colour_at(&picture(&file, f64::from(second)), 320, 160, 120);
        assert!(alike(colour, [254, 0, 0]), "{colour:?} at {second} s; {:?}", told.events);
    }
}

#[test]
fn any_reordering_of_pictures_is_undone() {
    for (name, reordering) in
        [("pyramid", "-bf 7 -b_strategy 0 -x264-params b-pyramid=normal:ref=4"), ("open", "-bf 3 -flags -cgop")]
    {
        let scratch = Scratch::new(&format!("reordered-{name}"));
        let url = source(
            &scratch,
            "reordered.ts",
            &flash_and_beep(6, 48_000, &format!("-c:v libx264 -g 50 {reordering}"), "-c:a aac"),
        );
        let told = record_offline(&config(&scratch.path("work"), &[&url]));
        assert_gapless(&scratch, &told.closed);
        let (flashes, _) = assert_in_step(&scratch, &told);
        assert!(flashes >= 5, "{name}: {flashes}");
        assert_steady(&joined_file(&scratch, &told.closed));
    }
}

/// Each flash lasts 200 ms: no picture was shown out of its order.
fn assert_steady(file: &Path) {
    let white: Vec<bool> = brightness(file).into_iter().map(|luma| luma > 128).collect();
    let runs = white.chunk_by(|a, b| a == b).filter(|run| run[0]).map(<[bool]>::len);
    assert!(runs.clone().all(|length| (2..=4).contains(&length)), "{:?}", runs.collect::<Vec<_>>());
}

/// A white flash and a beep of 200 ms each second, both to the sample, in pictures of this rate.
fn exact_flash_and_beep(scratch: &Scratch, rate: &str, container: &str) -> String {
    let name = format!("exact-{}.{container}", rate.replace('/', "-"));
    source(
        scratch,
        &name,
        &format!(
            "-f lavfi -i color=c=black:size=320x180:rate={rate}:duration=10,drawbox=t=fill:c=white:enable='lt(mod(t+0.001,1),0.2)' \
             -f lavfi -i aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.2)':s=48000:d=10 \
             -pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -c:a aac -b:a 128k"
        ),
    )
}

#[test]
fn the_composed_picture_is_within_half_a_picture_of_its_sound() {
    let scratch = Scratch::new("skew");
    // Matroska begins with the sound that the encoder needs before the first, so that no picture is due at a tick.
    let sources = [("10", "ts"), ("15", "ts"), ("15", "mkv"), ("24", "ts"), ("25", "mkv"), ("30", "ts"), ("50", "mkv")]
        .map(|(rate, container)| exact_flash_and_beep(&scratch, rate, container));
    for per_second in [15, 25, 30] {
        for url in &sources {
            let mut configuration = config(&scratch.path("work"), &[url]);
            configuration.canvas.frames_per_second = per_second;
            let told = record_offline(&configuration);
            let (flashes, beeps) = flashes_and_beeps_at(&scratch, &told, f64::from(per_second), 0.2);
            fs::remove_dir_all(scratch.path("work")).unwrap();
            // The first begins with the recording itself.
            assert!(flashes.len() >= 8, "{url} at {per_second}: {flashes:?}");
            for flash in &flashes[1..] {
                let skews = beeps.iter().map(|beep| flash - beep);
                let skew = skews.min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
                assert!(skew.abs() <= 0.5 / f64::from(per_second) + 0.006, "{url} at {per_second}: {skew} s");
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Who is there, and what of them: pictures that come seldom, sound without pictures, and the order of those who come.

mod capture_support;

use capture_support::*;
use cloud_recording_core::capture::api::{CaptureEvent, Layout, Remark};

/// One red picture each so many seconds, for 24 seconds.
fn slides(scratch: &Scratch, every: u32, sound: &str) -> String {
    let pictures = format!("-f lavfi -i color=c=red:size=320x180:rate=1/{every}:duration=24");
    let codecs = "-c:v libx264 -preset ultrafast -tune zerolatency -g 1 -pix_fmt yuv420p -c:a aac";
    source(scratch, &format!("slides-{every}.mkv"), &format!("{pictures} {sound} {codecs}"))
}

const TONE: &str = "-f lavfi -i sine=frequency=440:duration=24";

fn leavings(told: &Told) -> usize {
    told.events.iter().filter(|event| matches!(event, CaptureEvent::Left { .. })).count()
}

fn remarks(told: &Told) -> Vec<(Remark, bool)> {
    told.events.iter().filter_map(remark).collect()
}

fn remark(event: &CaptureEvent) -> Option<(Remark, bool)> {
    match event {
        CaptureEvent::Remark { remark, holds, .. } => Some((*remark, *holds)),
        _ => None,
    }
}

#[test]
fn the_last_picture_stays_while_the_connection_brings_anything() {
    for (every, sound) in [(5, TONE), (5, ""), (8, TONE), (8, "")] {
        let scratch = Scratch::new(&format!("slides-{every}-{}", sound.len()));
        let told = record_offline(&config(&scratch.path("work"), &[&slides(&scratch, every, sound)]));
        let file = joined_file(&scratch, &told.closed);
        // Without sound it is over with the beginning of the last picture.
        for second in 1..16 {
            let colour = colour_at(&picture(&file, f64::from(second)), 320, 160, 120);
            assert!(alike(colour, [254, 0, 0]), "{colour:?} at {second} s of {every} s; {:?}", told.events);
        }
        assert_eq!(leavings(&told), 1, "nobody leaves before the end: {:?}", told.events);
        assert!(remarks(&told).is_empty(), "a slow slide show is none to speak of: {:?}", told.events);
    }
}

#[test]
fn a_picture_that_stands_still_for_long_stays_and_is_told() {
    let scratch = Scratch::new("still");
    let told = record_offline(&config(&scratch.path("work"), &[&slides(&scratch, 20, TONE)]));
    let file = joined_file(&scratch, &told.closed);
    assert!(alike(colour_at(&picture(&file, 19.0), 320, 160, 120), [254, 0, 0]), "{:?}", told.events);
    assert_eq!(remarks(&told), [(Remark::StandsStill, true), (Remark::StandsStill, false)]);
}

/// A source of 24 seconds whose first picture that decoding can begin with comes after 14.
fn late_key_picture(scratch: &Scratch) -> String {
    let media = "-f lavfi -i color=c=red:size=320x180:rate=30:duration=24 -f lavfi -i sine=frequency=440:duration=24";
    let codecs = "-c:v libx264 -preset ultrafast -tune zerolatency -g 9999 -pix_fmt yuv420p -c:a aac";
    let whole = source(scratch, "whole.ts", &format!("{media} {codecs} -force_key_frames 0,15"));
    source(scratch, "late.ts", &format!("-ss 1 -i {whole} -copyinkf -c copy"))
}

#[test]
fn sound_does_not_wait_for_the_first_key_picture_and_the_wait_is_told() {
    let scratch = Scratch::new("late-key");
    let told = record_offline(&config(&scratch.path("work"), &[&late_key_picture(&scratch)]));
    let file = joined_file(&scratch, &told.closed);
    let sound = samples(&file, 0);
    let silent = sound.chunks_exact(4800).skip(5).take(200).position(|block| tone(block, 440.0) < 0.04);
    assert_eq!(silent, None, "{:?}", told.events);
    assert!(sound.len() > 21 * 48_000, "{}", sound.len());
    assert_eq!(leavings(&told), 1, "{:?}", told.events);
    assert_eq!(remarks(&told), [(Remark::AwaitsKeyPicture, true), (Remark::AwaitsKeyPicture, false)]);
    assert!(alike(colour_at(&picture(&file, 10.0), 320, 160, 120), [0, 0, 0]), "no picture yet");
    assert!(alike(colour_at(&picture(&file, 16.0), 320, 160, 120), [254, 0, 0]), "{:?}", told.events);
}

#[test]
fn pictures_that_are_never_decodable_leave_the_sound_alone() {
    let scratch = Scratch::new("no-key");
    let media = "-f lavfi -i color=c=red:size=320x180:rate=30:duration=16 -f lavfi -i sine=frequency=440:duration=16";
    let whole = source(
        &scratch,
        "whole.ts",
        &format!("{media} -c:v libx264 -preset ultrafast -tune zerolatency -g 9999 -pix_fmt yuv420p -c:a aac"),
    );
    let url = source(&scratch, "never.ts", &format!("-ss 1 -i {whole} -copyinkf -c copy"));
    let told = record_offline(&config(&scratch.path("work"), &[&url]));
    let sound = samples(&joined_file(&scratch, &told.closed), 0);
    assert!(sound.len() > 14 * 48_000, "{}; {:?}", sound.len(), told.events);
    assert_eq!(remarks(&told), [(Remark::AwaitsKeyPicture, true)]);
}

#[test]
fn those_who_are_there_already_stand_as_they_are_listed() {
    let scratch = Scratch::new("order");
    let media = |colour: &&str| source(&scratch, &format!("{colour}.ts"), &colour_and_tone(colour, 440, 8.0));
    let urls: Vec<String> = ["red", "lime", "blue"].iter().map(media).collect();
    let mut configuration = config(&scratch.path("work"), &urls.iter().map(String::as_str).collect::<Vec<_>>());
    configuration.layout = Layout::Float;
    let told = record_offline(&configuration);
    let file = joined_file(&scratch, &told.closed);
    let seen = picture(&file, 4.0);
    assert!(alike(colour_at(&seen, 320, 160, 60), [254, 0, 0]), "the first fills the canvas");
    assert!(alike(colour_at(&seen, 320, 40, 205), [0, 255, 0]), "{:?}", colour_at(&seen, 320, 40, 205));
    assert!(alike(colour_at(&seen, 320, 118, 205), [0, 0, 254]), "{:?}", colour_at(&seen, 320, 118, 205));
}

// SPDX-License-Identifier: Apache-2.0
//! Recordings of files in virtual time: what is in the slices, and how they are cut.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // measuring

mod capture_support;

use capture_support::*;
use cloud_recording_core::capture::api::{Layout, StreamKinds};

#[test]
fn one_source_becomes_slices_of_exactly_the_asked_length() {
    let scratch = Scratch::new("exact");
    let source = scratch.path("red.mp4");
    ffmpeg(&format!("{} {}", colour_and_tone("red", 440, 40.0), source.display()));
    let told = record_offline(&config(&scratch.path("work"), &[source.to_str().unwrap()]));
    let lengths: Vec<u64> = told.closed.iter().map(|slice| slice.duration_ticks).collect();
    assert_eq!(lengths[..2], [15 * 90_000, 15 * 90_000], "{:?}", told.events);
    for (open, closed) in told.opened.iter().zip(&told.closed) {
        assert_eq!(*open, closed.open);
    }
    let starts: Vec<i64> = told.closed.iter().map(|slice| slice.open.start.0).collect();
    assert_eq!(starts[1] - starts[0], 15_000);
    let file = joined_file(&scratch, &told.closed);
    let video = times(&file, "v");
    for pair in video.windows(2) {
        assert!((pair[1] - pair[0] - 1.0 / 15.0).abs() < 0.001, "{pair:?}");
    }
    for pair in times(&file, "a").windows(2) {
        assert!((pair[1] - pair[0] - 1024.0 / 48_000.0).abs() < 0.001, "{pair:?}");
    }
    let picture = picture(&file, 20.0);
    assert!(alike(colour_at(&picture, 320, 160, 120), [254, 0, 0]));
    let sound = samples(&file, 0);
    assert!(tone(&sound[48_000..96_000], 440.0) > 0.05);
    assert!(tone(&sound[48_000..96_000], 660.0) < 0.01);
}

/// What the four corners and the middle of each quarter of the canvas show.
const QUARTERS: [(usize, usize); 4] = [(80, 60), (240, 60), (80, 180), (240, 180)];

#[test]
fn every_participant_is_seen_in_its_region_and_heard_in_the_mix() {
    let scratch = Scratch::new("four");
    let colours = [("red", [254, 0, 0], 440), ("lime", [0, 255, 0], 660), ("blue", [0, 0, 254], 880)];
    let urls: Vec<String> = colours
        .iter()
        .map(|(colour, _, hertz)| source(&scratch, &format!("{colour}.flv"), &colour_and_tone(colour, *hertz, 6.0)))
        .collect();
    let told = record_offline(&config(&scratch.path("work"), &urls.iter().map(String::as_str).collect::<Vec<_>>()));
    let file = joined_file(&scratch, &told.closed);
    let (picture, sound) = (picture(&file, 3.0), samples(&file, 0));
    let mut seen: Vec<[i32; 3]> = QUARTERS.iter().map(|(x, y)| colour_at(&picture, 320, *x, *y)).collect();
    assert!(alike(seen.pop().unwrap(), [0, 0, 0]), "a free cell shows the background");
    for (_, colour, hertz) in colours {
        assert!(seen.iter().any(|found| alike(*found, colour)), "{colour:?} in {seen:?}");
        assert!(tone(&sound[96_000..144_000], hertz as f32) > 0.05, "{hertz} Hz");
    }
    assert!(tone(&sound[96_000..144_000], 550.0) < 0.01);
}

#[test]
fn who_leaves_makes_room_and_the_output_never_stops() {
    let scratch = Scratch::new("leaving");
    let short = source(&scratch, "short.flv", &colour_and_tone("red", 440, 3.0));
    let long = source(&scratch, "long.flv", &colour_and_tone("blue", 880, 8.0));
    let told = record_offline(&config(&scratch.path("work"), &[&short, &long]));
    let file = joined_file(&scratch, &told.closed);
    let before = picture(&file, 1.5);
    let left = colour_at(&before, 320, 80, 120);
    assert!(alike(left, [254, 0, 0]) || alike(left, [0, 0, 254]), "two halves: {left:?}");
    let after = picture(&file, 6.0);
    for x in [40, 160, 280] {
        assert!(alike(colour_at(&after, 320, x, 120), [0, 0, 254]), "the remaining one fills the canvas");
    }
    let sound = samples(&file, 0);
    assert!(tone(&sound[5 * 48_000..6 * 48_000], 440.0) < 0.01);
    assert!(tone(&sound[5 * 48_000..6 * 48_000], 880.0) > 0.05);
    let video = times(&file, "v");
    assert!(video.windows(2).all(|pair| (pair[1] - pair[0] - 1.0 / 15.0).abs() < 0.001));
}

#[test]
fn flashes_and_beeps_stay_together_whatever_carries_them() {
    for (name, rate, video, audio) in [
        ("plain.flv", 48_000, "-c:v libx264 -preset ultrafast -tune zerolatency -g 25", "-c:a aac"),
        ("reordered.ts", 44_100, "-c:v libx264 -preset veryfast -bf 3 -g 50", "-c:a aac -ac 2"),
        ("surround.mkv", 44_100, "-c:v mpeg4 -b:v 500k", "-c:a ac3 -ac 6"),
    ] {
        let scratch = Scratch::new(&format!("skew-{rate}-{}", &name[..4]));
        let url = source(&scratch, name, &flash_and_beep(8, rate, video, audio));
        let told = record_offline(&config(&scratch.path("work"), &[&url]));
        assert_in_step(&scratch, &told);
    }
}

#[test]
fn a_source_may_change_its_picture_its_sound_and_its_times_in_the_middle() {
    let scratch = Scratch::new("changes");
    let first = source(&scratch, "first.ts", &flash_and_beep(5, 44_100, "-c:v libx264 -g 25 -bf 2", "-c:a aac -ac 1"));
    let second = source(
        &scratch,
        "second.ts",
        &(flash_and_beep(5, 48_000, "-s 640x480 -c:v libx264 -g 25", "-c:a aac -ac 2") + " -output_ts_offset 5000"),
    );
    let third = source(
        &scratch,
        "third.ts",
        &(flash_and_beep(5, 32_000, "-s 176x144 -c:v libx264 -g 25", "-c:a aac -ac 1") + " -output_ts_offset 30"),
    );
    let bytes: Vec<u8> = [&first, &second, &third].iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let url = scratch.path("all.ts");
    std::fs::write(&url, bytes).unwrap();
    let told = record_offline(&config(&scratch.path("work"), &[url.to_str().unwrap()]));
    let recorded: u64 = told.closed.iter().map(|slice| slice.duration_ticks).sum();
    assert!(recorded > 14 * 90_000, "all three parts are recorded, not {recorded} ticks; {:?}", told.events);
    assert_in_step(&scratch, &told);
}

#[test]
fn a_video_only_recording_has_no_sound() {
    let scratch = Scratch::new("silent");
    let url = source(&scratch, "source.flv", &colour_and_tone("red", 440, 4.0));
    let mut config = config(&scratch.path("work"), &[&url]);
    config.kinds = StreamKinds::VideoOnly;
    let told = record_offline(&config);
    let file = joined_file(&scratch, &told.closed);
    assert!(times(&file, "a").is_empty());
    assert!(times(&file, "v").len() > 50);
}

#[test]
fn an_audio_only_slice_is_cut_within_one_block_of_sound() {
    let scratch = Scratch::new("audio-slices");
    let url = source(&scratch, "source.mkv", "-f lavfi -i sine=frequency=440:duration=35 -c:a aac");
    let mut config = config(&scratch.path("work"), &[&url]);
    config.kinds = StreamKinds::AudioOnly;
    let told = record_offline(&config);
    for slice in &told.closed[..2] {
        assert!((15 * 90_000..=15 * 90_000 + 1920).contains(&slice.duration_ticks), "{}", slice.duration_ticks);
    }
}

#[test]
fn float_lays_small_pictures_over_the_first_and_lets_it_be_seen_where_there_is_only_sound() {
    let scratch = Scratch::new("float");
    let tone_only = source(&scratch, "tone.mkv", "-f lavfi -i sine=frequency=660:duration=6 -c:a aac");
    let red = source(&scratch, "red.flv", &colour_and_tone("red", 440, 6.0));
    // The small region is 4..80 across and 180..236 down. Who comes together stands as listed: the first has the whole canvas.
    for (work, urls, behind) in
        [("tone-above", [&red, &tone_only], [254, 0, 0]), ("red-above", [&tone_only, &red], [0, 0, 0])]
    {
        let mut config = config(&scratch.path(work), &urls.map(String::as_str));
        config.layout = Layout::Float;
        let told = record_offline(&config);
        let picture = picture(&joined_file(&scratch, &told.closed), 3.0);
        assert!(alike(colour_at(&picture, 320, 40, 208), [254, 0, 0]), "{work}: small and red, or nothing over red");
        assert!(alike(colour_at(&picture, 320, 200, 60), behind), "{work}: the first behind");
    }
}

#[test]
fn vertical_shows_the_chosen_user_whole_and_the_others_at_the_right_edge() {
    let scratch = Scratch::new("vertical");
    let red = source(&scratch, "red.flv", &colour_and_tone("red", 440, 6.0));
    let blue = source(&scratch, "blue.flv", &colour_and_tone("blue", 880, 6.0));
    let mut config = config(&scratch.path("work"), &[&red, &blue]);
    (config.layout, config.max_resolution_uid) = (Layout::Vertical, 2);
    let told = record_offline(&config);
    let picture = picture(&joined_file(&scratch, &told.closed), 3.0);
    // 256x240 is left of the small column; a picture of 16:9 fits into it as 256x144 with bands above and below.
    assert!(alike(colour_at(&picture, 320, 128, 120), [0, 0, 254]), "the chosen one in the middle");
    assert!(alike(colour_at(&picture, 320, 128, 20), [0, 0, 0]), "a band above it");
    assert!(alike(colour_at(&picture, 320, 288, 30), [254, 0, 0]), "the other one at the right edge");
    assert!(alike(colour_at(&picture, 320, 288, 200), [0, 0, 0]), "background below");
}

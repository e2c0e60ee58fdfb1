// SPDX-License-Identifier: Apache-2.0
//! Recordings of files in virtual time: what is in the slices, and how they are cut.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // measuring

mod capture_support;

use capture_support::*;

#[test]
fn one_source_becomes_slices_of_exactly_the_asked_length() {
    let scratch = Scratch::new("exact");
    let source = scratch.path("red.mp4");
    ffmpeg(&format!("{} {}", colour_and_tone("red", 440, 40.0), source.display()));
    let told = record_offline(config(&scratch.path("work"), &[source.to_str().unwrap()]));
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

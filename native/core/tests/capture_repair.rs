// SPDX-License-Identifier: Apache-2.0
//! A slice that a killed process left behind is cut to what is whole, measured, and playable.

mod capture_support;

use std::fs;
use std::path::Path;

use capture_support::*;
use cloud_recording_core::capture::api::{ClosedSlice, StreamKinds};
use cloud_recording_core::capture::repair;

fn one_slice(scratch: &Scratch, kinds: StreamKinds) -> ClosedSlice {
    let source = scratch.path("red.flv");
    ffmpeg(&format!("{} {}", colour_and_tone("red", 440, 6.0), source.display()));
    let mut config = config(&scratch.path("work"), &[source.to_str().unwrap()]);
    config.kinds = kinds;
    record_offline(&config).closed.remove(0)
}

/// Cuts the file as a kill would, at any byte.
fn crash_at(slice: &ClosedSlice, whole: &[u8], length: usize) {
    fs::write(&slice.open.path, &whole[..length]).unwrap();
}

fn span(file: &Path, stream: &str) -> f64 {
    let mut all = times(file, stream);
    all.sort_by(f64::total_cmp);
    all.last().unwrap() - all[0]
}

#[test]
fn what_is_whole_of_a_cut_slice_is_kept_and_measured() {
    let scratch = Scratch::new("repair");
    let slice = one_slice(&scratch, StreamKinds::AudioVideo);
    let whole = fs::read(&slice.open.path).unwrap();
    for length in [whole.len(), whole.len() * 2 / 3, whole.len() / 2 + 77, whole.len() / 3 + 1] {
        crash_at(&slice, &whole, length);
        let repaired = repair(&slice.open).unwrap().expect("most of it is playable");
        let kept = fs::read(&slice.open.path).unwrap();
        assert_eq!(repaired.bytes, kept.len() as u64);
        assert_eq!(kept.len() % 188, 0);
        assert!(kept.len() <= length && kept[..] == whole[..kept.len()], "only the end is cut");
        let measured = f64::from(u32::try_from(repaired.duration_ticks).unwrap()) / 90_000.0;
        let played = span(&slice.open.path, "v") + 1.0 / 15.0;
        assert!((measured - played).abs() < 0.01, "{measured} for {played}");
        assert_eq!(repaired.open, slice.open);
        let again = repair(&slice.open).unwrap().expect("still playable");
        assert!(again.bytes <= repaired.bytes);
        assert!(alike(colour_at(&picture(&slice.open.path, 0.5), 320, 160, 120), [254, 0, 0]));
    }
}

#[test]
fn a_slice_with_sound_alone_is_measured_by_its_sound() {
    let scratch = Scratch::new("repair-audio");
    let slice = one_slice(&scratch, StreamKinds::AudioOnly);
    let whole = fs::read(&slice.open.path).unwrap();
    crash_at(&slice, &whole, whole.len() / 2 + 50);
    let repaired = repair(&slice.open).unwrap().expect("sound is playable");
    let measured = f64::from(u32::try_from(repaired.duration_ticks).unwrap()) / 90_000.0;
    assert!((measured - span(&slice.open.path, "a")).abs() < 0.25, "{measured}");
}

#[test]
fn a_slice_with_nothing_playable_is_removed() {
    let scratch = Scratch::new("repair-nothing");
    let slice = one_slice(&scratch, StreamKinds::AudioVideo);
    let whole = fs::read(&slice.open.path).unwrap();
    for length in [0, 100, 188 * 2, 188 * 4] {
        crash_at(&slice, &whole, length);
        assert_eq!(repair(&slice.open).unwrap(), None, "{length} bytes");
        assert!(!slice.open.path.exists());
        assert_eq!(repair(&slice.open).unwrap(), None, "a file that never was");
    }
    fs::write(&slice.open.path, vec![0xff; 100_000]).unwrap();
    assert_eq!(repair(&slice.open).unwrap(), None, "noise");
}

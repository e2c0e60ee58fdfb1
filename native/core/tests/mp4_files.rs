// SPDX-License-Identifier: Apache-2.0
//! MP4 files of recorded slices: nothing is encoded again, everything lies where the playlist has it.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // measuring

mod capture_support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use capture_support::*;
use cloud_recording_core::capture::api::{CaptureConfig, ClosedSlice, Passthrough, StreamKinds};
use cloud_recording_core::mp4::{self, Mp4Error, SliceInput};

fn slices(closed: &[ClosedSlice]) -> Vec<SliceInput> {
    closed
        .iter()
        .map(|slice| SliceInput { path: slice.open.path.clone(), ticks: slice.duration_ticks, temporary: false })
        .collect()
}

fn make(scratch: &Scratch, slices: &[SliceInput]) -> Result<PathBuf, Mp4Error> {
    let path = scratch.path("film.mp4");
    mp4::make(slices.to_vec(), slices.len(), &path, &AtomicBool::new(false)).map(|()| path)
}

/// A recording of a flash and a beep each second.
fn recorded(scratch: &Scratch, name: &str, change: impl FnOnce(&mut CaptureConfig)) -> Vec<ClosedSlice> {
    let source = scratch.path(&format!("{name}.flv"));
    let flashes = "color=c=black:size=320x180:rate=25:duration=7,drawbox=t=fill:c=white:enable='lt(mod(t,1),0.2)'";
    let beeps = "sine=frequency=1000:sample_rate=48000:duration=7,volume='if(lt(mod(t,1),0.2),4,0)':eval=frame";
    ffmpeg(&format!(
        "-f lavfi -i {flashes} -f lavfi -i {beeps} -pix_fmt yuv420p -c:v libx264 -g 25 -c:a aac {}",
        source.display()
    ));
    let mut config = config(&scratch.path(name), &[source.to_str().unwrap()]);
    config.slice = std::time::Duration::from_secs(2);
    change(&mut config);
    record_offline(&config).closed
}

/// What the packets are made of, by stream, whatever container they lie in.
fn hashes(file: &Path) -> String {
    let video = "-c:v copy -bsf:v h264_mp4toannexb,filter_units=remove_types=7-9";
    let in_mp4 = file.extension().is_some_and(|extension| extension == "mp4");
    let audio = if in_mp4 { "-c:a copy" } else { "-c:a copy -bsf:a aac_adtstoasc" };
    let arguments = format!("-v error -i {} -map 0:v? -map 0:a? {video} {audio} -f streamhash -", file.display());
    let done = Command::new("ffmpeg").args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn nothing_is_encoded_again_and_the_index_is_in_front() {
    let scratch = Scratch::new("mp4-copy");
    let closed = recorded(&scratch, "work", |_| {});
    assert!(closed.len() >= 3);
    let film = make(&scratch, &slices(&closed)).unwrap();
    assert_eq!(hashes(&film), hashes(&joined_file(&scratch, &closed)));
    let bytes = std::fs::read(&film).unwrap();
    let at = |name: &[u8]| bytes.windows(4).position(|window| window == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
}

#[test]
fn a_hole_between_slices_takes_no_time_and_moves_neither_sound_nor_picture() {
    let scratch = Scratch::new("mp4-hole");
    let closed = recorded(&scratch, "work", |_| {});
    // The second is missing, and another recorder goes on behind the third: its clock begins anew.
    let resumed = recorded(&scratch, "resumed", |_| {});
    let kept: Vec<ClosedSlice> = [&closed[..1], &closed[2..3], &resumed[..2]].concat();
    let film = make(&scratch, &slices(&kept)).unwrap();
    let (mut at, video, audio) = (0.0, times(&film, "v"), times(&film, "a"));
    for slice in &kept {
        let of_slice = |stream: &str| times(&slice.open.path, stream);
        let (pictures, sounds) = (of_slice("v"), of_slice("a"));
        let nearest =
            |times: &[f64], time: f64| times.iter().map(|found| (found - time).abs()).min_by(f64::total_cmp).unwrap();
        for picture in &pictures {
            assert!(nearest(&video, at + picture - pictures[0]) < 0.0001, "{picture} of {slice:?}");
        }
        for sound in &sounds {
            assert!(nearest(&audio, at + sound - pictures[0]) < 0.0001, "{sound} of {slice:?}");
        }
        at += slice.duration_ticks as f64 / 90_000.0;
    }
    assert!((video.last().unwrap() + 1.0 / 15.0 - at).abs() < 0.001);
}

#[test]
fn a_recording_of_one_track_becomes_a_file_of_one_track() {
    for (name, kinds) in [("sound", StreamKinds::AudioOnly), ("picture", StreamKinds::VideoOnly)] {
        let scratch = Scratch::new(&format!("mp4-{name}"));
        let closed = recorded(&scratch, "work", |config| config.kinds = kinds);
        let film = make(&scratch, &slices(&closed)).unwrap();
        assert_eq!(times(&film, "v").is_empty(), kinds == StreamKinds::AudioOnly);
        assert_eq!(times(&film, "a").is_empty(), kinds == StreamKinds::VideoOnly);
        let seconds: f64 = closed.iter().map(|slice| slice.duration_ticks as f64 / 90_000.0).sum();
        let stream = if kinds == StreamKinds::AudioOnly { "a" } else { "v" };
        assert!((times(&film, stream).last().unwrap() - seconds).abs() < 0.1);
    }
}

#[test]
fn what_one_file_cannot_hold_is_told_by_the_slice_where_it_begins() {
    let scratch = Scratch::new("mp4-changed");
    let closed = recorded(&scratch, "work", |_| {});
    let larger = recorded(&scratch, "larger", |config| config.canvas.width = 640);
    let mixed = slices(&[&closed[..1], &larger[..1]].concat());
    let Err(Mp4Error::Changed(path)) = make(&scratch, &mixed) else { panic!("it was made") };
    assert_eq!(path, mixed[1].path);
    let missing = SliceInput { path: scratch.path("missing.ts"), ticks: 1, temporary: false };
    assert!(
        matches!(make(&scratch, std::slice::from_ref(&missing)), Err(Mp4Error::Unreadable(path, _)) if path == missing.path)
    );
}

#[test]
fn it_can_be_called_off() {
    let scratch = Scratch::new("mp4-stop");
    let closed = recorded(&scratch, "work", |_| {});
    let stopped = mp4::make(slices(&closed), closed.len(), &scratch.path("film.mp4"), &AtomicBool::new(true));
    assert_eq!(stopped, Err(Mp4Error::Stopped));
    let fewer = mp4::make(slices(&closed[1..]), closed.len(), &scratch.path("film.mp4"), &AtomicBool::new(false));
    assert_eq!(fewer, Err(Mp4Error::Stopped));
}

#[test]
fn a_temporary_slice_goes_once_it_was_read() {
    let scratch = Scratch::new("mp4-temporary");
    let closed = recorded(&scratch, "work", |_| {});
    let mut slices = slices(&closed);
    slices[1].temporary = true;
    make(&scratch, &slices).unwrap();
    let left: Vec<bool> = slices.iter().map(|slice| slice.path.exists()).collect();
    assert_eq!(left[..3], [true, false, true]);
}

#[test]
fn slides_last_as_long_as_the_playlist_says() {
    let scratch = Scratch::new("mp4-slides");
    let slides = "-f lavfi -i testsrc=size=320x180:rate=1/20:duration=60 -f lavfi -i sine=duration=49.9 \
         -pix_fmt yuv420p -c:v libx264 -tune zerolatency -g 1 -c:a aac";
    let url = source(&scratch, "slides.flv", slides);
    let mut config = config(&scratch.path("work"), &[&url]);
    config.slice = std::time::Duration::from_secs(15);
    config.passthrough = Some(Passthrough { longest_slice: std::time::Duration::from_secs(30) });
    let closed = record_offline(&config).closed;
    let listed: f64 = closed.iter().map(|slice| slice.duration_ticks as f64 / 90_000.0).sum();
    let film = make(&scratch, &slices(&closed)).unwrap();
    assert_eq!(times(&film, "v"), [0.0, 20.0, 40.0]);
    let told: f64 = probe(&film, "v", "format=duration")[0].parse().unwrap();
    assert!((told - listed).abs() < 0.1, "{told} s, but the playlist lists {listed} s");
    assert!((listed - 49.9).abs() < 0.3, "{listed} s of 49.9");
}

// SPDX-License-Identifier: Apache-2.0
//! Pictures upright and whole: turned as containers and streams say, and of two fields one picture.

mod capture_support;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use capture_support::*;
use cloud_recording_core::capture::api::{CanvasConfig, CaptureConfig, Passthrough};
use cloud_recording_core::mp4;

const QUARTERS: [[i32; 3]; 4] = [[254, 0, 0], [0, 255, 0], [0, 0, 254], [254, 254, 0]];

/// A picture whose quarters (upper left, upper right, lower left, lower right) are red, lime, blue and yellow.
fn quarters(width: u32, height: u32, seconds: u32) -> String {
    format!(
        "-f lavfi -i color=c=red:size={width}x{height}:rate=10:duration={seconds},drawbox=x=iw/2:y=0:w=iw/2:h=ih/2:t=fill:c=lime,\
         drawbox=x=0:y=ih/2:w=iw/2:h=ih/2:t=fill:c=blue,drawbox=x=iw/2:y=ih/2:w=iw/2:h=ih/2:t=fill:c=yellow \
         -c:v libx264 -preset ultrafast -g 10 -pix_fmt yuv420p"
    )
}

fn small(directory: &Path, url: &str, (width, height): (u32, u32)) -> CaptureConfig {
    let mut config = config(directory, &[url]);
    config.canvas = CanvasConfig { width, height, frames_per_second: 10, bitrate_kbps: 1000 };
    config
}

/// Which of the quarters is seen in each, at that second.
fn seen(file: &Path, second: f64, (width, height): (usize, usize)) -> [usize; 4] {
    let picture = picture(file, second);
    let at = |x: usize, y: usize| {
        let colour = colour_at(&picture, width, x * width / 8, y * height / 8);
        QUARTERS.iter().position(|quarter| alike(*quarter, colour)).unwrap_or_else(|| panic!("{colour:?} at {x}, {y}"))
    };
    [at(1, 1), at(7, 1), at(1, 7), at(7, 7)]
}

fn recorded(scratch: &Scratch, name: &str, url: &str, size: (u32, u32)) -> std::path::PathBuf {
    let told = record_offline(&small(&scratch.path(name), url, size));
    joined_file(scratch, &told.closed)
}

/// What a message says (flips first, then degrees anticlockwise as the filter counts them), and which quarters are seen then.
const MESSAGES: [(&str, [usize; 4]); 8] = [
    ("rotate=0", [0, 1, 2, 3]),
    ("flip=horizontal", [1, 0, 3, 2]),
    ("flip=vertical", [2, 3, 0, 1]),
    ("rotate=180", [3, 2, 1, 0]),
    ("rotate=90", [1, 3, 0, 2]),
    ("rotate=-90", [2, 0, 3, 1]),
    ("rotate=90:flip=horizontal", [0, 2, 1, 3]),
    ("rotate=90:flip=vertical", [3, 1, 2, 0]),
];

#[test]
fn all_eight_orientations_that_a_stream_states_come_out_upright_in_their_shape() {
    let scratch = Scratch::new("messages");
    for (index, (message, expected)) in MESSAGES.into_iter().enumerate() {
        let bsf = format!("-bsf:v h264_metadata=display_orientation=insert:{message}");
        let url = source(&scratch, &format!("{index}.ts"), &format!("{} {bsf}", quarters(160, 80, 2)));
        // As high as it is wide the other way round: nothing is cut off.
        let size = if index < 4 { (160, 80) } else { (80, 160) };
        let file = recorded(&scratch, &format!("work-{index}"), &url, size);
        for second in [0.3, 1.5] {
            assert_eq!(seen(&file, second, (size.0 as usize, size.1 as usize)), expected, "{message} at {second} s");
        }
    }
}

/// The same stream in a container that says that it is to be turned.
fn turned_file(scratch: &Scratch, name: &str, seconds: u32, more: &str) -> String {
    let plain = source(scratch, &format!("{name}-plain.mp4"), &quarters(160, 80, seconds));
    source(scratch, name, &format!("-i {plain} -c copy -metadata:s:v rotate=90 {more}"))
}

#[test]
fn what_a_container_states_is_followed_in_files_and_in_playlists() {
    let scratch = Scratch::new("containers");
    let file = turned_file(&scratch, "turned.mp4", 2, "");
    let playlist = scratch.path("turned.m3u8").to_str().unwrap().to_owned();
    let fragments = scratch.path("fragments.mp4").to_str().unwrap().to_owned();
    ffmpeg(&format!("-i {file} -c copy -movflags frag_keyframe+empty_moov+default_base_moof {fragments}"));
    let lines = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfragments.mp4\n#EXT-X-ENDLIST\n";
    fs::write(&playlist, lines).unwrap();
    let stated = probe(Path::new(&file), "v", "stream_side_data=rotation");
    for (index, url) in [&file, &playlist].into_iter().enumerate() {
        let recording = recorded(&scratch, &format!("work-{index}"), url, (80, 160));
        // As ffmpeg itself shows it.
        let upright = scratch.path("upright.mkv");
        ffmpeg(&format!("-i {file} -c:v libx264 -qp 0 {}", upright.to_str().unwrap()));
        assert_eq!(seen(&recording, 0.8, (80, 160)), seen(&upright, 0.8, (80, 160)), "{url}: {stated:?}");
        assert_ne!(seen(&recording, 0.8, (80, 160)), [0, 1, 2, 3]);
    }
}

#[test]
fn a_change_of_orientation_is_followed_at_its_key_picture_and_one_without_a_message_is_as_it_came() {
    let scratch = Scratch::new("changing-orientation");
    let part = |name: &str, bsf: &str| source(&scratch, name, &format!("{} {bsf}", quarters(80, 80, 2)));
    let turned = part("turned.ts", "-bsf:v h264_metadata=display_orientation=insert:rotate=180");
    let plain = part("plain.ts", "");
    let list = [&plain, &turned, &plain].map(|path| format!("file '{path}'\n")).concat();
    fs::write(scratch.path("list"), list).unwrap();
    let url = scratch.path("all.mkv").to_str().unwrap().to_owned();
    ffmpeg(&format!("-f concat -safe 0 -i {} -c copy {url}", scratch.path("list").to_str().unwrap()));
    let file = recorded(&scratch, "work", &url, (80, 80));
    let expected = [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 2.5), ([3, 2, 1, 0], 3.0), ([0, 1, 2, 3], 5.0)];
    for (quarters, second) in expected {
        assert_eq!(seen(&file, second, (80, 80)), quarters, "at {second} s");
    }
}

#[test]
fn passthrough_keeps_messages_and_carries_a_containers_orientation_into_slices_and_mp4() {
    let scratch = Scratch::new("carried");
    let contained = turned_file(&scratch, "turned.mp4", 4, "");
    let bsf = "-bsf:v h264_metadata=display_orientation=insert:rotate=90";
    let told_by_itself = source(&scratch, "told.ts", &format!("{} {bsf}", quarters(160, 80, 4)));
    for (index, url) in [contained, told_by_itself].iter().enumerate() {
        let mut config = small(&scratch.path(&format!("copy-{index}")), url, (80, 160));
        config.passthrough = Some(Passthrough { longest_slice: Duration::from_secs(8) });
        let told = record_offline(&config);
        let slices = joined_file(&scratch, &told.closed);
        let kept = probe(&slices, "v", "frame_side_data=rotation");
        assert!(!kept.is_empty(), "{url}: each key picture says how it lies");
        let film = scratch.path(&format!("{index}.mp4"));
        let parts = told.closed.iter().map(|slice| mp4::SliceInput {
            path: slice.open.path.clone(),
            ticks: slice.duration_ticks,
            temporary: false,
        });
        mp4::make(parts, told.closed.len(), &film, &AtomicBool::new(false)).expect("an MP4");
        assert_eq!(probe(&film, "v", "stream_side_data=rotation"), [kept[0].clone()], "{url}");
        // Composing the copy shows what composing the original shows.
        let original = recorded(&scratch, &format!("original-{index}"), url, (80, 160));
        let copy = recorded(&scratch, &format!("composed-{index}"), slices.to_str().unwrap(), (80, 160));
        assert_eq!(seen(&copy, 1.0, (80, 160)), seen(&original, 1.0, (80, 160)), "{url}");
    }
}

#[test]
fn a_container_that_states_the_shape_of_samples_is_followed() {
    let scratch = Scratch::new("shape");
    let plain = source(&scratch, "plain.mp4", &quarters(80, 80, 2));
    let url = source(&scratch, "wide.mkv", &format!("-i {plain} -c copy -aspect 2:1"));
    let file = recorded(&scratch, "work", &url, (160, 80));
    // All of it is seen where its shape is that of the canvas; of a square one half would be cut off.
    assert_eq!(seen(&file, 0.8, (160, 80)), [0, 1, 2, 3]);
    let picture = picture(&file, 0.8);
    let lime = colour_at(&picture, 160, 90, 8);
    assert!(alike(lime, QUARTERS[1]), "{lime:?}");
}

/// How many of a thousand samples stick out from both lines beside them, while those are alike: the teeth of a comb.
fn combed(file: &Path, (width, height): (usize, usize)) -> f64 {
    let luma = ["-vf", "format=gray", "-f", "rawvideo", "-"];
    let bytes = run_ffmpeg(&[&["-i", file.to_str().unwrap()], &luma[..]].concat());
    let (mut teeth, mut all) = (0_u32, 0_u32);
    for frame in bytes.chunks_exact(width * height) {
        for y in 2..height - 2 {
            for x in 0..width {
                let at = |line: usize| i32::from(frame[line * width + x]);
                let out = |other: usize| at(y) - at(other);
                let sticks = out(y - 1).min(out(y + 1)) > 24 || out(y - 1).max(out(y + 1)) < -24;
                teeth += u32::from(sticks && (at(y - 1) - at(y + 1)).abs() < 12 && (at(y - 2) - at(y)).abs() < 12);
                all += 1;
            }
        }
    }
    1000.0 * f64::from(teeth) / f64::from(all)
}

/// A block that moves to the right by some samples each field, over a ground that rests: 50 fields a second.
const MOVING: &str = "-f lavfi -i color=c=0x404040:size=320x240:rate=50:duration=2 \
                      -f lavfi -i color=c=0xe0e0e0:size=60x120:rate=50:duration=2 \
                      -filter_complex overlay=x='mod(n*6,260)':y=60:eval=frame";

#[test]
fn interlaced_pictures_do_not_comb_whichever_field_comes_first_and_however_they_are_coded() {
    let scratch = Scratch::new("interlaced");
    let size = (320, 240);
    let cases = [
        ("mpeg2-top.ts", ",interlace=scan=tff:lowpass=off -c:v mpeg2video -b:v 8M -flags +ildct+ilme"),
        ("h264-top.ts", ",interlace=scan=tff:lowpass=off -c:v libx264 -preset ultrafast -qp 10 -flags +ildct+ilme"),
        ("h264-bottom.ts", ",interlace=scan=bff:lowpass=off -c:v libx264 -preset ultrafast -qp 10 -x264-params bff=1"),
        (
            "hevc-fields.mkv",
            ",interlace=scan=tff:lowpass=off,separatefields -c:v libx265 -preset ultrafast -x265-params interlace=tff:log-level=none:qp=10",
        ),
    ];
    for (name, coded) in cases {
        let url = source(&scratch, name, &format!("{MOVING}{coded} -pix_fmt yuv420p"));
        let mut config = small(&scratch.path(&format!("work-{name}")), &url, (320, 240));
        (config.canvas.frames_per_second, config.canvas.bitrate_kbps) = (25, 4000);
        let told = record_offline(&config);
        let file = joined_file(&scratch, &told.closed);
        let found = combed(&file, size);
        assert!(found < 0.05, "{name}: {found} of 1000 samples comb");
        assert!(times(&file, "v").len() >= 45, "{name}: as many pictures as there were");
    }
    let plain = scratch.path("plain.mkv");
    ffmpeg(&format!(
        "-i {} -c:v libx264 -qp 5 {}",
        scratch.path("h264-top.ts").to_str().unwrap(),
        plain.to_str().unwrap()
    ));
    assert!(combed(&plain, size) > 5.0, "the source itself combs");
}

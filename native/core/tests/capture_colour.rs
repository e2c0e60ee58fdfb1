// SPDX-License-Identifier: Apache-2.0
//! Colours as they were meant, however a source codes them: bars of sRGB come out as the bars that they were.

mod capture_support;

use std::path::Path;

use capture_support::*;
use cloud_recording_core::capture::api::{CanvasConfig, CaptureConfig};

/// 75 % bars between white and black, by what sRGB calls them.
const BARS: [[i32; 3]; 8] = [
    [255, 255, 255],
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
];

/// What a good transcode may be off: rounding to 8 bits, twice.
const TOLERANCE: i32 = 3;

/// The bars side by side as a source of `ffmpeg`, in RGB.
fn bars(width: u32, height: u32) -> String {
    let boxes = BARS.iter().enumerate().map(|(index, [red, green, blue])| {
        format!(",drawbox=x={index}*iw/8:y=0:w=iw/8:h=ih:t=fill:c=0x{red:02x}{green:02x}{blue:02x}")
    });
    let boxes: String = boxes.collect();
    format!("-f lavfi -i color=c=black:size={width}x{height}:rate=5:duration=2,format=gbrp{boxes}")
}

/// A source of the bars: `filter` makes of RGB what is encoded, `codec` says how and what is stated.
fn source_of(scratch: &Scratch, name: &str, size: (u32, u32), filter: &str, codec: &str) -> String {
    source(scratch, name, &format!("{} -vf {filter} {codec}", bars(size.0, size.1)))
}

fn canvas_config(directory: &Path, urls: &[&str], (width, height): (u32, u32)) -> CaptureConfig {
    let mut config = config(directory, urls);
    config.canvas = CanvasConfig { width, height, frames_per_second: 5, bitrate_kbps: 6000 };
    config
}

/// The recorded picture, read as the recording states it and by a library other than the recorder's own.
fn recorded(scratch: &Scratch, urls: &[&str], canvas: (u32, u32)) -> Vec<[u8; 3]> {
    let work = scratch.path(&format!("work-{}-{}", canvas.0, canvas.1));
    let told = record_offline(&canvas_config(&work, urls, canvas));
    shown(&joined_file(scratch, &told.closed), 0.8)
}

fn shown(file: &Path, second: f64) -> Vec<[u8; 3]> {
    let at = format!("{second}");
    let to_rgb = ["-vf", "zscale=matrix=gbr:range=full,format=gbrp,format=rgb24"];
    let one = ["-frames:v", "1", "-f", "rawvideo", "-"];
    let bytes = run_ffmpeg(&[&["-i", file.to_str().unwrap(), "-ss", &at], &to_rgb[..], &one[..]].concat());
    bytes.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

/// How far the bars in this part of a picture, `left` to `right`, are from what they were at worst.
fn worst(picture: &[[u8; 3]], (width, height): (u32, u32), (left, right): (u32, u32), dark: i32) -> (i32, String) {
    let seen = (0..).zip(BARS).map(|(index, bar): (u32, _)| {
        let x = left + (right - left) * (2 * index + 1) / 16;
        let seen = colour_at(picture, width as usize, x as usize, height as usize / 2);
        // What is subtracted to nothing on the way through light has the steps of the source's numbers left, which nobody sees
        // beside the rest: where ffmpeg's zscale is off by up to 16, too.
        let off = |(seen, bar): (&i32, i32)| if bar == 0 { (seen - dark).max(0) } else { (seen - bar).abs() };
        let off = seen.iter().zip(bar).map(off).max().unwrap_or(0);
        (off, format!("{seen:?} instead of {bar:?}"))
    });
    seen.max_by_key(|(off, _)| *off).expect("bars")
}

fn assert_bars(case: &str, url: &str, canvas: (u32, u32), dark: i32) {
    let scratch = Scratch::new(&format!("colour-{case}"));
    let (off, what) = worst(&recorded(&scratch, &[url], canvas), canvas, (0, canvas.0), dark);
    assert!(off <= TOLERANCE, "{case} on {canvas:?}: {what}");
}

const X264: &str = "-c:v libx264 -preset ultrafast -qp 4";
const SD: (u32, u32) = (640, 360);
const HD: (u32, u32) = (1280, 720);

/// Name, size, filter and codec of a source; the canvases it is recorded on.
type Case = (&'static str, (u32, u32), &'static str, String);

fn check(kind: &str, cases: Vec<Case>, canvases: &[(u32, u32)]) {
    let scratch = Scratch::new(&format!("colours-{kind}"));
    for (name, size, filter, codec) in cases {
        let url = source_of(&scratch, &format!("{name}.mkv"), size, filter, &codec);
        for canvas in canvases {
            assert_bars(name, &url, *canvas, 0);
        }
    }
}

const TO_709: &str = "zscale=matrix=709:range=limited,format=yuv420p";
const TO_601: &str = "zscale=matrix=170m:range=limited,format=yuv420p";

#[test]
fn matrices_stated_or_usual_for_their_size_come_out_right_on_every_canvas() {
    let stated = |colours: &str| format!("{X264} {colours}");
    check(
        "matrices",
        vec![
            ("hd-709", HD, TO_709, stated("-colorspace bt709")),
            ("hd-601", HD, TO_601, stated("-colorspace smpte170m")),
            ("sd-601", SD, TO_601, stated("-colorspace smpte170m")),
            ("sd-709", SD, TO_709, stated("-colorspace bt709")),
            (
                "hd-unstated",
                HD,
                "zscale=matrix=709:range=limited,format=yuv420p,setparams=colorspace=unknown",
                stated(""),
            ),
            (
                "sd-unstated",
                SD,
                "zscale=matrix=170m:range=limited,format=yuv420p,setparams=colorspace=unknown",
                stated(""),
            ),
            ("sd-2020", SD, "zscale=matrix=2020_ncl:range=limited,format=yuv420p", stated("-colorspace bt2020nc")),
        ],
        &[SD, HD],
    );
}

#[test]
fn full_range_comes_out_right_scaled_or_not() {
    let full = "zscale=matrix=170m:range=full,format=yuv420p,setparams=range=full";
    check(
        "range",
        vec![
            ("h264", SD, full, format!("{X264} -colorspace smpte170m -color_range pc")),
            (
                "hd",
                HD,
                "zscale=matrix=709:range=full,format=yuv420p,setparams=range=full",
                format!("{X264} -colorspace bt709 -color_range pc"),
            ),
            ("mjpeg", SD, "zscale=matrix=170m:range=full,format=yuvj420p", "-c:v mjpeg -q:v 1".to_owned()),
            ("mjpeg-422", SD, "zscale=matrix=170m:range=full,format=yuvj422p", "-c:v mjpeg -q:v 1".to_owned()),
        ],
        &[(320, 180), HD],
    );
}

#[test]
fn rgb_and_other_formats_come_out_right() {
    check(
        "formats",
        vec![
            ("rgb", SD, "format=gbrp", "-c:v libx264rgb -preset ultrafast -qp 4".to_owned()),
            ("raw-rgb", SD, "format=bgr24", "-c:v rawvideo -allow_raw_vfw 1".to_owned()),
            ("raw-rgba", SD, "format=rgba", "-c:v rawvideo -allow_raw_vfw 1".to_owned()),
            ("444", SD, "zscale=matrix=709:range=limited,format=yuv444p", format!("{X264} -colorspace bt709")),
            ("422", SD, "zscale=matrix=709:range=limited,format=yuv422p", format!("{X264} -colorspace bt709")),
            ("422-10", SD, "zscale=matrix=709:range=limited,format=yuv422p10", format!("{X264} -colorspace bt709")),
            ("420-10", SD, "zscale=matrix=709:range=limited,format=yuv420p10", format!("{X264} -colorspace bt709")),
            (
                "420-10-full",
                SD,
                "zscale=matrix=709:range=full,format=yuv420p10,setparams=range=full",
                format!("{X264} -colorspace bt709 -color_range pc"),
            ),
            ("odd", (635, 357), "zscale=matrix=709:range=limited,format=yuv444p", format!("{X264} -colorspace bt709")),
        ],
        &[(320, 180), HD],
    );
}

#[test]
fn grey_pictures_come_out_as_grey_as_they_were() {
    let scratch = Scratch::new("grey");
    for (name, codec) in [("raw", "-c:v rawvideo -allow_raw_vfw 1"), ("h264", "-c:v libx264 -qp 4")] {
        let picture = "-f lavfi -i color=c=black:size=640x360:rate=5:duration=2,format=gray,geq=lum=180";
        let url = source(&scratch, &format!("{name}.mkv"), &format!("{picture} -pix_fmt gray {codec} -color_range tv"));
        let picture = recorded(&Scratch::new(&format!("grey-{name}")), &[&url], SD);
        let seen = colour_at(&picture, 640, 320, 180);
        assert!(seen.iter().all(|value| (value - 191).abs() <= TOLERANCE), "{name}: {seen:?}");
    }
}

#[test]
fn participants_who_code_differently_look_alike_side_by_side() {
    let scratch = Scratch::new("beside");
    let one = source_of(&scratch, "one.mkv", HD, TO_709, &format!("{X264} -colorspace bt709"));
    let full = "zscale=matrix=170m:range=full,format=yuv420p,setparams=range=full";
    let other = source_of(&scratch, "other.mkv", HD, full, &format!("{X264} -colorspace smpte170m -color_range pc"));
    let mut config = canvas_config(&scratch.path("work"), &[&one, &other], (1280, 360));
    config.canvas.frames_per_second = 5;
    let told = record_offline(&config);
    let picture = shown(&joined_file(&scratch, &told.closed), 0.8);
    for part in [(0, 640), (640, 1280)] {
        let (off, what) = worst(&picture, (1280, 360), part, 0);
        assert!(off <= TOLERANCE, "{part:?}: {what}");
    }
}

#[test]
fn other_primaries_come_out_as_a_good_transcode_shows_them() {
    let in_srgb = "setparams=color_primaries=bt709:color_trc=bt709";
    let to = |name: &str, primaries: &str, stated: &str| -> (String, String, String) {
        let filter =
            format!("{in_srgb},zscale=primaries={primaries}:transfer=709:matrix=709:range=limited,format=yuv420p10");
        (name.to_owned(), filter, format!("{X264} -colorspace bt709 -color_primaries {stated} -color_trc bt709"))
    };
    let scratch = Scratch::new("primaries");
    // PAL has no green as pure as BT.709's, which is 0.012 of blue less than none there: a source that leaves that out has
    // that much blue in light, 30 of 255 by BT.1886. Whether zscale leaves it out depends on the processor.
    for ((name, filter, codec), dark) in [
        (to("p3", "smpte432", "smpte432"), 16),
        (to("2020", "2020", "bt2020"), 16),
        (to("pal", "bt470bg", "bt470bg"), 30),
    ] {
        let url = source_of(&scratch, &format!("{name}.mkv"), SD, &filter, &codec);
        for canvas in [SD, HD] {
            assert_bars(&name, &url, canvas, dark);
        }
    }
}

#[test]
fn high_dynamic_range_comes_out_as_bright_and_as_colourful_as_the_rest() {
    let in_srgb = "setparams=color_primaries=bt709:color_trc=bt709";
    // Without `agamma=0` zscale's HLG has a gamma for each of red, green and blue instead of BT.2100's for all of them.
    let to = |transfer: &str| {
        format!("{in_srgb},zscale=primaries=2020:transfer={transfer}:matrix=2020_ncl:range=limited:npl=203:agamma=0,format=yuv420p10")
    };
    let stated = "-colorspace bt2020nc -color_primaries bt2020";
    let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none:qp=6";
    let scratch = Scratch::new("hdr");
    for (name, transfer, codec) in [
        ("pq", "smpte2084", format!("{X264} {stated} -color_trc smpte2084")),
        ("pq-hevc", "smpte2084", format!("{hevc} {stated} -color_trc smpte2084")),
        ("hlg", "arib-std-b67", format!("{X264} {stated} -color_trc arib-std-b67")),
    ] {
        let url = source_of(&scratch, &format!("{name}.mkv"), SD, &to(transfer), &codec);
        for canvas in [SD, (320, 180)] {
            assert_bars(name, &url, canvas, 16);
        }
    }
}

#[test]
fn the_recording_states_what_its_numbers_mean() {
    let scratch = Scratch::new("stated");
    for (canvas, matrix) in [(SD, "smpte170m"), (HD, "bt709"), ((720, 1280), "bt709")] {
        let url = source(&scratch, "one.mkv", &colour_and_tone("red", 440, 2.0));
        let told = record_offline(&canvas_config(&scratch.path(&format!("{canvas:?}")), &[&url], canvas));
        let file = joined_file(&scratch, &told.closed);
        let entries = "stream=color_range,color_space,color_transfer,color_primaries";
        assert_eq!(probe(&file, "v", entries)[0], format!("tv,{matrix},bt709,bt709"));
    }
}

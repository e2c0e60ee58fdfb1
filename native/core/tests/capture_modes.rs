// SPDX-License-Identifier: Apache-2.0
//! Modes of recording: audio profiles, the choice between several pictures of one source, canvases and frame rates.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // measuring

mod capture_support;

use std::path::Path;

use capture_support::*;
use cloud_recording_core::capture::api::{
    AudioProfile, CanvasConfig, CaptureEvent, ClosedSlice, StreamKinds, VideoStream,
};

/// Records one file of sound in a profile; the joined recording.
fn recorded_sound(scratch: &Scratch, profile: AudioProfile, arguments: &str) -> std::path::PathBuf {
    let url = source(scratch, "source.mkv", arguments);
    let mut config = config(&scratch.path("work"), &[&url]);
    (config.audio_profile, config.kinds) = (profile, StreamKinds::AudioOnly);
    joined_file(scratch, &record_offline(&config).closed)
}

const PROFILES: [(AudioProfile, &str, f64); 3] = [
    (AudioProfile::MusicStandard, "1", 48_000.0),
    (AudioProfile::MusicHighQuality, "1", 128_000.0),
    (AudioProfile::MusicHighQualityStereo, "2", 192_000.0),
];

#[test]
fn each_audio_profile_is_aac_lc_at_48_khz_with_its_channels_and_at_most_its_bit_rate() {
    for (profile, channels, most) in PROFILES {
        let scratch = Scratch::new(&format!("profile-{channels}-{most}"));
        // Noise in both channels, each its own, is the hardest that there is.
        let noise = "-f lavfi -i anoisesrc=duration=20:seed=1:amplitude=0.5 -f lavfi -i anoisesrc=duration=20:seed=2:amplitude=0.5";
        let file =
            recorded_sound(&scratch, profile, &format!("{noise} -filter_complex amerge=inputs=2 -c:a flac -ac 2"));
        let told = probe(&file, "a", "stream=codec_name,profile,sample_rate,channels");
        assert_eq!(told[0], ["aac", "LC", "48000", channels].join(","), "{profile:?}");
        // The transport stream puts a header of 7 bytes before each block.
        let bytes: f64 = probe(&file, "a", "packet=size").iter().map(|size| size.parse::<f64>().unwrap() - 7.0).sum();
        let rate = bytes * 8.0 / 20.0;
        assert!((0.8 * most..1.02 * most).contains(&rate), "{profile:?}: {rate} bit/s");
    }
}

/// Twice the amplitude of each tone, in the first and in the last channel.
fn tones(file: &Path, channels: usize, hertz: [f32; 2]) -> [[f32; 2]; 2] {
    [0, channels - 1].map(|channel| {
        let sound = samples(file, channel);
        hertz.map(|hertz| tone(&sound[96_000..144_000], hertz))
    })
}

fn two_tones(left: &str, right: &str) -> String {
    format!("-f lavfi -i aevalsrc={left}|{right}:c=stereo:s=48000:d=5 -c:a pcm_f32le")
}

#[test]
fn the_stereo_profile_keeps_left_and_right_40_db_apart() {
    let scratch = Scratch::new("separation");
    let arguments = two_tones("0.5*sin(2*PI*440*t)", "0.5*sin(2*PI*3000*t)");
    let file = recorded_sound(&scratch, AudioProfile::MusicHighQualityStereo, &arguments);
    let [left, right] = tones(&file, 2, [440.0, 3000.0]);
    assert!((left[0] - 0.5).abs() < 0.02 && (right[1] - 0.5).abs() < 0.02, "{left:?} {right:?}");
    assert!(left[1] < 0.005 && right[0] < 0.005, "{left:?} {right:?}");
}

#[test]
fn a_mono_recording_has_both_channels_of_a_source_and_cuts_no_peaks() {
    let scratch = Scratch::new("downmix");
    let arguments = two_tones("0.5*sin(2*PI*440*t)", "0.5*sin(2*PI*3000*t)");
    let file = recorded_sound(&scratch, AudioProfile::MusicHighQuality, &arguments);
    let [mixed, _] = tones(&file, 1, [440.0, 3000.0]);
    assert!(mixed.iter().all(|tone| (tone - 0.25).abs() < 0.02), "each at half of what it was: {mixed:?}");
    for (profile, tolerance) in [(AudioProfile::MusicHighQuality, 0.02), (AudioProfile::MusicStandard, 0.04)] {
        let scratch = Scratch::new(&format!("downmix-loud-{profile:?}"));
        let loud = "0.94*sin(2*PI*440*t)";
        let file = recorded_sound(&scratch, profile, &two_tones(loud, loud));
        let [mixed, _] = tones(&file, 1, [440.0, 1320.0]);
        let level = mixed[0];
        assert!(
            (level - 0.94).abs() < tolerance,
            "{profile:?}: who speaks in the middle is as loud as before: {level}"
        );
        assert!(mixed[1] < 0.003, "{profile:?}: a cut peak would be heard as a third harmonic: {mixed:?}");
    }
}

#[test]
fn a_mono_source_is_as_loud_in_both_channels_of_a_stereo_recording() {
    let scratch = Scratch::new("upmix");
    let arguments = "-f lavfi -i aevalsrc=0.5*sin(2*PI*440*t):s=48000:d=5 -c:a pcm_f32le";
    let file = recorded_sound(&scratch, AudioProfile::MusicHighQualityStereo, arguments);
    for channel in tones(&file, 2, [440.0, 880.0]) {
        assert!((channel[0] - 0.5).abs() < 0.02, "{channel:?}");
    }
}

#[test]
fn surround_sound_is_mixed_as_bs_775_says_and_does_not_go_beyond_full_scale() {
    // Left front speaks at 440 Hz, the centre at 1 kHz, the right rear at 3 kHz.
    let arguments =
        "-f lavfi -i aevalsrc=0.2*sin(2*PI*440*t)|0|0.2*sin(2*PI*1000*t)|0|0|0.2*sin(2*PI*3000*t):c=5.1:s=48000:d=5 \
                     -c:a ac3 -b:a 640k";
    // How loud each is to be on the left and on the right: one, 0.7071 and 0.7071 parts of 2.414.
    let mono = [[0.207, 0.207], [0.293, 0.293], [0.146, 0.146]];
    let stereo = [[0.414, 0.0], [0.293, 0.293], [0.0, 0.293]];
    for (profile, channels, shares) in
        [(AudioProfile::MusicHighQuality, 1, mono), (AudioProfile::MusicHighQualityStereo, 2, stereo)]
    {
        let scratch = Scratch::new(&format!("surround-{channels}"));
        let file = recorded_sound(&scratch, profile, arguments);
        for (hertz, shares) in [440.0, 1000.0, 3000.0].into_iter().zip(shares) {
            let heard = [0, channels - 1].map(|channel| tone(&samples(&file, channel)[96_000..144_000], hertz));
            let alike = heard.iter().zip(shares).all(|(heard, share): (&f32, f32)| (heard - 0.2 * share).abs() < 0.006);
            assert!(alike, "{hertz} Hz in {channels}: {heard:?}, not a fifth of {shares:?}");
        }
    }
    let scratch = Scratch::new("surround-loud");
    let loud = ["0.999*sin(2*PI*440*t)"; 6].join("|");
    let arguments = format!("-f lavfi -i aevalsrc={loud}:c=5.1:s=48000:d=5 -c:a pcm_f32le");
    let file = recorded_sound(&scratch, AudioProfile::MusicHighQualityStereo, &arguments);
    for channel in tones(&file, 2, [440.0, 1320.0]) {
        assert!((channel[0] - 0.95).abs() < 0.03, "all channels at full scale are full scale: {channel:?}");
        assert!(channel[1] < 0.003, "a cut peak would be heard as a third harmonic: {channel:?}");
    }
}

/// Records for as long as the source has an end, at this quality; what the middle of the picture shows, and the sound.
fn chosen(scratch: &Scratch, url: &str, video_stream: VideoStream) -> ([i32; 3], Vec<f32>) {
    let mut config = config(&scratch.path(&format!("{video_stream:?}")), &[url]);
    config.video_stream = video_stream;
    let file = joined_file(scratch, &record_offline(&config).closed);
    (colour_at(&picture(&file, 1.5), 320, 160, 120), samples(&file, 0))
}

fn assert_choice(scratch: &Scratch, url: &str) {
    let (colour, sound) = chosen(scratch, url, VideoStream::High);
    assert!(alike(colour, [254, 0, 0]), "the large one is red, not {colour:?}");
    assert!(tone(&sound[48_000..72_000], 440.0) > 0.04, "with its own sound");
    let (colour, sound) = chosen(scratch, url, VideoStream::Low);
    assert!(alike(colour, [0, 0, 254]), "the small one is blue, not {colour:?}");
    assert!(tone(&sound[48_000..72_000], 880.0) > 0.04, "with its own sound");
}

/// Two pictures, the small one first, and two tones.
const LARGE_AND_SMALL: &str = "-f lavfi -i color=c=blue:size=320x180:rate=15:duration=6 \
    -f lavfi -i sine=frequency=880:sample_rate=48000:duration=6 \
    -f lavfi -i color=c=red:size=640x360:rate=15:duration=6 \
    -f lavfi -i sine=frequency=440:sample_rate=48000:duration=6 \
    -map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -g 15 -pix_fmt yuv420p -c:a aac";

#[test]
fn of_several_programs_high_is_the_one_with_the_largest_picture_and_low_the_smallest() {
    let scratch = Scratch::new("programs");
    let programs = "-program title=small:st=0:st=1 -program title=large:st=2:st=3";
    let url = source(&scratch, "programs.ts", &format!("{LARGE_AND_SMALL} {programs}"));
    assert_choice(&scratch, &url);
}

#[test]
fn of_the_variants_of_a_playlist_high_is_the_largest_and_low_the_smallest() {
    for (segments, ending) in [("mpegts", "ts"), ("fmp4", "m4s")] {
        let scratch = Scratch::new(&format!("variants-{segments}"));
        let variants = format!(
            "-f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type {segments} -master_pl_name master.m3u8 \
             -b:v:0 200k -b:v:1 900k -b:a 64k -hls_segment_filename {0}/v%v-%d.{ending} -hls_fmp4_init_filename init-%v.mp4 \
             -var_stream_map v:0,a:0|v:1,a:1",
            scratch.0.display()
        );
        // The map's separator is a space, which the arguments are split at.
        let arguments = format!("{LARGE_AND_SMALL} {variants}");
        ffmpeg_with(&arguments, &[("v:0,a:0|v:1,a:1", "v:0,a:0 v:1,a:1")], &scratch.path("v%v.m3u8"));
        assert_choice(&scratch, scratch.path("master.m3u8").to_str().unwrap());
    }
}

fn recorded_on(scratch: &Scratch, canvas: CanvasConfig) -> Vec<ClosedSlice> {
    let url = source(scratch, "moving.ts", "-f lavfi -i testsrc2=size=640x360:rate=60:duration=4 -f lavfi -i sine=duration=4 -c:v libx264 -preset ultrafast -g 60 -pix_fmt yuv420p -c:a aac");
    let mut config = config(&scratch.path("work"), &[&url]);
    config.canvas = canvas;
    record_offline(&config).closed
}

#[test]
fn any_canvas_up_to_1080p_in_either_orientation_is_recorded_at_1_to_60_real_frames_a_second() {
    for (width, height, frames_per_second) in
        [(1920, 1080, 30), (1080, 1920, 25), (640, 360, 60), (360, 640, 15), (64, 64, 1)]
    {
        let scratch = Scratch::new(&format!("canvas-{width}x{height}"));
        let canvas = CanvasConfig { width, height, frames_per_second, bitrate_kbps: 1000 };
        let file = joined_file(&scratch, &recorded_on(&scratch, canvas));
        let told = probe(&file, "v", "stream=codec_name,width,height,r_frame_rate");
        assert_eq!(told[0], format!("h264,{width},{height},{frames_per_second}/1"));
        let stamps = ticks(&file, "v");
        let step = 90_000 / i64::from(frames_per_second);
        assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == step), "{canvas:?}: {stamps:?}");
        let (seconds, heard) = (stamps.len() as f64 / f64::from(frames_per_second), ticks(&file, "a").len() as f64);
        assert!(seconds >= 3.9, "{canvas:?}: {seconds} s");
        assert!(
            (seconds - heard * 1024.0 / 48_000.0).abs() < 0.05,
            "{canvas:?}: {heard} blocks of sound in {seconds} s"
        );
        let changes = pictures_that_differ(&file);
        let most = stamps.len().min(4 * frames_per_second as usize);
        assert!(changes + 2 >= most, "{canvas:?}: {changes} pictures of {most} are new");
    }
}

/// How many pictures are not the same as the one before: the source moves with each of its own.
fn pictures_that_differ(file: &Path) -> usize {
    let output = run_ffmpeg(&[
        "-i",
        file.to_str().unwrap(),
        "-map",
        "0:v",
        "-vf",
        "scale=64:64",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    let text = String::from_utf8(output).unwrap();
    let sums: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(',').next()).collect();
    1 + sums.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Bytes of each picture of the recording.
fn picture_sizes(file: &Path) -> Vec<u64> {
    probe(file, "v", "packet=size").iter().filter_map(|size| size.trim_end_matches(',').parse().ok()).collect()
}

#[test]
fn a_minute_of_hard_content_keeps_within_a_tenth_of_the_asked_bit_rate() {
    let scratch = Scratch::new("rate");
    // Nothing of a noisy picture can be told from the one before.
    let noise =
        "-f lavfi -i color=c=gray:size=320x240:rate=15:duration=60,noise=alls=100:allf=t+u -an -c:v mpeg4 -q:v 5";
    let url = source(&scratch, "noise.mkv", noise);
    for kbps in [200, 1500] {
        let mut config = config(&scratch.path(&format!("work-{kbps}")), &[&url]);
        (config.kinds, config.canvas) = (StreamKinds::VideoOnly, CanvasConfig { bitrate_kbps: kbps, ..CANVAS });
        let told = record_offline(&config);
        let sizes = picture_sizes(&joined_file(&scratch, &told.closed));
        let bits = sizes.iter().sum::<u64>() as f64 * 8.0;
        let rate = bits / (sizes.len() as f64 / 15.0) / 1000.0;
        assert!((rate / f64::from(kbps) - 1.0).abs() < 0.1, "{rate:.0} kbit/s of {kbps}");
        // The buffer that the rate is held by is one second: no second may need more than two of them to arrive.
        let most = sizes.windows(15).map(|second| second.iter().sum::<u64>() * 8 / 1000).max().unwrap();
        assert!(most < u64::from(kbps) * 2, "{most} kbit in one second of {kbps} kbit/s");
        assert!(told.events.iter().all(|event| !matches!(event, CaptureEvent::Gap { .. })), "{:?}", told.events);
    }
}

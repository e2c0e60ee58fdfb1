// SPDX-License-Identifier: Apache-2.0
//! Shared by the capture tests: sources made by the `ffmpeg` command, a sink that remembers, and looks at the recording.
#![allow(dead_code)] // each test program uses its own part of it

pub mod hostile;
pub mod restamp;
pub mod servers;
pub mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cloud_recording_core::capture::api::{
    Access, AudioProfile, CanvasConfig, CaptureConfig, CaptureEvent, CaptureSink, ClosedSlice, Fit, Layout, OpenSlice,
    StreamKinds, StreamSource, VideoStream,
};
use cloud_recording_core::capture::av;
use cloud_recording_core::capture::clock::{Clock, VirtualClock};
use cloud_recording_core::capture::{api::UtcMillis, Capture, HostPattern};
use cloud_recording_core::error::Error;

/// Longer than anything here takes on a busy machine; only a failure waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of one test, removed at its end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cloud-recording-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What a sink was told, in order.
#[derive(Default)]
pub struct Told {
    pub opened: Vec<OpenSlice>,
    pub closed: Vec<ClosedSlice>,
    pub events: Vec<CaptureEvent>,
}

/// Remembers everything, and lets a test wait for it.
#[derive(Default)]
pub struct Memory {
    told: Mutex<Told>,
    changed: Condvar,
}

impl CaptureSink for Memory {
    fn slice_opened(&self, slice: &OpenSlice) -> Result<(), Error> {
        assert!(!slice.path.exists(), "a slice is announced before its file exists");
        self.told.lock().unwrap().opened.push(slice.clone());
        self.changed.notify_all();
        Ok(())
    }

    fn slice_closed(&self, slice: ClosedSlice) -> Result<(), Error> {
        self.told.lock().unwrap().closed.push(slice);
        self.changed.notify_all();
        Ok(())
    }

    fn event(&self, event: CaptureEvent) {
        self.told.lock().unwrap().events.push(event);
        self.changed.notify_all();
    }
}

impl Memory {
    /// Returns what `look` finds as soon as it finds something.
    pub fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Told) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.told.lock().unwrap();
        loop {
            if let Some(found) = look(&told) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}; events: {:?}", told.events);
            told = self.changed.wait_timeout(told, left).unwrap().0;
        }
    }

    pub fn take(&self) -> Told {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

pub fn joined(uid: u32) -> impl Fn(&Told) -> Option<()> {
    move |told| {
        told.events.iter().any(|event| matches!(event, CaptureEvent::Joined { uid: u, .. } if *u == uid)).then_some(())
    }
}

pub fn left(uid: u32) -> impl Fn(&Told) -> Option<()> {
    move |told| {
        told.events.iter().any(|event| matches!(event, CaptureEvent::Left { uid: u, .. } if *u == uid)).then_some(())
    }
}

pub const CANVAS: CanvasConfig = CanvasConfig { width: 320, height: 240, frames_per_second: 15, bitrate_kbps: 500 };

/// A small recording of these URLs; uids count from 1.
pub fn config(directory: &Path, urls: &[&str]) -> CaptureConfig {
    av::take_over();
    fs::create_dir_all(directory).expect("the work directory");
    let source = |(index, url): (usize, &&str)| StreamSource {
        uid: u32::try_from(index).unwrap() + 1,
        name: None,
        url: (*url).to_owned(),
        access: Access::default(),
        silence: Duration::from_secs(5),
    };
    CaptureConfig {
        sources: urls.iter().enumerate().map(source).collect(),
        room: None,
        protocols: ["rtmp", "rtsp", "srt", "http", "udp", "file"].map(str::to_owned).to_vec(),
        allow_link_local: false,
        allowed_hosts: vec![HostPattern::Any],
        kinds: StreamKinds::AudioVideo,
        audio_profile: AudioProfile::MusicStandard,
        video_stream: VideoStream::High,
        canvas: CANVAS,
        layout: Layout::BestFit,
        max_resolution_uid: 0,
        fit: Fit::Crop,
        slice: Duration::from_secs(15),
        passthrough: None,
        earliest: UtcMillis(0),
        directory: directory.to_owned(),
        file_stem: "0123_room".to_owned(),
    }
}

/// Records files in virtual time until every participant has joined and left again.
pub fn record_offline(config: &CaptureConfig) -> Told {
    let memory = Arc::new(Memory::default());
    let sink: Arc<dyn CaptureSink> = memory.clone();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(UtcMillis(1_700_000_000_000)));
    let uids: Vec<u32> = config.sources.iter().map(|source| source.uid).collect();
    let capture = Capture::start_at(config, &sink, &clock).expect("the capture starts");
    for uid in uids {
        memory.wait_for("everybody to leave", left(uid));
    }
    capture.stop();
    memory.take()
}

/// Runs `ffmpeg` to its end.
pub fn ffmpeg(arguments: &str) {
    let output = ffmpeg_command(arguments).output().expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a source of these arguments; its path.
pub fn source(scratch: &Scratch, name: &str, arguments: &str) -> String {
    let path = scratch.path(name).to_str().unwrap().to_owned();
    ffmpeg(&format!("{arguments} {path}"));
    path
}

/// Runs `ffmpeg` to its end, with words of the arguments replaced by such as hold spaces.
pub fn ffmpeg_with(arguments: &str, replaced: &[(&str, &str)], target: &Path) {
    let words = arguments.split_whitespace().map(|word| {
        let found = replaced.iter().find(|(placeholder, _)| *placeholder == word);
        found.map_or(word, |(_, replacement)| replacement)
    });
    let output = ffmpeg_command("").args(words).arg(target).output().expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn ffmpeg_command(arguments: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).args(arguments.split_whitespace());
    command.stdin(Stdio::null());
    command
}

/// A process that ends with the test.
pub struct Running(pub Child);

impl Running {
    pub fn ffmpeg(arguments: &str) -> Self {
        Self(ffmpeg_command(arguments).spawn().expect("ffmpeg starts"))
    }

    pub fn program(program: &Path, arguments: &[&str]) -> Self {
        Self(Command::new(program).args(arguments).stdin(Stdio::null()).spawn().expect("the program starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A publisher of one colour and one tone for as long as the test runs.
pub fn publish(colour: &str, hertz: u32, target: &str) -> Running {
    Running::ffmpeg(&format!("-re {} {target}", colour_and_tone(colour, hertz, 600.0)))
}

pub fn start(config: CaptureConfig) -> (Capture, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    (Capture::start(config, memory.clone()).expect("the capture starts"), memory)
}

/// Waits until this much media has been written.
pub fn record_for(capture: &Capture, length: Duration) {
    let (goal, deadline) = (capture.figures().position + length, Instant::now() + PATIENCE);
    while capture.figures().position < goal {
        assert!(Instant::now() < deadline, "the recording advances");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Slices and gaps follow each other without overlap or hole.
pub fn assert_unbroken(told: &Told) {
    let spans = told.closed.iter().map(|slice: &ClosedSlice| {
        let start = slice.open.start.0;
        (start, start + i64::try_from(slice.duration_ticks / 90).unwrap())
    });
    let gaps = told.events.iter().filter_map(|event| match event {
        CaptureEvent::Gap { start, stop, .. } => Some((start.0, stop.0)),
        _ => None,
    });
    let mut all: Vec<(i64, i64)> = spans.chain(gaps).collect();
    all.sort_unstable();
    for pair in all.windows(2) {
        assert!((pair[1].0 - pair[0].1).abs() <= 2, "{pair:?} in {all:?}");
    }
}

/// Arguments for a source of one colour and one tone.
pub fn colour_and_tone(colour: &str, hertz: u32, seconds: f32) -> String {
    format!(
        "-f lavfi -i color=c={colour}:size=320x180:rate=15:duration={seconds} \
         -f lavfi -i sine=frequency={hertz}:sample_rate=48000:duration={seconds} \
         -c:v libx264 -preset ultrafast -tune zerolatency -g 15 -pix_fmt yuv420p -c:a aac -b:a 96k"
    )
}

/// The recording as one file, joined as a player would do it: the slices' bytes in order.
pub fn joined_file(scratch: &Scratch, closed: &[ClosedSlice]) -> PathBuf {
    let path = scratch.path("joined.ts");
    let bytes: Vec<u8> = closed.iter().flat_map(|slice| fs::read(&slice.open.path).expect("a slice")).collect();
    fs::write(&path, bytes).expect("the joined file");
    path
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("the tool runs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The presentation times of a stream (`v` or `a`), in seconds, in file order.
pub fn times(file: &Path, stream: &str) -> Vec<f64> {
    probe(file, stream, "packet=pts_time").iter().filter_map(|line| line.parse().ok()).collect()
}

/// The same in ticks of 90 kHz, exactly.
pub fn ticks(file: &Path, stream: &str) -> Vec<i64> {
    probe(file, stream, "packet=pts").iter().map(|line| line.parse().expect("a time stamp")).collect()
}

/// What `ffprobe` tells of these entries of a stream (`v` or `a`): a line each, with commas between fields.
pub fn probe(file: &Path, stream: &str, entries: &str) -> Vec<String> {
    let file = file.to_str().unwrap();
    let arguments = ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0", file];
    let text = String::from_utf8(run("ffprobe", &arguments).stdout).unwrap();
    let lines = text.lines().map(|line| line.trim().trim_end_matches(',').to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// What `ffmpeg` writes to its output.
pub fn run_ffmpeg(arguments: &[&str]) -> Vec<u8> {
    run("ffmpeg", &[&["-nostdin", "-v", "error"], arguments].concat()).stdout
}

/// Decodes one picture at `second` after the beginning as RGB; pixels in rows of the canvas' width.
pub fn picture(file: &Path, second: f64) -> Vec<[u8; 3]> {
    let file = file.to_str().unwrap();
    let at = format!("{second}");
    let arguments =
        ["-v", "error", "-i", file, "-ss", &at, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    run("ffmpeg", &arguments).stdout.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

/// The mean colour of a small area around a point.
pub fn colour_at(picture: &[[u8; 3]], width: usize, x: usize, y: usize) -> [i32; 3] {
    let mut sum = [0_i32; 3];
    for row in y - 3..=y + 3 {
        for pixel in &picture[row * width + x - 3..=row * width + x + 3] {
            (0..3).for_each(|channel| sum[channel] += i32::from(pixel[channel]));
        }
    }
    sum.map(|channel| channel / 49)
}

/// Whether two colours look the same after two rounds of compression.
pub fn alike(one: [i32; 3], other: [i32; 3]) -> bool {
    one.iter().zip(other).all(|(a, b)| (a - b).abs() < 40)
}

/// The sound as samples at 48 kHz of channel `channel`.
pub fn samples(file: &Path, channel: usize) -> Vec<f32> {
    let file = file.to_str().unwrap();
    let pan = format!("pan=mono|c0=c{channel}");
    let arguments = ["-v", "error", "-i", file, "-af", &pan, "-f", "f32le", "-ar", "48000", "-"];
    let bytes = run("ffmpeg", &arguments).stdout;
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// How strong a tone is in the samples: the amplitude of a sine of that frequency.
pub fn tone(samples: &[f32], hertz: f32) -> f32 {
    let (mut real, mut imaginary) = (0.0_f64, 0.0_f64);
    for (index, sample) in samples.iter().enumerate() {
        let angle = f64::from(hertz) * std::f64::consts::TAU * index as f64 / 48_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    (2.0 * real.hypot(imaginary) / samples.len() as f64) as f32
}

/// The brightness of each picture, 0 to 255.
pub fn brightness(file: &Path) -> Vec<u8> {
    let scaled = ["-vf", "scale=1:1", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"];
    run_ffmpeg(&[&["-i", file.to_str().unwrap()], &scaled[..]].concat())
}

/// The seconds at which something begins: where `on` turns true.
fn beginnings(on: impl Iterator<Item = bool>, per_second: f64) -> Vec<f64> {
    let on: Vec<bool> = on.collect();
    let starts = on.windows(2).enumerate().filter(|(_, pair)| !pair[0] && pair[1]);
    starts.map(|(index, _)| (index + 1) as f64 / per_second).collect()
}

/// When flashes and beeps begin in a recording at the usual 15 pictures a second.
pub fn flashes_and_beeps(scratch: &Scratch, told: &Told) -> (Vec<f64>, Vec<f64>) {
    flashes_and_beeps_at(scratch, told, 15.0, 0.05)
}

/// The same at another rate, of beeps that reach this loudness: a higher one leaves out what coding spreads before a beep.
pub fn flashes_and_beeps_at(scratch: &Scratch, told: &Told, per_second: f64, loudness: f32) -> (Vec<f64>, Vec<f64>) {
    let file = joined_file(scratch, &told.closed);
    let flashes = beginnings(brightness(&file).into_iter().map(|luma| luma > 128), per_second);
    // A tone is loud in each millisecond; its own zero crossings are not.
    let sound = samples(&file, 0);
    let loud = sound.chunks(48).map(|block| block.iter().any(|sample| sample.abs() > loudness));
    // The streams of the file need not begin at the same time.
    let shift = times(&file, "a")[0] - times(&file, "v")[0];
    (flashes, beginnings(loud, 1000.0).into_iter().map(|beep| beep + shift).collect())
}

/// Each flash has a beep within 100 ms. How many flashes and beeps there are.
pub fn assert_in_step(scratch: &Scratch, told: &Told) -> (usize, usize) {
    let (flashes, beeps) = flashes_and_beeps(scratch, told);
    assert!(flashes.len() >= 4, "{flashes:?}");
    for flash in &flashes {
        let nearest = beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        assert!(nearest.abs() <= 0.1, "skew of {nearest} s at {flash} s; flashes {flashes:?}, beeps {beeps:?}");
    }
    (flashes.len(), beeps.len())
}

/// A white flash and a beep of 200 ms each second.
pub fn flash_and_beep(seconds: u32, rate: u32, video: &str, audio: &str) -> String {
    format!(
        "-f lavfi -i color=c=black:size=320x180:rate=25:duration={seconds},drawbox=t=fill:c=white:enable='lt(mod(t,1),0.2)' \
         -f lavfi -i sine=frequency=1000:sample_rate={rate}:duration={seconds},volume='if(lt(mod(t,1),0.2),4,0)':eval=frame:precision=float \
         -pix_fmt yuv420p {video} {audio}"
    )
}

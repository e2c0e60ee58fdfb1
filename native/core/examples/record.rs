// SPDX-License-Identifier: Apache-2.0
//! Captures a channel described by JSON on standard input, without a bucket: what `make bench-native` measures.
//!
//! Files are worked through on a virtual clock, as fast as they can be; `"liveSeconds"` records live sources on the
//! machine's clock for so long. At the end one JSON line tells what was recorded, how punctual the ticks were, and where
//! on the canvas each participant was shown.

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloud_recording_core::capture::api::{
    Access, AudioProfile, CanvasConfig, CaptureConfig, CaptureEvent, CaptureSink, ClosedSlice, Fit, Layout, OpenSlice,
    Passthrough, StreamKinds, StreamSource, UtcMillis, VideoStream,
};
use cloud_recording_core::capture::av;
use cloud_recording_core::capture::clock::{Clock, MonotonicClock, VirtualClock};
use cloud_recording_core::capture::geometry::{places, Fill, Placement};
use cloud_recording_core::capture::{Capture, HostPattern};
use cloud_recording_core::error::Error;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    urls: Vec<String>,
    directory: PathBuf,
    kinds: Kinds,
    layout: String,
    max_resolution_uid: u32,
    width: u32,
    height: u32,
    frames_per_second: u32,
    bitrate_kbps: u32,
    /// Copies the only source instead of decoding it; no slice is longer than this.
    passthrough_seconds: Option<u64>,
    live_seconds: Option<u64>,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Kinds {
    AudioOnly,
    AudioVideo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    slices: Vec<PathBuf>,
    recorded_seconds: f64,
    joined: usize,
    gaps: usize,
    lateness_p50_milliseconds: f64,
    lateness_p99_milliseconds: f64,
    regions: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    uid: u32,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    crop: bool,
}

impl From<Placement> for Shown {
    fn from(Placement { uid, region, fill }: Placement) -> Self {
        Self { uid, x: region.x, y: region.y, width: region.width, height: region.height, crop: fill == Fill::Crop }
    }
}

#[derive(Default)]
struct Told {
    closed: Vec<ClosedSlice>,
    joined: Vec<u32>,
    left: usize,
    gaps: usize,
}

#[derive(Default)]
struct Listener {
    told: Mutex<Told>,
    changed: Condvar,
}

impl CaptureSink for Listener {
    fn slice_opened(&self, _slice: &OpenSlice) -> Result<(), Error> {
        Ok(())
    }

    fn slice_closed(&self, slice: ClosedSlice) -> Result<(), Error> {
        self.told.lock().expect("no panic").closed.push(slice);
        Ok(())
    }

    fn event(&self, event: CaptureEvent) {
        let mut told = self.told.lock().expect("no panic");
        match event {
            CaptureEvent::Joined { uid, .. } => told.joined.push(uid),
            CaptureEvent::Left { .. } => told.left += 1,
            CaptureEvent::Gap { .. } => told.gaps += 1,
            CaptureEvent::Broken(error) => give_up(&format!("the capture broke: {error}")),
            CaptureEvent::Transcoding { reason, .. } => give_up(&format!("the source cannot be copied: {reason}")),
            CaptureEvent::MediaChanged { .. }
            | CaptureEvent::Remark { .. }
            | CaptureEvent::TrackLost { .. }
            | CaptureEvent::TrackDamaged { .. }
            | CaptureEvent::TrackHealed { .. }
            | CaptureEvent::Unavailable { .. }
            | CaptureEvent::ChannelReached
            | CaptureEvent::ChannelUnreached { .. }
            | CaptureEvent::ThrownOut { .. }
            | CaptureEvent::Expected { .. }
            | CaptureEvent::Dismissed { .. } => {}
        }
        self.changed.notify_all();
    }
}

/// Ends the process: a panic would end only the thread that told, and `main` would wait for ever.
fn give_up(reason: &str) -> ! {
    eprintln!("{reason}");
    std::process::exit(1)
}

impl Request {
    fn config(&self) -> CaptureConfig {
        let source = |(uid, url): (u32, &String)| StreamSource {
            uid,
            name: None,
            url: url.clone(),
            access: Access::default(),
            silence: Duration::from_secs(30),
        };
        CaptureConfig {
            sources: (1..).zip(&self.urls).map(source).collect(),
            room: None,
            protocols: ["file", "udp", "srt", "rtmp"].map(str::to_owned).to_vec(),
            allow_link_local: false,
            allowed_hosts: vec![HostPattern::Any],
            kinds: if self.kinds == Kinds::AudioOnly { StreamKinds::AudioOnly } else { StreamKinds::AudioVideo },
            audio_profile: AudioProfile::MusicStandard,
            video_stream: VideoStream::High,
            canvas: CanvasConfig {
                width: self.width,
                height: self.height,
                frames_per_second: self.frames_per_second,
                bitrate_kbps: self.bitrate_kbps,
            },
            layout: self.layout(),
            max_resolution_uid: self.max_resolution_uid,
            fit: Fit::Crop,
            slice: Duration::from_secs(15),
            passthrough: self
                .passthrough_seconds
                .map(|seconds| Passthrough { longest_slice: Duration::from_secs(seconds) }),
            earliest: UtcMillis(0),
            directory: self.directory.clone(),
            file_stem: "bench_room".to_owned(),
        }
    }

    fn layout(&self) -> Layout {
        match self.layout.as_str() {
            "Float" => Layout::Float,
            "BestFit" => Layout::BestFit,
            "Vertical" => Layout::Vertical,
            other => panic!("layout: must be Float, BestFit or Vertical, not {other}"),
        }
    }

    /// Where participants are shown who joined in this order.
    fn regions(&self, joined: &[u32]) -> Vec<Shown> {
        let places = places(self.layout(), self.max_resolution_uid, (self.width, self.height), joined);
        places.into_iter().map(Shown::from).collect()
    }
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("a request on standard input");
    let request: Request = serde_json::from_str(&text).expect("a request as JSON");
    let listener = Arc::new(Listener::default());
    let sink: Arc<dyn CaptureSink> = listener.clone();
    let clock: Arc<dyn Clock> = match request.live_seconds {
        Some(_) => Arc::new(MonotonicClock::new()),
        None => Arc::new(VirtualClock::new(UtcMillis(1_700_000_000_000))),
    };
    av::take_over();
    let capture = Capture::start_at(&request.config(), &sink, &clock).expect("the capture starts");
    let told = listener.told.lock().expect("no panic");
    let told = match request.live_seconds.map(Duration::from_secs) {
        Some(length) => listener.changed.wait_timeout_while(told, length, |_| true).expect("no panic").0,
        None => listener.changed.wait_while(told, |told| told.left < request.urls.len()).expect("no panic"),
    };
    drop(told);
    let figures = capture.figures();
    capture.stop();
    let told = listener.told.lock().expect("no panic");
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let report = Report {
        slices: told.closed.iter().map(|slice| slice.open.path.clone()).collect(),
        recorded_seconds: told.closed.iter().map(|slice| slice.duration_ticks as f64 / 90_000.0).sum(),
        joined: told.joined.len(),
        gaps: told.gaps,
        lateness_p50_milliseconds: milliseconds(figures.tick_lateness_p50),
        lateness_p99_milliseconds: milliseconds(figures.tick_lateness_p99),
        regions: request.regions(&told.joined),
    };
    println!("{}", serde_json::to_string(&report).expect("a report as JSON"));
}

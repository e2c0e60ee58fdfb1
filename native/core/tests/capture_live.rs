// SPDX-License-Identifier: Apache-2.0
//! Live sources over real servers, in real time: joining, leaving, coming back, refusing, freezing, and bad ones.

mod capture_support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use capture_support::servers::{free_port, free_udp_port, MediaServer};
use capture_support::*;
use cloud_recording_core::capture::api::{CaptureEvent, CaptureSink, ClosedSlice, Layout, OpenSlice, UtcMillis};
use cloud_recording_core::capture::clock::{Clock, MonotonicClock, Nanos, StopSignal, SECOND};
use cloud_recording_core::capture::Capture;
use cloud_recording_core::error::{Code, Error};

fn signal(process: &Running, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, &process.0.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn a_publisher_that_dies_leaves_and_comes_back() {
    let scratch = Scratch::new("rtmp");
    let server = MediaServer::start(&scratch);
    let (steady, other) = (server.rtmp_url("steady"), server.rtmp_url("other"));
    let _steady = publish("blue", 880, &format!("-f flv {steady}"));
    let dying = publish("red", 440, &format!("-f flv {other}"));
    let (capture, memory) = start(config(&scratch.path("work"), &[&steady, &other]));
    memory.wait_for("the first to join", joined(1));
    memory.wait_for("the second to join", joined(2));
    record_for(&capture, Duration::from_secs(3));
    drop(dying);
    memory.wait_for("the second to leave", left(2));
    let _reborn = publish("red", 440, &format!("-f flv {other}"));
    memory.wait_for("the second to come back", |told| {
        let joins = told.events.iter().filter(|event| matches!(event, CaptureEvent::Joined { uid: 2, .. })).count();
        (joins >= 2).then_some(())
    });
    record_for(&capture, Duration::from_secs(2));
    let figures = capture.figures();
    capture.stop();
    let told = memory.take();
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Gap { .. } | CaptureEvent::Broken(_))));
    let file = joined_file(&scratch, &told.closed);
    let video = times(&file, "v");
    assert!(video.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 1.0), "the output never stops");
    let end = figures.position.as_secs_f64();
    assert!(alike(colour_at(&picture(&file, end - 0.3), 320, 80, 120), [0, 0, 254]), "who stayed moved to the front");
    assert!(alike(colour_at(&picture(&file, end - 0.3), 320, 240, 120), [254, 0, 0]));
}

#[test]
fn a_frozen_source_keeps_its_last_picture_until_it_has_left() {
    let scratch = Scratch::new("frozen");
    let port = free_udp_port();
    let url = format!("udp://127.0.0.1:{port}");
    let publisher = publish("red", 440, &format!("-f mpegts {url}"));
    let (capture, memory) = start(config(&scratch.path("work"), &[&url]));
    memory.wait_for("the source to join", joined(1));
    record_for(&capture, Duration::from_secs(2));
    signal(&publisher, "-STOP");
    memory.wait_for("the frozen source to leave", left(1));
    record_for(&capture, Duration::from_secs(1));
    let end = capture.figures().position.as_secs_f64();
    signal(&publisher, "-CONT");
    capture.stop();
    let told = memory.take();
    let file = joined_file(&scratch, &told.closed);
    assert!(alike(colour_at(&picture(&file, 1.0), 320, 160, 120), [254, 0, 0]));
    assert!(alike(colour_at(&picture(&file, end - 3.0), 320, 160, 120), [254, 0, 0]), "it may come back");
    assert!(alike(colour_at(&picture(&file, end - 0.5), 320, 160, 120), [0, 0, 0]));
    let sound = samples(&file, 0);
    let heard = |piece: &[f32]| piece.chunks_exact(4800).filter(|block| tone(block, 440.0) > 0.05).count();
    assert!(heard(&sound[..96_000]) > 5, "heard while it was there");
    assert_eq!(heard(&sound[sound.len() - 24_000..]), 0, "silent when it is gone");
}

/// A work volume whose first fsync takes this long.
struct StandingDisk {
    memory: Arc<Memory>,
    stands: Mutex<Option<Duration>>,
}

impl CaptureSink for StandingDisk {
    fn slice_opened(&self, slice: &OpenSlice) -> Result<(), Error> {
        self.memory.slice_opened(slice)
    }

    fn slice_closed(&self, slice: ClosedSlice) -> Result<(), Error> {
        let stands = self.stands.lock().unwrap().take();
        stands.into_iter().for_each(thread::sleep);
        self.memory.slice_closed(slice)
    }

    fn event(&self, event: CaptureEvent) {
        self.memory.event(event);
    }
}

#[test]
fn nothing_is_lost_while_the_disk_stands_still() {
    let scratch = Scratch::new("standing-disk");
    let server = MediaServer::start(&scratch);
    let url = server.rtmp_url("steady");
    let _steady = publish("blue", 880, &format!("-f flv {url}"));
    let mut config = config(&scratch.path("work"), &[&url]);
    config.slice = Duration::from_secs(2);
    let memory = Arc::new(Memory::default());
    let stands = Mutex::new(Some(Duration::from_secs(12)));
    let sink = Arc::new(StandingDisk { memory: Arc::clone(&memory), stands });
    let capture = Capture::start(config, sink).expect("the capture starts");
    record_for(&capture, Duration::from_secs(18));
    capture.stop();
    let told = memory.take();
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Gap { .. } | CaptureEvent::Broken(_))));
    assert_unbroken(&told);
    assert!(told.closed.len() >= 9, "{} slices", told.closed.len());
    for slice in &told.closed[..told.closed.len() - 1] {
        assert!(slice.duration_ticks <= 2 * 90_000 + 6_000, "{}", slice.duration_ticks);
        let pictures = times(&slice.open.path, "v").len() as u64;
        assert!(pictures >= slice.duration_ticks / 6_000 - 2, "{pictures} in {}", slice.duration_ticks);
    }
}

#[test]
fn srt_and_hls_sources_are_recorded_like_any_other() {
    let scratch = Scratch::new("srt-hls");
    let server = MediaServer::start(&scratch);
    let srt = format!("srt://127.0.0.1:{}", free_udp_port());
    let _caller = publish("red", 440, &format!("-f mpegts {srt}?mode=listener"));
    fs::create_dir(scratch.path("hls")).unwrap();
    let segments = "-f hls -hls_time 2 -hls_list_size 5 -hls_flags delete_segments";
    let _segmenter = publish("blue", 880, &format!("{segments} {}", scratch.path("hls/live.m3u8").display()));
    let hls = format!("http://127.0.0.1:{}/hls/live.m3u8", server.http);
    let (capture, memory) = start(config(&scratch.path("work"), &[&srt, &hls]));
    memory.wait_for("the SRT source to join", joined(1));
    memory.wait_for("the HLS source to join", joined(2));
    record_for(&capture, Duration::from_secs(8));
    let end = capture.figures().position.as_secs_f64();
    capture.stop();
    let told = memory.take();
    assert!(left(1)(&told).is_none() && left(2)(&told).is_none(), "{:?}", told.events);
    let file = joined_file(&scratch, &told.closed);
    let sound = samples(&file, 0);
    let heard = |hertz| sound.chunks_exact(4800).map(move |block| tone(block, hertz) > 0.04);
    let silent: Vec<_> = heard(880.0).skip_while(|heard| !heard).skip(1).map(|heard| !heard).collect();
    assert!(!silent.contains(&true), "segments come in bursts, and are heard without a pause: {silent:?}");
    for second in 1..=4 {
        let at = end - f64::from(second);
        let found = [80, 240].map(|x| colour_at(&picture(&file, at), 320, x, 120));
        assert!(found.iter().any(|colour| alike(*colour, [254, 0, 0])), "SRT at {at}: {found:?}");
        assert!(found.iter().any(|colour| alike(*colour, [0, 0, 254])), "HLS at {at}: {found:?}");
        let from = sound.len() - second as usize * 48_000;
        let piece = &sound[from..from + 40_000];
        assert!(tone(piece, 440.0) > 0.04 && tone(piece, 880.0) > 0.04, "the tones at {at}");
    }
}

#[test]
fn sources_that_refuse_and_sources_that_are_not_there_are_told_apart() {
    let scratch = Scratch::new("refusing");
    let server = MediaServer::start(&scratch);
    let _publisher = publish("red", 440, &format!("-f flv rtmp://127.0.0.1:{}/locked/a", server.rtmp));
    fs::create_dir_all(scratch.path("files")).unwrap();
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://169.254.169.254/a.ts\n#EXT-X-ENDLIST\n";
    fs::write(scratch.path("files/leading-away.m3u8"), playlist).unwrap();
    let http = |path: &str| format!("http://127.0.0.1:{}/{path}", server.http);
    let cases = [
        (http("forbidden/a.ts"), true),
        (http("secret/a.ts"), true),
        (http("missing.ts"), false),
        (http("files/leading-away.m3u8"), true),
        (format!("rtmp://127.0.0.1:{}/live/a", free_port()), false),
        (format!("rtmp://127.0.0.1:{}/live/nobody-publishes-yet", server.rtmp), false),
        (format!("rtmp://127.0.0.1:{}/locked/a", server.rtmp), true),
        ("rtmp://169.254.1.1/live/a".to_owned(), true),
        ("gopher://127.0.0.1/a".to_owned(), true),
        ("http://no-such-host.invalid/a.ts".to_owned(), false),
    ];
    let urls: Vec<&str> = cases.iter().map(|(url, _)| url.as_str()).collect();
    let (capture, memory) = start(config(&scratch.path("work"), &urls));
    for (index, (url, expected)) in cases.iter().enumerate() {
        memory.wait_for(&format!("the answer {expected} of {url}"), |told| {
            told.events.iter().find_map(|event| match event {
                CaptureEvent::Unavailable { uid, refused, message } if *uid as usize == index + 1 => {
                    assert!(!message.contains("://"), "messages hold no URL: {message}");
                    assert!(*expected || !*refused, "{url} is only not there: {message}");
                    (refused == expected).then_some(())
                }
                _ => None,
            })
        });
    }
    capture.stop();
    assert!(memory.take().opened.is_empty(), "nothing was recorded");
}

/// Serves one connection after another with what `write` sends.
fn hostile(write: impl Fn(&mut std::net::TcpStream) -> std::io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().unwrap().port();
    // Ends with the process: a listener that nobody connects to any more waits in `accept`.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).and_then(|_| write(&mut stream));
        }
    });
    format!("http://127.0.0.1:{port}/stream")
}

#[test]
fn a_hostile_source_hurts_nobody_but_itself() {
    let scratch = Scratch::new("hostile");
    let head = b"HTTP/1.0 200 OK\r\nContent-Type: video/MP2T\r\n\r\n";
    let garbage = hostile(move |stream| {
        stream.write_all(head)?;
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(4 << 20)
        .collect();
        stream.write_all(&noise)
    });
    let endless_header = hostile(|stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-Header: yes\r\n")?;
        }
    });
    let silent = hostile(|_| {
        thread::sleep(PATIENCE);
        Ok(())
    });
    let huge = scratch.path("huge.mkv");
    ffmpeg(&format!("-f lavfi -i color=c=red:size=16000x9000:rate=1:duration=3 -c:v mjpeg {}", huge.display()));
    let port = free_udp_port();
    let good = format!("udp://127.0.0.1:{port}");
    let _publisher = publish("lime", 440, &format!("-f mpegts {good}"));
    let urls = [good.as_str(), &garbage, &endless_header, &silent, huge.to_str().unwrap()];
    let (capture, memory) = start(config(&scratch.path("work"), &urls));
    memory.wait_for("the good source to join", joined(1));
    for uid in 2..=5 {
        memory.wait_for("a bad source to be told of", |told| {
            told.events.iter().find(|e| matches!(e, CaptureEvent::Unavailable { uid: u, .. } if *u == uid)).map(drop)
        });
    }
    record_for(&capture, Duration::from_secs(2));
    let end = capture.figures().position.as_secs_f64();
    capture.stop();
    let told = memory.take();
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Broken(_))));
    let file = joined_file(&scratch, &told.closed);
    assert!(alike(colour_at(&picture(&file, end - 0.5), 320, 160, 120), [0, 255, 0]), "the good one fills the canvas");
}

#[test]
fn a_pause_closes_the_slice_and_is_told_as_a_gap() {
    let scratch = Scratch::new("pause");
    let url = format!("udp://127.0.0.1:{}", free_udp_port());
    let _publisher = publish("red", 440, &format!("-f mpegts {url}"));
    let (capture, memory) = start(config(&scratch.path("work"), &[&url]));
    memory.wait_for("the source to join", joined(1));
    record_for(&capture, Duration::from_secs(2));
    capture.set_paused(true);
    memory.wait_for("the slice to close", |told| (told.closed.len() == 1).then_some(()));
    thread::sleep(Duration::from_secs(1));
    let paused_at = capture.figures().position;
    capture.set_paused(false);
    memory.wait_for("the gap", |told| {
        told.events.iter().find(|event| matches!(event, CaptureEvent::Gap { .. })).map(drop)
    });
    record_for(&capture, Duration::from_secs(2));
    assert!(capture.figures().position >= paused_at + Duration::from_secs(2));
    capture.stop();
    let told = memory.take();
    assert!(told.closed.iter().all(|slice| slice.open.discontinuity && slice.open.track_starts.len() == 2));
    assert_eq!(told.closed.len(), 2);
    assert_unbroken(&told);
    for slice in &told.closed {
        assert!(alike(colour_at(&picture(&slice.open.path, 0.7), 320, 160, 120), [254, 0, 0]), "each is whole");
    }
}

#[test]
fn a_stop_is_quick_even_while_sources_connect_or_hang() {
    let scratch = Scratch::new("stop");
    let silent = hostile(|_| {
        thread::sleep(PATIENCE);
        Ok(())
    });
    let nobody = format!("udp://127.0.0.1:{}", free_udp_port());
    let srt = format!("srt://127.0.0.1:{}", free_udp_port());
    let (capture, memory) = start(config(&scratch.path("work"), &[&silent, &nobody, &srt]));
    thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    capture.stop();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(memory.take().opened.is_empty());
}

/// The machine's clock, which a test can push forward: what a suspended process sees.
struct PushedClock {
    clock: MonotonicClock,
    pushed: AtomicI64,
}

impl Clock for PushedClock {
    fn now(&self) -> Nanos {
        self.clock.now() + self.pushed.load(Ordering::SeqCst)
    }

    fn anchor(&self) -> UtcMillis {
        self.clock.anchor()
    }

    fn wait_until(&self, deadline: Nanos, stop: &StopSignal) {
        self.clock.wait_until(deadline - self.pushed.load(Ordering::SeqCst), stop);
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[test]
fn a_process_that_stood_still_tells_the_gap_and_goes_on() {
    let scratch = Scratch::new("standstill");
    let url = format!("udp://127.0.0.1:{}", free_udp_port());
    let _publisher = publish("red", 440, &format!("-f mpegts {url}"));
    let clock = Arc::new(PushedClock { clock: MonotonicClock::new(), pushed: AtomicI64::new(0) });
    let memory = Arc::new(Memory::default());
    let config = config(&scratch.path("work"), &[&url]);
    let (sink, time): (Arc<dyn CaptureSink>, Arc<dyn Clock>) = (memory.clone(), clock.clone());
    let capture = Capture::start_at(&config, &sink, &time).expect("the capture starts");
    memory.wait_for("the source to join", joined(1));
    record_for(&capture, Duration::from_secs(2));
    clock.pushed.store(20 * SECOND, Ordering::SeqCst);
    let length = memory.wait_for("the gap", |told| {
        told.events.iter().find_map(|event| match event {
            CaptureEvent::Gap { start, stop, reason } if reason.contains("stood still") => Some(stop.0 - start.0),
            _ => None,
        })
    });
    assert!((19_000..25_000).contains(&length), "{length} ms");
    record_for(&capture, Duration::from_secs(1));
    capture.stop();
    let told = memory.take();
    assert_unbroken(&told);
    assert!(told.closed.last().unwrap().open.discontinuity);
}

#[test]
fn a_work_volume_that_cannot_be_written_breaks_the_capture_and_not_the_process() {
    let scratch = Scratch::new("unwritable");
    let url = format!("udp://127.0.0.1:{}", free_udp_port());
    let _publisher = publish("red", 440, &format!("-f mpegts {url}"));
    let mut config = config(&scratch.path("work"), &[&url]);
    config.directory = scratch.path("never-made");
    let (capture, memory) = start(config);
    memory.wait_for("the capture to break", |told| {
        told.events.iter().find_map(|event| match event {
            CaptureEvent::Broken(error) => {
                assert_eq!(error.error().code, Code::RecorderFailed);
                assert!(error.to_string().contains("work volume"), "{error}");
                Some(())
            }
            _ => None,
        })
    });
    capture.stop();
}

#[test]
fn a_layout_changes_while_recording_without_a_gap() {
    let scratch = Scratch::new("relayout");
    let urls = [(); 2].map(|()| format!("udp://127.0.0.1:{}", free_udp_port()));
    let _red = publish("red", 440, &format!("-f mpegts {}", urls[0]));
    let _blue = publish("blue", 880, &format!("-f mpegts {}", urls[1]));
    let (capture, memory) = start(config(&scratch.path("work"), &[&urls[0], &urls[1]]));
    memory.wait_for("the first to join", joined(1));
    memory.wait_for("the second to join", joined(2));
    record_for(&capture, Duration::from_secs(2));
    capture.set_layout(Layout::Vertical, 1);
    let changed = capture.figures().position;
    record_for(&capture, Duration::from_secs(2));
    capture.stop();
    let told = memory.take();
    assert_eq!(told.closed.len(), 1, "the slice goes on");
    let file = joined_file(&scratch, &told.closed);
    assert!(times(&file, "v").windows(2).all(|pair| pair[1] - pair[0] < 0.5));
    let after = picture(&file, changed.as_secs_f64() + 1.0);
    assert!(alike(colour_at(&after, 320, 128, 120), [254, 0, 0]));
    assert!(alike(colour_at(&after, 320, 288, 30), [0, 0, 254]));
}

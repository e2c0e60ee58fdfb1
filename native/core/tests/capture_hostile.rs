// SPDX-License-Identifier: Apache-2.0
//! Whatever a source does, it ends in an error of that participant only: the others are recorded without a gap, the
//! process stays small, and the error says what is wrong. A program of its own, as it looks at the memory of the process.

mod capture_support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use capture_support::hostile::*;
use capture_support::servers::MediaServer;
use capture_support::*;
use cloud_recording_core::capture::api::CaptureEvent;
use cloud_recording_core::capture::Capture;

/// What the recorder may take with sixteen hostile sources at once, together with the servers of these tests.
const MOST_MEMORY: u64 = 700 << 20;

/// Memory is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const PLAYLIST: &str = "Content-Type: application/vnd.apple.mpegurl\r\n";
const STREAM: &str = "Content-Type: video/MP2T\r\n";

/// The most that the process ever had in memory.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the process knows itself");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") << 10
}

fn file(scratch: &Scratch, name: &str, arguments: &str) -> Vec<u8> {
    let path = scratch.path(name);
    ffmpeg(&format!("{arguments} {}", path.display()));
    fs::read(path).expect("a file")
}

/// Has every picture claim to be larger than it is.
fn enlarge(file: &mut [u8], small: &[u8], large: &[u8]) {
    let places: Vec<usize> = (0..file.len() - small.len()).filter(|at| file[*at..].starts_with(small)).collect();
    assert_eq!(places.len(), 3, "each picture has a header");
    places.iter().for_each(|at| file[*at..at + large.len()].copy_from_slice(large));
}

/// 200 MB of playlist in about 600 KB.
fn packed_playlist() -> Vec<u8> {
    let script = r"(printf '#EXTM3U\n#EXT-X-TARGETDURATION:1\n'; yes '#EXTINF:1,
a.ts' | head -c 200000000) | gzip -1";
    let output = Command::new("sh").args(["-c", script]).output().expect("gzip runs");
    assert!(output.status.success() && output.stdout.len() < 4 << 20);
    output.stdout
}

/// A server with one path for each way to do harm.
fn server(scratch: &Scratch) -> Server {
    let small = "-f lavfi -i color=c=red:size=64x64:rate=1:duration=3";
    let mut huge = file(scratch, "huge.mkv", &format!("{small} -c:v mjpeg"));
    enlarge(&mut huge, &[0xff, 0xc0, 0, 0x11, 8, 0, 64, 0, 64], &[0xff, 0xc0, 0, 0x11, 8, 0x21, 0xc0, 0x3c, 0]);
    let mut packed = file(scratch, "packed.mkv", &format!("{small} -c:v png"));
    enlarge(&mut packed, b"IHDR\0\0\0\x40\0\0\0\x40", b"IHDR\0\0\x40\0\0\0\x40\0");
    let secret = scratch.path("secret.ts");
    ffmpeg(&format!("{} {}", colour_and_tone("red", 440, 20.0), secret.display()));
    let (gzip, bomb, streams) = (packed_playlist(), sample_bomb(6, 20_000_000), thousand_streams());
    let (fast, wide) = (wav(768_000, 2), wav(48_000, 64));
    let list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXTINF:20,\nfile://{}\n", secret.display());
    Server::start(move |path, stream| match path {
        "garbage" => begin(stream, STREAM).and_then(|()| stream.write_all(&noise(4 << 20))),
        "huge.mkv" => reply(stream, "200 OK", "", &huge),
        "packed.mkv" => reply(stream, "200 OK", "", &packed),
        "streams.ts" => begin(stream, STREAM).and_then(|()| for_ever(stream, &streams)),
        "header" => begin(stream, "").and_then(|()| hold()),
        "endless-header" => write!(stream, "HTTP/1.0 200 OK\r\n").and_then(|()| for_ever(stream, b"X-Header: yes\r\n")),
        "nothing.ts" => begin(stream, STREAM).and_then(|()| for_ever(stream, &null_packet())),
        "endless.m3u8" => {
            begin(stream, PLAYLIST)?;
            stream.write_all(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n")?;
            for_ever(stream, b"#EXTINF:1,\na.ts\n")
        }
        "choices.m3u8" => {
            begin(stream, PLAYLIST)?;
            stream.write_all(b"#EXTM3U\n")?;
            for_ever(stream, b"#EXT-X-STREAM-INF:BANDWIDTH=1\nchoices.m3u8\n")
        }
        "slow" => dribble(stream),
        "packed.m3u8" => reply(stream, "200 OK", &format!("{PLAYLIST}Content-Encoding: gzip\r\n"), &gzip),
        "local.m3u8" => reply(stream, "200 OK", PLAYLIST, list.as_bytes()),
        "moved" => reply(stream, "302 Found", "Location: file:///etc/passwd\r\n", b""),
        "fast.wav" => reply(stream, "200 OK", "", &fast),
        "wide.wav" => reply(stream, "200 OK", "", &wide),
        "bomb.mp4" => reply(stream, "200 OK", "", &bomb),
        _ => reply(stream, "404 Not Found", "", b""),
    })
}

/// One byte a second: never silent, never done.
fn dribble(stream: &mut TcpStream) -> std::io::Result<()> {
    for byte in b"HTTP/1.0 200 OK\r\nContent-Type: video/MP2T\r\n".iter().cycle() {
        stream.write_all(&[*byte])?;
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Each way, and what the participant's error says of it.
const HARM: [(&str, &str); 16] = [
    ("garbage", "no media that is known here"),
    ("huge.mkv", "cannot be decoded"),
    ("packed.mkv", "cannot be decoded"),
    ("streams.ts", "no media for 10 s"),
    ("header", "no media for 10 s"),
    ("endless-header", "no media for 10 s"),
    ("nothing.ts", "no media for 10 s"),
    ("endless.m3u8", "do not end"),
    ("choices.m3u8", "do not end"),
    ("slow", "no media for 10 s"),
    ("packed.m3u8", "do not end"),
    ("local.m3u8", "a file of the recorder's machine"),
    ("moved", "a file of the recorder's machine"),
    ("fast.wav", "cannot be decoded"),
    ("wide.wav", "cannot be decoded"),
    ("bomb.mp4", "cannot be decoded"),
];

#[test]
fn sixteen_ways_to_do_harm_hurt_nobody_else() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new("harm");
    let (server, media) = (server(&scratch), MediaServer::start(&scratch));
    let good = media.rtmp_url("good");
    let _publisher = Running::ffmpeg(&format!("-re {} -f flv {good}", colour_and_tone("lime", 440, 600.0)));
    let urls: Vec<String> = [good].into_iter().chain(HARM.map(|(path, _)| server.url(path))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let memory = Arc::new(Memory::default());
    let capture = Capture::start(config(&scratch.path("work"), &urls), memory.clone()).expect("the capture starts");
    memory.wait_for("the good source to join", joined(1));
    for (index, (path, words)) in HARM.iter().enumerate() {
        let message = memory.wait_for(path, |told| told.events.iter().find_map(|event| unavailable(event, index + 2)));
        assert!(message.contains(words), "{path}: {message}");
        assert!(!message.contains("://") && !message.contains("127.0.0.1"), "no URL in: {message}");
    }
    let lateness = capture.figures().tick_lateness_p99;
    let end = capture.figures().position.as_secs_f64();
    capture.stop();
    let told = memory.take();
    assert_recorded_without_a_gap(&scratch, &told, end);
    let others = told.events.iter().filter(|event| matches!(event, CaptureEvent::Joined { uid: 2.., .. }));
    assert_eq!(others.count(), 0, "nothing of a bad source is recorded: {:?}", told.events);
    assert!(lateness < Duration::from_secs(1), "the tick goes on: {lateness:?}");
    assert!(peak_memory() < MOST_MEMORY, "{} MB", peak_memory() >> 20);
}

fn unavailable(event: &CaptureEvent, uid: usize) -> Option<String> {
    match event {
        CaptureEvent::Unavailable { uid: u, message, .. } if *u as usize == uid => Some(message.clone()),
        _ => None,
    }
}

fn assert_recorded_without_a_gap(scratch: &Scratch, told: &Told, end: f64) {
    assert!(left(1)(told).is_none(), "{:?}", told.events);
    let gap = |event: &CaptureEvent| matches!(event, CaptureEvent::Gap { .. } | CaptureEvent::Broken(_));
    assert!(!told.events.iter().any(gap), "{:?}", told.events);
    let recording = joined_file(scratch, &told.closed);
    let sound = samples(&recording, 0);
    // A busy machine may let the publisher itself stutter.
    let blocks = sound[48_000..sound.len() - 24_000].chunks_exact(4800);
    let (all, heard) = (blocks.len(), blocks.filter(|block| tone(block, 440.0) > 0.03).count());
    assert!(heard * 4 > all * 3, "heard in {heard} of {all} tenths of a second");
    let last = picture(&recording, end - 0.7);
    let seen = [(160, 120), (80, 60), (240, 60), (80, 180), (240, 180)].map(|(x, y)| colour_at(&last, 320, x, y));
    assert!(seen.iter().any(|colour| alike(*colour, [0, 255, 0])), "the good one is seen to the end: {seen:?}");
}

#[test]
fn sources_that_are_mad_but_alive_hurt_nobody_else() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new("mad");
    let small = "-c:v libx264 -preset ultrafast -tune zerolatency";
    let hasty = file(&scratch, "hasty.ts", &format!("-f lavfi -i color=size=16x16:rate=10000:duration=2 {small}"));
    let changing: Vec<u8> = (0..24)
        .flat_map(|index| {
            let size = format!("{}x{}", 64 + 32 * (index % 12), 64 + 64 * (index % 5));
            let source = format!("-f lavfi -i testsrc=size={size}:rate=25 -frames:v 1 {small} -bf 0");
            file(&scratch, &format!("{index}.h264"), &source)
        })
        .collect();
    let wild = with_wild_times(file(&scratch, "wild.ts", &colour_and_tone("red", 660, 20.0)));
    let server = Server::start(move |path, stream| {
        begin(stream, "")?;
        match path {
            "hasty.ts" => for_ever(stream, &hasty),
            "changing.h264" => for_ever(stream, &changing),
            _ => for_ever(stream, &wild),
        }
    });
    let media = MediaServer::start(&scratch);
    let good = media.rtmp_url("good");
    let _publisher = Running::ffmpeg(&format!("-re {} -f flv {good}", colour_and_tone("lime", 440, 600.0)));
    let urls = [good, server.url("hasty.ts"), server.url("changing.h264"), server.url("wild.ts")];
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let memory = Arc::new(Memory::default());
    let capture = Capture::start(config(&scratch.path("work"), &urls), memory.clone()).expect("the capture starts");
    memory.wait_for("the good source to join", joined(1));
    for uid in 2..=4 {
        memory.wait_for("a mad source to be told of", |told| {
            let told_of = |event: &&CaptureEvent| {
                matches!(event, CaptureEvent::Joined { uid: u, .. } | CaptureEvent::Unavailable { uid: u, .. } if *u == uid)
            };
            told.events.iter().find(told_of).map(drop)
        });
    }
    let (goal, deadline) = (capture.figures().position + Duration::from_secs(8), Instant::now() + PATIENCE);
    while capture.figures().position < goal {
        assert!(Instant::now() < deadline, "the recording advances");
        thread::sleep(Duration::from_millis(20));
    }
    let (lateness, end) = (capture.figures().tick_lateness_p99, capture.figures().position.as_secs_f64());
    capture.stop();
    assert_recorded_without_a_gap(&scratch, &memory.take(), end);
    assert!(lateness < Duration::from_secs(1), "the tick goes on: {lateness:?}");
    assert!(peak_memory() < MOST_MEMORY, "{} MB", peak_memory() >> 20);
}

/// A WAVE file of 32 bit floats: a tone in which, for the first second, every thousandth sample is `odd`.
fn float_wav(odd: f32, seconds: u32) -> Vec<u8> {
    let tone = |index: u32| 0.3 * (f32::from(u8::try_from(index % 48).unwrap_or(0)) * 0.1309).sin();
    let sample = |index| if index < 48_000 && index % 1000 == 999 { odd } else { tone(index) };
    let samples: Vec<u8> = (0..48_000 * seconds).flat_map(|index| sample(index).to_le_bytes()).collect();
    let length = u32::try_from(samples.len()).unwrap();
    let mut file = [&b"RIFF"[..], &(36 + length).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes()].concat();
    [3_u16, 1].iter().for_each(|word| file.extend(word.to_le_bytes()));
    [48_000_u32, 192_000].iter().for_each(|word| file.extend(word.to_le_bytes()));
    [4_u16, 32].iter().for_each(|word| file.extend(word.to_le_bytes()));
    [&file[..], b"data", &length.to_le_bytes(), &samples].concat()
}

/// A file of these pictures with a tone beside them.
fn with_a_tone(scratch: &Scratch, name: &str, pictures: &str, video: &str) -> String {
    source(
        scratch,
        name,
        &format!("{pictures} -f lavfi -i sine=frequency=3000:duration=6 {video} -allow_raw_vfw 1 -c:a aac"),
    )
}

/// The file with its pixels said to be of another format of the same size.
fn renamed(path: &str, from: &[u8; 4], to: &[u8; 4]) -> String {
    let mut file = fs::read(path).expect("a file");
    let at = file.windows(4).position(|window| window == from).expect("the format's name");
    file[at..at + 4].copy_from_slice(to);
    fs::write(path, file).expect("a file");
    path.to_owned()
}

fn odd_pictures(scratch: &Scratch, name: &str, size: &str, video: &str) -> String {
    with_a_tone(scratch, name, &format!("-f lavfi -i testsrc=size={size}:rate=10:duration=6"), video)
}

/// A file of FLV with each tag of its pictures changed.
fn flv(scratch: &Scratch, name: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let plain = fs::read(source(scratch, "plain.flv", &colour_and_tone("red", 440, 6.0))).expect("a file");
    let (head, mut tags) = plain.split_at(13);
    let mut changed = head.to_vec();
    while let Some((tag, rest)) = tags.split_at_checked(11) {
        let length = usize::from(tag[1]) << 16 | usize::from(tag[2]) << 8 | usize::from(tag[3]);
        let body = if tag[0] == 9 { change(&rest[..length]) } else { rest[..length].to_vec() };
        let size = u32::try_from(body.len()).unwrap();
        changed.extend([&tag[..1], &size.to_be_bytes()[1..], &tag[4..], &body, &(size + 11).to_be_bytes()].concat());
        tags = &rest[length + 4..];
    }
    let path = scratch.path(name);
    fs::write(&path, changed).expect("the changed file");
    path.to_str().unwrap().to_owned()
}

/// Enhanced RTMP is known from FFmpeg 6.1 on.
fn reads_enhanced_rtmp() -> bool {
    // SAFETY: only returns a number.
    unsafe { ffmpeg_sys_next::avformat_version() >= (60 << 16 | 16 << 8) }
}

#[test]
fn pictures_that_ffmpeg_does_not_read_in_flv_are_told_by_name_and_their_sound_is_recorded() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new("flv");
    let twelve = flv(&scratch, "twelve.flv", |body| [&[body[0] & 0xf0 | 12], &body[1..]].concat());
    // Packets of kind and type, then the codec; a picture of AVC has three bytes of composition time there already.
    let enhanced = flv(&scratch, "enhanced.flv", |body| {
        [&[0x80 | body[0] & 0x70 | body[1]], &b"hvc1"[..], &body[2 + 3 * usize::from(body[1] == 0)..]].concat()
    });
    let mut table = vec![(twelve, "HEVC")];
    if !reads_enhanced_rtmp() {
        table.push((enhanced, "HEVC, AV1 or VP9 by enhanced RTMP"));
    }
    let urls: Vec<&str> = table.iter().map(|(url, _)| url.as_str()).collect();
    let told = record_offline(&config(&scratch.path("work"), &urls));
    for (index, (url, words)) in table.iter().enumerate() {
        let uid = index + 1;
        let told_of =
            told.events.iter().filter_map(|event| complaint(event, uid).or_else(|| unavailable_words(event, uid)));
        let told_of: Vec<&str> = told_of.collect();
        assert!(told_of.iter().any(|told| told.contains(words)), "{url}: {told_of:?} of {:?}", told.events);
        joined(u32::try_from(uid).unwrap())(&told).expect("its sound is there");
    }
}

fn unavailable_words(event: &CaptureEvent, uid: usize) -> Option<&str> {
    match event {
        CaptureEvent::Unavailable { uid: u, message, .. } if *u as usize == uid => Some(message),
        _ => None,
    }
}

#[test]
fn media_that_nothing_can_use_is_its_sender_s_loss_alone_and_told_once_by_name() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new("odd");
    let wav = |name: &str, odd: f32| {
        let path = scratch.path(name);
        fs::write(&path, float_wav(odd, 1)).expect("a file");
        path.to_str().unwrap().to_owned()
    };
    let raw = |format: &str| {
        let pictures = format!("-f rawvideo -pixel_format {format} -video_size 64x64 -framerate 10 -t 6 -i /dev/zero");
        with_a_tone(&scratch, &format!("{format}.mkv"), &pictures, "-c:v copy")
    };
    let silence = "recorded as silence";
    let sources = [
        (source(&scratch, "good.mkv", &colour_and_tone("lime", 440, 6.0)), ""),
        (wav("nan.wav", f32::NAN), silence),
        (wav("infinite.wav", f32::INFINITY), silence),
        (wav("loud.wav", 1e30), silence),
        (wav("tiny.wav", 1e-40), ""),
        (raw("uyyvyy411"), "pixels of the format uyyvyy411 cannot be converted"),
        (renamed(&raw("yuyv422"), b"YUY2", b"ZZZZ"), "the decoder for rawvideo does not open"),
        (odd_pictures(&scratch, "thin.mkv", "1x240", "-c:v rawvideo -pix_fmt yuv420p"), "1x240 is too small"),
        (odd_pictures(&scratch, "flat.mkv", "240x1", "-c:v rawvideo -pix_fmt yuv420p"), "240x1 is too small"),
        (odd_pictures(&scratch, "odd.mkv", "33x35", "-c:v rawvideo -pix_fmt yuv410p"), ""),
        (odd_pictures(&scratch, "wide.mkv", "16384x16", "-c:v mjpeg -pix_fmt yuvj420p"), ""),
        (odd_pictures(&scratch, "tall.mkv", "16x16384", "-c:v mjpeg -pix_fmt yuvj420p"), ""),
        (odd_pictures(&scratch, "grey.mkv", "62x34", "-c:v rawvideo -pix_fmt monow"), ""),
        (odd_pictures(&scratch, "png.mkv", "64x64", "-c:v png"), "png is not decoded by this recorder"),
    ];
    let urls: Vec<&str> = sources.iter().map(|(url, _)| url.as_str()).collect();
    let told = record_offline(&config(&scratch.path("work"), &urls));
    let ends = |event: &&CaptureEvent| matches!(event, CaptureEvent::Broken(_) | CaptureEvent::Gap { .. });
    assert!(told.events.iter().find(ends).is_none(), "{:?}", told.events);
    for (index, (url, expected)) in sources.iter().enumerate() {
        let complaints: Vec<&str> = told.events.iter().filter_map(|event| complaint(event, index + 1)).collect();
        let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
        assert!(complaints.len() == expected.len(), "{url}: {complaints:?}");
        assert!(
            complaints.iter().zip(expected).all(|(words, expected)| words.contains(expected)),
            "{url}: {complaints:?}"
        );
        joined(u32::try_from(index + 1).unwrap())(&told).expect("everybody's sound is there");
    }
    let sound = samples(&joined_file(&scratch, &told.closed), 0);
    assert!(sound.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.1), "nothing of it is in the mix");
    let heard = [440.0, 1000.0, 3000.0].map(|hertz| tone(&sound[12_000..36_000], hertz));
    assert!(
        heard.iter().all(|tone| *tone > 0.02),
        "the good one, the broken ones and those without pictures: {heard:?}"
    );
}

#[test]
fn what_is_told_of_a_track_is_taken_back_once_the_track_is_all_right() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new("heals");
    let urls = [("heals.wav", 12), ("ends.wav", 2)].map(|(name, seconds)| {
        let path = scratch.path(name);
        fs::write(&path, float_wav(f32::NAN, seconds)).expect("a file");
        path.to_str().unwrap().to_owned()
    });
    let told = record_offline(&config(&scratch.path("work"), &[&urls[0], &urls[1]]));
    let of = |uid: u32| {
        let told = told.events.iter().filter_map(move |event| match event {
            CaptureEvent::TrackDamaged { uid: who, .. } if *who == uid => Some("damaged"),
            CaptureEvent::TrackHealed { uid: who, .. } if *who == uid => Some("healed"),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!((of(1), of(2)), (vec!["damaged", "healed"], vec!["damaged"]), "{:?}", told.events);
}

/// What is said of a participant's media.
fn complaint(event: &CaptureEvent, of: usize) -> Option<&str> {
    match event {
        CaptureEvent::TrackLost { uid, reason, is_news: true, .. }
        | CaptureEvent::TrackDamaged { uid, reason, is_news: true, .. }
            if *uid as usize == of =>
        {
            Some(reason)
        }
        _ => None,
    }
}

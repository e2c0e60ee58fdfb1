// SPDX-License-Identifier: Apache-2.0
//! What a source sends: playlists and media, served over loopback to the library's own opening. The first byte chooses
//! what it pretends to be. It ends in time, asks for nothing that is forbidden, and reads no file.
//!
//! The guard lets nothing but numeric loopback addresses pass, so that no playlist leads out of the machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use cloud_recording_core::capture::api::Access;
use cloud_recording_core::capture::{av, try_out, Guard};

const PRETENCES: [&str; 8] = ["a.m3u8", "a.ts", "a.mp4", "a.flv", "a.mkv", "a.aac", "a.h264", "a"];
const LIMIT: Duration = Duration::from_millis(1500);
const PACKETS: usize = 16;

struct Servers {
    port: u16,
    served: Arc<Mutex<Vec<u8>>>,
    forbidden: u16,
    trespasses: Arc<AtomicUsize>,
}

pub fn run(data: &[u8]) {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    let Some((first, body)) = data.split_first() else { return };
    av::take_over();
    let servers = SERVERS.get_or_init(Servers::start);
    // Inputs name the forbidden server without knowing its port.
    let body = replaced(body, b"FORBIDDEN", format!("127.9.9.9:{}", servers.forbidden).as_bytes());
    *servers.served.lock().unwrap() = body;
    let url = format!("http://127.0.0.1:{}/{}", servers.port, PRETENCES[usize::from(*first) % PRETENCES.len()]);
    let guard = Guard::new(&["http".to_owned()], false).refusing([127, 9, 9, 9].into()).within_loopback();
    let started = Instant::now();
    let outcome = try_out(&url, &Access::default(), &guard, PACKETS, LIMIT);
    let most = LIMIT * (u32::try_from(PACKETS).unwrap() + 1) + Duration::from_secs(10);
    assert!(started.elapsed() < most, "{:?}", started.elapsed());
    assert_eq!(servers.trespasses.load(Ordering::SeqCst), 0, "the forbidden address was asked");
    if let Err(failure) = outcome {
        let message = failure.to_string();
        assert!(!message.contains("127.0.0.1") && !message.contains("://"), "{message}");
    }
}

impl Servers {
    fn start() -> Self {
        let (served, trespasses) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicUsize>::default());
        let body = Arc::clone(&served);
        let port = listen("127.0.0.1:0", move |stream| {
            let body = body.lock().unwrap().clone();
            let mut head = [0; 2048];
            // Whoever hangs up has what it wanted.
            let _ = stream.read(&mut head).and_then(|_| {
                write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\r\n")?;
                stream.write_all(&body)
            });
        });
        let count = Arc::clone(&trespasses);
        let forbidden = listen("127.9.9.9:0", move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        Self { port, served, forbidden, trespasses }
    }
}

fn listen(address: &str, answer: impl Fn(&mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(address).expect("a port");
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|mut stream| answer(&mut stream)));
    port
}

fn replaced(text: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut rest = text;
    let mut result = Vec::with_capacity(text.len());
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        result.extend(&rest[..at]);
        result.extend(by);
        rest = &rest[at + what.len()..];
    }
    result.extend(rest);
    result
}

// SPDX-License-Identifier: Apache-2.0
//! A resolver that does not answer: it holds up its own participant, and nobody else.

mod capture_support;

use std::ffi::{c_char, c_int, CStr};
use std::thread;
use std::time::{Duration, Instant};

use capture_support::servers::free_udp_port;
use capture_support::*;

type Look =
    unsafe extern "C" fn(*const c_char, *const c_char, *const libc::addrinfo, *mut *mut libc::addrinfo) -> c_int;

/// Stands before the system's own, for this program and the libraries that it has loaded.
///
/// # Safety
/// As the system's.
#[no_mangle]
pub unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> c_int {
    // SAFETY: the caller's promise; the next of this name is the system's.
    unsafe {
        if !node.is_null() && CStr::from_ptr(node).to_bytes().ends_with(b".hangs.test") {
            thread::sleep(PATIENCE);
            return libc::EAI_AGAIN;
        }
        let next = libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr());
        let look: Look = std::mem::transmute(next);
        look(node, service, hints, found)
    }
}

fn stopped_within(passthrough: bool, urls: &[&str], ready: impl Fn(&Told) -> Option<()>) -> Duration {
    let scratch = Scratch::new(&format!("names-{}", urls.len()));
    let mut configuration = config(&scratch.path("work"), urls);
    configuration.protocols.push("tcp".to_owned());
    let longest_slice = Duration::from_secs(30);
    configuration.passthrough =
        passthrough.then_some(cloud_recording_core::capture::api::Passthrough { longest_slice });
    let (capture, memory) = start(configuration);
    memory.wait_for("the capture to be under way", ready);
    // Every source has begun to look by then.
    thread::sleep(Duration::from_millis(500));
    let asked = Instant::now();
    capture.stop();
    asked.elapsed()
}

#[test]
fn a_look_up_that_hangs_delays_no_stop_and_no_other_participant() {
    let good = format!("udp://127.0.0.1:{}", free_udp_port());
    let _publisher = publish("red", 440, &format!("-f mpegts {good}"));
    let hanging = ["rtmp", "http", "srt", "rtsp", "tcp"].map(|scheme| format!("{scheme}://media.hangs.test:9/a"));
    let urls: Vec<&str> = std::iter::once(&good).chain(&hanging).map(String::as_str).collect();
    let lasted = stopped_within(false, &urls, joined(1));
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
}

#[test]
fn it_delays_no_stop_of_a_stream_that_is_passed_through() {
    let lasted = stopped_within(true, &["rtmp://media.hangs.test/live/a"], |_| Some(()));
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
}

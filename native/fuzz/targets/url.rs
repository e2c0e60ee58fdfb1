// SPDX-License-Identifier: Apache-2.0
//! A source's URL: what the guard lets pass has the host for libav that it had for the guard, leads to no file unless it
//! is one, and no message repeats any of it but its protocol. No name is resolved.

use std::cell::RefCell;
use std::ffi::{c_char, CStr, CString};
use std::net::IpAddr;

use cloud_recording_core::capture::{Guard, Refusal};
use ffmpeg_sys_next as ffi;

/// Stands for a key. The corpus has it in many places.
const SECRET: &str = "hunter2hunter2";

const NETWORK: [&str; 10] = ["rtmp", "rtmps", "rtsp", "rtsps", "srt", "http", "https", "udp", "rtp", "tcp"];

pub fn run(data: &[u8]) {
    let Ok(url) = std::str::from_utf8(data) else { return };
    let guard = Guard::new(&NETWORK.map(str::to_owned), false);
    let asked = RefCell::new(None);
    let resolve = |host: &str| {
        asked.replace(Some(host.to_owned()));
        Some(host.parse::<IpAddr>().map_or_else(|_| vec![[127, 0, 0, 1].into()], |address| vec![address]))
    };
    match guard.judge(url, resolve) {
        Ok(_) => assert_read_alike(url, asked.take().unwrap_or_default()),
        Err(refusal) => assert_discreet(url, &refusal),
    }
    let _ = guard.check_reference("http://127.0.0.1/a.m3u8", url).map_err(|refusal| assert_discreet(url, &refusal));
}

/// libav finds the protocol and the host that the guard has judged.
fn assert_read_alike(url: &str, judged: String) {
    // What has a NUL in it is refused before it reaches libav.
    let Ok(text) = CString::new(url) else { return };
    let (mut protocol, mut host) = ([0 as c_char; 64], [0 as c_char; 1024]);
    let mut port = 0;
    // SAFETY: the arrays have the sizes that are told; null is for what is not wanted.
    unsafe {
        ffi::av_url_split(
            protocol.as_mut_ptr(),
            64,
            std::ptr::null_mut(),
            0,
            host.as_mut_ptr(),
            1024,
            &raw mut port,
            std::ptr::null_mut(),
            0,
            text.as_ptr(),
        );
    }
    // SAFETY: libav ends both with a NUL.
    let (protocol, host) = unsafe { (CStr::from_ptr(protocol.as_ptr()), CStr::from_ptr(host.as_ptr())) };
    let protocol = protocol.to_string_lossy();
    let protocol = protocol.rsplit('+').next().unwrap_or_default().to_owned();
    assert!(NETWORK.contains(&protocol.as_str()), "{url}: libav takes it for {protocol}");
    assert_eq!(host.to_string_lossy(), judged, "{url}: the host that libav connects to");
}

fn assert_discreet(url: &str, refusal: &Refusal) {
    let message = refusal.to_string();
    // What stands before the first colon is a protocol, if a slash follows.
    let is_protocol =
        matches!(refusal, Refusal::Protocol(protocol) if protocol.contains(SECRET) && url.contains("://"));
    assert!(is_protocol || !message.contains(SECRET), "{message}");
}

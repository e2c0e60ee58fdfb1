// SPDX-License-Identifier: Apache-2.0
//! The configuration document: no text makes the parser panic, and no message repeats a value, which may be a key.

use cloud_recording_core::config::Document;
/// Stands for a key. The corpus has it in many places.
const SECRET: &str = "hunter2@hunter2";

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Document::parse(text) {
        Ok(document) => {
            assert!(document.channels.iter().all(|channel| (1..=17).contains(&channel.streams.len())));
            let _ = (document.work_directory(), document.slice(), document.channel("room"));
        }
        Err(error) => assert!(!error.message.contains(SECRET), "{}", error.message),
    }
}

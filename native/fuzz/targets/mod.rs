// SPDX-License-Identifier: Apache-2.0
//! What is tried with any bytes. Shared by the fuzzing programs and by a test of the core, which replays their corpora.
//! A target fails by a panic.

pub mod configuration;
pub mod parts;
pub mod remains;
pub mod source;
pub mod url;

use std::path::PathBuf;

/// A directory of this process, in memory: what is tried here is not about disks.
fn scratch(name: &str) -> PathBuf {
    let path = std::path::Path::new("/dev/shm").join(format!("cloud-recording-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

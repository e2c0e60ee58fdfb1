// SPDX-License-Identifier: Apache-2.0
//! What the unit tests share.

use std::path::{Path, PathBuf};

use crate::capture::av::frame::Frame;

/// A directory of a test's own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("cloud-recording-{}", crate::names::random_recording_id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A picture of noise.
pub fn noisy_picture(width: u32, height: u32) -> Frame {
    let mut picture = Frame::i420(width, height).expect("a picture");
    let mut noise = noise();
    for index in 0..3 {
        picture.plane_mut(index).expect("a plane").0.fill_with(|| noise.next().expect("noise"));
    }
    picture
}

/// Bytes without a pattern, the same each time.
pub fn noise() -> impl Iterator<Item = u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(next(&1), next).map(|state| state.to_le_bytes()[3])
}

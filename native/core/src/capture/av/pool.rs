// SPDX-License-Identifier: Apache-2.0
//! Pictures of one size that are written, read by others, and written again when those are done with them.

use super::frame::Frame;
use super::AvError;

pub struct Pool {
    width: u32,
    height: u32,
    most: usize,
    frames: Vec<Frame>,
}

impl Pool {
    /// A pool of up to `most` I420 pictures of even size.
    pub fn new(width: u32, height: u32, most: usize) -> Self {
        Self { width, height, most, frames: Vec::new() }
    }

    pub fn is_of(&self, width: u32, height: u32) -> bool {
        (self.width, self.height) == (width, height)
    }

    /// A picture that nobody else holds, contents undefined; nothing while all of them are held.
    pub fn take(&mut self) -> Result<Option<Frame>, AvError> {
        // The one that was given back last: the processor's cache may still have it.
        if let Some(free) = self.frames.iter().rposition(Frame::is_exclusive) {
            return Ok(Some(self.frames.remove(free)));
        }
        if self.frames.len() >= self.most {
            return Ok(None);
        }
        Frame::i420(self.width, self.height).map(Some)
    }

    /// Keeps a reference to a picture that others still use, to give it out again when they are done.
    pub fn put(&mut self, frame: Frame) {
        self.frames.push(frame);
    }
}

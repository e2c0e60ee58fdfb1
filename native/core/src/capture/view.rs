// SPDX-License-Identifier: Apache-2.0
//! How a picture of any size and shape of samples lies in a region of the canvas.

use super::av::frame::Frame;
use super::av::scale::Crop;
use super::geometry::{fitted, Fill, Region};

/// Which part of a picture goes where.
pub struct View {
    pub crop: Region,
    pub target: Region,
}

impl View {
    pub fn of(frame: &Frame, region: Region, fill: Fill) -> Self {
        let aspect = frame.raw().sample_aspect_ratio;
        let aspect = match (u32::try_from(aspect.num), u32::try_from(aspect.den)) {
            // Shapes that no camera has come from broken headers.
            (Ok(num), Ok(den)) if num > 0 && den > 0 && num / den < 16 && den / num < 16 => (num, den),
            _ => (1, 1),
        };
        let (crop, target) = fitted((frame.width(), frame.height()), aspect, region, fill);
        Self { crop, target }
    }

    pub fn source(&self) -> Crop {
        Crop { x: self.crop.x, y: self.crop.y, width: self.crop.width, height: self.crop.height }
    }

    pub fn covers(&self, width: u32, height: u32) -> bool {
        self.target == Region { x: 0, y: 0, width, height }
    }

    /// Whether the samples can be taken as they are.
    pub fn is_plain(&self, frame: &Frame) -> bool {
        (self.crop.width, self.crop.height) == (self.target.width, self.target.height)
            && frame.is_i420()
            && !frame.is_full_range()
    }

    /// Whether the picture is shown whole and as it is.
    pub fn is_all_of(&self, frame: &Frame) -> bool {
        let whole = Region { x: 0, y: 0, width: frame.width(), height: frame.height() };
        self.is_plain(frame) && self.crop == whole
    }
}

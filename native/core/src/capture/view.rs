// SPDX-License-Identifier: Apache-2.0
//! How a picture of any size and shape of samples lies in a region of the canvas.

use super::av::frame::Frame;
use super::av::scale::Crop;
use super::av::turn::Turn;
use super::geometry::{fitted, Fill, Region};

/// A picture's size, and the shape of one of its samples, width over height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureShape {
    pub size: (u32, u32),
    pub aspect: (u32, u32),
}

impl PictureShape {
    pub fn of(frame: &Frame) -> Self {
        let aspect = frame.raw().sample_aspect_ratio;
        let aspect = match (u32::try_from(aspect.num), u32::try_from(aspect.den)) {
            // Shapes that no camera has come from broken headers.
            (Ok(num), Ok(den)) if num > 0 && den > 0 && num / den < 16 && den / num < 16 => (num, den),
            _ => (1, 1),
        };
        Self { size: (frame.width(), frame.height()), aspect }
    }

    /// That of the picture once it is turned.
    pub fn turned(self, turn: Turn) -> Self {
        Self { size: turn.pair(self.size), aspect: turn.pair(self.aspect) }
    }

    /// All of it, of even size.
    pub fn whole(self) -> Region {
        Region { x: 0, y: 0, width: self.size.0 & !1, height: self.size.1 & !1 }
    }
}

/// Which part of a picture goes where.
pub struct View {
    pub crop: Region,
    pub target: Region,
}

impl View {
    pub fn of(frame: &Frame, region: Region, fill: Fill) -> Self {
        Self::of_shape(PictureShape::of(frame), region, fill)
    }

    pub fn of_shape(shape: PictureShape, region: Region, fill: Fill) -> Self {
        let (crop, target) = fitted(shape.size, shape.aspect, region, fill);
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
        (self.crop.width, self.crop.height) == (self.target.width, self.target.height) && frame.is_i420()
    }

    /// Whether the picture is shown whole and as it is.
    pub fn is_all_of(&self, frame: &Frame) -> bool {
        let whole = Region { x: 0, y: 0, width: frame.width(), height: frame.height() };
        self.is_plain(frame) && self.crop == whole
    }
}

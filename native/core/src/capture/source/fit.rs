// SPDX-License-Identifier: Apache-2.0
//! Brings a source's pictures to the size they are shown at, as soon as they are decoded.
//!
//! Then they are read while the processor's cache still has them, those that wait for their time take a fraction of the
//! memory, and the work is done on the source's thread instead of the tick's. The tick scales only what was on its way when
//! the layout changed, and what has to be enlarged.

use crate::capture::av::frame::Frame;
use crate::capture::av::pool::Pool;
use crate::capture::av::scale::Scaler;
use crate::capture::geometry::{Fill, Region};
use crate::capture::view::View;

/// Pictures of one size that may wait at once; a source beyond that hands on its pictures as they are.
const MOST_PICTURES: usize = 64;

pub struct Fitter {
    scaler: Scaler,
    pool: Pool,
}

impl Fitter {
    pub fn new() -> Self {
        Self { scaler: Scaler::default(), pool: Pool::new(0, 0, 0) }
    }

    /// The part of the picture that is seen in the region, as large as there; the picture itself where that is no less.
    pub fn fit(&mut self, frame: Frame, shown: Option<(Region, Fill)>) -> Frame {
        // A picture that could not be scaled for want of memory can still be shown.
        shown.and_then(|(region, fill)| self.fitted(&frame, region, fill)).unwrap_or(frame)
    }

    fn fitted(&mut self, frame: &Frame, region: Region, fill: Fill) -> Option<Frame> {
        let view = View::of(frame, region, fill);
        let (width, height) = (view.target.width, view.target.height);
        if view.is_all_of(frame) || width > frame.width() || height > frame.height() {
            return None;
        }
        if !self.pool.is_of(width, height) {
            self.pool = Pool::new(width, height, MOST_PICTURES);
        }
        let mut fitted = self.pool.take().ok().flatten()?;
        self.scaler.scale(frame, view.source(), &mut fitted).ok()?;
        self.pool.put(fitted.share().ok()?);
        Some(fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(size: (u32, u32), region: (u32, u32), fill: Fill) -> (u32, u32) {
        let frame = Frame::i420(size.0, size.1).expect("a picture");
        let region = Region { x: 10, y: 20, width: region.0, height: region.1 };
        let frame = Fitter::new().fit(frame, Some((region, fill)));
        (frame.width(), frame.height())
    }

    #[test]
    fn a_picture_becomes_as_large_as_it_is_shown_and_never_larger_than_it_came() {
        for (size, region, fill, expected) in [
            ((640, 360), (320, 180), Fill::Crop, (320, 180)),
            ((640, 360), (64, 46), Fill::Crop, (64, 46)),
            ((640, 360), (512, 360), Fill::Fit, (512, 288)),
            ((640, 360), (640, 360), Fill::Crop, (640, 360)),
            ((640, 360), (1280, 720), Fill::Crop, (640, 360)),
        ] {
            assert_eq!(fitted(size, region, fill), expected, "{size:?} shown in {region:?}");
        }
    }

    #[test]
    fn pictures_stay_as_they_came_until_it_is_known_where_they_are_shown() {
        let frame = Fitter::new().fit(Frame::i420(64, 64).expect("a picture"), None);
        assert_eq!((frame.width(), frame.height()), (64, 64));
    }

    #[test]
    fn pictures_that_are_still_held_are_not_written_again() {
        let mut fitter = Fitter::new();
        let region = Region { x: 0, y: 0, width: 32, height: 32 };
        let mut picture = |luma: u8| {
            let mut frame = Frame::i420(64, 64).expect("a picture");
            frame.plane_mut(0).expect("luma").0.fill(luma);
            fitter.fit(frame, Some((region, Fill::Crop)))
        };
        let held: Vec<Frame> = (0..200).map(&mut picture).collect();
        for (frame, luma) in held.iter().zip(0..200) {
            assert_eq!(frame.plane(0).expect("luma").bytes[0], luma);
        }
    }
}

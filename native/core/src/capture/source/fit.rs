// SPDX-License-Identifier: Apache-2.0
//! Brings a source's pictures to the size they are shown at, as soon as they are decoded.
//!
//! Then they are read while the processor's cache still has them, those that wait for their time take a fraction of the
//! memory, and the work is done on the source's thread instead of the tick's. The tick scales only what was on its way when
//! the layout changed, and what has to be enlarged.

use crate::capture::av::frame::Frame;
use crate::capture::av::pool::Pool;
use crate::capture::av::scale::Scaler;
use crate::capture::geometry::{self, Fill, Region};
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

    /// The part of the picture that is worth keeping for the region, as large as there; the picture itself where that is no
    /// less.
    pub fn fit(&mut self, frame: Frame, shown: Option<(Region, Fill)>) -> Frame {
        // A picture that could not be scaled for want of memory can still be shown.
        shown.and_then(|(region, fill)| self.fitted(&frame, region, fill)).unwrap_or(frame)
    }

    fn fitted(&mut self, frame: &Frame, region: Region, fill: Fill) -> Option<Frame> {
        let kept = kept(frame, region, fill);
        let (width, height) = (kept.target.width, kept.target.height);
        if kept.is_all_of(frame) || width > frame.width() || height > frame.height() {
            return None;
        }
        if !self.pool.is_of(width, height) {
            self.pool = Pool::new(width, height, MOST_PICTURES);
        }
        let mut fitted = self.pool.take().ok().flatten()?;
        self.scaler.scale(frame, kept.source(), &mut fitted).ok()?;
        self.pool.put(fitted.share().ok()?);
        Some(fitted)
    }
}

/// What of a picture is kept while it waits for its time, and how large it becomes: what is seen in the region, or all of the
/// picture where that is much less. When somebody joins or leaves meanwhile, the next layout shows it, and what was cut
/// away would be missed.
fn kept(frame: &Frame, region: Region, fill: Fill) -> View {
    let seen = View::of(frame, region, fill);
    let View { crop, target } = seen;
    let whole = Region { x: 0, y: 0, width: frame.width() & !1, height: frame.height() & !1 };
    if 4 * crop.width * crop.height >= 3 * whole.width * whole.height {
        return seen;
    }
    let scaled = |length: u32, shown: u32, of: u32| (length * shown / of) & !1;
    let size = (scaled(whole.width, target.width, crop.width), scaled(whole.height, target.height, crop.height));
    let (later, _) = geometry::fitted(size, (1, 1), region, fill);
    if (later.width, later.height) != (target.width, target.height) {
        // The tick would have to scale it once more.
        return seen;
    }
    View { crop: whole, target: Region { x: 0, y: 0, width: size.0, height: size.1 } }
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
            ((640, 360), (320, 360), Fill::Crop, (640, 360)),
            ((1280, 720), (320, 360), Fill::Crop, (640, 360)),
            ((1280, 720), (212, 180), Fill::Crop, (320, 180)),
            ((360, 640), (320, 180), Fill::Crop, (320, 570)),
        ] {
            assert_eq!(fitted(size, region, fill), expected, "{size:?} shown in {region:?}");
        }
    }

    #[test]
    fn one_of_two_whose_picture_waits_is_seen_whole_when_others_join() {
        let mut frame = Frame::i420(1280, 720).expect("a picture");
        let (bytes, stride) = frame.plane_mut(0).expect("luma");
        bytes.chunks_mut(stride).for_each(|row| row[..100].fill(200));
        let region = |width, height| Region { x: 0, y: 0, width, height };
        let fitted = Fitter::new().fit(frame, Some((region(320, 360), Fill::Crop)));
        assert_eq!(View::of(&fitted, region(320, 360), Fill::Crop).crop.width, 320, "the tick takes it as it is");
        let later = View::of(&fitted, region(320, 180), Fill::Crop);
        assert_eq!((later.crop.x, later.crop.width), (0, 640));
        assert_eq!(fitted.plane(0).expect("luma").bytes[10], 200, "its left edge is there");
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

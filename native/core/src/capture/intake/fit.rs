// SPDX-License-Identifier: Apache-2.0
//! Brings a source's pictures to the size they are shown at, and into the form of the canvas, as soon as they are decoded.
//!
//! Then they are read while the processor's cache still has them, those that wait for their time take a fraction of the
//! memory, and the work is done on the source's thread instead of the tick's. The tick scales only what was on its way when
//! the layout changed, and what has to be enlarged.

use std::ffi::c_int;

use ffmpeg_sys_next::AVPixelFormat::AV_PIX_FMT_YUV420P;

use crate::capture::av::colour::Colour;
use crate::capture::av::convert::Conversion;
use crate::capture::av::deinterlace::Deinterlacer;
use crate::capture::av::frame::{Frame, TEN_BITS};
use crate::capture::av::pool::Pool;
use crate::capture::av::scale::{Crop, ScaleError, Scaler};
use crate::capture::av::turn::Turn;
use crate::capture::av::AvError;
use crate::capture::geometry::{self, Fill, Region};
use crate::capture::view::{PictureShape, View};

/// Pictures of one size that may wait at once; a source beyond that hands on its pictures as they are.
const MOST_PICTURES: usize = 64;

/// A picture as it was meant, in the form of the canvas: upright, whole, I420, in the recording's colours.
pub struct Fitted(Frame);

impl Fitted {
    /// One that is known to be so.
    #[cfg(test)]
    pub fn known(frame: Frame) -> Self {
        Self(frame)
    }

    pub fn into_frame(self) -> Frame {
        self.0
    }
}

pub struct Fitter {
    recording: Colour,
    deinterlacer: Deinterlacer,
    scaler: Scaler,
    pool: Pool,
    turn: Turn,
    /// What it takes to convert pictures of the last colours.
    conversion: Option<(Colour, Option<Conversion>)>,
    /// Between two steps: scaled, and converted.
    scratch: [Option<Frame>; 2],
}

impl Fitter {
    pub fn new(recording: Colour) -> Self {
        Self {
            recording,
            deinterlacer: Deinterlacer::default(),
            scaler: Scaler::default(),
            pool: Pool::new(0, 0, 0),
            turn: Turn::NONE,
            conversion: None,
            scratch: [None, None],
        }
    }

    /// The last picture's size, turned as it is shown.
    pub fn upright(&self, size: (u32, u32)) -> (u32, u32) {
        self.turn.pair(size)
    }

    /// The part of the picture that is worth keeping for the region, as large as there; the whole picture where that is no
    /// less.
    pub fn fit(&mut self, frame: Frame, shown: Option<(Region, Fill)>) -> Result<Fitted, ScaleError> {
        let frame = self.deinterlacer.take(frame)?;
        self.turn = Turn::of(&frame);
        let colour = Colour::of(&frame, self.recording);
        if frame.is_i420() && self.turn == Turn::NONE && colour == self.recording {
            // A picture that could not be scaled for want of memory can still be shown.
            let fitted = shown.and_then(|(region, fill)| self.scaled(&frame, region, fill));
            return Ok(Fitted(fitted.unwrap_or(frame)));
        }
        self.brought_over(&frame, colour, shown).map(Fitted)
    }

    fn scaled(&mut self, frame: &Frame, region: Region, fill: Fill) -> Option<Frame> {
        let kept = kept(PictureShape::of(frame), region, fill);
        let (width, height) = (kept.target.width, kept.target.height);
        if kept.is_all_of(frame) || width > frame.width() || height > frame.height() {
            return None;
        }
        let mut fitted = self.pooled((width, height)).ok().flatten()?;
        self.scaler.scale(frame, kept.source(), &mut fitted, self.recording.matrix).ok()?;
        self.pool.put(fitted.share().ok()?);
        Some(fitted)
    }

    fn pooled(&mut self, (width, height): (u32, u32)) -> Result<Option<Frame>, AvError> {
        if !self.pool.is_of(width, height) {
            self.pool = Pool::new(width, height, MOST_PICTURES);
        }
        self.pool.take()
    }

    /// A picture that differs from the recording's own in more than its size: at the size at which it came, or is shown.
    fn brought_over(
        &mut self,
        frame: &Frame,
        colour: Colour,
        shown: Option<(Region, Fill)>,
    ) -> Result<Frame, ScaleError> {
        let shape = PictureShape::of(frame).turned(self.turn);
        let whole = shape.whole();
        let no_larger = |view: &View| view.target.width <= whole.width && view.target.height <= whole.height;
        let view = shown.map(|(region, fill)| kept(shape, region, fill)).filter(no_larger);
        let (view, aspect) = view.map_or((View { crop: whole, target: whole }, shape.aspect), |view| (view, (1, 1)));
        let size = (view.target.width, view.target.height);
        let mut fitted = match self.pooled(size).map_err(ScaleError::Failed)? {
            Some(fitted) => fitted,
            None => Frame::i420(size.0, size.1).map_err(ScaleError::Failed)?,
        };
        let crop = self.turn.back(view.source(), (frame.width(), frame.height()));
        self.bring(frame, crop, colour, &mut fitted)?;
        fitted.set_aspect(aspect);
        self.pool.put(fitted.share().map_err(ScaleError::Failed)?);
        Ok(fitted)
    }

    /// Scales, converts and turns, each where need be.
    fn bring(&mut self, frame: &Frame, crop: Crop, colour: Colour, into: &mut Frame) -> Result<(), ScaleError> {
        let Self { recording, scaler, turn, scratch: [scaled, converted], .. } = self;
        let known = self.conversion.take().filter(|(known, _)| *known == colour);
        let conversion = known.unwrap_or_else(|| (colour, Conversion::between(colour, *recording)));
        let size = turn.pair((into.width(), into.height()));
        let Some(way) = &conversion.1 else {
            let target =
                if *turn == Turn::NONE { &mut *into } else { blank(scaled, AV_PIX_FMT_YUV420P as c_int, size)? };
            scaler.scale(frame, crop, target, recording.matrix)?;
            if let (Some(scaled), true) = (scaled, *turn != Turn::NONE) {
                turn.apply(scaled, into);
            }
            self.conversion = Some(conversion);
            return Ok(());
        };
        let format = if way.takes_ten_bits() { TEN_BITS } else { AV_PIX_FMT_YUV420P } as c_int;
        let (source, at) = if frame.plain_format() == format && (crop.width, crop.height) == size {
            (frame, (crop.x, crop.y))
        } else {
            let target = blank(scaled, format, size)?;
            scaler.scale(frame, crop, target, recording.matrix)?;
            (&*target, (0, 0))
        };
        if *turn == Turn::NONE {
            way.apply(source, at, into);
        } else {
            let target = blank(converted, AV_PIX_FMT_YUV420P as c_int, size)?;
            way.apply(source, at, target);
            turn.apply(target, into);
        }
        self.conversion = Some(conversion);
        Ok(())
    }
}

/// The picture that is kept for this, with the right form.
fn blank(kept: &mut Option<Frame>, format: c_int, (width, height): (u32, u32)) -> Result<&mut Frame, ScaleError> {
    let fits = |frame: &Frame| (frame.raw().format, frame.width(), frame.height()) == (format, width, height);
    let frame = match kept.take().filter(fits) {
        Some(frame) => frame,
        None => Frame::numbered(format, width, height).map_err(ScaleError::Failed)?,
    };
    Ok(kept.insert(frame))
}

/// What of a picture is kept while it waits for its time, and how large it becomes: what is seen in the region, or all of the
/// picture where that is much less. When somebody joins or leaves meanwhile, the next layout shows it, and what was cut
/// away would be missed.
fn kept(shape: PictureShape, region: Region, fill: Fill) -> View {
    let seen = View::of_shape(shape, region, fill);
    let View { crop, target } = seen;
    let whole = shape.whole();
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
        let frame = Fitter::new(Colour::of_recording(640, 360)).fit(frame, Some((region, fill))).unwrap().0;
        (frame.width(), frame.height())
    }

    #[test]
    fn a_picture_becomes_as_large_as_it_is_shown_and_never_larger_than_it_came() {
        for (size, region, fill, expected) in [
            ((640, 360), (320, 180), Fill::Crop, (320, 180)),
            ((640, 360), (64, 46), Fill::Crop, (64, 46)),
            ((640, 360), (512, 360), Fill::Contain, (512, 288)),
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
        let fitted =
            Fitter::new(Colour::of_recording(1280, 720)).fit(frame, Some((region(320, 360), Fill::Crop))).unwrap().0;
        assert_eq!(View::of(&fitted, region(320, 360), Fill::Crop).crop.width, 320, "the tick takes it as it is");
        let later = View::of(&fitted, region(320, 180), Fill::Crop);
        assert_eq!((later.crop.x, later.crop.width), (0, 640));
        assert_eq!(fitted.plane(0).expect("luma").bytes[10], 200, "its left edge is there");
    }

    #[test]
    fn pictures_stay_as_they_came_until_it_is_known_where_they_are_shown() {
        let frame =
            Fitter::new(Colour::of_recording(640, 360)).fit(Frame::i420(64, 64).expect("a picture"), None).unwrap().0;
        assert_eq!((frame.width(), frame.height()), (64, 64));
    }

    #[test]
    fn pictures_that_are_still_held_are_not_written_again() {
        let mut fitter = Fitter::new(Colour::of_recording(640, 360));
        let region = Region { x: 0, y: 0, width: 32, height: 32 };
        let mut picture = |luma: u8| {
            let mut frame = Frame::i420(64, 64).expect("a picture");
            frame.plane_mut(0).expect("luma").0.fill(luma);
            fitter.fit(frame, Some((region, Fill::Crop))).unwrap().0
        };
        let held: Vec<Frame> = (0..200).map(&mut picture).collect();
        for (frame, luma) in held.iter().zip(0..200) {
            assert_eq!(frame.plane(0).expect("luma").bytes[0], luma);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Paints the composed picture from participants' pictures, which mostly come as large as they are shown; scales those that
//! do not, once each, and reuses the whole canvas while nothing on it changed.

use std::collections::HashMap;
use std::fmt;

use super::av::colour::Matrix;
use super::av::frame::{blacken, blit, Frame};
use super::av::pool::Pool;
use super::av::scale::{ScaleError, Scaler};
use super::av::AvError;
use super::feed::Picture;
use super::geometry::{Placement, Region};
use super::view::View;
use crate::panics::{contained, Panic};

/// What lies on the canvas at one place: a picture, nothing that may be seen through, or black.
pub enum CellContent {
    Picture(Picture),
    /// The participant sends video, but none is there now.
    Black,
    /// The participant sends no video; what lies behind shows.
    Transparent,
}

/// The canvas' own pictures cannot be had: there is no memory for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SceneError(AvError);

/// Why one participant's picture is not on the canvas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpaintable {
    Scale(ScaleError),
    Memory(AvError),
    Panicked(Panic),
}

impl fmt::Display for Unpaintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Panicked(panic) => write!(f, "an internal error: {panic}"),
        }
    }
}

/// What became of a composition.
#[derive(Default)]
pub struct Composed {
    /// Nothing when the encoder still holds every picture of the pool.
    pub picture: Option<Frame>,
    /// Whose pictures could not be painted: their places are black.
    pub unpainted: Vec<(u32, Unpaintable)>,
}

pub struct Canvas {
    width: u32,
    height: u32,
    painters: HashMap<u32, Painter>,
    pool: Pool,
    last: Option<(Vec<Drawn>, Frame)>,
}

/// What was painted, as far as a repetition can be told by it.
#[derive(PartialEq, Eq)]
struct Drawn {
    place: Placement,
    /// The picture's serial number, or black.
    serial: Option<u64>,
}

impl Canvas {
    /// A canvas of even size that has up to `pictures` composed pictures on their way to the encoder.
    pub fn new(width: u32, height: u32, pictures: usize) -> Self {
        Self { width, height, painters: HashMap::new(), pool: Pool::new(width, height, pictures), last: None }
    }

    /// The composed picture, whatever single participants sent.
    pub fn compose(&mut self, contents: &[(Placement, CellContent)]) -> Result<Composed, SceneError> {
        self.composed(contents).map_err(SceneError)
    }

    fn composed(&mut self, contents: &[(Placement, CellContent)]) -> Result<Composed, AvError> {
        let drawn: Vec<Drawn> = contents.iter().filter_map(Drawn::of).collect();
        if let Some((_, frame)) = self.last.as_ref().filter(|(last, _)| *last == drawn) {
            return Ok(Composed { picture: Some(frame.share()?), unpainted: Vec::new() });
        }
        let composed = match self.untouched(contents)? {
            Some(frame) => Composed { picture: Some(frame), unpainted: Vec::new() },
            None => self.painted(contents)?,
        };
        if let Some(frame) = &composed.picture {
            self.last = Some((drawn, frame.share()?));
            self.painters.retain(|uid, _| contents.iter().any(|(place, _)| place.uid == *uid));
        }
        Ok(composed)
    }

    /// One picture that is as large as the canvas is the canvas.
    fn untouched(&self, contents: &[(Placement, CellContent)]) -> Result<Option<Frame>, AvError> {
        let [(place, CellContent::Picture(picture))] = contents else { return Ok(None) };
        let view = View::of(&picture.frame, place.region, place.fill);
        if view.covers(self.width, self.height) && view.is_all_of(&picture.frame) {
            return picture.frame.share().map(Some);
        }
        Ok(None)
    }

    fn painted(&mut self, contents: &[(Placement, CellContent)]) -> Result<Composed, AvError> {
        let Some(mut frame) = self.pool.take()? else { return Ok(Composed::default()) };
        let unpainted = self.paint(contents, &mut frame);
        self.pool.put(frame.share()?);
        Ok(Composed { picture: Some(frame), unpainted })
    }

    /// Whether pictures side by side leave nothing of the canvas to be seen, as in a full grid.
    fn is_covered(&self, contents: &[(Placement, CellContent)]) -> bool {
        let target = |(place, content): &(Placement, CellContent)| match content {
            CellContent::Picture(picture) => View::of(&picture.frame, place.region, place.fill).target,
            CellContent::Black => place.region,
            CellContent::Transparent => Region { width: 0, ..place.region },
        };
        let targets: Vec<Region> = contents.iter().map(target).collect();
        let apart = |one: &Region, other: &Region| {
            one.x + one.width <= other.x
                || other.x + other.width <= one.x
                || one.y + one.height <= other.y
                || other.y + other.height <= one.y
        };
        let all_apart = (1..targets.len()).all(|index| targets[..index].iter().all(|one| apart(one, &targets[index])));
        let area: u32 = targets.iter().map(|target| target.width * target.height).sum();
        all_apart && area == self.width * self.height
    }

    /// Paints all that can be painted; returns what cannot.
    fn paint(&mut self, contents: &[(Placement, CellContent)], frame: &mut Frame) -> Vec<(u32, Unpaintable)> {
        let mut unpainted = Vec::new();
        if !self.is_covered(contents) {
            blacken(frame);
        }
        for (place, content) in contents {
            match content {
                CellContent::Picture(picture) => {
                    let painter = self.painters.entry(place.uid).or_insert_with(Painter::new);
                    let done = contained(|| painter.paint(picture, *place, frame));
                    if let Err(error) = done.unwrap_or_else(|panic| Err(Unpaintable::Panicked(panic))) {
                        self.painters.remove(&place.uid);
                        blacken_region(frame, place.region);
                        unpainted.push((place.uid, error));
                    }
                }
                CellContent::Black => blacken_region(frame, place.region),
                CellContent::Transparent => {}
            }
        }
        unpainted
    }
}

impl Drawn {
    fn of(entry: &(Placement, CellContent)) -> Option<Self> {
        match &entry.1 {
            CellContent::Picture(picture) => Some(Self { place: entry.0, serial: Some(picture.serial) }),
            CellContent::Black => Some(Self { place: entry.0, serial: None }),
            CellContent::Transparent => None,
        }
    }
}

/// One participant's scaler and its last result.
struct Painter {
    scaler: Scaler,
    scaled: Option<(u64, Region, Frame)>,
}

impl Painter {
    fn new() -> Self {
        Self { scaler: Scaler::default(), scaled: None }
    }

    fn paint(&mut self, picture: &Picture, place: Placement, canvas: &mut Frame) -> Result<(), Unpaintable> {
        let view = View::of(&picture.frame, place.region, place.fill);
        let View { crop, target } = view;
        let size = (target.width, target.height);
        if view.covers(canvas.width(), canvas.height()) && !view.is_plain(&picture.frame) {
            return self.scaler.scale(&picture.frame, view.source(), canvas, Matrix::Bt709).map_err(Unpaintable::Scale);
        }
        if view.is_plain(&picture.frame) {
            blit(&picture.frame, (crop.x, crop.y), canvas, (target.x, target.y), size);
            return Ok(());
        }
        let frame = self.scaled(picture, &view)?;
        blit(frame, (0, 0), canvas, (target.x, target.y), size);
        Ok(())
    }

    /// The picture at the wanted size, from the last time when nothing of it changed.
    fn scaled(&mut self, picture: &Picture, view: &View) -> Result<&Frame, Unpaintable> {
        let target = view.target;
        let known = self.scaled.take_if(|(serial, region, _)| *serial == picture.serial && *region == target);
        let entry = if let Some(known) = known {
            known
        } else {
            let reusable = self.scaled.take().map(|(_, _, frame)| frame);
            let fits = |frame: &Frame| (frame.width(), frame.height()) == (target.width, target.height);
            let mut frame = match reusable.filter(fits) {
                Some(frame) => frame,
                None => Frame::i420(target.width, target.height).map_err(Unpaintable::Memory)?,
            };
            self.scaler.scale(&picture.frame, view.source(), &mut frame, Matrix::Bt709).map_err(Unpaintable::Scale)?;
            (picture.serial, target, frame)
        };
        Ok(&self.scaled.insert(entry).2)
    }
}

fn blacken_region(canvas: &mut Frame, region: Region) {
    for (index, value) in [(0, 16_u8), (1, 128), (2, 128)] {
        let half = u32::from(index > 0);
        let at = |value: u32| (value >> half) as usize;
        let Some((bytes, stride)) = canvas.plane_mut(index) else { return };
        for row in bytes.chunks_mut(stride).skip(at(region.y)).take(at(region.height)) {
            row[at(region.x)..at(region.x + region.width)].fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_sys_next::AVPixelFormat;

    use super::*;
    use crate::capture::geometry::Fill;

    fn content(uid: u32, x: u32, frame: Frame) -> (Placement, CellContent) {
        let region = Region { x, y: 0, width: 32, height: 64 };
        (Placement { uid, region, fill: Fill::Crop }, CellContent::Picture(Picture { frame, serial: u64::from(uid) }))
    }

    #[test]
    fn a_picture_that_cannot_be_painted_is_its_sender_s_alone() {
        let mut good = Frame::i420(32, 64).expect("a picture");
        (0..3).for_each(|index| good.plane_mut(index).expect("a plane").0.fill(200));
        let bad = Frame::picture(AVPixelFormat::AV_PIX_FMT_UYYVYY411, 32, 64).expect("a picture");
        let mut canvas = Canvas::new(64, 64, 2);
        let contents = [content(1, 0, good), content(2, 32, bad)];
        let Composed { picture, unpainted } = canvas.compose(&contents).expect("a composition");
        let picture = picture.expect("a picture");
        let luma = picture.plane(0).expect("luma");
        assert_eq!((luma.bytes[0], luma.bytes[40]), (200, 16), "the good one is seen, the other is black");
        let [(2, why)] = &unpainted[..] else { panic!("{unpainted:?}") };
        assert_eq!(why.to_string(), "pixels of the format uyyvyy411 cannot be converted");
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Paints the composed picture from participants' pictures, which mostly come as large as they are shown; scales those that
//! do not, once each, and reuses the whole canvas while nothing on it changed.

use std::collections::HashMap;

use super::av::frame::{blacken, blit, Frame};
use super::av::pool::Pool;
use super::av::scale::Scaler;
use super::av::AvError;
use super::feed::Picture;
use super::geometry::{Place, Region};
use super::view::View;

/// What lies on the canvas at one place: a picture, nothing that may be seen through, or black.
pub enum Content {
    Picture(Picture),
    /// The participant sends video, but none is there now.
    Black,
    /// The participant sends no video; what lies behind shows.
    Transparent,
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
    place: Place,
    /// The picture's serial number, or black.
    serial: Option<u64>,
}

impl Canvas {
    /// A canvas of even size that has up to `pictures` composed pictures on their way to the encoder.
    pub fn new(width: u32, height: u32, pictures: usize) -> Self {
        Self { width, height, painters: HashMap::new(), pool: Pool::new(width, height, pictures), last: None }
    }

    /// The composed picture, or `None` when the encoder still holds every one of the pool.
    pub fn compose(&mut self, contents: &[(Place, Content)]) -> Result<Option<Frame>, AvError> {
        let drawn: Vec<Drawn> = contents.iter().filter_map(Drawn::of).collect();
        if let Some((last, frame)) = &self.last {
            if *last == drawn {
                return frame.share().map(Some);
            }
        }
        let frame = match self.untouched(contents)? {
            Some(frame) => frame,
            None => match self.painted(contents)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        self.last = Some((drawn, frame.share()?));
        self.painters.retain(|uid, _| contents.iter().any(|(place, _)| place.uid == *uid));
        Ok(Some(frame))
    }

    /// One picture that is as large as the canvas is the canvas.
    fn untouched(&self, contents: &[(Place, Content)]) -> Result<Option<Frame>, AvError> {
        let [(place, Content::Picture(picture))] = contents else { return Ok(None) };
        let view = View::of(&picture.frame, place.region, place.fill);
        if view.covers(self.width, self.height) && view.is_all_of(&picture.frame) {
            return picture.frame.share().map(Some);
        }
        Ok(None)
    }

    fn painted(&mut self, contents: &[(Place, Content)]) -> Result<Option<Frame>, AvError> {
        let Some(mut frame) = self.pool.take()? else { return Ok(None) };
        self.paint(contents, &mut frame)?;
        self.pool.put(frame.share()?);
        Ok(Some(frame))
    }

    /// Whether pictures side by side leave nothing of the canvas to be seen, as in a full grid.
    fn is_covered(&self, contents: &[(Place, Content)]) -> bool {
        let target = |(place, content): &(Place, Content)| match content {
            Content::Picture(picture) => View::of(&picture.frame, place.region, place.fill).target,
            Content::Black => place.region,
            Content::Transparent => Region { width: 0, ..place.region },
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

    fn paint(&mut self, contents: &[(Place, Content)], frame: &mut Frame) -> Result<(), AvError> {
        if !self.is_covered(contents) {
            blacken(frame);
        }
        for (place, content) in contents {
            match content {
                Content::Picture(picture) => {
                    self.painters.entry(place.uid).or_insert_with(Painter::new).paint(picture, *place, frame)?;
                }
                Content::Black => blacken_region(frame, place.region),
                Content::Transparent => {}
            }
        }
        Ok(())
    }
}

impl Drawn {
    fn of(entry: &(Place, Content)) -> Option<Self> {
        match &entry.1 {
            Content::Picture(picture) => Some(Self { place: entry.0, serial: Some(picture.serial) }),
            Content::Black => Some(Self { place: entry.0, serial: None }),
            Content::Transparent => None,
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

    fn paint(&mut self, picture: &Picture, place: Place, canvas: &mut Frame) -> Result<(), AvError> {
        let view = View::of(&picture.frame, place.region, place.fill);
        let View { crop, target } = view;
        let size = (target.width, target.height);
        if view.covers(canvas.width(), canvas.height()) && !view.is_plain(&picture.frame) {
            return self.scaler.scale(&picture.frame, view.source(), canvas);
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
    fn scaled(&mut self, picture: &Picture, view: &View) -> Result<&Frame, AvError> {
        let target = view.target;
        let known = self.scaled.take_if(|(serial, region, _)| *serial == picture.serial && *region == target);
        let entry = if let Some(known) = known {
            known
        } else {
            let reusable = self.scaled.take().map(|(_, _, frame)| frame);
            let fits = |frame: &Frame| (frame.width(), frame.height()) == (target.width, target.height);
            let mut frame = match reusable.filter(fits) {
                Some(frame) => frame,
                None => Frame::i420(target.width, target.height)?,
            };
            self.scaler.scale(&picture.frame, view.source(), &mut frame)?;
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

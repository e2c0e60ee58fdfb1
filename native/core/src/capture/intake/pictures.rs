// SPDX-License-Identifier: Apache-2.0
//! Gives each picture its time, and the size it is shown at.

use super::fields::Fields;
use super::fit::Fitter;
use super::TrackFailure;
use crate::capture::av::colour::Colour;
use crate::capture::av::frame::Frame;
use crate::capture::av::scale::{is_readable, ScaleError};
use crate::capture::clock::{Nanos, SECOND};
use crate::capture::feed::Feed;

/// How far apart pictures are taken to be while their times do not tell.
const USUAL_INTERVAL: Nanos = SECOND / 30;

pub struct PicturePipeline {
    last: Nanos,
    interval: Nanos,
    fields: Fields,
    fitter: Fitter,
}

impl PicturePipeline {
    pub fn new(colour: Colour) -> Self {
        Self { last: 0, interval: USUAL_INTERVAL, fields: Fields::default(), fitter: Fitter::new(colour) }
    }

    /// The last picture's size, turned as it is shown.
    pub fn upright(&self, size: (u32, u32)) -> (u32, u32) {
        self.fitter.upright(size)
    }

    /// Puts a picture into the feed; returns when it is due. `fields`: what is interlaced comes as two pictures, one after
    /// the other.
    pub fn put(
        &mut self,
        frame: Frame,
        stamped: Option<Nanos>,
        fields: bool,
        feed: &Feed,
    ) -> Result<Nanos, TrackFailure> {
        let due = stamped.unwrap_or(self.last + self.interval);
        let interval = due - self.last;
        self.interval = if (1..SECOND).contains(&interval) { interval } else { self.interval };
        self.last = due;
        if frame.width() < 2 || frame.height() < 2 {
            return Err(TrackFailure::Size(frame.width(), frame.height()));
        }
        is_readable(&frame)?;
        if let Some((first, frame)) = self.fields.take(due, frame, fields).map_err(ScaleError::Failed)? {
            feed.push_picture(first, self.fitter.fit(frame, feed.shown_in())?);
        }
        Ok(due)
    }
}

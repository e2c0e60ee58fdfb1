// SPDX-License-Identifier: Apache-2.0
//! Capture as delivery uses it, so that delivery can be tested with media of its own.

use std::sync::Arc;

use crate::capture::api::{CaptureConfig, CaptureFigures, CaptureSink, Layout, MaxResolution, StreamSource, UtcMillis};
use crate::capture::Capture;
use crate::error::Error;

pub trait Capturing: Send {
    fn set_layout(&self, layout: Layout, max_resolution: MaxResolution);
    /// Has these streams, and no others, in the channel from now on.
    fn set_streams(&self, streams: &[StreamSource]) -> Result<(), Error>;
    fn set_paused(&self, paused: bool);
    fn figures(&self) -> CaptureFigures;
    fn now(&self) -> UtcMillis;
    /// Returns once every slice is closed and no thread of capture runs any more.
    fn stop(self: Box<Self>);
}

pub type Start = fn(CaptureConfig, Arc<dyn CaptureSink>) -> Result<Box<dyn Capturing>, Error>;

impl Capturing for Capture {
    fn set_layout(&self, layout: Layout, max_resolution: MaxResolution) {
        Capture::set_layout(self, layout, max_resolution);
    }

    fn set_streams(&self, streams: &[StreamSource]) -> Result<(), Error> {
        Ok(Capture::set_streams(self, streams)?)
    }

    fn set_paused(&self, paused: bool) {
        Capture::set_paused(self, paused);
    }

    fn figures(&self) -> CaptureFigures {
        Capture::figures(self)
    }

    fn now(&self) -> UtcMillis {
        Capture::now(self)
    }

    fn stop(self: Box<Self>) {
        Capture::stop(*self);
    }
}

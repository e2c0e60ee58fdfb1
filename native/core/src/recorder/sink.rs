// SPDX-License-Identifier: Apache-2.0
//! What capture tells: slices go into the catalog before it goes on, events to the session.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::capture::api::{CaptureEvent, CaptureSink, ClosedSlice, OpenSlice};
use crate::catalog::record::Record;
use crate::catalog::Catalog;
use crate::error::Error;

pub struct Sink {
    pub catalog: Arc<Catalog>,
    /// Woken when there is something to upload.
    pub uploader: Arc<watch::Sender<()>>,
    pub events: UnboundedSender<CaptureEvent>,
}

impl CaptureSink for Sink {
    fn slice_opened(&self, slice: &OpenSlice) -> Result<(), Error> {
        tracing::debug!(slice = slice.file_name, "slice opened");
        Ok(self.catalog.write(Record::opened(slice))?)
    }

    fn slice_closed(&self, slice: ClosedSlice) -> Result<(), Error> {
        self.catalog.write(Record::closed(&slice))?;
        let milliseconds = slice.duration_ticks / 90;
        tracing::info!(slice = slice.open.file_name, milliseconds, bytes = slice.bytes, "slice closed");
        self.uploader.send_replace(());
        Ok(())
    }

    fn event(&self, event: CaptureEvent) {
        // Nobody listens only after a cancellation.
        let _ = self.events.send(event);
    }
}

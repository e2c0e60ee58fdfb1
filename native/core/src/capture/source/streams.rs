// SPDX-License-Identifier: Apache-2.0
//! A channel of streams that were named: each is a participant with a thread of its own.

use super::Source;
use crate::capture::api::CaptureConfig;
use crate::capture::fault::Fatal;
use crate::capture::intake::{ChannelKind, Intake};

pub struct Streams<'a>(pub &'a CaptureConfig);

impl ChannelKind for Streams<'_> {
    fn start(&self, intake: &Intake) -> Result<(), Fatal> {
        for stream in &self.0.sources {
            let source = Source::new(stream.clone(), self.0, intake.clone());
            let span = tracing::info_span!("participant", participant = stream.uid);
            intake.spawn(&format!("source-{}", stream.uid), move || {
                let _span = span.entered();
                source.run();
                Ok(())
            })?;
        }
        Ok(())
    }
}

// SPDX-License-Identifier: Apache-2.0
//! A channel of streams that are named: each is a participant with a thread of its own. Who is named may change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::{Farewell, Source};
use crate::capture::api::{CaptureConfig, StreamSource};
use crate::capture::clock::{lock, Nanos, StopSignal, MILLISECOND};
use crate::capture::fault::Fatal;
use crate::capture::intake::{ChannelKind, Intake};

/// How often it is looked whether somebody has left.
const GLANCE: Nanos = 50 * MILLISECOND;

pub struct Streams {
    config: CaptureConfig,
    state: Mutex<StreamsState>,
}

#[derive(Default)]
struct StreamsState {
    running: Vec<RunningSource>,
    /// What is raised as the last thread of each participant ends.
    ended: HashMap<u32, Arc<StopSignal>>,
}

struct RunningSource {
    stream: StreamSource,
    stop: Arc<StopSignal>,
    farewell: Arc<OnceLock<Farewell>>,
}

impl RunningSource {
    /// False where it has ended by itself.
    fn end(&self, farewell: Farewell) -> bool {
        let is_alive = self.farewell.set(farewell).is_ok();
        self.stop.raise();
        is_alive
    }
}

/// Raised when this goes.
struct RaisedAtEnd(Arc<StopSignal>);

impl Drop for RaisedAtEnd {
    fn drop(&mut self) {
        self.0.raise();
    }
}

impl ChannelKind for Streams {
    fn start(&self, intake: &Intake) -> Result<(), Fatal> {
        let state = &mut *lock(&self.state);
        self.config.sources.iter().try_for_each(|stream| self.run(state, intake, stream, false))
    }
}

impl Streams {
    pub fn new(config: &CaptureConfig) -> Self {
        Self { config: config.clone(), state: Mutex::default() }
    }

    /// Has these streams, and no others, from now on. Whose stream stays as it is stays in the channel; one that is reached
    /// otherwise leaves and comes again.
    pub fn change(&self, intake: &Intake, wanted: &[StreamSource]) -> Result<(), Fatal> {
        let state = &mut *lock(&self.state);
        intake.roster().list(wanted.iter().map(|stream| stream.uid));
        state.running.retain_mut(|running| match wanted.iter().find(|stream| stream.uid == running.stream.uid) {
            None => {
                if !running.end(Farewell::Removed) {
                    intake.dismiss(running.stream.uid);
                }
                false
            }
            Some(stream) if !stream.is_reached_as(&running.stream) => {
                running.end(Farewell::Changed);
                false
            }
            Some(stream) => {
                if stream.name != running.stream.name {
                    running.stream.name.clone_from(&stream.name);
                    intake.expect(stream.uid, stream.name.as_deref(), None);
                }
                true
            }
        });
        for stream in wanted {
            if !state.running.iter().any(|running| running.stream.uid == stream.uid) {
                self.run(state, intake, stream, true)?;
            }
        }
        Ok(())
    }

    /// `is_news`: the participant was not there at the start.
    fn run(
        &self,
        state: &mut StreamsState,
        intake: &Intake,
        stream: &StreamSource,
        is_news: bool,
    ) -> Result<(), Fatal> {
        let (stop, farewell) = (intake.stop().dependent(), Arc::<OnceLock<Farewell>>::default());
        let own = intake.until(&stop);
        let source = Source::new(stream.clone(), &self.config, own.clone()).with_farewell(&farewell);
        let ended = Arc::<StopSignal>::default();
        let before = state.ended.get(&stream.uid).cloned();
        let (span, over) =
            (tracing::info_span!("participant", participant = stream.uid), RaisedAtEnd(Arc::clone(&ended)));
        intake.spawn(&format!("source-{}", stream.uid), move || {
            let (_over, _span) = (over, span.entered());
            // There is one of a uid in the channel at a time.
            while before.as_ref().is_some_and(|before| !before.is_raised()) && !own.stop().is_raised() {
                own.clock().wait_until(own.clock().now() + GLANCE, own.stop());
            }
            if is_news {
                own.expect(source.stream.uid, source.stream.name.as_deref(), None);
            }
            source.run();
            if !source.is_over() && source.farewell() == Some(Farewell::Removed) {
                own.dismiss(source.stream.uid);
            }
            Ok(())
        })?;
        state.ended.insert(stream.uid, ended);
        state.running.push(RunningSource { stream: stream.clone(), stop, farewell });
        Ok(())
    }
}

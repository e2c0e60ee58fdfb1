// SPDX-License-Identifier: Apache-2.0
//! Threads of a capture: how they fail, and how their end is waited for.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::api::{CaptureEvent, CaptureSink};
use super::clock::StopSignal;
use super::fault::Fatal;
use crate::log;
use crate::panics::contained;

/// How long a thread that writes nothing may take to take leave, and how often it is looked whether it has.
const MOST_FAREWELL: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(5);

/// Runs `work` in a thread whose failure or panic breaks the capture instead of the process.
pub fn spawn(
    name: &str,
    sink: &Arc<dyn CaptureSink>,
    stop: &Arc<StopSignal>,
    work: impl FnOnce() -> Result<(), Fatal> + Send + 'static,
) -> Result<JoinHandle<()>, Fatal> {
    let (sink, stop) = (Arc::clone(sink), Arc::clone(stop));
    let thread = log::spawn(name, move || {
        let worked = contained(work).unwrap_or_else(|panic| Err(Fatal::panicked(&panic)));
        if let Err(fatal) = worked {
            stop.raise();
            sink.event(CaptureEvent::Broken(fatal));
        }
    });
    thread.map_err(|error| Fatal::no_thread(&error))
}

/// Returns when the threads have ended.
pub fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // Panics were caught inside and told.
        drop(thread.join());
    }
}

/// The same; those that hang in a call of the system are left behind.
pub fn join_or_leave(threads: Vec<JoinHandle<()>>) {
    let deadline = Instant::now() + MOST_FAREWELL;
    while !threads.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
        thread::sleep(GLANCE);
    }
    let (finished, hanging) = threads.into_iter().partition::<Vec<_>, _>(JoinHandle::is_finished);
    join(finished);
    for thread in hanging {
        let name = thread.thread().name().unwrap_or_default().to_owned();
        tracing::warn!("{name} hangs in a call of the system, and is left behind");
    }
}

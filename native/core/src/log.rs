// SPDX-License-Identifier: Apache-2.0
//! The log of each recording: what happened to it, for a person who asks afterwards.
//!
//! `tracing::{debug, info, warn, error}!` from any thread that works for a recording reaches that recording's log alone:
//! threads are started by `spawn`, blocking work by `spawn_blocking`, and both take the caller's log and span along. No
//! subscriber is ever set for the whole process, which is the host's.
//!
//! Fields are named alike everywhere: `participant` (uid), `slice` (file name), `store` (`bucket`, `directory` or `backup`), `code`
//! (`RecordingErrorCode`), `detail` (what a library says, where our own words are the message). A thread that works for
//! one participant runs in a span with that field, and what is put of a slice in one with that, so that their lines need
//! not repeat it. No secret is a field or in a message: neither a URL's query and credentials nor a key, a
//! header's value or what a file of them holds.
//!
//! Lines are written by a thread of the log's own, so that a slow disk holds up nobody; lines for which it has no time
//! are left out, and so are lines of one kind beyond a number in a minute: the next one says how many.

mod limit;
mod line;
mod writer;

use std::io;
use std::thread::JoinHandle;

use tracing::dispatcher::{self, Dispatch};
use tracing::subscriber::DefaultGuard;
use tracing::Span;
use tracing_subscriber::layer::SubscriberExt;

use crate::{broken_pipe, config};
use line::LineLayer;

/// The log of one recording.
#[derive(Debug, Clone)]
pub struct Log(Dispatch);

impl Log {
    /// The log that the settings ask for. Its file is made with the first line; one that cannot be written is no error.
    #[must_use]
    pub fn new(settings: &config::LogSettings, recording_id: &str) -> Self {
        Self(match LineLayer::new(settings, recording_id) {
            Some(lines) => Dispatch::new(tracing_subscriber::registry().with(lines)),
            None => Dispatch::none(),
        })
    }

    /// What this thread logs goes here while the guard lives.
    #[must_use]
    pub fn enter(&self) -> DefaultGuard {
        dispatcher::set_default(&self.0)
    }
}

/// Starts a thread whose lines go where the caller's go, and that no reset connection ends the host by.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    let work = carry(work);
    let work = move || {
        broken_pipe::block();
        work()
    };
    #[allow(clippy::disallowed_methods)]
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// The same for blocking work of a tokio runtime.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
    #[allow(clippy::disallowed_methods)]
    tokio::task::spawn_blocking(carry(work))
}

fn carry<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let dispatch = dispatcher::get_default(Dispatch::clone);
    let span = Span::current();
    seen_handed_over::give();
    move || {
        seen_handed_over::take();
        dispatcher::with_default(&dispatch, || span.in_scope(work))
    }
}

/// The sanitizer does not see tokio hand work over, as the standard library's waiting for a lock is not compiled with it.
#[cfg(feature = "thread-sanitizer")]
mod seen_handed_over {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static GIVEN: AtomicUsize = AtomicUsize::new(0);

    pub fn give() {
        GIVEN.fetch_add(1, Ordering::AcqRel);
    }

    pub fn take() {
        GIVEN.load(Ordering::Acquire);
    }
}

#[cfg(not(feature = "thread-sanitizer"))]
mod seen_handed_over {
    pub fn give() {}
    pub fn take() {}
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::LogLevel;
    use crate::test_support::Scratch;

    fn log(directory: &Path, id: &str) -> Log {
        Log::new(&config::LogSettings { directory: Some(directory.to_owned()), ..config::LogSettings::default() }, id)
    }

    fn lines(directory: &Path, id: &str) -> Vec<String> {
        let text = std::fs::read_to_string(directory.join(format!("{id}.log"))).unwrap();
        // Without the time, which is the first word.
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn two_recordings_of_one_process_have_a_log_each_and_threads_take_theirs_along() {
        let scratch = Scratch::new();
        for id in ["a", "b"] {
            let log = log(scratch.path(), id);
            let entered = log.enter();
            let span = tracing::info_span!("participant", participant = 7);
            let thread = span.in_scope(|| {
                spawn("source", || {
                    spawn("decoder", || tracing::info!(slice = "x.ts", "deep down")).unwrap().join().unwrap();
                })
            });
            thread.unwrap().join().unwrap();
            tracing::warn!(id, "here");
            drop(entered);
            tracing::warn!("nowhere");
        }
        for id in ["a", "b"] {
            let expected = ["INFO deep down participant=7 slice=x.ts".to_owned(), format!("WARN here id={id}")];
            assert_eq!(lines(scratch.path(), id), expected);
        }
    }

    #[test]
    fn a_reset_connection_ends_no_host_by_a_thread_of_ours() {
        assert!(!broken_pipe::is_blocked(), "the host's threads are its own");
        let deep_down = spawn("source", || spawn("decoder", broken_pipe::is_blocked).unwrap().join().unwrap());
        assert!(deep_down.unwrap().join().unwrap());
    }

    #[test]
    fn blocking_work_takes_the_log_along() {
        let scratch = Scratch::new();
        let log = log(scratch.path(), "a");
        let entered = log.enter();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { spawn_blocking(|| tracing::info!("film")).await.unwrap() });
        drop((entered, log));
        assert_eq!(lines(scratch.path(), "a"), ["INFO film"]);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_no_error() {
        let log = log(Path::new("/proc/nowhere"), "a");
        let _entered = log.enter();
        tracing::info!("lost");
    }

    #[test]
    fn a_log_that_is_off_writes_nothing() {
        let scratch = Scratch::new();
        let directory = Some(scratch.path().to_owned());
        let log =
            Log::new(&config::LogSettings { to: config::LogTo::Off, directory, ..config::LogSettings::default() }, "a");
        let entered = log.enter();
        tracing::info!("lost");
        drop((entered, log));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn details_are_written_where_they_are_asked_for() {
        let scratch = Scratch::new();
        let directory = Some(scratch.path().to_owned());
        for (id, level, expected) in [("a", LogLevel::Info, 1), ("b", LogLevel::Debug, 2)] {
            let settings =
                config::LogSettings { directory: directory.clone(), level, ..config::LogSettings::default() };
            let log = Log::new(&settings, id);
            let entered = log.enter();
            tracing::info!("much");
            tracing::debug!("more");
            // What other crates log may hold anything.
            tracing::info!(target: "hyper::client", "a secret");
            drop((entered, log));
            assert_eq!(lines(scratch.path(), id).len(), expected);
        }
    }
}

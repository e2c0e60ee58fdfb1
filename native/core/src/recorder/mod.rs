// SPDX-License-Identifier: Apache-2.0
//! A recorder: one instance of the published interface, and one recording.
//!
//! - `arguments`: what each argument of `StartCloudRecording` may be.
//! - `start`: from the arguments and the document to a plan that can be carried out.
//! - `session`: the recording's thread: it feeds the state machine with what happens, and carries out its actions.
//! - `machine`: the life of a recording as a pure state machine: when a callback is told, and when it stops.
//! - `callbacks`: delivers callbacks to the program, in order, from one thread.
//! - `shared`: what other threads see of a session (`cr_status`), and how they reach it.
//! - `participants`, `attendance`: who is there and what is wrong with whom; who was there when.
//! - `capturing`, `sink`: capture as a recording uses it, and where what it tells goes.
//! - `pauses`: when capture was paused by order, and why.
//! - `volume`: how full the work volume is.
//! - `upload`: what brings the files into the bucket.
//! - `resume`: a catalog that an earlier process died over.
//! - `backup_journal`: the journal in the backup store, for what was concluded there by a process whose disk is gone.
//! - `takeover`, `rescue`: what such processes left, looked for at the next start and by `cr_rescue`.
//! - `rescued`: what `cr_status` says of those, meanwhile and after.
//! - `merge`: a playlist and a manifest over several parts that stores have already.
//! - `unlisted`: slices of a lost part that its playlist does not list yet.
//! - `merged_mp4`: one file of their slices.
//! - `delivery`: uploads one recording of theirs.
//! - `registry`: the recorders of the process, and what released ones left to upload.
//! - `directory_cleanup`: when a recording's directory is removed.
//! - `recording_log`: the lines of a recording's log.
//! - `c_strings`: the texts that programs are handed.

pub mod arguments;
mod attendance;
mod backup_journal;
pub mod c_strings;
pub mod callbacks;
pub mod capturing;
pub mod delivery;
pub mod directory_cleanup;
pub mod machine;
pub mod merge;
mod merged_mp4;
pub mod participants;
mod pauses;
pub mod recording_log;
pub mod registry;
pub mod rescue;
pub mod rescued;
pub mod resume;
pub mod session;
pub mod shared;
pub mod sink;
pub mod start;
pub mod takeover;
mod unlisted;
pub mod upload;
pub mod volume;

use std::ffi::CStr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use crate::capture::av;
use crate::config::Document;
use crate::error::{Code, Error};
use crate::locked::Locked;
use arguments::Request;
use callbacks::{CallbackSender, Deliverer, Observer};
use registry::Worker;
use session::Session;
use shared::{Control, Shared};
use start::Plan;
use takeover::Takeover;

pub struct Recorder {
    id: &'static CStr,
    observer: Observer,
    document: Result<Document, Error>,
    shared: Arc<Shared>,
    start_capture: capturing::Start,
    life: Mutex<Lifecycle>,
}

#[derive(Default)]
struct Lifecycle {
    deliverer: Option<Deliverer>,
    worker: Option<Worker>,
    stop_asked: bool,
}

impl Recorder {
    /// A recorder with an id of its own, from now on known to `registry`.
    #[must_use]
    pub fn new(observer: Observer, start_capture: capturing::Start) -> Self {
        let document = registry::configuration();
        let wanted = document.as_ref().ok().and_then(|document| document.recording_id.clone());
        let log = document.as_ref().map(|document| document.log.clone()).unwrap_or_default();
        if log.libav {
            av::take_over();
        }
        let shared = registry::enter(wanted, &log);
        Self {
            id: c_strings::name(&shared.recording_id),
            observer,
            document,
            shared,
            start_capture,
            life: Mutex::default(),
        }
    }

    #[must_use]
    pub fn id(&self) -> &'static CStr {
        self.id
    }

    /// Starts once; what prevents it is returned, and is the recording's fatal error.
    pub fn start(&self, request: &Request) -> Result<(), Error> {
        let _log = self.shared.log.enter();
        let started = self.start_once(request);
        if let Err(error) = &started {
            recording_log::call_refused("StartCloudRecording", error);
        }
        started
    }

    fn start_once(&self, request: &Request) -> Result<(), Error> {
        let mut life = self.life.locked();
        if life.deliverer.is_some() {
            return Err(Error::new(Code::InvalidOperation, "a recorder starts once: record again with a new one"));
        }
        let (deliverer, callbacks) = Deliverer::start(&self.shared.recording_id, self.observer)
            .map_err(|error| Error::new(Code::RecorderInit, error.to_string()))?;
        life.deliverer = Some(deliverer);
        let begun = catch_unwind(AssertUnwindSafe(|| self.begin(request, callbacks.clone())));
        match begun.unwrap_or_else(|_| Err(Error::unexpected())) {
            Ok(worker) => {
                life.worker = Some(worker);
                Ok(())
            }
            Err(error) => {
                self.shared.publish_failure(error.clone());
                callbacks.send(error.clone().into());
                Err(error)
            }
        }
    }

    /// Stops once, and only what was started and has not ended by itself.
    pub fn stop(&self) -> Result<(), Error> {
        let _log = self.shared.log.enter();
        let mut life = self.life.locked();
        if life.stop_asked || !self.shared.state().captures() || !self.shared.send(Control::Stop) {
            let error = Error::new(Code::InvalidOperation, "nothing is being recorded");
            recording_log::call_refused("StopCloudRecording", &error);
            return Err(error);
        }
        life.stop_asked = true;
        Ok(())
    }

    /// No callback comes after this has returned. What is left to do, a drainer of the process does; after a
    /// cancellation nothing is left.
    pub fn release(&self, cancel: bool) {
        let _log = self.shared.log.enter();
        let (deliverer, worker) = {
            let mut life = self.life.locked();
            (life.deliverer.take(), life.worker.take())
        };
        let from_callback = deliverer.as_ref().is_some_and(Deliverer::is_current);
        // Before anything is ordered, so that nobody hears of it.
        if let Some(deliverer) = deliverer {
            deliverer.close();
        }
        self.shared.send(if cancel { Control::Cancel } else { Control::Detach });
        self.shared.directory_cleanup.released();
        match worker {
            // Inside a callback nothing may be waited for.
            Some(worker) if cancel && !from_callback => {
                worker.join();
                registry::leave(&self.shared);
            }
            Some(worker) => registry::adopt(&self.shared, worker),
            None => registry::leave(&self.shared),
        }
    }

    fn begin(&self, request: &Request, callbacks: CallbackSender) -> Result<Worker, Error> {
        let document = self.document.as_ref().map_err(Clone::clone)?;
        let plan = Plan::new(&self.shared.recording_id, document, request)?;
        recording_log::starting(&plan);
        let takeover = Takeover::new(&plan, &document.log);
        let session = Session::new(Arc::clone(&self.shared), plan, callbacks, self.start_capture)?;
        let failed = |error: std::io::Error| Error::new(Code::RecorderInit, error.to_string());
        let worker = Worker::start("recorder", move || session::run(session)).map_err(failed)?;
        if let Some(Ok(leftover)) = takeover.map(|takeover| Worker::start("leftover", move || takeover.run())) {
            registry::add_drainer(leftover);
        }
        Ok(worker)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::capture::api::{CaptureConfig, CaptureSink};
    use crate::recorder::callbacks::CoreEvent;
    use crate::recorder::capturing::Capturing;
    use crate::test_support::Scratch;

    unsafe extern "C" fn note(context: *mut c_void, event: *const CoreEvent) {
        // SAFETY: the test gives the address of numbers that outlive the recorder; the event is valid during the call.
        let (numbers, event) = unsafe { (&*context.cast::<Mutex<Vec<(i32, i32)>>>(), &*event) };
        numbers.locked().push(event.numbers());
    }

    fn panic(_: CaptureConfig, _: Arc<dyn CaptureSink>) -> Result<Box<dyn Capturing>, Error> {
        panic!("provoked by a test");
    }

    fn refuse(_: CaptureConfig, _: Arc<dyn CaptureSink>) -> Result<Box<dyn Capturing>, Error> {
        Err(Error::new(Code::RecorderInit, "no encoder"))
    }

    /// Callbacks and codes of a recorder with this capture, up to its fatal error.
    fn callbacks_of(start_capture: capturing::Start) -> Vec<(i32, i32)> {
        let scratch = Scratch::new();
        let text = serde_json::json!({
            "workDir": scratch.path(),
            "log": {"to": "Off"},
            "storage": {"endpoint": "http://127.0.0.1:9"},
            "channels": [{"streams": [{"uid": 1, "url": "tcp://127.0.0.1:9"}]}],
        });
        registry::configure_next(Document::parse(&text.to_string()).unwrap()).unwrap();
        let numbers = Mutex::new(Vec::new());
        let context = (&raw const numbers).cast_mut().cast::<c_void>();
        let recorder = Recorder::new(Observer { context, notify: Some(note) }, start_capture);
        recorder.start(&start::tests::request()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while numbers.locked().last().is_none_or(|(callback, _)| *callback != 8) {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        recorder.release(true);
        numbers.into_inner().unwrap()
    }

    #[test]
    fn a_panic_is_a_general_error_of_its_recording() {
        assert_eq!(callbacks_of(panic).last(), Some(&(8, Code::GeneralError as i32)));
    }

    #[test]
    fn an_engine_that_does_not_start_is_fatal() {
        assert_eq!(callbacks_of(refuse), [(0, 0), (8, Code::RecorderInit as i32)]);
    }
}

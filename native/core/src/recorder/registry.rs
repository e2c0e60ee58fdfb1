// SPDX-License-Identifier: Apache-2.0
//! The recorders of the process: who is there, and what released ones left to upload.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::{self, Document};
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::log;
use crate::names;
use crate::recorder::shared::Shared;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { present: Vec::new(), drainers: Vec::new(), taken: None });
static DRAINED: Condvar = Condvar::new();

thread_local! {
    static NEXT: RefCell<Option<Document>> = const { RefCell::new(None) };
}

struct Registry {
    present: Vec<Arc<Shared>>,
    drainers: Vec<Drainer>,
    /// The ids that the environment's document has given away; made when first needed.
    taken: Option<HashSet<String>>,
}

struct Drainer {
    /// Nobody's, where it delivers what an earlier process left.
    shared: Option<Arc<Shared>>,
    worker: Worker,
}

/// A thread that nobody needs to wait for.
pub struct Worker {
    thread: JoinHandle<()>,
    done: Arc<AtomicBool>,
}

impl Worker {
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&done);
        let thread = log::spawn(name, move || {
            // Whatever has panicked has been reported by its hook, and what waits for the thread is told.
            let _ = catch_unwind(AssertUnwindSafe(work));
            // Under the lock: nobody is then about to wait, and who sees it may join this thread under the lock.
            let _registry = REGISTRY.locked();
            of_thread.store(true, Ordering::SeqCst);
            DRAINED.notify_all();
        })?;
        Ok(Self { thread, done })
    }

    pub fn join(self) {
        // A panic of the session was its recording's fatal error.
        let _ = self.thread.join();
    }
}

/// The next recorder made on this thread uses this document.
pub fn configure_next(document: Document) -> Result<(), Error> {
    if let Some(id) = &document.recording_id {
        if find(id).is_some() {
            let message = "recordingId: another recorder of this process has it; release that first";
            return Err(Error::new(Code::InvalidOperation, message));
        }
    }
    NEXT.with_borrow_mut(|next| *next = Some(document));
    Ok(())
}

/// The document for a recorder that is being made on this thread.
pub fn configuration() -> Result<Document, Error> {
    if let Some(document) = NEXT.with_borrow_mut(Option::take) {
        return Ok(document);
    }
    let mut document = Document::from_environment()?;
    let mut registry = REGISTRY.locked();
    let taken = registry.taken.get_or_insert_with(HashSet::new);
    // The first recorder takes the id; those after it are recordings of their own.
    document.recording_id = document.recording_id.filter(|id| taken.insert(id.clone()));
    Ok(document)
}

/// A new recorder's place, under the wanted id if nobody has it, and with a log as these settings want it.
#[must_use]
pub fn enter(wanted: Option<String>, log: &config::LogSettings) -> Arc<Shared> {
    let mut registry = REGISTRY.locked();
    let id = wanted.filter(|id| registry.find(id).is_none()).unwrap_or_else(names::random_recording_id);
    let shared = Arc::new(Shared::new(id, log));
    registry.present.push(Arc::clone(&shared));
    shared
}

pub fn leave(shared: &Arc<Shared>) {
    REGISTRY.locked().present.retain(|present| !Arc::ptr_eq(present, shared));
}

/// A released recorder's session goes on as a drainer.
pub fn adopt(shared: &Arc<Shared>, worker: Worker) {
    let mut registry = REGISTRY.locked();
    registry.present.retain(|present| !Arc::ptr_eq(present, shared));
    registry.drainers.push(Drainer { shared: Some(Arc::clone(shared)), worker });
    registry.reap();
}

/// Something else is delivered in the background.
pub fn add_drainer(worker: Worker) {
    let mut registry = REGISTRY.locked();
    registry.drainers.push(Drainer { shared: None, worker });
    registry.reap();
}

/// The recorder or drainer of this recording.
#[must_use]
pub fn find(recording_id: &str) -> Option<Arc<Shared>> {
    let mut registry = REGISTRY.locked();
    registry.reap();
    registry.find(recording_id)
}

/// True once no drainer works any more, false after the time-out.
#[must_use]
pub fn wait_drained(timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    let mut registry = REGISTRY.locked();
    loop {
        registry.reap();
        if registry.drainers.is_empty() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        registry = DRAINED.wait_timeout(registry, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
}

impl Registry {
    fn find(&self, recording_id: &str) -> Option<Arc<Shared>> {
        let drainers = self.drainers.iter().filter_map(|drainer| drainer.shared.as_ref());
        self.present.iter().chain(drainers).find(|shared| shared.recording_id == recording_id).cloned()
    }

    fn reap(&mut self) {
        let (done, working): (Vec<_>, Vec<_>) =
            self.drainers.drain(..).partition(|drainer| drainer.worker.done.load(Ordering::SeqCst));
        self.drainers = working;
        for drainer in done {
            drainer.worker.join();
        }
    }
}

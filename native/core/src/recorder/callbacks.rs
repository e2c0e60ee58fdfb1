// SPDX-License-Identifier: Apache-2.0
//! Delivers a recorder's callbacks: in order, one at a time, from one thread of the recorder's own, and none after
//! `close` has returned.

use std::ffi::{c_char, c_void, CString};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{mpsc, Arc};
use std::thread::JoinHandle;

use crate::error::Code;
use crate::log;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    Connecting,
    Started,
    Stopped,
    Uploaded { playlist: String },
    BackedUp { playlist: String },
    UploadingProgress { percent: u32, playlist: String },
    RecorderFailure { code: Code, message: String },
    UploaderFailure { code: Code, message: String },
    FatalError { code: Code },
}

/// `RecorderCoreEvent` of abi/src/core.h.
#[repr(C)]
pub struct CoreEvent {
    callback: i32,
    code: i32,
    number: u32,
    recording_id: *const c_char,
    text: *const c_char,
}

#[cfg(test)]
impl CoreEvent {
    #[must_use]
    pub fn numbers(&self) -> (i32, i32) {
        (self.callback, self.code)
    }
}

pub type Notify = unsafe extern "C" fn(*mut c_void, *const CoreEvent);

/// Whom to tell.
#[derive(Clone, Copy)]
pub struct Observer {
    pub context: *mut c_void,
    pub notify: Option<Notify>,
}

// SAFETY: the interface says that the observer is called from a thread of the recorder's, and lives until Release has
// returned; `Line::close` is what makes the latter hold.
unsafe impl Send for Observer {}

/// The way to the callbacks' thread.
#[derive(Clone)]
pub struct Line(Sender<Option<Callback>>);

impl Line {
    /// Never blocks; a callback that nobody is to hear any more is dropped.
    pub fn send(&self, callback: Callback) {
        // The thread is gone only after `close`, when nothing may be heard.
        let _ = self.0.send(Some(callback));
    }
}

pub struct Deliverer {
    closed: Arc<AtomicBool>,
    line: Line,
    thread: JoinHandle<()>,
}

impl Deliverer {
    pub fn start(recording_id: &str, observer: Observer) -> std::io::Result<(Self, Line)> {
        let (sender, receiver) = mpsc::channel();
        let closed = Arc::new(AtomicBool::new(false));
        let id = text(recording_id);
        let of_thread = Arc::clone(&closed);
        let thread = log::spawn("callbacks", move || {
            deliver(&id, observer, &receiver, &of_thread);
        })?;
        let line = Line(sender);
        Ok((Self { closed, line: line.clone(), thread }, line))
    }

    /// No callback begins after this, and none is under way when it returns: but for the one that calls it, if one does.
    pub fn close(self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the thread; nothing it still finds in the queue is delivered.
        let _ = self.line.0.send(None);
        if !self.is_current() {
            // A panic of the thread was reported by its hook; there is nothing left to wait for.
            let _ = self.thread.join();
        }
    }

    /// Whether the caller is inside a callback.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.thread.thread().id() == std::thread::current().id()
    }
}

fn deliver(id: &CString, observer: Observer, receiver: &Receiver<Option<Callback>>, closed: &AtomicBool) {
    // Bound as a whole, as only the whole may be moved between threads.
    let Observer { context, notify } = observer;
    while let Ok(Some(callback)) = receiver.recv() {
        if closed.load(Ordering::SeqCst) {
            return;
        }
        let Some(notify) = notify else { continue };
        let (event, _text) = event(id, &callback);
        // SAFETY: the observer lives until `close` has returned, which waits for this call; the event and what it points
        // to live until the end of this turn.
        unsafe { notify(context, &raw const event) };
    }
}

fn event(id: &CString, callback: &Callback) -> (CoreEvent, CString) {
    let (number, code, percent, words) = match callback {
        Callback::Connecting => (0, 0, 0, ""),
        Callback::Started => (1, 0, 0, ""),
        Callback::Stopped => (2, 0, 0, ""),
        Callback::Uploaded { playlist } => (3, 0, 0, playlist.as_str()),
        Callback::BackedUp { playlist } => (4, 0, 0, playlist.as_str()),
        Callback::UploadingProgress { percent, playlist } => (5, 0, *percent, playlist.as_str()),
        Callback::RecorderFailure { code, message } => (6, *code as i32, 0, message.as_str()),
        Callback::UploaderFailure { code, message } => (7, *code as i32, 0, message.as_str()),
        Callback::FatalError { code } => (8, *code as i32, 0, ""),
    };
    let text = text(words);
    let event = CoreEvent { callback: number, code, number: percent, recording_id: id.as_ptr(), text: text.as_ptr() };
    (event, text)
}

/// The words as C text: up to a NUL, if a server's words hold one.
fn text(words: &str) -> CString {
    let words = words.split('\0').next().unwrap_or_default();
    CString::new(words).unwrap_or_default()
}

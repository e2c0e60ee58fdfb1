// SPDX-License-Identifier: Apache-2.0
//! Delivers a recorder's callbacks: in order, one at a time, from one thread of the recorder's own, and none after
//! `close` has returned.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{mpsc, Arc};
use std::thread::JoinHandle;

use crate::error::{Code, Error};
use crate::log;
use crate::recorder::{c_strings, recording_log};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    Connecting,
    Started,
    Stopped,
    Uploaded {
        playlist: String,
    },
    BackedUp {
        playlist: String,
    },
    UploadingProgress {
        percent: u32,
        playlist: String,
    },
    RecorderFailure {
        code: Code,
        message: String,
    },
    UploaderFailure {
        code: Code,
        message: String,
    },
    /// The interface has no room for the message: it is in the log.
    FatalError {
        code: Code,
        message: String,
    },
}

impl Callback {
    /// Of these exactly one comes, as the last callback.
    fn is_final(&self) -> bool {
        matches!(self, Self::Uploaded { .. } | Self::BackedUp { .. } | Self::FatalError { .. })
    }
}

impl From<Error> for Callback {
    fn from(Error { code, message }: Error) -> Self {
        Self::FatalError { code, message }
    }
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
// returned; `CallbackSender::close` is what makes the latter hold.
unsafe impl Send for Observer {}

/// The way to the callbacks' thread.
#[derive(Clone)]
pub struct CallbackSender {
    queue: Sender<Option<Callback>>,
    /// Whether the final callback was sent.
    ended: Arc<AtomicBool>,
}

impl CallbackSender {
    /// Never blocks; a callback that nobody is to hear any more is dropped, and so is one after the final one.
    pub fn send(&self, callback: Callback) {
        let is_late = if callback.is_final() { self.ended.swap(true, Ordering::SeqCst) } else { self.has_ended() };
        if !is_late {
            // The thread is gone only after `close`, when nothing may be heard.
            let _ = self.queue.send(Some(callback));
        }
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

pub struct Deliverer {
    closed: Arc<AtomicBool>,
    sender: CallbackSender,
    thread: JoinHandle<()>,
}

impl Deliverer {
    pub fn start(recording_id: &str, observer: Observer) -> std::io::Result<(Self, CallbackSender)> {
        let (sender, receiver) = mpsc::channel();
        let closed = Arc::new(AtomicBool::new(false));
        let id = recording_id.to_owned();
        let of_thread = Arc::clone(&closed);
        let thread = log::spawn("callbacks", move || {
            deliver(&id, observer, &receiver, &of_thread);
        })?;
        let sender = CallbackSender { queue: sender, ended: Arc::default() };
        Ok((Self { closed, sender: sender.clone(), thread }, sender))
    }

    /// No callback begins after this, and none is under way when it returns: but for the one that calls it, if one does.
    pub fn close(self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the thread; nothing it still finds in the queue is delivered.
        let _ = self.sender.queue.send(None);
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

fn deliver(id: &str, observer: Observer, receiver: &Receiver<Option<Callback>>, closed: &AtomicBool) {
    // Bound as a whole, as only the whole may be moved between threads.
    let Observer { context, notify } = observer;
    while let Ok(Some(callback)) = receiver.recv() {
        if closed.load(Ordering::SeqCst) {
            return;
        }
        recording_log::callback(&callback);
        let Some(notify) = notify else { continue };
        let event = event(id, &callback);
        // SAFETY: the observer lives until `close` has returned, which waits for this call; the event lives until the end
        // of this turn, and its texts for longer.
        unsafe { notify(context, &raw const event) };
    }
}

fn event(id: &str, callback: &Callback) -> CoreEvent {
    let (number, code, percent, text) = match callback {
        Callback::Connecting => (0, 0, 0, none()),
        Callback::Started => (1, 0, 0, none()),
        Callback::Stopped => (2, 0, 0, none()),
        Callback::Uploaded { playlist } => (3, 0, 0, c_strings::name(playlist).as_ptr()),
        Callback::BackedUp { playlist } => (4, 0, 0, c_strings::name(playlist).as_ptr()),
        Callback::UploadingProgress { percent, playlist } => (5, 0, *percent, c_strings::name(playlist).as_ptr()),
        Callback::RecorderFailure { code, message } => (6, *code as i32, 0, c_strings::message(message)),
        Callback::UploaderFailure { code, message } => (7, *code as i32, 0, c_strings::message(message)),
        Callback::FatalError { code, .. } => (8, *code as i32, 0, none()),
    };
    CoreEvent { callback: number, code, number: percent, recording_id: c_strings::name(id).as_ptr(), text }
}

fn none() -> *const c_char {
    c"".as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_after_a_final_callback() {
        let (queue, heard) = mpsc::channel();
        let sender = CallbackSender { queue, ended: Arc::default() };
        let fatal = || Callback::FatalError { code: Code::GeneralError, message: String::new() };
        sender.clone().send(Callback::Stopped);
        sender.clone().send(fatal());
        sender.send(Callback::Uploaded { playlist: "p".into() });
        sender.send(fatal());
        sender.send(Callback::Stopped);
        assert!(sender.has_ended());
        let heard: Vec<_> = heard.try_iter().flatten().collect();
        assert_eq!(heard, [Callback::Stopped, fatal()]);
    }
}

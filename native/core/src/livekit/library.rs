// SPDX-License-Identifier: Apache-2.0
//! The library itself: where it is found, what is asked of it, and who hears what it tells.

use std::collections::HashMap;
use std::ffi::{c_char, CString};
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};

use libloading::os::unix::{Library, Symbol, RTLD_LOCAL, RTLD_NOW};
use prost::Message;

use super::event::{self, RoomEvent};
use super::wire::{ffi_request, ffi_response, FfiEvent, FfiRequest, FfiResponse};
use crate::locked::Locked;

const FILE: &str = "liblivekit_ffi.so";

/// Where the library is, for whom it is neither beside ours nor where the system looks.
const PLACE: &str = "CLOUD_RECORDING_LIVEKIT_LIBRARY";

type OnEvent = unsafe extern "C" fn(*const u8, usize);
type Initialize = unsafe extern "C" fn(OnEvent, bool, *const c_char, *const c_char);
type Ask = unsafe extern "C" fn(*const u8, usize, *mut *const u8, *mut usize) -> u64;
type DropHandle = unsafe extern "C" fn(u64) -> bool;

/// The library cannot be had, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryAbsent(String);

impl fmt::Display for LibraryAbsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LiveKit's client library cannot be loaded ({}); install {FILE} of the PyPI package livekit beside the recorder's \
             library, or name its file in {PLACE}",
            self.0
        )
    }
}

/// The library, once it is loaded: for as long as the process lives.
pub struct ClientLibrary {
    ask: Symbol<Ask>,
    drop_handle: Symbol<DropHandle>,
    /// Unloaded, it would take the code of its own threads along.
    _library: Library,
}

/// Something that the library keeps for us until it is dropped.
#[derive(Debug)]
pub struct LibraryHandle(u64);

/// Pictures that may wait for one listener; those that come while it has no time are dropped.
const MOST_PICTURES: usize = 64;

/// Who hears of some topics.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    events: Sender<RoomEvent>,
    /// How many pictures wait.
    pictures: Arc<AtomicUsize>,
}

/// Whom an event is for: of handles and answers, each has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Room(u64),
    Stream(u64),
    Answer(u64),
}

static LOADED: OnceLock<ClientLibrary> = OnceLock::new();
/// Held by whoever loads it.
static LOADING: Mutex<()> = Mutex::new(());
static LISTENERS: Mutex<Option<HashMap<Topic, Listener>>> = Mutex::new(None);
static NEXT_ANSWER: AtomicU64 = AtomicU64::new(1);

impl ClientLibrary {
    /// The library, loaded now if it was not before.
    ///
    /// # Errors
    /// When it is nowhere, or is another than the one we speak to.
    pub fn load() -> Result<&'static Self, LibraryAbsent> {
        let _loading = LOADING.locked();
        if let Some(library) = LOADED.get() {
            return Ok(library);
        }
        let library = Self::open(&place())?;
        Ok(LOADED.get_or_init(|| library))
    }

    fn open(place: &Path) -> Result<Self, LibraryAbsent> {
        let absent = |error: libloading::Error| LibraryAbsent(error.to_string());
        // SAFETY: loading runs the library's initializers, which we trust as we trust its code; the symbols have the types of
        // its header, livekit_ffi.h, and stay valid because the library is never unloaded.
        unsafe {
            let library = Library::open(Some(place), RTLD_NOW | RTLD_LOCAL).map_err(absent)?;
            let initialize: Symbol<Initialize> = library.get(b"livekit_ffi_initialize\0").map_err(absent)?;
            let ask = library.get(b"livekit_ffi_request\0").map_err(absent)?;
            let drop_handle = library.get(b"livekit_ffi_drop_handle\0").map_err(absent)?;
            let (name, version) = (CString::from(c"cloud-recording"), CString::from(c"0.1.0"));
            initialize(on_event, true, name.as_ptr(), version.as_ptr());
            Ok(Self { ask, drop_handle, _library: library })
        }
    }

    /// What the library answers; nothing where it does not understand us.
    pub(super) fn ask(&self, message: ffi_request::Message) -> Option<ffi_response::Message> {
        let request = FfiRequest { message: Some(message) }.encode_to_vec();
        let (mut bytes, mut length) = (std::ptr::null(), 0);
        // SAFETY: the request's bytes are valid during the call; the answer's are until the handle that is returned is
        // dropped, which is at the end of this function.
        let answer = unsafe {
            let handle = (self.ask)(request.as_ptr(), request.len(), &raw mut bytes, &raw mut length);
            if handle == 0 || bytes.is_null() {
                return None;
            }
            let _kept = LibraryHandle(handle);
            FfiResponse::decode(slice::from_raw_parts(bytes, length)).ok()?
        };
        answer.message
    }
}

impl Listener {
    pub(super) fn new() -> (Self, Receiver<RoomEvent>) {
        let (events, receiver) = channel();
        (Self { events, pictures: Arc::default() }, receiver)
    }

    fn hear(&self, event: RoomEvent) {
        let is_picture = matches!(event, RoomEvent::Picture { .. });
        if !is_picture || self.pictures.fetch_add(1, Ordering::Relaxed) < MOST_PICTURES {
            drop(self.events.send(event));
        } else {
            self.pictures.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The event was received.
    pub(super) fn heard(&self, event: &RoomEvent) {
        if matches!(event, RoomEvent::Picture { .. }) {
            self.pictures.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl LibraryHandle {
    /// Takes over what the library has handed out under this number.
    pub(super) fn owned(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for LibraryHandle {
    fn drop(&mut self) {
        if let Some(library) = LOADED.get() {
            // SAFETY: the number is of a handle that was given to us and is dropped once.
            unsafe { (library.drop_handle)(self.0) };
        }
    }
}

/// A number for an answer that will be sent as an event.
pub(super) fn next_answer() -> u64 {
    NEXT_ANSWER.fetch_add(1, Ordering::Relaxed)
}

/// What is told of the topic from now on goes to the listener.
pub(super) fn listen(topic: Topic, listener: &Listener) {
    LISTENERS.locked().get_or_insert_default().insert(topic, listener.clone());
}

pub(super) fn ignore(topic: Topic) {
    // What is dropped last of a listener may wait for the lock.
    let listener = LISTENERS.locked().get_or_insert_default().remove(&topic);
    drop(listener);
}

/// The file that the environment names, the one beside the library that this code is in, or any that the system finds.
fn place() -> PathBuf {
    let named = std::env::var_os(PLACE).filter(|place| !place.is_empty()).map(PathBuf::from);
    named.or_else(|| beside_us().filter(|file| file.exists())).unwrap_or_else(|| PathBuf::from(FILE))
}

fn beside_us() -> Option<PathBuf> {
    // SAFETY: all zeros are a valid Dl_info, the address is one of our own code, and the name is valid until we are unloaded.
    unsafe {
        let mut found: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(beside_us as *const libc::c_void, &raw mut found) == 0 || found.dli_fname.is_null() {
            return None;
        }
        let name = std::ffi::CStr::from_ptr(found.dli_fname).to_str().ok()?;
        Some(Path::new(name).parent()?.join(FILE))
    }
}

/// Called from the library's own threads, several at once. A panic of ours must not unwind into them.
unsafe extern "C" fn on_event(bytes: *const u8, length: usize) {
    let told = catch_unwind(AssertUnwindSafe(|| {
        if bytes.is_null() {
            return;
        }
        // SAFETY: the library says so, and keeps the bytes until we return.
        let bytes = unsafe { slice::from_raw_parts(bytes, length) };
        let Some((topic, event)) = FfiEvent::decode(bytes).ok().and_then(|event| event::understood(event.message?))
        else {
            return;
        };
        let listener = LISTENERS.locked().as_ref().and_then(|listeners| listeners.get(&topic).cloned());
        // Without a listener the event is dropped, and with it what it holds in the library.
        match listener {
            Some(listener) => listener.hear(event),
            None => event.come_too_late(),
        }
    }));
    drop(told);
}

// SPDX-License-Identifier: Apache-2.0
//! The C functions: those of `cloud_recording.h`, and those that the C++ layer stands on (abi/src/core.h). No panic leaves
//! them; but for the call of the observer (`recorder::callbacks`), nothing else is `unsafe` towards the host.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::capture::api::MaxResolution;
use crate::capture::Capture;
use crate::config::{BucketLocation, Document};
use crate::error::{Code, Error};
use crate::recorder::arguments::{layout, StartArguments};
use crate::recorder::callbacks::{Notify, Observer};
use crate::recorder::capturing::Capturing;
use crate::recorder::shared::{Control, Shared};
use crate::recorder::start::other_streams;
use crate::recorder::{merge, recording_log, registry, rescue, rescued, Recorder};

const API_VERSION: u32 = 1;

#[no_mangle]
pub extern "C" fn recorder_core_create(observer: *mut c_void, notify: Option<Notify>) -> *mut Recorder {
    let observer = Observer { context: observer, notify };
    let recorder = catch_unwind(AssertUnwindSafe(|| Recorder::new(observer, start_capture)));
    recorder.map_or(std::ptr::null_mut(), |recorder| Box::into_raw(Box::new(recorder)))
}

/// # Safety
/// `core` is a recorder of `recorder_core_create` that was not released.
#[no_mangle]
pub unsafe extern "C" fn recorder_core_id(core: *const Recorder) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { &*core }.id().as_ptr()
}

/// # Safety
/// `core` is a recorder that was not released; `start` and its texts are valid during the call.
#[no_mangle]
pub unsafe extern "C" fn recorder_core_start(core: *mut Recorder, start: *const StartArguments<*const c_char>) -> i32 {
    // SAFETY: the caller's promise.
    let (recorder, start) = unsafe { (&*core, &*start) };
    // SAFETY: likewise; null is no text.
    let request = start.with_texts(|pointer| unsafe { text(pointer) });
    code(|| recorder.start(&request))
}

/// # Safety
/// `core` is a recorder that was not released.
#[no_mangle]
pub unsafe extern "C" fn recorder_core_stop(core: *mut Recorder) -> i32 {
    // SAFETY: the caller's promise.
    let recorder = unsafe { &*core };
    code(|| recorder.stop())
}

/// # Safety
/// `core` is a recorder that was not released, and is not used any more after this.
#[no_mangle]
pub unsafe extern "C" fn recorder_core_release(core: *mut Recorder, cancel: bool) {
    // By reference first: until this returns, a callback under way may still use the recorder.
    // SAFETY: the caller's promise.
    let recorder = unsafe { &*core };
    code(|| {
        recorder.release(cancel);
        Ok(())
    });
    // SAFETY: the caller's promise; it came from `Box::into_raw`.
    drop(unsafe { Box::from_raw(core) });
}

#[no_mangle]
pub extern "C" fn cr_api_version() -> u32 {
    API_VERSION
}

/// # Safety
/// `json` is null or C text; `err` is null or has room for `n` bytes.
#[no_mangle]
pub unsafe extern "C" fn cr_configure_next(json: *const c_char, err: *mut c_char, n: usize) -> c_int {
    // SAFETY: the caller's promise.
    let text = unsafe { text(json) };
    // SAFETY: likewise.
    let explain = |message: &str| unsafe { copy(message, err, n) };
    explained(|| registry::configure_next(document(text)?), explain)
}

fn status(id: &str) -> Option<String> {
    match registry::find(id) {
        Some(recorder) => Some(recorder.snapshot()),
        None => rescued::status(id),
    }
}

/// # Safety
/// `recording_id` is null or C text; `buf` is null or has room for `n` bytes.
#[no_mangle]
pub unsafe extern "C" fn cr_status(recording_id: *const c_char, buf: *mut c_char, n: usize) -> i64 {
    // SAFETY: the caller's promise.
    let id = unsafe { text(recording_id) };
    let snapshot = catch_unwind(|| status(id?)).unwrap_or_default();
    let Some(snapshot) = snapshot else { return -1 };
    // SAFETY: the caller's promise.
    unsafe { copy(&snapshot, buf, n) };
    i64::try_from(snapshot.len()).unwrap_or(-1)
}

/// # Safety
/// `recording_id` is null or C text.
#[no_mangle]
pub unsafe extern "C" fn cr_set_layout(recording_id: *const c_char, number: c_int, max_resolution_uid: u32) -> c_int {
    // SAFETY: the caller's promise.
    let id = unsafe { text(recording_id) };
    change("cr_set_layout", id, || Ok(Control::SetLayout(layout(number)?, MaxResolution::Uid(max_resolution_uid))))
}

/// # Safety
/// `recording_id` and `identity` are null or C text.
#[no_mangle]
pub unsafe extern "C" fn cr_set_layout_by_identity(
    recording_id: *const c_char,
    number: c_int,
    identity: *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    let (id, identity) = unsafe { (text(recording_id), text(identity)) };
    code(|| set_layout_by_identity(id, number, identity))
}

/// # Safety
/// `recording_id` is null or C text.
#[no_mangle]
pub unsafe extern "C" fn cr_set_paused(recording_id: *const c_char, paused: c_int) -> c_int {
    // SAFETY: the caller's promise.
    let id = unsafe { text(recording_id) };
    change("cr_set_paused", id, || Ok(Control::SetPaused(paused != 0)))
}

/// # Safety
/// `recording_id` and `json` are null or C text; `err` is null or has room for `n` bytes.
#[no_mangle]
pub unsafe extern "C" fn cr_set_streams(
    recording_id: *const c_char,
    json: *const c_char,
    err: *mut c_char,
    n: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let (id, streams) = unsafe { (text(recording_id), text(json)) };
    // SAFETY: likewise.
    let explain = |message: &str| unsafe { copy(message, err, n) };
    explained(|| set_streams(id, streams), explain)
}

/// # Safety
/// `recording_id` and `json` are null or C text; `err` is null or has room for `n` bytes.
#[no_mangle]
pub unsafe extern "C" fn cr_set_storage(
    recording_id: *const c_char,
    json: *const c_char,
    err: *mut c_char,
    n: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let (id, location) = unsafe { (text(recording_id), text(json)) };
    // SAFETY: likewise.
    let explain = |message: &str| unsafe { copy(message, err, n) };
    explained(|| set_storage(id, location), explain)
}

#[no_mangle]
pub extern "C" fn cr_wait_drained(timeout_ms: u32) -> c_int {
    let timeout = Duration::from_millis(u64::from(timeout_ms));
    catch_unwind(|| registry::wait_drained(timeout)).unwrap_or_default().into()
}

/// # Safety
/// `json` is null or C text; `err` is null or has room for `n` bytes.
#[no_mangle]
pub unsafe extern "C" fn cr_rescue(json: *const c_char, err: *mut c_char, n: usize) -> c_int {
    // SAFETY: the caller's promise.
    let text = unsafe { text(json) };
    // SAFETY: likewise.
    let explain = |message: &str| unsafe { copy(message, err, n) };
    explained(|| rescue::rescue(&document(text)?), explain)
}

/// # Safety
/// `json` is null or C text; `answer` is null or has room for `n` bytes.
#[no_mangle]
pub unsafe extern "C" fn cr_merge(json: *const c_char, answer: *mut c_char, n: usize) -> c_int {
    // SAFETY: the caller's promise.
    let text = unsafe { text(json) };
    let merged = catch_unwind(|| merge::merge(&document(text)?));
    let (code, told) = merge::answer(&merged.unwrap_or_else(|_| Err(Error::unexpected().into())));
    // SAFETY: the caller's promise.
    unsafe { copy(&told, answer, n) };
    code
}

fn start_capture(
    config: crate::capture::api::CaptureConfig,
    sink: Arc<dyn crate::capture::api::CaptureSink>,
) -> Result<Box<dyn Capturing>, Error> {
    Ok(Box::new(Capture::start(config, sink)?))
}

fn document(text: Option<&str>) -> Result<Document, Error> {
    Document::parse(text.ok_or_else(|| Error::new(Code::InvalidParameter, "the configuration must be UTF-8 text"))?)
}

/// Does `control`, which `function` asks for; a refusal's reason is in the recording's log.
fn change(function: &str, recording_id: Option<&str>, control: impl FnOnce() -> Result<Control, Error>) -> i32 {
    code(|| asked_for(function, recording_id, |_| control()))
}

fn asked_for(
    function: &str,
    recording_id: Option<&str>,
    control: impl FnOnce(&Shared) -> Result<Control, Error>,
) -> Result<(), Error> {
    let shared = recording_id.and_then(registry::find);
    let shared = shared.ok_or_else(|| Error::new(Code::InvalidParameter, "no such recording"))?;
    let _log = shared.log.enter();
    let done = control(&shared).and_then(|control| order(&shared, control));
    done.inspect_err(|error| recording_log::call_refused(function, error))
}

fn set_layout_by_identity(recording_id: Option<&str>, number: c_int, identity: Option<&str>) -> Result<(), Error> {
    asked_for("cr_set_layout_by_identity", recording_id, |shared| {
        let identity = identity.filter(|identity| !identity.is_empty());
        let identity = identity.ok_or_else(|| Error::new(Code::InvalidParameter, "the identity must be UTF-8 text"))?;
        let nothing = || Error::new(Code::InvalidOperation, "nothing is being recorded");
        if !shared.traits().ok_or_else(nothing)?.room {
            return Err(Error::new(Code::InvalidOperation, "only a room's participants have identities"));
        }
        Ok(Control::SetLayout(layout(number)?, MaxResolution::Identity(identity.into())))
    })
}

fn set_streams(recording_id: Option<&str>, streams: Option<&str>) -> Result<(), Error> {
    asked_for("cr_set_streams", recording_id, |shared| {
        let text = streams.ok_or_else(|| Error::new(Code::InvalidParameter, "the streams must be UTF-8 text"))?;
        let nothing = || Error::new(Code::InvalidOperation, "nothing is being recorded");
        let traits = shared.traits().ok_or_else(nothing)?;
        Ok(Control::SetStreams(other_streams(text, traits)?))
    })
}

fn order(shared: &Shared, control: Control) -> Result<(), Error> {
    if matches!(control, Control::SetLayout(..)) && shared.traits().is_some_and(|traits| traits.passed_through) {
        return Err(Error::new(Code::InvalidOperation, "what is passed through has no layout"));
    }
    if shared.state().captures() && shared.send(control) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidOperation, "nothing is being recorded"))
}

fn set_storage(recording_id: Option<&str>, location: Option<&str>) -> Result<(), Error> {
    let location = location.ok_or_else(|| Error::new(Code::InvalidParameter, "the place must be UTF-8 text"))?;
    let location = BucketLocation::parse(location)?;
    let shared = recording_id.and_then(registry::find);
    shared.ok_or_else(|| Error::new(Code::InvalidParameter, "no such recording"))?.move_to(location)
}

fn code(call: impl FnOnce() -> Result<(), Error>) -> i32 {
    explained(call, |_| ())
}

/// The call's outcome as a number, its error's words given to `explain`; a panic is a general error.
fn explained(call: impl FnOnce() -> Result<(), Error>, explain: impl FnOnce(&str)) -> i32 {
    match catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(Error::unexpected())) {
        Ok(()) => 0,
        Err(error) => {
            explain(&error.message);
            error.code as i32
        }
    }
}

/// The C text as UTF-8; `None` if it is null or not UTF-8.
///
/// # Safety
/// `pointer` is null or C text that outlives the result.
unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_str().ok()).flatten()
}

/// Copies as much of the words as fits, cut between characters, and a NUL.
///
/// # Safety
/// `buffer` is null or has room for `n` bytes.
unsafe fn copy(words: &str, buffer: *mut c_char, n: usize) {
    if buffer.is_null() || n == 0 {
        return;
    }
    let mut length = words.len().min(n - 1);
    while !words.is_char_boundary(length) {
        length -= 1;
    }
    // SAFETY: the caller's promise; the length and its NUL fit.
    unsafe {
        std::ptr::copy_nonoverlapping(words.as_ptr().cast::<c_char>(), buffer, length);
        *buffer.add(length) = 0;
    }
}

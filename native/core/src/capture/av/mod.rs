// SPDX-License-Identifier: Apache-2.0
//! Owning wrappers over the few libav objects capture needs: who uses packets and pictures sees no raw pointer of theirs;
//! opening, encoding and multiplexing do.
//!
//! The bindings are used directly rather than through a safe layer of theirs, because interrupt callbacks, custom output
//! and timestamps in nanoseconds all lie outside what such layers offer.

pub mod codec;
pub mod colour;
pub mod convert;
pub mod deinterlace;
pub mod frame;
pub mod half_band;
pub mod halve;
pub mod parameters;
pub mod pool;
pub mod resample;
pub mod scale;
mod tone;
pub mod turn;

use std::ffi::{c_char, c_int, CStr, CString};
use std::fmt;
use std::ptr;
use std::sync::{Mutex, Once};

use ffmpeg_sys_next as ffi;

use crate::locked::Locked;

/// The time base of every timestamp that capture hands to libav: nanoseconds.
pub const NANOSECONDS: ffi::AVRational = ffi::AVRational { num: 1, den: 1_000_000_000 };

/// Where the process is ours, no single buffer that libav allocates may be larger. A plane of the largest picture that is
/// taken, at 16 bits a sample, fits; what a hostile header asks for does not.
const LARGEST_ALLOCATION: usize = 24 << 20;

/// Likewise for the tables of a file that we write ourselves: an entry for each packet of two days of sound.
const LARGEST_TABLE: usize = 1 << 30;

/// Prepares libav once per process. What others in the process may have set is left as it is.
pub fn prepare() {
    static ONCE: Once = Once::new();
    // SAFETY: may be called at any time, and counts its calls.
    ONCE.call_once(|| unsafe {
        ffi::avformat_network_init();
    });
}

/// Whether the process has nothing else to do with libav, and how many want larger allocations at present.
static OWNED: Mutex<(bool, usize)> = Mutex::new((false, 0));

/// Sets what libav has for the whole process: quiet, and with a bound on what one allocation may take. Only for programs that
/// say that they have nothing else to do with libav. Without, hostile sources are bounded by what is read of them.
pub fn take_over() {
    // SAFETY: a plain setter of a process-wide setting.
    unsafe { ffi::av_log_set_level(ffi::AV_LOG_QUIET) };
    bound(|(_, wanted)| (true, wanted));
}

/// What is added to the level of what contexts of ours say. Levels grow with unimportance: without the process being ours,
/// nothing of it reaches the log that libav has for all in the process.
pub fn log_offset() -> c_int {
    const BEYOND_ALL: c_int = 64;
    if OWNED.locked().0 {
        0
    } else {
        BEYOND_ALL
    }
}

fn bound(change: impl Fn((bool, usize)) -> (bool, usize)) {
    let mut owned = OWNED.locked();
    *owned = change(*owned);
    if let (true, wanted) = *owned {
        // SAFETY: a plain setter of a process-wide setting.
        unsafe { ffi::av_max_alloc(if wanted > 0 { LARGEST_TABLE } else { LARGEST_ALLOCATION }) };
    }
}

/// Lets libav allocate more at once, for as long as somebody has one of these.
pub struct LargeAllocations(());

impl LargeAllocations {
    pub fn allow() -> Self {
        bound(|(owned, wanted)| (owned, wanted + 1));
        Self(())
    }
}

impl Drop for LargeAllocations {
    fn drop(&mut self) {
        bound(|(owned, wanted)| (owned, wanted.saturating_sub(1)));
    }
}

/// A negative return value of libav. Decisions look at the code; the text is for people. Whom it concerns, the caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvError(pub c_int);

impl AvError {
    pub const AGAIN: Self = Self(ffi::AVERROR(ffi::EAGAIN));
    pub const END_OF_FILE: Self = Self(ffi::AVERROR_EOF);
    pub const INTERRUPTED: Self = Self(ffi::AVERROR_EXIT);
    pub const INVALID: Self = Self(ffi::AVERROR(ffi::EINVAL));
    pub const NO_DECODER: Self = Self(ffi::AVERROR_DECODER_NOT_FOUND);
    pub const OUT_OF_MEMORY: Self = Self(ffi::AVERROR(ffi::ENOMEM));

    /// `Ok` with the value when it is not negative.
    pub fn check(value: c_int) -> Result<c_int, Self> {
        if value < 0 {
            Err(Self(value))
        } else {
            Ok(value)
        }
    }
}

impl fmt::Display for AvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text: [c_char; 128] = [0; 128];
        // SAFETY: the buffer is valid for its stated length, and av_strerror always terminates it.
        let text = unsafe {
            ffi::av_strerror(self.0, text.as_mut_ptr(), text.len());
            CStr::from_ptr(text.as_ptr())
        };
        f.write_str(&text.to_string_lossy())
    }
}

/// Options for opening something; whatever libav does not take stays inside and is freed with it.
pub struct Options(*mut ffi::AVDictionary);

impl Options {
    pub fn new(pairs: &[(&str, &str)]) -> Result<Self, AvError> {
        let mut options = Self(ptr::null_mut());
        for (key, value) in pairs {
            let (key, value) = (c_string(key)?, c_string(value)?);
            // SAFETY: the dictionary pointer is ours, and libav copies both strings.
            AvError::check(unsafe { ffi::av_dict_set(&raw mut options.0, key.as_ptr(), value.as_ptr(), 0) })?;
        }
        Ok(options)
    }

    pub fn as_mut_ptr(&mut self) -> *mut *mut ffi::AVDictionary {
        &raw mut self.0
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the dictionary is owned by this value, and freeing a null one does nothing.
        unsafe { ffi::av_dict_free(&raw mut self.0) };
    }
}

/// A C string; text with a NUL in it is an invalid argument.
pub fn c_string(text: &str) -> Result<CString, AvError> {
    CString::new(text).map_err(|_| AvError(ffi::AVERROR(ffi::EINVAL)))
}

/// `value` in units of `base` as nanoseconds; `None` for "no timestamp".
pub fn to_nanos(value: i64, base: ffi::AVRational) -> Option<i64> {
    if value == ffi::AV_NOPTS_VALUE || base.num <= 0 || base.den <= 0 {
        return None;
    }
    let nanos = i128::from(value) * i128::from(base.num) * 1_000_000_000 / i128::from(base.den);
    // Kept far from the ends of the type, so that later sums cannot overflow.
    let limit = i128::from(i64::MAX / 4);
    Some(i64::try_from(nanos.clamp(-limit, limit)).unwrap_or(0))
}

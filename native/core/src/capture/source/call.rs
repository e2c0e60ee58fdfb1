// SPDX-License-Identifier: Apache-2.0
//! A call of libav's for something to be opened, and what it is told of what was.

use std::ffi::{c_int, CStr};
use std::ptr;

use ffmpeg_sys_next as ffi;

use crate::capture::av::{c_string, AvError, Options};

/// Transport streams have many streams and spend little on those that are not received; so have playlists. Others may ask
/// for the largest allocation with each stream, before libav can be interrupted again.
const MOST_STREAMS_OF_A_TRANSPORT: &str = "256";
const MOST_STREAMS_OF_A_PLAYLIST: &str = "64";

/// The arguments with which libav asks for something to be opened.
pub struct Call {
    pub context: *mut ffi::AVFormatContext,
    pub io: *mut *mut ffi::AVIOContext,
    pub flags: c_int,
    pub options: *mut *mut ffi::AVDictionary,
}

impl Call {
    /// One attempt, which takes its options from the caller's only if it succeeds.
    ///
    /// # Safety
    /// The pointers are those of libav's call, which lasts.
    pub unsafe fn attempt(&self, url: &str, options: &[(&str, &str)]) -> c_int {
        let (Ok(url), Ok(mut options)) = (c_string(url), Options::new(options)) else {
            return ffi::AVERROR(ffi::EINVAL);
        };
        // SAFETY: the caller's promise; options are copied into a dictionary of our own, and handed back whole.
        unsafe {
            let keep = ffi::AV_DICT_DONT_OVERWRITE as c_int;
            if !self.options.is_null() {
                ffi::av_dict_copy(options.as_mut_ptr(), *self.options, keep);
            }
            let whitelist = (*self.context).protocol_whitelist;
            if !whitelist.is_null() {
                ffi::av_dict_set(options.as_mut_ptr(), c"protocol_whitelist".as_ptr(), whitelist, 0);
            }
            let interrupt = &raw const (*self.context).interrupt_callback;
            let opened = ffi::avio_open2(self.io, url.as_ptr(), self.flags, interrupt, options.as_mut_ptr());
            if opened >= 0 && !self.options.is_null() {
                ptr::swap(self.options, options.as_mut_ptr());
            }
            opened
        }
    }

    /// A text that the opened protocol has found out.
    ///
    /// # Safety
    /// What the call asked for was opened.
    pub unsafe fn option(&self, name: &CStr) -> Option<String> {
        let mut value = ptr::null_mut();
        // SAFETY: the caller's promise; the text is libav's to allocate and ours to free.
        unsafe {
            let search = ffi::AV_OPT_SEARCH_CHILDREN as c_int;
            AvError::check(ffi::av_opt_get((*self.io).cast(), name.as_ptr(), search, &raw mut value)).ok()?;
            if value.is_null() {
                return None;
            }
            let text = CStr::from_ptr(value.cast()).to_string_lossy().into_owned();
            ffi::av_free(value.cast());
            Some(text)
        }
    }

    /// Has libav take what was opened for a transport stream.
    ///
    /// # Safety
    /// What the call asked for was opened for this context itself.
    pub unsafe fn take_for_transport_stream(&self) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { self.limit("mpegts", MOST_STREAMS_OF_A_TRANSPORT) }
    }

    /// Has libav take what was opened for this format alone, with so many streams at most.
    ///
    /// # Safety
    /// What the call asked for was opened for this context itself.
    unsafe fn limit(&self, format: &str, streams: &str) -> c_int {
        for (name, value) in [(c"format_whitelist", format), (c"max_streams", streams)] {
            let Ok(value) = c_string(value) else { return AvError::INVALID.0 };
            // SAFETY: the caller's promise.
            let set = unsafe { ffi::av_opt_set(self.context.cast(), name.as_ptr(), value.as_ptr(), 0) };
            if set < 0 {
                return set;
            }
        }
        0
    }

    /// A playlist is one whatever its name; what it refers to is looked for where it was found, and not where libav was
    /// brought to.
    ///
    /// # Safety
    /// A playlist was opened, and has been read whole.
    pub unsafe fn take_for_playlist(&self, target: &str, is_root: bool) -> c_int {
        let Ok(target) = c_string(target) else { return AvError::INVALID.0 };
        // SAFETY: the caller's promise; a protocol without such an option is left as it is.
        unsafe {
            let search = ffi::AV_OPT_SEARCH_CHILDREN as c_int;
            ffi::av_opt_set((*self.io).cast(), c"location".as_ptr(), target.as_ptr(), search);
            if !is_root {
                return 0;
            }
            (*self.context).iformat = ffi::av_find_input_format(c"hls".as_ptr()).cast_mut();
            self.limit("hls", MOST_STREAMS_OF_A_PLAYLIST)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What libav may do for a source: how long a call of it may last, how much memory it may take, and what it may open.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void, CStr};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ffmpeg_next::ffi;

use super::guard::{self, Guard, Refusal};
use super::numbering::Numbering;
use super::peek::Peek;
use super::playlist::{self, Cadence};
use super::redirect;
use crate::capture::av::{AvError, Options};
use crate::capture::clock::{lock, Stop};

/// Redirects that are followed in a row.
const MOST_REDIRECTS: usize = 8;

/// All calls of libav that are under way may take so much memory together. Containers are read into memory as far as their
/// headers and lists go, and a hostile one never ends.
const MOST_GROWTH: usize = 96 << 20;

/// Only calls that took a part of this size can be the cause.
const OWN_PART: usize = MOST_GROWTH / 6;

/// Memory is given back to the system after a call that took so much and failed: or the next would begin from there.
const WORTH_GIVING_BACK: usize = 32 << 20;

const PAGE: usize = 4096;

/// What the calls under way have taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Bounds libav's calls. Times are real: the network knows no virtual clock.
pub struct Watch {
    pub stop: Arc<Stop>,
    url: String,
    guard: Guard,
    origin: Instant,
    deadline_millis: AtomicU64,
    growth: Mutex<Growth>,
    gorged: AtomicBool,
    is_entered: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
    cadence: Mutex<Option<Cadence>>,
    /// By the address that libav asked for.
    numberings: Mutex<HashMap<String, Numbering>>,
}

impl Watch {
    pub fn new(url: &str, guard: &Guard, stop: &Arc<Stop>) -> Self {
        Self {
            stop: Arc::clone(stop),
            url: url.to_owned(),
            guard: guard.clone(),
            origin: Instant::now(),
            deadline_millis: AtomicU64::new(0),
            growth: Mutex::default(),
            gorged: AtomicBool::new(false),
            is_entered: AtomicBool::new(false),
            refusal: Mutex::default(),
            cadence: Mutex::default(),
            numberings: Mutex::default(),
        }
    }

    /// A call begins that may last this long.
    pub fn allow(&self, limit: Duration) {
        let deadline = self.origin.elapsed() + limit;
        self.deadline_millis.store(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        *lock(&self.growth) = Growth::default();
    }

    pub fn is_over(&self) -> bool {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let judged = self.is_gorged() || lock(&self.refusal).is_some();
        judged || self.stop.is_raised() || elapsed > self.deadline_millis.load(Ordering::Relaxed)
    }

    /// Whether a call took memory beyond all measure, and was ended for it.
    pub fn is_gorged(&self) -> bool {
        self.gorged.load(Ordering::Relaxed)
    }

    /// Why the rules ended the call, which libav tells only as an error of its own.
    pub fn take_refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).take()
    }

    /// How the newest playlist that was read hands out its segments.
    pub fn cadence(&self) -> Option<Cadence> {
        *lock(&self.cadence)
    }

    /// Has libav ask before whatever it opens, and while it waits.
    ///
    /// # Safety
    /// `context` must be a new context, and be closed while this watch is still where it is now.
    pub unsafe fn over(&self, context: *mut ffi::AVFormatContext) {
        let opaque = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: the caller's promise.
        unsafe {
            (*context).interrupt_callback = ffi::AVIOInterruptCB { callback: Some(interrupted), opaque };
            (*context).opaque = opaque;
            (*context).io_open = Some(open);
        }
    }

    /// Looks where a protocol that follows redirects by itself has ended up.
    pub fn judge_arrival(&self, url: &str) -> Result<(), Refusal> {
        if url == self.url {
            return Ok(());
        }
        self.guard.check_reference(&self.url, url)
    }

    pub fn whitelist(&self) -> String {
        self.guard.whitelist()
    }

    fn refuse(&self, refusal: Refusal) -> c_int {
        lock(&self.refusal).get_or_insert(refusal);
        ffi::AVERROR(ffi::EPERM)
    }

    /// A call has failed, and what it had allocated is free again.
    pub fn give_back(&self) {
        if lock(&self.growth).own > WORTH_GIVING_BACK {
            // SAFETY: may be called at any time; it only looks after memory that nobody has.
            unsafe { libc::malloc_trim(0) };
        }
    }

    fn measure(&self) {
        let mut growth = lock(&self.growth);
        growth.measure();
        if growth.own > OWN_PART && TAKEN.load(Ordering::Relaxed) > MOST_GROWTH {
            self.gorged.store(true, Ordering::Relaxed);
        }
    }

    /// Opens `target`, or where it redirects to, through the protocol `wrapping` if there is one.
    ///
    /// # Safety
    /// As for `open`, from which the arguments come.
    unsafe fn open_within_rules(&self, call: &Call, wrapping: &str, asked: &str) -> c_int {
        let (mut target, mut cookies) = (asked.to_owned(), String::new());
        for _ in 0..=MOST_REDIRECTS {
            if let Err(refusal) = self.guard.check_reference(&self.url, &target) {
                return self.refuse(refusal);
            }
            // SAFETY: the caller's promise.
            let opened = unsafe { call.attempt(&format!("{wrapping}{target}"), &cookies) };
            if opened >= 0 {
                // SAFETY: it was opened just now.
                return unsafe { self.look_into(call, asked, &target) };
            }
            // A redirect that is not followed is an input/output error like many another.
            if opened != ffi::AVERROR(ffi::EIO) || !is_http(&target) {
                return opened;
            }
            match redirect::ask(&target, || self.is_over()) {
                Some(redirect) if is_http(&redirect.url) => {
                    target = redirect.url;
                    cookies.push_str(&redirect.cookies);
                }
                Some(redirect) => {
                    let refusal = self.guard.check_reference(&self.url, &redirect.url).err();
                    return self.refuse(refusal.unwrap_or(Refusal::Malformed));
                }
                None => return opened,
            }
        }
        ffi::AVERROR(ffi::EIO)
    }
}

impl Watch {
    /// The playlist as libav is to read it, if not as it is.
    fn follow(&self, asked: &str, text: &str) -> Option<String> {
        let mut numberings = lock(&self.numberings);
        if numberings.len() >= playlist::MOST_CHOICES && !numberings.contains_key(asked) {
            return None;
        }
        let (other, anew) = numberings.entry(asked.to_owned()).or_default().follow(text);
        if anew {
            tracing::info!("the playlist's numbering begins anew: its segments are read on from there");
        }
        other
    }

    /// Closes what must not be read by libav: an unsound playlist.
    ///
    /// # Safety
    /// What the call asked for was opened, and nothing was read of it.
    unsafe fn look_into(&self, call: &Call, asked: &str, target: &str) -> c_int {
        if !is_http(target) && !guard::is_file(target) {
            return 0;
        }
        // The source itself is opened first.
        let is_root = !self.is_entered.swap(true, Ordering::Relaxed);
        // SAFETY: the caller's promise; it is closed only when it is not looked into any more.
        unsafe {
            let judged = judge(&mut Peek::new(*call.io), is_root, |text| self.follow(asked, text));
            if judged.is_err() {
                ffi::avio_closep(call.io);
            }
            match judged {
                Ok(cadence) => {
                    let mut known = lock(&self.cadence);
                    *known = cadence.or(*known);
                    0
                }
                Err(Unsound::Endless) => {
                    self.gorged.store(true, Ordering::Relaxed);
                    AvError::INTERRUPTED.0
                }
                Err(Unsound::Broken(error)) => error.0,
            }
        }
    }
}

enum Unsound {
    Endless,
    Broken(AvError),
}

fn judge(
    peek: &mut Peek,
    is_root: bool,
    follow: impl FnOnce(&str) -> Option<String>,
) -> Result<Option<Cadence>, Unsound> {
    if peek.beginning(playlist::HEAD.len()).map_err(Unsound::Broken)? != playlist::HEAD {
        return Ok(None);
    }
    let text = peek.beginning(playlist::MOST_BYTES + 1).map_err(Unsound::Broken)?;
    if text.len() > playlist::MOST_BYTES {
        return Err(Unsound::Endless);
    }
    if !playlist::is_sound(text, is_root) {
        return Err(Unsound::Broken(AvError(ffi::AVERROR_INVALIDDATA)));
    }
    let cadence = Cadence::of(text);
    if let Some(other) = std::str::from_utf8(text).ok().and_then(follow) {
        peek.replace(other.as_bytes()).map_err(Unsound::Broken)?;
    }
    Ok(cadence)
}

/// The arguments with which libav asks for something to be opened.
struct Call {
    context: *mut ffi::AVFormatContext,
    io: *mut *mut ffi::AVIOContext,
    flags: c_int,
    options: *mut *mut ffi::AVDictionary,
}

impl Call {
    /// One attempt, which takes its options from the caller's only if it succeeds.
    ///
    /// # Safety
    /// The pointers are those of libav's call, which lasts.
    unsafe fn attempt(&self, url: &str, cookies: &str) -> c_int {
        let mut pairs = vec![("max_redirects", "0")];
        if !cookies.is_empty() {
            pairs.push(("cookies", cookies));
        }
        let (Ok(url), Ok(mut options)) = (crate::capture::av::c_string(url), Options::new(&pairs)) else {
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
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// What memory a call has taken, as far as it was the first to touch it: what is used again makes nothing grow.
#[derive(Default)]
struct Growth {
    /// What its thread had touched as the call began.
    before: Option<usize>,
    own: usize,
}

impl Growth {
    fn measure(&mut self) {
        let now = touched_by_this_thread();
        let own = now.saturating_sub(*self.before.get_or_insert(now));
        TAKEN.fetch_add(own.saturating_sub(self.own), Ordering::Relaxed);
        self.own = self.own.max(own);
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.own, Ordering::Relaxed);
    }
}

fn touched_by_this_thread() -> usize {
    // SAFETY: the structure holds numbers alone, so that zero is a value of each; the call only fills them in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    usize::try_from(usage.ru_minflt).unwrap_or(0) * PAGE
}

unsafe extern "C" fn interrupted(opaque: *mut c_void) -> c_int {
    // SAFETY: libav passes back the watch, which outlives the context.
    let watch = unsafe { &*opaque.cast::<Watch>() };
    watch.measure();
    c_int::from(watch.is_over())
}

/// Opens the source itself and what a container refers to (segments, keys, further playlists), if the rules allow it.
unsafe extern "C" fn open(
    context: *mut ffi::AVFormatContext,
    io: *mut *mut ffi::AVIOContext,
    url: *const c_char,
    flags: c_int,
    options: *mut *mut ffi::AVDictionary,
) -> c_int {
    // SAFETY: libav passes the context that the callback was set on, whose opaque pointer is the watch, and valid
    // pointers for the rest.
    unsafe {
        let watch = &*(*context).opaque.cast::<Watch>();
        let Ok(text) = CStr::from_ptr(url).to_str() else { return AvError::INVALID.0 };
        // Encrypted segments: what is opened is what the rules are about.
        let wrapping = ["crypto:", "crypto+"].into_iter().find(|prefix| text.starts_with(prefix)).unwrap_or_default();
        let call = Call { context, io, flags, options };
        watch.open_within_rules(&call, wrapping, &text[wrapping.len()..])
    }
}

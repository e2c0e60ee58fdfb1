// SPDX-License-Identifier: Apache-2.0
//! What libav may do for a source: how long a call of it may last, and what it may open.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void, CStr};
use std::net::IpAddr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ffmpeg_sys_next as ffi;

use super::call::Call;
use super::cause::{SourceCause, Stage};
use super::cookies::Cookies;
use super::first_bytes::{self, FirstBytes, Unsound};
use super::forward::Forwarding;
use super::growth::Growth;
use super::guard::{self, Guard, Refusal};
use super::numbering::Numbering;
use super::peek::Peek;
use super::playlist::{self, Cadence};
use super::redirect;
use super::resolved_url::ResolvedUrl;
use crate::capture::api::Access;
use crate::capture::av::AvError;
use crate::capture::clock::{lock, StopSignal};

/// Redirects that are followed in a row.
pub const MOST_REDIRECTS: usize = 8;

/// Headers that are no secret of the source's server: those that its playlist names get them, too.
const OPEN_HEADERS: [&str; 2] = ["user-agent", "referer"];

/// Bounds libav's calls. Times are real: the network knows no virtual clock.
pub struct Watch {
    pub stop: Arc<StopSignal>,
    url: String,
    /// The addresses that the source's own URL was judged by, until they are used.
    addresses: Mutex<Option<Vec<IpAddr>>>,
    guard: Guard,
    access: Access,
    pub forwarding: Forwarding,
    cookies: Mutex<Cookies>,
    /// Why what was to be opened last was not.
    cause: Mutex<Option<SourceCause>>,
    /// Whether the source's own server has sent on to another.
    has_strayed: AtomicBool,
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
    pub fn new(url: &str, addresses: Vec<IpAddr>, access: &Access, guard: &Guard, stop: &Arc<StopSignal>) -> Self {
        Self {
            stop: Arc::clone(stop),
            url: url.to_owned(),
            addresses: Mutex::new(Some(addresses)),
            guard: guard.clone(),
            access: access.clone(),
            forwarding: Forwarding::new(access.trust.clone()),
            cookies: Mutex::default(),
            cause: Mutex::default(),
            has_strayed: AtomicBool::new(false),
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

    pub fn url(&self) -> &str {
        &self.url
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

    /// Why a connection could not be made or was lost, if that was found out beside libav.
    pub fn take_cause(&self) -> Option<SourceCause> {
        self.forwarding.findings.take_cause()
    }

    /// Why what was to be opened last was not, so that libav waits for it.
    pub fn waits_because(&self) -> Option<SourceCause> {
        self.take_cause().or_else(|| lock(&self.cause).clone())
    }

    pub fn whitelist(&self) -> String {
        self.guard.whitelist()
    }

    fn refuse(&self, refusal: Refusal) -> c_int {
        if refusal == Refusal::Unresolved {
            return self.fail(SourceCause::NameUnknown);
        }
        lock(&self.refusal).get_or_insert(refusal);
        ffi::AVERROR(ffi::EPERM)
    }

    fn fail(&self, cause: SourceCause) -> c_int {
        *lock(&self.cause) = Some(cause);
        ffi::AVERROR(ffi::EIO)
    }

    /// A call has failed, and what it had allocated is free again.
    pub fn give_back(&self) {
        lock(&self.growth).give_back();
    }

    fn measure(&self) {
        if lock(&self.growth).measure() {
            self.gorged.store(true, Ordering::Relaxed);
        }
    }

    /// The addresses of something that the source led to, if it may go there.
    fn judge(&self, target: &str) -> Result<Vec<IpAddr>, Refusal> {
        let judged = if target == self.url { lock(&self.addresses).take() } else { None };
        judged.map_or_else(|| self.guard.check_reference(&self.url, target), Ok)
    }

    /// Opens `target`, or where it redirects to, through the protocol `wrapping` if there is one.
    ///
    /// # Safety
    /// As for `open`, from which the arguments come.
    unsafe fn open_within_rules(&self, call: &Call, wrapping: &str, asked: &str) -> c_int {
        let is_root = !self.is_entered.load(Ordering::Relaxed);
        let (mut target, mut is_redirected) = (asked.to_owned(), false);
        for _ in 0..=MOST_REDIRECTS {
            let resolved = match self.judge(&target).and_then(|addresses| ResolvedUrl::new(&target, addresses)) {
                Ok(resolved) => resolved,
                Err(refusal) => return self.refuse(refusal),
            };
            let headers = self.headers_for(&resolved, is_redirected);
            // SAFETY: the caller's promise.
            let opened = unsafe { self.attempt(call, wrapping, &resolved, &headers) };
            let Err(cause) = opened else {
                // SAFETY: it was opened just now.
                return unsafe { self.look_into(call, asked, &target) };
            };
            let answer = self.redirect_behind(&cause, &resolved, &headers);
            let Some(answer) = answer else {
                return self.give_up(cause, is_root);
            };
            match self.follow_redirect(&resolved, answer, is_root) {
                Ok(next) => (target, is_redirected) = (next, true),
                Err(refusal) => return self.refuse(refusal),
            }
        }
        self.fail(SourceCause::RedirectedForEver)
    }

    fn give_up(&self, unopened: OpenError, is_root: bool) -> c_int {
        let OpenError { error, cause } = unopened;
        // Who interrupted it knows why.
        if error != AvError::INTERRUPTED {
            *lock(&self.cause) = Some(if is_root { cause } else { cause.of_reference() });
        }
        error.0
    }

    /// A redirect that is not followed is an input/output error like many another.
    fn redirect_behind(
        &self,
        unopened: &OpenError,
        resolved: &ResolvedUrl,
        headers: &[(String, String)],
    ) -> Option<redirect::Redirect> {
        let may_be = resolved.is_http()
            && unopened.error == AvError(ffi::AVERROR(ffi::EIO))
            && unopened.cause == SourceCause::Broken;
        may_be.then(|| redirect::ask(resolved, headers, &self.access.trust, || self.is_over())).flatten()
    }

    /// Where a redirect leads, if it is to be followed.
    fn follow_redirect(
        &self,
        from: &ResolvedUrl,
        answer: redirect::Redirect,
        is_root: bool,
    ) -> Result<String, Refusal> {
        let addresses = self.guard.check_reference(&self.url, &answer.url)?;
        let to = ResolvedUrl::new(&answer.url, addresses)?;
        if !to.is_http() {
            return Err(Refusal::Malformed);
        }
        if from.is_over_tls() && !to.is_over_tls() {
            return Err(Refusal::Downgrade);
        }
        if is_root && !from.is_of_one_server(&to) {
            self.has_strayed.store(true, Ordering::Relaxed);
        }
        lock(&self.cookies).keep(from.host(), &answer.cookies);
        Ok(answer.url)
    }

    /// What a server is told of the configured headers: its own all, those that a playlist names what is no secret, and
    /// those that a redirect leads to nothing.
    fn headers_for(&self, resolved: &ResolvedUrl, is_redirected: bool) -> Vec<(String, String)> {
        let is_home = ResolvedUrl::new(&self.url, Vec::new()).is_ok_and(|home| home.is_of_one_server(resolved));
        let is_named = !is_redirected && !self.has_strayed.load(Ordering::Relaxed);
        let is_open = |name: &str| OPEN_HEADERS.iter().any(|open| name.eq_ignore_ascii_case(open));
        let headers = self.access.headers.iter();
        headers.filter(|(name, _)| is_home || is_named && is_open(name)).cloned().collect()
    }

    /// Opens what is aimed at, at the first of its addresses that takes the connection.
    ///
    /// # Safety
    /// As for `open`, from which the arguments come.
    unsafe fn attempt(
        &self,
        call: &Call,
        wrapping: &str,
        resolved: &ResolvedUrl,
        headers: &[(String, String)],
    ) -> Result<(), OpenError> {
        let failed = |cause| OpenError { error: AvError(ffi::AVERROR(ffi::EIO)), cause };
        let urls = match resolved.server() {
            Some(server) => vec![resolved.through(self.forwarding.port_to(server).map_err(failed)?)],
            None => resolved.direct(),
        };
        let options = self.options_for(resolved, headers);
        let options: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.forwarding.findings.take_cause();
        let mut unopened = failed(SourceCause::NoRoute);
        for url in urls {
            // SAFETY: the caller's promise.
            let opened = AvError::check(unsafe { call.attempt(&format!("{wrapping}{url}"), &options) });
            let Err(error) = opened else {
                // SAFETY: it was opened just now.
                unsafe { self.remember(call, resolved) };
                return Ok(());
            };
            let cause = self.take_cause().unwrap_or_else(|| match error {
                AvError::INVALID if resolved.is_http() => SourceCause::Overlong,
                error => SourceCause::of(error, &url, Stage::Opening),
            });
            tracing::debug!(detail = %error, "{cause}");
            let is_reached = !matches!(cause, SourceCause::Refused | SourceCause::NoRoute | SourceCause::NoAnswer);
            unopened = OpenError { error, cause };
            if is_reached {
                break;
            }
        }
        Err(unopened)
    }

    fn options_for(&self, resolved: &ResolvedUrl, headers: &[(String, String)]) -> Vec<(&'static str, String)> {
        if let Some(location) = resolved.rtmp_location() {
            return vec![("rtmp_tcurl", location)];
        }
        if !resolved.is_http() {
            return PATIENT_SRT.map(|(name, value)| (name, value.to_owned())).to_vec();
        }
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.chain([format!("Host: {}\r\n", resolved.place())]).collect();
        vec![
            ("max_redirects", "0".to_owned()),
            ("headers", lines),
            ("cookies", lock(&self.cookies).lines_for(resolved.host())),
            // What was judged is connected to, whatever the environment says.
            ("http_proxy", String::new()),
        ]
    }

    /// Takes note of the cookies that came with an answer.
    ///
    /// # Safety
    /// What the call asked for was opened.
    unsafe fn remember(&self, call: &Call, resolved: &ResolvedUrl) {
        if resolved.is_http() {
            // SAFETY: the caller's promise.
            let cookies = unsafe { call.option(c"cookies") };
            lock(&self.cookies).keep(resolved.host(), &cookies.unwrap_or_default());
        }
    }
}

/// SRT gives up by itself after three seconds: left to our own limit, an error is a server's no.
const PATIENT_SRT: [(&str, &str); 1] = [("connect_timeout", "60000")];

/// libav's error with its cause.
struct OpenError {
    error: AvError,
    cause: SourceCause,
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

    /// Closes what must not be read by libav: an unsound playlist. Tells libav what it is, where a name may not.
    ///
    /// # Safety
    /// What the call asked for was opened, and nothing was read of it.
    unsafe fn look_into(&self, call: &Call, asked: &str, target: &str) -> c_int {
        // The source itself is opened first.
        let is_root = !self.is_entered.swap(true, Ordering::Relaxed);
        let is_rtmp = target.starts_with("rtmp");
        if is_rtmp || !is_root && !is_http(target) && !guard::is_file(target) {
            return 0;
        }
        // SAFETY: the caller's promise; it is closed only when it is not looked into any more.
        unsafe {
            let judged = first_bytes::judge(&mut Peek::new(*call.io), is_root, |text| self.follow(asked, text));
            if judged.is_err() {
                ffi::avio_closep(call.io);
            }
            match judged {
                Ok(FirstBytes::Playlist(cadence)) => {
                    let mut known = lock(&self.cadence);
                    *known = cadence.or(*known);
                    call.take_for_playlist(target, is_root)
                }
                Ok(content) => {
                    // A playlist that can be fetched is no sign that what it lists can.
                    *lock(&self.cause) = None;
                    match content {
                        FirstBytes::TransportStream if is_root => call.take_for_transport_stream(),
                        _ => 0,
                    }
                }
                Err(Unsound::Endless) => {
                    self.gorged.store(true, Ordering::Relaxed);
                    AvError::INTERRUPTED.0
                }
                Err(Unsound::Broken(error)) => {
                    let cause = SourceCause::of(error, target, Stage::Opening);
                    self.give_up(OpenError { error, cause }, is_root)
                }
            }
        }
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
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

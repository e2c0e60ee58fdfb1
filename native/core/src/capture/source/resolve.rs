// SPDX-License-Identifier: Apache-2.0
//! Looks up names without being held up by whoever answers: the system's look-up cannot be called off, only left behind.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::CONNECT;
use crate::log;

/// How often it is looked whether an answer is still wanted.
const GLANCE: Duration = Duration::from_millis(20);

/// Look-ups of this process that may be under way at once, those left behind included: each takes a thread.
const MOST: usize = 128;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The addresses of a host; nothing if there are none, they take too long, or `is_over` says that nobody waits any more.
pub fn addresses(host: &str, is_over: impl Fn() -> bool) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    // Ports play no part in resolving.
    let name = (host.to_owned(), 0);
    waited(move || Some(name.to_socket_addrs().ok()?.map(|address| address.ip()).collect()), is_over)
}

fn waited<T: Send + 'static>(
    look: impl FnOnce() -> Option<T> + Send + 'static,
    is_over: impl Fn() -> bool,
) -> Option<T> {
    let turn = LookupPermit::take()?;
    let (tell, answer) = mpsc::channel();
    let work = move || {
        // Whoever asked may be gone.
        let _ = tell.send(look());
        drop(turn);
    };
    drop(log::spawn("look-up", work).ok()?);
    let deadline = Instant::now() + CONNECT;
    loop {
        match answer.recv_timeout(GLANCE) {
            Ok(found) => return found,
            Err(RecvTimeoutError::Timeout) if !is_over() && Instant::now() < deadline => {}
            Err(_) => return None,
        }
    }
}

/// The right to one look-up.
struct LookupPermit;

impl LookupPermit {
    fn take() -> Option<Self> {
        let turn = Self;
        (UNDER_WAY.fetch_add(1, Ordering::Relaxed) < MOST).then_some(turn)
    }
}

impl Drop for LookupPermit {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_only_while_somebody_wants_it() {
        let (release, hung) = mpsc::channel::<()>();
        let asked = Instant::now();
        let found = waited(move || hung.recv().ok(), || asked.elapsed() > Duration::from_millis(50));
        assert_eq!(found, None);
        assert!(asked.elapsed() < CONNECT);
        drop(release);
        assert_eq!(waited(|| Some(7), || false), Some(7));
        assert_eq!(waited(|| None::<()>, || false), None);
    }

    #[test]
    fn numbers_are_no_names() {
        assert_eq!(addresses("127.0.0.1", || true), Some(vec![IpAddr::from([127, 0, 0, 1])]));
        assert!(addresses("localhost", || false).is_some_and(|found| found.iter().all(IpAddr::is_loopback)));
    }
}

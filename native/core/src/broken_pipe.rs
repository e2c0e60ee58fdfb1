// SPDX-License-Identifier: Apache-2.0
//! The signal of a write to a connection that the other side has reset. Its action is the host's, and ends a process that
//! knows nothing of it, as C and C++ programs do; so our threads do not take it, and the write alone fails.

use std::mem::MaybeUninit;

/// Keeps SIGPIPE from the calling thread, which is ours, and from the threads that it starts.
pub fn block() {
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised before it is changed or read, and lives until the calls have returned.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), std::ptr::null_mut());
    }
}

#[cfg(test)]
pub fn is_blocked() -> bool {
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: with no set to block, the call fills the other one in.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), signals.as_mut_ptr());
        libc::sigismember(signals.as_ptr(), libc::SIGPIPE) == 1
    }
}

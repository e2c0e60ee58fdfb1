// SPDX-License-Identifier: Apache-2.0
//! Locks that outlive a panic: what they protect is written in single steps, so that it is whole whenever it is free.

use std::sync::{Mutex, MutexGuard};

pub trait Locked<T> {
    fn locked(&self) -> MutexGuard<'_, T>;
}

impl<T> Locked<T> for Mutex<T> {
    #[cfg(not(feature = "thread-sanitizer"))]
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The sanitizer sees what is compiled with it: trying is, the standard library's waiting is not.
    #[cfg(feature = "thread-sanitizer")]
    fn locked(&self) -> MutexGuard<'_, T> {
        loop {
            match self.try_lock() {
                Ok(guard) => return guard,
                Err(std::sync::TryLockError::Poisoned(error)) => return error.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
    }
}

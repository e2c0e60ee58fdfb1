// SPDX-License-Identifier: Apache-2.0
//! The MP4 of slices that are brought one after the other while a thread of its own makes it.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::log;
use crate::mp4::{self, SliceInput};

/// Why there is none.
pub enum FedError<E> {
    /// A slice could not be brought.
    Slice(E),
    /// The slices make none.
    Mp4(String),
    /// The file could not be kept.
    Local(io::Error),
}

/// Where the file is until it is whole.
#[must_use]
pub fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Returns once the file of `count` slices is whole and durable under its name. `feed` is given where each slice is to
/// be sent once it is here, and ends early once nobody takes them any more.
pub async fn make<E, F: Future<Output = Result<(), E>>>(
    path: &Path,
    count: usize,
    feed: impl FnOnce(mpsc::Sender<SliceInput>) -> F,
) -> Result<(), FedError<E>> {
    let (give, mut take) = mpsc::channel(1);
    let cancel = CancelOnDrop::default();
    let (stop, into) = (Arc::clone(&cancel.0), path.to_owned());
    let making = log::spawn_blocking(move || {
        let slices = std::iter::from_fn(|| take.blocking_recv());
        let partial = partial(&into);
        mp4::make(slices, count, &partial, &stop).map(|()| {
            File::open(&partial).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(&partial, &into))
        })
    });
    let brought = feed(give).await;
    let made = making.await;
    brought.map_err(FedError::Slice)?;
    match made {
        Ok(Ok(kept)) => kept.map_err(FedError::Local),
        Ok(Err(error)) => Err(FedError::Mp4(error.to_string())),
        Err(_) => Err(FedError::Mp4("it failed in a way it should not have".to_owned())),
    }
}

/// Raises its flag when it goes, so that a thread does not work on for nobody.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

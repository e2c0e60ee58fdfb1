// SPDX-License-Identifier: Apache-2.0
//! A recording's directory goes once all of it is delivered and the program that was told so has let the recorder go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::{info, warn};

use crate::catalog::journal;
use crate::catalog::manifest;
use crate::catalog::record::Begun;
use crate::locked::Locked;
use crate::names;

/// Whichever of the two comes last removes the directory.
#[derive(Default)]
pub struct DirectoryCleanup(Mutex<CleanupState>);

#[derive(Default)]
struct CleanupState {
    delivered: Option<(PathBuf, Begun)>,
    is_released: bool,
}

impl DirectoryCleanup {
    /// Everything in the directory is in the bucket, and that was told, or nobody listens.
    pub fn delivered(&self, directory: PathBuf, begun: Begun) {
        let mut state = self.0.locked();
        state.delivered = Some((directory, begun));
        state.remove_if_due();
    }

    /// The program does not ask for the recording any more.
    pub fn released(&self) {
        let mut state = self.0.locked();
        state.is_released = true;
        state.remove_if_due();
    }
}

impl CleanupState {
    fn remove_if_due(&mut self) {
        if !self.is_released {
            return;
        }
        if let Some((directory, begun)) = self.delivered.take() {
            remove_and_log(&directory, &begun);
        }
    }
}

/// Removes what is left of a recording that is delivered; that something stays is told in its log.
pub fn remove_and_log(directory: &Path, begun: &Begun) {
    match remove(directory, begun) {
        Ok(()) => info!(directory = %directory.display(), "delivered; the directory is removed"),
        Err(error) => warn!(directory = %directory.display(), "delivered, but the directory stays: {error}"),
    }
}

/// Removes the recording's catalog and, if nothing else is in it, the directory. What nobody could deliver any more keeps
/// them: so they go only where no file of the recording's is left beside them.
fn remove(directory: &Path, begun: &Begun) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match kind(&name, begun) {
            FileKind::Catalog => files.push(name),
            FileKind::Other => {}
            FileKind::Content => return Err(io::Error::other(format!("{name} is there"))),
        }
    }
    let index = format!("{}{}", begun.file_prefix, journal::FILE);
    // The journal last, so that whatever remains after a crash can be made sense of.
    files.sort_by_key(|name| *name == index);
    for name in files {
        std::fs::remove_file(directory.join(name))?;
    }
    match std::fs::remove_dir(directory) {
        // Another part of the recording's has files here.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum FileKind {
    /// What was written about the recording, and is in the bucket.
    Catalog,
    /// A slice, or something that is not known.
    Content,
    /// Not this recording's.
    Other,
}

fn kind(name: &str, begun: &Begun) -> FileKind {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let about = [journal::FILE, manifest::FILE].map(|file| format!("{}{file}", begun.file_prefix));
    let ours = name.strip_prefix(begun.stem.as_str());
    match ours {
        _ if about.iter().any(|file| file == name) => FileKind::Catalog,
        Some(rest) if rest.ends_with(&names::playlist("")) => FileKind::Catalog,
        Some(_) => FileKind::Content,
        None => FileKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::begun;
    use crate::test_support::Scratch;

    fn scratch(begun: &Begun, more: &[&str]) -> Scratch {
        let scratch = Scratch::new();
        let stem = &begun.stem;
        let lists = [format!("{stem}.m3u8"), format!("{stem}_1_0.m3u8"), format!("{stem}.m3u8.partial")];
        let own = ["index".to_owned(), "manifest.json".to_owned()].into_iter().chain(lists);
        for name in own.chain(more.iter().map(|name| name.replace("STEM", stem))) {
            std::fs::write(scratch.path().join(name), "").unwrap();
        }
        scratch
    }

    #[test]
    fn the_directory_goes_once_it_is_delivered_and_the_recorder_let_go_in_either_order() {
        let begun = begun();
        for delivered_first in [true, false] {
            let scratch = scratch(&begun, &[]);
            let directory_cleanup = DirectoryCleanup::default();
            let deliver = || directory_cleanup.delivered(scratch.path().to_owned(), begun.clone());
            if delivered_first {
                deliver();
            } else {
                directory_cleanup.released();
            }
            assert!(scratch.path().join("index").exists());
            if delivered_first {
                directory_cleanup.released();
            } else {
                deliver();
            }
            assert!(!scratch.path().exists());
        }
    }

    #[test]
    fn a_slice_keeps_the_catalog_beside_it() {
        let begun = begun();
        let scratch = scratch(&begun, &["STEM_20190611063246073.ts"]);
        assert!(remove(scratch.path(), &begun).is_err());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 6);
    }

    #[test]
    fn what_is_another_part_s_stays() {
        let begun = begun();
        let scratch = scratch(&begun, &["bak0_index", "bak0_STEM.m3u8", "bak0_STEM_20190611063246073.ts"]);
        remove(scratch.path(), &begun).unwrap();
        assert!(scratch.path().join("bak0_index").exists());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 3);
    }
}

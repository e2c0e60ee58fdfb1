// SPDX-License-Identifier: Apache-2.0
//! What a process that died left: a journal, or (first byte odd) the slice it was writing. Both are read without a panic,
//! whatever is in them, and what is kept of a slice is a beginning of it.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use cloud_recording_core::capture::api::{OpenSlice, UtcMillis};
use cloud_recording_core::capture::repair;
use cloud_recording_core::catalog::manifest::{manifest, PlaylistFile};
use cloud_recording_core::catalog::playlist::playlist;
use cloud_recording_core::catalog::Catalog;

const PACKET: usize = 188;

pub fn run(data: &[u8]) {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| super::scratch("remains"));
    match data.split_first() {
        Some((first, rest)) if first % 2 == 1 => slice(directory.join("slice.ts"), rest),
        Some((_, rest)) => journal(directory, rest),
        None => {}
    }
}

fn slice(path: PathBuf, bytes: &[u8]) {
    fs::write(&path, bytes).unwrap();
    let open = OpenSlice {
        file_name: "slice.ts".to_owned(),
        path: path.clone(),
        start: UtcMillis(0),
        discontinuity: true,
        track_starts: Vec::new(),
    };
    let Some(closed) = repair(&open).unwrap() else {
        assert!(!path.exists(), "nothing playable is nothing kept");
        return;
    };
    let kept = fs::read(&path).unwrap();
    assert_eq!(closed.bytes, kept.len() as u64);
    assert!(kept.len() % PACKET == 0 && bytes.starts_with(&kept));
    fs::remove_file(&path).unwrap();
}

fn journal(directory: &std::path::Path, bytes: &[u8]) {
    fs::write(directory.join("index"), bytes).unwrap();
    let Ok(catalog) = Catalog::open(directory, "") else { return };
    let ledger = catalog.ledger();
    let _ = (ledger.gaps(), ledger.counts(), ledger.start(), ledger.stop(), ledger.durable_until());
    let _ = (ledger.recorded_milliseconds(), ledger.end_of_slices(), ledger.presences().len());
    let file = PlaylistFile { name: "a.m3u8", size: 1, sha256: "", in_backup: false };
    let _ = (manifest(&ledger, &file), playlist(ledger.unbroken(), 15, true));
}

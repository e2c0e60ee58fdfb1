// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::names;
use crate::storage::directory::DirectoryStore;
use crate::storage::target::DirectoryTarget;
use crate::test_support::Scratch;
use sha2::{Digest, Sha256};

const NAME: &str = "x_room_merged.mp4";

/// Why there is no MP4 of a slice with this content that is told of so, with so many bytes to spare.
fn missing(scratch: &Scratch, content: Option<&[u8]>, told: &StoredSlice, spare: Option<u64>) -> String {
    let directory = DirectoryTarget { directory: scratch.path().join("store"), prefix: None };
    std::fs::create_dir_all(&directory.directory).unwrap();
    if let Some(content) = content {
        std::fs::write(directory.directory.join(&told.file), content).unwrap();
    }
    let store = DirectoryStore::new(&directory);
    let maker = Mp4Maker {
        store: &store,
        target: &Target::Directory(directory.clone()),
        work: Some(scratch.path().join("work")),
        limits: VolumeLimits { most_bytes: spare, ..VolumeLimits::default() },
        directory: "x_merged".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let slices = std::slice::from_ref(told);
    let MergedMp4::Missing { name, reason } = runtime.block_on(maker.make(NAME.to_owned(), slices)) else {
        panic!("an MP4")
    };
    assert_eq!(name, NAME);
    assert!(!directory.directory.join(NAME).exists());
    reason
}

fn slice() -> StoredSlice {
    StoredSlice { file: "x_room_1.ts".to_owned(), ticks: 90_000, bytes: Some(3), sha256: None }
}

#[test]
fn what_is_not_what_its_part_stored_makes_none_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let other = StoredSlice { sha256: Some(names::hex(&Sha256::digest("two"))), ..slice() };
    let gone = StoredSlice { file: "x_room_2.ts".to_owned(), ..slice() };
    let huge = StoredSlice { bytes: Some(1_000_000), ..slice() };
    let reasons = [
        missing(&scratch, Some(b"one"), &other, None),
        missing(&scratch, None, &gone, None),
        missing(&scratch, Some(b"one"), &huge, Some(2_000_000)),
    ];
    let expected = [
        "x_room_1.ts is not what was stored under its name",
        "x_room_2.ts is not where it was stored any more",
        "it needs 4 MB of the work directory, and 2 MB are free",
    ];
    assert_eq!(reasons, expected);
    let unreadable = missing(&scratch, Some(b"one"), &slice(), None);
    assert!(unreadable.starts_with("x_room_1.ts cannot be read: "), "{unreadable}");
    assert!(!scratch.path().join("work/x_merged").exists());
}

#[test]
fn what_a_killed_one_left_goes_and_one_that_is_at_work_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("x_merged");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("x.mp4.partial"), b"half").unwrap();
    let first = OwnDirectory::take(path.clone()).unwrap();
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    let why = OwnDirectory::take(path.clone()).err().unwrap();
    assert!(why.ends_with("another process makes it there"), "{why}");
    drop(first);
    assert!(!path.exists());
}

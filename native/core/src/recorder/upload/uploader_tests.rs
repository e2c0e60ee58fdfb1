// SPDX-License-Identifier: Apache-2.0
use std::path::Path;

use super::*;
use crate::catalog::ledger::tests::begun;
use crate::catalog::Catalog;
use crate::config::Storage;
use crate::test_support::Scratch;
use tokio::sync::mpsc::unbounded_channel;

const SLICE: &str = "x_room_19700101000000001.ts";
const OTHERS: &str = "#EXTM3U\n#EXTINF:1.0,\nx_room_19690101000000000.ts\n#EXT-X-ENDLIST\n";
const OWN: &str = "#EXTM3U\n#EXTINF:1.0,\nx_room_19700101000000001.ts\n";
const EMPTY: &str = "#EXTM3U\n#EXT-X-VERSION:3\n";

/// Delivers a recording of one slice, which an earlier process left or not, into the directory; its playlist's name.
async fn deliver(bucket: &Path, work: &Path, deaths: bool) -> String {
    let catalog = Catalog::open(work, "").unwrap();
    let target = Target::directory(bucket, &Storage::default());
    catalog.write(Record::Begun(Box::new(Begun { target: target.clone(), ..begun() }))).unwrap();
    std::fs::write(work.join(SLICE), "media").unwrap();
    let [opened, _] = crate::catalog::ledger::tests::slice(SLICE, 1, 1000);
    let sha256 = names::hex(&Sha256::digest("media"));
    let closed = Record::Closed { file: SLICE.into(), ticks: 90_000, bytes: 5, sha256, md5: String::new() };
    catalog.write(opened).unwrap();
    catalog.write(closed).unwrap();
    if deaths {
        catalog.write(Record::Resumed { at: 1001 }).unwrap();
    }
    catalog.write(Record::Stopped { at: 1001 }).unwrap();
    let (slice_store, mut events) = SliceStore::in_directory(catalog, work);
    let uploader = Uploader {
        slice_store,
        target,
        credentials: Credentials::None,
        backup: None,
        inbox: UploaderInbox {
            wake: watch::channel(()).1,
            moves: unbounded_channel().1,
            tight: watch::channel(false).1,
        },
    };
    uploader.run().await;
    loop {
        if let UploadEvent::Concluded { playlist } = events.recv().await.expect("an end") {
            return playlist;
        }
    }
}

fn read(bucket: &Path, name: &str) -> String {
    std::fs::read_to_string(bucket.join(name)).unwrap()
}

/// Else the other's slices would be in the bucket and in no playlist.
#[tokio::test]
async fn the_playlist_of_a_recording_that_is_over_stays_and_the_new_one_has_a_name_of_its_own() {
    for deaths in [false, true] {
        let (bucket, work) = (Scratch::new(), Scratch::new());
        std::fs::write(bucket.path().join("x_room.m3u8"), OTHERS).unwrap();
        std::fs::write(bucket.path().join("x_room_manifest.json"), "{}").unwrap();
        let playlist = deliver(bucket.path(), work.path(), deaths).await;
        assert_eq!(read(bucket.path(), "x_room.m3u8"), OTHERS);
        assert_eq!(read(bucket.path(), "x_room_manifest.json"), "{}");
        let stem = names::stem_of(&playlist).unwrap();
        assert!(stem.starts_with("x_room_") && stem.ends_with("_0"), "{playlist}");
        assert!(read(bucket.path(), &playlist).contains(SLICE));
        assert!(read(bucket.path(), &names::manifest(stem)).contains(&playlist));
    }
}

/// A rescue may be done again from a copy of the work volume.
#[tokio::test]
async fn a_playlist_that_lists_nothing_is_nobodys_and_one_that_lists_a_slice_of_this_recording_is_its_own() {
    for left in [None, Some(EMPTY), Some(OWN)] {
        let (bucket, work) = (Scratch::new(), Scratch::new());
        if let Some(text) = left {
            std::fs::write(bucket.path().join("x_room.m3u8"), text).unwrap();
        }
        assert_eq!(deliver(bucket.path(), work.path(), false).await, "x_room.m3u8");
        assert!(read(bucket.path(), "x_room.m3u8").contains(SLICE));
        assert!(bucket.path().join("x_room_manifest.json").exists());
    }
}

#[test]
fn what_a_store_answers_about_a_playlist_says_whether_there_is_one() {
    let refusal = |code: &str| StoreCause::Refusal(code.to_owned());
    for (cause, unknown, archived) in [
        (StoreCause::FileGone, true, false),
        (StoreCause::AccessDenied, true, false),
        (refusal("MethodNotAllowed"), true, false),
        (refusal("InvalidObjectState"), true, true),
        (StoreCause::Timeout, false, false),
        (StoreCause::Server(503), false, false),
        (StoreCause::NoSuchBucket, false, false),
    ] {
        assert_eq!((is_unknown(&cause), is_archived(&cause)), (unknown, archived), "{cause:?}");
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What a store has of two parts, a playlist and a manifest up to the first NUL of the input and after it: whatever is in
//! them, what is made of them plays slices of these parts and nothing else.

use cloud_recording_core::catalog::merge::{merge, MergedMp4, ReadPart, WholeRecording};

const WHOLE: WholeRecording<'static> = WholeRecording { recording_id: "x", channel: "room" };

pub fn run(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let list = String::from_utf8_lossy(halves.next().unwrap_or_default());
    let about = halves.next().unwrap_or_default();
    let read = || ReadPart::new("", "x_room", "x_room.m3u8", &list);
    let Ok(first) = read() else { return };
    let mut parts = vec![first];
    parts.extend(read().and_then(|part| part.with_manifest(&WHOLE, "x_room", "x_room_manifest.json", about)));
    let Some(merged) = merge(&parts, |_| "x_room_merged".to_owned()) else { return };
    let listed: Vec<_> = merged.text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(listed.len(), merged.slices);
    assert!(listed.iter().all(|name| name.starts_with("x_room_") && name.ends_with(".ts") && name.len() == 27));
    assert!(merged.text.ends_with("#EXT-X-ENDLIST\n"));
    let slices: Vec<_> = parts.iter().flat_map(ReadPart::slices).map(|slice| slice.file).collect();
    assert_eq!(listed, slices);
    let manifest = merged.manifest(&WHOLE, &parts, &MergedMp4::Unasked);
    assert!(manifest.is_some_and(|text| text.ends_with("}\n")));
}

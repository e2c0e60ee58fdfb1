// SPDX-License-Identifier: Apache-2.0
use serde_json::{json, Value};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
const WHOLE: WholeRecording<'static> = WholeRecording { recording_id: ID, channel: "room" };
const NOON: i64 = 1_560_254_400_000;

fn stem(prefix: &str) -> String {
    format!("{prefix}{ID}_room")
}

fn slice(prefix: &str, after: i64) -> String {
    names::slice(&stem(prefix), UtcMillis(NOON + after))
}

/// A playlist whose slices, by when they start and how long they are in milliseconds, follow each other in runs.
fn text(prefix: &str, target: u32, runs: &[&[(i64, u64)]]) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:{target}\n");
    for (number, run) in runs.iter().enumerate() {
        if number > 0 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        for (place, (after, milliseconds)) in run.iter().enumerate() {
            if place == 0 {
                writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", time(NOON + after)).unwrap();
            }
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            writeln!(text, "#EXTINF:{seconds}.{rest:03},\n{}", slice(prefix, *after)).unwrap();
        }
    }
    text
}

fn read(prefix: &str, text: &str) -> ReadPart {
    ReadPart::new(prefix, &stem(prefix), &format!("{}.m3u8", stem(prefix)), text).unwrap()
}

/// A part's manifest with one slice and what else is given.
fn own_manifest(prefix: &str, start: i64, stop: i64, other: &Value) -> Value {
    let mut manifest = json!({
        "version": 1, "recordingId": ID, "channel": "room",
        "startTime": time(NOON + start), "stopTime": time(NOON + stop),
        "recordedMilliseconds": stop - start, "gapMilliseconds": 0,
        "files": [
            {"name": format!("{}.m3u8", stem(prefix)), "size": 9, "sha256": "p"},
            {"name": slice(prefix, start), "size": 188, "sha256": "s", "startTime": time(NOON + start), "durationSeconds": 15.0},
        ],
        "gaps": [], "participants": [],
    });
    for (key, value) in other.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    manifest
}

fn with(part: ReadPart, manifest: &Value) -> Result<ReadPart, String> {
    let stem = stem(&part.file_prefix);
    part.with_manifest(&WHOLE, &stem, &names::manifest(&stem), manifest.to_string().as_bytes())
}

fn whole(_: &str) -> String {
    "whole".to_owned()
}

fn merged(parts: &[ReadPart]) -> (String, Value) {
    with_mp4(parts, &MergedMp4::Unasked)
}

fn with_mp4(parts: &[ReadPart], mp4: &MergedMp4) -> (String, Value) {
    let merged = merge(parts, whole).unwrap();
    let manifest = merged.manifest(&WHOLE, parts, mp4).unwrap();
    (merged.text, serde_json::from_str(&manifest).unwrap())
}

#[test]
fn parts_follow_each_other_with_a_discontinuity_and_their_times() {
    let first = read("", &text("", 15, &[&[(0, 15_000), (15_000, 7_033)], &[(30_000, 15_000)]]));
    let second = read("bak0_", &text("bak0_", 18, &[&[(60_000, 17_900)]]));
    let (playlist, _) = merged(&[first, second]);
    let expected = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-ALLOW-CACHE:YES\n\
         #EXT-X-TARGETDURATION:18\n\
         #EXT-X-PROGRAM-DATE-TIME:2019-06-11T12:00:00.000Z\n\
         #EXTINF:15.000000,\n{}\n\
         #EXTINF:7.033000,\n{}\n\
         #EXT-X-DISCONTINUITY\n\
         #EXT-X-PROGRAM-DATE-TIME:2019-06-11T12:00:30.000Z\n\
         #EXTINF:15.000000,\n{}\n\
         #EXT-X-DISCONTINUITY\n\
         #EXT-X-PROGRAM-DATE-TIME:2019-06-11T12:01:00.000Z\n\
         #EXTINF:17.900000,\n{}\n\
         #EXT-X-ENDLIST\n",
        slice("", 0),
        slice("", 15_000),
        slice("", 30_000),
        slice("bak0_", 60_000),
    );
    assert_eq!(playlist, expected);
}

#[test]
fn no_slice_is_longer_than_the_target_duration_says() {
    let (playlist, _) = merged(&[read("", &text("", 2, &[&[(0, 4_500)]]))]);
    assert!(playlist.contains("#EXT-X-TARGETDURATION:5\n"), "{playlist}");
}

#[test]
fn parts_without_a_slice_take_no_place_and_nothing_but_those_is_nothing() {
    let nothing = || read("", &text("", 15, &[]));
    assert!(merge(&[nothing()], whole).is_none());
    let (playlist, _) = merged(&[nothing(), read("bak0_", &text("bak0_", 15, &[&[(0, 15_000)]]))]);
    assert!(!playlist.contains("DISCONTINUITY"), "{playlist}");
}

#[test]
fn one_manifest_has_the_files_gaps_and_people_of_all_parts() {
    let alice = |join: i64, leave: i64| {
        let presence = json!({"joinTime": time(NOON + join), "leaveTime": time(NOON + leave)});
        json!([{"uid": 1, "name": "Alice", "presences": [presence]}])
    };
    let pause = json!([{"startTime": time(NOON + 5_000), "stopTime": time(NOON + 6_000), "reason": "Paused"}]);
    let first = own_manifest(
        "",
        0,
        15_000,
        &json!({"gaps": pause, "participants": alice(0, 15_000), "recordedMilliseconds": 14_000}),
    );
    let missing = json!([{"name": "bak0_x.mp4", "reason": "no room"}]);
    let second =
        own_manifest("bak0_", 40_000, 55_000, &json!({"participants": alice(41_000, 55_000), "missing": missing}));
    let parts = [
        with(read("", &text("", 15, &[&[(0, 15_000)]])), &first).unwrap(),
        with(read("bak0_", &text("bak0_", 15, &[&[(40_000, 15_000)]])), &second).unwrap(),
    ];
    let (playlist, manifest) = merged(&parts);
    let digest = names::hex(&Sha256::digest(&playlist));
    assert_eq!(manifest["files"][0], json!({"name": "whole.m3u8", "size": playlist.len(), "sha256": digest}));
    let files: Vec<_> = manifest["files"].as_array().unwrap()[1..].to_vec();
    assert_eq!(files, [&first["files"], &second["files"]].map(|files| files.as_array().unwrap().clone()).concat());
    let between = json!({"startTime": time(NOON + 15_000), "stopTime": time(NOON + 40_000), "reason": "BetweenParts"});
    assert_eq!(manifest["gaps"], json!([pause[0], between]));
    assert_eq!((&manifest["recordedMilliseconds"], &manifest["gapMilliseconds"]), (&json!(29_000), &json!(26_000)));
    assert_eq!((&manifest["startTime"], &manifest["stopTime"]), (&first["startTime"], &second["stopTime"]));
    let people = manifest["participants"].as_array().unwrap();
    assert_eq!((people.len(), people[0]["presences"].as_array().unwrap().len()), (1, 2));
    assert_eq!(manifest["missing"], missing);
    assert_eq!(manifest["parts"][1]["manifest"], json!(names::manifest(&stem("bak0_"))));
}

#[test]
fn a_part_that_ended_without_a_manifest_is_told_of_by_its_playlist() {
    let lost = text("", 15, &[&[(0, 15_000)], &[(30_000, 15_000)]]);
    let second = own_manifest("bak0_", 60_000, 75_000, &json!({}));
    let parts = [read("", &lost), with(read("bak0_", &text("bak0_", 15, &[&[(60_000, 15_000)]])), &second).unwrap()];
    let (_, manifest) = merged(&parts);
    let untold = json!({"name": slice("", 30_000), "startTime": time(NOON + 30_000), "durationSeconds": 15.0});
    assert_eq!(manifest["files"][3], untold);
    let gap = |start: i64, stop: i64, reason: &str| json!({"startTime": time(NOON + start), "stopTime": time(NOON + stop), "reason": reason});
    assert_eq!(manifest["gaps"], json!([gap(15_000, 30_000, "NotRecorded"), gap(45_000, 60_000, "BetweenParts")]));
    assert_eq!(manifest["parts"][0]["manifest"], Value::Null);
}

#[test]
fn a_part_that_went_on_beside_the_next_leaves_no_gap_before_it() {
    let parts = [read("", &text("", 15, &[&[(0, 30_000)]])), read("bak0_", &text("bak0_", 15, &[&[(20_000, 5_000)]]))];
    let (_, manifest) = merged(&parts);
    assert_eq!((&manifest["gaps"], &manifest["stopTime"]), (&json!([]), &json!(time(NOON + 30_000))));
}

#[test]
fn participants_of_a_room_are_the_same_by_identity_alone() {
    let people =
        |uid: u32, identity: &str| json!({"participants": [{"uid": uid, "identity": identity, "presences": []}]});
    let manifests = [people(1, "alice"), people(1, "bob"), people(2, "alice")];
    let parts: Vec<_> = (0_i64..)
        .zip(&manifests)
        .map(|(number, people)| {
            let prefix = format!("bak{number}_");
            let own = own_manifest(&prefix, number, number + 1, people);
            with(read(&prefix, &text(&prefix, 15, &[&[(number, 1)]])), &own).unwrap()
        })
        .collect();
    let (_, manifest) = merged(&parts);
    let found = manifest["participants"].as_array().unwrap();
    assert_eq!(found.iter().map(|one| &one["identity"]).collect::<Vec<_>>(), [&json!("alice"), &json!("bob")]);
}

#[test]
fn the_same_parts_are_the_same_bytes() {
    let parts =
        || [read("", &text("", 15, &[&[(0, 15_000)]])), read("bak0_", &text("bak0_", 15, &[&[(40_000, 15_000)]]))];
    assert_eq!(merged(&parts()), merged(&parts()));
}

#[test]
fn the_manifest_tells_of_the_one_file_over_all_parts_or_why_there_is_none() {
    let parts = [read("", &text("", 15, &[&[(0, 15_000)]])), read("bak0_", &text("bak0_", 15, &[&[(40_000, 7_033)]]))];
    let stored = MergedMp4::Stored { name: "whole.mp4".into(), bytes: 7, sha256: "m".into() };
    let told = |mp4: &MergedMp4| {
        let (_, manifest) = with_mp4(&parts, mp4);
        (manifest["files"].as_array().unwrap().last().unwrap().clone(), manifest["missing"].clone())
    };
    let film = json!({
        "name": "whole.mp4", "size": 7, "sha256": "m", "startTime": time(NOON), "durationSeconds": 22.033,
    });
    assert_eq!(told(&stored), (film, Value::Null));
    let missing = MergedMp4::Missing { name: "whole.mp4".into(), reason: "no room".into() };
    assert_eq!(told(&missing).1, json!([{"name": "whole.mp4", "reason": "no room"}]));
}

#[test]
fn an_mp4_that_is_there_is_the_whole_where_a_manifest_says_so_of_this_very_playlist() {
    let parts =
        || vec![read("", &text("", 15, &[&[(0, 15_000)]])), read("bak0_", &text("bak0_", 15, &[&[(40_000, 15_000)]]))];
    let stored = || MergedMp4::Stored { name: "whole.mp4".into(), bytes: 7, sha256: "m".into() };
    let earlier =
        |parts: &[ReadPart], mp4: &MergedMp4| merge(parts, whole).unwrap().manifest(&WHOLE, parts, mp4).unwrap();
    let list = merge(&parts(), whole).unwrap();
    let found = |manifest: &str| match list.mp4_of(manifest.as_bytes()) {
        Some(MergedMp4::Stored { name, bytes, sha256 }) => Some((name, bytes, sha256)),
        _ => None,
    };
    let of_these = Some(("whole.mp4".to_owned(), 7, "m".to_owned()));
    assert_eq!(found(&earlier(&parts(), &stored())), of_these);
    assert_eq!(found(&earlier(&parts()[..1], &stored())), None);
    assert_eq!(found(&earlier(&parts(), &MergedMp4::Unasked)), None);
    assert_eq!(found("no manifest"), None);
}

#[test]
fn what_is_put_behind_the_last_slice_runs_on_from_it_or_is_behind_a_hole() {
    let mut part = read("", &text("", 15, &[&[(0, 15_000)]]));
    for start in [15_001, 60_000] {
        part.extend(ListedSlice {
            microseconds: 15_000_000,
            ..ListedSlice::of_file(&stem(""), &slice("", start)).unwrap()
        });
    }
    assert!(ListedSlice::of_file(&stem(""), &names::damaged(&slice("", 0))).is_none());
    let (playlist, manifest) = merged(&[part]);
    let hole = format!("#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:15.000000,\n", time(NOON + 60_000));
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY").count(), 1);
    assert!(playlist.contains(&format!("{hole}{}", slice("", 60_000))), "{playlist}");
    let gap = json!({"startTime": time(NOON + 30_001), "stopTime": time(NOON + 60_000), "reason": "NotRecorded"});
    assert_eq!(manifest["gaps"], json!([gap]));
}

#[test]
fn slices_are_known_by_the_playlist_and_as_far_as_there_is_one_by_the_manifest() {
    let list = text("", 15, &[&[(0, 15_000), (15_000, 7_033)]]);
    let untold = |after, ticks| StoredSlice { file: slice("", after), ticks, bytes: None, sha256: None };
    assert_eq!(read("", &list).slices(), [untold(0, 1_350_000), untold(15_000, 632_970)]);
    let first = StoredSlice { bytes: Some(188), sha256: Some("s".into()), ..untold(0, 1_350_000) };
    let part = with(read("", &list), &own_manifest("", 0, 15_000, &json!({}))).unwrap();
    assert_eq!(part.slices(), [first, untold(15_000, 632_970)]);
}

#[test]
fn the_length_of_a_slice_is_read_back_to_the_tick() {
    for ticks in [1, 2, 3_003, 180_179, 1_350_007] {
        let microseconds = (ticks * 100 + 4) / 9;
        let list = text("", 15, &[&[(0, 1)]]);
        let exact = format!("#EXTINF:{}.{:06},", microseconds / 1_000_000, microseconds % 1_000_000);
        assert_eq!(read("", &list.replace("#EXTINF:0.001,", &exact)).slices()[0].ticks, ticks);
    }
}

#[test]
fn a_manifest_of_something_else_is_refused_with_the_reason() {
    let part = || read("", &text("", 15, &[&[(0, 15_000)]]));
    let table = [
        (json!({"version": 2}), "is a manifest of version 2, and this release reads 1"),
        (json!({"recordingId": "another"}), "is the manifest of another recording"),
        (json!({"channel": "another"}), "is the manifest of another recording"),
        (json!({"files": [{"name": "elsewhere.ts"}]}), "names a file that is none of this part"),
        (json!({"files": [{"name": format!("{}/../x", stem(""))}]}), "names a file that is none of this part"),
    ];
    for (other, why) in table {
        assert_eq!(with(part(), &own_manifest("", 0, 15_000, &other)).err().unwrap(), why);
    }
    let away = json!({"files": [{"name": slice("", 0), "size": 1, "sha256": "s", "store": "backup"}]});
    let why = with(part(), &own_manifest("", 0, 15_000, &away)).err().unwrap();
    assert_eq!(why, format!("says that {} is in the backup store", slice("", 0)));
    assert!(with(part(), &json!([])).err().unwrap().starts_with("is no manifest: "));
}

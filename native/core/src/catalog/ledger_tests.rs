// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::catalog::manifest::{manifest, PlaylistFile};
use crate::storage::target::Target;
use crate::storage::vendor::Vendor;

pub(crate) fn begun() -> Begun {
    let storage = crate::config::Storage::default();
    Begun {
        version: 1,
        recording_id: "x".into(),
        file_prefix: String::new(),
        channel: "room".into(),
        stem: "x_room".into(),
        slice_seconds: 15,
        target: Target::new(Vendor::Aws, "us-east-1", "films", &storage),
        backup: None,
        participants: vec![],
        mp4: false,
        origin: None,
    }
}

/// The records of a whole slice that begins at `start` and lasts `milliseconds`.
pub(crate) fn slice(file: &str, start: i64, milliseconds: u64) -> [Record; 2] {
    [
        Record::Opened { file: file.into(), start, discontinuity: false, tracks: vec![] },
        Record::Closed {
            file: file.into(),
            ticks: milliseconds * TICKS_PER_MILLISECOND,
            bytes: 188,
            sha256: "a".into(),
            md5: "b".into(),
        },
    ]
}

pub(crate) fn delivered(file: &str) -> Record {
    Record::Delivered { file: file.into(), unproved: false }
}

pub(crate) fn ledger(records: impl IntoIterator<Item = Record>) -> Ledger {
    let mut ledger = Ledger::default();
    for record in records {
        ledger.apply(record);
    }
    ledger
}

fn gap(start: i64, stop: i64, reason: &str) -> Gap {
    Gap { start, stop, reason: reason.into() }
}

#[test]
fn the_playlist_waits_at_the_first_slice_that_is_not_delivered() {
    let mut ledger = ledger(slice("a", 0, 15_000).into_iter().chain(slice("b", 15_000, 15_000)));
    let unbroken = |ledger: &Ledger| ledger.unbroken().map(|(slice, _)| slice.file.clone()).collect::<Vec<_>>();
    ledger.apply(delivered("b"));
    assert!(unbroken(&ledger).is_empty());
    assert_eq!(ledger.durable_until(), None);
    ledger.apply(delivered("a"));
    assert_eq!(unbroken(&ledger), ["a", "b"]);
    assert_eq!(ledger.durable_until(), Some(30_000));
}

#[test]
fn the_backup_stores_playlist_lists_what_is_beside_it_and_only_grows() {
    let backed_up = |file: &str| Record::BackedUp { file: file.into() };
    let records = ["a", "b", "c", "d"].iter().zip(0..).flat_map(|(file, place)| slice(file, place * 15_000, 15_000));
    let mut ledger = ledger(records);
    let listed = |ledger: &Ledger| -> Vec<String> { ledger.backed_up().map(|(slice, _)| slice.file.clone()).collect() };
    ledger.apply(backed_up("a"));
    ledger.apply(backed_up("c"));
    assert_eq!(listed(&ledger), ["a"]);
    ledger.apply(delivered("b"));
    assert_eq!(listed(&ledger), ["a", "c"]);
    assert_eq!(ledger.counts().0, StoredCount { written: 4, delivered: 1, away: 2 });
    for home in ["a", "c", "d"] {
        ledger.apply(delivered(home));
    }
    assert_eq!(listed(&ledger).len(), 2);
    assert_eq!(ledger.counts().0, StoredCount { written: 4, delivered: 4, away: 0 });
    assert!(!ledger.is_delivered());
    ledger.apply(Record::Stopped { at: 60_000 });
    assert!(ledger.is_delivered());
}

#[test]
fn an_empty_slice_holds_nothing_up() {
    let opened = Record::Opened { file: "x".into(), start: 0, discontinuity: true, tracks: vec![] };
    let mut ledger = ledger([opened].into_iter().chain(slice("a", 10, 15_000)).chain([delivered("a")]));
    assert_eq!(ledger.unbroken().count(), 0);
    ledger.apply(Record::Empty { file: "x".into() });
    assert_eq!(ledger.unbroken().count(), 1);
    assert_eq!(ledger.counts().0, StoredCount { written: 1, delivered: 1, away: 0 });
    assert_eq!(ledger.start(), Some(10));
}

#[test]
fn a_recording_begins_with_a_slice_that_was_lost() {
    let lost = |file: &str, start| {
        let gap = Record::Gap { start, stop: start + 15_000, reason: "FileLost".into() };
        [gap, Record::Empty { file: file.into() }]
    };
    let records = || slice("a", 0, 15_000).into_iter().chain(lost("a", 0));
    let some = ledger(records().chain(slice("b", 15_000, 15_000)).chain([Record::Stopped { at: 30_300 }]));
    assert_eq!((some.start(), some.stop()), (Some(0), Some(30_000)));
    assert_eq!(some.gaps(), [gap(0, 15_000, "FileLost")]);
    let none = ledger(records().chain([Record::Stopped { at: 15_000 }]));
    assert_eq!((none.start(), none.stop()), (Some(0), Some(15_000)));
    assert_eq!(none.gaps(), [gap(0, 15_000, "FileLost")]);
}

#[test]
fn what_is_found_in_a_slices_place_is_kept_beside_a_gap_and_delivered_too() {
    let records = slice("a.ts", 0, 15_000).into_iter().chain(slice("b.ts", 15_000, 15_000));
    let aside = names::damaged("a.ts");
    let damage = Record::Damaged { file: "a.ts".into(), aside: aside.clone(), bytes: 7, sha256: "found".to_owned() };
    let stated = Record::Gap { start: 0, stop: 15_000, reason: "FileDamaged".into() };
    let mut ledger = ledger(records.chain([stated, damage, delivered("b.ts"), Record::Stopped { at: 30_000 }]));
    assert_eq!(ledger.gaps(), [gap(0, 15_000, "FileDamaged")]);
    assert_eq!(ledger.unbroken().map(|(slice, _)| slice.file.as_str()).collect::<Vec<_>>(), ["b.ts"]);
    assert_eq!(ledger.counts().0, StoredCount { written: 1, delivered: 1, away: 0 });
    let [damaged] = ledger.damaged() else { panic!("one is set aside") };
    assert_eq!((damaged.file.as_str(), damaged.found.bytes, damaged.found.sha256.as_str()), ("a.ts", 7, "found"));
    assert!(!ledger.is_delivered() && !ledger.is_stored(&aside));
    ledger.apply(delivered(&aside));
    assert!(ledger.is_delivered() && ledger.is_stored(&aside));
    ledger.apply(Record::Empty { file: aside });
    assert!(ledger.damaged().is_empty());
}

#[test]
fn gaps_of_a_day_with_a_pause_at_each_slice_are_found_at_once() {
    let count = 40_000;
    let records = (0..count).flat_map(|index| {
        let start = index * 2000;
        let pause = Record::Gap { start: start + 1500, stop: start + 2000, reason: "Paused".into() };
        slice(&index.to_string(), start, 1500).into_iter().chain([pause, delivered(&index.to_string())])
    });
    let ledger = ledger(records);
    let began = std::time::Instant::now();
    let gaps = ledger.gaps();
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(gaps.len(), usize::try_from(count).unwrap() - 1);
    assert_eq!(gaps.last(), Some(&gap(count * 2000 - 2500, count * 2000 - 2000, "Paused")));
    assert_eq!(ledger.durable_until(), Some(count * 2000 - 500));
    let (new, seen) = ledger.unbroken_since(39_998);
    assert_eq!((new.count(), seen), (2, 40_000));
}

#[test]
fn slices_and_gaps_are_exactly_the_recording() {
    let records = slice("a", 0, 15_000)
        .into_iter()
        .chain(slice("b", 15_001, 14_999))
        .chain([Record::Gap { start: 30_000, stop: 40_000, reason: "Paused".into() }])
        .chain(slice("c", 40_001, 10_000))
        .chain([Record::Resumed { at: 55_000 }])
        .chain(slice("d", 60_000, 5_000))
        .chain([Record::Gap { start: 65_000, stop: 70_000, reason: "WorkVolumeFull".into() }])
        .chain([Record::Stopped { at: 80_000 }]);
    let ledger = ledger(records);
    assert_eq!(
        ledger.gaps(),
        [
            gap(30_000, 40_001, "Paused"),
            gap(50_001, 60_000, "RecorderRestarted"),
            gap(65_000, 70_000, "WorkVolumeFull"),
            gap(70_000, 80_000, "NotRecorded"),
        ]
    );
    assert_eq!((ledger.start(), ledger.stop()), (Some(0), Some(80_000)));
    assert_eq!(ledger.recorded_milliseconds(), 44_999);
}

#[test]
fn nothing_ends_before_it_was_recorded() {
    let ledger = ledger(slice("a", 100_000, 15_000).into_iter().chain([Record::Stopped { at: 50_000 }]));
    assert_eq!((ledger.start(), ledger.stop(), ledger.latest()), (Some(100_000), Some(115_000), 115_000));
}

#[test]
fn leaving_the_channel_is_no_gap() {
    let ledger = ledger(slice("a", 0, 15_000).into_iter().chain([Record::Stopped { at: 15_400 }]));
    assert_eq!(ledger.stop(), Some(15_000));
    assert!(ledger.gaps().is_empty());
}

#[test]
fn who_is_still_there_leaves_with_the_recorder() {
    let joined = |uid, at| Record::Joined { uid, at };
    let ledger = ledger([
        joined(1, 5),
        joined(2, 6),
        Record::Left { uid: 1, at: 7, returns: 3 },
        joined(1, 8),
        Record::Stopped { at: 9 },
    ]);
    let presence = |uid, joined, left, returns| Presence { uid, joined, left: Some(left), returns };
    assert_eq!(ledger.presences(), [presence(1, 5, 7, 3), presence(2, 6, 9, 0), presence(1, 8, 9, 0)]);
}

#[test]
fn of_a_participant_who_comes_without_end_the_first_and_the_last_presence_are_kept_and_the_others_counted() {
    let come_and_go = |at| [Record::Joined { uid: 1, at }, Record::Left { uid: 1, at: at + 1, returns: 0 }];
    let ledger = ledger((0..5000).flat_map(|round| come_and_go(round * 100)));
    let kept = ledger.presences();
    assert_eq!((kept.len(), kept[0].joined, kept[MOST_PRESENCES - 1].joined), (MOST_PRESENCES, 0, 499_900));
    assert_eq!(ledger.presences_left_out(1), 5000 - MOST_PRESENCES as u64);
}

#[test]
fn who_is_there_when_a_recorder_dies_leaves_with_what_it_recorded() {
    let joined = |uid, at| Record::Joined { uid, at };
    let records = [joined(1, 5)].into_iter().chain(slice("a", 5, 15_000)).chain([joined(2, 15_010)]);
    let again = [Record::Resumed { at: 55_000 }, joined(1, 56_000), Record::Stopped { at: 60_000 }];
    let ledger = ledger(records.chain(again));
    let presence = |uid, joined, left| Presence { uid, joined, left: Some(left), returns: 0 };
    let expected = [presence(1, 5, 15_005), presence(2, 15_010, 15_010), presence(1, 56_000, 60_000)];
    assert_eq!(ledger.presences(), expected);
}

#[test]
fn everybody_who_ever_was_to_come_is_known_by_the_newest_name() {
    let expected = |uid, name: &str| Expected { uid, name: Some(name.to_owned()), identity: None };
    let begun = |participants| Record::Begun(Box::new(Begun { participants, ..begun() }));
    let ledger = ledger([
        begun(vec![expected(1, "alice"), expected(2, "bob")]),
        Record::Participant(expected(3, "carol")),
        Record::Participant(expected(1, "alice's phone")),
        Record::Resumed { at: 5 },
        begun(vec![expected(3, "carol")]),
    ]);
    assert_eq!(ledger.participants(), [expected(1, "alice's phone"), expected(2, "bob"), expected(3, "carol")]);
}

#[test]
fn the_manifest_lists_whom_the_document_names_and_of_others_those_who_were_there() {
    let named = |uid| Expected { uid, name: None, identity: None };
    let came = |uid: u32| Expected { uid, name: None, identity: Some(format!("p{uid}")) };
    let ledger = ledger([
        Record::Begun(Box::new(Begun { participants: vec![named(1)], ..begun() })),
        Record::Participant(named(2)),
        Record::Participant(came(3)),
        Record::Participant(came(4)),
        Record::Joined { uid: 3, at: 5 },
    ]);
    let playlist = PlaylistFile { name: "x_room.m3u8", size: 1, sha256: "a", in_backup: false };
    let text = manifest(&ledger, &playlist).expect("it has begun");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let listed: Vec<_> = manifest["participants"].as_array().unwrap().iter().map(|each| each["uid"].clone()).collect();
    assert_eq!(listed, [1, 2, 3]);
}

// SPDX-License-Identifier: Apache-2.0
use super::*;

const SECOND: i64 = TICKS_PER_SECOND;
const FRAME: i64 = SECOND / 25;
const BOTH: TracksPresent = [true, true];

fn cutter() -> Cutter {
    Cutter::new(SliceLimits { slice: 4 * SECOND, longest: 8 * SECOND })
}

fn picture(at: i64, key: bool) -> PacketFacts {
    PacketFacts { track: TrackKind::Video, key, decode: at - 2 * FRAME, present: at, duration: FRAME, format: 1 }
}

fn sound(at: i64) -> PacketFacts {
    PacketFacts { track: TrackKind::Audio, key: true, decode: at, present: at, duration: FRAME, format: 2 }
}

/// Pictures and sound from `from` to `to`, with a key frame each `gop` ticks since zero; every step that is no plain write.
fn play(cutter: &mut Cutter, from: i64, to: i64, gop: i64) -> Vec<(i64, CutStep)> {
    let mut steps = Vec::new();
    for at in (from..to).step_by(usize::try_from(FRAME).unwrap()) {
        for facts in [picture(at, at % gop == 0), sound(at)] {
            let step = cutter.step(facts, true);
            if step != CutStep::Write {
                steps.push((at, step));
            }
        }
    }
    steps
}

#[test]
fn slices_end_at_the_first_key_frame_after_their_length() {
    let steps = play(&mut cutter(), 0, 15 * SECOND, 3 * SECOND);
    let expected = [
        (0, CutStep::Begin { end: 0, at: 0, tracks: BOTH }),
        (6 * SECOND, CutStep::Cut { at: 6 * SECOND }),
        (12 * SECOND, CutStep::Cut { at: 12 * SECOND }),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn without_key_frames_slices_end_at_the_bound_and_run_on() {
    let steps = play(&mut cutter(), 0, 20 * SECOND, 100 * SECOND);
    let cuts: Vec<i64> =
        steps.iter().filter_map(|(_, step)| if let CutStep::Cut { at } = step { Some(*at) } else { None }).collect();
    let lengths = [cuts[0], cuts[1] - cuts[0]];
    assert!(lengths.iter().all(|length| (7 * SECOND..=8 * SECOND).contains(length)), "{cuts:?}");
    assert_eq!(steps.len(), 3, "{steps:?}");
}

#[test]
fn a_cut_without_a_key_frame_lies_between_no_pictures_that_are_out_of_order() {
    let mut cutter = cutter();
    let mut latest = -FRAME;
    let mut cuts = 0;
    // Each third picture is sent before the two that it is presented after.
    for index in 0..700 {
        let ahead = [2, -1, -1][usize::try_from(index % 3).unwrap()];
        let facts = PacketFacts { decode: index * FRAME - 2 * FRAME, ..picture((index + ahead) * FRAME, index == 0) };
        if let CutStep::Cut { .. } = cutter.step(facts, false) {
            assert!(facts.present > latest, "everything before is presented before it");
            cuts += 1;
        }
        latest = latest.max(facts.present);
    }
    assert_eq!(cuts, 3);
}

#[test]
fn uneven_pictures_never_make_a_slice_longer_than_the_bound() {
    let mut cutter = cutter();
    let (mut start, mut at) = (0, 0);
    for index in 0..2000_i64 {
        let key = index == 0;
        match cutter.step(picture(at, key), false) {
            CutStep::Cut { at } => {
                assert!(at > start && at - start <= 8 * SECOND);
                start = at;
            }
            step => assert!(step == CutStep::Write || key, "{step:?}"),
        }
        at += FRAME * (1 + index * 7919 % 50);
    }
    assert!(cutter.end().unwrap() - start <= 8 * SECOND);
}

#[test]
fn pictures_begin_at_a_key_frame_and_sound_waits_for_them() {
    let mut cutter = cutter();
    for at in [0, FRAME, 2 * FRAME] {
        assert_eq!(cutter.step(picture(at, false), true), CutStep::Drop);
        assert_eq!(cutter.step(sound(at), true), CutStep::Drop);
    }
    let begin = CutStep::Begin { end: 3 * FRAME, at: 3 * FRAME, tracks: BOTH };
    assert_eq!(cutter.step(picture(3 * FRAME, true), true), begin);
    assert_eq!(cutter.step(sound(2 * FRAME), true), CutStep::Drop, "before the first picture");
    assert_eq!(cutter.step(sound(3 * FRAME), true), CutStep::Write);
}

#[test]
fn sound_begins_alone_where_no_pictures_are_and_pictures_join_at_a_key_frame() {
    let mut cutter = cutter();
    assert_eq!(cutter.step(sound(0), false), CutStep::Begin { end: 0, at: 0, tracks: [true, false] });
    assert_eq!(cutter.step(sound(FRAME), false), CutStep::Write);
    assert_eq!(cutter.step(picture(SECOND, false), true), CutStep::Drop);
    let begin = CutStep::Begin { end: 2 * SECOND, at: 2 * SECOND, tracks: BOTH };
    assert_eq!(cutter.step(picture(2 * SECOND, true), true), begin);
}

#[test]
fn pictures_without_any_key_frame_do_not_keep_the_sound_waiting_for_ever() {
    let mut cutter = cutter();
    let steps = play(&mut cutter, FRAME, 10 * SECOND, 100 * SECOND);
    let begun = steps.iter().find(|(_, step)| *step != CutStep::Drop).unwrap();
    assert!(matches!(begun.1, CutStep::Begin { tracks: [true, false], .. }), "{begun:?}");
    assert!((7 * SECOND..9 * SECOND).contains(&begun.0), "{begun:?}");
}

#[test]
fn a_track_that_goes_or_comes_begins_again_at_a_key_frame() {
    let mut cutter = cutter();
    play(&mut cutter, 0, 2 * SECOND, SECOND);
    let mut steps = Vec::new();
    for at in (2 * SECOND..10 * SECOND).step_by(usize::try_from(FRAME).unwrap()) {
        steps.push(cutter.step(picture(at, at % SECOND == 0), false));
    }
    steps.retain(|step| *step != CutStep::Write);
    let silent = CutStep::Begin { end: 8 * SECOND, at: 8 * SECOND, tracks: [false, true] };
    assert_eq!(steps, [CutStep::Cut { at: 4 * SECOND }, silent], "the first cut after the sound is gone for good");
    assert_eq!(cutter.step(sound(10 * SECOND - FRAME), true), CutStep::Drop);
    let again = CutStep::Begin { end: 10 * SECOND, at: 10 * SECOND, tracks: BOTH };
    assert_eq!(cutter.step(picture(10 * SECOND, true), true), again);
}

#[test]
fn pictures_that_do_not_come_any_more_leave_sound_alone_within_the_bound() {
    let mut cutter = cutter();
    play(&mut cutter, 0, SECOND, SECOND);
    let mut steps = Vec::new();
    for at in (SECOND..20 * SECOND).step_by(usize::try_from(FRAME).unwrap()) {
        let step = cutter.step(sound(at), false);
        if step != CutStep::Write {
            steps.push((at, step));
        }
    }
    let (at, step) = steps[0];
    assert!(matches!(step, CutStep::Begin { end, tracks: [true, false], .. } if end <= 8 * SECOND), "{step:?}");
    assert!(at <= 10 * SECOND + FRAME, "{at}");
    assert!(matches!(steps[1].1, CutStep::Cut { .. }), "{steps:?}");
}

#[test]
fn a_change_of_pictures_begins_again_and_one_of_sound_waits_for_a_key_frame() {
    let mut cutter = cutter();
    play(&mut cutter, 0, SECOND, SECOND);
    let larger = PacketFacts { format: 3, ..picture(SECOND, true) };
    assert!(cutter.changes(TrackKind::Video, 3));
    assert_eq!(cutter.step(larger, true), CutStep::Begin { end: SECOND, at: SECOND, tracks: BOTH });
    assert_eq!(cutter.step(sound(SECOND), true), CutStep::Write);
    let stereo = |at| PacketFacts { format: 4, ..sound(at) };
    assert_eq!(cutter.step(stereo(SECOND + FRAME), true), CutStep::Drop, "a slice's sound is of one format");
    let key = PacketFacts { format: 3, ..picture(2 * SECOND, true) };
    assert_eq!(cutter.step(key, true), CutStep::Begin { end: 2 * SECOND, at: 2 * SECOND, tracks: BOTH });
    assert_eq!(cutter.step(stereo(2 * SECOND), true), CutStep::Write);
}

#[test]
fn a_hole_longer_than_a_slice_may_be_ends_the_output() {
    let mut cutter = cutter();
    play(&mut cutter, 0, SECOND, SECOND);
    let late = picture(30 * SECOND, true);
    assert_eq!(cutter.step(late, false), CutStep::Hole { end: SECOND });
    assert_eq!(cutter.step(late, false), CutStep::Begin { end: 30 * SECOND, at: 30 * SECOND, tracks: [false, true] });
}

#[test]
fn what_begins_after_an_end_does_not_overlap_it() {
    let mut cutter = cutter();
    play(&mut cutter, 0, SECOND, SECOND);
    let end = cutter.end().unwrap();
    assert_eq!(end, SECOND);
    let early = picture(SECOND - 10, true);
    assert_eq!(cutter.step(early, false), CutStep::Begin { end, at: end, tracks: [false, true] });
}

/// Pictures each `step`, sent in groups of which the last is sent first and presented behind the others; each group of so
/// many begins with a key frame.
fn reordered(step: i64, group: i64, gop: i64) -> impl Iterator<Item = PacketFacts> {
    (0..30).map(move |index| {
        let (number, place) = (index / group, index % group);
        let shown = if place == 0 { (number + 1) * group } else { number * group + place };
        let key = place == 0 && number % gop == 0;
        PacketFacts { decode: index * step, duration: step, ..picture(shown * step, key) }
    })
}

/// Where slices begin and end.
fn slices(packets: impl Iterator<Item = PacketFacts>) -> Vec<(i64, i64)> {
    let mut cutter = cutter();
    let (mut slices, mut start) = (Vec::new(), None);
    for facts in packets {
        let mut step = cutter.step(facts, false);
        if let CutStep::Hole { end } = step {
            slices.extend(start.take().map(|start| (start, end)));
            step = cutter.step(facts, false);
        }
        if let CutStep::Cut { at } | CutStep::Begin { at, .. } = step {
            let end = if let CutStep::Begin { end, .. } = step { end } else { at };
            slices.extend(start.replace(at).map(|start| (start, end)));
        }
    }
    slices.extend(start.zip(cutter.end()));
    slices
}

#[test]
fn no_slice_is_without_length_however_slow_pictures_are_and_however_far_out_of_order() {
    for step in [1, 2, 5, 10, 20] {
        for (group, gop) in (1..5).flat_map(|group| [1, 3, 1000].map(|gop| (group, gop))) {
            let slices = slices(reordered(step * SECOND, group, gop));
            let lengths: Vec<i64> = slices.iter().map(|(start, end)| end - start).collect();
            assert!(
                lengths.iter().all(|length| (FRAME..=8 * SECOND).contains(length)),
                "{step} {group} {gop}: {lengths:?}"
            );
        }
    }
}

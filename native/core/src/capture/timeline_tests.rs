// SPDX-License-Identifier: Apache-2.0

use super::*;

const FRAME: Nanos = SECOND / 25;

fn stamp(at: Nanos) -> Stamp {
    Stamp { decode: Some(at), present: Some(at), duration: FRAME }
}

#[test]
fn both_tracks_share_one_mapping() {
    let mut timeline = Timeline::new(Pace::Live, 1000 * SECOND, 5 * SECOND);
    let video = timeline.map(TrackKind::Video, stamp(1000 * SECOND), 5 * SECOND);
    let audio = timeline.map(TrackKind::Audio, stamp(1000 * SECOND + 7 * MILLISECOND), 5 * SECOND + MILLISECOND);
    assert_eq!(video.decode, 5 * SECOND + JITTER);
    assert_eq!(audio.decode - video.decode, 7 * MILLISECOND);
}

#[test]
fn reordered_pictures_keep_their_presentation_times() {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    let due = timeline.map(TrackKind::Video, Stamp { decode: Some(0), present: Some(3 * FRAME), duration: FRAME }, 0);
    assert_eq!(due.present, Some(due.decode + 3 * FRAME));
}

#[test]
fn a_clock_that_drifts_for_an_hour_is_followed_and_the_tracks_stay_together() {
    for per_million in [100, -100] {
        let mut timeline = Timeline::new(Pace::Live, 0, 0);
        for count in 0..3600 * 25 {
            let now = count * FRAME;
            let source = now + now / 1_000_000 * per_million;
            let video = timeline.map(TrackKind::Video, stamp(source), now).decode;
            let audio = timeline.map(TrackKind::Audio, stamp(source), now).decode;
            assert!((video - audio).abs() <= 2 * SLEW_STEP, "apart after {now}");
            assert!((0..=3 * JITTER).contains(&(video - now)), "slack {} after {now}", video - now);
        }
    }
}

#[test]
fn a_jump_of_both_tracks_continues_where_they_were_and_keeps_them_together() {
    for jump in [5000 * SECOND, -900 * SECOND] {
        let mut timeline = Timeline::new(Pace::Live, 1000 * SECOND, 0);
        let mut last = [0; 2];
        for count in 0..500 {
            let now = count * FRAME;
            // The jump shows in the video two packets before it shows in the sound.
            let source = |at: i64| 1000 * SECOND + now + if count >= at { jump } else { 0 };
            let video = timeline.map(TrackKind::Video, stamp(source(250)), now).decode;
            let audio = timeline.map(TrackKind::Audio, stamp(source(252)), now).decode;
            if count > 0 {
                assert!((video - last[0] - FRAME).abs() <= SLEW_STEP, "video at {count}");
                assert!((audio - last[1] - FRAME).abs() <= SLEW_STEP, "audio at {count}");
            }
            assert!((video - audio).abs() <= SLEW_STEP);
            last = [video, audio];
        }
    }
}

#[test]
fn a_track_with_times_of_its_own_is_put_beside_the_other() {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    let video = timeline.map(TrackKind::Video, stamp(0), 0).decode;
    let audio = timeline.map(TrackKind::Audio, stamp(36_000 * SECOND), 0).decode;
    assert!((video - audio).abs() <= JITTER);
}

#[test]
fn a_stored_source_that_was_late_goes_on_without_loss() {
    for lateness in [0, SECOND] {
        let mut timeline = Timeline::new(Pace::Stored { lateness }, 0, 0);
        timeline.map(TrackKind::Video, stamp(0), 0);
        let late = timeline.map(TrackKind::Video, stamp(FRAME), 2 * SECOND).decode;
        assert_eq!(late, 2 * SECOND + JITTER + lateness, "the next piece may be as late once more");
        assert_eq!(timeline.map(TrackKind::Video, stamp(2 * FRAME), 2 * SECOND).decode, late + FRAME);
    }
}

#[test]
fn a_live_source_that_is_late_for_good_is_anchored_anew() {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    let lateness = SECOND;
    let slack = |timeline: &mut Timeline, count: i64| {
        let now = count * FRAME + lateness;
        timeline.map(TrackKind::Video, stamp(count * FRAME), now).decode - now
    };
    timeline.map(TrackKind::Video, stamp(0), 0);
    assert!(slack(&mut timeline, 1) < 0, "at first the hold-up may pass");
    let last = (2..100).map(|count| slack(&mut timeline, count)).last();
    assert_eq!(last, Some(JITTER));
}

#[test]
fn packets_without_times_follow_each_other() {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    let first = timeline.map(TrackKind::Audio, stamp(0), 0).decode;
    let untimed = Stamp { duration: FRAME, ..Stamp::default() };
    assert_eq!(timeline.map(TrackKind::Audio, untimed, FRAME), Due { decode: first + FRAME, present: None });
    assert_eq!(timeline.map(TrackKind::Audio, untimed, 2 * FRAME).decode, first + 2 * FRAME);
}

#[test]
fn timestamps_that_jump_all_the_time_need_no_memory() {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    for count in 0..10_000 {
        timeline.map(TrackKind::Video, stamp(count % 2 * 90_000 * SECOND), count * FRAME);
    }
    assert!(timeline.epochs.len() <= MOST_EPOCHS);
}

/// How long before they are due packets arrive that come `lag` behind the pictures of their time, in order.
fn slacks_of_lagging_sound(lag: Nanos) -> Vec<Nanos> {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    let sound =
        |timeline: &mut Timeline, now: Nanos| timeline.map(TrackKind::Audio, stamp(now - lag), now).decode - now;
    (0..2500)
        .map(|count| {
            let now = count * FRAME;
            timeline.map(TrackKind::Video, stamp(now), now);
            sound(&mut timeline, now)
        })
        .collect()
}

#[test]
fn sound_that_always_comes_behind_its_pictures_makes_the_delay_grow_at_once_and_is_not_lost() {
    for lag in [JITTER + 20 * MILLISECOND, 2 * JITTER, 3 * JITTER - MILLISECOND] {
        let slacks = slacks_of_lagging_sound(lag);
        let late = slacks.iter().filter(|slack| **slack < 0).count();
        assert_eq!(late, 0, "with a lag of {lag}");
        assert!(slacks.iter().all(|slack| *slack <= JITTER), "no more delay than needed with a lag of {lag}");
    }
}

#[test]
fn a_fast_clock_is_followed_before_the_source_has_to_be_held_back() {
    let mut timeline = Timeline::new(Pace::Live, 0, 0);
    let slacks = (0..10 * 3600 * 25).map(|count| {
        let now = count * FRAME;
        timeline.map(TrackKind::Video, stamp(now + now / 10_000), now).decode - now
    });
    assert!(slacks.max() < Some(LEAD));
}

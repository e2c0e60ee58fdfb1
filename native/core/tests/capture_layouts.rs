// SPDX-License-Identifier: Apache-2.0
//! Layouts as they are seen in recorded pictures; where each region lies is the geometry's own table.

mod capture_support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use capture_support::*;
use cloud_recording_core::capture::api::{CaptureConfig, CaptureEvent, CaptureSink, Layout, UtcMillis};
use cloud_recording_core::capture::clock::{Clock, VirtualClock};
use cloud_recording_core::capture::geometry::{places, Region};
use cloud_recording_core::capture::Capture;

const SIZE: (u32, u32) = (640, 480);

/// Seventeen colours that compression does not confuse.
fn colours() -> Vec<[i32; 3]> {
    let all = (0..27).map(|index: i32| [index / 9 * 127, index / 3 % 3 * 127, index % 3 * 127]);
    // Black is the background.
    all.skip(1).take(17).collect()
}

fn nearest(seen: [i32; 3]) -> usize {
    let distance = |colour: &[i32; 3]| colour.iter().zip(seen).map(|(a, b)| (a - b).abs()).sum::<i32>();
    colours().iter().enumerate().min_by_key(|(_, colour)| distance(colour)).map(|(index, _)| index).unwrap()
}

/// A file for each colour, shared by the cases; user `n` is the n-th colour.
fn people(scratch: &Scratch) -> Vec<String> {
    colours()
        .iter()
        .enumerate()
        .map(|(index, [red, green, blue])| {
            let picture = format!("color=c=0x{red:02x}{green:02x}{blue:02x}:size=64x48:rate=5:duration=3");
            let codec = "-c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p";
            source(scratch, &format!("{index}.mkv"), &format!("-f lavfi -i {picture} {codec}"))
        })
        .collect()
}

/// Who stands where: those who join within a second of the first by their place in the document, which uids count here, and
/// later ones by joining.
fn standing_order(told: &Told) -> Vec<u32> {
    let joined: Vec<(i64, u32)> = told.events.iter().filter_map(joining).collect();
    let first = joined.iter().map(|(at, _)| *at).min().unwrap_or(0);
    let (mut together, late): (Vec<_>, Vec<_>) = joined.into_iter().partition(|(at, _)| at - first <= 1000);
    together.sort_by_key(|(_, uid)| *uid);
    together.into_iter().chain(late).map(|(_, uid)| uid).collect()
}

fn joining(event: &CaptureEvent) -> Option<(i64, u32)> {
    match event {
        CaptureEvent::Joined { uid, at, .. } => Some((at.0, *uid)),
        _ => None,
    }
}

fn layout_config(directory: &Path, urls: &[&str], layout: Layout, max_resolution_uid: u32) -> CaptureConfig {
    let mut config = config(directory, urls);
    (config.layout, config.max_resolution_uid) = (layout, max_resolution_uid);
    (config.canvas.width, config.canvas.height) = SIZE;
    (config.canvas.frames_per_second, config.canvas.bitrate_kbps) = (5, 2000);
    config
}

/// The points of a region that must show its user: the middle, and a little inside each corner.
fn points(region: Region) -> [(usize, usize); 5] {
    let (left, top) = (region.x + 7, region.y + 7);
    let (right, bottom) = (region.x + region.width - 8, region.y + region.height - 8);
    let middle = (region.x + region.width / 2, region.y + region.height / 2);
    [middle, (left, top), (right, top), (left, bottom), (right, bottom)].map(|(x, y)| (x as usize, y as usize))
}

/// Whether the area that is looked at around a point touches the region.
fn is_near(region: Region, x: usize, y: usize) -> bool {
    let [left, top, width, height] = [region.x, region.y, region.width, region.height].map(|value| value as usize);
    x + 4 >= left && x < left + width + 4 && y + 4 >= top && y < top + height + 4
}

fn assert_rendered(scratch: &Scratch, urls: &[String], layout: Layout, max_resolution_uid: u32) {
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let case = format!("{layout:?} of {} with {max_resolution_uid} large", urls.len());
    let directory = scratch.path(&format!("{layout:?}-{}-{max_resolution_uid}", urls.len()));
    let told = record_offline(&layout_config(&directory, &urls, layout, max_resolution_uid));
    let order = standing_order(&told);
    assert_eq!(order.len(), urls.len(), "{case}: each joins once");
    let shown = picture(&joined_file(scratch, &told.closed), 1.6);
    let expected = places(layout, max_resolution_uid, SIZE, &order);
    for (index, place) in expected.iter().enumerate() {
        for (x, y) in points(place.region) {
            // In Float others may lie over this place.
            if expected[index + 1..].iter().any(|other| is_near(other.region, x, y)) {
                continue;
            }
            let seen = colour_at(&shown, SIZE.0 as usize, x, y);
            assert_eq!(nearest(seen) as u32 + 1, place.uid, "{case}: {seen:?} at {x},{y} of {place:?}");
        }
    }
    if layout == Layout::Vertical && !order.contains(&max_resolution_uid) {
        assert!(alike(colour_at(&shown, SIZE.0 as usize, 100, 240), [0, 0, 0]), "{case}: the large place is free");
    }
}

#[test]
fn every_family_of_counts_is_seen_in_its_regions_in_order_of_joining() {
    let scratch = Scratch::new("families");
    let people = people(&scratch);
    let cases = [
        (Layout::BestFit, vec![1, 2, 4, 9, 16, 17], 0),
        (Layout::Float, vec![2, 5, 17], 0),
        (Layout::Vertical, vec![1, 5, 7, 9, 17], 1),
        (Layout::Vertical, vec![4, 16], 99),
    ];
    for (layout, counts, large) in cases {
        for count in counts {
            assert_rendered(&scratch, &people[..count], layout, large);
        }
    }
}

#[test]
fn when_the_chosen_user_leaves_its_place_is_free_and_the_others_stay_at_the_right_edge() {
    let scratch = Scratch::new("chosen-leaves");
    let urls = [("red", 440, 8.0), ("blue", 880, 3.0), ("lime", 660, 8.0)].map(|(colour, hertz, seconds)| {
        source(&scratch, &format!("{colour}.flv"), &colour_and_tone(colour, hertz, seconds))
    });
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut config = layout_config(&scratch.path("work"), &urls, Layout::Vertical, 2);
    config.canvas = CANVAS;
    let told = record_offline(&config);
    let file = joined_file(&scratch, &told.closed);
    let (before, after) = (picture(&file, 1.5), picture(&file, 5.5));
    assert!(alike(colour_at(&before, 320, 128, 120), [0, 0, 254]));
    assert!(alike(colour_at(&after, 320, 128, 120), [0, 0, 0]), "free");
    let order: Vec<u32> = standing_order(&told).into_iter().filter(|uid| *uid != 2).collect();
    for (picture, name) in [(&before, "before"), (&after, "after")] {
        for (uid, y) in order.iter().zip([30, 90]) {
            let expected = if *uid == 1 { [254, 0, 0] } else { [0, 255, 0] };
            assert!(alike(colour_at(picture, 320, 288, y), expected), "{name}: {uid} at {y}");
        }
    }
}

/// A picture of three stripes, from the top to the bottom.
fn stripes(scratch: &Scratch, name: &str, size: &str, more: &str) -> String {
    let picture = format!(
        "color=c=lime:size={size}:rate=15:duration=4,drawbox=x=0:y=0:w=iw:h=ih/3:t=fill:c=red,\
         drawbox=x=0:y=2*ih/3:w=iw:h=ih/3:t=fill:c=blue{more}"
    );
    source(scratch, name, &format!("-f lavfi -i {picture} -c:v libx264 -preset ultrafast -pix_fmt yuv420p"))
}

fn shown(scratch: &Scratch, url: &str, layout: Layout) -> Vec<[u8; 3]> {
    let mut config = layout_config(&scratch.path(&format!("{layout:?}")), &[url], layout, 1);
    config.canvas = CANVAS;
    picture(&joined_file(scratch, &record_offline(&config).closed), 1.5)
}

fn assert_column(picture: &[[u8; 3]], x: usize, expected: &[(usize, [i32; 3])]) {
    for (y, colour) in expected {
        let seen = colour_at(picture, 320, x, *y);
        assert!(alike(seen, *colour), "{seen:?} instead of {colour:?} at {x},{y}");
    }
}

const RED: [i32; 3] = [254, 0, 0];
const LIME: [i32; 3] = [0, 255, 0];
const BLUE: [i32; 3] = [0, 0, 254];
const BLACK: [i32; 3] = [0, 0, 0];

#[test]
fn portrait_pictures_are_cropped_around_their_middle_or_shown_whole() {
    let scratch = Scratch::new("portrait");
    let url = stripes(&scratch, "portrait.mkv", "180x320", "");
    // Cropped to 4:3, 135 of 320 lines are seen: 14 of the upper stripe, 14 of the lower.
    assert_column(&shown(&scratch, &url, Layout::BestFit), 160, &[(10, RED), (40, LIME), (200, LIME), (230, BLUE)]);
    // Whole in 256x240: 135 wide in the middle of it.
    let whole = shown(&scratch, &url, Layout::Vertical);
    assert_column(&whole, 128, &[(10, RED), (70, RED), (120, LIME), (170, BLUE), (230, BLUE)]);
    assert_column(&whole, 40, &[(10, BLACK), (120, BLACK), (230, BLACK)]);
    assert_column(&whole, 215, &[(10, BLACK), (120, BLACK), (230, BLACK)]);
}

#[test]
fn samples_that_are_not_square_are_shown_in_their_shape() {
    let scratch = Scratch::new("aspect");
    let url = stripes(&scratch, "wide.mkv", "180x180", ",setsar=2");
    // Twice as wide as high: 256x128 in the large place, between bands of 56 lines.
    let whole = shown(&scratch, &url, Layout::Vertical);
    assert_column(&whole, 20, &[(30, BLACK), (65, RED), (120, LIME), (175, BLUE), (210, BLACK)]);
    // Cropped to 4:3 all lines are seen.
    assert_column(&shown(&scratch, &url, Layout::BestFit), 160, &[(10, RED), (120, LIME), (230, BLUE)]);
}

#[test]
fn a_change_of_layout_is_seen_within_a_second_and_no_picture_is_missing() {
    let scratch = Scratch::new("changing");
    let urls =
        ["red", "blue"].map(|colour| source(&scratch, &format!("{colour}.flv"), &colour_and_tone(colour, 440, 40.0)));
    let config = config(&scratch.path("work"), &urls.each_ref().map(String::as_str));
    let memory = Arc::new(Memory::default());
    let sink: Arc<dyn CaptureSink> = memory.clone();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(UtcMillis(1_700_000_000_000)));
    let capture = Capture::start_at(&config, &sink, &clock).expect("the capture starts");
    memory.wait_for("the first slice", |told| (told.opened.len() == 1).then_some(()));
    while capture.figures().position.as_secs() < 3 {
        std::thread::yield_now();
    }
    let before = capture.now().0;
    capture.set_layout(Layout::Vertical, 1);
    let after = capture.now().0;
    while capture.figures().position.as_secs() < 30 {
        std::thread::yield_now();
    }
    capture.stop();
    let told = memory.take();
    let file = joined_file(&scratch, &told.closed);
    let stamps = ticks(&file, "v");
    assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == 6000), "no picture is missing");
    assert!(ticks(&file, "a").windows(2).all(|pair| pair[1] - pair[0] == 1920), "no sound is missing");
    assert!(told.closed[1..].iter().all(|slice| !slice.open.discontinuity));
    // At the lower right there was a picture, and there is the background.
    let corner =
        ["-vf", "crop=40:40:270:190,scale=1:1", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    let corner = run_ffmpeg(&[&["-i", file.to_str().unwrap()], &corner[..]].concat());
    let free: Vec<bool> = corner.chunks_exact(3).map(|pixel| pixel.iter().all(|value| *value < 60)).collect();
    let changed = free.iter().rposition(|free| !free).expect("it was seen before") + 1;
    let changed_at = told.opened[0].start.0 + (stamps[changed] - stamps[0]) / 90;
    assert!((before - 70..=after + 1000).contains(&changed_at), "{changed_at} is not soon after {before}..{after}");
    assert!(free[..changed - 1].iter().skip(15).all(|free| !free), "one change, not several");
}

#[test]
fn a_participant_who_comes_late_is_last_in_order() {
    let scratch = Scratch::new("late");
    let first = source(&scratch, "first.flv", &colour_and_tone("red", 440, 60.0));
    let second = source(&scratch, "second.flv", &colour_and_tone("blue", 880, 6.0));
    let hidden = scratch.path("late.flv");
    let config = config(&scratch.path("work"), &[hidden.to_str().unwrap(), &first]);
    let memory = Arc::new(Memory::default());
    let sink: Arc<dyn CaptureSink> = memory.clone();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(UtcMillis(1_700_000_000_000)));
    let capture = Capture::start_at(&config, &sink, &clock).expect("the capture starts");
    memory.wait_for("the first slice to end", |told| told.closed.first().map(|_| ()));
    fs::rename(&second, &hidden).unwrap();
    memory.wait_for("the late one to leave again", left(1));
    capture.stop();
    let told = memory.take();
    assert_eq!(standing_order(&told), [2, 1]);
    let came = told.events.iter().filter_map(joining).find(|(_, uid)| *uid == 1).expect("the event").0;
    let file = joined_file(&scratch, &told.closed);
    assert!(ticks(&file, "v").windows(2).all(|pair| pair[1] - pair[0] == 6000), "no picture is missing");
    #[allow(clippy::cast_precision_loss)] // seconds of a test
    let second = (came - told.opened[0].start.0) as f64 / 1000.0 + 3.0;
    let shown = picture(&file, second);
    assert!(alike(colour_at(&shown, 320, 80, 120), RED) && alike(colour_at(&shown, 320, 240, 120), BLUE));
}

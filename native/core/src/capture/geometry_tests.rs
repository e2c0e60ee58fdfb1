// SPDX-License-Identifier: Apache-2.0
//! All 51 cases of the specification (three layouts for 1 to 17 users), written down as numbers and not as the formula.

use super::*;

/// A canvas on which every fraction of the specification is a whole even number of pixels.
const EXACT: (u32, u32) = (126_000, 48_000);

/// Expected regions: left, top, width, height as shares of the canvas.
type ExpectedRegion = Vec<(f64, f64, f64, f64)>;

fn users(count: usize) -> Vec<u32> {
    (101..).take(count).collect()
}

fn assert_regions(places: &[Placement], expected: &ExpectedRegion, canvas: (u32, u32), case: &str) {
    assert_eq!(places.len(), expected.len(), "{case}");
    for (place, (x, y, width, height)) in places.iter().zip(expected) {
        let Region { x: left, y: top, width: wide, height: high } = place.region;
        let edges = [(left, *x, canvas.0), (top, *y, canvas.1), (left + wide, x + width, canvas.0)];
        for (pixel, share, length) in edges.into_iter().chain([(top + high, y + height, canvas.1)]) {
            let exact = share * f64::from(length);
            assert!((f64::from(pixel) - exact).abs() <= 1.0 + 1e-6, "{case}: {pixel} for {exact} in {place:?}");
            assert_eq!(pixel % 2, 0, "{case}: {place:?}");
        }
        assert!(left + wide <= canvas.0 && top + high <= canvas.1, "{case}: {place:?}");
    }
}

/// Whole pixels where the canvas divides evenly; within a pixel of the fraction on real canvases.
fn check(layout: Layout, max_resolution_uid: u32, count: usize, expected: &ExpectedRegion) {
    let users = users(count);
    for canvas in [EXACT, (360, 640), (640, 360), (1920, 1080), (1080, 1920), (854, 480)] {
        let case = format!("{layout:?} with {count} on {canvas:?}");
        let places = places(layout, max_resolution_uid, canvas, &users);
        assert_regions(&places, expected, canvas, &case);
        if canvas == EXACT {
            for (place, (x, _, width, _)) in places.iter().zip(expected) {
                assert!((f64::from(place.region.x) - x * f64::from(canvas.0)).abs() < 1e-3, "{case}");
                assert!((f64::from(place.region.width) - width * f64::from(canvas.0)).abs() < 1e-3, "{case}");
            }
        }
    }
}

#[test]
fn a_picture_is_needed_as_large_as_what_is_seen_of_it_fills_its_region() {
    for (source, region, fill, expected) in [
        ((1280, 720), (640, 360), Fill::Crop, (640, 360)),
        ((1280, 720), (320, 360), Fill::Crop, (640, 360)),
        ((1280, 720), (320, 360), Fill::Contain, (320, 180)),
        ((720, 1280), (320, 180), Fill::Crop, (320, 570)),
        ((640, 360), (1280, 720), Fill::Crop, (640, 360)),
        ((0, 0), (320, 180), Fill::Crop, (320, 180)),
    ] {
        let region = Region { x: 0, y: 0, width: region.0, height: region.1 };
        assert_eq!(needed(source, region, fill), expected, "{source:?} in {region:?}");
    }
}

#[test]
fn float_fills_the_canvas_with_the_first_and_lays_the_others_on_top_from_the_bottom_left() {
    let columns = [0.012, 0.259, 0.506, 0.753];
    let rows = [0.753, 0.506, 0.259, 0.012];
    let mut all = vec![(0.0, 0.0, 1.0, 1.0)];
    all.extend(rows.iter().flat_map(|y| columns.iter().map(move |x| (*x, *y, 0.235, 0.235))));
    for count in 1..=17 {
        check(Layout::Float, 0, count, &all[..count].to_vec());
        let places = places(Layout::Float, 0, EXACT, &users(count));
        assert!(places.iter().zip(users(count)).all(|(place, uid)| place.uid == uid && place.fill == Fill::Crop));
    }
}

#[test]
fn best_fit_is_a_grid_filled_row_by_row() {
    let third = 1.0 / 3.0;
    let grid = |cells: &[(u8, u8)], width: f64, height: f64| -> ExpectedRegion {
        cells.iter().map(|(x, y)| (f64::from(*x) * width, f64::from(*y) * height, width, height)).collect()
    };
    let two = [(0, 0), (1, 0), (0, 1), (1, 1)];
    let three = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)];
    let four: Vec<(u8, u8)> = (0..4).flat_map(|y| (0..4).map(move |x| (x, y))).collect();
    check(Layout::BestFit, 0, 1, &grid(&[(0, 0)], 1.0, 1.0));
    check(Layout::BestFit, 0, 2, &grid(&[(0, 0), (1, 0)], 0.5, 1.0));
    for count in 3..=4 {
        check(Layout::BestFit, 0, count, &grid(&two[..count], 0.5, 0.5));
    }
    for count in 5..=9 {
        check(Layout::BestFit, 0, count, &grid(&three[..count], third, third));
    }
    for count in 10..=16 {
        check(Layout::BestFit, 0, count, &grid(&four[..count], 0.25, 0.25));
    }
    let banded = |y: f64| [0.1, 0.3, 0.5, 0.7].map(|x| (x, y, 0.2, 0.2));
    let seventeen: ExpectedRegion =
        [0.0, 0.2, 0.4, 0.6].into_iter().flat_map(banded).chain([(0.4, 0.8, 0.2, 0.2)]).collect();
    check(Layout::BestFit, 0, 17, &seventeen);
}

#[test]
fn vertical_keeps_a_large_place_at_the_left_and_stacks_the_others_at_the_right_edge() {
    // The chosen user joined third: it comes large, the others keep their order.
    for count in 3..=17 {
        let (width, height) = small_size(count);
        let columns: f64 = if count >= 10 { 2.0 } else { 1.0 };
        let mut expected = vec![(0.0, 0.0, 1.0 - columns * width, 1.0)];
        expected.extend(small_places(count - 1, width, height, columns));
        check(Layout::Vertical, 103, count, &expected);
        let places = places(Layout::Vertical, 103, EXACT, &users(count));
        assert_eq!((places[0].uid, places[0].fill), (103, Fill::Contain));
        assert_eq!((places[1].uid, places[1].fill), (101, Fill::Crop));
        assert_eq!(places[2].uid, 102);
    }
    check(Layout::Vertical, 101, 1, &vec![(0.0, 0.0, 0.8, 1.0)]);
    check(Layout::Vertical, 101, 2, &vec![(0.0, 0.0, 0.8, 1.0), (0.8, 0.0, 0.2, 0.25)]);
}

#[test]
fn vertical_without_the_chosen_user_leaves_its_place_to_the_background() {
    for count in 1..=16 {
        let (width, height) = small_size(count + 1);
        let columns: f64 = if count >= 9 { 2.0 } else { 1.0 };
        check(Layout::Vertical, 0, count, &small_places(count, width, height, columns));
    }
    let crowded = places(Layout::Vertical, 7, EXACT, &users(17));
    assert_eq!(crowded.len(), 16, "two columns of eight: the last user is heard and not seen");
}

fn small_size(users: usize) -> (f64, f64) {
    match users {
        0..=5 => (1.0 / 5.0, 1.0 / 4.0),
        6..=7 => (1.0 / 7.0, 1.0 / 6.0),
        8..=9 => (1.0 / 9.0, 1.0 / 8.0),
        _ => (1.0 / 10.0, 1.0 / 8.0),
    }
}

fn small_places(count: usize, width: f64, height: f64, columns: f64) -> ExpectedRegion {
    let down = (1.0 / height).round();
    let place = |index: u32| {
        let (column, row) = ((f64::from(index) / down).floor(), f64::from(index) % down);
        (1.0 - (columns - column) * width, row * height, width, height)
    };
    (0..u32::try_from(count).unwrap()).map(place).collect()
}

#[test]
fn cells_that_touch_leave_no_line_between_them() {
    for count in [5, 9, 16] {
        let places = places(Layout::BestFit, 0, (640, 362), &users(count));
        let row: Vec<_> = places.iter().filter(|place| place.region.y == 0).collect();
        assert!(row.windows(2).all(|pair| pair[0].region.x + pair[0].region.width == pair[1].region.x));
    }
}

#[test]
fn when_a_user_leaves_the_later_ones_move_up() {
    let before = places(Layout::BestFit, 0, (640, 360), &[1, 2, 3]);
    let after = places(Layout::BestFit, 0, (640, 360), &[1, 3]);
    assert_eq!(before[1].uid, 2);
    assert_eq!(after[1].uid, 3);
    assert_eq!(after[1].region, Region { x: 320, y: 0, width: 320, height: 360 });
}

#[test]
fn pictures_are_cropped_or_fitted_around_their_middle() {
    let square = Region { x: 100, y: 50, width: 200, height: 200 };
    let (crop, target) = fitted((640, 360), (1, 1), square, Fill::Crop);
    assert_eq!(crop, Region { x: 140, y: 0, width: 360, height: 360 });
    assert_eq!(target, square);
    let (crop, target) = fitted((640, 360), (1, 1), square, Fill::Contain);
    assert_eq!(crop, Region { x: 0, y: 0, width: 640, height: 360 });
    assert_eq!(target, Region { x: 100, y: 94, width: 200, height: 112 });
    let (crop, _) = fitted((360, 640), (1, 1), square, Fill::Crop);
    assert_eq!(crop, Region { x: 0, y: 140, width: 360, height: 360 });
    // Samples twice as wide as high: the picture is seen as 720x576 and not as 360x576.
    let (crop, _) = fitted((360, 576), (2, 1), square, Fill::Crop);
    assert_eq!(crop, Region { x: 36, y: 0, width: 288, height: 576 });
}

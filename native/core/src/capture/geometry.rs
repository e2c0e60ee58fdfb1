// SPDX-License-Identifier: Apache-2.0
//! Where each participant is shown: pure arithmetic from the layouts' fractions of the canvas to even pixels.
//!
//! Every edge is its exact fraction of the canvas rounded to the nearest even pixel (chroma has half the resolution), so
//! cells that touch in the specification touch in the picture.

use super::api::Layout;

/// The most participants a layout has room for.
pub const MOST_USERS: usize = 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fill {
    /// Fills the region; what does not fit is cut off.
    Crop,
    /// The whole picture is seen; the rest of the region stays background.
    Contain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    pub uid: u32,
    pub region: Region,
    pub fill: Fill,
}

/// A rectangle as numerators over the denominators `across` and `down` of the canvas.
#[derive(Clone, Copy)]
struct Share {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    across: u32,
    down: u32,
}

/// The places of `users`, given in order of joining and listed from the back to the front.
///
/// Users that the layout has no room for are left out of the picture.
#[must_use]
pub fn places(layout: Layout, max_resolution_uid: u32, canvas: (u32, u32), users: &[u32]) -> Vec<Placement> {
    let users = &users[..users.len().min(MOST_USERS)];
    let cropped = |shares: Vec<Share>| -> Vec<Placement> {
        let regions = shares.into_iter().map(|share| share.on(canvas));
        users.iter().zip(regions).map(|(uid, region)| Placement { uid: *uid, region, fill: Fill::Crop }).collect()
    };
    match layout {
        Layout::Float => cropped(float_shares()),
        Layout::BestFit => cropped(best_fit_shares(users.len())),
        Layout::Vertical => vertical(max_resolution_uid, canvas, users),
    }
}

/// The first user's whole canvas, then four rows of four small regions from the bottom left.
fn float_shares() -> Vec<Share> {
    const SIZE: u32 = 235;
    const GAP: u32 = 12;
    const WHOLE: u32 = 1000;
    let mut shares = vec![Share { left: 0, top: 0, right: WHOLE, bottom: WHOLE, across: WHOLE, down: WHOLE }];
    shares.extend((0..16).map(|index| {
        let left = GAP + (index % 4) * (SIZE + GAP);
        let bottom = WHOLE - GAP - (index / 4) * (SIZE + GAP);
        Share { left, top: bottom - SIZE, right: left + SIZE, bottom, across: WHOLE, down: WHOLE }
    }));
    shares
}

/// A grid of equal cells, filled row by row; 17 users get 20 % cells between bands, the last one in the middle below.
fn best_fit_shares(users: usize) -> Vec<Share> {
    let cell = |left, top, across, down| Share { left, top, right: left + 1, bottom: top + 1, across, down };
    let (columns, rows) = match users {
        0 | 1 => (1, 1),
        2 => (2, 1),
        3 | 4 => (2, 2),
        5..=9 => (3, 3),
        10..=16 => (4, 4),
        _ => return seventeen_shares(),
    };
    (0..columns * rows).map(|index| cell(index % columns, index / columns, columns, rows)).collect()
}

fn seventeen_shares() -> Vec<Share> {
    // In tenths across, so that the bands and the middle cell lie on whole numbers.
    let cell = |left, top| Share { left, top, right: left + 2, bottom: top + 1, across: 10, down: 5 };
    (0..16).map(|index| cell(1 + 2 * (index % 4), index / 4)).chain([cell(4, 4)]).collect()
}

/// The chosen user large at the left, the others small down the right edge, column by column.
fn vertical(max_resolution_uid: u32, canvas: (u32, u32), users: &[u32]) -> Vec<Placement> {
    let large = users.iter().copied().find(|uid| *uid == max_resolution_uid);
    let others = users.iter().copied().filter(|uid| Some(*uid) != large);
    // The large region is kept free for the chosen user, so it counts also while nobody is in it.
    let seats = users.len() + usize::from(large.is_none());
    let (across, down, columns) = match seats {
        0..=5 => (5, 4, 1),
        6..=7 => (7, 6, 1),
        8..=9 => (9, 8, 1),
        _ => (10, 8, 2),
    };
    let edge = across - columns;
    let main = Share { left: 0, top: 0, right: edge, bottom: down, across, down };
    let small = (0..columns * down).map(|index| {
        let (left, top) = (edge + index / down, index % down);
        Share { left, top, right: left + 1, bottom: top + 1, across, down }.on(canvas)
    });
    let large = large.map(|uid| Placement { uid, region: main.on(canvas), fill: Fill::Contain });
    let small = others.zip(small).map(|(uid, region)| Placement { uid, region, fill: Fill::Crop });
    large.into_iter().chain(small).collect()
}

impl Share {
    fn on(self, canvas: (u32, u32)) -> Region {
        let (x, right) = (even(self.left, self.across, canvas.0), even(self.right, self.across, canvas.0));
        let (y, bottom) = (even(self.top, self.down, canvas.1), even(self.bottom, self.down, canvas.1));
        Region { x, y, width: right - x, height: bottom - y }
    }
}

/// `length * part / whole`, rounded to the nearest even number.
fn even(part: u32, whole: u32, length: u32) -> u32 {
    ((length * part + whole) / (2 * whole)) * 2
}

/// How much of a picture of `source` size is shown, and where in the region, so that its shape is kept.
///
/// `aspect` is the shape of one sample (width over height, as a ratio). Returns the crop (x, y, width, height) and the
/// region it is painted on; all numbers are even.
#[must_use]
pub fn fitted(source: (u32, u32), aspect: (u32, u32), region: Region, fill: Fill) -> (Region, Region) {
    let whole = Region { x: 0, y: 0, width: source.0 & !1, height: source.1 & !1 };
    // Display shape of source and region as cross products, in integers of 64 bits so that nothing overflows.
    let source_width = u64::from(source.0) * u64::from(aspect.0);
    let source_height = u64::from(source.1) * u64::from(aspect.1);
    let wider = source_width * u64::from(region.height);
    let taller = source_height * u64::from(region.width);
    let part = |length: u32, numerator: u64, denominator: u64| {
        let exact = u64::from(length) * numerator / denominator.max(1);
        (u32::try_from(exact).unwrap_or(length) & !1).clamp(2, length.max(2) & !1)
    };
    match fill {
        Fill::Crop if wider > taller => (centred_width(whole, part(whole.width, taller, wider)), region),
        Fill::Crop => (centred_height(whole, part(whole.height, wider, taller)), region),
        Fill::Contain if wider > taller => (whole, centred_height(region, part(region.height, taller, wider))),
        Fill::Contain => (whole, centred_width(region, part(region.width, wider, taller))),
    }
}

/// How large all of a picture of `source` size would be where what is seen of it fills the region, but not larger than
/// it is. Of a picture whose size is not known, or none that there is, that is the region.
#[must_use]
pub fn needed(source: (u32, u32), region: Region, fill: Fill) -> (u32, u32) {
    const SIDES: std::ops::Range<u32> = 2..1 << 14;
    if !SIDES.contains(&source.0) || !SIDES.contains(&source.1) {
        return (region.width, region.height);
    }
    let (crop, target) = fitted(source, (1, 1), region, fill);
    if target.width >= crop.width || target.height >= crop.height {
        return source;
    }
    (source.0 * target.width / crop.width, source.1 * target.height / crop.height)
}

fn centred_width(region: Region, width: u32) -> Region {
    Region { x: region.x + (((region.width - width) / 2) & !1), width, ..region }
}

fn centred_height(region: Region, height: u32) -> Region {
    Region { y: region.y + (((region.height - height) / 2) & !1), height, ..region }
}

#[cfg(test)]
#[path = "geometry_tests.rs"]
mod tests;

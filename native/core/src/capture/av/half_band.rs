// SPDX-License-Identifier: Apache-2.0
//! Halving an I420 picture in both directions, as well as a general scaler does it.
//!
//! Four participants of one size are shown at exactly half of it. A filter that only halves needs the same eight weights
//! everywhere, so it costs a fraction of what the general one takes.
#![allow(clippy::inline_always)] // what is compiled for each kind of processor has to be in one piece

use super::frame::{Frame, Plane};
use super::scale::Crop;

/// The weights of the samples around the place between two of them, from the nearest to the farthest, in 64ths: a
/// cubic filter for this reduction, rounded so that it is a little nearer to the ideal one (Lanczos) than libswscale's.
const WEIGHTS: [i16; 4] = [28, 8, -3, -1];

/// Halves `crop` of `from` into all of `into`, which is half as large; both are I420, the crop's size divisible by four.
pub fn halve_well(from: &Frame, crop: Crop, into: &mut Frame) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { halve_by_wide_vectors(from, crop, into) };
    }
    halve(from, crop, into);
}

/// The same loops with vectors of 32 bytes, which take little more than half of the time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn halve_by_wide_vectors(from: &Frame, crop: Crop, into: &mut Frame) {
    halve(from, crop, into);
}

#[inline(always)]
fn halve(from: &Frame, crop: Crop, into: &mut Frame) {
    for index in 0..3 {
        let half = u32::from(index > 0);
        let at = |value: u32| (value >> half) as usize;
        let Some(source) = from.plane(index) else { return };
        let Some((target, stride)) = into.plane_mut(index) else { return };
        let window = PlanePart { source, x: at(crop.x), y: at(crop.y), width: at(crop.width), height: at(crop.height) };
        let mut row = Row::new(window.width);
        for (index, target) in target.chunks_mut(stride).take(window.height / 2).enumerate() {
            row.gather(&window, 2 * index);
            row.narrow(&mut target[..window.width / 2]);
        }
    }
}

/// A part of a plane. Beyond its edges, the samples at the edge go on.
struct PlanePart<'a> {
    source: Plane<'a>,
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl PlanePart<'_> {
    fn line(&self, y: usize) -> &[u8] {
        let start = (self.y + y.min(self.height - 1)) * self.source.stride + self.x;
        &self.source.bytes[start..start + self.width]
    }
}

/// A row that is half as high already, with its samples of even and of odd place apart and two more at either end. They may lie
/// beyond what a byte holds, as the weights of some samples are negative.
struct Row {
    even: Vec<i16>,
    odd: Vec<i16>,
}

/// Samples of `Row` beyond either end.
const BEYOND: usize = 2;

impl Row {
    fn new(width: usize) -> Self {
        let padded = || vec![0; width / 2 + 2 * BEYOND];
        Self { even: padded(), odd: padded() }
    }

    /// Weighs the lines around the place between `y` and the next.
    #[inline(always)]
    fn gather(&mut self, window: &PlanePart, y: usize) {
        let before = |lines: usize| window.line(y.saturating_sub(lines));
        let after = |lines: usize| window.line(y + lines);
        let lines = [before(3), before(2), before(1), before(0), after(1), after(2), after(3), after(4)];
        let inner = BEYOND..BEYOND + window.width / 2;
        weigh_lines(lines, &mut self.even[inner.clone()], &mut self.odd[inner.clone()]);
        let (first, last) = (self.even[inner.start], self.odd[inner.end - 1]);
        for side in [&mut self.even, &mut self.odd] {
            side[..inner.start].fill(first);
            side[inner.end..].fill(last);
        }
    }

    /// Weighs the samples of each pair and its neighbours.
    #[inline(always)]
    fn narrow(&self, target: &mut [u8]) {
        let (even, odd) = (&self.even[..], &self.odd[..]);
        let around = [odd, &even[1..], &odd[1..], &even[2..], &odd[2..], &even[3..], &odd[3..], &even[4..]];
        let mut blocks = target.chunks_exact_mut(BLOCK);
        let mut start = 0;
        for target in &mut blocks {
            let around = cut(around, start, BLOCK);
            for (index, target) in target.iter_mut().enumerate() {
                *target = byte(weighed(|which| around[which][index]));
            }
            start += BLOCK;
        }
        for (index, target) in blocks.into_remainder().iter_mut().enumerate() {
            *target = byte(weighed(|which| around[which][start + index]));
        }
    }
}

/// Results that are worked out together. With a fixed number of them compilers write vector code; with twice as many it would
/// need more registers than there are.
const BLOCK: usize = 16;

#[inline(always)]
fn weigh_lines(lines: [&[u8]; 8], even: &mut [i16], odd: &mut [i16]) {
    let (mut even, mut odd) = (even.chunks_exact_mut(BLOCK), odd.chunks_exact_mut(BLOCK));
    let mut start = 0;
    for (even, odd) in (&mut even).zip(&mut odd) {
        let lines = cut(lines, start, 2 * BLOCK);
        for (index, (even, odd)) in even.iter_mut().zip(odd).enumerate() {
            *even = weighed(|line| pair(lines[line], index)[0]);
            *odd = weighed(|line| pair(lines[line], index)[1]);
        }
        start += 2 * BLOCK;
    }
    for (index, (even, odd)) in even.into_remainder().iter_mut().zip(odd.into_remainder()).enumerate() {
        *even = weighed(|line| pair(&lines[line][start..], index)[0]);
        *odd = weighed(|line| pair(&lines[line][start..], index)[1]);
    }
}

/// The part of each that begins at `start`. An array's `map` would be a call each time, as it is compiled for any processor.
#[inline(always)]
fn cut<T>(lines: [&[T]; 8], start: usize, length: usize) -> [&[T]; 8] {
    let cut = |line: usize| &lines[line][start..start + length];
    [cut(0), cut(1), cut(2), cut(3), cut(4), cut(5), cut(6), cut(7)]
}

/// Two neighbours, read as one number: vectors of those come apart by a mask and a shift.
#[inline(always)]
fn pair(line: &[u8], index: usize) -> [i16; 2] {
    let both = line[2 * index..].first_chunk().map_or(0, |pair| u16::from_le_bytes(*pair));
    #[allow(clippy::cast_possible_wrap)] // both are bytes
    [(both & 0xff) as i16, (both >> 8) as i16]
}

/// The sum of the weighted samples, in whole numbers.
#[inline(always)]
fn weighed(samples: impl Fn(usize) -> i16) -> i16 {
    let pair = |distance: usize| samples(3 - distance) + samples(4 + distance);
    let sum = WEIGHTS[0] * pair(0) + WEIGHTS[1] * pair(1) + WEIGHTS[2] * pair(2) + WEIGHTS[3] * pair(3);
    (sum + 32) >> 6
}

#[inline(always)]
fn byte(sample: i16) -> u8 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded just before
    let byte = sample.clamp(0, 255) as u8;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::noisy_picture;

    fn picture(width: u32, height: u32, sample: impl Fn(usize, usize) -> usize) -> Frame {
        let mut frame = Frame::i420(width, height).expect("a picture");
        for index in 0..3 {
            let (bytes, stride) = frame.plane_mut(index).expect("a plane");
            for (position, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::try_from(sample(position % stride, position / stride) % 256).unwrap();
            }
        }
        frame
    }

    #[test]
    fn each_sample_of_a_slope_is_the_mean_of_four() {
        let from = picture(80, 24, |x, y| x * 2 + y);
        let mut into = Frame::i420(36, 10).expect("a picture");
        halve_well(&from, Crop { x: 4, y: 2, width: 72, height: 20 }, &mut into);
        // The third row, and of it what does not lack neighbours.
        let found = |plane: Plane, width: usize| plane.bytes[2 * plane.stride..][2..width - 2].to_vec();
        let expected = |first: u8, width: u8| -> Vec<u8> { (2..width - 2).map(|index| first + 4 * index).collect() };
        // From x is 4, 5 and y is 6, 7 on: the mean of 14, 16, 15 and 17, rounded.
        assert_eq!(found(into.plane(0).expect("luma"), 36), expected(16, 36));
        // Chroma begins at half the crop's place: x is 2, 3 and y is 5, 6.
        assert_eq!(found(into.plane(1).expect("chroma"), 18), expected(11, 18));
    }

    #[test]
    fn each_sample_is_the_weighted_mean_of_eight_by_eight_to_the_edges() {
        let from = noisy_picture(92, 20);
        let mut into = Frame::i420(42, 8).expect("a picture");
        halve_well(&from, Crop { x: 4, y: 2, width: 84, height: 16 }, &mut into);
        let weights = [-1, -3, 8, 28, 28, 8, -3, -1];
        let around = |place: usize, of: usize| (0..8).map(move |tap| (2 * place + tap).saturating_sub(3).min(of - 1));
        let mean = |samples: &mut dyn Iterator<Item = i32>| {
            (samples.zip(weights).map(|(sample, weight)| sample * weight).sum::<i32>() + 32) >> 6
        };
        for (index, (width, height), (left, top)) in [(0, (84, 16), (4, 2)), (1, (42, 8), (2, 1)), (2, (42, 8), (2, 1))]
        {
            let (source, target) = (from.plane(index).unwrap(), into.plane(index).unwrap());
            let sample = |x: usize, y: usize| i32::from(source.bytes[(top + y) * source.stride + left + x]);
            for (x, y) in (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (x, y))) {
                let column = |x: usize| mean(&mut around(y, height).map(|y| sample(x, y)));
                let expected = mean(&mut around(x, width).map(column)).clamp(0, 255);
                assert_eq!(i32::from(target.bytes[y * target.stride + x]), expected, "{x}, {y} of plane {index}");
            }
        }
    }

    #[test]
    fn every_processor_gives_the_same_picture() {
        let from = picture(92, 20, |x, y| x * x * 31 + y * 97 + x * y);
        let whole = Crop { x: 0, y: 0, width: 92, height: 20 };
        let [mut plain, mut best] = [(); 2].map(|()| picture(46, 10, |_, _| 0));
        halve(&from, whole, &mut plain);
        halve_well(&from, whole, &mut best);
        (0..3).for_each(|index| assert_eq!(plain.plane(index).unwrap().bytes, best.plane(index).unwrap().bytes));
    }

    #[test]
    fn flat_pictures_stay_flat_to_their_edges_and_sharp_edges_stay_in_range() {
        let mut into = Frame::i420(16, 16).expect("a picture");
        let whole = Crop { x: 0, y: 0, width: 32, height: 32 };
        for level in [0, 16, 128, 255] {
            halve_well(&picture(32, 32, |_, _| level), whole, &mut into);
            let luma = into.plane(0).expect("luma");
            assert!((0..16).all(|y| luma.bytes[y * luma.stride..][..16].iter().all(|byte| usize::from(*byte) == level)));
        }
        halve_well(&picture(32, 32, |x, _| if x < 16 { 0 } else { 255 }), whole, &mut into);
        let luma = into.plane(0).expect("luma").bytes;
        assert_eq!((luma[6], luma[9]), (0, 255));
        assert!(luma[7] < 32 && luma[8] > 223, "{:?}", &luma[..16]);
    }
}

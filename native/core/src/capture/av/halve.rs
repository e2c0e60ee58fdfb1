// SPDX-License-Identifier: Apache-2.0
//! Halving an I420 picture in both directions by the mean of four samples.
//!
//! Conference pictures are mostly shown much smaller than they are sent. Halving them first costs a tenth of what a general
//! scaler takes for the same reduction, and is the proper filter for it.

use super::frame::Frame;
use super::scale::Crop;

/// Whether a halving leaves at least twice of what is wanted, so that the last step's filter decides how it looks, and cuts
/// off next to nothing: what is left would be stretched by it.
pub fn may_be_halved(crop: Crop, wanted: (u32, u32)) -> bool {
    let may_be = |length: u32, wanted: u32| length / 4 >= wanted && (length % 2 == 0 || length / LITTLE >= wanted);
    may_be(crop.width, wanted.0) && may_be(crop.height, wanted.1)
}

/// A sample that so many others make one of the result with is little to lose.
const LITTLE: u32 = 8;

/// The crop without the last samples that would not make a whole number when halved.
pub fn trimmed(crop: Crop) -> Crop {
    Crop { width: crop.width & !1, height: crop.height & !1, ..crop }
}

/// Halves `crop` of `from` into all of `into`, which is half as large; both are I420, the crop's size is even. Of an odd
/// number of chroma samples the last one is halved alone.
pub fn halve(from: &Frame, crop: Crop, into: &mut Frame) {
    for index in 0..3 {
        let half = u32::from(index > 0);
        let at = |value: u32| (value >> half) as usize;
        let Some(source) = from.plane(index) else { return };
        let Some((target, target_stride)) = into.plane_mut(index) else { return };
        let (width, height) = (at(crop.width), at(crop.height));
        let line = |row: usize| {
            let start = (at(crop.y) + row.min(height - 1)) * source.stride + at(crop.x);
            &source.bytes[start..start + width]
        };
        for (row, target) in target.chunks_mut(target_stride).take(height.div_ceil(2)).enumerate() {
            halve_row(line(2 * row), line(2 * row + 1), &mut target[..width.div_ceil(2)]);
        }
    }
}

/// Samples of the result that are worked out together. With a fixed number of them compilers write vector code, which takes
/// a fifth of the time.
const BLOCK: usize = 16;

fn halve_row(upper: &[u8], lower: &[u8], target: &mut [u8]) {
    let in_blocks = upper.len() / (2 * BLOCK) * BLOCK;
    let (blocks, rest) = target.split_at_mut(in_blocks);
    let sources = upper.chunks_exact(2 * BLOCK).zip(lower.chunks_exact(2 * BLOCK));
    for (target, (upper, lower)) in blocks.chunks_exact_mut(BLOCK).zip(sources) {
        let sums: [u16; BLOCK] = std::array::from_fn(|index| sum(&upper[2 * index..]) + sum(&lower[2 * index..]));
        for (target, sum) in target.iter_mut().zip(sums) {
            *target = mean(sum);
        }
    }
    let pairs = upper[2 * in_blocks..].chunks(2).zip(lower[2 * in_blocks..].chunks(2));
    for (target, (upper, lower)) in rest.iter_mut().zip(pairs) {
        *target = mean(sum(upper) + sum(lower));
    }
}

/// The sum of two neighbours, read as one number of 16 bits. The last sample of an odd number is its own neighbour.
fn sum(pair: &[u8]) -> u16 {
    let pair = u16::from_le_bytes([pair[0], *pair.get(1).unwrap_or(&pair[0])]);
    (pair & 0xff) + (pair >> 8)
}

fn mean(sum_of_four: u16) -> u8 {
    ((sum_of_four + 2) >> 2).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::noisy_picture;

    #[test]
    fn an_odd_size_is_halved_only_where_next_to_nothing_is_lost() {
        let may_be = |width, height| may_be_halved(Crop { x: 0, y: 0, width, height }, (64, 44));
        assert!(may_be(522, 360) && may_be(751, 540));
        assert!(!may_be(261, 180) && !may_be(260, 179) && !may_be(254, 180) && !may_be(256, 174));
    }

    #[test]
    fn every_even_size_is_halved_to_its_last_sample() {
        let from = noisy_picture(260, 6);
        for width in (2..=260).step_by(2) {
            let mut into = Frame::i420(width / 2, 3).expect("a picture");
            (0..3).for_each(|index| into.plane_mut(index).expect("a plane").0.fill(1));
            halve(&from, Crop { x: 0, y: 0, width, height: 6 }, &mut into);
            for index in 0..3 {
                let (source, target) = (from.plane(index).unwrap(), into.plane(index).unwrap());
                let (width, height) = if index == 0 { (width as usize, 6) } else { (width as usize / 2, 3) };
                let sample =
                    |x: usize, y: usize| u32::from(source.bytes[y.min(height - 1) * source.stride + x.min(width - 1)]);
                for (x, y) in (0..height.div_ceil(2)).flat_map(|y| (0..width.div_ceil(2)).map(move |x| (x, y))) {
                    let (left, top) = (2 * x, 2 * y);
                    let sum =
                        sample(left, top) + sample(left + 1, top) + sample(left, top + 1) + sample(left + 1, top + 1);
                    let found = u32::from(target.bytes[y * target.stride + x]);
                    assert_eq!(found, (sum + 2) / 4, "{x}, {y} of plane {index}, of a width of {width}");
                }
            }
        }
    }

    #[test]
    fn each_sample_is_the_mean_of_four() {
        let mut from = Frame::i420(80, 8).expect("a picture");
        for index in 0..3 {
            let (bytes, stride) = from.plane_mut(index).expect("a plane");
            for (position, byte) in bytes.iter_mut().enumerate() {
                let (x, y) = (position % stride, position / stride);
                *byte = u8::try_from((x * 2 + y) % 256).unwrap();
            }
        }
        // Longer than a block, so that the rest of a row is looked at, too.
        let mut into = Frame::i420(36, 2).expect("a picture");
        halve(&from, Crop { x: 4, y: 2, width: 72, height: 4 }, &mut into);
        let expected = |first: u8| -> Vec<u8> { (0..36).map(|index| first + 4 * index).collect() };
        let luma = into.plane(0).expect("luma");
        // x is 4, 5 and y is 2, 3: the mean of 10, 12, 11 and 13, rounded.
        assert_eq!(luma.bytes[..36], expected(12));
        assert_eq!(luma.bytes[luma.stride..luma.stride + 36], expected(14));
        let chroma = into.plane(1).expect("chroma");
        // Chroma begins at half the crop's place: x is 2, 3 and y is 1, 2.
        assert_eq!(chroma.bytes[..18], expected(7)[..18]);
    }
}

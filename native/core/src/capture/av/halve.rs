// SPDX-License-Identifier: Apache-2.0
//! Halving an I420 picture in both directions by the mean of four samples.
//!
//! Conference pictures are mostly shown much smaller than they are sent. Halving them first costs a tenth of what a general
//! scaler takes for the same reduction, and is the proper filter for it.

use super::frame::Frame;
use super::scale::Crop;

/// Whether the crop can be halved to the last sample, and that leaves at least twice of what is wanted, so that the last
/// step's filter decides how it looks. To cut off what is odd would stretch the rest.
pub fn may_be_halved(crop: Crop, wanted: (u32, u32)) -> bool {
    crop.width % 2 == 0 && crop.height % 2 == 0 && crop.width / 4 >= wanted.0 && crop.height / 4 >= wanted.1
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
    let mut targets = target.chunks_exact_mut(BLOCK);
    let mut uppers = upper.chunks_exact(2 * BLOCK);
    let mut lowers = lower.chunks_exact(2 * BLOCK);
    for ((target, upper), lower) in (&mut targets).zip(&mut uppers).zip(&mut lowers) {
        let sums: [u16; BLOCK] = std::array::from_fn(|index| sum(&upper[2 * index..]) + sum(&lower[2 * index..]));
        for (target, sum) in target.iter_mut().zip(sums) {
            *target = mean(sum);
        }
    }
    let rest = uppers.remainder().chunks(2).zip(lowers.remainder().chunks(2));
    for (target, (upper, lower)) in targets.into_remainder().iter_mut().zip(rest) {
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

    #[test]
    fn nothing_is_lost_of_a_size_that_four_does_not_divide() {
        let mut from = Frame::i420(70, 6).expect("a picture");
        for index in 0..3 {
            let (bytes, stride) = from.plane_mut(index).expect("a plane");
            bytes.iter_mut().enumerate().for_each(|(position, byte)| *byte = u8::try_from(position % stride).unwrap());
        }
        let mut into = Frame::i420(35, 3).expect("a picture");
        halve(&from, Crop { x: 0, y: 0, width: 70, height: 6 }, &mut into);
        let luma = into.plane(0).expect("luma");
        assert_eq!(luma.bytes[2 * luma.stride..][32..35], [65, 67, 69], "the mean of 64 and 65, rounded up, and so on");
        let chroma = into.plane(1).expect("chroma");
        assert_eq!(chroma.bytes[chroma.stride..][15..18], [31, 33, 34], "there are 35, and the last one stands alone");
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

// SPDX-License-Identifier: Apache-2.0
//! Turning and mirroring pictures, as the container or the stream says that they are to be shown.

use ffmpeg_sys_next as ffi;

use super::frame::Frame;
use super::scale::Crop;

/// One of the eight ways to lay a picture: exchange of rows and columns first, then mirroring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Turn {
    pub transposed: bool,
    pub mirrored: bool,
    pub flipped: bool,
}

/// How libav writes a display matrix: three rows of three numbers.
pub type DisplayMatrix = [i32; 9];

const ONE: i32 = 1 << 16;

impl Turn {
    pub const NONE: Self = Self { transposed: false, mirrored: false, flipped: false };

    /// The nearest of the eight; a matrix that is none of them, by far, turns nothing.
    pub fn of_matrix(matrix: &DisplayMatrix) -> Self {
        let [across, down] = [[matrix[0], matrix[3]], [matrix[1], matrix[4]]];
        let size = |value: i32| i64::from(value).abs();
        let (straight, crossed) = (size(across[0]).min(size(down[1])), size(across[1]).min(size(down[0])));
        match (straight > crossed, straight < crossed) {
            (true, _) => Self { transposed: false, mirrored: across[0] < 0, flipped: down[1] < 0 },
            (_, true) => Self { transposed: true, mirrored: across[1] < 0, flipped: down[0] < 0 },
            _ => Self::NONE,
        }
    }

    /// By so many degrees, as a clock's hands turn; what is no quarter of a turn is none.
    pub fn clockwise(degrees: u32) -> Self {
        match degrees % 360 {
            90 => Self { transposed: true, mirrored: true, flipped: false },
            180 => Self { transposed: false, mirrored: true, flipped: true },
            270 => Self { transposed: true, mirrored: false, flipped: true },
            _ => Self::NONE,
        }
    }

    pub fn matrix(self) -> DisplayMatrix {
        let [x, y] = [self.mirrored, self.flipped].map(|negative| if negative { -ONE } else { ONE });
        if self.transposed {
            [0, y, 0, x, 0, 0, 0, 0, 1 << 30]
        } else {
            [x, 0, 0, 0, y, 0, 0, 0, 1 << 30]
        }
    }

    /// What a frame says of itself.
    pub fn of(frame: &Frame) -> Self {
        let kind = ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX;
        frame.side_data(kind).and_then(matrix_of_bytes).map_or(Self::NONE, |matrix| Self::of_matrix(&matrix))
    }

    /// Width and height, or any other pair of that kind, after turning.
    pub fn pair<T>(self, (one, other): (T, T)) -> (T, T) {
        if self.transposed {
            (other, one)
        } else {
            (one, other)
        }
    }

    /// Where the part `crop` of the turned picture lies in the picture of `size` as it came. Even edges stay even where the
    /// sizes are.
    pub fn back(self, crop: Crop, size: (u32, u32)) -> Crop {
        let (width, height) = self.pair(size);
        let x = if self.mirrored { width.saturating_sub(crop.x + crop.width) & !1 } else { crop.x };
        let y = if self.flipped { height.saturating_sub(crop.y + crop.height) & !1 } else { crop.y };
        let ((x, y), (width, height)) = (self.pair((x, y)), self.pair((crop.width, crop.height)));
        Crop { x, y, width, height }
    }

    /// Turns all of `from` into `into`, which has the size that results; both are I420.
    pub fn apply(self, from: &Frame, into: &mut Frame) {
        for index in 0..3 {
            let half = u32::from(index > 0);
            let (width, height) =
                (into.width().div_ceil(1 << half) as usize, into.height().div_ceil(1 << half) as usize);
            let Some(source) = from.plane(index) else { return };
            let Some((target, stride)) = into.plane_mut(index) else { return };
            let sample = |x: usize, y: usize| {
                let x = if self.mirrored { width - 1 - x } else { x };
                let y = if self.flipped { height - 1 - y } else { y };
                let (x, y) = self.pair((x, y));
                source.bytes[y * source.stride + x]
            };
            // In small squares, so that rows of the one that are columns of the other stay in the cache.
            for top in (0..height).step_by(BLOCK) {
                for left in (0..width).step_by(BLOCK) {
                    for y in top..height.min(top + BLOCK) {
                        let row = &mut target[y * stride..][left..width.min(left + BLOCK)];
                        row.iter_mut().enumerate().for_each(|(x, byte)| *byte = sample(left + x, y));
                    }
                }
            }
        }
    }
}

const BLOCK: usize = 16;

/// A display matrix as side data carries it.
pub fn matrix_of_bytes(bytes: &[u8]) -> Option<DisplayMatrix> {
    let mut matrix = [0; 9];
    for (index, entry) in matrix.iter_mut().enumerate() {
        *entry = i32::from_ne_bytes(*bytes.get(4 * index..)?.first_chunk()?);
    }
    Some(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::noisy_picture;

    fn all() -> impl Iterator<Item = Turn> {
        (0..8).map(|bits| Turn { transposed: bits & 1 > 0, mirrored: bits & 2 > 0, flipped: bits & 4 > 0 })
    }

    #[test]
    fn a_matrix_says_which_of_the_eight_it_is_as_libav_writes_it() {
        for turn in all() {
            assert_eq!(Turn::of_matrix(&turn.matrix()), turn);
        }
        let mut matrix = [0_i32; 9];
        // SAFETY: the function writes nine numbers.
        unsafe { ffi::av_display_rotation_set(matrix.as_mut_ptr(), 90.0) };
        // Clockwise, what was the upper left is the upper right: rows become columns, mirrored.
        assert_eq!(Turn::of_matrix(&matrix), Turn { transposed: true, mirrored: true, flipped: false });
        for odd in [[0; 9], [ONE, ONE, 0, ONE, ONE, 0, 0, 0, 1 << 30], [i32::MIN; 9]] {
            assert_eq!(Turn::of_matrix(&odd), Turn::NONE);
        }
        for degrees in [0, 90, 180, 270] {
            // SAFETY: as above.
            unsafe { ffi::av_display_rotation_set(matrix.as_mut_ptr(), f64::from(degrees)) };
            assert_eq!(Turn::clockwise(degrees), Turn::of_matrix(&matrix), "{degrees}");
        }
        assert_eq!(matrix_of_bytes(&[0; 35]), None);
    }

    #[test]
    fn a_part_of_a_turned_picture_is_that_part_turned() {
        let from = noisy_picture(90, 44);
        for turn in all() {
            let (width, height) = turn.pair((90, 44));
            let mut whole = Frame::i420(width, height).expect("a picture");
            turn.apply(&from, &mut whole);
            let crop = Crop { x: 6, y: 10, width: 20, height: 30 };
            let origin = turn.back(crop, (90, 44));
            let (width, height) = turn.pair((crop.width, crop.height));
            let mut part = Frame::i420(width, height).expect("a picture");
            super::super::frame::blit(&from, (origin.x, origin.y), &mut part, (0, 0), (width, height));
            let mut turned = Frame::i420(crop.width, crop.height).expect("a picture");
            turn.apply(&part, &mut turned);
            for index in 0..3 {
                let (whole, turned) = (whole.plane(index).unwrap(), turned.plane(index).unwrap());
                let at = |value: u32| (value >> u32::from(index > 0)) as usize;
                for y in 0..at(crop.height) {
                    let expected = &whole.bytes[(at(crop.y) + y) * whole.stride + at(crop.x)..][..at(crop.width)];
                    assert_eq!(&turned.bytes[y * turned.stride..][..at(crop.width)], expected, "{turn:?}");
                }
            }
        }
    }
}

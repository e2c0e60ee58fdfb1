// SPDX-License-Identifier: Apache-2.0
//! Converting pictures into the colours of the recording, at the size at which they are shown.
//!
//! Where only matrix or range differ, the numbers are a linear function of one another. Otherwise (other primaries, high
//! dynamic range) the way leads through light, with a table for each curve. One table of three dimensions for all of it would
//! cost as much, and be wrong where the curves are steep: in dark and in saturated colours.
#![allow(clippy::inline_always)] // what is compiled for each kind of processor has to be in one piece
#![allow(clippy::needless_range_loop)] // several arrays at one index, which compilers make vectors of

use super::colour::{product, Colour, Matrix3, Range, Transfer};
use super::frame::{Frame, Plane};
use super::tone;

pub enum Conversion {
    Linear(Linear),
    Light(Box<Light>),
}

impl Conversion {
    /// What it takes to bring pictures from one to the other; nothing where they are alike.
    pub fn between(from: Colour, into: Colour) -> Option<Self> {
        if from == into {
            None
        } else if (from.primaries, from.transfer) == (into.primaries, into.transfer) {
            Some(Self::Linear(Linear::between(from, into)))
        } else {
            Some(Self::Light(Box::new(Light::between(from, into))))
        }
    }

    /// Whether it takes 10 bits a sample; else 8.
    pub fn takes_ten_bits(&self) -> bool {
        matches!(self, Self::Light(light) if light.ten_bits)
    }

    /// Converts what begins in `from` at even `at`, in 4:2:0 with as many bits as it takes, over all of `into`, which is I420.
    pub fn apply(&self, from: &Frame, at: (u32, u32), into: &mut Frame) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { apply_by_wide_vectors(self, from, at, into) };
        }
        convert(self, from, at, into);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn apply_by_wide_vectors(conversion: &Conversion, from: &Frame, at: (u32, u32), into: &mut Frame) {
    convert(conversion, from, at, into);
}

#[inline(always)]
fn convert(conversion: &Conversion, from: &Frame, at: (u32, u32), into: &mut Frame) {
    let bytes = if conversion.takes_ten_bits() { 2 } else { 1 };
    let size = (into.width() as usize, into.height() as usize);
    let window = |index: usize| {
        let half = |value: usize| if index > 0 { value.div_ceil(2) } else { value };
        let plane = from.plane_of_420(index, bytes)?;
        Some(Window { plane, x: half(at.0 as usize) * bytes, y: half(at.1 as usize), width: half(size.0) * bytes })
    };
    let (Some(luma), Some(blue), Some(red)) = (window(0), window(1), window(2)) else { return };
    let from = Windows { luma, blue, red };
    match conversion {
        Conversion::Linear(linear) => linear.convert(&from, size, into),
        Conversion::Light(light) => light.convert(&from, size, into),
    }
}

/// A part of a plane, in bytes across.
struct Window<'a> {
    plane: Plane<'a>,
    x: usize,
    y: usize,
    width: usize,
}

impl Window<'_> {
    #[inline(always)]
    fn row(&self, y: usize) -> &[u8] {
        &self.plane.bytes[(self.y + y) * self.plane.stride + self.x..][..self.width]
    }
}

struct Windows<'a> {
    luma: Window<'a>,
    blue: Window<'a>,
    red: Window<'a>,
}

/// The zero and the span of luma, and the span of the differences, whose zero is in the middle, for so many bits a sample.
fn spans(range: Range, bits: u32) -> (f64, f64, f64) {
    let unit = f64::from(1_u32 << (bits - 8));
    match range {
        Range::Limited => (16.0 * unit, 219.0 * unit, 224.0 * unit),
        Range::Full => (0.0, f64::from((1_u32 << bits) - 1), f64::from((1_u32 << bits) - 1)),
    }
}

/// Fractions in whole numbers.
const SHIFT: u32 = 14;
const HALF: i32 = 1 << (SHIFT - 1);

/// Each number as a sum of weighted ones.
pub struct Linear {
    /// Of luma itself, with what is to be added; and of the two differences, from their middle.
    luma: (i32, i32),
    by_difference: [i32; 2],
    blue: [i32; 2],
    red: [i32; 2],
}

impl Linear {
    fn between(from: Colour, into: Colour) -> Self {
        let matrix = product(into.matrix.of_rgb(), from.matrix.to_rgb());
        let ((zero, span, differences), (new_zero, new_span, new_differences)) =
            (spans(from.range, 8), spans(into.range, 8));
        #[allow(clippy::cast_possible_truncation)] // small by far
        let fixed = |value: f64| (value * f64::from(1 << SHIFT)).round() as i32;
        let row = |index: usize, span: f64| [1, 2].map(|column| fixed(matrix[index][column] * span / differences));
        let gain = new_span / span;
        Self {
            luma: (fixed(gain), fixed(new_zero - zero * gain) + HALF),
            by_difference: row(0, new_span),
            blue: row(1, new_differences),
            red: row(2, new_differences),
        }
    }

    #[inline(always)]
    fn convert(&self, from: &Windows, (width, height): (usize, usize), into: &mut Frame) {
        self.convert_luma(from, (width, height), into);
        let half_height = height.div_ceil(2);
        for (index, weights) in [(1, self.blue), (2, self.red)] {
            let Some((target, stride)) = into.plane_mut(index) else { return };
            for (y, target) in target.chunks_mut(stride).take(half_height).enumerate() {
                let (blue, red) = (from.blue.row(y), from.red.row(y));
                for ((target, blue), red) in target.iter_mut().zip(blue).zip(red) {
                    let [blue, red] = [*blue, *red].map(|byte| i32::from(byte) - 128);
                    *target = byte((blue * weights[0] + red * weights[1] + HALF) >> SHIFT, 128);
                }
            }
        }
    }

    #[inline(always)]
    fn convert_luma(&self, from: &Windows, (width, height): (usize, usize), into: &mut Frame) {
        let half_width = width.div_ceil(2);
        let mut added = vec![0_i32; 2 * half_width];
        let Some((target, stride)) = into.plane_mut(0) else { return };
        for (y, target) in target.chunks_mut(stride).take(height).enumerate() {
            if y % 2 == 0 {
                let differences = from.blue.row(y / 2).iter().zip(from.red.row(y / 2));
                for (added, (blue, red)) in added.chunks_exact_mut(2).zip(differences) {
                    let [blue, red] = [*blue, *red].map(|byte| i32::from(byte) - 128);
                    added.fill(blue * self.by_difference[0] + red * self.by_difference[1] + self.luma.1);
                }
            }
            for ((target, luma), added) in target.iter_mut().zip(from.luma.row(y)).zip(&added) {
                *target = byte((i32::from(*luma) * self.luma.0 + added) >> SHIFT, 0);
            }
        }
    }
}

#[inline(always)]
fn byte(value: i32, middle: i32) -> u8 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded just before
    let byte = (value + middle).clamp(0, 255) as u8;
    byte
}

/// Steps of the tables. Light is looked up by its root, as numbers follow it steeply where it is dark.
const STEPS: usize = 1 << 14;
const ROOTS: usize = 8192;

/// Numbers for red, green and blue whose light is looked up: colours that the source's own primaries cannot show lie beyond 0.
const LEAST: f64 = -0.25;
const MOST: f64 = 1.25;

/// How many entries of a table there are for one of what it is looked up by.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // small numbers
const PER_LUMINANCE: f32 = (STEPS - 1) as f32;
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // likewise
const PER_ROOT: f32 = (ROOTS - 1) as f32 / tone::MOST_ROOT as f32;
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // likewise
const PER_NUMBER: f32 = (STEPS - 1) as f32 / tone::MOST_NUMBER as f32;

/// Pixels that are worked out together.
const BLOCK: usize = 16;

/// Through red, green and blue light: curves are looked up, the rest is calculated.
pub struct Light {
    ten_bits: bool,
    /// Of the three numbers of a pixel to where the light of red, green and blue is found: what is added, and the weights.
    offsets: [f32; 3],
    to_rgb: [[f32; 3]; 3],
    /// Light of numbers.
    curve: Vec<f32>,
    /// Gain of all three by the luminance of the scene, and its shares, where there is such.
    gain: Option<(Vec<f32>, [f32; 3])>,
    primaries: [[f32; 3]; 3],
    /// Numbers of the recording by the root of light, and what the brightest of a pixel leaves of them.
    numbers: Vec<f32>,
    left: Vec<f32>,
    /// Of red, green and blue from 0 to 1 to the three numbers of a pixel.
    zeros: [f32; 3],
    of_rgb: [[f32; 3]; 3],
}

#[allow(clippy::cast_possible_truncation)] // tables of what has 8 bits in the end
fn single(matrix: Matrix3) -> [[f32; 3]; 3] {
    matrix.map(|row| row.map(|entry| entry as f32))
}

impl Light {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // likewise
    fn between(from: Colour, into: Colour) -> Self {
        let ten_bits = from.transfer != Transfer::Sdr;
        let (zero, span, differences) = spans(from.range, if ten_bits { 10 } else { 8 });
        let middle = if ten_bits { 512.0 } else { 128.0 };
        let full = (STEPS - 1) as f64 / (MOST - LEAST);
        let to_rgb = from
            .matrix
            .to_rgb()
            .map(|[luma, blue, red]| [luma / span * full, blue / differences * full, red / differences * full]);
        let offsets = to_rgb.map(|[luma, blue, red]| -(luma * zero + (blue + red) * middle) - LEAST * full);
        let (zero, span, differences) = spans(into.range, 8);
        let [luma, blue, red] = into.matrix.of_rgb();
        let of_rgb = [luma.map(|w| w * span), blue.map(|w| w * differences), red.map(|w| w * differences)];
        let table = |steps: usize, value: &dyn Fn(f64) -> f64| -> Vec<f32> {
            (0..steps).map(|step| value(step as f64 / (steps - 1) as f64) as f32).collect()
        };
        let shares = from.matrix.of_rgb()[0].map(|share| share as f32);
        Self {
            ten_bits,
            offsets: offsets.map(|offset| offset as f32),
            to_rgb: single(to_rgb),
            curve: table(STEPS, &|part| from.transfer.light(LEAST + part * (MOST - LEAST))),
            gain: from.transfer.has_gain().then(|| (table(STEPS, &|seen| from.transfer.gain(seen)), shares)),
            primaries: single(from.primaries.to_bt709()),
            numbers: table(ROOTS, &|root| tone::number((root * tone::MOST_ROOT).powi(2))),
            left: table(STEPS, &|number| tone::left(number * tone::MOST_NUMBER)),
            zeros: [zero as f32 + 0.5, 128.5, 128.5],
            of_rgb: single(of_rgb),
        }
    }

    #[inline(always)]
    fn convert(&self, from: &Windows, (width, height): (usize, usize), into: &mut Frame) {
        let half_width = width.div_ceil(2);
        let padded = width.div_ceil(BLOCK) * BLOCK;
        let mut lines: [Vec<[f32; BLOCK]>; 3] = std::array::from_fn(|_| vec![[0.0; BLOCK]; padded / BLOCK]);
        // Of the colours of two lines, the sums.
        let mut sums: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; padded]);
        for y in 0..height {
            if y % 2 == 0 {
                for sums in &mut sums {
                    sums.fill(0.0);
                }
            }
            self.read(from, y, width, &mut lines);
            let Some((target, stride)) = into.plane_mut(0) else { return };
            let target = &mut target[y * stride..][..width];
            for (block, target) in target.chunks_mut(BLOCK).enumerate() {
                let shown = self.shown(std::array::from_fn(|line| lines[line][block]));
                let luma = self.number(0, &shown);
                target.iter_mut().zip(luma).for_each(|(target, luma)| *target = luma);
                for (sums, shown) in sums.iter_mut().zip(shown) {
                    sums[block * BLOCK..][..BLOCK].iter_mut().zip(shown).for_each(|(sum, shown)| *sum += shown);
                }
            }
            // The last line of an odd number stands alone.
            if y % 2 == 1 || y + 1 == height {
                let lines = if y % 2 == 1 { 2.0 } else { 1.0 };
                self.put_differences(&sums, (width, lines), y / 2, half_width, into);
            }
        }
    }

    /// The numbers of a line, those of differences for each of its pixels.
    #[inline(always)]
    fn read(&self, from: &Windows, y: usize, width: usize, lines: &mut [Vec<[f32; BLOCK]>; 3]) {
        let rows = [from.luma.row(y), from.blue.row(y / 2), from.red.row(y / 2)];
        for (index, (row, line)) in rows.into_iter().zip(lines).enumerate() {
            let half = usize::from(index > 0);
            for (x, value) in line.as_flattened_mut()[..width].iter_mut().enumerate() {
                let at = x >> half;
                *value = if self.ten_bits {
                    f32::from(u16::from_ne_bytes([row[2 * at], row[2 * at + 1]]))
                } else {
                    f32::from(row[at])
                };
            }
        }
    }

    /// Red, green and blue from 0 to 1 as they are shown, of the three numbers of pixels.
    #[inline(always)]
    fn shown(&self, [luma, blue, red]: [[f32; BLOCK]; 3]) -> [[f32; BLOCK]; 3] {
        let mut light: [[f32; BLOCK]; 3] = std::array::from_fn(|channel| {
            let [of_luma, of_blue, of_red] = self.to_rgb[channel];
            std::array::from_fn(|x| {
                looked_up(&self.curve, luma[x] * of_luma + blue[x] * of_blue + red[x] * of_red + self.offsets[channel])
            })
        });
        if let Some((gains, shares)) = &self.gain {
            for x in 0..BLOCK {
                let seen: f32 = (0..3).map(|channel| light[channel][x] * shares[channel]).sum();
                let gain = looked_up(gains, seen * PER_LUMINANCE);
                (0..3).for_each(|channel| light[channel][x] *= gain);
            }
        }
        let mut shown: [[f32; BLOCK]; 3] = std::array::from_fn(|channel| {
            let [red, green, blue] = self.primaries[channel];
            std::array::from_fn(|x| light[0][x] * red + light[1][x] * green + light[2][x] * blue)
        });
        for x in 0..BLOCK {
            let within = tone::within_gamut([shown[0][x], shown[1][x], shown[2][x]]);
            let numbers = within.map(|light| looked_up(&self.numbers, light.sqrt() * PER_ROOT));
            let brightest = numbers[0].max(numbers[1]).max(numbers[2]);
            let left = looked_up(&self.left, brightest * PER_NUMBER);
            (0..3).for_each(|channel| shown[channel][x] = numbers[channel] * left);
        }
        shown
    }

    #[inline(always)]
    fn number(&self, index: usize, [red, green, blue]: &[[f32; BLOCK]; 3]) -> [u8; BLOCK] {
        let [of_red, of_green, of_blue] = self.of_rgb[index];
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded by the conversion itself
        std::array::from_fn(|x| (red[x] * of_red + green[x] * of_green + blue[x] * of_blue + self.zeros[index]) as u8)
    }

    #[inline(always)]
    fn put_differences(
        &self,
        sums: &[Vec<f32>; 3],
        (width, lines): (usize, f32),
        y: usize,
        half_width: usize,
        into: &mut Frame,
    ) {
        for index in [1, 2] {
            let Some((target, stride)) = into.plane_mut(index) else { return };
            let target = &mut target[y * stride..][..half_width];
            for (block, target) in target.chunks_mut(BLOCK).enumerate() {
                let means: [[f32; BLOCK]; 3] = std::array::from_fn(|channel| {
                    std::array::from_fn(|x| {
                        let left = 2 * (block * BLOCK + x);
                        let right = (left + 1).min(width - 1);
                        let left = left.min(width - 1);
                        (sums[channel][left] + sums[channel][right]) / (2.0 * lines)
                    })
                });
                let numbers = self.number(index, &means);
                target.iter_mut().zip(numbers).for_each(|(target, number)| *target = number);
            }
        }
    }
}

/// The entry nearest to `place`, or the last on that side.
#[inline(always)]
fn looked_up(table: &[f32], place: f32) -> f32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded by the conversion itself
    table[((place + 0.5) as usize).min(table.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::super::colour::{apply, Matrix, Primaries};
    use super::*;

    const SD: Colour =
        Colour { matrix: Matrix::Bt601, range: Range::Limited, primaries: Primaries::Bt709, transfer: Transfer::Sdr };
    const HD: Colour = Colour { matrix: Matrix::Bt709, ..SD };

    /// A picture of one colour, of an odd size.
    fn flat(yuv: [u8; 3]) -> Frame {
        let mut frame = Frame::i420(37, 5).expect("a picture");
        (0..3).for_each(|index| frame.plane_mut(index).expect("a plane").0.fill(yuv[index]));
        frame
    }

    fn converted(yuv: [u8; 3], from: Colour, into: Colour) -> [u8; 3] {
        let mut result = flat([1; 3]);
        Conversion::between(from, into).expect("they differ").apply(&flat(yuv), (0, 0), &mut result);
        std::array::from_fn(|index| {
            let plane = result.plane(index).expect("a plane");
            let (width, height) = if index == 0 { (37, 5) } else { (19, 3) };
            let rows = plane.bytes.chunks(plane.stride).take(height).flat_map(|row| &row[..width]);
            let first = plane.bytes[0];
            assert!(rows.into_iter().all(|byte| *byte == first), "all alike, to the edges");
            first
        })
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bars
    /// The nearest whole numbers for red, green and blue from 0 to 1.
    fn numbers(rgb: [f64; 3], colour: Colour) -> [u8; 3] {
        let [luma, blue, red] = apply(&colour.matrix.of_rgb(), rgb);
        let (zero, span, differences) = spans(colour.range, 8);
        [zero + luma * span, 128.0 + blue * differences, 128.0 + red * differences].map(|value| value.round() as u8)
    }

    fn assert_near(found: [u8; 3], expected: [u8; 3], tolerance: u8, what: &str) {
        let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= tolerance);
        assert!(near, "{what}: {found:?} instead of {expected:?}");
    }

    const BARS: [[f64; 3]; 9] = [
        [1.0, 1.0, 1.0],
        [0.75, 0.75, 0.75],
        [0.75, 0.75, 0.0],
        [0.0, 0.75, 0.75],
        [0.0, 0.75, 0.0],
        [0.75, 0.0, 0.75],
        [0.75, 0.0, 0.0],
        [0.0, 0.0, 0.75],
        [0.0, 0.0, 0.0],
    ];

    #[test]
    fn other_matrices_and_ranges_become_the_recordings_own() {
        for matrix in [Matrix::Bt709, Matrix::Bt601, Matrix::Bt2020, Matrix::Fcc, Matrix::Smpte240, Matrix::YCgCo] {
            for range in [Range::Limited, Range::Full] {
                let from = Colour { matrix, range, ..SD };
                for (bar, into) in BARS.iter().flat_map(|bar| [(bar, SD), (bar, HD)]).filter(|(_, into)| *into != from)
                {
                    let found = converted(numbers(*bar, from), from, into);
                    assert_near(found, numbers(*bar, into), 1, &format!("{bar:?} of {from:?}"));
                }
            }
        }
        assert!(Conversion::between(SD, SD).is_none());
    }

    #[test]
    fn grey_stays_grey_and_extremes_stay_in_range() {
        for luma in 0..=255 {
            assert_eq!(converted([luma, 128, 128], SD, HD), [luma, 128, 128]);
        }
        let full = Colour { range: Range::Full, ..SD };
        assert_eq!(converted([255, 128, 128], full, SD), [235, 128, 128]);
        assert_eq!(converted([0, 128, 128], full, HD), [16, 128, 128]);
        for yuv in [[255, 255, 255], [255, 0, 255], [0, 255, 0]] {
            converted(yuv, SD, HD);
            converted(yuv, Colour { primaries: Primaries::Bt2020, matrix: Matrix::Bt2020, ..SD }, HD);
        }
    }

    #[test]
    fn other_primaries_are_shown_in_those_of_the_recording() {
        for primaries in [Primaries::Smpte170, Primaries::Bt470Bg, Primaries::DisplayP3, Primaries::Bt2020] {
            let from = Colour { primaries, matrix: Matrix::Bt2020, ..SD };
            for bar in BARS {
                let light = apply(&primaries.to_bt709(), bar.map(|number| number.powf(2.4)));
                #[allow(clippy::cast_possible_truncation)]
                let light = tone::within_gamut(light.map(|light| light as f32)).map(f64::from);
                let brightest = tone::number(light.into_iter().fold(0.0, f64::max));
                let shown = light.map(|light| tone::number(light) * tone::left(brightest));
                let found = converted(numbers(bar, from), from, HD);
                assert_near(found, numbers(shown, HD), 2, &format!("{bar:?} of {primaries:?}"));
            }
        }
    }
}

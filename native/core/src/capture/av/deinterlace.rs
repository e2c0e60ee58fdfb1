// SPDX-License-Identifier: Apache-2.0
//! One whole picture of two fields that were taken one after the other.
//!
//! The picture is that of the moment of the first field: its lines stay, and those between are worked out. Where nothing moves
//! they are the lines of the other field, before and after; where something does, they are interpolated along the edges that
//! the lines above and below show. How much moves is told by the picture before, so nothing has to wait for the next.
//! `libavfilter` has filters for this; it would be one more library that reads what others send.
#![allow(clippy::inline_always)] // what is compiled for each kind of processor has to be in one piece

use std::ffi::c_int;

use ffmpeg_sys_next as ffi;

use super::colour::Matrix;
use super::frame::{Frame, Plane};
use super::scale::{Crop, ScaleError, Scaler};
use super::AvError;

/// Samples with more bits are brought down to this first.
const MOST_BITS: c_int = 12;

#[derive(Default)]
pub struct Deinterlacer {
    before: Option<Frame>,
    /// The last result, to be written again once nobody holds it.
    spare: Option<Frame>,
    scaler: Scaler,
}

impl Deinterlacer {
    /// The picture itself where it is progressive. Pictures come in the order of showing.
    pub fn take(&mut self, frame: Frame) -> Result<Frame, ScaleError> {
        let Some(top_first) = frame.interlaced().filter(|_| frame.height() >= 4 && !frame.is_rgb()) else {
            self.before = None;
            return Ok(frame);
        };
        let frame = self.in_planes(frame)?;
        let mut whole = self.blank_like(&frame).map_err(ScaleError::Failed)?;
        let alike = |before: &Frame| {
            let shape = |frame: &Frame| (frame.raw().format, frame.width(), frame.height());
            shape(before) == shape(&frame)
        };
        weave(&frame, self.before.as_ref().filter(|before| alike(before)), top_first, &mut whole);
        self.before = Some(frame);
        self.spare = whole.share().ok();
        Ok(whole)
    }

    fn blank_like(&mut self, frame: &Frame) -> Result<Frame, AvError> {
        let format = frame.raw().format;
        let fits = |spare: &Frame| {
            let known = (spare.raw().format, spare.width(), spare.height());
            known == (format, frame.width(), frame.height()) && spare.is_exclusive()
        };
        let mut blank = match self.spare.take().filter(fits) {
            Some(spare) => spare,
            None => frame.blank(format)?,
        };
        blank.describe_as(frame)?;
        blank.set_progressive();
        Ok(blank)
    }

    /// The same picture with a plane for each component, none of them subsampled down the lines more than it was.
    fn in_planes(&mut self, frame: Frame) -> Result<Frame, ScaleError> {
        let Some(format) = frame.format() else { return Ok(frame) };
        let components = &format.comp[..usize::from(format.nb_components)];
        let alone = |plane: c_int| components.iter().filter(|other| other.plane == plane).count() == 1;
        let foreign = if cfg!(target_endian = "big") { 0 } else { u64::from(ffi::AV_PIX_FMT_FLAG_BE as u32) };
        let whole_bytes = format.flags & (u64::from(ffi::AV_PIX_FMT_FLAG_BITSTREAM as u32) | foreign) == 0;
        let is_plain = |part: &ffi::AVComponentDescriptor| {
            alone(part.plane)
                && part.depth <= MOST_BITS
                && part.shift == 0
                && part.step == 1 + c_int::from(part.depth > 8)
        };
        if whole_bytes
            && components.iter().all(is_plain)
            && (0..components.len()).all(|index| frame.any_plane(index).is_some())
        {
            return Ok(frame);
        }
        let planar = match (format.log2_chroma_w, format.log2_chroma_h) {
            (_, 1) => ffi::AVPixelFormat::AV_PIX_FMT_YUV420P,
            (1, _) => ffi::AVPixelFormat::AV_PIX_FMT_YUV422P,
            _ => ffi::AVPixelFormat::AV_PIX_FMT_YUV444P,
        };
        let mut planes = frame.blank(planar as c_int).map_err(ScaleError::Failed)?;
        let whole = Crop { x: 0, y: 0, width: frame.width(), height: frame.height() };
        self.scaler.scale(&frame, whole, &mut planes, Matrix::Bt709)?;
        planes.describe_as(&frame).map_err(ScaleError::Failed)?;
        if frame.is_full_range() {
            planes.raw_mut().color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG;
        }
        Ok(planes)
    }
}

/// Both fields of a picture, where each comes as a picture of half of the height.
pub fn woven(upper: &Frame, lower: &Frame) -> Result<Frame, AvError> {
    let mut whole = Frame::numbered(upper.raw().format, upper.width(), 2 * upper.height())?;
    whole.describe_as(upper)?;
    for (field, first) in [(upper, 0), (lower, 1)] {
        for index in 0..4 {
            let Some(source) = field.any_plane(index) else { continue };
            let Some((target, stride)) = whole.any_plane_mut(index) else { continue };
            let length = stride.min(source.stride);
            let lines = target.chunks_mut(stride).skip(first).step_by(2).zip(source.bytes.chunks(source.stride));
            lines.for_each(|(target, source)| target[..length].copy_from_slice(&source[..length]));
        }
    }
    Ok(whole)
}

fn weave(frame: &Frame, before: Option<&Frame>, top_first: bool, whole: &mut Frame) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { weave_by_wide_vectors(frame, before, top_first, whole) };
    }
    weave_planes(frame, before, top_first, whole);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn weave_by_wide_vectors(frame: &Frame, before: Option<&Frame>, top_first: bool, whole: &mut Frame) {
    weave_planes(frame, before, top_first, whole);
}

#[inline(always)]
fn weave_planes(frame: &Frame, before: Option<&Frame>, top_first: bool, whole: &mut Frame) {
    let Some(format) = frame.format() else { return };
    for component in &format.comp[..usize::from(format.nb_components)] {
        let index = usize::try_from(component.plane).unwrap_or(0);
        let chroma = index == 1 || index == 2;
        let shift = if chroma { u32::from(format.log2_chroma_w) } else { 0 };
        let width = frame.width().div_ceil(1 << shift) as usize;
        let bytes = if component.depth > 8 { 2 } else { 1 };
        let Some(now) = frame.any_plane(index) else { return };
        let before = before.and_then(|before| before.any_plane(index));
        let Some((target, stride)) = whole.any_plane_mut(index) else { return };
        let kept = usize::from(!top_first);
        let mut lines = FieldLines::new(width, bytes);
        let count = now.bytes.len() / now.stride;
        for (y, target) in target.chunks_mut(stride).take(count).enumerate() {
            if y % 2 == kept {
                target[..width * bytes].copy_from_slice(&now.bytes[y * now.stride..][..width * bytes]);
            } else {
                lines.gather(&now, before.as_ref(), y);
                lines.work_out(before.is_some());
                lines.put(target);
            }
        }
    }
}

/// Samples beyond either end of a line, which are those at the end.
const BEYOND: usize = 3;

/// Samples that are worked out together; compilers write vector code for a fixed number of them.
const BLOCK: usize = 16;

/// The lines around one that is worked out, each as whole numbers with some samples beyond its ends.
struct FieldLines {
    width: usize,
    bytes: usize,
    now: [Vec<i16>; 5],
    before: [Vec<i16>; 5],
    result: Vec<i16>,
}

impl FieldLines {
    fn new(width: usize, bytes: usize) -> Self {
        let padded = width.div_ceil(BLOCK) * BLOCK + 2 * BEYOND;
        let lines = || std::array::from_fn(|_| vec![0; padded]);
        Self { width, bytes, now: lines(), before: lines(), result: vec![0; padded] }
    }

    /// Reads two lines above `y`, `y` itself, and two below. At the edge the nearest line of the same field stands in.
    #[inline(always)]
    fn gather(&mut self, now: &Plane, before: Option<&Plane>, y: usize) {
        let (width, bytes) = (self.width, self.bytes);
        let count = now.bytes.len() / now.stride;
        let line = |offset: usize| {
            let wanted = (y + offset).checked_sub(2);
            let inside = |line: &usize| *line < count;
            wanted.filter(inside).unwrap_or_else(|| match offset {
                0 | 4 => y,
                1 => y + 1,
                _ => y - 1,
            })
        };
        for offset in 0..5 {
            read(now, line(offset), width, bytes, &mut self.now[offset]);
            if let Some(before) = before {
                read(before, line(offset), width, bytes, &mut self.before[offset]);
            }
        }
    }

    #[inline(always)]
    fn work_out(&mut self, knows_before: bool) {
        let Self { now, before, result, .. } = self;
        let mut start = 0;
        while start + BLOCK + 2 * BEYOND <= result.len() {
            let cut = |line: &[i16], shift: usize| -> [i16; BLOCK] {
                line[start + shift..].first_chunk().copied().unwrap_or([0; BLOCK])
            };
            let along: [[[i16; BLOCK]; 2]; 7] = std::array::from_fn(|shift| [cut(&now[1], shift), cut(&now[3], shift)]);
            let at =
                |lines: &[Vec<i16>; 5]| -> [[i16; BLOCK]; 5] { std::array::from_fn(|line| cut(&lines[line], BEYOND)) };
            let mut block = along_edges(&along);
            if knows_before {
                keep_what_rests(&mut block, &at(now), &at(before));
            }
            result[start + BEYOND..][..BLOCK].copy_from_slice(&block);
            start += BLOCK;
        }
    }

    #[inline(always)]
    fn put(&self, target: &mut [u8]) {
        let result = &self.result[BEYOND..][..self.width];
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between samples that were there
        if self.bytes == 1 {
            target.iter_mut().zip(result).for_each(|(target, value)| *target = *value as u8);
        } else {
            target
                .chunks_exact_mut(2)
                .zip(result)
                .for_each(|(target, value)| target.copy_from_slice(&value.to_ne_bytes()));
        }
    }
}

#[inline(always)]
fn read(plane: &Plane, line: usize, width: usize, bytes: usize, into: &mut [i16]) {
    let row = &plane.bytes[line * plane.stride..][..width * bytes];
    let inner = &mut into[BEYOND..][..width];
    if bytes == 1 {
        inner.iter_mut().zip(row).for_each(|(value, byte)| *value = i16::from(*byte));
    } else {
        let samples = row.chunks_exact(2).map(|pair| i16::from_ne_bytes([pair[0], pair[1]]) & ((1 << MOST_BITS) - 1));
        inner.iter_mut().zip(samples).for_each(|(value, sample)| *value = sample);
    }
    let (first, last) = (into[BEYOND], into[BEYOND + width - 1]);
    into[..BEYOND].fill(first);
    into[BEYOND + width..].fill(last);
}

/// The mean of a sample above and one below, which lie opposite each other along the direction in which the lines are most
/// alike. `along` are both lines, shifted by 0 to 6 samples.
#[inline(always)]
fn along_edges(along: &[[[i16; BLOCK]; 2]; 7]) -> [i16; BLOCK] {
    let mut result = [0; BLOCK];
    for (x, result) in result.iter_mut().enumerate() {
        let apart = |above: usize, below: usize| (along[above][0][x] - along[below][1][x]).abs();
        let unlike = |lean: usize| {
            let (above, below) = (lean, 6 - lean);
            apart(above - 1, below - 1) + apart(above, below) + apart(above + 1, below + 1)
        };
        let mean = |lean: usize| (along[lean][0][x] + along[6 - lean][1][x]) >> 1;
        // Straight down is taken unless another is better by more than noise; far to a side only beyond what is near to it.
        let (mut least, mut best) = (unlike(3) - 1, mean(3));
        for [near, far] in [[2, 1], [4, 5]] {
            let better = unlike(near) < least;
            (least, best) = if better { (unlike(near), mean(near)) } else { (least, best) };
            let better = better & (unlike(far) < least);
            (least, best) = if better { (unlike(far), mean(far)) } else { (least, best) };
        }
        *result = best;
    }
    result
}

/// Holds each sample to what the other field has there before and after, as far as nothing moves. `now` and `before` are five
/// lines each.
#[inline(always)]
fn keep_what_rests(result: &mut [i16; BLOCK], now: &[[i16; BLOCK]; 5], before: &[[i16; BLOCK]; 5]) {
    for (x, result) in result.iter_mut().enumerate() {
        let change = |line: usize| (now[line][x] - before[line][x]).abs();
        let rest = |line: usize| (now[line][x] + before[line][x]) >> 1;
        let (above, below, middle) = (now[1][x], now[3][x], rest(2));
        let moves = (change(2) >> 1).max((change(1) + change(3)) >> 1);
        // Where lines stand out from those of the other field on the same side, one after the other, they are no detail.
        let (upper, lower) = (rest(0) - above, rest(4) - below);
        let out = (middle - above).min(middle - below).min(upper.max(lower));
        let sunk = (above - middle).min(below - middle).min((-upper).max(-lower));
        let moves = moves.max(out).max(sunk);
        *result = (*result).max(middle - moves).min(middle + moves);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Scaling a part of a picture, of any pixel format, into a picture of a wanted size, I420 mostly.
//!
//! Numbers keep what they mean: no range and no matrix is converted here (`convert.rs`), but red, green and blue become
//! luma and differences.

use std::ffi::{c_int, CStr};
use std::fmt;
use std::ptr::{self, NonNull};

use ffmpeg_sys_next as ffi;

use super::colour::Matrix;
use super::frame::{blit, Frame};
use super::half_band::halve_well;
use super::halve::{halve, may_be_halved, trimmed};
use super::AvError;

/// The part of a source picture that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Why a participant's picture cannot be brought into the form of the canvas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScaleError {
    /// There is nothing that reads pixels of this format.
    Format(String),
    Failed(AvError),
}

impl fmt::Display for ScaleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(name) => write!(f, "pixels of the format {name} cannot be converted"),
            Self::Failed(error) => write!(f, "a picture could not be scaled: {error}"),
        }
    }
}

#[derive(PartialEq, Eq)]
struct ScaleShape {
    from: (c_int, u32, u32),
    into: (c_int, u32, u32),
    matrix: c_int,
}

/// A scaler that keeps its tables as long as the shapes stay the same.
///
/// Pictures that are many times too large are halved first, which costs a tenth of a general filter. The rest of the way,
/// at least the last halving, is left to libswscale's bicubic filter: after it, nobody can tell that there was another.
#[derive(Default)]
pub struct Scaler {
    context: Option<NonNull<ffi::SwsContext>>,
    shape: Option<ScaleShape>,
    halves: Vec<Frame>,
}

// SAFETY: a scaling context may be used from any one thread at a time.
unsafe impl Send for Scaler {}

impl Scaler {
    /// Scales `crop` of `from` over all of `into`, which must be exclusive. What is red, green and blue becomes what `matrix`
    /// makes of it.
    pub fn scale(&mut self, from: &Frame, crop: Crop, into: &mut Frame, matrix: Matrix) -> Result<(), ScaleError> {
        is_readable(from)?;
        if !from.is_i420() || !into.is_i420() {
            return self.convert(from, crop, into, matrix).map_err(ScaleError::Failed);
        }
        let mut halves = std::mem::take(&mut self.halves);
        let (steps, rest) =
            halve_down(from, crop, (into.width(), into.height()), &mut halves).map_err(ScaleError::Failed)?;
        let start = halves[..steps].last().unwrap_or(from);
        let done = if (rest.width, rest.height) == (into.width(), into.height()) {
            blit(start, (rest.x, rest.y), into, (0, 0), (rest.width, rest.height));
            Ok(())
        } else if (rest.width, rest.height) == (2 * into.width(), 2 * into.height()) {
            halve_well(start, rest, into);
            Ok(())
        } else {
            self.convert(start, rest, into, matrix).map_err(ScaleError::Failed)
        };
        self.halves = halves;
        done
    }

    /// Any size and format, by libswscale.
    fn convert(&mut self, from: &Frame, crop: Crop, into: &mut Frame, matrix: Matrix) -> Result<(), AvError> {
        let shape = ScaleShape {
            from: (from.plain_format(), crop.width, crop.height),
            into: (into.plain_format(), into.width(), into.height()),
            matrix: matrix.for_scaler(),
        };
        let context = self.context_for(shape)?;
        let (data, strides) = cropped_planes(from, crop)?;
        let target = into.raw_mut();
        // SAFETY: the pointers address the crop inside `from` and all of `into`; sizes are those the context was made for.
        let rows = unsafe {
            ffi::sws_scale(
                context.as_ptr(),
                data.as_ptr(),
                strides.as_ptr(),
                0,
                c_int::try_from(crop.height).unwrap_or(0),
                target.data.as_ptr(),
                target.linesize.as_ptr(),
            )
        };
        AvError::check(rows).map(drop)
    }

    /// The context for a shape, kept from the last time if it was the same.
    fn context_for(&mut self, shape: ScaleShape) -> Result<NonNull<ffi::SwsContext>, AvError> {
        if let (Some(context), Some(known)) = (self.context, &self.shape) {
            if *known == shape {
                return Ok(context);
            }
        }
        self.release();
        let int = |value: u32| c_int::try_from(value).unwrap_or(0);
        // SAFETY: the formats come from frames, so they are libav's; other arguments are plain numbers. The tables come from
        // the library itself, and null is handled.
        let context = unsafe {
            let format = |number| std::mem::transmute::<c_int, ffi::AVPixelFormat>(number);
            let context = ffi::sws_getContext(
                int(shape.from.1),
                int(shape.from.2),
                format(shape.from.0),
                int(shape.into.1),
                int(shape.into.2),
                format(shape.into.0),
                (ffi::SWS_BICUBIC | ffi::SWS_ACCURATE_RND) as c_int,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            let context = NonNull::new(context).ok_or(AvError(ffi::AVERROR(ffi::EINVAL)))?;
            let table = ffi::sws_getCoefficients(shape.matrix);
            ffi::sws_setColorspaceDetails(context.as_ptr(), table, 0, table, 0, 0, 1 << 16, 1 << 16);
            context
        };
        self.context = Some(context);
        self.shape = Some(shape);
        Ok(context)
    }

    fn release(&mut self) {
        self.shape = None;
        if let Some(context) = self.context.take() {
            // SAFETY: the context is owned by this value and not used afterwards.
            unsafe { ffi::sws_freeContext(context.as_ptr()) };
        }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether libswscale reads the picture's format at all.
pub fn is_readable(frame: &Frame) -> Result<(), ScaleError> {
    let format = frame.raw().format;
    if frame.is_i420() {
        return Ok(());
    }
    // SAFETY: the format comes from a decoded frame, so it is one of libav's; the name is static, or null.
    unsafe {
        let format = std::mem::transmute::<c_int, ffi::AVPixelFormat>(format);
        if ffi::sws_isSupportedInput(format) != 0 {
            return Ok(());
        }
        let name = ffi::av_get_pix_fmt_name(format);
        let name = if name.is_null() { "unknown".into() } else { CStr::from_ptr(name).to_string_lossy() };
        Err(ScaleError::Format(name.into_owned()))
    }
}

/// Halves as often as that leaves twice of what is wanted and loses next to nothing, into pictures that are kept for the next
/// time. Returns how many were used, and the part of the last one (or of `from`) that is left to be scaled.
fn halve_down(from: &Frame, crop: Crop, wanted: (u32, u32), halves: &mut Vec<Frame>) -> Result<(usize, Crop), AvError> {
    let (mut crop, mut steps) = (crop, 0);
    while from.is_i420() && may_be_halved(crop, wanted) {
        let whole = trimmed(crop);
        let (width, height) = (whole.width / 2, whole.height / 2);
        if halves.get(steps).is_none_or(|half| (half.width(), half.height()) != (width, height)) {
            halves.truncate(steps);
            halves.push(Frame::i420(width, height)?);
        }
        let (before, after) = halves.split_at_mut(steps);
        halve(before.last().unwrap_or(from), whole, &mut after[0]);
        crop = Crop { x: 0, y: 0, width, height };
        steps += 1;
    }
    Ok((steps, crop))
}

/// Pointers to the first sample of the crop in each plane. Crops of formats that do not pack whole bytes start at 0.
fn cropped_planes(from: &Frame, crop: Crop) -> Result<([*const u8; 4], [c_int; 4]), AvError> {
    let raw = from.raw();
    let descriptor = from.format().ok_or(AvError(ffi::AVERROR(ffi::EINVAL)))?;
    let mut data = [ptr::null::<u8>(); 4];
    let mut strides = [0; 4];
    for component in &descriptor.comp[..usize::from(descriptor.nb_components)] {
        let plane = usize::try_from(component.plane).unwrap_or(0).min(3);
        if !data[plane].is_null() || raw.data[plane].is_null() {
            continue;
        }
        let chroma = plane == 1 || plane == 2;
        let (x_shift, y_shift) = if chroma { (descriptor.log2_chroma_w, descriptor.log2_chroma_h) } else { (0, 0) };
        let step = isize::try_from(component.step).unwrap_or(0);
        let signed = |value: u32| isize::try_from(value).unwrap_or(0);
        let bitstream = descriptor.flags & u64::from(ffi::AV_PIX_FMT_FLAG_BITSTREAM as u32) != 0;
        let x = if bitstream { 0 } else { signed(crop.x >> x_shift) * step };
        let y = signed(crop.y >> y_shift) * isize::try_from(raw.linesize[plane]).unwrap_or(0);
        strides[plane] = raw.linesize[plane];
        // SAFETY: the crop lies inside the picture, so the offset stays inside this plane.
        data[plane] = unsafe { raw.data[plane].offset(y + x) };
    }
    // Palettes travel in the second plane, which no component names.
    if data[1].is_null() && !raw.data[1].is_null() {
        data[1] = raw.data[1];
        strides[1] = raw.linesize[1];
    }
    Ok((data, strides))
}

#[cfg(test)]
mod tests {
    use ffi::AVPixelFormat::*;

    use super::*;

    #[test]
    fn pixels_that_nothing_reads_are_refused_by_name_and_common_ones_are_read() {
        for (format, name) in
            [(AV_PIX_FMT_UYYVYY411, "uyyvyy411"), (AV_PIX_FMT_NV16, "nv16"), (AV_PIX_FMT_NV20LE, "nv20le")]
        {
            let picture = Frame::picture(format, 32, 32).expect("a picture");
            let mut into = Frame::i420(16, 16).expect("a picture");
            let whole = Crop { x: 0, y: 0, width: 32, height: 32 };
            let refused = Scaler::default().scale(&picture, whole, &mut into, Matrix::Bt709);
            assert_eq!(refused, Err(ScaleError::Format(name.to_owned())));
        }
        for format in [AV_PIX_FMT_YUV444P10LE, AV_PIX_FMT_NV12, AV_PIX_FMT_RGB24, AV_PIX_FMT_GRAY8, AV_PIX_FMT_YUVA420P]
        {
            assert_eq!(is_readable(&Frame::picture(format, 32, 32).expect("a picture")), Ok(()));
        }
    }
}

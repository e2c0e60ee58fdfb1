// SPDX-License-Identifier: Apache-2.0
//! What is known of a compressed stream without decoding it.

use std::ffi::c_int;
use std::ptr::NonNull;

use ffmpeg_sys_next as ffi;

use super::AvError;

pub struct Parameters(NonNull<ffi::AVCodecParameters>);

// SAFETY: parameters are plain data without thread affinity; every change needs `&mut`.
unsafe impl Send for Parameters {}
// SAFETY: shared references only read.
unsafe impl Sync for Parameters {}

impl Parameters {
    /// A copy of these parameters.
    ///
    /// # Safety
    /// `original` must point to valid parameters.
    pub unsafe fn copied(original: *const ffi::AVCodecParameters) -> Result<Self, AvError> {
        // SAFETY: allocates; null is handled. The caller vouches for `original`.
        unsafe {
            let copy = NonNull::new(ffi::avcodec_parameters_alloc()).map(Self).ok_or(AvError::OUT_OF_MEMORY)?;
            AvError::check(ffi::avcodec_parameters_copy(copy.0.as_ptr(), original))?;
            // What the container calls the codec says nothing in another container.
            (*copy.0.as_ptr()).codec_tag = 0;
            Ok(copy)
        }
    }

    pub fn share(&self) -> Result<Self, AvError> {
        // SAFETY: the parameters are valid.
        unsafe { Self::copied(self.as_ptr()) }
    }

    pub fn raw(&self) -> &ffi::AVCodecParameters {
        // SAFETY: non-null and alive as long as self.
        unsafe { self.0.as_ref() }
    }

    pub fn as_ptr(&self) -> *const ffi::AVCodecParameters {
        self.0.as_ptr()
    }

    pub fn codec(&self) -> ffi::AVCodecID {
        self.raw().codec_id
    }

    /// The name libav has for the codec.
    pub fn codec_name(&self) -> String {
        // SAFETY: the function returns a static C string for any number.
        unsafe { std::ffi::CStr::from_ptr(ffi::avcodec_get_name(self.codec())) }.to_string_lossy().into_owned()
    }

    /// The container's own number for the codec.
    pub fn tag(&self) -> u32 {
        self.raw().codec_tag
    }

    /// The decoder's configuration, as the container carries it.
    pub fn extradata(&self) -> &[u8] {
        extradata(self.raw())
    }

    pub fn set_sample_rate(&mut self, rate: u32) {
        // SAFETY: non-null, alive as long as self, and borrowed exclusively.
        unsafe { self.0.as_mut() }.sample_rate = c_int::try_from(rate).unwrap_or(0);
    }

    pub fn set_extradata(&mut self, bytes: &[u8]) -> Result<(), AvError> {
        let padding = usize::try_from(ffi::AV_INPUT_BUFFER_PADDING_SIZE).unwrap_or(64);
        let size = c_int::try_from(bytes.len()).map_err(|_| AvError(ffi::AVERROR(ffi::EINVAL)))?;
        // SAFETY: the old buffer is libav's to free, null included; the new one has room for the bytes and the padding.
        unsafe {
            let raw = self.0.as_ptr();
            ffi::av_freep((&raw mut (*raw).extradata).cast());
            (*raw).extradata_size = 0;
            let copy = ffi::av_mallocz(bytes.len() + padding).cast::<u8>();
            if copy.is_null() {
                return Err(AvError::OUT_OF_MEMORY);
            }
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
            (*raw).extradata = copy;
            (*raw).extradata_size = size;
        }
        Ok(())
    }
}

/// The decoder's configuration in these parameters.
pub fn extradata(parameters: &ffi::AVCodecParameters) -> &[u8] {
    match usize::try_from(parameters.extradata_size) {
        // SAFETY: the parameters own so many bytes there.
        Ok(length) if !parameters.extradata.is_null() => unsafe {
            std::slice::from_raw_parts(parameters.extradata, length)
        },
        _ => &[],
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        let mut parameters = self.0.as_ptr();
        // SAFETY: the parameters are owned by this value and not used afterwards.
        unsafe { ffi::avcodec_parameters_free(&raw mut parameters) };
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Looks into what has been opened before libav reads it, and puts it back: everything that was read stays in the input's
//! buffer, which is made large enough before.

use std::ffi::c_int;
use std::slice;

use ffmpeg_sys_next as ffi;

use crate::capture::av::AvError;

/// libav reads so much at once, where there is room for it behind what it has.
const READ: usize = 32 << 10;

/// An opened input of which nothing was read yet.
pub struct Peek(*mut ffi::AVIOContext);

impl Peek {
    /// # Safety
    /// `io` must be an opened input, and be left alone while this lives.
    pub unsafe fn new(io: *mut ffi::AVIOContext) -> Self {
        Self(io)
    }

    /// The first bytes, as many as there are up to `most`; libav will read them again.
    pub fn beginning(&mut self, most: usize) -> Result<&[u8], AvError> {
        self.make_room(most + 2 * READ)?;
        let mut scratch = [0_u8; 4096];
        let mut length = 0;
        while length < most {
            let wanted = scratch.len().min(most - length);
            // SAFETY: the input is open and the array has room for what is wanted.
            let read =
                unsafe { ffi::avio_read_partial(self.0, scratch.as_mut_ptr(), c_int::try_from(wanted).unwrap_or(0)) };
            match AvError::check(read) {
                Ok(0) | Err(AvError::END_OF_FILE) => break,
                Ok(read) => length += usize::try_from(read).unwrap_or(0),
                Err(error) => return Err(error),
            }
        }
        // SAFETY: nothing has left the buffer, so that this moves a pointer alone; the buffer holds what was read.
        unsafe {
            let back = ffi::avio_seek(self.0, 0, ffi::SEEK_SET as c_int);
            AvError::check(c_int::try_from(back).unwrap_or(ffi::AVERROR(ffi::EIO)))?;
            let io = &*self.0;
            let held = usize::try_from(io.buf_end.offset_from(io.buffer)).unwrap_or(0);
            Ok(slice::from_raw_parts(io.buffer, held.min(length)))
        }
    }

    /// Has libav read this text instead, where all there was has been looked at.
    pub fn replace(&mut self, text: &[u8]) -> Result<(), AvError> {
        self.make_room(text.len() + 2 * READ)?;
        // SAFETY: the buffer has room for the text, whatever it held is given up, and no pointer of the input lies behind it.
        unsafe {
            let io = &mut *self.0;
            std::ptr::copy_nonoverlapping(text.as_ptr(), io.buffer, text.len());
            io.buf_ptr = io.buffer;
            io.buf_end = io.buffer.add(text.len());
            io.pos = i64::try_from(text.len()).unwrap_or(i64::MAX);
        }
        Ok(())
    }

    /// Moves what the input holds into a buffer of at least this size.
    fn make_room(&mut self, size: usize) -> Result<(), AvError> {
        // SAFETY: the buffer belongs to the input, which was allocated by libav as the new one is; all pointers into it move
        // with it.
        unsafe {
            let io = &mut *self.0;
            if usize::try_from(io.buffer_size).unwrap_or(0) >= size {
                return Ok(());
            }
            let larger = ffi::av_malloc(size).cast::<u8>();
            if larger.is_null() {
                return Err(AvError::OUT_OF_MEMORY);
            }
            let (held, at) = (io.buf_end.offset_from(io.buffer), io.buf_ptr.offset_from(io.buffer));
            std::ptr::copy_nonoverlapping(io.buffer, larger, usize::try_from(held).unwrap_or(0));
            ffi::av_free(io.buffer.cast());
            io.buffer = larger;
            io.buf_ptr = larger.offset(at);
            io.buf_end = larger.offset(held);
            io.buffer_size = c_int::try_from(size).unwrap_or(c_int::MAX);
        }
        Ok(())
    }
}

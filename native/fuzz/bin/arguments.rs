// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

// The core's C functions are called from C++ alone.
use cloud_recording_core as _;

extern "C" {
    /// Of abi/tests/arguments.cpp.
    fn cloud_recording_try_arguments(data: *const u8, size: usize);
}

fuzz_target!(|data: &[u8]| {
    // SAFETY: the bytes are valid during the call.
    unsafe { cloud_recording_try_arguments(data.as_ptr(), data.len()) }
});

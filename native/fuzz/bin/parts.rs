// SPDX-License-Identifier: Apache-2.0
#![no_main]
#![allow(dead_code)] // of the targets that they share, each program uses one

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::parts::run(data));

// SPDX-License-Identifier: Apache-2.0
//! The recorder's core: captures a channel, cuts it into slices and delivers them to a bucket.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::pedantic)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
// The crate is the inside of one shared library: its errors are explained where they are made.
#![allow(clippy::missing_errors_doc)]

mod broken_pipe;
pub mod capture;
pub mod catalog;
mod causes;
pub mod config;
mod durable;
pub mod error;
mod ffi;
mod livekit;
mod locked;
pub mod log;
pub mod mp4;
pub mod names;
pub mod panics;
pub mod recorder;
pub mod storage;
#[cfg(test)]
mod test_support;
mod tls;

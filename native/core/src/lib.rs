// SPDX-License-Identifier: Apache-2.0
//! The recorder's core: captures a channel, cuts it into slices and delivers them to a bucket.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::pedantic)]

pub mod capture;
pub mod error;

// SPDX-License-Identifier: Apache-2.0
//! Capture: live sources in, closed TS slices out.

pub mod api;

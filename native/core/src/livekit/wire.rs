// SPDX-License-Identifier: Apache-2.0
//! The messages of the client library, as far as they are spoken: made by build.rs of `livekit/livekit_ffi.fds`.
#![allow(clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/livekit.proto.rs"));

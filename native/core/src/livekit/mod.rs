// SPDX-License-Identifier: Apache-2.0
//! LiveKit's own client library, `liblivekit_ffi.so`: loaded when a room is recorded for the first time, spoken to by
//! messages in protobuf, never unloaded.
//!
//! `wire` are the messages; `library` sends them, and hands what comes back to whom it is for; `client` is one connection
//! to one room; `token` is what lets somebody into it.

pub mod client;
mod event;
mod library;
pub mod token;
#[allow(dead_code)]
mod wire;

pub use event::{Attendee, Publication, RoomEvent, RoomNews, RoomPicture, RoomSound, SubscribedTrack};
pub use library::{ClientLibrary, LibraryAbsent};
pub use wire::{DisconnectReason, EncryptionState, InboundRtpStreamStats, ParticipantKind, TrackSource, VideoRotation};

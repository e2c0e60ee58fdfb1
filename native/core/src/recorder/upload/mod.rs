// SPDX-License-Identifier: Apache-2.0
//! Bringing a recording's files into its bucket, and into the backup store while the bucket fails.
//!
//! - `uploader`: the loop for the bucket: slices, playlist, MP4, manifest; what is tried again, and what is told of it.
//!   What is told is a `machine::UploadEvent`, of which the state machine makes callbacks and the snapshot's `storage`.
//! - `error`: whom an error of an upload may end.
//! - `retry`: the pauses between attempts.
//! - `refusals`: what the bucket does not take at present, by kind of file.
//! - `queue`: which slices go where next.
//! - `slice_puts`: several slices under way at once.
//! - `slice_store`: the recording's files on the work volume, and the catalog about them.
//! - `text_put`: what is no media, and may be there already where nothing is put twice.
//! - `playlist_schedule`: when the live playlist is put again.
//! - `mp4_upload`: the MP4, once every slice is in the bucket.
//! - `backup_uploader`, `backup_restore`: into the backup store, and home again.
//! - `relocation`: another bucket, before the first has anything.
//! - `progress`: how much is in the bucket, in percent.
//! - `probe_cleanup`: removes what the bucket's trial left of an empty recording.

pub mod backup_restore;
pub mod backup_uploader;
pub mod error;
pub mod mp4_upload;
mod playlist_schedule;
pub mod probe_cleanup;
pub mod progress;
pub mod queue;
mod refusals;
pub mod relocation;
pub mod retry;
pub mod slice_puts;
pub mod slice_store;
pub mod text_put;
pub mod uploader;

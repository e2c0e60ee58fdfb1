// SPDX-License-Identifier: Apache-2.0
//! The bucket: where it is, how it is opened, putting files into it verified, and what its refusals mean.
//!
//! - `vendor`: the vendors of the interface: regions, and where their buckets answer.
//! - `target`: where a recording's files go: the bucket and how it is reached, without keys.
//! - `credentials`: the bucket's keys, read anew for every request.
//! - `client`: the HTTP client underneath: whom it trusts, and what answers say.
//! - `store`: putting a file and getting one; one attempt a call.
//! - `multipart`: a large file, in parts.
//! - `local_file`: the file that is put.
//! - `proof`: what an answer proves of the content that a store holds.
//! - `failure`: what an answer or an error means: its cause, and the sentences for people.

pub mod client;
pub mod credentials;
pub mod failure;
pub mod local_file;
pub mod multipart;
pub mod proof;
pub mod store;
pub mod target;
pub mod vendor;

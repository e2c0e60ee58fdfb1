// SPDX-License-Identifier: Apache-2.0
//! The bucket: where it is, how it is opened, putting files into it verified, and what its refusals mean.

pub mod client;
pub mod credentials;
pub mod failure;
pub mod multipart;
pub mod proof;
pub mod store;
pub mod target;
pub mod vendor;

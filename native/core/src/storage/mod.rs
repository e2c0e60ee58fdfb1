// SPDX-License-Identifier: Apache-2.0
//! Stores: where they are, how they are opened, putting files into them verified, and what their refusals mean.
//!
//! - `store`: the trait that all have, and all that the rest of the recorder knows of one; opening the one of a target.
//! - `bucket`: a bucket, whatever it speaks.
//! - `s3`: a bucket that speaks S3.
//! - `google`: a bucket of Google Cloud Storage.
//! - `azure`: a container of Azure Blob Storage.
//! - `directory`: a directory of this machine's.
//! - `vendor`: the vendors of the interface: regions, and where their buckets answer.
//! - `target`: where a recording's files go: the store and how it is reached, without keys.
//! - `credentials`: the bucket's keys, read anew for every request.
//! - `identity`: keys that are given out to whoever this process is.
//! - `azure_identity`: the same of Azure.
//! - `google_identity`: the same of Google.
//! - `service_account`: a Google service account's key, likewise.
//! - `azure_account`: an Azure storage account's key or shared access signature, likewise.
//! - `client`: the HTTP client underneath: whom it trusts, and what answers say.
//! - `proxy`: the HTTP proxy that a store is reached through, and what its failures look like.
//! - `multipart`: a large file into a bucket, in parts.
//! - `local_file`: the file that is put.
//! - `read_back`: reading back what was put.
//! - `request_text`: what can stand in a request at all.
//! - `proof`: what an answer proves of the content that a store holds.
//! - `failure`: what an answer or an error means: its cause, and the sentences for people.
//! - `azure_refusal`: the same of Azure's answers.

pub mod azure;
pub mod azure_account;
pub mod azure_identity;
pub mod azure_refusal;
pub mod bucket;
pub mod client;
pub mod credentials;
pub mod directory;
pub mod failure;
pub mod google;
pub mod google_identity;
pub mod identity;
pub mod local_file;
pub mod multipart;
pub mod proof;
pub mod proxy;
pub mod read_back;
pub mod request_text;
pub mod s3;
pub mod service_account;
pub mod store;
pub mod target;
pub mod vendor;

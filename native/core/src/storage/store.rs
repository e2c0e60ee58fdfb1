// SPDX-License-Identifier: Apache-2.0
//! Puts files into a store and gets them from it. One attempt a call; whoever calls decides when to try again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path as Key;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt as _, PutOptions, RetryConfig, TagSet};

use crate::config::Encryption;
use crate::storage::client;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{Cause, Failure};
use crate::storage::target::Target;

/// An attempt may take this long, and a second more for every so many bytes.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Slice,
    Playlist,
    Manifest,
    Film,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Slice => "video/MP2T",
            Self::Playlist => "application/x-mpegURL",
            Self::Manifest => "application/json",
            Self::Film => "video/mp4",
        }
    }
}

pub struct Store {
    pub(super) bucket: AmazonS3,
    target: Target,
}

impl Store {
    pub fn new(target: Target, credentials: Credentials) -> Result<Self, Failure> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(target.url())
            .with_region(&target.region)
            .with_bucket_name(&target.bucket)
            .with_virtual_hosted_style_request(!target.path_style)
            .with_allow_http(true)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(once)
            .with_credentials(Arc::new(credentials))
            .with_http_connector(client::connector(target.ca_file.as_deref())?);
        builder = match &target.encryption {
            Some(Encryption::Bucket {}) => builder.with_config(encryption_key()?, "AES256"),
            Some(Encryption::Kms { key_id }) => builder.with_sse_kms_encryption(key_id),
            None => builder,
        };
        let bucket = builder.build().map_err(|error| Failure::new(Cause::Setup, error.to_string()))?;
        Ok(Self { bucket, target })
    }

    /// Returns once the bucket has said that it holds the file, and proved it.
    pub async fn put(&self, name: &str, kind: Kind, content: Bytes, md5: &str) -> Result<(), Failure> {
        let key = self.key(name)?;
        let bytes = content.len() as u64;
        let put = async {
            let put = self.bucket.put_opts(&key, content.into(), self.options(kind));
            put.await.map_err(|error| Failure::from_error(&error))
        };
        let answer = in_time(bytes, put).await?;
        match answer.e_tag.as_deref().map(|tag| tag.trim_matches('"')) {
            Some(tag) if is_md5(tag) && self.tag_is_md5() && !tag.eq_ignore_ascii_case(md5) => {
                Err(Failure::new(Cause::Unverified, format!("the bucket's ETag is {tag}, the file's MD5 is {md5}")))
            }
            // Without an MD5 in the answer the signature stands for it: it covers the content's SHA-256.
            _ => Ok(()),
        }
    }

    /// Removes the file, where the key may.
    pub async fn delete(&self, name: &str) -> Result<(), Failure> {
        let key = self.key(name)?;
        self.bucket.delete(&key).await.map_err(|error| Failure::from_error(&error))
    }

    /// The file's content, as the store has it.
    pub async fn get(&self, name: &str, bytes: u64) -> Result<Bytes, Failure> {
        let get = async {
            let found = self.bucket.get(&self.key(name)?).await.map_err(|error| Failure::from_error(&error))?;
            found.bytes().await.map_err(|error| Failure::from_error(&error))
        };
        in_time(bytes, get).await
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn key(&self, name: &str) -> Result<Key, Failure> {
        Key::parse(self.target.key(name)).map_err(|error| Failure::new(Cause::Setup, error.to_string()))
    }

    pub(super) fn options(&self, kind: Kind) -> PutOptions {
        let mut attributes = Attributes::from_iter([(Attribute::ContentType, kind.content_type())]);
        if let Some(class) = &self.target.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let mut tags = TagSet::default();
        for (key, value) in &self.target.tags {
            tags.push(key, value);
        }
        PutOptions { attributes, tags, ..PutOptions::default() }
    }

    /// Objects encrypted with a key of KMS have an `ETag` that says nothing about their content.
    pub(super) fn tag_is_md5(&self) -> bool {
        !matches!(self.target.encryption, Some(Encryption::Kms { .. }))
    }
}

/// The attempt's outcome, or that it took too long for so many bytes.
pub(super) async fn in_time<T>(bytes: u64, attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let patience = PATIENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
    let late = |_| Failure::new(Cause::Timeout, format!("no answer within {} s", patience.as_secs()));
    tokio::time::timeout(patience, attempt).await.map_err(late)?
}

/// The storage library names this setting in words only.
fn encryption_key() -> Result<AmazonS3ConfigKey, Failure> {
    "aws_server_side_encryption"
        .parse()
        .map_err(|error: object_store::Error| Failure::new(Cause::Setup, error.to_string()))
}

fn is_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

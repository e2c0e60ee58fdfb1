// SPDX-License-Identifier: Apache-2.0
//! A bucket that speaks S3: the requests, signed, and what is asked again to prove what the bucket holds.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::uri::InvalidUri;
use http::{HeaderValue, Method};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, Checksum};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::path::Path as Key;
use object_store::signer::Signer as _;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt as _, PutOptions, RetryConfig, TagSet};

use sha2::{Digest, Sha256};

use crate::config::Encryption;
use crate::names;
use crate::storage::client;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::multipart::{self, Unfinished};
use crate::storage::proof::{compare, ObjectHeaders, SentContent, Verdict};
use crate::storage::store::{in_time, too_large, ObjectKind, Proof, Put, Store};
use crate::storage::target::BucketTarget;

pub struct S3Store {
    pub(super) bucket: AmazonS3,
    target: BucketTarget,
    client: HttpClient,
    pub(super) unfinished: Unfinished,
}

impl S3Store {
    pub fn new(target: BucketTarget, credentials: Credentials) -> Result<Self, StoreError> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let connector = client::connector(target.ca_file.as_deref())?;
        let client = connector.client();
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(target.url())
            .with_region(&target.region)
            .with_bucket_name(&target.bucket)
            .with_virtual_hosted_style_request(!target.path_style)
            .with_allow_http(true)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(once)
            .with_credentials(credentials.keys(&target)?)
            .with_http_connector(connector);
        builder = match &target.encryption {
            Some(Encryption::Bucket {}) => builder.with_config(encryption_key()?, "AES256"),
            Some(Encryption::Kms { key_id }) => builder.with_sse_kms_encryption(key_id),
            None => builder,
        };
        let bucket = builder.build().map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))?;
        Ok(Self { bucket, target, client, unfinished: Unfinished::default() })
    }

    /// What an answer left open is asked for.
    pub(super) async fn prove(&self, key: &Key, verdict: Verdict, sent: &SentContent) -> Result<Proof, StoreError> {
        let doubt = match verdict {
            Verdict::Proved => return Ok(Proof::Compared),
            Verdict::Disproved(why) => return Err(StoreError::new(StoreCause::Unverified, why)),
            Verdict::Doubtful(why) => Some(why),
            Verdict::Silent => None,
        };
        match (self.head(key).await, doubt) {
            (Ok(found), doubt) => found_is(&found, sent, doubt),
            (Err(failure), None) if is_denied(&failure) => Ok(Proof::Word),
            (Err(failure), Some(why)) if is_denied(&failure) => Err(StoreError::new(
                StoreCause::Unverified,
                format!("{why}; let the access key read objects (s3:GetObject), so that the store can be asked"),
            )),
            (Err(failure), _) => Err(failure),
        }
    }

    /// What the store says of an object.
    async fn head(&self, key: &Key) -> Result<ObjectHeaders, StoreError> {
        let failed = |error: object_store::Error| StoreError::from_error(&error);
        let mut url = self.bucket.signed_url(Method::HEAD, key, Duration::from_secs(1)).await.map_err(failed)?;
        // The signature in the URL would not cover the header.
        url.set_query(None);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() =
            url.as_str().parse().map_err(|error: InvalidUri| StoreError::new(StoreCause::Setup, error.to_string()))?;
        request.headers_mut().insert("x-amz-checksum-mode", HeaderValue::from_static("ENABLED"));
        let credential = self.bucket.credentials().get_credential().await.map_err(failed)?;
        AwsAuthorizer::new(&credential, "s3", &self.target.region).try_authorize(&mut request, None).map_err(failed)?;
        let asked = async { self.client.execute(request).await.map_err(|error| StoreError::from_error(&error)) };
        let (answer, headers) = client::with_headers(in_time(0, asked)).await;
        answer.map(|_| headers)
    }

    pub(super) async fn ask<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        in_time(bytes, async { request.await.map_err(|error| StoreError::from_error(&error)) }).await
    }

    pub(super) fn key(&self, name: &str) -> Result<Key, StoreError> {
        Key::parse(self.target.key(name)).map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))
    }

    pub(super) fn options(&self, kind: ObjectKind) -> PutOptions {
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
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, name: &str, kind: ObjectKind, content: Bytes) -> Result<Proof, StoreError> {
        let key = self.key(name)?;
        let sent = SentContent::of(&content);
        let put = self.ask(sent.bytes, self.bucket.put_opts(&key, content.into(), self.options(kind)));
        let (answer, headers) = client::with_headers(put).await;
        answer?;
        self.prove(&key, compare(&headers, &sent), &sent).await
    }

    async fn put_file(&self, name: &str, kind: ObjectKind, file: LocalFile<'_>) -> Result<Put, StoreError> {
        let bytes = file.bytes()?;
        if bytes > multipart::PART {
            return self.put_in_parts(name, kind, file, bytes).await;
        }
        let content = file.read(0, multipart::PART).await?;
        let found = names::hex(&Sha256::digest(&content));
        file.check(&found)?;
        let bytes = content.len() as u64;
        let proof = self.put(name, kind, content).await?;
        Ok(Put { bytes, sha256: found, proof })
    }

    async fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, StoreError> {
        let failed = |error: object_store::Error| StoreError::from_error(&error);
        let get = async {
            let mut content = self.bucket.get(&self.key(name)?).await.map_err(failed)?.into_stream();
            let mut taken = Vec::new();
            while let Some(piece) = content.next().await {
                taken.extend_from_slice(&piece.map_err(failed)?);
                if taken.len() as u64 > most {
                    return Err(too_large(name, most));
                }
            }
            Ok(taken)
        };
        in_time(most, get).await
    }

    async fn get_file(&self, name: &str, bytes: u64, path: &Path) -> Result<String, StoreError> {
        let failed = |error: object_store::Error| StoreError::from_error(&error);
        let unwritable =
            |error: std::io::Error| StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display()));
        let get = async {
            let mut content = self.bucket.get(&self.key(name)?).await.map_err(failed)?.into_stream();
            let mut file = std::fs::File::create(path).map_err(unwritable)?;
            let mut sha256 = Sha256::new();
            while let Some(piece) = content.next().await {
                let piece = piece.map_err(failed)?;
                file.write_all(&piece).map_err(unwritable)?;
                sha256.update(&piece);
            }
            Ok(names::hex(&sha256.finalize()))
        };
        in_time(bytes, get).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name)?;
        self.bucket.delete(&key).await.map_err(|error| StoreError::from_error(&error))
    }
}

/// Whether what was found is what was sent; `doubt` is what the first answer said against it.
fn found_is(found: &ObjectHeaders, sent: &SentContent, doubt: Option<String>) -> Result<Proof, StoreError> {
    let unverified = |why: String| Err(StoreError::new(StoreCause::Unverified, why));
    if let Some(bytes) = found.bytes.filter(|bytes| *bytes != sent.bytes) {
        return unverified(format!("the store has {bytes} bytes of {}", sent.bytes));
    }
    match (compare(found, sent), doubt) {
        (Verdict::Proved, _) => Ok(Proof::Compared),
        // By this answer its tag is no digest, so the first one's was none either.
        (Verdict::Silent, _) if found.bytes.is_some() => Ok(Proof::Compared),
        (Verdict::Disproved(why) | Verdict::Doubtful(why), _) | (Verdict::Silent, Some(why)) => unverified(why),
        (Verdict::Silent, None) => Ok(Proof::Word),
    }
}

/// Whether the store does not let the key look, or knows no such request.
fn is_denied(failure: &StoreError) -> bool {
    match &failure.cause {
        StoreCause::AccessDenied => true,
        StoreCause::Refusal(status) => matches!(status.as_str(), "405" | "501"),
        StoreCause::Server(status) => *status == 501,
        _ => false,
    }
}

/// The storage library names this setting in words only.
fn encryption_key() -> Result<AmazonS3ConfigKey, StoreError> {
    "aws_server_side_encryption"
        .parse()
        .map_err(|error: object_store::Error| StoreError::new(StoreCause::Setup, error.to_string()))
}

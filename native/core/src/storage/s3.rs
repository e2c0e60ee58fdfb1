// SPDX-License-Identifier: Apache-2.0
//! A bucket that speaks S3.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::IF_NONE_MATCH;
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderValue, Method};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, Checksum};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::list::PaginatedListStore;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::signer::Signer as _;
use object_store::{MultipartId, ObjectStore, PutMode, PutOptions};

use crate::storage::bucket::{failed, not_set_up, once, BucketStore, Protocol};
use crate::storage::client;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::target::BucketTarget;

pub struct S3 {
    bucket: Arc<AmazonS3>,
    region: String,
    client: HttpClient,
}

pub fn open(target: BucketTarget, credentials: Credentials) -> Result<BucketStore<S3>, StoreError> {
    let connector = client::connector(&target)?;
    let client = connector.client();
    let mut builder = AmazonS3Builder::new()
        .with_endpoint(target.url())
        .with_region(&target.region)
        .with_bucket_name(&target.bucket)
        .with_virtual_hosted_style_request(!target.path_style)
        .with_allow_http(true)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(once())
        .with_credentials(credentials.keys(&target)?)
        .with_http_connector(connector);
    if let Some(encryption) = &target.objects.server_side_encryption {
        builder = builder.with_config(setting("aws_server_side_encryption")?, encryption.algorithm());
        if let Some(key_id) = encryption.key_id() {
            builder = builder.with_config(setting("aws_sse_kms_key_id")?, key_id);
        }
    }
    let bucket = Arc::new(builder.build().map_err(not_set_up)?);
    Ok(BucketStore::new(S3 { bucket, region: target.region.clone(), client }, target))
}

#[async_trait]
impl Protocol for S3 {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.bucket.clone()
    }

    fn parts(&self) -> Arc<dyn MultipartStore> {
        self.bucket.clone()
    }

    fn lists(&self) -> Arc<dyn PaginatedListStore> {
        self.bucket.clone()
    }

    /// On the condition that the storage library has for objects of one part alone.
    async fn complete(
        &self,
        key: &Key,
        id: &MultipartId,
        parts: Vec<PartId>,
        options: PutOptions,
    ) -> Result<(), StoreError> {
        let nothing_there = || HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        let more = if options.mode == PutMode::Create { nothing_there() } else { HeaderMap::new() };
        let complete = self.bucket.complete_multipart(key, id, parts);
        client::with_more_headers(more, complete).await.map(drop).map_err(failed)
    }

    /// With the checksum, for which the storage library does not ask.
    async fn look(&self, key: &Key) -> Result<(), StoreError> {
        let mut url = self.bucket.signed_url(Method::HEAD, key, Duration::from_secs(1)).await.map_err(failed)?;
        // The signature in the URL would not cover the header.
        url.set_query(None);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() =
            url.as_str().parse().map_err(|error: InvalidUri| StoreError::new(StoreCause::Setup, error.to_string()))?;
        request.headers_mut().insert("x-amz-checksum-mode", HeaderValue::from_static("ENABLED"));
        let credential = self.bucket.credentials().get_credential().await.map_err(failed)?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None).map_err(failed)?;
        self.client.execute(request).await.map(drop).map_err(|error| StoreError::from_error(&error))
    }
}

/// The storage library names some settings in words only.
fn setting(name: &str) -> Result<AmazonS3ConfigKey, StoreError> {
    name.parse().map_err(not_set_up)
}

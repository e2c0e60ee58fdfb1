// SPDX-License-Identifier: Apache-2.0
//! A bucket of Google Cloud Storage, by its XML API.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::ObjectStore;

use crate::storage::bucket::{not_set_up, once, BucketStore, Protocol};
use crate::storage::client;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::target::BucketTarget;

const KMS_KEY: &str = "x-goog-encryption-kms-key-name";

pub struct Google {
    bucket: Arc<GoogleCloudStorage>,
    kms_key: Option<HeaderValue>,
}

pub fn open(target: BucketTarget, tokens: GcpCredentialProvider) -> Result<BucketStore<Google>, StoreError> {
    let bucket = GoogleCloudStorageBuilder::new()
        .with_base_url(&target.url())
        .with_bucket_name(&target.bucket)
        .with_retry(once())
        .with_credentials(tokens)
        .with_http_connector(client::connector(&target)?)
        .build()
        .map_err(not_set_up)?;
    let kms_key = target.objects.kms_key_name.as_deref().map(HeaderValue::from_str).transpose();
    let kms_key = kms_key.map_err(|error| StoreError::new(StoreCause::Setup, format!("kmsKeyName: {error}")))?;
    Ok(BucketStore::new(Google { bucket: Arc::new(bucket), kms_key }, target))
}

impl Protocol for Google {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.bucket.clone()
    }

    fn parts(&self) -> Arc<dyn MultipartStore> {
        self.bucket.clone()
    }

    fn lists(&self) -> Arc<dyn PaginatedListStore> {
        self.bucket.clone()
    }

    fn more_headers(&self) -> HeaderMap {
        self.kms_key.iter().map(|key| (HeaderName::from_static(KMS_KEY), key.clone())).collect()
    }
}

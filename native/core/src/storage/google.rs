// SPDX-License-Identifier: Apache-2.0
//! A bucket of Google Cloud Storage, by its XML API.

use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::multipart::MultipartStore;
use object_store::ObjectStore;

use crate::storage::bucket::{not_set_up, once, BucketStore, Protocol};
use crate::storage::client;
use crate::storage::failure::StoreError;
use crate::storage::service_account::ServiceAccount;
use crate::storage::target::BucketTarget;

pub struct Google(Arc<GoogleCloudStorage>);

pub fn open(target: BucketTarget, account: ServiceAccount) -> Result<BucketStore<Google>, StoreError> {
    let bucket = GoogleCloudStorageBuilder::new()
        .with_base_url(&target.url())
        .with_bucket_name(&target.bucket)
        .with_retry(once())
        .with_credentials(Arc::new(account))
        .with_http_connector(client::connector(target.ca_file.as_deref())?)
        .build()
        .map_err(not_set_up)?;
    Ok(BucketStore::new(Google(Arc::new(bucket)), target))
}

impl Protocol for Google {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.0.clone()
    }

    fn parts(&self) -> Arc<dyn MultipartStore> {
        self.0.clone()
    }
}

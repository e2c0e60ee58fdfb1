// SPDX-License-Identifier: Apache-2.0
//! A container of Azure Blob Storage. Its blobs are block blobs, and parts are blocks: there is no upload that would be begun
//! or given up, as blocks that no list names go by themselves after a week.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use base64::prelude::{Engine as _, BASE64_STANDARD};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::list::PaginatedListStore;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{Attribute, MultipartId, ObjectStore, PutMode, PutOptions};
use reqwest::Url;

use crate::storage::bucket::{failed, not_set_up, once, BucketStore, Protocol};
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::proof::{compare, SentContent, Verdict};
use crate::storage::target::BucketTarget;
use crate::storage::{azure_refusal, client};

pub struct Azure {
    container: Arc<MicrosoftAzure>,
    account: String,
    url: Url,
    client: HttpClient,
}

pub fn open(target: BucketTarget, credentials: AzureCredentialProvider) -> Result<BucketStore<Azure>, StoreError> {
    let connector = client::connector_that_reads(&target, azure_refusal::read)?;
    let client = connector.client();
    let account = target.account.clone().unwrap_or_default();
    let url = format!("{}/{}", target.url(), target.bucket);
    let url = Url::parse(&url).map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))?;
    let container = MicrosoftAzureBuilder::new()
        .with_endpoint(target.url())
        .with_account(&account)
        .with_container_name(&target.bucket)
        .with_allow_http(true)
        .with_retry(once())
        .with_credentials(credentials)
        .with_http_connector(connector)
        .build()
        .map_err(not_set_up)?;
    Ok(BucketStore::new(Azure { container: Arc::new(container), account, url, client }, target))
}

impl Azure {
    /// For what the storage library has no call for.
    async fn ask(
        &self,
        method: Method,
        key: &Key,
        query: Option<&str>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), StoreError> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(key.parts());
        }
        url.set_query(query);
        let length = HeaderValue::from(body.len());
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            url.as_str().parse().map_err(|error: InvalidUri| StoreError::new(StoreCause::Setup, error.to_string()))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_LENGTH, length);
        let credential = self.container.credentials().get_credential().await.map_err(failed)?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request).map_err(failed)?;
        self.client.execute(request).await.map(drop).map_err(|error| StoreError::from_error(&error))
    }
}

#[async_trait]
impl Protocol for Azure {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.container.clone()
    }

    fn parts(&self) -> Arc<dyn MultipartStore> {
        self.container.clone()
    }

    fn lists(&self) -> Arc<dyn PaginatedListStore> {
        self.container.clone()
    }

    async fn begin(&self, _: &Key, _: PutOptions) -> Result<MultipartId, StoreError> {
        Ok(MultipartId::new())
    }

    /// With what the blob is to have, which the storage library drops.
    async fn complete(
        &self,
        key: &Key,
        _: &MultipartId,
        parts: Vec<PartId>,
        options: PutOptions,
    ) -> Result<(), StoreError> {
        let list = Bytes::from(block_list(&parts));
        let sent = SentContent::of(&list);
        let put = self.ask(Method::PUT, key, Some("comp=blocklist"), headers_of(&options)?, list);
        // What this answer states is of the list, and says nothing of the blob.
        let (answer, headers) = client::with_headers(put).await;
        match (answer, compare(&headers, &sent)) {
            (Ok(()), Verdict::Disproved(why)) => Err(StoreError::new(StoreCause::Unverified, why)),
            (answer, _) => answer,
        }
    }

    /// A blob by itself: the storage library deletes by batches, for which fewer have the right.
    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.ask(Method::DELETE, key, None, HeaderMap::new(), Bytes::new()).await
    }
}

/// The blocks of a blob in their order: each the newest of its name, so that a list may be put again.
fn block_list(parts: &[PartId]) -> String {
    let mut list = r#"<?xml version="1.0" encoding="utf-8"?><BlockList>"#.to_owned();
    for part in parts {
        // A string takes whatever is written to it.
        let _ = write!(list, "<Latest>{}</Latest>", BASE64_STANDARD.encode(&part.content_id));
    }
    list + "</BlockList>"
}

/// As the storage library has them where it puts a blob at once.
fn headers_of(options: &PutOptions) -> Result<HeaderMap, StoreError> {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/xml"))]);
    let mut insert = |name: &str, value: &str| {
        let wrong = || StoreError::new(StoreCause::Setup, format!("{name} cannot be a header"));
        let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
        Ok(())
    };
    for (attribute, value) in &options.attributes {
        match attribute {
            Attribute::CacheControl => insert("x-ms-blob-cache-control", value),
            Attribute::ContentDisposition => insert("x-ms-blob-content-disposition", value),
            Attribute::ContentEncoding => insert("x-ms-blob-content-encoding", value),
            Attribute::ContentLanguage => insert("x-ms-blob-content-language", value),
            Attribute::ContentType => insert("x-ms-blob-content-type", value),
            Attribute::StorageClass => insert("x-ms-access-tier", value),
            Attribute::Metadata(name) => insert(&format!("x-ms-meta-{name}"), value),
            other => Err(StoreError::new(StoreCause::Setup, format!("no blob has {other:?}"))),
        }?;
    }
    if options.mode == PutMode::Create {
        insert(IF_NONE_MATCH.as_str(), "*")?;
    }
    if !options.tags.is_empty() {
        insert("x-ms-tags", options.tags.encoded())?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use object_store::{Attributes, TagSet};

    use super::*;

    #[test]
    fn a_list_names_blocks_as_they_were_put() {
        let part = |name: &str| PartId { content_id: name.to_owned() };
        let list = block_list(&[part("numero1"), part("numero2")]);
        let blocks = "<Latest>bnVtZXJvMQ==</Latest><Latest>bnVtZXJvMg==</Latest>";
        assert_eq!(list, format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>"));
    }

    #[test]
    fn a_blob_of_blocks_has_what_any_has() {
        let mut tags = TagSet::default();
        tags.push("team", "a b");
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "video/mp4"),
            (Attribute::StorageClass, "Cool"),
            (Attribute::CacheControl, "no-cache"),
            (Attribute::Metadata("room".into()), "201"),
        ]);
        let headers = headers_of(&PutOptions { attributes, tags, ..PutOptions::default() }).unwrap();
        let found: Vec<_> = ["blob-content-type", "access-tier", "blob-cache-control", "meta-room", "tags"]
            .map(|name| headers[&format!("x-ms-{name}")].to_str().unwrap())
            .into();
        assert_eq!(found, ["video/mp4", "Cool", "no-cache", "201", "team=a+b"]);
    }
}

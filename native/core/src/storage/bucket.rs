// SPDX-License-Identifier: Apache-2.0
//! A bucket, whatever protocol it speaks: requests by the storage library, one attempt each, and what is asked again to
//! prove what the bucket holds.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, MultipartId, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions,
    RetryConfig, TagSet,
};
use sha2::{Digest, Sha256};

use crate::config::Encryption;
use crate::names;
use crate::storage::client::{self, MoreHeaders};
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::multipart::{self, Unfinished};
use crate::storage::proof::{compare, ObjectHeaders, SentContent, Verdict};
use crate::storage::store::{in_time, no_more_than, read_in_time, too_large, ObjectKind, Proof, Put, Store};
use crate::storage::target::BucketTarget;

/// So many answers are read of one list; each has a thousand names or more.
const MOST_PAGES: usize = 100;

/// What a protocol has of its own.
#[async_trait]
pub trait Protocol: Send + Sync {
    fn objects(&self) -> Arc<dyn ObjectStore>;

    fn parts(&self) -> Arc<dyn MultipartStore>;

    fn lists(&self) -> Arc<dyn PaginatedListStore>;

    /// Headers of whatever begins an object, of which the storage library knows nothing.
    fn more_headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// What the store says of an object; within `client::with_headers`, which hears it.
    async fn look(&self, key: &Key) -> Result<(), StoreError> {
        self.objects().head(key).await.map(drop).map_err(failed)
    }

    /// Begins an object of parts.
    async fn begin(&self, key: &Key, options: PutOptions) -> Result<MultipartId, StoreError> {
        let PutOptions { attributes, tags, extensions, .. } = options;
        let options = PutMultipartOptions { attributes, tags, extensions };
        self.parts().create_multipart_opts(key, options).await.map_err(failed)
    }

    /// Puts the parts together.
    async fn complete(
        &self,
        key: &Key,
        id: &MultipartId,
        parts: Vec<PartId>,
        _options: PutOptions,
    ) -> Result<(), StoreError> {
        self.parts().complete_multipart(key, id, parts).await.map(drop).map_err(failed)
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.objects().delete(key).await.map_err(failed)
    }
}

pub struct BucketStore<P> {
    pub(super) protocol: P,
    pub(super) target: BucketTarget,
    pub(super) unfinished: Unfinished,
    /// Whether the store has no puts that depend on what is there.
    unconditional: AtomicBool,
}

/// When to try again is the uploader's decision.
pub(super) fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// For errors of the storage library.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
pub(super) fn failed(error: object_store::Error) -> StoreError {
    StoreError::from_error(&error)
}

/// For errors while a client is set up.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
pub(super) fn not_set_up(error: object_store::Error) -> StoreError {
    StoreError::new(StoreCause::Setup, error.to_string())
}

impl<P: Protocol> BucketStore<P> {
    pub(super) fn new(protocol: P, target: BucketTarget) -> Self {
        Self { protocol, target, unfinished: Unfinished::default(), unconditional: AtomicBool::new(false) }
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
                format!("{why}; give {}, so that the store can be asked", self.target.right_to_read()),
            )),
            (Err(failure), _) => Err(failure),
        }
    }

    /// What a refusal means where nothing is put twice: an attempt before this one may have put the content, whose answer
    /// was lost or came to a process that died.
    pub(super) async fn found_there(
        &self,
        key: &Key,
        sent: &SentContent,
        failure: StoreError,
    ) -> Result<Proof, StoreError> {
        if !self.target.write_once || !failure.cause.may_be_of_what_is_there() {
            return Err(failure);
        }
        match self.head(key).await {
            Ok(found) => found_is(&found, sent, None).map_err(|other| other.of_another_object(&failure)),
            Err(denied) if is_denied(&denied) && failure.cause.is_of_what_is_there() => Ok(Proof::Word),
            Err(denied) if is_denied(&denied) => {
                let right = self.target.right_to_read();
                let why = "whether this very file is there already, from an attempt before, it does not tell without";
                Err(StoreError { detail: format!("{}; {why} {right}", failure.detail), ..failure })
            }
            Err(_) => Err(failure),
        }
    }

    /// Whether puts depend on nothing being there.
    fn is_conditional(&self) -> bool {
        self.target.write_once && !self.unconditional.load(Ordering::Relaxed)
    }

    /// Whether the store has refused the condition, and not the put: the next one does without.
    pub(super) fn knows_no_condition(&self, failure: &StoreError) -> bool {
        let refused = self.is_conditional() && failure.cause == StoreCause::Server(501);
        refused && !self.unconditional.swap(true, Ordering::Relaxed)
    }

    async fn put_content(
        &self,
        key: &Key,
        kind: ObjectKind,
        content: Bytes,
        sent: &SentContent,
    ) -> Result<Proof, StoreError> {
        let objects = self.protocol.objects();
        let put = self.ask(sent.bytes, objects.put_opts(key, content.into(), self.options(kind)));
        let (answer, headers) = client::with_headers(put).await;
        answer?;
        self.check_encrypted(&headers)?;
        self.prove(key, compare(&headers, sent), sent).await
    }

    /// What the store says of an object.
    pub(super) async fn head(&self, key: &Key) -> Result<ObjectHeaders, StoreError> {
        let (answer, headers) = client::with_headers(in_time(0, self.protocol.look(key))).await;
        answer.map(|()| headers)
    }

    pub(super) async fn ask<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        in_time(bytes, async { request.await.map_err(failed) }).await
    }

    pub(super) fn key(&self, name: &str) -> Result<Key, StoreError> {
        Key::parse(self.target.key(name)).map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))
    }

    pub(super) fn options(&self, kind: ObjectKind) -> PutOptions {
        let objects = &self.target.objects;
        let mut attributes = Attributes::from_iter([(Attribute::ContentType, kind.content_type())]);
        match &objects.cache_control {
            // Some stores have caches keep an object for an hour of which nothing is said.
            _ if !kind.is_lasting() => drop(attributes.insert(Attribute::CacheControl, "no-cache".into())),
            Some(caching) => drop(attributes.insert(Attribute::CacheControl, caching.clone().into())),
            None => {}
        }
        if let Some(class) = &objects.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        for (name, value) in &objects.metadata {
            attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
        }
        let mut tags = TagSet::default();
        for (key, value) in &objects.tags {
            tags.push(key, value);
        }
        let mode = if self.is_conditional() { PutMode::Create } else { PutMode::Overwrite };
        let mut options = PutOptions { mode, attributes, tags, ..PutOptions::default() };
        options.extensions.insert(MoreHeaders(self.protocol.more_headers()));
        options
    }

    /// That the store encrypts as it is asked to: a server that knows no such request would leave it out unseen.
    pub(super) fn check_encrypted(&self, answer: &ObjectHeaders) -> Result<(), StoreError> {
        let asked = self.target.objects.server_side_encryption.as_ref().map(Encryption::algorithm);
        let Some(algorithm) = asked.filter(|algorithm| answer.encryption.as_deref() != Some(algorithm)) else {
            return Ok(());
        };
        let why = format!("its answer does not say that it encrypts ({algorithm}), as serverSideEncryption asks");
        Err(StoreError::new(StoreCause::Unverified, why))
    }
}

#[async_trait]
impl<P: Protocol> Store for BucketStore<P> {
    async fn put(&self, name: &str, kind: ObjectKind, content: Bytes) -> Result<Proof, StoreError> {
        let key = self.key(name)?;
        let sent = SentContent::of(&content);
        let put = match self.put_content(&key, kind, content.clone(), &sent).await {
            Err(failure) if self.knows_no_condition(&failure) => self.put_content(&key, kind, content, &sent).await,
            put => put,
        };
        match put {
            Err(failure) => self.found_there(&key, &sent, failure).await,
            put => put,
        }
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
        let get = async {
            let mut content = self.protocol.objects().get(&self.key(name)?).await.map_err(failed)?.into_stream();
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

    async fn get_file(&self, name: &str, bytes: Option<u64>, path: &Path) -> Result<String, StoreError> {
        let unwritable =
            |error: std::io::Error| StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display()));
        let get = async {
            let mut content = self.protocol.objects().get(&self.key(name)?).await.map_err(failed)?.into_stream();
            let mut file = std::fs::File::create(path).map_err(unwritable)?;
            let (mut sha256, mut came) = (Sha256::new(), 0);
            while let Some(piece) = content.next().await {
                let piece = piece.map_err(failed)?;
                came += piece.len() as u64;
                no_more_than(bytes, came)?;
                file.write_all(&piece).map_err(unwritable)?;
                sha256.update(&piece);
            }
            Ok(names::hex(&sha256.finalize()))
        };
        read_in_time(bytes, get).await
    }

    async fn list(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let (lists, with) = (self.protocol.lists(), self.target.key(prefix));
        let (mut found, mut page_token) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let offset = Some(self.target.key(after));
            let options = PaginatedListOptions { offset, page_token, ..PaginatedListOptions::default() };
            let page = self.ask(0, lists.list_paginated(Some(&with), options)).await?;
            let names = page.result.objects.iter().filter_map(|object| object.location.filename());
            // Not every server knows from where on it is asked.
            found.extend(names.filter(|name| name.starts_with(prefix) && *name > after).map(str::to_owned));
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// By the first part of an object that is never put together.
    async fn try_out(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name)?;
        let options = self.options(ObjectKind::Playlist);
        let (id, at_first) = client::with_headers(in_time(0, self.protocol.begin(&key, options))).await;
        let id = id?;
        let parts = self.protocol.parts();
        let put = self.ask(0, parts.put_part(&key, &id, 0, Bytes::from_static(b"trial").into()));
        let (put, of_part) = client::with_headers(put).await;
        // Without the right to, what was begun stays unseen until a rule of the store's removes it.
        let _ = self.ask(0, parts.abort_multipart(&key, &id)).await;
        put?;
        self.check_encrypted(&at_first).or_else(|_| self.check_encrypted(&of_part))
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name)?;
        in_time(0, self.protocol.delete(&key)).await
    }
}

/// Whether what was found is what was sent; `doubt` is what the first answer said against it.
pub(super) fn found_is(found: &ObjectHeaders, sent: &SentContent, doubt: Option<String>) -> Result<Proof, StoreError> {
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

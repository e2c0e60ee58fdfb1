// SPDX-License-Identifier: Apache-2.0
//! What a store of a recording's files is, whatever it is made of: whoever delivers knows this trait and no store behind it.
//! One attempt a call; whoever calls decides when to try again.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::panics::contained_async;
use crate::storage::credentials::Credentials;
use crate::storage::directory::DirectoryStore;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::target::{BucketTarget, Target};
use crate::storage::vendor::BucketKind;
use crate::storage::{azure, azure_identity, google, s3};

/// An attempt may take this long, and a second more for every so many bytes.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;
/// As large as that a file is taken to be of which nobody told.
const UNTOLD_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Slice,
    /// One that is put again under its name as it grows, or, over all parts, when the recording goes on.
    LivePlaylist,
    /// A finished one.
    Playlist,
    Manifest,
    Mp4,
    /// One over all parts, which is put again when the recording goes on.
    MergedMp4,
}

impl ObjectKind {
    /// Whether nothing else is ever put under its name, so that whoever has it may keep it.
    #[must_use]
    pub fn is_lasting(self) -> bool {
        match self {
            Self::Slice | Self::Playlist | Self::Mp4 => true,
            Self::LivePlaylist | Self::Manifest | Self::MergedMp4 => false,
        }
    }

    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Slice => "video/MP2T",
            Self::LivePlaylist | Self::Playlist => "application/x-mpegURL",
            Self::Manifest => "application/json",
            Self::Mp4 | Self::MergedMp4 => "video/mp4",
        }
    }
}

/// Why the store is believed to hold what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A digest of the content, or at least its size, said by the store.
    Compared,
    /// The store said that it took the file, nothing that could be compared, and does not let the key look.
    Word,
}

/// What was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub bytes: u64,
    pub sha256: String,
    pub proof: Proof,
}

/// Names are of files, without the prefix that the store's target adds. What a store cannot do of what its target asks for,
/// opening it refuses.
#[async_trait]
pub trait Store: Send + Sync {
    /// Puts this content under the name, in place of what is there; of a target that is written once in place of nothing,
    /// where the same content that is there already was put by an attempt before. Returns once the store has said that it
    /// holds the content, and proved it as far as it can.
    async fn put(&self, name: &str, kind: ObjectKind, content: Bytes) -> Result<Proof, StoreError>;

    /// The same of a file, a large one in parts. A file that is not what its SHA-256 says is put nowhere:
    /// `StoreCause::Damaged`.
    async fn put_file(&self, name: &str, kind: ObjectKind, file: LocalFile<'_>) -> Result<Put, StoreError>;

    /// The content that the store has under this name; more than `most` bytes are refused.
    async fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, StoreError>;

    /// Writes the file that the store has under this name into a new one; of more than so many bytes, where that is known,
    /// it is not what was put: `StoreCause::Unverified`. Returns its SHA-256, in hexadecimal digits.
    async fn get_file(&self, name: &str, bytes: Option<u64>, path: &Path) -> Result<String, StoreError>;

    /// The names that begin with the prefix and come after this one, in their order. It takes a right that nothing else
    /// takes, and servers may know no such request: whoever asks must be able to do without.
    async fn list(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError>;

    /// Whether files are taken: tried by what leaves none, neither of this name nor of another.
    async fn try_out(&self, name: &str) -> Result<(), StoreError>;

    /// Removes the file, where that is allowed.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
}

/// The store at the target.
pub fn open(target: &Target, credentials: &Credentials) -> Result<Arc<dyn Store>, StoreError> {
    match target {
        Target::Bucket(bucket) => open_bucket(bucket.clone(), credentials.clone()),
        Target::Directory(directory) => Ok(Arc::new(Contained(DirectoryStore::new(directory)))),
    }
}

fn open_bucket(bucket: BucketTarget, credentials: Credentials) -> Result<Arc<dyn Store>, StoreError> {
    let kind = bucket.kind;
    match (kind, credentials) {
        (BucketKind::S3, credentials) => Ok(Arc::new(Contained(s3::open(bucket, credentials)?))),
        (BucketKind::GoogleCloudStorage, Credentials::ServiceAccount(account)) => {
            Ok(Arc::new(Contained(google::open(bucket, Arc::new(account))?)))
        }
        (BucketKind::GoogleCloudStorage, Credentials::Google(identity)) => {
            Ok(Arc::new(Contained(google::open(bucket, identity.tokens()?)?)))
        }
        (BucketKind::AzureBlobStorage, Credentials::Azure(account)) => {
            Ok(Arc::new(Contained(azure::open(bucket, Arc::new(account))?)))
        }
        (BucketKind::AzureBlobStorage, Credentials::Identity(_)) => {
            let tokens = azure_identity::tokens(&bucket)?;
            Ok(Arc::new(Contained(azure::open(bucket, tokens)?)))
        }
        (BucketKind::GoogleCloudStorage | BucketKind::AzureBlobStorage, _) => {
            let message = format!("credentialFiles has nothing that opens a bucket of {}", kind.name());
            Err(StoreError::new(StoreCause::Setup, message))
        }
    }
}

/// A store whose panics end the attempt: client libraries panic at what they hold to be impossible, as at a key that no
/// HTTP header can carry.
struct Contained<S>(S);

#[async_trait]
impl<S: Store> Store for Contained<S> {
    async fn put(&self, name: &str, kind: ObjectKind, content: Bytes) -> Result<Proof, StoreError> {
        attempt(self.0.put(name, kind, content)).await
    }

    async fn put_file(&self, name: &str, kind: ObjectKind, file: LocalFile<'_>) -> Result<Put, StoreError> {
        attempt(self.0.put_file(name, kind, file)).await
    }

    async fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, StoreError> {
        attempt(self.0.get(name, most)).await
    }

    async fn get_file(&self, name: &str, bytes: Option<u64>, path: &Path) -> Result<String, StoreError> {
        attempt(self.0.get_file(name, bytes, path)).await
    }

    async fn list(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        attempt(self.0.list(prefix, after)).await
    }

    async fn try_out(&self, name: &str) -> Result<(), StoreError> {
        attempt(self.0.try_out(name)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        attempt(self.0.delete(name)).await
    }
}

async fn attempt<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let unexpected = |panic| StoreError::new(StoreCause::Other, format!("an internal error, worth reporting: {panic}"));
    contained_async(work).await.map_err(unexpected)?
}

/// A file that is larger than whoever asks for it takes.
pub(super) fn too_large(name: &str, most: u64) -> StoreError {
    StoreError::new(StoreCause::Other, format!("{name} is larger than the {most} bytes that are taken"))
}

/// That no more of a file came so far than was put, as far as that is known.
pub(super) fn no_more_than(put: Option<u64>, came: u64) -> Result<(), StoreError> {
    match put {
        Some(bytes) if came > bytes => Err(StoreError::new(
            StoreCause::Unverified,
            format!("it gives more than the {bytes} bytes that were put there"),
        )),
        _ => Ok(()),
    }
}

/// The attempt's outcome, or that it took too long for so many bytes.
pub(super) async fn in_time<T>(
    bytes: u64,
    attempt: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(PATIENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND), attempt).await
}

/// The same of a file that is read back.
pub(super) async fn read_in_time<T>(
    bytes: Option<u64>,
    attempt: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    in_time(bytes.unwrap_or(UNTOLD_BYTES), attempt).await
}

pub(super) async fn within<T>(
    patience: Duration,
    attempt: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| StoreError::new(StoreCause::Timeout, format!("no answer within {} s", patience.as_secs()));
    tokio::time::timeout(patience, attempt).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::StoreDouble;

    #[tokio::test]
    async fn a_panic_of_a_store_ends_one_attempt() {
        let panicking = StoreDouble { put: Some(Box::new(|name| panic!("no {name}"))), ..StoreDouble::default() };
        let failure = Contained(panicking).put("slice", ObjectKind::Slice, Bytes::new()).await.unwrap_err();
        assert_eq!(failure.cause, StoreCause::Other);
        assert_eq!(failure.detail, "an internal error, worth reporting: no slice");
    }
}

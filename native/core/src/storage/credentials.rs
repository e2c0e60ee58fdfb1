// SPDX-License-Identifier: Apache-2.0
//! The bucket's keys. Files are read anew for every request, so that a rotated key heals by itself. Where they are gone, as
//! of a Secret that was deleted together with its recording, the keys that were read last are used.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::CredentialProvider;

use crate::config::{self, AccessKeyFiles, CredentialFiles};
use crate::storage::azure_account::AzureAccount;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::google_identity::GoogleIdentity;
use crate::storage::identity::Identity;
use crate::storage::request_text::not_in_a_header;
use crate::storage::service_account::ServiceAccount;
use crate::storage::target::BucketTarget;
use crate::storage::vendor::BucketKind;

#[derive(Clone)]
pub enum Credentials {
    Given {
        access_key: String,
        secret_key: String,
    },
    Files(KeyFiles),
    /// Keys that are given out to this identity.
    Identity(Identity),
    /// Tokens that are given out to this one.
    Google(GoogleIdentity),
    ServiceAccount(ServiceAccount),
    Azure(AzureAccount),
    /// Of a store that has none.
    None,
}

/// Files that hold keys, and the keys that were last in them; clones share these.
#[derive(Clone)]
pub struct KeyFiles {
    files: AccessKeyFiles,
    last: Arc<Mutex<Option<AwsCredential>>>,
}

impl KeyFiles {
    fn read(&self) -> Result<AwsCredential, StoreError> {
        let found = self.read_now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, &*last) {
            (Ok(keys), _) => {
                *last = Some(copy(&keys));
                Ok(keys)
            }
            (Err(_), Some(keys)) => Ok(copy(keys)),
            (Err(failure), None) => Err(failure),
        }
    }

    fn read_now(&self) -> Result<AwsCredential, StoreError> {
        Ok(AwsCredential {
            key_id: read_sent_key(&self.files.access_key)?,
            secret_key: read_key(&self.files.secret_key)?,
            token: self.files.session_token.as_deref().map(read_sent_key).transpose()?,
        })
    }
}

fn copy(keys: &AwsCredential) -> AwsCredential {
    AwsCredential { key_id: keys.key_id.clone(), secret_key: keys.secret_key.clone(), token: keys.token.clone() }
}

impl Credentials {
    #[must_use]
    pub fn in_files(files: CredentialFiles) -> Self {
        match files {
            CredentialFiles::AccessKey(files) => Self::Files(KeyFiles { files, last: Arc::default() }),
            CredentialFiles::ServiceAccount(file) => Self::ServiceAccount(ServiceAccount::in_file(file)),
            CredentialFiles::Azure(file) => Self::Azure(AzureAccount::in_file(file)),
        }
    }

    /// What the document has of them; None where the bucket's keys are named elsewhere.
    #[must_use]
    pub fn of_document(files: Option<&CredentialFiles>, storage: &config::Storage) -> Option<Self> {
        match (files, storage.identity, &storage.directory) {
            (Some(files), ..) => Some(Self::in_files(files.clone())),
            (None, Some(identity), _) if storage.kind() == BucketKind::GoogleCloudStorage => {
                Some(Self::Google(GoogleIdentity::new(identity, storage.google_service_account.as_deref())))
            }
            (None, Some(identity), _) => Some(Self::Identity(identity)),
            (None, None, Some(_)) => Some(Self::None),
            (None, None, None) => None,
        }
    }

    /// The keys for each request to this bucket.
    pub fn keys(self, target: &BucketTarget) -> Result<AwsCredentialProvider, StoreError> {
        match self {
            Self::Identity(identity) => identity.keys(target),
            keys => Ok(Arc::new(keys)),
        }
    }

    fn read(&self) -> Result<AwsCredential, StoreError> {
        match self {
            Self::Given { access_key, secret_key } => {
                Ok(AwsCredential { key_id: access_key.clone(), secret_key: secret_key.clone(), token: None })
            }
            Self::Files(files) => files.read(),
            Self::ServiceAccount(_) | Self::Azure(_) | Self::Identity(_) | Self::Google(_) | Self::None => {
                Err(StoreError::new(StoreCause::Credentials, "no access key is configured"))
            }
        }
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |failure: StoreError| object_store::Error::Generic { store: "S3", source: Box::new(failure) };
        self.read().map(Arc::new).map_err(failed)
    }
}

/// Without the keys.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { .. } => f.write_str("Given"),
            Self::Identity(identity) => f.debug_tuple("Identity").field(identity).finish(),
            Self::Google(identity) => f.debug_tuple("Google").field(identity).finish(),
            Self::None => f.write_str("None"),
            Self::ServiceAccount(account) => account.fmt(f),
            Self::Azure(account) => account.fmt(f),
            Self::Files(files) => f.debug_tuple("Files").field(&files.files).finish(),
        }
    }
}

/// The text of a key's file, without what is around it.
pub(super) fn read_key(path: &Path) -> Result<String, StoreError> {
    let unreadable = |why: String| StoreError::new(StoreCause::Credentials, format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    match text.trim() {
        "" => Err(unreadable("is empty".to_owned())),
        key => Ok(key.to_owned()),
    }
}

/// A key that goes into a request's header as it is; the secret key only signs.
fn read_sent_key(path: &Path) -> Result<String, StoreError> {
    let key = read_key(path)?;
    match not_in_a_header(&key) {
        None => Ok(key),
        Some((position, character)) => Err(StoreError::new(
            StoreCause::Credentials,
            format!("{}: has a character that no key has, at position {position}: {character:?}", path.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Scratch;

    #[test]
    fn files_are_read_anew_and_what_is_wrong_is_named() {
        let scratch = Scratch::new();
        let file = |name: &str| scratch.path().join(name);
        let credentials = Credentials::in_files(CredentialFiles::AccessKey(AccessKeyFiles {
            access_key: file("access"),
            secret_key: file("secret"),
            session_token: None,
        }));
        std::fs::write(file("access"), "key\n").unwrap();
        let missing = credentials.read().unwrap_err();
        assert_eq!(missing.cause, StoreCause::Credentials);
        assert!(missing.detail.contains("secret: "), "{}", missing.detail);
        std::fs::write(file("secret"), "\n").unwrap();
        assert!(credentials.read().unwrap_err().detail.ends_with("is empty"));
        std::fs::write(file("secret"), "s").unwrap();
        std::fs::write(file("access"), "ke\ny").unwrap();
        let cut = credentials.read().unwrap_err();
        assert_eq!(cut.cause, StoreCause::Credentials);
        assert!(
            cut.detail.ends_with("access: has a character that no key has, at position 3: '\\n'"),
            "{}",
            cut.detail
        );
        std::fs::write(file("access"), "key\n").unwrap();
        for key in ["one", "two"] {
            std::fs::write(file("secret"), key).unwrap();
            assert_eq!(credentials.read().unwrap().secret_key, key);
        }
    }

    #[test]
    fn keys_that_are_gone_are_the_last_good_ones() {
        let scratch = Scratch::new();
        let file = |name: &str| scratch.path().join(name);
        let files = AccessKeyFiles { access_key: file("access"), secret_key: file("secret"), session_token: None };
        let credentials = Credentials::in_files(CredentialFiles::AccessKey(files));
        for (access, secret) in [("a1", "s1"), ("a2", "s2")] {
            std::fs::write(file("access"), access).unwrap();
            std::fs::write(file("secret"), secret).unwrap();
            credentials.read().unwrap();
        }
        std::fs::write(file("access"), "a3").unwrap();
        std::fs::remove_file(file("secret")).unwrap();
        let both = credentials.clone().read().unwrap();
        assert_eq!((both.key_id.as_str(), both.secret_key.as_str()), ("a2", "s2"), "two keys that belong together");
        std::fs::write(file("secret"), "s3").unwrap();
        assert_eq!(credentials.read().unwrap().secret_key, "s3");
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What opens a container of Azure Blob Storage: the storage account's key, or a shared access signature (a SAS token). The
//! file is read anew for every request, so that a rotated one heals by itself; where it is gone, what was in it last is used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::azure::{split_sas, AzureAccessKey, AzureCredential};
use object_store::CredentialProvider;

use crate::locked::Locked as _;
use crate::storage::credentials::read_key;
use crate::storage::failure::{StoreCause, StoreError};

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureFile {
    AccountKey(PathBuf),
    SasToken(PathBuf),
}

/// Clones share what was last in the file.
#[derive(Clone)]
pub struct AzureAccount {
    file: AzureFile,
    last: Arc<Mutex<Option<Arc<AzureCredential>>>>,
}

impl AzureFile {
    fn path(&self) -> &Path {
        match self {
            Self::AccountKey(path) | Self::SasToken(path) => path,
        }
    }

    fn read(&self) -> Result<AzureCredential, StoreError> {
        let text = read_key(self.path())?;
        match self {
            Self::AccountKey(_) => AzureAccessKey::try_new(&text)
                .map(AzureCredential::AccessKey)
                .map_err(|_| self.unreadable("is no account key: it is not Base64")),
            Self::SasToken(_) => {
                let no_token = || self.unreadable("is no SAS token, as `sv=…&se=…&sig=…` is one");
                let pairs = split_sas(&text).map_err(|_| no_token())?;
                let is_given = |name: &str| pairs.iter().any(|(key, value)| key == name && !value.is_empty());
                let is_token = ["sv", "sig"].into_iter().all(is_given);
                is_token.then_some(AzureCredential::SASToken(pairs)).ok_or_else(no_token)
            }
        }
    }

    fn unreadable(&self, why: &str) -> StoreError {
        StoreError::new(StoreCause::Credentials, format!("{}: {why}", self.path().display()))
    }
}

impl AzureAccount {
    #[must_use]
    pub fn in_file(file: AzureFile) -> Self {
        Self { file, last: Arc::default() }
    }

    fn read(&self) -> Result<Arc<AzureCredential>, StoreError> {
        let found = self.file.read();
        let mut last = self.last.locked();
        match (found, &*last) {
            (Ok(credential), _) => Ok(last.insert(Arc::new(credential)).clone()),
            (Err(_), Some(credential)) => Ok(credential.clone()),
            (Err(failure), None) => Err(failure),
        }
    }
}

#[async_trait]
impl CredentialProvider for AzureAccount {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        self.read().map_err(|failure| object_store::Error::Generic { store: "Azure", source: Box::new(failure) })
    }
}

/// Without the key.
impl fmt::Debug for AzureAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AzureAccount").field(&self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Scratch;

    #[test]
    fn a_file_is_read_anew_and_what_was_last_in_it_is_used_when_it_is_gone() {
        let scratch = Scratch::new();
        let path = scratch.path().join("key");
        let account = AzureAccount::in_file(AzureFile::AccountKey(path.clone()));
        assert_eq!(account.read().unwrap_err().cause, StoreCause::Credentials);
        let key = |text: &str| Arc::new(AzureCredential::AccessKey(AzureAccessKey::try_new(text).unwrap()));
        for text in ["b25l", "dHdv"] {
            std::fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(account.clone().read().unwrap(), key(text));
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(account.read().unwrap(), key("dHdv"));
    }

    #[test]
    fn a_token_is_read_as_azure_hands_it_out_and_what_is_none_is_named_without_it() {
        let scratch = Scratch::new();
        let path = scratch.path().join("sas");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            AzureFile::SasToken(path.clone()).read()
        };
        let pairs = [("sv", "2024-11-04"), ("se", "2030-01-01T00:00:00Z"), ("sig", "a+b/c=")];
        let token = AzureCredential::SASToken(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        for text in [
            "sv=2024-11-04&se=2030-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D",
            "?sv=2024-11-04&se=2030-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D\n",
        ] {
            assert_eq!(read(text).unwrap(), token, "{text}");
        }
        for text in
            ["sesame", "sv=1&se=sesame", "https://a.blob.core.windows.net/c?sv=1&sig=sesame", "sv=1&sig=&a=sesame"]
        {
            let failure = read(text).unwrap_err();
            assert_eq!(failure.cause, StoreCause::Credentials);
            assert!(failure.detail.contains("is no SAS token") && !failure.detail.contains("sesame"), "{failure}");
        }
    }
}

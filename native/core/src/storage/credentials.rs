// SPDX-License-Identifier: Apache-2.0
//! The bucket's keys. Files are read anew for every request, so that a rotated key heals by itself.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::CredentialProvider;

use crate::config::CredentialFiles;
use crate::storage::failure::{Cause, Failure};

#[derive(Clone)]
pub enum Credentials {
    Given { access_key: String, secret_key: String },
    Files(CredentialFiles),
}

impl Credentials {
    fn read(&self) -> Result<AwsCredential, Failure> {
        match self {
            Self::Given { access_key, secret_key } => {
                Ok(AwsCredential { key_id: access_key.clone(), secret_key: secret_key.clone(), token: None })
            }
            Self::Files(files) => Ok(AwsCredential {
                key_id: read_key(&files.access_key)?,
                secret_key: read_key(&files.secret_key)?,
                token: files.session_token.as_deref().map(read_key).transpose()?,
            }),
        }
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |failure: Failure| object_store::Error::Generic { store: "S3", source: Box::new(failure) };
        self.read().map(Arc::new).map_err(failed)
    }
}

/// Without the keys.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { .. } => f.write_str("Given"),
            Self::Files(files) => f.debug_tuple("Files").field(files).finish(),
        }
    }
}

fn read_key(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| Failure::new(Cause::Credentials, format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    match text.trim() {
        "" => Err(unreadable("is empty".to_owned())),
        key => Ok(key.to_owned()),
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
        let credentials = Credentials::Files(CredentialFiles {
            access_key: file("access"),
            secret_key: file("secret"),
            session_token: None,
        });
        std::fs::write(file("access"), "key\n").unwrap();
        let missing = credentials.read().unwrap_err();
        assert_eq!(missing.cause, Cause::Credentials);
        assert!(missing.detail.contains("secret: "), "{}", missing.detail);
        std::fs::write(file("secret"), "\n").unwrap();
        assert!(credentials.read().unwrap_err().detail.ends_with("is empty"));
        for key in ["one", "two"] {
            std::fs::write(file("secret"), key).unwrap();
            assert_eq!(credentials.read().unwrap().secret_key, key);
        }
    }
}

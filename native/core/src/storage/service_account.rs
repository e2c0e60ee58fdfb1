// SPDX-License-Identifier: Apache-2.0
//! A Google service account's key, as Google hands it out: a JSON document. The file is read anew for every request, so
//! that a rotated key heals by itself; where it is gone, the key that was in it last is used. What requests carry is a
//! token that the key signs, so that no other server is asked.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::prelude::{Engine as _, BASE64_URL_SAFE_NO_PAD};
use object_store::gcp::GcpCredential;
use object_store::CredentialProvider;
use ring::rand::SystemRandom;
use ring::signature::{RsaKeyPair, RSA_PKCS1_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::PrivateKeyDer;
use serde::Deserialize;
use serde_json::json;

use crate::locked::Locked as _;
use crate::storage::failure::{StoreCause, StoreError};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest that Google takes.
const LIFETIME: Duration = Duration::from_secs(3600);
/// A token is used for this long: clocks differ, and requests take their time.
const IN_USE: Duration = Duration::from_secs(1800);

/// Clones share what was last in the file.
#[derive(Clone)]
pub struct ServiceAccount {
    file: PathBuf,
    last: Arc<Mutex<Option<Token>>>,
}

/// A token, and the document with the key that signed it.
#[derive(Clone)]
struct Token {
    document: String,
    made: SystemTime,
    credential: Arc<GcpCredential>,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    private_key: String,
}

impl ServiceAccount {
    #[must_use]
    pub fn in_file(file: PathBuf) -> Self {
        Self { file, last: Arc::default() }
    }

    fn token(&self, now: SystemTime) -> Result<Arc<GcpCredential>, StoreError> {
        let mut last = self.last.locked();
        let of = |document: String| Token::of(document, last.as_ref(), now);
        let found = std::fs::read_to_string(&self.file).map_err(|error| error.to_string()).and_then(of);
        let token = match (found, &*last) {
            (Err(_), Some(known)) => of(known.document.clone()),
            (found, _) => found,
        };
        let token = token.map_err(|why| self.unreadable(&why))?;
        let credential = token.credential.clone();
        *last = Some(token);
        Ok(credential)
    }

    fn unreadable(&self, why: &str) -> StoreError {
        StoreError::new(StoreCause::Credentials, format!("{}: {why}", self.file.display()))
    }
}

impl Token {
    /// A token of this document's key: the known one, for as long as it is that and may be used.
    fn of(document: String, known: Option<&Self>, now: SystemTime) -> Result<Self, String> {
        let may_be_used =
            |token: &&Self| token.document == document && now.duration_since(token.made).is_ok_and(|age| age < IN_USE);
        if let Some(token) = known.filter(may_be_used) {
            return Ok(token.clone());
        }
        let credential = Arc::new(GcpCredential { bearer: signed(&document, now)? });
        Ok(Self { document, made: now, credential })
    }
}

/// A token that the document's key signs (RFC 7523, as Google takes it in place of one of its own).
fn signed(document: &str, now: SystemTime) -> Result<String, String> {
    let document: KeyFile =
        serde_json::from_str(document).map_err(|error| format!("is no service account's key: {error}"))?;
    if document.kind != "service_account" {
        return Err("is no service account's key: its `type` is another".to_owned());
    }
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": document.private_key_id});
    let claims = json!({
        "iss": document.client_email,
        "sub": document.client_email,
        "scope": SCOPE,
        "iat": seconds,
        "exp": seconds + LIFETIME.as_secs(),
    });
    let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = format!("{header}.{claims}");
    let key = private_key(&document.private_key)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "its `private_key` cannot sign".to_owned())?;
    Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

fn private_key(pem: &str) -> Result<RsaKeyPair, String> {
    let no_key = || "its `private_key` is no RSA key in PEM".to_owned();
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| no_key())? {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(no_key()),
    }
    .map_err(|_| no_key())
}

#[async_trait]
impl CredentialProvider for ServiceAccount {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        self.token(SystemTime::now())
            .map_err(|failure| object_store::Error::Generic { store: "GCS", source: Box::new(failure) })
    }
}

/// Without the key.
impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceAccount").field(&self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::test_support::Scratch;

    fn key() -> String {
        let made = Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-quiet"]).output().unwrap();
        String::from_utf8(made.stdout).unwrap()
    }

    fn document(key: &str, id: &str) -> String {
        json!({"type": "service_account", "client_email": "r@p.iam", "private_key_id": id, "private_key": key})
            .to_string()
    }

    fn part(bearer: &str, index: usize) -> serde_json::Value {
        let text = bearer.split('.').nth(index).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_of_the_key_that_is_in_the_file_and_made_anew_before_it_ends() {
        let scratch = Scratch::new();
        let key = key();
        let file = scratch.path().join("key.json");
        let account = ServiceAccount::in_file(file.clone());
        assert_eq!(account.token(UNIX_EPOCH).unwrap_err().cause, StoreCause::Credentials);
        std::fs::write(&file, document(&key, "one") + "\n").unwrap();
        let first = account.token(UNIX_EPOCH).unwrap();
        assert_eq!(part(&first.bearer, 0)["kid"], "one");
        assert_eq!(part(&first.bearer, 1)["iss"], "r@p.iam");
        assert_eq!(part(&first.bearer, 1)["exp"], 3600);
        assert_eq!(account.token(UNIX_EPOCH + Duration::from_secs(60)).unwrap(), first);
        let later = account.token(UNIX_EPOCH + IN_USE).unwrap();
        assert_eq!(part(&later.bearer, 1)["iat"], 1800);
        std::fs::write(&file, document(&key, "two")).unwrap();
        assert_eq!(part(&account.token(UNIX_EPOCH + IN_USE).unwrap().bearer, 0)["kid"], "two");
        for gone in ["{", ""] {
            std::fs::write(&file, gone).unwrap();
            let token = account.clone().token(UNIX_EPOCH + 3 * IN_USE).unwrap();
            assert_eq!(part(&token.bearer, 0)["kid"], "two", "the last good one");
            assert_eq!(part(&token.bearer, 1)["iat"], 5400);
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(part(&account.token(UNIX_EPOCH + 4 * IN_USE).unwrap().bearer, 0)["kid"], "two");
    }

    #[test]
    fn what_is_wrong_with_a_key_is_named_without_the_key() {
        let mut other = json!({"type": "authorized_user", "client_email": "e", "private_key_id": "i"});
        other["private_key"] = "sesame".into();
        let kind = other.to_string();
        other["type"] = "service_account".into();
        for (text, expected) in [
            ("", "is no service account's key: EOF"),
            (r#"{"type": "service_account"}"#, "is no service account's key: missing field `client_email`"),
            (kind.as_str(), "is no service account's key: its `type` is another"),
            (&other.to_string(), "its `private_key` is no RSA key in PEM"),
        ] {
            let why = signed(text, UNIX_EPOCH).unwrap_err();
            assert!(why.starts_with(expected) && !why.contains("sesame"), "{why}");
        }
    }
}

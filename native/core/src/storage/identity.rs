// SPDX-License-Identifier: Apache-2.0
//! Keys without keys: temporary ones, which are given out to whoever this process is, or to the machine that it runs on.
//!
//! The environment names who gives them out, in the variables of AWS' own client libraries. They are fetched before they run
//! out. Nothing is asked that was not named, but for a machine's own identity, which the configuration has to allow.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, RetryConfig};
use serde::Deserialize;

use crate::storage::client::{self, Proxies};
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::request_text::is_header_value;
use crate::storage::store::within;
use crate::storage::target::BucketTarget;

/// Whoever gives out keys answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(15);

const ROLE: &str = "AWS_ROLE_ARN";
const ROLE_TOKEN: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const SESSION_NAME: &str = "AWS_ROLE_SESSION_NAME";
const STS: &str = "AWS_ENDPOINT_URL_STS";
const AGENT: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const AGENT_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const AGENT_OF_TASKS: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const INSTANCE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const USUAL_INSTANCE: &str = "http://169.254.169.254";
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Identity {
    /// The one that the environment names: a role for a web identity (IRSA), an agent (EKS Pod Identity), an ECS task's.
    Environment,
    /// The machine's own, its instance profile.
    Instance,
}

/// Who gives out keys, and what for.
struct Giver {
    builder: AmazonS3Builder,
    proxies: Proxies,
    /// What is asked for its keys, in words.
    asked: String,
    token_file: Option<PathBuf>,
}

impl Identity {
    /// The bucket's keys, for this identity.
    pub fn keys(self, target: &BucketTarget) -> Result<AwsCredentialProvider, StoreError> {
        self.giver(target, &variable)?.keys(target)
    }

    fn giver(self, target: &BucketTarget, variable: &dyn Fn(&str) -> Option<String>) -> Result<Giver, StoreError> {
        if self == Self::Instance {
            return Ok(Giver::instance(variable(INSTANCE)));
        }
        if let (Some(role), Some(token_file)) = (variable(ROLE), variable(ROLE_TOKEN)) {
            let region = REGIONS.iter().find_map(|name| variable(name)).unwrap_or_else(|| target.region.clone());
            let sts = variable(STS).unwrap_or_else(|| sts(&region));
            return Ok(Giver::web_identity(&role, &token_file, &sts, variable(SESSION_NAME).as_deref()));
        }
        if let Some(path) = variable(AGENT_OF_TASKS) {
            return Ok(Giver::task(&path));
        }
        if let (Some(url), Some(token_file)) = (variable(AGENT), variable(AGENT_TOKEN)) {
            return Ok(Giver::agent(&url, &token_file));
        }
        let missing = format!("the environment has neither {ROLE} and {ROLE_TOKEN} nor {AGENT} and {AGENT_TOKEN}");
        Err(StoreError::new(StoreCause::IdentityMissing, missing))
    }
}

/// A variable of the environment; one without a value is none.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where the region's tokens are exchanged.
fn sts(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://sts.{region}.{domain}")
}

impl Giver {
    fn web_identity(role: &str, token_file: &str, sts: &str, session: Option<&str>) -> Self {
        let builder = AmazonS3Builder::new()
            .with_config(AmazonS3ConfigKey::RoleArn, role)
            .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file)
            .with_config(AmazonS3ConfigKey::StsEndpoint, sts)
            .with_config(AmazonS3ConfigKey::RoleSessionName, session.unwrap_or("cloud-recording"));
        let asked = format!("role {role} at {sts}");
        Self { builder, proxies: Proxies::OfTarget, asked, token_file: Some(token_file.into()) }
    }

    fn agent(url: &str, token_file: &str) -> Self {
        let builder = AmazonS3Builder::new()
            .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, url)
            .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, token_file);
        Self { builder, proxies: Proxies::None, asked: url.to_owned(), token_file: Some(token_file.into()) }
    }

    fn task(path: &str) -> Self {
        let builder = AmazonS3Builder::new().with_config(AmazonS3ConfigKey::ContainerCredentialsRelativeUri, path);
        Self {
            builder,
            proxies: Proxies::None,
            asked: "the task's agent at 169.254.170.2".to_owned(),
            token_file: None,
        }
    }

    fn instance(endpoint: Option<String>) -> Self {
        let endpoint = endpoint.unwrap_or_else(|| USUAL_INSTANCE.to_owned());
        let endpoint = endpoint.trim_end_matches('/');
        let builder = AmazonS3Builder::new().with_config(AmazonS3ConfigKey::MetadataEndpoint, endpoint);
        let asked = format!("the instance metadata service at {endpoint}");
        Self { builder, proxies: Proxies::None, asked, token_file: None }
    }

    fn keys(self, target: &BucketTarget) -> Result<AwsCredentialProvider, StoreError> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let connector = client::connector_to_giver(target, self.proxies)?;
        // The storage library gives its providers of keys to nobody but a bucket of its own.
        let bucket = self.builder.with_bucket_name("-").with_retry(once).with_http_connector(connector).build();
        let bucket = bucket.map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))?;
        let provider = Arc::clone(bucket.credentials());
        Ok(Arc::new(Keys { provider, giver: WhoGives { asked: self.asked, token_file: self.token_file } }))
    }
}

/// What was given out, anew whenever it is about to run out.
#[derive(Debug)]
struct Keys {
    provider: AwsCredentialProvider,
    giver: WhoGives,
}

/// Whoever gives out keys, for what there is to say of it.
#[derive(Debug)]
pub(super) struct WhoGives {
    /// What is asked, in words.
    pub asked: String,
    pub token_file: Option<PathBuf>,
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |failure: StoreError| object_store::Error::Generic { store: "S3", source: Box::new(failure) };
        let sent = |keys: &AwsCredential| std::iter::once(keys.key_id.clone()).chain(keys.token.clone()).collect();
        self.giver.given(self.provider.get_credential(), sent).await.map_err(failed)
    }
}

impl WhoGives {
    /// What it gives; `sent` is what of that goes into headers.
    pub(super) async fn given<K>(
        &self,
        keys: impl Future<Output = object_store::Result<Arc<K>>>,
        sent: impl Fn(&K) -> Vec<String>,
    ) -> Result<Arc<K>, StoreError> {
        let keys = within(PATIENCE, async { keys.await.map_err(|error| StoreError::from_error(&error)) });
        let keys = keys.await.map_err(|failure| self.refused(&failure))?;
        if sent(&keys).iter().any(|key| !is_header_value(key)) {
            let detail = format!("{}: gives out keys with a character that no key has", self.asked);
            return Err(StoreError::new(StoreCause::IdentityRefused, detail));
        }
        Ok(keys)
    }

    /// What it means that there are no keys: whatever it was, the bucket has not been asked yet.
    fn refused(&self, failure: &StoreError) -> StoreError {
        if let Some((file, error)) = self.token_file.as_deref().and_then(unreadable) {
            return StoreError::new(StoreCause::IdentityMissing, format!("{}: {error}", file.display()));
        }
        let cause = match failure.cause {
            StoreCause::HostUnknown
            | StoreCause::ConnectionRefused
            | StoreCause::Unreachable
            | StoreCause::Tls
            | StoreCause::Timeout
            | StoreCause::Proxy
            | StoreCause::Server(_)
            | StoreCause::Other => StoreCause::IdentityUnreachable,
            _ => StoreCause::IdentityRefused,
        };
        StoreError::new(cause, format!("{}: {}", self.asked, failure.detail))
    }
}

fn unreadable(file: &Path) -> Option<(&Path, std::io::Error)> {
    File::open(file).err().map(|error| (file, error))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
